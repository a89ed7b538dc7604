"""A lane's allowlist: what may run there, with which arguments, on which files, under which limits.

The allowlist says what a lane is for and leaves an audit line when something else is tried; the sandbox is what holds.
Deny beats allow, and whatever no rule names is denied.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.kernel.errors import InvalidRequestError
from services.kernel.ids import Sha256
from services.kernel.vocabulary import Lane
from services.pas.core.argument import ArgumentRule, RefusedError, check_arguments, check_relative, check_words, quote
from services.pas.core.isolation import SandboxLimits
from services.pas.core.strict_yaml import StrictYamlError, parse_strict_yaml

RAW_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "csh", "tcsh", "fish", "ash", "busybox")
"""Every allowlist must deny these by name, so that no later `allow` line can let one in."""

SECRET_GLOBS = (".env*", "secrets/**", "*.pem", "*.key")
"""Every allowlist must deny these files."""

FILES = MappingProxyType(
    {
        Lane.CODE_IMPL: "code_impl.yaml",
        Lane.CODE_API_DESIGN: "code_api_design.yaml",
        Lane.DATA_SCHEMA: "data_schema.yaml",
        Lane.VECTOR_OPS: "vector_ops.yaml",
        Lane.GRAPH_OPS: "graph_ops.yaml",
        Lane.NARRATIVE: "narrative.yaml",
    }
)

_SCRIPT = re.compile(r"\{([a-z][a-z-]*)\}")


class AllowlistError(InvalidRequestError):
    """An allowlist cannot be trusted as it is written: one line with the file and the key. Nothing runs with it."""

    code = "pas.allowlist_invalid"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileGlobs(_Strict):
    """`**` crosses directories, `*` and `?` do not; a pattern without `/` holds for a name at any depth."""

    allow: tuple[str, ...] = Field(min_length=1)
    deny: tuple[str, ...]


class Commands(_Strict):
    """Heads of command lines, word by word; the first word is a logical program name, never a path."""

    allow: tuple[tuple[str, ...], ...]
    deny: tuple[tuple[str, ...], ...]


class Network(_Strict):
    """Lanes have no network; the field exists so that a file has to say so."""

    outbound: Literal[False]


class Limits(_Strict):
    """Per command, except `max_parallel`: cards of this lane at once. 100 % CPU is one core."""

    max_cpu_pct: int = Field(ge=1, le=6400)
    max_mem_mb: int = Field(ge=16, le=1_048_576)
    max_exec_seconds: int = Field(ge=1, le=86_400)
    max_parallel: int = Field(ge=1, le=256)
    max_processes: int = Field(default=128, ge=1, le=4096)
    max_output_bytes: int = Field(default=8_000_000, ge=1024, le=67_108_864)


class FsOps(_Strict):
    """How changes leave the lane."""

    patch_only: bool
    require_unified_diff: bool
    backups: bool


@dataclass(frozen=True)
class Decision:
    """`reason` is one line for people; `rule` names the rule that decided, `default` when none spoke."""

    is_allowed: bool
    reason: str
    rule: str


class Allowlist(_Strict):
    """One lane's rules (SPEC.md section 6), with argument rules and the weakest sandbox tier that it accepts."""

    lane: Lane
    description: str = Field(min_length=1)
    workspace_roots: tuple[str, ...] = Field(min_length=1)
    file_globs: FileGlobs
    commands: Commands
    argument_rules: tuple[ArgumentRule, ...] = ()
    network: Network
    limits: Limits
    fs_ops: FsOps
    min_tier: Literal["rlimits", "cgroup"] = "rlimits"

    @model_validator(mode="after")
    def _check_sense(self) -> Self:
        self._check_denials()
        self._check_heads()
        for root in self.workspace_roots:
            if root != "." and check_relative(root) != root:
                raise ValueError(f"workspace root {root!r} must be a plain relative path")
        return self

    def _check_heads(self) -> None:
        heads = list(self.commands.allow)
        ruled = [rule.command for rule in self.argument_rules]
        for head in [*heads, *self.commands.deny]:
            if not head or not all(head) or "/" in head[0]:
                raise ValueError(f"command {list(head)} must start with a program's name, not a path")
        for command in ruled:
            if command not in heads:
                raise ValueError(f"argument_rules name {list(command)}, which commands.allow does not hold")
        for values, what in ((heads, "commands.allow"), (ruled, "argument_rules")):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} names a command twice")

    def _check_denials(self) -> None:
        missing = [glob for glob in SECRET_GLOBS if glob not in self.file_globs.deny]
        if missing:
            raise ValueError(f"file_globs.deny must hold {missing[0]!r}")
        shells = [shell for shell in RAW_SHELLS if (shell,) not in self.commands.deny]
        if shells:
            raise ValueError(f"commands.deny must hold [{shells[0]}]")

    @functools.cached_property
    def sha256(self) -> Sha256:
        """SHA-256 of the rules as canonical JSON: comments and layout do not change it, any rule does."""
        text = json.dumps(_sorted(self.model_dump(mode="json")), sort_keys=True, separators=(",", ":"))
        return Sha256(hashlib.sha256(text.encode()).hexdigest())

    def sandbox_limits(self) -> SandboxLimits:
        """Return the limits of one command in this lane."""
        return SandboxLimits(
            exec_seconds=float(self.limits.max_exec_seconds),
            max_mem_mb=self.limits.max_mem_mb,
            max_cpu_pct=self.limits.max_cpu_pct,
            max_processes=self.limits.max_processes,
            max_output_bytes=self.limits.max_output_bytes,
        )

    def check_command(self, argv: Sequence[str], scripts: Mapping[str, str] = MappingProxyType({})) -> Decision:
        """Return whether the lane may run `argv`, whose first word is a logical name (`python`, `ruff`, `pytest`).

        `scripts` gives the platform's own files that heads name as `{name}`, by absolute path. The argv is run as it
        stands, without a shell: `;` and `$(` are ordinary characters here.
        """
        try:
            check_words(argv)
        except RefusedError as error:
            return Decision(False, str(error), "argv")
        words = tuple(argv)
        if "/" in words[0]:
            return Decision(False, f"program {quote(words[0])} must be a logical name, not a path", "argv")
        for index, head in enumerate(self.commands.deny):
            if words[: len(head)] == head:
                return Decision(False, f"{' '.join(head)} is denied in lane {self.lane}", f"commands.deny[{index}]")
        return self._check_allowed(words, scripts)

    def _check_allowed(self, words: tuple[str, ...], scripts: Mapping[str, str]) -> Decision:
        refusal = Decision(False, f"{quote(words[0])} is not allowed in lane {self.lane} in this form", "default")
        # The longest head first: `ruff check` is judged by its own rule, not by one for `ruff`.
        for index, head in sorted(enumerate(self.commands.allow), key=lambda item: -len(item[1])):
            resolved = tuple(_resolve_script(word, scripts) for word in head)
            if words[: len(head)] != resolved:
                continue
            rule = self._rules.get(head, ArgumentRule(command=head))
            try:
                check_arguments(words[len(head) :], rule, self._refuse_file)
            except RefusedError as error:
                return Decision(False, str(error), f"commands.allow[{index}]")
            return Decision(True, f"{' '.join(head)} is allowed in lane {self.lane}", f"commands.allow[{index}]")
        return refusal

    @functools.cached_property
    def _rules(self) -> Mapping[tuple[str, ...], ArgumentRule]:
        return {rule.command: rule for rule in self.argument_rules}

    def check_path(self, path: str) -> Decision:
        """Return whether the lane may read or change a file, given its path relative to the workspace."""
        try:
            plain = check_relative(path)
        except RefusedError as error:
            return Decision(False, str(error), "path")
        if not self._is_in_roots(plain):
            return Decision(False, f"{quote(plain)} is outside the lane's workspace roots", "workspace_roots")
        # Denied whatever the case: on some file systems `.ENV` is `.env`.
        for index, glob in enumerate(self.file_globs.deny):
            if _compile(glob.casefold()).fullmatch(plain.casefold()):
                return Decision(False, f"{quote(plain)} matches the denied {glob}", f"file_globs.deny[{index}]")
        for index, glob in enumerate(self.file_globs.allow):
            if _compile(glob).fullmatch(plain):
                return Decision(True, f"{quote(plain)} matches {glob}", f"file_globs.allow[{index}]")
        return Decision(False, f"{quote(plain)} matches no allowed pattern", "default")

    def _is_in_roots(self, path: str) -> bool:
        return any(root in {".", path} or path.startswith(root + "/") for root in self.workspace_roots)

    def _refuse_file(self, path: str) -> str | None:
        decision = self.check_path(path)
        return None if decision.is_allowed else decision.reason


def _sorted(value: object) -> object:
    """Give sets, which have no order of their own, one (pydantic dumps a frozenset as a list)."""
    if isinstance(value, dict):
        return {key: sorted(item) if key == "flags" else _sorted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


def _resolve_script(word: str, scripts: Mapping[str, str]) -> str:
    """Return the path behind `{name}`; one that the server did not give keeps its braces and matches nothing."""
    match = _SCRIPT.fullmatch(word)
    return scripts.get(match[1], "\0") if match else word


@functools.lru_cache(maxsize=512)
def _compile(glob: str) -> re.Pattern[str]:
    """Translate a glob; a directory that matches takes everything below it along."""
    if "/" not in glob.rstrip("/") and glob != "**":
        return re.compile(f"(?:.*/)?{_translate(glob)}(?:/.*)?", re.DOTALL)
    if glob.endswith("/**"):
        return re.compile(f"{_translate(glob.removesuffix('/**'))}(?:/.*)?", re.DOTALL)
    return re.compile(_translate(glob), re.DOTALL)


def _translate(glob: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wild.get(part, re.escape(part)) for part in parts)


def load_allowlist(text: str, source: str) -> Allowlist:
    """Parse and check one allowlist; `source` is its file name for the message.

    Raises AllowlistError with one line naming file and key: duplicate keys, anchors, tags, unknown fields, wrong types,
    a raw shell or a secret file that is not denied.
    """
    try:
        data = parse_strict_yaml(text)
        return Allowlist.model_validate_json(json.dumps(data))
    except StrictYamlError as error:
        raise AllowlistError(f"{source}, {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise AllowlistError(f"{source}: {key}: {first['msg']}") from error


def load_lane_allowlists(directory: Traversable | None = None) -> Mapping[Lane, Allowlist]:
    """Return the allowlist of every lane, from `directory` or else from those in the package.

    Raises AllowlistError when one is missing, invalid, or written for another lane.
    """
    place = directory if directory is not None else resources.files("services.pas.executors.allowlists")
    loaded = {}
    for lane, name in FILES.items():
        try:
            text = place.joinpath(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise AllowlistError(f"{name}: cannot be read ({error}); every lane needs its allowlist") from error
        allowlist = load_allowlist(text, name)
        if allowlist.lane is not lane:
            raise AllowlistError(f"{name}: lane: is {allowlist.lane}, but this file is for {lane}")
        loaded[lane] = allowlist
    return MappingProxyType(loaded)
