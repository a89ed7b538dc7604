"""Measure what the platform adds to a model's work; write tests/benchmarks/model_results.json.

    python tests/benchmarks/measure_model.py

Method. A scripted model server (tests/fakes/model_server) on loopback answers at once, so what is measured is ours.
`tool_turn_ms`: an agent card of 20 turns, each reading a small file; a turn is the time from the end of one answer,
as the model server saw it, to the arrival of the next request: tool, journal, receipts, ledger and the SDK included.
`broker_overhead_ms`: in one process, `BrokerService.complete` over the real wire and a SQLite ledger against a bare
`pydantic_ai.direct.model_request` of the same messages to the same server, one after the other in turn; the median of
the paired differences. `server_mb_with_…`: resident memory after agent
cards over the wire protocols named, in a server of its own.
`first_body_bytes`: the first request of the agent card on the sample project. Medians; nothing is asserted here.
"""

import asyncio
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.measure import ask, environment, measure_rest  # noqa: E402 - found through the line above
from tests.fakes.model_server.fixtures import RemoteModelServer, run_model_server  # noqa: E402

RESULTS = Path(__file__).with_name("model_results.json")
TURNS = 20
PAIRS = 300
FINAL = {"completed", "needs_review", "failed", "terminated"}
SAMPLE = ROOT / "tests/fixtures/sample_project"
FILES = [str(path.relative_to(SAMPLE)) for path in sorted(SAMPLE.rglob("*")) if path.suffix in {".py", ".md", ".toml"}]
SCRIPT = [
    *(
        {
            "when": {"tools_include": "fs_read", "turn": turn},
            "reply": {"tool_calls": [{"name": "fs_read", "arguments": {"path": path, "end_line": 12}}]},
        }
        for turn, path in enumerate(FILES[:TURNS])
    ),
    {
        "when": {"tools_include": "finish"},
        "reply": {"tool_calls": [{"name": "finish", "arguments": {"summary": "read", "status": "blocked"}}]},
    },
    {"reply": "It is 1071."},
]
PROVIDERS = {"openai": "local_llama", "anthropic": "anthropic", "google": "google"}


def run_direng(home: Path, *argv: str, cwd: Path = ROOT) -> None:
    """Run one command of ours; its own line says what went wrong."""
    env = {**environment(home), "BENCH_KEY": "bench-key"}
    subprocess.run(
        ["direng", *argv], cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def add_model(home: Path, models: RemoteModelServer, wire: str) -> None:
    """Configure the scripted server as a model that speaks the protocol `wire`."""
    url = models.openai_url if wire == "openai" else models.base_url
    argv = ["model", "add", wire, "--provider", PROVIDERS[wire], "--model", wire, "--url", url, "--free", "--no-test"]
    run_direng(home, *argv, "--key", "env:BENCH_KEY", "--default")


def open_home(home: Path, models: RemoteModelServer, wires: tuple[str, ...]) -> Path:
    """Return a home whose server has a model for each of `wires`, with its key."""
    run_direng(home, "up")
    for wire in wires:
        add_model(home, models, wire)
    run_direng(home, "down")  # a server knows the variables of keys that were named before it started
    run_direng(home, "up")
    return home


def make_sample(folder: Path) -> Path:
    """Return the sample project as a repository."""
    shutil.copytree(SAMPLE, folder)
    identity = ["-c", "user.name=B", "-c", "user.email=b@localhost"]
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *argv], cwd=folder, check=True)
    return folder


def run_agent(home: Path, repo: Path, alias: str) -> dict:
    """Run one agent card to its end."""
    card = {
        "task_id": "read",
        "lane": "Code-Impl",
        "title": "Read",
        "configuration": f"agent/{alias}",
        "payload": {"kind": "agent", "goal": "Read the module of money until you know it.", "alias": alias},
    }
    basis = {"repo": str(repo), "prd_sha256": "0" * 64, "contract_version": "2026-11-21-001"}
    body = {"project_id": "bench", "passport_basis": basis, "cards": [card]}
    run = ask(home, "pas", "POST", "/pas/v1/runs/start", body)
    while run["state"] not in FINAL:
        time.sleep(0.05)
        run = ask(home, "pas", "GET", f"/pas/v1/runs/status?run_id={run['run_id']}")
    return run


def measure_turns(home: Path, repo: Path, models: RemoteModelServer, wire: str) -> tuple[list[float], int]:
    """Return the milliseconds of each tool turn, and the bytes of the first request."""
    models.reset()
    run_agent(home, repo, wire)
    calls = [call for call in models.requests() if call["method"] == "POST" and call["status"] == 200]
    if len(calls) < TURNS:
        raise SystemExit(f"the measured card made {len(calls)} calls instead of {TURNS + 1}")
    gaps = [1000 * (after["at_s"] - before["ended_s"]) for before, after in itertools.pairwise(calls[1:])]
    return gaps[: TURNS - 1], calls[0]["size_bytes"]


async def measure_overhead(models: RemoteModelServer, work: Path) -> list[float]:
    """Return the paired differences, in milliseconds, of a broker call and a bare call."""
    from pydantic_ai import ModelRequest  # noqa: PLC0415 - heavy; only here
    from pydantic_ai.direct import model_request  # noqa: PLC0415
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

    from services.broker.models import BudgetKind, BudgetScope, CompletionRequest, Message, Purpose, Role  # noqa: PLC0415
    from services.kernel.caller import Caller  # noqa: PLC0415
    from services.kernel.vocabulary import Lane, Scope  # noqa: PLC0415

    bare = OpenAIChatModel("openai", provider=OpenAIProvider(base_url=models.openai_url, api_key="bench-key"))
    parts = open_bench_broker(work)
    caller = Caller("user:bench", frozenset(scope.value for scope in Scope))
    await parts.service.add_model(caller, bench_model(models))
    text = "What is the total of two teas?"

    def request(number: int) -> CompletionRequest:
        return CompletionRequest(
            call_id=f"bench-call-{number:06d}",
            scopes=(
                BudgetScope(kind=BudgetKind.PROJECT, id="bench"),
                BudgetScope(kind=BudgetKind.RUN, id="bench"),
                BudgetScope(kind=BudgetKind.CARD, id="bench/1"),
            ),
            lane=Lane.CODE_IMPL,
            purpose=Purpose.AGENT,
            messages=(Message(role=Role.USER, content=text),),
        )

    differences = []
    for number in range(PAIRS + 20):
        started = time.perf_counter()
        await model_request(bare, [ModelRequest.user_text_prompt(text)], model_settings={"max_tokens": 4096})
        between = time.perf_counter()
        await parts.service.complete(caller, request(number))
        differences.append(1000 * ((time.perf_counter() - between) - (between - started)))
    await parts.close()
    return differences[20:]


def bench_model(models: RemoteModelServer) -> "NewModel":  # noqa: F821 - imported below, when needed
    """Return the scripted server as a model."""
    from services.broker.models import NewModel, Price, Provider  # noqa: PLC0415

    price = Price(input_microusd=1_000_000, output_microusd=2_000_000, source="operator")
    return NewModel(
        alias="bench", provider=Provider.LOCAL_LLAMA, model="openai", base_url=models.openai_url, price=price
    )


def open_bench_broker(work: Path) -> "BrokerParts":  # noqa: F821
    """Return a broker over the real wire and a SQLite ledger in `work`."""
    from services.broker.app import BrokerPorts, open_broker  # noqa: PLC0415
    from services.broker.providers.keys import ReferencedKeys  # noqa: PLC0415
    from services.broker.providers.prices import GenaiPrices  # noqa: PLC0415
    from services.broker.providers.urls import check_base_url  # noqa: PLC0415
    from services.broker.providers.wire import PydanticWire  # noqa: PLC0415
    from services.kernel.clock import SystemClock  # noqa: PLC0415
    from services.kernel.db import sqlite_url  # noqa: PLC0415
    from services.security.vault import Vault  # noqa: PLC0415

    keys = ReferencedKeys({}, Vault.open(work / "vault"))
    return open_broker(
        BrokerPorts(
            home=work,
            database_url=sqlite_url(work / "broker.db"),
            clock=SystemClock(),
            random=Random(1),
            wire=PydanticWire(keys),
            prices=GenaiPrices,
            keys=keys,
            check_url=check_base_url,
            session_cap_microusd=10**12,
        )
    )


def summarise(values: list[float]) -> dict[str, float]:
    """Return median, minimum and 90th percentile."""
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 3),
        "min": round(ordered[0], 3),
        "p90": round(ordered[int(0.9 * (len(ordered) - 1))], 3),
        "runs": len(ordered),
    }


def main() -> None:
    """Measure everything and write the results."""
    work = Path(tempfile.mkdtemp())
    repo = make_sample(work / "stockbook")
    figures: dict[str, dict[str, float]] = {}
    with run_model_server(SCRIPT, work) as models:
        differences = asyncio.run(measure_overhead(models, work))
        figures["broker_overhead_ms"] = {**summarise(differences), "target": 1}
        for wires in (("openai",), ("anthropic",), ("google",), tuple(PROVIDERS)):
            home = open_home(work / f"home-{'-'.join(wires)}", models, wires)
            for wire in wires:
                run_agent(home, repo, wire)  # warm: SDK loaded, connection open
            if len(wires) == 1:
                gaps, first = measure_turns(home, repo, models, wires[0])
                figures[f"tool_turn_ms_{wires[0]}"] = {**summarise(gaps), "target": 15}
                figures[f"first_body_bytes_{wires[0]}"] = {"median": first, "runs": 1, "target": 20 * 1024}
            rest_mb, rest_cpu = measure_rest(home)
            figures[f"server_mb_with_{'_'.join(wires)}"] = {"median": round(rest_mb, 1), "runs": 1, "target": 260}
            figures[f"server_cpu_percent_with_{'_'.join(wires)}"] = {"median": round(rest_cpu, 2), "runs": 1}
            run_direng(home, "down")
    shutil.rmtree(work)
    document = {
        "method": __doc__.split("Method.", 1)[1].strip(),
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "figures": figures,
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
