"""Facts as bytes: columns in JSON, deflated.

What other files may ask for (the outline) and what only resolving the file itself needs (its references) are two
pieces, because the former is read far more often.
"""

import json
import zlib
from typing import Any

from services.vector_ops.languages.facts import FileFacts, Import, Reference, Symbol

_LEVEL = 1
_BASES = Symbol._fields.index("bases")
_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def _pack(value: object) -> bytes:
    return zlib.compress(_dump(value).encode("utf-8", "surrogatepass"), _LEVEL)


def _unpack(data: bytes) -> Any:
    return json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass"))


def encode_outline(facts: FileFacts) -> bytes:
    """Return everything but the references."""
    head = (facts.language, facts.package, facts.notes, facts.skipped)
    return _pack((*head, list(zip(*facts.symbols, strict=True)), list(zip(*facts.imports, strict=True))))


def encode_references(facts: FileFacts) -> bytes:
    """Return the references."""
    return _pack(list(zip(*facts.references, strict=True))) if facts.references else b""


def decode_outline(data: bytes) -> FileFacts:
    """Return the facts without references."""
    language, package, notes, skipped, symbols, imports = _unpack(data)
    if symbols:
        symbols[_BASES] = [tuple(bases) for bases in symbols[_BASES]]
    return FileFacts(
        language,
        tuple(map(Symbol, *symbols)) if symbols else (),
        (),
        tuple(map(Import, *imports)) if imports else (),
        package,
        tuple(notes),
        skipped,
    )


def decode_references(data: bytes) -> tuple[Reference, ...]:
    """Return the references of `encode_references`."""
    columns = _unpack(data) if data else ()
    return tuple(map(Reference, *columns)) if columns else ()
