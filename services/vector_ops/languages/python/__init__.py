"""Python at full depth."""
