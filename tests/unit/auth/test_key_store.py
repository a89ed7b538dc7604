"""Keys on disk: private, atomic, rotated with a grace, refused in one line when they cannot be trusted."""

import asyncio
import base64
import json
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from services.auth.core.ports import CLIENT_ALGORITHM
from services.auth.files import KeysUnreadableError, write_private
from services.auth.jwk import JwksFile, compute_thumbprint
from services.auth.keys import GRACE_S, PUBLISH_S, open_keys, read_keys
from services.auth.models import MAX_SERVICE_TTL_S, Jwk, Jwks
from services.auth.protocol import RotationPendingError
from services.kernel.errors import InternalError, UnavailableError
from services.kernel.vocabulary import ServiceName
from tests.fakes.time import HandClock


def refuse(directory, reason):
    with pytest.raises(KeysUnreadableError, match=reason) as caught:
        read_keys(directory, HandClock())
    assert "\n" not in caught.value.detail


def test_everything_that_is_created_is_private(tmp_path):
    directory = tmp_path / "home" / "auth"
    open_keys(directory, HandClock())
    for path in [directory, *directory.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_second_start_keeps_every_key(key_directory):
    before = {path: path.read_bytes() for path in key_directory.rglob("*") if path.is_file()}
    open_keys(key_directory, HandClock())
    assert {path: path.read_bytes() for path in key_directory.rglob("*") if path.is_file()} == before


def test_start_after_a_kill_between_key_and_manifest_ends_with_one_key_set(key_directory):
    (key_directory / "keyset.json").unlink()
    keys = open_keys(key_directory, HandClock())
    assert len(keys.get_jwks().keys) == 1
    assert read_keys(key_directory, HandClock()).get_jwks() == keys.get_jwks()


def test_key_names_are_their_thumbprints(key_directory):
    key = read_keys(key_directory, HandClock()).get_signing_key()
    assert key.kid == compute_thumbprint(key.private.public_key())


def test_thumbprint_is_the_one_of_the_example_in_rfc_7638():
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    n = int.from_bytes(base64.urlsafe_b64decode(modulus + "=="), "big")
    assert compute_thumbprint(RSAPublicNumbers(65537, n).public_key()) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("name", ["bootstrap", "keyset.json"])
def test_file_that_others_can_read_is_refused_with_the_cure(key_directory, name):
    (key_directory / name).chmod(0o640)
    with pytest.raises(KeysUnreadableError, match=f"open to others .mode 0640.; run `chmod 0600 .*{name}`"):
        read_keys(key_directory, HandClock()).get_bootstrap_secret()


def test_directory_that_others_can_enter_is_refused_with_the_cure(key_directory):
    key_directory.chmod(0o755)
    refuse(key_directory, "chmod 0700")
    with pytest.raises(KeysUnreadableError, match="chmod 0700"):
        open_keys(key_directory, HandClock())


def test_signing_key_that_others_can_read_is_refused(key_directory):
    next((key_directory / "signing").iterdir()).chmod(0o604)
    refuse(key_directory, "open to others")


def test_missing_directory_names_what_creates_it(tmp_path):
    refuse(tmp_path / "nowhere", "direng up")


def test_directory_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeysUnreadableError, match="cannot create the key directory"):
        open_keys(tmp_path / "file" / "auth", HandClock())


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 2, "keys": []}', b'{"version": 1, "keys": []}'])
def test_damaged_manifest_is_refused(key_directory, content):
    write_private(key_directory / "keyset.json", content)
    refuse(key_directory, "keyset.json is damaged")


def test_manifest_cannot_name_a_file_elsewhere(key_directory):
    record = {"kid": "../../../../../../../../etc/passwd-and-then-", "signs_from": 0}
    write_private(key_directory / "keyset.json", json.dumps({"keys": [record]}).encode())
    refuse(key_directory, "damaged")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_damaged_key_is_refused(key_directory, content):
    write_private(next((key_directory / "signing").iterdir()), content)
    refuse(key_directory, "damaged")


def test_key_of_another_kind_under_a_signing_name_is_refused(key_directory):
    client = (key_directory / "clients" / "pex.pem").read_bytes()
    write_private(next((key_directory / "signing").iterdir()), client)
    refuse(key_directory, "not the RSA key")


def test_symbolic_link_in_place_of_a_key_is_not_followed(key_directory, tmp_path):
    path = next((key_directory / "signing").iterdir())
    path.rename(tmp_path / "moved.pem")
    path.symlink_to(tmp_path / "moved.pem")
    refuse(key_directory, "cannot read")


def test_failed_write_leaves_the_old_content(key_directory):
    target = key_directory / "signing"
    before = sorted(path.name for path in key_directory.rglob("*"))
    with pytest.raises(KeysUnreadableError, match="cannot write"):
        write_private(target, b"x")  # a directory cannot be replaced by a file
    assert sorted(path.name for path in key_directory.rglob("*")) == before


def test_lock_that_cannot_be_taken_is_one_clear_line(key_directory):
    (key_directory / ".lock").unlink()
    (key_directory / ".lock").mkdir()
    with pytest.raises(KeysUnreadableError, match="cannot lock the key directory"):
        open_keys(key_directory, HandClock())


def test_every_service_has_its_own_registered_client_key(key_directory):
    keys = read_keys(key_directory, HandClock())
    pairs = [(keys.get_client_key(name), keys.find_client_key(name)) for name in ServiceName]
    assert all(private.kid == public.kid and public.alg == CLIENT_ALGORITHM for private, public in pairs)
    assert len({private.kid for private, _ in pairs}) == len(ServiceName)


def test_client_key_whose_private_half_lives_elsewhere_is_kept(key_directory):
    public = read_keys(key_directory, HandClock()).find_client_key(ServiceName.PEX)
    (key_directory / "clients" / "pex.pem").unlink()
    keys = open_keys(key_directory, HandClock())
    assert keys.find_client_key(ServiceName.PEX).kid == public.kid
    assert not (key_directory / "clients" / "pex.pem").exists()


def test_service_without_a_registration_has_no_key(key_directory):
    (key_directory / "clients" / "pex.pub.pem").unlink()
    assert read_keys(key_directory, HandClock()).find_client_key(ServiceName.PEX) is None


def test_new_key_is_published_before_it_signs_and_both_survive_a_restart(key_directory):
    clock = HandClock()
    keys = read_keys(key_directory, clock)
    old = keys.get_signing_key().kid
    rotation = keys.rotate()
    assert {jwk.kid for jwk in keys.get_jwks().keys} == {old, rotation.kid}
    assert Jwks.model_validate_json((key_directory / "jwks.json").read_bytes()) == keys.get_jwks()
    assert keys.get_signing_key().kid == old
    clock.advance(PUBLISH_S)
    assert keys.get_signing_key().kid == rotation.kid
    assert read_keys(key_directory, clock).get_signing_key().kid == rotation.kid
    assert GRACE_S > MAX_SERVICE_TTL_S, "a token signed at the last moment outlives no key"


def test_second_rotation_waits_for_the_first(key_directory):
    clock = HandClock()
    keys = read_keys(key_directory, clock)
    keys.rotate()
    with pytest.raises(RotationPendingError, match=f"in {PUBLISH_S} s"):
        keys.rotate()
    with pytest.raises(RotationPendingError):
        read_keys(key_directory, clock).rotate()
    assert len(keys.get_jwks().keys) == 2


def test_retired_key_leaves_the_disk_with_the_next_rotation(key_directory):
    clock = HandClock()
    keys = read_keys(key_directory, clock)
    first = keys.get_signing_key().kid
    keys.rotate()
    clock.advance(PUBLISH_S + GRACE_S)
    assert asyncio.run(keys.find_key(first)) is None
    second = keys.rotate()
    files = {path.stem for path in (key_directory / "signing").iterdir()}
    assert first not in files
    assert files == {second.kid, second.previous_kid}


def test_clock_before_every_key_is_refused(key_directory):
    clock = HandClock()
    clock.advance(-10)
    with pytest.raises(KeysUnreadableError, match="compare the clock"):
        read_keys(key_directory, clock).get_signing_key()


async def test_key_set_file_is_read_again_after_a_rotation(key_directory):
    source = JwksFile(key_directory / "jwks.json")
    keys = read_keys(key_directory, HandClock())
    old = keys.get_signing_key().kid
    assert await source.find_key("unknown") is None
    new = keys.rotate().kid
    assert [(await source.find_key(kid)).kid for kid in (old, new)] == [old, new]


async def test_missing_key_set_file_is_unavailable(tmp_path):
    with pytest.raises(UnavailableError, match="cannot read the key set"):
        await JwksFile(tmp_path / "jwks.json").find_key("x")


@pytest.mark.parametrize(
    "change",
    [{"kid": "another"}, {"alg": "HS256"}, {"use": "enc"}, {"kty": "oct"}, {"n": "AQAB"}, {"e": "AA"}, {"n": "é"}],
)
async def test_key_set_with_a_key_that_is_not_what_it_says_is_refused(key_directory, tmp_path, change):
    jwk: Jwk = read_keys(key_directory, HandClock()).get_jwks().keys[0]
    path = tmp_path / "jwks.json"
    path.write_text(Jwks(keys=(jwk.model_copy(update=change),)).model_dump_json())
    with pytest.raises(InternalError, match="malformed"):
        await JwksFile(path).find_key(jwk.kid)
