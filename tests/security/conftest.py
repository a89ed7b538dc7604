"""Real bubblewrap, never skipped: a machine that cannot isolate fails these tests, as it would fail a run."""

import pytest
from lane_attack import Lane, attack_outside

from services.pas.sandbox.bubblewrap import BubblewrapIsolation


@pytest.fixture(name="outside")
def outside_fixture():
    return attack_outside


@pytest.fixture(scope="session")
def isolations():
    """Both tiers: the strongest that this machine has, and the fallback."""
    strongest, fallback = BubblewrapIsolation(), BubblewrapIsolation(is_cgroup_allowed=False)
    for isolation in (strongest, fallback):
        assert isolation.describe().is_available, isolation.describe().problems
    return {"strongest": strongest, "rlimits": fallback}


@pytest.fixture
def workspace(tmp_path):
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def lane(isolations, workspace):
    return Lane(isolations["strongest"], workspace)


@pytest.fixture(params=["strongest", "rlimits"])
def tiered_lane(request, isolations, workspace):
    return Lane(isolations[request.param], workspace)


@pytest.fixture
def canary(tmp_path):
    """A secret beside the workspace, which no lane may ever print."""
    path = tmp_path / "canary"
    path.write_text("canary-4711")
    return path
