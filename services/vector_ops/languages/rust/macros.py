"""Reads the tokens that a macro is given: as expressions where they are some, else by the shape of a call."""

import re
from dataclasses import dataclass

from tree_sitter import Node

from services.vector_ops.languages.facts import Reference
from services.vector_ops.languages.rust.grammar import Source
from services.vector_ops.languages.rust.items import ItemReader
from services.vector_ops.languages.rust.notation import UNKNOWN, add_step, end_receiver
from services.vector_ops.languages.rust.values import Describer, render_path
from services.vector_ops.languages.rust.walk import Handler, walk

_MAX_NESTING = 12
_MAX_TOKENS = 20_000
_STANDARD = frozenset(
    """println print eprintln eprint format write writeln vec assert assert_eq assert_ne debug_assert debug_assert_eq
    debug_assert_ne panic unreachable todo unimplemented matches concat stringify include_str include_bytes env
    option_env line file column cfg compile_error dbg thread_local""".split()  # noqa: SIM905
)
_BEFORE = re.compile(rb"(?:(\.)|((?:[A-Za-z_]\w*::)+)|\b(fn|struct|enum|trait|mod|macro_rules!)\s+)$")
_RECEIVER = re.compile(rb"(?<![\w.)\]?])((?:[A-Za-z_]\w*\.)+)$")


@dataclass(slots=True)
class MacroReader:
    """Handler of macro calls and of the tokens in attributes."""

    describer: Describer
    items: ItemReader
    handlers: dict[str, Handler]
    _nesting: int = 0

    def read_macro_call(self, node: Node) -> None:
        """Read a macro call: the macro, and what it is given."""
        name = self.describer.child(node, "macro")
        if name is None:
            return
        self.items.drop_attributes()
        text = self.describer.source.read(name)
        module, _, last = text.rpartition("::")
        if text not in _STANDARD:
            at = self.describer.child(name, "name") or name
            self._refer(at, last, f"{module}::!" if module else "!")
        for tokens in node.named_children:
            if tokens.type == "token_tree":
                self._read_tokens(tokens)

    def _refer(self, node: Node, name: str, target: str) -> None:
        line, column = self.describer.source.place(node)
        self.items.references.append(Reference(name, "call", self.describer.scopes.top.symbol, line, column, target))

    def _read_tokens(self, tokens: Node) -> None:
        outer = self.describer.source
        text = outer.text[tokens.start_byte : tokens.end_byte]
        # Braces may hold definitions; other tokens matter when they call something or name a path.
        is_plain = text[:1] != b"{" and b"(" not in text[1:] and b"::" not in text
        if is_plain or self._nesting >= _MAX_NESTING:
            return
        root = self.describer.grammar.parse(text + b";")
        if root.has_error:
            self.scan_tokens(tokens)
            return
        line, column = outer.place(tokens)
        inner = Source(text, outer.is_ascii, outer.base_byte + tokens.start_byte, line - 1, column - 1)
        self.describer.source = inner
        self._nesting += 1
        walk(self.describer.grammar, inner, root, self.describer.scopes, self.handlers)
        self._nesting -= 1
        self.describer.source = outer

    def scan_tokens(self, tokens: Node) -> None:
        """Find `name(`, `path::name(` and `receiver.name(` among tokens that are not expressions."""
        source = self.describer.source
        for node in self.describer.grammar.list_identifiers(tokens)[:_MAX_TOKENS]:
            if source.text[node.end_byte : node.end_byte + 1] != b"(":
                continue
            start = node.start_byte
            found = _BEFORE.search(source.text, max(0, start - 120), start)
            target = self._describe_token(start, found)
            if target is not None:
                self._refer(node, source.read(node), target)

    def _describe_token(self, start: int, found: re.Match[bytes] | None) -> str | None:
        if found is None:
            return ""
        if found.group(3):
            return None
        if found.group(2):
            return render_path(found.group(2).decode(), self.describer.scopes.top.names)
        text = self.describer.source.text
        receiver = _RECEIVER.search(text, max(0, start - 120), start)
        if receiver is None:
            return f"{UNKNOWN} ."
        name, *fields = receiver.group(1).decode()[:-1].split(".")
        if name == "self":
            value = f":{self.describer.scopes.top.names.get('Self', UNKNOWN)}"
        else:
            value = self.describer.scopes.find_local(name) or UNKNOWN
        for one in fields:
            value = add_step(value, f".{one}")
        return end_receiver(value)
