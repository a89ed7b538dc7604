"""Build constraints: which of several definitions of one name a build takes.

A name may be defined once for each platform (`open_linux.go`, `open_windows.go`) or each choice of tags (`//go:build
netgo`). Go's tools then see one of them: that of the build at hand. Here that is the plain build (Linux on amd64,
without tags of one's own); for a file that the plain build leaves out, the nearest build that takes it.
"""

import re
from itertools import product

_SYSTEMS = frozenset(
    {
        *("aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "nacl", "netbsd"),
        *("openbsd", "plan9", "solaris", "wasip1", "windows", "zos"),
    }
)
_MACHINES = frozenset(
    {
        *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le"),
        *("riscv64", "s390x", "wasm"),
    }
)
_NOT_UNIX = frozenset({"windows", "plan9", "js", "wasip1", "nacl"})
_PLAIN = frozenset({"linux", "amd64", "unix", "cgo", "gc"})
_RELEASE = re.compile(r"^go1(\.\d+)?$")
_CONSTRAINT = re.compile(rb"^//[ \t]*(go:build|\+build)[ \t]+([^\r\n]+)", re.MULTILINE)
_TOKEN = re.compile(r"&&|\|\||[!()]|[\w.]+")
_TOKENS_CAP = 64


def read_constraint(content: bytes) -> str:
    """Return the `//go:build` expression that stands above the package clause; nothing when there is none."""
    head = content.partition(b"\npackage ")[0][:4000] if not content.startswith(b"package ") else b""
    old = []
    for form, text in _CONSTRAINT.findall(head):
        expression: str = text.partition(b"//")[0].decode("utf-8", "replace").strip()
        if form == b"go:build":
            return expression
        old.append(_translate(expression))
    return " && ".join(old)


def _translate(line: str) -> str:
    """Return a `+build` line, where a space means or and a comma means and, as a `//go:build` expression."""
    return "(" + " || ".join("(" + option.replace(",", " && ") + ")" for option in line.split()) + ")"


def tell_constraint(path: str, expression: str) -> str:
    """Return the whole constraint of a file: that of its name and that of its content."""
    parts = path.rpartition("/")[2].removesuffix(".go").removesuffix("_test").split("_")[1:][-2:]
    found = [part for part in parts[-1:] if part in _SYSTEMS or part in _MACHINES]
    if len(parts) == len(("system", "machine")) and parts[0] in _SYSTEMS and parts[1] in _MACHINES:
        found = parts
    return " && ".join([*found, *([f"({expression})"] if expression else [])])


def list_builds(constraint: str) -> list[frozenset[str]]:
    """Return the builds that take a file of this constraint, the plain one first; the plain one if none does."""
    words = sorted({one for one in _TOKEN.findall(constraint) if one[0].isalnum()})
    own = [one for one in words if one not in _SYSTEMS and one not in _MACHINES and one not in _PLAIN]
    plain = [_PLAIN, *(_PLAIN | {one} for one in own), _PLAIN | set(own)]
    systems = [*(one for one in words if one in _SYSTEMS), "windows", "darwin", "freebsd", "js"]
    machines = ["amd64", *(one for one in words if one in _MACHINES)]
    for system, machine in product(["linux", *systems], machines):
        rest = {machine, "cgo", "gc", system} | (set() if system in _NOT_UNIX else {"unix"})
        plain += [frozenset(rest), frozenset(rest | set(own))]
    return [one for one in plain if fits(constraint, one)] or [_PLAIN]


def fits(constraint: str, build: frozenset[str]) -> bool:
    """Say whether a build with these tags takes a file of this constraint; a malformed one is taken as none."""
    tokens = _TOKEN.findall(constraint)
    if not tokens or len(tokens) > _TOKENS_CAP:
        return True
    value, rest = _read_any(tokens, build)
    return value or bool(rest)


def _read_any(tokens: list[str], build: frozenset[str]) -> tuple[bool, list[str]]:
    value, rest = _read_all(tokens, build)
    while rest and rest[0] == "||":
        other, rest = _read_all(rest[1:], build)
        value = value or other
    return value, rest


def _read_all(tokens: list[str], build: frozenset[str]) -> tuple[bool, list[str]]:
    value, rest = _read_one(tokens, build)
    while rest and rest[0] == "&&":
        other, rest = _read_one(rest[1:], build)
        value = value and other
    return value, rest


def _read_one(tokens: list[str], build: frozenset[str]) -> tuple[bool, list[str]]:
    if not tokens:
        return True, []
    if tokens[0] == "!":
        value, rest = _read_one(tokens[1:], build)
        return not value, rest
    if tokens[0] == "(":
        value, rest = _read_any(tokens[1:], build)
        return value, rest[1:]
    return tokens[0] in build or bool(_RELEASE.match(tokens[0])), tokens[1:]
