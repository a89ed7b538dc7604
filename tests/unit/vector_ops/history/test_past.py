import pytest

from tests.unit.vector_ops.history.past_of import make_past


def test_partners_are_counted_and_the_narrower_commit_says_more():
    past = make_past(("x", ["a", "b"]), ("y", ["a", "c", "d", "e"]), ("z", ["b", "c"]))
    partners = past.list_partners(["a"], 10)
    assert partners[0][:3] == ("b", 1, 2)
    assert {one.path for one in partners} == {"b", "c", "d", "e"}
    assert partners[0].score > partners[1].score


def test_older_company_counts_less():
    past = make_past(*[("new", ["a", "b"])], *[("between", ["x"])] * 500, ("old", ["a", "c"]))
    scores = {one.path: one.score for one in past.list_partners(["a"], 10)}
    assert scores["b"] > scores["c"] > 0


@pytest.mark.parametrize("paths", [[], ["unknown"]])
def test_paths_without_a_past_have_no_partners(paths):
    assert make_past(("x", ["a", "b"])).list_partners(paths, 10) == []


def test_scores_stay_below_one():
    past = make_past(*[("again", ["a", "b"])] * 50)
    assert 0.9 < past.list_partners(["a"], 1)[0].score < 1
