"""Keeps what looks like a key out of a prompt: known shapes of keys, and values that are named as secrets; pure.

The first of the four layers of SPEC.md section 8, for answers and agent cards; nothing is sent anywhere to be verified.
"""

import re

_SHAPES: tuple[tuple[str, str], ...] = (
    ("PRIVATE_KEY", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    ("AWS_KEY", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("GITHUB_TOKEN", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
    ("GITLAB_TOKEN", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("MODEL_KEY", r"\bsk-[A-Za-z0-9_-]{20,}"),
    ("GOOGLE_KEY", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("SLACK_TOKEN", r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    ("HUB_TOKEN", r"\bhf_[A-Za-z0-9]{30,}"),
    ("JWT", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
)
_NAMED = re.compile(
    r"(?P<head>(?:passw(?:or)?d|secret|api[_-]?key|access[_-]?key|token|credential)\w*['\"]?\s*[:=]\s*['\"])"
    r"(?P<value>(?=[^'\"\s]*\d)(?=[^'\"\s]*[A-Za-z])[^'\"\s]{16,})(?=['\"])",
    re.IGNORECASE,
)
_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in _SHAPES)


def redact(text: str) -> str:
    """Return `text` with `[REDACTED:NAME]` where a key stood."""
    for name, pattern in _COMPILED:
        text = pattern.sub(f"[REDACTED:{name}]", text)
    return _NAMED.sub(lambda match: f"{match['head']}[REDACTED:SECRET]", text)


def count_redactions(text: str) -> int:
    """Return how many marks `redact` has left in `text`."""
    return text.count("[REDACTED:")
