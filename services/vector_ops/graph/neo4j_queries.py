"""The queries of the verbs in Neo4j: one statement each, answered only at the epoch that is asked for."""

from collections.abc import Sequence

from services.vector_ops.graph.neo4j_model import relation_pattern
from services.vector_ops.graph.port import Walk
from services.vector_ops.languages.world import EdgeKind

_EDGE = "[s.key, t.key, type(e), e.tier, s.path, e.line, e.column]"

DEFINITIONS = (
    "MATCH (s:Symbol) WHERE s.repo = $repo AND s.name = $name AND s.kind <> 'file' "
    "WITH s ORDER BY s.path, s.line, s.key LIMIT $limit RETURN collect(s.key) AS rows"
)
COUNT = (
    "MATCH (s:Symbol) WHERE s.repo = $repo "
    "WITH count(s) AS symbols, sum(COUNT { (s)-->() }) AS edges RETURN [symbols, edges] AS rows"
)


# The server plans a query anew for lists of another size, and that takes longer than the answer: the sizes of lists
# within a parameter are nothing to it, so keys are sent as `$asked.keys` and `$walks[2].keys`.


def at_epoch(question: str) -> str:
    """Return a statement for a question that returns `rows`: one record at the epoch asked for, none at another.

    A refresh may end amid a question, and the server reads what is committed at each moment: the epoch is looked at
    before and behind.
    """
    return (
        "MATCH (r:Repository {repo: $repo}) WHERE r.epoch = $epoch "
        f"CALL () {{ {question} }} "
        "MATCH (again:Repository {repo: $repo}) WHERE again.epoch = $epoch RETURN rows"
    )


def incoming_query(kinds: Sequence[EdgeKind]) -> str:
    """Return the edges that lead to `$asked.keys`."""
    return (
        f"MATCH (t:Symbol)<-[e:{relation_pattern(kinds)}]-(s:Symbol) WHERE t.key IN $asked.keys "
        "WITH s, t, e ORDER BY e.tier, s.path, e.line, e.column, s.key, t.key LIMIT $limit "
        f"RETURN collect({_EDGE}) AS rows"
    )


def outgoing_query(kinds: Sequence[EdgeKind]) -> str:
    """Return the edges that leave `$asked.keys`."""
    return (
        f"MATCH (s:Symbol)-[e:{relation_pattern(kinds)}]->(t:Symbol) WHERE s.key IN $asked.keys "
        "WITH s, t, e ORDER BY s.path, e.line, e.column, t.key LIMIT $limit "
        f"RETURN collect({_EDGE}) AS rows"
    )


def dependents_query(kinds: Sequence[EdgeKind], depth: int) -> str:
    """Return one query that walks layer by layer, as `ViewGraph` does; enumerating ways would grow without bound.

    Behind the first step ambiguous edges (tier 4) are not followed. Each layer is collected in a subquery, so that an
    empty one leaves the others. `t IS NOT NULL` and no label at `s` keep the planner from scanning all symbols each
    time.
    """
    relations = relation_pattern(kinds)
    parts = ["MATCH (t:Symbol) WHERE t.key IN $asked.keys WITH collect([t, 1]) AS d0, $asked.keys AS seen0"]
    for layer in range(1, depth + 1):
        followed = "" if layer == 1 else "AND e.tier < 4 "
        before = layer - 1
        parts.append(
            f"CALL (d{before}, seen{before}) {{ UNWIND d{before} AS o WITH o[0] AS t, o[1] AS far, "
            f"seen{before} AS seen WHERE t IS NOT NULL MATCH (t)<-[e:{relations}]-(s) "
            f"WHERE NOT s.key IN seen {followed}"
            "WITH s, min(CASE WHEN e.tier > far THEN e.tier ELSE far END) AS tier "
            f"RETURN collect([s, tier, {layer}]) AS d{layer}, collect(s.key) AS k{layer} }}"
        )
        if layer < depth:
            parts.append(f"WITH *, seen{before} + k{layer} AS seen{layer}")
    together = " + ".join(f"d{layer}" for layer in range(1, depth + 1))
    parts.append(
        f"UNWIND {together} AS o WITH o[0] AS s, o[1] AS tier, o[2] AS distance "
        "ORDER BY distance, tier, s.path, s.line, s.key LIMIT $limit RETURN collect([s.key, distance, tier]) AS rows"
    )
    return " ".join(parts)


def walks_query(walks: Sequence[Walk]) -> str:
    """Return one query for all walks: a list of walks, each a list of steps, each a list of edges.

    Of walk 2, `b2_0` are its symbols with the score 1, `e2_1` the edges that its first step finds with the score that
    they begin with, `b2_1` where its second step begins, and so on. `$walks` has their keys and scores.
    """
    parts = [part for number, walk in enumerate(walks) for part in _walk_parts(f"{number}", walk)]
    trails = ", ".join(
        f"[{', '.join(f'e{number}_{step}' for step in range(1, len(walk.steps) + 1))}]"
        for number, walk in enumerate(walks)
    )
    return f"{' '.join(parts)} RETURN [walk IN [{trails}] | [step IN walk | [o IN step | o[1]]]] AS rows"


def _walk_parts(walk_number: str, walk: Walk) -> list[str]:
    asked = f"MATCH (t:Symbol) WHERE t.key IN $walks[{walk_number}].keys"
    parts = [f"CALL () {{ {asked} RETURN collect([t, 1.0]) AS b{walk_number}_0 }}"]
    for step, kinds in enumerate(walk.steps, 1):
        begun, edges, sources = (
            f"b{walk_number}_{step - 1}",
            f"e{walk_number}_{step}",
            f"b{walk_number}_{step}",
        )
        followed = "" if step == 1 or walk.follows_ambiguous else "WHERE e.tier < 4 "
        parts.append(
            f"CALL ({begun}) {{ UNWIND {begun} AS o WITH o[0] AS t, o[1] AS far WHERE t IS NOT NULL "
            f"MATCH (t)<-[e:{relation_pattern(kinds)}]-(s) {followed}"
            "WITH s, t, e, far ORDER BY e.tier, s.path, e.line, e.column, s.key, t.key LIMIT $most_edges "
            f"RETURN collect([s, {_EDGE}, far]) AS {edges} }}"
        )
        if step < len(walk.steps):
            parts.append(
                f"CALL ({edges}) {{ UNWIND {edges} AS o WITH o[0] AS s, o[1] AS e, o[2] AS far "
                f"WHERE NOT s.key IN $walks[{walk_number}].keys "
                f"WITH s, max(far * $walks[{walk_number}].kinds[e[2]] * $walks[{walk_number}].tiers[e[3]]) AS score "
                "ORDER BY score DESC, s.key LIMIT $most_followed "
                f"WITH s, score WHERE s.kind <> 'file' RETURN collect([s, score]) AS {sources} }}"
            )
    return parts
