"""How often edits with defects are applied right, refused, or applied wrong, on real sources; writes edits.json.

    python tests/benchmarks/edit_corpus.py

Each case takes a block of a real Python or JavaScript file that stands there once, changes one of its lines, and gives
the edit a defect of the kind that models make, in SEARCH and REPLACE alike, as they copy. The right result is known.
The sources are this repository's and those installed beside its interpreter; totals differ between machines.
"""

import json
import platform
import random
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from services.edits.text_blocks import Block, apply_blocks  # noqa: E402 - the path is set first
from services.edits.text_diff import parse_diff  # noqa: E402
from services.edits.text_errors import TextEditRefusedError  # noqa: E402
from services.edits.text_hunks import apply_diff  # noqa: E402

CASES = 150
SEED = 4
MAX_FILES = 400
_QUOTES = {"'": "\u2019", '"': "\u201d", "-": "\u2013"}
_MIN_LINES, _MAX_LINES = 40, 3000


@dataclass(frozen=True)
class Change:
    """A change of one line of a block: the file before and after, the block's old and new lines, all without ends."""

    lines: tuple[str, ...]
    start: int
    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def before(self) -> str:
        return _join(self.lines)

    @property
    def after(self) -> str:
        return _join((*self.lines[: self.start], *self.new, *self.lines[self.start + len(self.old) :]))


@dataclass(frozen=True)
class Case:
    """An edit to try: a block, or a diff. `right` is the result that would be right; None: only a refusal is."""

    kind: str
    before: str
    search: str
    replace: str
    right: str | None
    diff: str = ""

    def run(self) -> str | None:
        """Return the new text, None when the edit was refused."""
        files = {"file": self.before.encode()}
        try:
            done = (
                apply_diff(files, parse_diff(self.diff))
                if self.diff
                else apply_blocks(files, [Block("file", self.search, self.replace)])
            )
        except TextEditRefusedError:
            return None
        content = done.contents["file"]
        return content.decode() if content is not None else ""

    def judge(self) -> str:
        """Return `right`, `refused` or `wrong`."""
        result = self.run()
        if result is None:
            return "refused"
        return "right" if result == self.right else "wrong"


def _join(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def find_sources(*, is_wide: bool) -> list[Path]:
    """Return real source files: this repository's, and when wide also the installed libraries'."""
    own = [*ROOT.glob("services/**/*.py"), *ROOT.glob("cli/**/*.py")]
    if not is_wide:
        return sorted(own)
    place = Path(sysconfig.get_path("purelib"))
    scripts = [path for path in place.rglob("*.js") if not path.name.endswith(".min.js")]
    rng = random.Random(SEED)
    python = sorted(place.rglob("*.py"))
    return [*sorted(own), *rng.sample(python, min(len(python), MAX_FILES)), *sorted(scripts)[:MAX_FILES]]


def read_lines(path: Path) -> tuple[str, ...]:
    """Return a file's lines, none when it is no plain text of a fair size."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return ()
    lines = text.removeprefix("\ufeff").split("\n")[:-1]
    is_fair = _MIN_LINES <= len(lines) <= _MAX_LINES and "\r" not in text and "\0" not in text
    return tuple(lines) if is_fair and max(map(len, lines)) < 500 else ()  # no generated files


def make_changes(files: Sequence[tuple[str, ...]], rng: random.Random) -> Iterator[Change]:
    """Yield changes of blocks that stand once in their file, without end."""
    while True:
        lines = rng.choice(files)
        size = rng.randint(5, 14)
        start = rng.randrange(len(lines) - size)
        old = lines[start : start + size]
        filled = [index for index, line in enumerate(old) if line.strip()]
        if not old[0].strip() or not old[-1].strip() or len(filled) < 4:
            continue
        if _join(lines).count(_join(old)) != 1 or any(line.strip() == "..." for line in old):
            continue
        yield Change(lines, start, old, _change_line(old, rng.choice(filled[1:-1]), rng))


def _change_line(old: tuple[str, ...], index: int, rng: random.Random) -> tuple[str, ...]:
    indent = old[index][: len(old[index]) - len(old[index].lstrip())]
    ways = {
        "replace": (*old[:index], f"{indent}changed_{rng.randrange(10**6)} = 1", *old[index + 1 :]),
        "insert": (*old[: index + 1], f"{indent}added_{rng.randrange(10**6)} = 1", *old[index + 1 :]),
        "remove": (*old[:index], *old[index + 1 :]),
    }
    return ways[rng.choice(sorted(ways))]


# -- defects: each returns a case, or None when the change cannot have it

Defect = Callable[[Change, random.Random], Case | None]


def _case(kind: str, change: Change, search: Sequence[str], replace: Sequence[str], *, is_right: bool = True) -> Case:
    return Case(kind, change.before, _join(search), _join(replace), change.after if is_right else None)


def none(change: Change, _rng: random.Random) -> Case:
    return _case("none", change, change.old, change.new)


def trailing(change: Change, rng: random.Random) -> Case:
    def spoil(lines: Sequence[str]) -> list[str]:
        return [line + " " * rng.choice([0, 1, 2, 4]) for line in lines]

    return _case("trailing spaces", change, spoil(change.old), change.new)


def file_trailing(change: Change, rng: random.Random) -> Case:
    spoiled = tuple(line + rng.choice(["", " ", "\t", "   "]) for line in change.old)
    kept = dict(zip(change.old, spoiled, strict=True))
    new = tuple(kept.get(line, line) for line in change.new)
    if len(kept) != len(change.old):
        new = change.new
        spoiled = change.old
    lines = (*change.lines[: change.start], *spoiled, *change.lines[change.start + len(spoiled) :])
    whole = Change(lines, change.start, spoiled, new)
    return Case("trailing spaces in the file", whole.before, _join(change.old), _join(change.new), whole.after)


def _common_indent(lines: Sequence[str]) -> int:
    return min(len(line) - len(line.lstrip(" ")) for line in lines if line.strip())


def outdent(change: Change, _rng: random.Random) -> Case | None:
    depth = _common_indent(change.old)
    if depth == 0:
        return None
    return _case(
        "uniform outdent", change, [line[depth:] for line in change.old], [line[depth:] for line in change.new]
    )


def indent(change: Change, _rng: random.Random) -> Case:
    def deepen(lines: Sequence[str]) -> list[str]:
        return [f"    {line}" if line.strip() else line for line in lines]

    return _case("uniform indent", change, deepen(change.old), deepen(change.new))


def first_line(change: Change, _rng: random.Random) -> Case | None:
    if change.old[0] != change.new[0] or not change.old[0].startswith(" "):
        return None
    search, replace = list(change.old), list(change.new)
    search[0] = replace[0] = search[0].lstrip()
    return _case("first line unindented", change, search, replace)


def tabs(change: Change, _rng: random.Random) -> Case | None:
    depths = {len(line) - len(line.lstrip(" ")) for line in change.old if line.strip()}
    if depths == {0} or any(depth % 4 for depth in depths):
        return None

    def spoil(lines: Sequence[str]) -> list[str]:
        return ["\t" * ((len(line) - len(line.lstrip(" "))) // 4) + line.lstrip(" ") for line in lines]

    return _case("tabs for spaces", change, spoil(change.old), spoil(change.new))


def spaces(change: Change, rng: random.Random) -> Case | None:
    """Turn a file that is indented with spaces into one with tabs; the edit still has spaces."""
    spoiled = tabs(change, rng)
    if spoiled is None or any((len(line) - len(line.lstrip(" "))) % 4 for line in change.lines):
        return None

    def tabbed(text: str) -> str:
        return _join(
            ["\t" * ((len(row) - len(row.lstrip(" "))) // 4) + row.lstrip(" ") for row in text.split("\n")[:-1]]
        )

    return Case("spaces for tabs", tabbed(change.before), _join(change.old), _join(change.new), tabbed(change.after))


def elision(change: Change, _rng: random.Random) -> Case | None:
    same = 0
    while same < min(len(change.old), len(change.new)) and change.old[-1 - same] == change.new[-1 - same]:
        same += 1
    if same < 4 or len(change.old) - same < 1:
        return None
    cut = len(change.old) - same
    search = [*change.old[: cut + 1], "...", *change.old[-2:]]
    replace = [*change.new[: len(change.new) - same + 1], "...", *change.new[-2:]]
    return _case("... elision", change, search, replace)


def crlf(change: Change, _rng: random.Random) -> Case:
    before, after = change.before.replace("\n", "\r\n"), change.after.replace("\n", "\r\n")
    return Case("CRLF file", before, _join(change.old), _join(change.new), after)


def crlf_outdent(change: Change, rng: random.Random) -> Case | None:
    case = outdent(change, rng)
    if case is None or case.right is None:
        return None
    before, after = case.before.replace("\n", "\r\n"), case.right.replace("\n", "\r\n")
    return Case("CRLF file, outdent", before, case.search, case.replace, after)


def leading_blank(change: Change, _rng: random.Random) -> Case:
    return _case("leading blank line", change, ["", *change.old], ["", *change.new])


def typo(change: Change, rng: random.Random) -> Case:
    search = list(change.old)
    index = rng.choice([at for at, line in enumerate(search) if line.strip()])
    line = search[index]
    at = rng.choice([place for place, char in enumerate(line) if not char.isspace()])
    search[index] = line[:at] + ("x" if line[at] != "x" else "y") + line[at + 1 :]
    return _case("one-character typo", change, search, change.new, is_right=False)


def dropped_line(change: Change, rng: random.Random) -> Case:
    index = rng.choice([at for at, line in enumerate(change.old) if line.strip() and 0 < at < len(change.old) - 1])
    search = [line for at, line in enumerate(change.old) if at != index]
    return _case("dropped line", change, search, change.new, is_right=False)


def stale_middle(change: Change, rng: random.Random) -> Case:
    search = list(change.old)
    search[rng.choice([at for at, line in enumerate(search) if line.strip()][1:-1])] = "    something_else = True"
    return _case("stale middle", change, search, change.new, is_right=False)


def twice(change: Change, _rng: random.Random) -> Case:
    again = Change((*change.lines, "", *change.old), change.start, change.old, change.new)
    return _case("block stands twice", again, change.old, change.new, is_right=False)


def unicode_punctuation(change: Change, rng: random.Random) -> Case | None:
    rows = [at for at, line in enumerate(change.old) if any(quote in line for quote in _QUOTES)]
    if not rows:
        return None
    search = list(change.old)
    row = rng.choice(rows)
    search[row] = "".join(_QUOTES.get(char, char) for char in search[row])
    return _case("unicode punctuation", change, search, change.new, is_right=False)


def sent_again(change: Change, _rng: random.Random) -> Case | None:
    if change.after.count(_join(change.old)):
        return None
    return Case("the same edit again", change.after, _join(change.old), _join(change.new), None)


def inserted_again(change: Change, _rng: random.Random) -> Case:
    search = [change.old[-1]]
    new = [*search, "added_below = 1"]
    stop = change.start + len(change.old)
    after = (*change.lines[:stop], "added_below = 1", *change.lines[stop:])
    return Case("the same insertion again", _join(after), _join(search), _join(new), None)


def clipped_line(change: Change, rng: random.Random) -> Case | None:
    """A single line whose first or last character was lost, while REPLACE has the whole new line."""
    line = rng.choice([each for each in change.old if len(each.strip()) > 4])
    stripped = line.strip()
    search = rng.choice([stripped[:-1], stripped[1:], line[:-1]])
    if search.strip() in {each.strip() for each in change.lines}:
        return None  # it is a whole line of its own
    whole = f"changed({stripped[-1]}" if rng.random() < 0.5 else f"{stripped[0]}changed{stripped[-1]}"
    return Case("one line, a character lost", change.before, search, whole, None)


def _diff_body(change: Change) -> list[str]:
    start = next(at for at in range(len(change.old)) if at >= len(change.new) or change.old[at] != change.new[at])
    tail = 0
    limit = min(len(change.old), len(change.new)) - start
    while tail < limit and change.old[-1 - tail] == change.new[-1 - tail]:
        tail += 1
    kept = change.old[len(change.old) - tail :]
    old, new = change.old[start : len(change.old) - tail], change.new[start : len(change.new) - tail]
    return [
        *(f" {line}" for line in change.old[:start]),
        *(f"-{line}" for line in old),
        *(f"+{line}" for line in new),
        *(f" {line}" for line in kept),
    ]


def _diff_case(kind: str, change: Change, body: Sequence[str], head: str, *, is_right: bool = True) -> Case:
    diff = _join(["--- a/file", "+++ b/file", head, *body])
    return Case(kind, change.before, "", "", change.after if is_right else None, diff)


def diff_wrong_numbers(change: Change, rng: random.Random) -> Case:
    head = f"@@ -{rng.randint(1, 900)},{rng.randint(1, 9)} +{rng.randint(1, 900)},{rng.randint(1, 9)} @@"
    return _diff_case("diff, wrong numbers", change, _diff_body(change), head)


def diff_trailing(change: Change, rng: random.Random) -> Case:
    body = [line + " " * rng.choice([0, 1, 3]) if line[0] == " " else line for line in _diff_body(change)]
    return _diff_case("diff, trailing spaces in context", change, body, "@@ -1,4 +1,4 @@")


def diff_twice(change: Change, _rng: random.Random) -> Case:
    again = Change((*change.lines, "", *change.old), change.start, change.old, change.new)
    head = f"@@ -{change.start + 2},5 +{change.start + 2},5 @@"
    return _diff_case("diff, block stands twice, wrong line", again, _diff_body(change), head, is_right=False)


def diff_typo(change: Change, rng: random.Random) -> Case:
    body = _diff_body(change)
    index = rng.choice([at for at, line in enumerate(body) if line[0] != "+" and line[1:].strip()])
    line = body[index]
    at = rng.choice([place for place, char in enumerate(line) if place and not char.isspace()])
    body[index] = line[:at] + ("x" if line[at] != "x" else "y") + line[at + 1 :]
    return _diff_case("diff, one-character typo", change, body, f"@@ -{change.start + 1},5 +1,5 @@", is_right=False)


DEFECTS: tuple[Defect, ...] = (
    none, trailing, file_trailing, outdent, indent, first_line, tabs, spaces, elision, crlf, crlf_outdent,
    leading_blank, typo, dropped_line, stale_middle, twice, unicode_punctuation, sent_again, inserted_again,
    clipped_line, diff_wrong_numbers, diff_trailing, diff_twice, diff_typo,
)  # fmt: skip


def make_cases(defect: Defect, count: int, files: Sequence[tuple[str, ...]], seed: int = SEED) -> list[Case]:
    """Return `count` cases of one defect, the same for the same seed and sources."""
    rng = random.Random(f"{seed} {defect.__name__}")
    cases: list[Case] = []
    for change in make_changes(files, rng):
        case = defect(change, rng)
        if case is not None and case.right != case.before:
            cases.append(case)
        if len(cases) == count:
            break
    return cases


def measure(cases: Sequence[Case]) -> dict[str, float | int | str]:
    """Return how the cases of one kind ended, and how long the applied and the refused ones took."""
    times: dict[str, list[float]] = {"right": [], "refused": [], "wrong": []}
    for case in cases:
        outcome = case.judge()
        best = min(_time(case) for _ in range(3))
        times[outcome].append(best)
    row: dict[str, float | int | str] = {"kind": cases[0].kind, "cases": len(cases)}
    row |= {outcome: len(taken) for outcome, taken in times.items()}
    for outcome in ("right", "refused"):
        if times[outcome]:
            row[f"{outcome}_ms_median"] = round(statistics.median(times[outcome]) * 1000, 3)
            row[f"{outcome}_ms_max"] = round(max(times[outcome]) * 1000, 3)
    return row


def _time(case: Case) -> float:
    started = time.perf_counter()
    case.run()
    return time.perf_counter() - started


def measure_nearest() -> dict[str, float | int]:
    """Return how long a refusal with nearest lines takes in a file of 5,000 lines."""
    text = "".join(f"def function_{at}(value):\n    return value + {at}\n" for at in range(2500))
    case = Case("nearest", text, "def function_1234(values):\n    return values - 1234\n", "x\n", None)
    return {"lines": 5000, "ms": round(min(_time(case) for _ in range(5)) * 1000, 2)}


def main() -> None:
    """Measure everything, print a table, write edits.json."""
    files = [lines for path in find_sources(is_wide=True) if (lines := read_lines(path))]
    rows = [measure(make_cases(defect, CASES, files)) for defect in DEFECTS]
    for row in rows:
        print(f"{row['kind']:40} right {row['right']:>4}  refused {row['refused']:>4}  wrong {row['wrong']:>4}")
    report = {
        "python": platform.python_version(),
        "seed": SEED,
        "source_files": len(files),
        "median_lines": statistics.median(len(lines) for lines in files),
        "rows": rows,
        "nearest": measure_nearest(),
    }
    (Path(__file__).parent / "edits.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
