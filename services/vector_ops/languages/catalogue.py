"""Which language a path has. A language is imported when its first file is met."""

from functools import cache
from importlib import import_module
from typing import cast

from services.vector_ops.languages.language import Language

_HOMES = {
    "python": ("services.vector_ops.languages.python.language", (".py", ".pyi"), ()),
    "typescript": (
        "services.vector_ops.languages.typescript.language",
        (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"),
        ("tsconfig.json", "jsconfig.json", "package.json", "deno.json"),
    ),
    "rust": ("services.vector_ops.languages.rust.language", (".rs",), ("Cargo.toml",)),
    "go": ("services.vector_ops.languages.go.language", (".go",), ("go.mod",)),
    "java": ("services.vector_ops.languages.tags.java", (".java",), ()),
    "c": ("services.vector_ops.languages.tags.c", (".c",), ()),
    "cpp": ("services.vector_ops.languages.tags.cpp", (".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx"), ()),
    "csharp": ("services.vector_ops.languages.tags.csharp", (".cs",), ()),
    "ruby": ("services.vector_ops.languages.tags.ruby", (".rb", ".rake", ".gemspec"), ("Rakefile", "Gemfile")),
    "php": ("services.vector_ops.languages.tags.php", (".php",), ()),
}
_BY_SUFFIX = {suffix: name for name, (_home, suffixes, _names) in _HOMES.items() for suffix in suffixes}
_BY_FILENAME = {filename: name for name, (_home, _suffixes, names) in _HOMES.items() for filename in names}
LANGUAGES = tuple(_HOMES)


def language_name(path: str) -> str:
    """Return the language of a path, or nothing: then it is text."""
    filename = path.rpartition("/")[2]
    return _BY_FILENAME.get(filename) or _BY_SUFFIX.get(suffix_of(path), "")


def suffix_of(path: str) -> str:
    """Return `.py` of `a/b.py`, in lower case; nothing when there is none."""
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


@cache
def load_language(name: str) -> Language:
    """Return a language by its name, its grammars loaded; raises GrammarMissingError."""
    language = cast("Language", import_module(_HOMES[name][0]).LANGUAGE)
    language.check()
    return language
