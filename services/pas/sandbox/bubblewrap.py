"""Isolation by bubblewrap on Linux (ADR 0003): what facts about namespaces, seccomp and root made of it."""

import asyncio
import os
import platform
import uuid
from collections import Counter
from pathlib import Path

from services.pas.core.isolation import (
    ExecResult,
    IsolationReport,
    IsolationUnavailableError,
    SandboxCommand,
    SandboxLimits,
)
from services.pas.sandbox.execution import Launch, default_python, execute
from services.pas.sandbox.limits import CgroupBase, Group, build_rlimits, find_cgroup_base, make_group, remove_group
from services.pas.sandbox.probe import DEFAULT_BWRAP, Probe
from services.pas.sandbox.profile import DEFAULT_LANE_ID, build_operations
from services.pas.sandbox.seccomp import build_filter
from services.pas.sandbox.workspace import reclaim_tree, remove_placeholder, resolve_workspace

_REMOVAL_PATIENCE_S = 1.0


class BubblewrapIsolation:
    """Runs commands through bubblewrap; satisfies `Isolation`. One per server process.

    `lane_id` is the unprivileged uid and gid that lanes get when the server is root; an ordinary user's lanes run
    under that user. `is_cgroup_allowed=False` keeps to rlimits and polling where control groups would be available.
    """

    def __init__(
        self,
        *,
        python: Path | None = None,
        bwrap: Path | None = None,
        lane_id: int = DEFAULT_LANE_ID,
        is_cgroup_allowed: bool = True,
    ) -> None:
        if lane_id <= 0:
            raise ValueError("lane_id must be an unprivileged uid, not root's")
        self._python = python or default_python()
        self._probe = Probe(python=self._python, bwrap=bwrap or DEFAULT_BWRAP, lane_id=lane_id)
        self._lane_id = lane_id
        self._is_cgroup_allowed = is_cgroup_allowed
        self._base: CgroupBase | None = None
        self._report: IsolationReport | None = None
        self._in_use: Counter[Path] = Counter()

    def describe(self) -> IsolationReport:
        """Return what was found by trying (about 100 ms the first time, then cached)."""
        if self._report is None:
            self._base = find_cgroup_base() if self._is_cgroup_allowed else None
            self._report = self._probe.run(self._base)
        return self._report

    def reclaim(self, workspace: Path) -> None:
        """Give the tree back to the server; see `Isolation.reclaim`."""
        reclaim_tree(workspace)

    async def run(self, command: SandboxCommand, *, cancel: asyncio.Event | None = None) -> ExecResult:
        """Run one command to its end; see `Isolation.run`."""
        report = self._report if self._report is not None else await asyncio.to_thread(self.describe)
        if not report.is_available:
            raise IsolationUnavailableError("; ".join(f"{p.what}: {p.cure}" for p in report.problems if p.is_fatal))
        workspace = resolve_workspace(command.workspace)
        plan = self._plan(command, workspace, frozenset(report.features), report.tier)
        group = self._make_group(command.limits)
        plan["cgroup_procs"] = group.procs if group is not None else []
        self._in_use[workspace] += 1
        try:
            return await execute(Launch(self._python, plan, workspace, command.limits, report.tier, group), cancel)
        finally:
            self._return_workspace(workspace)
            if group is not None:
                await asyncio.shield(asyncio.to_thread(remove_group, group, patience_s=_REMOVAL_PATIENCE_S))

    def _plan(self, command: SandboxCommand, workspace: Path, features: frozenset[str], tier: str) -> dict[str, object]:
        is_root = os.geteuid() == 0
        operations = build_operations(command, features=features, seccomp_filter=build_filter(platform.machine()))
        return {
            "bwrap": str(self._probe.bwrap),
            "uid": self._lane_id if is_root else None,
            "gid": self._lane_id if is_root else None,
            "workspace": str(workspace),
            "can_bind_fd": "bind-fd" in features,
            "rlimits": build_rlimits(command.limits, tier),
            "operations": operations,
        }

    def _make_group(self, limits: SandboxLimits) -> Group | None:
        if self._base is None:
            return None
        try:
            return make_group(self._base, uuid.uuid4().hex, limits)
        except OSError as error:
            # The tier was promised to whoever asked; running weaker in silence would break a lane's min_tier.
            raise IsolationUnavailableError(f"control groups can no longer be made ({error}); restart") from error

    def _return_workspace(self, workspace: Path) -> None:
        """Take the placeholder away with the last user: removing it earlier would unmask `.git` for the others."""
        self._in_use[workspace] -= 1
        if self._in_use[workspace] <= 0:
            del self._in_use[workspace]
            remove_placeholder(workspace)
