"""The private notation of types and values: short strings, read from the left.

A value: `nNAME` a name of the file or package; `.NAME:BASE` a selection; `cI:FUNCTION` the result I of a call; `eBASE`
an element and `kBASE` a key of a range; `vTYPE` some value of a type; `x` from outside; `?` unknown. A type: `nNAME`,
`.NAME:nPACKAGE`, `~QUALNAME` of the own package, `aTYPE` a slice or array, `hTYPE` a channel, `m` a map or what else a
range takes apart, `f` a function (its results), `g` an instantiated generic, `PI:CONSTRAINT` the type parameter I,
`=TYPE` an alias, `i` an anonymous interface without methods of its own, `ATYPE` an atomic pointer, `{I` an anonymous
struct (known during extraction only). Pointers are left out: Go follows them by itself.
"""

EXTERNAL = "x"
UNKNOWN = "?"
_LIMIT = 240


def clip_notation(notation: str) -> str:
    """Return the notation, or unknown where it is too long to be stored."""
    return notation if len(notation) <= _LIMIT else UNKNOWN


def pack_parts(parts: list[str] | tuple[str, ...]) -> str:
    """Return notations as one string that `unpack_parts` takes apart."""
    return "".join(f"{len(part)}:{part}" for part in parts)


def unpack_parts(packed: str) -> list[str]:
    """Return the notations of a packed string."""
    parts: list[str] = []
    while packed:
        size, _, rest = packed.partition(":")
        if not size.isdigit():
            return parts
        parts.append(rest[: int(size)])
        packed = rest[int(size) :]
    return parts


def value_of(kind: str) -> str:
    """Return a value of a type."""
    return kind if kind in {EXTERNAL, UNKNOWN} else clip_notation(f"v{kind}")


def select_name(name: str, base: str) -> str:
    """Return the selection of a name."""
    return base if base in {EXTERNAL, UNKNOWN} else clip_notation(f".{name}:{base}")


def call_value(at: int, function: str) -> str:
    """Return the result `at` of a call."""
    if function in {EXTERNAL, UNKNOWN}:
        return function
    if function.startswith("vf"):
        results = unpack_parts(function[2:])
        return value_of(results[at]) if at < len(results) else EXTERNAL
    return clip_notation(f"c{at}:{function}")


def element_of(base: str) -> str:
    """Return what indexing, receiving, or the second variable of a range gives."""
    if base in {EXTERNAL, UNKNOWN}:
        return base
    if base.startswith(("va", "vh")):
        return value_of(base[2:])
    if base.startswith("vm"):
        return value_of([*unpack_parts(base[2:]), UNKNOWN, UNKNOWN][1])
    return clip_notation(f"e{base}")


def key_of(base: str) -> str:
    """Return what the first variable of a range holds."""
    if base in {EXTERNAL, UNKNOWN}:
        return base
    if base.startswith("va"):
        return EXTERNAL
    if base.startswith("vh"):
        return value_of(base[2:])
    if base.startswith("vm"):
        return value_of([*unpack_parts(base[2:]), UNKNOWN][0])
    return clip_notation(f"k{base}")
