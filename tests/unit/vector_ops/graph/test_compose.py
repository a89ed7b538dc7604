"""docker-compose.yml gives users a Neo4j that the settings of Vector-Ops reach."""

import re
from pathlib import Path

import pytest
import yaml
from neo4j.exceptions import AuthError

from cli.index_checks import examine_index
from services.kernel.errors import InvalidRequestError
from services.vector_ops.graph.neo4j_store import GraphStoreAwayError, reaching
from services.vector_ops.settings import VectorOpsSettings
from services.vector_ops.shelf import open_driver

FILE = Path(__file__).resolve().parents[4] / "docker-compose.yml"
SERVICE = yaml.safe_load(FILE.read_text())["services"]["neo4j"]


def test_the_version_is_pinned_to_the_one_that_is_tested():
    image, _, tag = SERVICE["image"].partition(":")
    assert image == "neo4j"
    assert re.fullmatch(r"5\.\d+-community", tag)


def test_the_variables_of_its_header_are_settings_and_open_a_driver(monkeypatch, tmp_path):
    exported = dict(re.findall(r"\b(VECTOR_OPS_\w+)=(\S+)", FILE.read_text()))
    fields = {f"VECTOR_OPS_{name}".upper() for name in VectorOpsSettings.model_fields}
    assert exported
    assert set(exported) <= fields
    monkeypatch.setenv("NEO4J_PASSWORD", "a password")
    for name, value in exported.items():
        monkeypatch.setenv(name, value.replace("$NEO4J_PASSWORD", "a password"))
    settings = VectorOpsSettings(index_dir=tmp_path)
    assert settings.neo4j_url.endswith(":7687")
    assert SERVICE["environment"]["NEO4J_AUTH"].startswith(f"{settings.neo4j_user}/${{NEO4J_PASSWORD:?")
    assert settings.neo4j_password.get_secret_value() == "a password"
    open_driver(settings).close()


def test_every_port_is_for_this_machine_alone():
    assert SERVICE["ports"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICE["ports"])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7474", "127.0.0.1:7687", "bolt://user:hunter2@[", "bolt://x:99999999"]
)
def test_a_url_that_is_none_of_neo4js_is_one_line_without_what_it_holds(tmp_path, url):
    with pytest.raises(InvalidRequestError, match="give one such as bolt://") as caught:
        open_driver(VectorOpsSettings(index_dir=tmp_path, neo4j_url=url, neo4j_password="hunter2"))
    assert "\n" not in caught.value.detail
    assert "hunter2" not in caught.value.detail


def test_the_password_is_in_no_printed_form_of_the_settings(tmp_path):
    settings = VectorOpsSettings(index_dir=tmp_path, neo4j_password="hunter2")
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_a_wrong_password_is_named_as_such_and_not_as_a_server_that_is_away():
    with pytest.raises(GraphStoreAwayError, match="the user or the password; set VECTOR_OPS_NEO4J_USER"), reaching():
        raise AuthError("The client is unauthorized due to authentication failure.")


def test_the_doctor_says_in_one_line_that_an_address_is_none():
    found = examine_index("/", {"VECTOR_OPS_NEO4J_URL": "ftp://user:hunter2@host", "DIRENG_HOME": "/nowhere"})
    (check,) = (one for one in found if one["name"] == "graph store")
    assert (check["is_good"], check["detail"]) == (False, "VECTOR_OPS_NEO4J_URL is no address of Neo4j")
