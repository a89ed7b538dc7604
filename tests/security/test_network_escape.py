"""No lane reaches the network, the host's loopback or a socket of the host."""

import os
import socket

import pytest

pytestmark = pytest.mark.sandbox

CONNECT = """
def attempt(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(3)
        try:
            client.connect(address)
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
    return 'ok'
"""


async def test_listener_on_the_hosts_loopback_is_refused(lane, outside):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = CONNECT + f"found = attempt(socket.AF_INET, ('127.0.0.1', {server.getsockname()[1]}))"
        assert outside(code) == "ok"
        assert await lane.attack(code) == "ECONNREFUSED"


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("169.254.169.254", 80), ("8.8.8.8", 53), ("10.0.0.1", 443)])
async def test_outside_address_is_unreachable(lane, address):
    assert await lane.attack(CONNECT + f"found = attempt(socket.AF_INET, {address!r})") == "ENETUNREACH"


async def test_only_the_loopback_interface_exists(lane, outside):
    code = "found = sorted(line.split(':')[0].strip() for line in open('/proc/net/dev').read().splitlines()[2:])"
    assert await lane.attack(code) == ["lo"]


async def test_names_are_not_resolved(lane):
    code = """
try:
    found = socket.getaddrinfo('example.com', 80) and 'resolved'
except OSError as error:
    found = type(error).__name__
"""
    assert await lane.attack(code) == "gaierror"


async def test_abstract_socket_of_the_host_is_refused(lane, outside):
    name = f"\0direng-canary-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = CONNECT + f"found = attempt(socket.AF_UNIX, {name!r})"
        assert outside(code) == "ok"
        assert await lane.attack(code) == "ECONNREFUSED"


async def test_pathname_socket_of_the_host_does_not_exist_inside(lane, outside, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # socket paths are limited to 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("host.sock")
        server.listen()
        code = CONNECT + "found = attempt(socket.AF_UNIX, 'host.sock')"
        assert outside(code, cwd=tmp_path) == "ok"
        assert await lane.attack(code) == "ENOENT"
        place = CONNECT + "found = attempt(socket.AF_UNIX, '/inputs/host.sock')"
        assert await lane.attack(place) == "ENOENT"


async def test_well_known_host_sockets_do_not_exist_inside(lane):
    places = ["/var/run/docker.sock", "/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/private"]
    assert await lane.attack(f"found = [p for p in {places!r} if os.path.lexists(p)]") == []


async def test_datagrams_go_nowhere(lane):
    code = """
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    found = error_of(client.sendto, b'x', ('192.0.2.1', 53))
"""
    assert await lane.attack(code) == "ENETUNREACH"


async def test_process_environment_holds_nothing_of_the_hosts_network(lane):
    names = await lane.attack("found = sorted(os.environ)")
    assert set(names) <= {"PATH", "HOME", "LANG", "PWD", "LC_CTYPE"}
