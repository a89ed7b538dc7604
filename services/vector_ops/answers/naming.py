"""Names as people write them in each language, taken apart: `pkg.mod.name`, `Type::method`, `(*T).M`, `C#method`."""

import re
from collections.abc import Iterator

from services.kernel.errors import InvalidRequestError
from services.vector_ops.core.view import IndexView

_MAX_NAME = 500
_KEYWORD = re.compile(
    r"^(?:(?:pub|export|default|async|abstract)\s+)*"
    r"(?:def|class|func|fn|function|struct|interface|trait|enum|type|impl|module)\s+(?=\S)"
)
_CALLED = re.compile(r"(?<=[\w>\]!?])\([^()]*\)$")
_RECEIVER = re.compile(r"\(\s*[*&]?\s*([\w$]+)\s*\)")
_AS_TRAIT = re.compile(r"<\s*([\w$:]+)\s+as\s+[^<>]+>")
_GENERIC = re.compile(r"(?<=[\w$:])(?:<[^<>]*>|\[[^\[\]]*\])")
_SEPARATORS = re.compile(r"::|->|\.#|[.#/]")
_PART = re.compile(r"[^\W\d][\w$-]*[!?]?")
_HOLLOW = frozenset({"__init__", "mod", "index", "lib", "main"})
"""Files that stand for their folder: `pkg/__init__.py` is `pkg`."""
_RELATIVE = frozenset({"crate", "self", "super", "this"})
_MANIFESTS = (
    ("go.mod", re.compile(r"^module\s+(\S+)", re.MULTILINE)),
    ("Cargo.toml", re.compile(r'^name\s*=\s*"([^"]+)"', re.MULTILINE)),
    ("package.json", re.compile(r'^\s*"name"\s*:\s*"([^"]+)"', re.MULTILINE)),
)
_VERSION = re.compile(r"v\d+")


def clean_name(text: str) -> str:
    """Return a name without what surrounds it in code: quotes, keywords, arguments, type parameters, receivers."""
    name = text.strip().strip("`'\"").strip()
    if len(name) > _MAX_NAME:
        raise InvalidRequestError(f"{name[:60]!r}... is no symbol; a name has at most {_MAX_NAME} characters")
    name = _CALLED.sub("", _KEYWORD.sub("", name))
    name = _AS_TRAIT.sub(r"\1", _RECEIVER.sub(r"\1", name)).lstrip("*&@")
    return _GENERIC.sub("", name.removeprefix("<").replace(">::", "::") if name.startswith("<") else name).strip()


def split_name(name: str) -> list[str]:
    """Return the parts of a qualified name or a path; raise InvalidRequestError for what is neither."""
    parts = _SEPARATORS.split(name.removeprefix("::").removeprefix("./").removeprefix("#"))
    if not all(map(_PART.fullmatch, parts)):
        raise InvalidRequestError(
            f"{name[:60]!r} is no symbol; give a name such as `run`, `Class.method` or `package.module.name`"
        )
    return parts


def dotted_of(path: str) -> list[str]:
    """Return the parts of a path as names: no suffix, no `src`, no file that stands for its folder."""
    folders, _, filename = path.rpartition("/")
    stem = filename.split(".")[0]
    parts = [part for part in folders.split("/") if part] + ([] if stem in _HOLLOW else [stem])
    return as_module(parts)


def as_module(parts: list[str]) -> list[str]:
    """Return parts of a path in the spelling that code uses for modules."""
    return [part.replace("-", "_") for part in parts if part != "src"]


def strip_roots(view: IndexView, parts: list[str]) -> Iterator[list[str]]:
    """Yield the name without what means the repository itself: `crate`, or the name that a manifest declares."""
    kept = list(parts)
    while len(kept) > 1 and kept[0] in _RELATIVE:
        kept = kept[1:]
    if len(kept) < len(parts):
        yield kept
        return
    for root in _read_roots(view):
        if len(root) < len(parts) and as_module(parts[: len(root)]) == root:
            yield parts[len(root) :]


def _read_roots(view: IndexView) -> Iterator[list[str]]:
    for path, pattern in _MANIFESTS:
        for declared in pattern.findall(view.read_text(path)):
            root = as_module([part for part in _SEPARATORS.split(declared.lstrip("@")) if part])
            while len(root) > 1 and _VERSION.fullmatch(root[-1]):
                root = root[:-1]
            yield root
            yield root[-1:]
