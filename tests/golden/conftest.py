"""The real commands on a home of their own."""

from tests.fakes.commands import platform, sample

__all__ = ["platform", "sample"]
