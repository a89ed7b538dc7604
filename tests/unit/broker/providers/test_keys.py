"""Keys by reference: from the environment handed in, from the vault, and told by name when they are not there."""

import pytest

from services.broker.core.ports import WireError
from services.broker.models import AttemptOutcome
from services.broker.providers.keys import ReferencedKeys
from services.security.vault import Vault

SECRET = "sk-secret-0123456789"


@pytest.fixture
def vault(tmp_path):
    return Vault.open(tmp_path / "vault")


def miss(keys, ref):
    with pytest.raises(WireError) as caught:
        keys.resolve(ref)
    assert caught.value.outcome is AttemptOutcome.KEY_MISSING
    assert not caught.value.is_billable
    assert SECRET not in caught.value.detail
    return caught.value.detail


def test_key_comes_from_the_environment_as_it_is_now(vault):
    environ = {"NAME": f" {SECRET}\n"}
    keys = ReferencedKeys(environ, vault)
    assert keys.resolve("env:NAME") == SECRET
    environ["NAME"] = "sk-other"
    assert keys.resolve("env:NAME") == "sk-other"


def test_key_comes_from_the_vault_as_it_is_now(vault):
    keys = ReferencedKeys({}, vault)
    assert "vault:mine is missing" in miss(keys, "vault:mine")
    vault.put("mine", SECRET)
    assert keys.resolve("vault:mine") == SECRET


@pytest.mark.parametrize("value", [None, "", "  "])
def test_missing_variable_is_told_by_its_reference(vault, value):
    environ = {} if value is None else {"NAME": value}
    assert "env:NAME is missing: set NAME" in miss(ReferencedKeys(environ, vault), "env:NAME")


@pytest.mark.parametrize("value", [f"{SECRET}\n{SECRET}", f"Bearer {SECRET}", "schlüssel", "a\x00b"])
def test_value_that_no_header_can_carry_is_refused_unshown(vault, value):
    assert "env:NAME" in miss(ReferencedKeys({"NAME": value}, vault), "env:NAME")


@pytest.mark.parametrize("ref", ["", "NAME", "file:/etc/passwd", SECRET])
def test_reference_that_is_none_is_not_shown(vault, ref):
    assert "neither env:NAME nor vault:NAME" in miss(ReferencedKeys({}, vault), ref)


def test_unreadable_vault_is_told(vault, tmp_path):
    vault.put("mine", SECRET)
    (tmp_path / "vault" / "key").unlink()
    assert "vault:mine cannot be read" in miss(ReferencedKeys({}, vault), "vault:mine")


def test_repr_shows_no_environment(vault):
    assert SECRET not in repr(ReferencedKeys({"NAME": SECRET}, vault))
