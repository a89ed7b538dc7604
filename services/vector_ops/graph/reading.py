"""Runs one foreign Cypher query that only reads, with a timeout and a cap on rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from services.kernel.errors import DeadlineExceededError, InvalidRequestError
from services.vector_ops.graph.cypher import check_plan, check_words
from services.vector_ops.graph.neo4j_model import Keys
from services.vector_ops.graph.neo4j_store import reaching

if TYPE_CHECKING:
    from neo4j import Driver, Session

MAX_ROWS = 1_000
_MAX_TEXT = 1_000
_MAX_DEPTH = 4


def run_cypher(
    driver: "Driver", root: str, query: str, *, timeout_s: float, max_rows: int
) -> tuple[list[dict[str, object]], bool]:
    """Return the rows, as values that JSON knows, and whether the cap cut them.

    `$repo`, the number of the repository in the graph, and `$root`, its path, are given to the query. Raises
    InvalidRequestError for a query that is wrong or does more than reading, GraphStoreAwayError.
    """
    check_words(query)
    from neo4j import READ_ACCESS, Query  # noqa: PLC0415 - the driver loads when it is configured
    from neo4j.exceptions import AuthError, ClientError  # noqa: PLC0415

    about = {"repo": Keys(root).repo, "root": root}
    with reaching(), driver.session(default_access_mode=READ_ACCESS, fetch_size=max_rows + 1) as session:
        try:
            check_plan(_explain(session, query, about, timeout_s))
            result = session.run(Query(query, timeout=timeout_s), about)
            rows = []
            for record in result:
                rows.append({key: _plain(record[key], 0) for key in record.keys()})  # noqa: SIM118 - a record iterates over values
                if len(rows) > max_rows:
                    break
        except AuthError:
            raise  # the configuration is at fault, not the query
        except ClientError as error:
            if "Terminated" in str(error.code) or "TimedOut" in str(error.code):
                raise DeadlineExceededError(f"the query took longer than {timeout_s:g} s; narrow it") from None
            text = " ".join(str(error.message).split())[:300]
            raise InvalidRequestError(f"the graph store refuses the query: {text}") from None
    return rows[:max_rows], len(rows) > max_rows


def _explain(session: "Session", query: str, about: Mapping[str, object], timeout_s: float) -> list[tuple[str, str]]:
    """Return the operators of the server's plan with their details; nothing is run."""
    from neo4j import Query  # noqa: PLC0415

    summary = session.run(Query(f"EXPLAIN {query}", timeout=timeout_s), dict(about)).consume()
    if summary.query_type != "r" or summary.plan is None:
        raise InvalidRequestError("the query does more than read; only reading is allowed")
    found, waiting = [], [summary.plan]
    while waiting:
        plan = waiting.pop()
        found.append((str(plan["operatorType"]), str(plan["args"].get("Details", ""))))
        waiting.extend(plan.get("children") or ())
    return found


def _plain(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    if depth >= _MAX_DEPTH:
        return "..."
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value[:_MAX_TEXT]]
    if isinstance(value, Mapping):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    return _plain_graph(value, depth)


def _plain_graph(value: object, depth: int) -> object:
    from neo4j.graph import Entity, Path  # noqa: PLC0415

    if isinstance(value, Path):
        return {"nodes": _plain(value.nodes, depth), "relationships": _plain(value.relationships, depth)}
    if isinstance(value, Entity):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    return str(value)[:_MAX_TEXT]
