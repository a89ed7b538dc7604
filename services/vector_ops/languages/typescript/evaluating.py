"""What chains turn out to be: receivers, callees, results of calls."""

from services.vector_ops.languages.typescript.calls import Calls
from services.vector_ops.languages.typescript.globals import is_declarable
from services.vector_ops.languages.typescript.notation import split_chain
from services.vector_ops.languages.typescript.shapes import OUTSIDE, Context, Instance, Module, Shapes, Value
from services.vector_ops.languages.typescript.types import DEPTH_CAP
from services.vector_ops.languages.world import SourceFile, SymbolAt, World

_FUEL = 400


class Evaluator(Calls):
    """Evaluates chains and types for the resolution of one file."""

    def __init__(self, file: SourceFile, world: World) -> None:
        super().__init__(file, world)
        self._chains: dict[tuple[str, str], Shapes] = {}
        self._results: dict[int, Shapes] = {}
        self._callees: dict[int, Shapes] = {}
        self._own = Context(file.path)

    def resolve(self, at: int) -> Shapes:
        """Return what reference `at` calls or names, with a fresh allowance of work."""
        self._fuel = _FUEL
        return self.find_callee(at)

    def find_callee(self, at: int) -> Shapes:
        """Return what reference `at` of the file calls or names."""
        found = self._callees.get(at)
        if found is None:
            self._callees[at] = ()
            reference = self.file.facts.references[at]
            target = reference.target
            chain = target + reference.name if target[-1:] == "." else target
            found = self._callees[at] = self.find_chain(chain, self._own)
        return found

    def _find_result(self, at: int) -> Shapes:
        found = self._results.get(at)
        if found is None:
            self._results[at] = ()
            callee = self.find_callee(at)
            is_new = self.file.facts.references[at].kind == "new"
            found = self._results[at] = self.construct(callee) if is_new else self.call(callee)
        return found

    def find_chain(self, chain: str, context: Context) -> Shapes:
        """Return what a chain gives, read in a context."""
        if context.generics is None and context.this is None:
            key = (context.path, chain)
            found = self._chains.get(key)
            if found is None:
                self._chains[key] = ()
                found = self._chains[key] = self._walk_chain(chain, context)
            return found
        return self._walk_chain(chain, context)

    def _walk_chain(self, chain: str, context: Context) -> Shapes:
        if self._depth > DEPTH_CAP:
            return ()
        self._depth += 1
        head, steps = split_chain(chain)
        shapes = self._find_head(head, context)
        for step in steps:
            if not shapes:
                break
            shapes = self._take_step(shapes, step)
        self._depth -= 1
        return shapes

    def _find_head(self, head: str, context: Context) -> Shapes:
        sort = head[0]
        if sort == "«":
            return self.find_type(self.read_notation(head[1:-1]), context)
        if sort == "%":
            return self.names.find_global(head[1:]) if is_declarable(head) else OUTSIDE
        if sort == "'":
            target = self.names.modules.locate(context.path, head[1:-1])
            return (Module(target),) if target else OUTSIDE
        if sort in "#$@&*":
            return self.find_numbered(sort, head[1:]) if context.path == self.file.path else ()
        if head == "?":
            return ()
        return self.names.find_name(context.path, head)

    def find_numbered(self, sort: str, number: str) -> Shapes:
        if not number.isdigit():
            return ()
        at, facts = int(number), self.file.facts
        if sort == "$":
            return self.find_chain(facts.notes[at], self._own) if at < len(facts.notes) else ()
        if sort in "@*":
            if at >= len(facts.references):
                return ()
            return self._find_result(at) if sort == "@" else self.find_callee(at)
        if at >= len(facts.symbols):
            return ()
        one = SymbolAt(self.file.path, at, facts.symbols[at])
        return (Value(one, self._own),) if sort == "#" else (Instance(one, self._own),)

    def _take_step(self, shapes: Shapes, step: str) -> Shapes:
        sort = step[0]
        if sort == ".":
            return self.find_members(shapes, step[1:])
        if sort in "(!":
            return self.call(shapes) if sort == "(" else self.construct(shapes)
        if sort == "[":
            return self._take_index(shapes, step[1:-1])
        if sort == "~":
            return self.wait_for(shapes)
        if sort == "^":
            return self.list_bases(shapes)
        return self.take_parameter(shapes, int(step[1:]))

    def _take_index(self, shapes: Shapes, index: str) -> Shapes:
        if index[:1] == "=":
            return self.index(shapes, None) or self.find_keyed(shapes, index[1:])
        return self.index(shapes, int(index) if index else None)
