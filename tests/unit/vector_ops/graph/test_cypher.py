"""Which Cypher a reader may send: the words, then the server's plan."""

import pytest

from services.kernel.errors import InvalidRequestError
from services.vector_ops.graph.cypher import MAX_CYPHER_CHARACTERS, check_plan, check_words

READING = [
    "MATCH (s:Symbol {repo: $repo})<-[e:CALLS]-(c) RETURN c.name, type(e) LIMIT 2",
    "MATCH p = (s:Symbol)-[:CALLS*1..2]->(t) RETURN p LIMIT 1",
    "match (s) where exists { (s)-[:CALLS]->() } return count(*)",
    "UNWIND range(1, 3) AS x RETURN x UNION RETURN 5 AS x",
    "CALL db.labels() YIELD label RETURN label",
    "MATCH (s) CALL (s) { MATCH (s)-->(t) RETURN count(t) AS c } RETURN s.name, c",
    "RETURN date() AS d, duration.between(date('2020-01-01'), date()) AS since",
    "MATCH (s) WHERE s.name = 'LOAD CSV' OR s.name = \"it's; DELETE\" RETURN s // CREATE",
    "MATCH (s)-[:SET|DELETE]->(t) RETURN s.`create`, $load",
    "RETURN {a: 1} AS map",
    "OPTIONAL MATCH (s) RETURN s",
    "WITH 1 AS x RETURN x",
]
MORE_THAN_READING = [
    "LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l",
    "WITH 1 AS x LOAD/**/CSV FROM 'file:///etc/passwd' AS l RETURN l",
    "WITH 1 AS x \\u004cOAD CSV FROM 'file:///etc/passwd' AS l RETURN l",
    "CALL { LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l } RETURN l",
    "CREATE (n) RETURN n",
    "MATCH (n) DETACH DELETE n",
    "MATCH (n) SET n.x = 1 RETURN n",
    "MATCH (n) REMOVE n.x RETURN n",
    "MATCH (n) FOREACH (x IN [1] | MERGE (:A))",
    "MATCH (n) CALL { WITH n DELETE n } IN TRANSACTIONS RETURN 1",
    "CALL dbms.listConfig()",
    "CALL `dbms`.`listConfig`()",
    "CALL `dbms.listConfig`()",
    "CALL/**/dbms.listConfig()",
    "CALL db.labels() YIELD label CALL dbms.components() YIELD name RETURN name",
    "RETURN apoc.load.json('file:///x')",
    "RETURN {a: apoc.util.sleep(1)}",
    "RETURN `apoc`.`util`.`sleep`(1)",
    "RETURN apoc . util . sleep (1)",
    "SHOW SETTINGS",
    "USE system MATCH (n) RETURN n",
    "EXPLAIN MATCH (n) RETURN n",
    "PROFILE MATCH (n) RETURN n",
    "CYPHER 25 MATCH (n) RETURN n",
    "MATCH (n) RETURN n; MATCH (m) RETURN m",
    "MATCH (n) WHERE n.name =~ '(a+)+b' RETURN n",
    "TERMINATE TRANSACTIONS 'x'",
    "",
    " \n",
    "'MATCH'",
    "x" * (MAX_CYPHER_CHARACTERS + 1),
]


@pytest.mark.parametrize("query", READING)
def test_a_query_that_only_reads_passes_the_words(query):
    check_words(query)


@pytest.mark.parametrize("query", MORE_THAN_READING)
def test_a_query_that_does_more_is_refused_in_one_line(query):
    with pytest.raises(InvalidRequestError) as caught:
        check_words(query)
    assert "\n" not in caught.value.detail
    assert len(caught.value.detail) < 250


@pytest.mark.parametrize(
    "operator",
    [
        "LoadCSV@neo4j",
        "Create@neo4j",
        "DetachDelete@neo4j",
        "SetProperty@neo4j",
        "Merge@neo4j",
        "DirectedUnknown@neo4j",
    ],
)
def test_an_operator_that_is_not_known_to_read_is_refused(operator):
    with pytest.raises(InvalidRequestError, match="not allowed"):
        check_plan([("ProduceResults@neo4j", ""), (operator, "")])


def test_plans_that_read_the_graph_pass():
    operators = [
        "ProduceResults",
        "Projection",
        "VarLengthExpand(All)",
        "NodeIndexSeek",
        "NodeUniqueIndexSeek",
        "Limit",
    ]
    check_plan([(f"{name}@neo4j", "") for name in operators])


def test_only_listed_procedures_may_stand_in_a_plan():
    check_plan([("ProcedureCall@neo4j", "db.labels() :: (label :: STRING)")])
    with pytest.raises(InvalidRequestError, match="ProcedureCall"):
        check_plan([("ProcedureCall@neo4j", "dbms.listConfig() :: (name :: STRING)")])
