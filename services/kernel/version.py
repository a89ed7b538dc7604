"""The platform's version, readable without asking the package metadata (which costs 30 ms)."""

VERSION = "0.1.0"
