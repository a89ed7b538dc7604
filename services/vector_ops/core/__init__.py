"""The rules of the code index: indexing, resolution, answers; no I/O library is imported here."""
