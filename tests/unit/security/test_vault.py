"""The file vault: private, encrypted, bound to names, one clear line when it cannot be read."""

import json
import logging
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.auth.files import KeysUnreadableError
from services.kernel.errors import NotFoundError
from services.security.vault import (
    MAX_SECRET_CHARS,
    SecretRefusedError,
    Vault,
    VaultNameError,
    VaultUnreadableError,
)

SECRET = "sk-very-secret-0123456789"


@pytest.fixture
def vault(tmp_path):
    vault = Vault.open(tmp_path / "vault")
    vault.put("openai", SECRET)
    return vault


def test_secret_comes_back_from_a_second_open(vault, tmp_path):
    assert Vault.open(tmp_path / "vault").get("openai") == SECRET


def test_second_put_replaces_the_secret(vault):
    vault.put("openai", "another")
    assert vault.get("openai") == "another"
    assert vault.list_names() == ("openai",)


def test_names_are_listed_sorted_and_removed_ones_are_gone(vault):
    vault.put("anthropic", "other")
    assert vault.list_names() == ("anthropic", "openai")
    vault.remove("openai")
    assert vault.list_names() == ("anthropic",)
    with pytest.raises(NotFoundError, match="no secret named openai"):
        vault.get("openai")


def test_missing_secret_is_not_found_before_anything_was_written(tmp_path):
    vault = Vault.open(tmp_path / "vault")
    with pytest.raises(NotFoundError):
        vault.get("openai")
    with pytest.raises(NotFoundError):
        vault.remove("openai")
    assert vault.list_names() == ()
    assert not (tmp_path / "vault").exists()


def test_everything_on_disk_is_private_and_nothing_holds_the_secret(vault, tmp_path):
    for path in [tmp_path / "vault", *(tmp_path / "vault").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes()


def test_repr_and_logs_hold_no_secret(vault, caplog):
    caplog.set_level(logging.DEBUG)
    vault.get("openai")
    assert SECRET not in repr(vault) + str(vars(vault)) + caplog.text


@pytest.mark.parametrize("name", ["", "../key", "a/b", "1st", "a b", "ä", "x" * 129, "a\n", "-x"])
def test_name_that_is_none_is_refused_by_every_call(vault, name):
    for call in (vault.get, vault.remove, lambda bad: vault.put(bad, "secret")):
        with pytest.raises(VaultNameError):
            call(name)


@pytest.mark.parametrize("secret", ["", " x", "x\n", "a\nb", "a\x00b", "x" * (MAX_SECRET_CHARS + 1)])
def test_secret_that_is_no_single_line_is_refused_and_not_echoed(vault, secret):
    with pytest.raises(SecretRefusedError) as caught:
        vault.put("openai", secret)
    assert vault.get("openai") == SECRET
    assert not secret or secret not in caught.value.detail


def test_swapped_entries_are_refused(vault, tmp_path):
    vault.put("other", "harmless")
    path = tmp_path / "vault" / "secrets.json"
    stored = json.loads(path.read_text())
    stored["tokens"]["other"] = stored["tokens"]["openai"]
    path.write_text(json.dumps(stored))
    with pytest.raises(VaultUnreadableError, match="does not open secret other"):
        vault.get("other")


def test_lost_key_is_told_and_never_replaced(vault, tmp_path):
    (tmp_path / "vault" / "key").unlink()
    with pytest.raises(VaultUnreadableError, match="key is missing; restore it"):
        vault.get("openai")
    with pytest.raises(VaultUnreadableError):
        vault.put("other", "x")
    assert not (tmp_path / "vault" / "key").exists()


def test_foreign_key_is_told_without_the_token(vault, tmp_path):
    token = json.loads((tmp_path / "vault" / "secrets.json").read_text())["tokens"]["openai"]
    (tmp_path / "vault" / "key").write_text("A" * 43 + "=\n")
    with pytest.raises(VaultUnreadableError) as caught:
        vault.get("openai")
    assert token not in caught.value.detail
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("content", ["", "{", '{"version":2,"tokens":{}}', '{"tokens":{"a":1}}'])
def test_damaged_file_is_told_in_one_line(vault, tmp_path, content):
    (tmp_path / "vault" / "secrets.json").write_text(content)
    with pytest.raises(VaultUnreadableError, match="is damaged") as caught:
        vault.get("openai")
    assert "\n" not in caught.value.detail


def test_file_open_to_others_is_refused_with_the_cure(vault, tmp_path):
    (tmp_path / "vault" / "key").chmod(0o644)
    with pytest.raises(KeysUnreadableError, match="chmod 0600"):
        vault.get("openai")


def test_puts_from_many_threads_are_all_kept(tmp_path):
    names = [f"key-{number}" for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: Vault.open(tmp_path / "vault").put(name, f"secret of {name}"), names))
    vault = Vault.open(tmp_path / "vault")
    assert {name: vault.get(name) for name in vault.list_names()} == {name: f"secret of {name}" for name in names}
