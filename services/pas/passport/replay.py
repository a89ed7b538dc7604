"""Replay a run from its passport: `python -m services.pas.passport.replay RUN_ID [--dry-run ...]`.

The dry run checks and prints the plan; otherwise the same cards are submitted again as a run of kind `replay`.
"""

import argparse
import asyncio
import hashlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from services.edits.repository import open_repository
from services.home import Home, find_home
from services.kernel.caller import Caller
from services.kernel.errors import ConflictError, NotFoundError, PlatformError
from services.kernel.http import HttpCall, closing
from services.kernel.ids import RunId
from services.kernel.vocabulary import RunKind, ServiceName
from services.pas.client import HttpPas
from services.pas.models import Passport, PassportBasis, RunView, SignedPassport, StartRun
from services.pas.passport.signature import verify_passport

Say = Callable[[str], None]


class ReplayRefusedError(ConflictError):
    """Something that the passport names is not there, or not as it was."""

    code = "pas.replay_refused"


@dataclass(frozen=True)
class Skips:
    """Which checks to leave out."""

    git: bool
    env: bool
    artifacts: bool


def read_passport(home: Home, run_id: RunId) -> Passport:
    """Return the verified passport of a run from its jacket; raise NotFoundError or PassportInvalidError."""
    place = home.path / "runs" / run_id / "state" / "passport.json"
    try:
        signed = SignedPassport.model_validate_json(place.read_bytes())
    except OSError as error:
        raise NotFoundError(f"no passport of {run_id} in {home.path}; has the run ended?") from error
    except ValidationError as error:
        raise ReplayRefusedError(f"{place} is damaged; it is no passport") from error
    return verify_passport(signed, home.path)


def check_git(home: Home, passport: Passport) -> str:
    """Return a line about the base; raise ReplayRefusedError when commit or tree is missing."""
    repository = open_repository(Path(passport.repo), home.path / "trees")
    store = repository.open_store()
    for what, oid in (("base commit", passport.base_commit), ("snapshot tree", passport.snapshot_tree)):
        if not store.has(oid):
            raise ReplayRefusedError(f"the {what} {oid} is no longer in {passport.repo}")
    return f"git: base commit {passport.base_commit[:12]} and snapshot tree {passport.snapshot_tree[:12]} are there"


def check_env(passport: Passport) -> str:
    """Return a line about the tools; raise ReplayRefusedError when the interpreter is another."""
    then, now = passport.tool_versions.get("python", ""), platform.python_version()
    if then != now:
        raise ReplayRefusedError(f"the run used Python {then}, this is {now}; add --skip-env to replay anyway")
    return f"env: Python {now}, as then"


def check_artifacts(home: Home, passport: Passport) -> str:
    """Return a line about the artifacts; raise ReplayRefusedError for one that is missing or changed."""
    jacket = home.path / "runs" / passport.run_id
    for artifact in passport.artifact_manifest:
        place = jacket / artifact.path
        if not place.is_file():
            raise ReplayRefusedError(f"the artifact {artifact.path} is missing from {jacket}")
        if hashlib.sha256(place.read_bytes()).hexdigest() != artifact.sha256:
            raise ReplayRefusedError(f"the artifact {artifact.path} was changed: its digest differs")
    return f"artifacts: {len(passport.artifact_manifest)} present, digests right"


def print_plan(home: Home, passport: Passport, skips: Skips, say: Say) -> None:
    """Check what is not skipped and say what a replay would do."""
    say(f"passport of {passport.run_id}: signature right, run was {passport.final_state}")
    say("git: skipped" if skips.git else check_git(home, passport))
    say("env: skipped" if skips.env else check_env(passport))
    say("artifacts: skipped" if skips.artifacts else check_artifacts(home, passport))
    say(f"plan: {len(passport.cards)} cards on {passport.repo}")
    for card in passport.cards:
        after = f" after {', '.join(card.deps)}" if card.deps else ""
        say(f"  {card.task_id} [{card.lane}] {card.title}{after}")


async def resubmit(home: Home, passport: Passport) -> RunView:
    """Start the passport's cards again as a run of kind `replay`, through the server of the home."""
    server = home.read_server()
    start = StartRun(
        project_id=passport.project_id,
        run_kind=RunKind.REPLAY,
        title=f"Replay of {passport.run_id}",
        passport_basis=PassportBasis(
            repo=passport.repo,
            prd_sha256=passport.prd_sha256,
            contract_version=passport.contract_versions["pex"],
            estimate_id=passport.estimate_id,
            provider_matrix=passport.provider_matrix,
            price_table_version=passport.price_table_version,
        ),
        cards=passport.cards,
    )
    caller = Caller("user:local", frozenset(), token=server.tokens[ServiceName.PAS])
    call = HttpCall(f"http://127.0.0.1:{server.ports[ServiceName.PAS]}")
    async with closing(call):
        return await HttpPas(call).start_run(caller, start)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="replay_from_passport", description="Replay a run from its signed passport.")
    parser.add_argument("run_id")
    parser.add_argument("--home", type=Path, help="the platform's home (default: DIRENG_HOME, else ~/.direng)")
    parser.add_argument("--dry-run", action="store_true", help="check and print the plan; start nothing")
    parser.add_argument("--skip-git", action="store_true", help="do not look for the base commit")
    parser.add_argument("--skip-env", action="store_true", help="do not compare tool versions")
    parser.add_argument("--skip-artifacts", action="store_true", help="do not check the artifacts' digests")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return 0, or 1 with one line on standard error."""
    options = _parse(argv)
    home = Home(options.home.absolute()) if options.home else find_home(os.environ)
    skips = Skips(options.skip_git, options.skip_env, options.skip_artifacts)

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    try:
        passport = read_passport(home, RunId(options.run_id))
        print_plan(home, passport, skips, say)
        if options.dry_run:
            say("dry run: nothing was started")
            return 0
        view = asyncio.run(resubmit(home, passport))
    except PlatformError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 1
    say(f"started {view.run_id} (kind replay of {passport.run_id})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
