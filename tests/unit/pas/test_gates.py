"""The KPI table."""

from services.kernel.vocabulary import Lane
from services.pas.core.gates import KPI_GATES


def test_every_lane_has_a_critical_kpi_and_names_are_unique():
    assert {gate.lane for gate in KPI_GATES if gate.is_critical} == set(Lane)
    assert len({gate.name for gate in KPI_GATES}) == len(KPI_GATES)
