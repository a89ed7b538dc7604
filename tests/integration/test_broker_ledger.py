"""The broker's ledger on both databases: one suite, SQLite and a real PostgreSQL server."""

import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from importlib.resources import files
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.broker.core.booking import Booking, Closing, Reserved, recover_lost, reserve, settle
from services.broker.core.ledger import NewAttempt, Settlement
from services.broker.models import (
    AttemptOutcome,
    AttemptState,
    Message,
    Provider,
    Purpose,
    Role,
    SetBudget,
    Usage,
)
from services.broker.protocol import BudgetExceededError, CallConflictError
from services.broker.store import SqlStore
from services.kernel.clock import SystemClock, to_iso
from services.kernel.db import open_engine, sqlite_url
from services.kernel.errors import UnavailableError
from services.kernel.vocabulary import Lane
from tests.fakes.broker import COST_MICROUSD, ListKeys, ScriptedWire, ask, fault, new_model, open_scripted, reply, scope
from tests.fakes.identity import ENGINEER
from tests.fakes.postgres import new_database, serve_postgres

REPOSITORY = Path(__file__).parents[2]
SCOPES = ("session:s-1", "project:prj-1", "run:run-1", "card:run-1/fix")
FAR, PAST = "2999-01-01T00:00:00.000+00:00", "2000-01-01T00:00:00.000+00:00"
BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_server():
    with serve_postgres() as url:
        yield url


@pytest.fixture(params=BOTH)
def database_url(request, tmp_path):
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "a 100% new.db")
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture
def wire():
    return ScriptedWire()


@pytest.fixture
async def parts(database_url, tmp_path, wire):
    opened = open_scripted(tmp_path, wire, database_url=database_url, keys=ListKeys({"env:MY_KEY": "sk-secret"}))
    await opened.service.add_model(ENGINEER, new_model())
    yield opened
    await opened.close()


@pytest.fixture
def store(parts):
    return SqlStore(parts.engine)


def new_attempt(call_id, cost_microusd=100, **changes):
    body = {
        "call_id": call_id,
        "position": 0,
        "digest": "d",
        "owner": "test",
        "expires_at": FAR,
        "lane": Lane.CODE_IMPL,
        "purpose": Purpose.AGENT,
        "alias": "main",
        "provider": Provider.LOCAL_LLAMA,
        "model": "m",
        "fallback_from": None,
        "price": "{}",
        "price_table_version": "operator",
        "reserved_microusd": cost_microusd,
        "reserved_tokens": cost_microusd,
        "started_at": to_iso(SystemClock().now()),
    }
    return NewAttempt(**body | changes)


def book(ledger, call_id, keys, cost_microusd=100, **changes):
    attempt = new_attempt(call_id, cost_microusd, **changes)
    return reserve(ledger, Booking(attempt, tuple(sorted(keys)), (), 10**12, 0, is_first=True))


def end(ledger, call_id, keys, booked, *, reserved_microusd, cost_microusd):
    settlement = Settlement(
        AttemptState.SETTLED, AttemptOutcome.OK, 200, Usage(), cost_microusd, cost_microusd, False, 1, ""
    )
    closing = Closing(
        call_id, booked.sequence, tuple(sorted(keys)), reserved_microusd, reserved_microusd, settlement, "{}", PAST
    )
    settle(ledger, closing)


def set_cap(store, key, cap_microusd):
    change = SetBudget(scope=scope(key), cap_microusd=cap_microusd, rationale="a test's cap")

    def use_case(ledger):
        [books] = ledger.lock_budgets([key])
        ledger.put_budget(type(books)(**vars(books) | {"cap_microusd": cap_microusd}), change, "test", PAST)

    store.transact_now(use_case)


def read(store, key):
    return store.transact_now(lambda ledger: ledger.read_budgets([key]))[0]


def alembic_config(connection):
    config = Config()
    config.set_main_option("script_location", str(files("services.broker") / "migrations"))
    config.attributes["connection"] = connection
    return config


def test_migrations_and_tables_do_not_drift(parts):
    with parts.engine.begin() as connection:
        command.check(alembic_config(connection))


def test_migrations_go_down_and_up_again(parts):
    with parts.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
        command.upgrade(alembic_config(connection), "head")
        command.check(alembic_config(connection))


async def test_call_is_written_settled_replayed_and_listed_by_each_of_its_budgets(parts, wire):
    first = await parts.service.complete(ENGINEER, ask(scopes=SCOPES))
    again = await parts.service.complete(ENGINEER, ask(scopes=SCOPES))
    assert again == first.model_copy(update={"is_replayed": True})
    assert len(wire.requests) == 1
    for name in SCOPES:
        assert await parts.service.list_attempts(ENGINEER, scope(name)) == first.receipts
        budget = await parts.service.get_budget(ENGINEER, scope(name))
        assert (budget.spent_microusd, budget.reserved_microusd, budget.attempts) == (COST_MICROUSD, 0, 1)


async def test_failures_and_fallbacks_are_kept_in_order_and_newest_is_listed_first(parts, wire):
    wire.play("main", fault(AttemptOutcome.RATE_LIMITED, retry_after_s=0.0), reply())
    completion = await parts.service.complete(ENGINEER, ask())
    listed = await parts.service.list_attempts(ENGINEER)
    assert [receipt.position for receipt in listed] == [2, 1]
    assert tuple(reversed(listed)) == completion.receipts


@pytest.mark.parametrize("capped", SCOPES)
async def test_fifty_children_at_once_never_pass_a_cap_by_one_call(parts, wire, store, capped):
    wire.play("main", reply(usage=None))
    probe = await parts.service.complete(ENGINEER, ask("call-0000", ("session:other",)))
    most = probe.cost_microusd + sum(len(name) + 30 for name in SCOPES)
    set_cap(store, capped, 6 * most)
    wire.requests.clear()
    answers = await asyncio.gather(
        *(parts.service.complete(ENGINEER, ask(f"call-{number:04}", SCOPES)) for number in range(1, 51)),
        return_exceptions=True,
    )
    paid = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert {type(answer) for answer in answers if isinstance(answer, BaseException)} == {BudgetExceededError}
    books = read(store, capped)
    assert 6 <= len(paid) == len(wire.requests) < 50
    assert books.spent_microusd == sum(answer.cost_microusd for answer in paid) <= books.cap_microusd
    assert books.cap_microusd - books.spent_microusd < paid[0].cost_microusd
    assert (books.reserved_microusd, books.attempts) == (0, len(paid))


def test_threads_that_reserve_at_once_never_pass_a_cap_and_lose_no_count(store):
    set_cap(store, "run:run-1", 1250)
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        done = 0
        for turn in range(5):
            # Each thread names a parent of its own beside the shared one, in either order.
            keys = ["run:run-1", f"card:run-1/{number}", f"session:s-{turn % 2}"]
            call_id = f"call-{number}-{turn}"
            try:
                booked = store.transact_now(lambda ledger, call=call_id, k=keys: book(ledger, call, k))
            except BudgetExceededError:
                continue
            store.transact_now(
                lambda ledger, c=call_id, k=keys, b=booked: end(
                    ledger, c, k, b, reserved_microusd=100, cost_microusd=100
                )
            )
            done += 1
        return done

    with ThreadPoolExecutor(8) as pool:
        made = sum(pool.map(work, range(8)))
    books = read(store, "run:run-1")
    assert made == 12
    assert (books.spent_microusd, books.reserved_microusd, books.attempts) == (1200, 0, 12)


def spawn(*args):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.broker_child", *args],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_two_processes_on_one_ledger_never_pass_a_cap(parts, store, database_url, tmp_path):
    probe = await parts.service.complete(ENGINEER, ask("call-a-000", SCOPES))
    most = probe.receipts[0].reserved_microusd
    set_cap(store, "run:run-1", COST_MICROUSD + 9 * most + most // 2)
    children = [spawn("spend", database_url, str(tmp_path), name, "25", *SCOPES) for name in ("b", "c")]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate(timeout=60)[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert sum(int(called) for called, _ in answers) == 9
    assert sum(int(refused) for _, refused in answers) == 41
    books = read(store, "run:run-1")
    assert books.spent_microusd == COST_MICROUSD + 9 * most <= books.cap_microusd
    assert books.reserved_microusd == 0


async def test_killed_server_leaves_its_reservation_counted_as_spent(parts, store, database_url, tmp_path, wire):
    child = spawn("hang", database_url, str(tmp_path), "call-0001", *SCOPES)
    assert child.stdout.readline() == "calling\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=20)
    held = read(store, "run:run-1").reserved_microusd
    assert held > 0
    if parts.engine.dialect.name == "postgresql":
        # Another broker may be alive there: only the deadline of its call says that it is dead.
        with parts.engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE attempts SET expires_at = '{PAST}'")
    restarted = open_scripted(tmp_path, wire, database_url=database_url)
    assert restarted.lost_attempts == 1
    [lost] = await restarted.service.list_attempts(ENGINEER, scope("run:run-1"))
    assert (lost.state, lost.outcome, lost.is_estimated) == (AttemptState.LOST, AttemptOutcome.LOST, True)
    books = read(store, "run:run-1")
    assert (books.spent_microusd, books.reserved_microusd) == (held, 0)
    completion = await restarted.service.complete(ENGINEER, ask(scopes=SCOPES))
    assert [receipt.state for receipt in completion.receipts] == [AttemptState.LOST, AttemptState.SETTLED]
    assert completion.cost_microusd == held + COST_MICROUSD
    assert read(store, "run:run-1").spent_microusd == held + COST_MICROUSD
    await restarted.close()


async def test_call_under_way_elsewhere_conflicts_until_its_deadline(parts, store):
    keys = ("run:run-1",)
    store.transact_now(lambda ledger: book(ledger, "call-0001", keys, owner="elsewhere"))
    with pytest.raises(CallConflictError, match="under way in another process"):
        store.transact_now(lambda ledger: book(ledger, "call-0001", keys))
    with parts.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE attempts SET expires_at = '{PAST}'")
    again = store.transact_now(lambda ledger: book(ledger, "call-0001", keys))
    assert again.position == 2
    assert read(store, "run:run-1").reserved_microusd == 200


def test_attempt_declared_lost_too_early_is_settled_by_what_it_cost_in_truth(store):
    keys = ("run:run-1", "session:s-1")
    booked = store.transact_now(lambda ledger: book(ledger, "call-0001", keys))
    assert store.transact_now(lambda ledger: recover_lost(ledger, None)) == 1
    assert read(store, "run:run-1").spent_microusd == 100
    for _ in range(2):
        store.transact_now(
            lambda ledger: end(ledger, "call-0001", keys, booked, reserved_microusd=100, cost_microusd=30)
        )
        books = read(store, "run:run-1")
        assert (books.spent_microusd, books.reserved_microusd, books.tokens) == (30, 0, 30)


def test_lost_attempts_are_counted_once_when_two_servers_start(store):
    store.transact_now(lambda ledger: book(ledger, "call-0001", ("run:run-1",)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: store.transact_now(lambda ledger: recover_lost(ledger, None)), range(4)))
    books = read(store, "run:run-1")
    assert (books.spent_microusd, books.reserved_microusd) == (100, 0)


async def test_racing_calls_of_one_id_in_two_brokers_are_one_call(parts, database_url, tmp_path):
    other_wire = ScriptedWire()
    other = open_scripted(tmp_path, other_wire, database_url=database_url)
    for turn in range(5):
        answers = await asyncio.gather(
            parts.service.complete(ENGINEER, ask(f"call-race-{turn}")),
            other.service.complete(ENGINEER, ask(f"call-race-{turn}")),
            return_exceptions=True,
        )
        receipts = [r for r in await parts.service.list_attempts(ENGINEER) if r.call_id == f"call-race-{turn}"]
        assert [receipt.state for receipt in receipts] == [AttemptState.SETTLED]
        assert all(isinstance(answer, CallConflictError) or answer.receipts == tuple(receipts) for answer in answers)
    await other.close()


async def test_old_answers_are_forgotten_but_never_paid_twice(parts, database_url, tmp_path, wire):
    await parts.service.complete(ENGINEER, ask())

    class NextYear(SystemClock):
        def now(self):
            return super().now() + timedelta(days=31)

    later = open_scripted(tmp_path, wire, database_url=database_url, clock=NextYear())
    with pytest.raises(CallConflictError, match="no longer kept"):
        await later.service.complete(ENGINEER, ask())
    assert len(wire.requests) == 1
    await later.close()


async def test_dead_brokers_reservation_is_counted_by_another_that_goes_on(parts, store):
    store.transact_now(lambda ledger: book(ledger, "call-dead", ("run:run-1",), owner="dead", expires_at=PAST))
    parts.service._recovered_at_s -= 61
    await parts.service.complete(ENGINEER, ask())
    books = read(store, "run:run-1")
    is_shared = parts.engine.dialect.name == "postgresql"  # SQLite has one server, which counts at its start
    assert (books.spent_microusd, books.reserved_microusd) == ((100, 0) if is_shared else (0, 100))


async def test_no_prompt_and_no_key_stands_in_any_table(parts):
    await parts.service.add_model(ENGINEER, new_model("keyed", key_ref="env:MY_KEY"))
    message = Message(role=Role.USER, content="the words of a prompt")
    await parts.service.complete(ENGINEER, ask(messages=(message,)))
    metadata = sa.MetaData()
    metadata.reflect(parts.engine)
    with parts.engine.begin() as connection:
        kept = [str(row) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    assert any("env:MY_KEY" in row for row in kept)
    assert not any("words of a prompt" in row or "sk-secret" in row for row in kept)


def test_database_that_cannot_be_opened_is_unavailable_in_one_line(tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "missing" / "broker.db"))
    with pytest.raises(UnavailableError, match="unable to open database file") as refusal:
        SqlStore(engine).transact_now(lambda ledger: ledger.find_call("call-0001"))
    assert "\n" not in refusal.value.detail
    engine.dispose()


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "over", "lose"]),
        st.sampled_from(["run:a", "run:b"]),
        st.integers(1, 60),
    ),
    max_size=30,
)


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory):
    home = tmp_path_factory.mktemp("ledger")
    open_scripted(home).engine.dispose()
    return home / "broker.db"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES, caps=st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200)))
def test_spent_and_reserved_never_pass_a_cap_whatever_the_order(empty_ledger, moves, caps):
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(sqlite_url(Path(shutil.copy(empty_ledger, folder))))
        store = SqlStore(engine)
        capped = dict(zip(("run:a", "run:b", "session:s"), caps, strict=True))
        for key, cap_microusd in capped.items():
            set_cap(store, key, cap_microusd)
        _play(store, moves, capped)
        engine.dispose()


def _play(store, moves, capped):
    held = []
    expected = dict.fromkeys(capped, 0)
    for number, (move, run, amount) in enumerate(moves):
        keys = (run, "session:s")
        if move == "reserve":
            try:
                booked = store.transact_now(lambda ledger, n=number, k=keys, a=amount: book(ledger, f"c-{n}", k, a))
            except BudgetExceededError:
                assert any(expected[key] + amount > capped[key] for key in keys)
                continue
            assert isinstance(booked, Reserved)
            held.append((number, keys, booked, amount))
            change = amount
        elif move == "lose":
            store.transact_now(lambda ledger: recover_lost(ledger, None))
            change = 0
        elif held:
            booked_number, keys, booked, reserved = held.pop(amount % len(held))
            cost = min(amount, reserved)
            store.transact_now(
                partial(
                    end,
                    call_id=f"c-{booked_number}",
                    keys=keys,
                    booked=booked,
                    reserved_microusd=reserved,
                    cost_microusd=cost,
                )
            )
            change = cost - reserved
        else:
            continue
        for key in keys if move != "lose" else ():
            expected[key] += change
        for key, cap_microusd in capped.items():
            books = read(store, key)
            assert books.spent_microusd + books.reserved_microusd == expected[key] <= cap_microusd
