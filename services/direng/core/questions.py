"""Questions that the index answers without a model: where, who calls, what breaks, search; pure."""

import re
from dataclasses import dataclass

from services.vector_ops.models import Hit, IndexAnswer, QueryKind, Stamp

MAX_LINES = 20
_NAME = r"[`'\"]?(?P<name>[^\W\d][\w.]*)(?:\(\))?[`'\"]?"
_KIND = r"(?:(?:the|a)\s+)?(?:(?:function|method|class|symbol|constant|variable)\s+)?"
_END = r"\s*\??\.?$"
_BREAKS = r"what\s+(?:breaks|would\s+break|is\s+affected|depends\s+on|happens)"
_IF_CHANGED = r"(?:(?:if|when)\s+(?:(?:i|we|you)\s+(?:change|touch|remove|delete|rename)\s+)?)?"
_PATTERNS: tuple[tuple[QueryKind, str], ...] = (
    (
        QueryKind.WHERE_DEFINED,
        rf"where(?:'s|\s+is|\s+are)\s+{_KIND}{_NAME}(?:\s+(?:defined|declared|implemented))?{_END}",
    ),
    (QueryKind.WHERE_DEFINED, rf"where\s+(?:do|does|did)\s+(?:we|you|it)\s+define\s+{_KIND}{_NAME}{_END}"),
    (
        QueryKind.WHERE_DEFINED,
        rf"(?:where|definition\s+of|go\s+to|show\s+me\s+the\s+definition\s+of)\s+{_KIND}{_NAME}{_END}",
    ),
    (QueryKind.WHO_CALLS, rf"who\s+(?:calls|uses|invokes)\s+{_KIND}{_NAME}{_END}"),
    (QueryKind.WHO_CALLS, rf"(?:who|callers|users|usages)\s+(?:of\s+)?{_KIND}{_NAME}{_END}"),
    (QueryKind.WHO_CALLS, rf"(?:what|which\s+\w+)\s+(?:calls?|uses?)\s+{_KIND}{_NAME}{_END}"),
    (QueryKind.WHO_CALLS, rf"where\s+is\s+{_KIND}{_NAME}\s+(?:called|used){_END}"),
    (
        QueryKind.IMPACT_SET,
        rf"{_BREAKS}\s+{_IF_CHANGED}{_KIND}{_NAME}(?:\s+changes)?{_END}",
    ),
    (QueryKind.IMPACT_SET, rf"(?:impact|impact\s+set)\s+(?:of\s+)?(?:changing\s+)?{_KIND}{_NAME}{_END}"),
    (
        QueryKind.SEARCH,
        r"(?:search|find|grep|look\s+for|search\s+for)\s+(?:for\s+)?(?:code\s+(?:that|for|like)\s+)?(?P<words>.+?)\s*$",
    ),
    (QueryKind.SEARCH, r"show\s+(?:me\s+)?code\s+(?:that|for|like)\s+(?P<words>.+?)\s*\??$"),
)
_ASKS = re.compile(
    r"(?:how|why|what(?:'s)?|when|which|who|whose|where|does|do|did|is|are|was|were|has|have|explain|describe|summari[sz]e"
    r"|tell\s+me|give\s+me\s+an?\s+overview|walk\s+me\s+through)\b",
    re.IGNORECASE,
)
_ASKS_FOR_WORK = re.compile(
    r"(?:please\b|(?:can|could|would|will)\s+(?:you|we)\b(?!\s+(?:explain|tell|describe|summari[sz]e|say))"
    r"|do\s+(?:it|the|this|that)\b|what\s+about\b|how\s+about\b)",
    re.IGNORECASE,
)
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE | re.DOTALL)) for kind, pattern in _PATTERNS)
_HEADS = {
    QueryKind.WHERE_DEFINED: "{text} is defined here",
    QueryKind.WHO_CALLS: "{text} is used here",
    QueryKind.IMPACT_SET: "a change of {text} can touch these places",
    QueryKind.SEARCH: "places that match {text}",
}
_NONE = {
    QueryKind.WHERE_DEFINED: "{text} is not defined in this repository",
    QueryKind.WHO_CALLS: "nothing in this repository uses {text}",
    QueryKind.IMPACT_SET: "nothing in this repository depends on {text}",
    QueryKind.SEARCH: "nothing matches {text}",
}


@dataclass(frozen=True)
class IndexQuestion:
    """A question for the index. `is_fallback`: words that the index was not made for; only near places come back.

    `problem` says then why no model answers.
    """

    kind: QueryKind
    text: str
    is_fallback: bool = False
    problem: str = "no model is configured"


def read_question(text: str) -> IndexQuestion | None:
    """Return the index question in `text`, or None when it is something else."""
    plain = " ".join(text.split())
    for kind, pattern in _COMPILED:
        match = pattern.fullmatch(plain)
        if match is not None:
            found = match.groupdict()
            return IndexQuestion(kind, found.get("name") or found.get("words") or plain)
    return None


def is_question(text: str) -> bool:
    """Return whether words ask something, rather than ask for something to be done.

    `can you rename a to b?` asks for work; so does anything that no question word begins and no mark ends.
    """
    plain = " ".join(text.split())
    if _ASKS_FOR_WORK.match(plain):
        return False
    return bool(_ASKS.match(plain)) or plain.endswith("?")


def format_answer(question: IndexQuestion, answer: IndexAnswer) -> str:
    """Return the answer as lines `path:line`, under one head line and over the stamp."""
    stamp = describe_stamp(answer.stamp)
    if not answer.hits:
        return f"{_NONE[question.kind].format(text=question.text)}\n({stamp})"
    head = _HEADS[question.kind].format(text=question.text)
    if question.is_fallback:
        head = f"{question.problem}, so this is a search for your words, no answer; nearest places"
    lines = [f"  {format_hit(hit)}" for hit in answer.hits[:MAX_LINES]]
    rest = len(answer.hits) - MAX_LINES
    if rest > 0:
        lines.append(f"  ... and {'at least ' if answer.is_truncated else ''}{rest} more")
    elif answer.is_truncated:
        lines.append("  ... and more")
    return "\n".join([f"{head}:", *lines, f"({stamp})"])


def format_hit(hit: Hit) -> str:
    """Return one place: where, what, and how sure."""
    note = ", ".join(part for part in (hit.tier.value if hit.tier else "", hit.reason) if part)
    snippet = " ".join(hit.snippet.split())[:120]
    return f"{hit.path}:{hit.line}  {snippet}" + (f"  [{note}]" if note else "")


def describe_stamp(stamp: Stamp) -> str:
    """Return in words what an answer was computed from (invariant 9)."""
    state = "fresh" if stamp.is_fresh else f"{stamp.lag_s:.0f} s behind {stamp.head_commit[:7]}"
    dirty = len(stamp.dirty_paths)
    files = f"; {dirty} uncommitted file{'' if dirty == 1 else 's'} read from disk" if dirty else ""
    return f"index at {stamp.indexed_commit[:7]}, {state}{files}"
