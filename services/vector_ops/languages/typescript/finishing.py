"""From what was gathered in a file to its facts.

Types of symbols are read from other files too, so what they say about locals and calls of their own file is written
out (`port`): there only names at the top of the file remain.
"""

import re

from services.vector_ops.languages.facts import FileFacts, Symbol
from services.vector_ops.languages.typescript.drafts import Draft, Drafted

_HEAD = re.compile(r"([#$@*&])(\d+)")
_NESTED = re.compile(r"(?<!\.)#\d")
_PORT_CAP = 12
_LENGTH_CAP = 200
_TYPE_CAP = 2400


def finish_facts(draft: Draft, language: str) -> FileFacts:
    """Return the facts of the file that was walked."""
    return FileFacts(
        language,
        tuple([_finish_symbol(draft, one) for one in draft.symbols]),
        tuple(draft.references),
        tuple(draft.imports),
        "",
        tuple(draft.locals),
    )


def _finish_symbol(draft: Draft, one: Drafted) -> Symbol:
    return Symbol(
        one.name,
        one.qualname,
        one.kind,
        one.line,
        one.column,
        one.start_line,
        one.end_line,
        one.owner,
        one.signature,
        one.doc,
        _finish_type(draft, one),
        tuple([_port_base(draft, base) for base in one.bases]),
        one.is_test,
    )


def _port_base(draft: Draft, base: str) -> str:
    return f"`{port(draft, base[1:-1])}`" if base[:1] == "`" else base


def _finish_type(draft: Draft, one: Drafted) -> str:
    if one.kind == "class":
        return one.generics
    if one.type:
        body = one.type
    elif one.is_getter:
        body = _result_of(draft, one)
    elif one.overloads:
        body = "|".join(dict.fromkeys(one.overloads))
    elif one.parameters is not None:
        body = f"({one.parameters}=>{_result_of(draft, one)})"
    else:
        body = _spell_chain(draft, one.result)
    return one.generics + (body if len(body) <= _TYPE_CAP else body[: body.rfind("|", 0, _TYPE_CAP)])


def _result_of(draft: Draft, one: Drafted) -> str:
    if one.result.startswith("="):
        return one.result[1:]
    known = [_spell_chain(draft, notation) for notation in dict.fromkeys(one.returns[:8])]
    spelt = "|".join([part for part in dict.fromkeys(known) if part not in {"?", "%"}][:3]) or "?"
    return f"%Promise<{spelt}>" if one.is_async else spelt


def _spell_chain(draft: Draft, notation: str) -> str:
    if notation in {"", "?", "%"}:
        return notation
    ported = port(draft, notation)
    if ported in {"?", "%"}:
        return ported
    is_type = ported[0] == "«" and ported.find("»") == len(ported) - 1
    return ported[1:-1] if is_type else f"`{ported}`"


def port(draft: Draft, notation: str) -> str:
    """Return a chain that means the same in other files, or `?`."""
    for _step in range(_PORT_CAP):
        found = _HEAD.match(notation)
        if found is None or len(notation) > _LENGTH_CAP:
            break
        notation = _write_out(draft, found[1], int(found[2]), notation[found.end() :])
    is_lost = _HEAD.match(notation) or len(notation) > _LENGTH_CAP or "<callback>" in notation
    return "?" if is_lost or notation[:1] == "?" or (notation[:1] == "«" and _NESTED.search(notation)) else notation


def _write_out(draft: Draft, sort: str, at: int, rest: str) -> str:
    if sort == "$":
        held = draft.locals[at]
        return held if held in {"?", "%"} else held + rest
    if sort in "@*":
        reference = draft.references[at]
        callee = reference.target + reference.name if reference.target[-1:] == "." else reference.target
        made = "" if sort == "*" else "!" if reference.kind == "new" else "()"
        return callee + made + rest
    symbol = draft.symbols[at]
    name = symbol.qualname if not symbol.is_test and " " not in symbol.qualname else "?"
    return name + ("!" if sort == "&" else "") + rest
