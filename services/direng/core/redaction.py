"""Keeps what looks like a key out of the prompts of answers (services/security has the rules)."""

from services.security.redaction import count_redactions, redact

__all__ = ["count_redactions", "redact"]
