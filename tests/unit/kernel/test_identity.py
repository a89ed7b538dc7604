"""Ids and callers."""

import re

import pytest

from services.kernel.caller import Caller, ScopeMissingError
from services.kernel.endpoints import ENDPOINT_SCOPES
from services.kernel.ids import ID_PATTERN, new_id, new_trace_id
from services.kernel.vocabulary import PORTS, Scope, ServiceName


def test_new_ids_are_unique_and_fit_the_pattern_of_ids():
    ids = [new_id("run") for _ in range(2000)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(ID_PATTERN, one) for one in ids)


def test_ids_sort_by_the_millisecond_they_were_made_in():
    heads = [new_id("run")[:12] for _ in range(500)]
    assert heads == sorted(heads)


def test_trace_id_is_32_lower_case_hex_digits():
    assert re.fullmatch(r"[0-9a-f]{32}", new_trace_id())


@pytest.mark.parametrize("bad", ["", "..", ".hidden", "-x", "a/b", "a\\b", "a b", "a\n", "é", "a" * 129])
def test_id_that_could_be_a_path_or_an_option_does_not_fit_the_pattern(bad):
    # pydantic's `$` is the end of the text; Python's would also accept one line feed before it.
    assert re.search(ID_PATTERN.removesuffix("$") + r"\Z", bad) is None


def test_caller_with_the_scope_passes_and_without_it_is_told_which():
    caller = Caller("user:me", frozenset({"plms.approve"}))
    caller.require(Scope.PLMS_APPROVE)
    with pytest.raises(ScopeMissingError, match=r"user:me lacks the scope auth\.admin"):
        caller.require(Scope.AUTH_ADMIN)


def test_scope_is_a_whole_word_and_never_a_prefix():
    with pytest.raises(ScopeMissingError):
        Caller("user:me", frozenset({"plms.approve_all", "plms", "*", ""})).require(Scope.PLMS_APPROVE)


def test_token_is_not_shown_when_a_caller_is_printed():
    assert "secret-token" not in repr(Caller("user:me", frozenset(), "secret-token"))


def test_only_health_keys_and_the_token_endpoint_are_open():
    is_open = {(name, end) for name, table in ENDPOINT_SCOPES.items() for end, scope in table.items() if scope is None}
    health = {(name, "GET /health") for name in ENDPOINT_SCOPES}
    auth = {(ServiceName.AUTH, "GET /.well-known/jwks.json"), (ServiceName.AUTH, "POST /token")}
    assert is_open == health | auth


def test_every_service_has_its_own_port():
    assert set(PORTS) == set(ServiceName)
    assert len(set(PORTS.values())) == len(PORTS)
