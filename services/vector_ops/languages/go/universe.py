"""Names that Go itself gives: the standard library, and the names that every file sees."""

_STANDARD = """
archive arena bufio builtin bytes cmp compress container context crypto database debug embed encoding errors expvar flag
fmt go hash html image index io iter log maps math mime net os path plugin reflect regexp runtime slices sort strconv
strings structs sync syscall testing text time unicode unique unsafe weak C
"""
_TYPES = """
any bool byte comparable complex64 complex128 error float32 float64 int int8 int16 int32 int64 rune string uint uint8
uint16 uint32 uint64 uintptr
"""
STANDARD = frozenset(_STANDARD.split())
"""The first parts of the import paths of the standard library."""

BUILTIN_TYPES = frozenset(_TYPES.split())
PLAIN_CALLS = frozenset({"len", "cap", "copy", "panic", "recover", "print", "println", "complex", "real", "imag"})
FIRST_CALLS = frozenset({"append", "min", "max"})
"""They give what their first argument is."""

BUILTIN_CALLS = frozenset({"append", "len", "cap", "make", "panic", "recover", "new"}) | BUILTIN_TYPES
"""Their calls are no references; the other builtin functions have names that packages use for their own."""

BUILTIN_NAMES = BUILTIN_TYPES | {"true", "false", "nil", "iota", "_"}
SAME_CALLS = frozenset(
    {
        "sync.OnceValue",
        "sync.OnceValues",
        "slices.Clip",
        "slices.Clone",
        "slices.Compact",
        "slices.CompactFunc",
        "slices.Concat",
        "slices.Delete",
        "slices.DeleteFunc",
        "slices.Grow",
        "slices.Insert",
        "slices.Replace",
        "maps.Clone",
    }
)
"""Generic functions of the standard library that give what their first argument is."""

ELEMENT_CALLS = frozenset({"slices.Max", "slices.MaxFunc", "slices.Min", "slices.MinFunc"})
"""They give an element of their first argument."""
