"""A refresh that is killed leaves the index at the boundary of a commit; `index_crash.py` does more of this."""

from tests.benchmarks.index_crash import Trial


def make_go(number):
    lines = [f"func F{one}() {{ F{(one * number) % 9}(); G{one % 3}() }}" for one in range(9)]
    return "package one\n\n" + "\n\n".join(lines) + "\n"


def test_kill_at_random_points_leaves_a_commit_and_the_next_refresh_completes(tmp_path, tree):
    for number in range(6):
        files = {f"pkg{one}/{one}.go": make_go(number + one) for one in range(8)}
        tree.commit({**files, f"pkg{number}/more.go": f"package one\n\nfunc G{number}() {{}}\n"})
    trial = Trial(str(tree.root), "go", tmp_path, seed=3, spread=1)
    for point, count, is_new in (("place", 1, True), ("blob", 3, True), ("file", 2, False), ("state", 1, False)):
        trial.run_round(point, count, is_new=is_new)
    assert trial.tally.faults == []
    assert trial.tally.killed.keys() == {"place", "file", "blob", "state"}
