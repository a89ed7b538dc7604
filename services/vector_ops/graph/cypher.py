"""Which Cypher a reader may send. Access mode READ alone is not enough: `LOAD CSV` reads files and URLs of the server.

Two gates, both closed by default. The words: every query begins with a clause that reads, and no word outside quotes
is one that writes, loads, administers or calls. Then the server's own plan (`EXPLAIN` runs nothing): only operators
that read the graph may be in it, so a word that the first gate misread cannot pass the second.
"""

import re

from services.kernel.errors import InvalidRequestError

MAX_CYPHER_CHARACTERS = 10_000
_FIRST_WORDS = frozenset({"MATCH", "OPTIONAL", "WITH", "UNWIND", "RETURN", "CALL"})
_REFUSED_WORDS = frozenset(
    re.findall(
        r"\w+",
        "LOAD CSV CREATE MERGE SET DELETE DETACH REMOVE FOREACH DROP ALTER GRANT DENY REVOKE RENAME START STOP"
        " TERMINATE SHOW USE PERIODIC COMMIT TRANSACTIONS INSERT NODETACH ENABLE DRYRUN DEALLOCATE REALLOCATE EXPLAIN"
        " PROFILE CYPHER FINISH",
    )
)
_PROCEDURES = frozenset({"db.labels", "db.relationshiptypes", "db.propertykeys"})
_NAMESPACES = frozenset(
    {"point", "date", "time", "datetime", "localtime", "localdatetime", "duration", "string", "vector"}
)
_TOKEN = re.compile(
    r"""(?P<quoted>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:``|[^`])*`)"""
    r"""|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<word>\$?[^\W\d]\w*)|(?P<other>\s+|.)""",
    re.DOTALL,
)
_CALL = re.compile(r"\bCALL\b\s*(\{|\(|[\w.]+)", re.IGNORECASE)
_DOTTED_FUNCTION = re.compile(r"\b([^\W\d]\w*)\s*\.\s*[\w.\s]*\(")
_PLAIN_OPERATORS = re.compile(
    r"(?:ProduceResults|Projection|Filter|Limit|Skip|Top|PartialTop|Sort|PartialSort|Distinct|OrderedDistinct|Optional"
    r"|Unwind|Union|Apply|SemiApply|AntiSemiApply|LetSemiApply|LetAntiSemiApply|SelectOrSemiApply"
    r"|SelectOrAntiSemiApply|LetSelectOrSemiApply|LetSelectOrAntiSemiApply|RollUpApply|ConditionalApply"
    r"|AntiConditionalApply|Argument|ArgumentTracker|CartesianProduct|ValueHashJoin|NodeHashJoin|EagerAggregation"
    r"|OrderedAggregation|Eager|CacheProperties|ProjectEndpoints|ShortestPath|StatefulShortestPath|Expand|OptionalExpand"
    r"|VarLengthExpand|PruningVarLengthExpand|BFSPruningVarLengthExpand|AssertSameNode|EmptyRow|EmptyResult"
    r"|NodeCountFromCountStore|RelationshipCountFromCountStore|TriadicSelection|TriadicBuild|TriadicFilter|SubqueryForeach"
    r"|LeftOuterHashJoin|RightOuterHashJoin|AssertSameRelationship|PartitionedUnwind|TransactionApply_none"
    r"|\w*(?:NodeByLabelScan|NodeByIdSeek|NodeByElementIdSeek|AllNodesScan|NodeIndex\w*|NodeUniqueIndex\w*"
    r"|RelationshipTypeScan|RelationshipTypesScan|RelationshipIndex\w*|AllRelationshipsScan|LabelsScan\w*"
    r"|RelationshipById\w*|RelationshipByElementId\w*|UnionNodeByLabelsScan|IntersectionNodeByLabelsScan"
    r"|SubtractionNodeByLabelsScan))(?:\(\w+\))?"
)


def check_words(query: str) -> None:
    """Raise InvalidRequestError unless the words of the query only read."""
    if not query.strip():
        raise InvalidRequestError("the query is empty; give Cypher such as `MATCH (s:Symbol) RETURN s.path LIMIT 5`")
    if len(query) > MAX_CYPHER_CHARACTERS:
        raise InvalidRequestError(f"the query has {len(query)} characters; at most {MAX_CYPHER_CHARACTERS} are taken")
    # Cypher reads \uXXXX escapes as characters before anything else: they could spell a word past this gate.
    if re.search(r"\\u", query, re.IGNORECASE):
        raise InvalidRequestError("\\u escapes are not taken in Cypher; write the character itself")
    bare = _strip(query)
    # A name behind a colon is a label, a type or a value: `:SET` writes nothing.
    words = re.findall(r"[^\W\d]\w*", re.sub(r"[:|&!]\s*[^\W\d]\w*", " ", bare))
    if not words or words[0].upper() not in _FIRST_WORDS:
        raise InvalidRequestError(
            f"a query begins with one of {', '.join(sorted(_FIRST_WORDS))}; only reading is allowed"
        )
    refused = sorted({word.upper() for word in words} & _REFUSED_WORDS)
    if refused:
        raise InvalidRequestError(
            f"{refused[0]} is not allowed: only reading is; a name spelled like it stands in backticks"
        )
    if "=~" in bare:
        # Java's matcher ends neither at the timeout nor, for a hostile pattern, at all.
        raise InvalidRequestError("=~ is not allowed; use STARTS WITH, ENDS WITH or CONTAINS")
    if ";" in bare:
        raise InvalidRequestError("one query at a time: leave the semicolon out")
    _check_calls(bare)


def _strip(query: str) -> str:
    """Return the query with comments as blanks, and strings, quoted names and parameters as a pair of backticks."""
    kept = []
    for match in _TOKEN.finditer(query):
        kind, text = match.lastgroup, match.group()
        is_name = kind == "quoted" or (kind == "word" and text.startswith("$"))
        kept.append(" " if kind == "comment" else "``" if is_name else text)
    return "".join(kept)


def _check_calls(bare: str) -> None:
    for match in _CALL.finditer(bare):
        name = match.group(1).lower()
        if name not in {"{", "("} and name.rstrip(".") not in _PROCEDURES:
            raise InvalidRequestError(f"CALL {name[:60]} is not allowed; these are: {', '.join(sorted(_PROCEDURES))}")
    if re.search(r"``\s*\(", bare):
        raise InvalidRequestError("a function or procedure whose name is quoted is not allowed; write the name plainly")
    for match in _DOTTED_FUNCTION.finditer(re.sub(_CALL, " ", bare)):
        if match.group(1).lower() not in _NAMESPACES:
            raise InvalidRequestError(f"the function {match.group().rstrip('(').strip()[:60]} is not allowed")


def check_plan(operators: list[tuple[str, str]]) -> None:
    """Raise InvalidRequestError unless all operators of the server's plan, (name, details), only read the graph."""
    for operator, details in operators:
        name = operator.partition("@")[0]
        if name == "ProcedureCall" and details.partition("(")[0].strip().lower() in _PROCEDURES:
            continue
        if not _PLAIN_OPERATORS.fullmatch(name):
            raise InvalidRequestError(f"the query would run {name}, which is not allowed: only reading the graph is")
