"""Doors of the kernel that need no file name: each is tried by number, inside and (as a control) outside."""

import os
import platform
import struct

import pytest

from services.pas.sandbox import seccomp

pytestmark = pytest.mark.sandbox

NUMBERS = seccomp._ARCHITECTURES[platform.machine()].numbers
SPECIAL = seccomp._SPECIAL
# These would do harm outside when root calls them, even with empty arguments; inside they are refused like the rest.
HARMFUL = {"vhangup", "reboot", "sethostname", "setdomainname", "settimeofday", "acct", "swapoff", "syslog", "chroot"}
# An ordinary user gets past these outside, so the control holds for every user.
OPEN_TO_ALL = {"keyctl", "ptrace", "process_vm_readv", "kcmp", "name_to_handle_at", "io_uring_enter", "request_key"}
DENIED = sorted(set(NUMBERS) - SPECIAL)


async def test_denied_system_calls_are_refused_inside_and_do_something_else_outside(lane, outside):
    harmless = {name: NUMBERS[name] for name in DENIED if name not in HARMFUL}
    control = outside(f"found = {{name: syscall(n, 0, 0, 0, 0, 0) for name, n in {harmless!r}.items()}}")
    assert all(control[name] != "EPERM" for name in OPEN_TO_ALL), control
    calls = {name: NUMBERS[name] for name in DENIED}
    inside = await lane.attack(f"found = {{name: syscall(n, 0, 0, 0, 0, 0) for name, n in {calls!r}.items()}}")
    assert inside == dict.fromkeys(DENIED, "EPERM")


NAMESPACES = {"user": 0x10000000, "mount": 0x20000, "net": 0x40000000, "pid": 0x20000000, "time": 0x80}


@pytest.mark.parametrize("name", NAMESPACES)
async def test_no_namespace_can_be_made(lane, name, outside):
    flags = NAMESPACES[name]
    code = f"found = syscall({NUMBERS['unshare']}, {flags} | 0x10000000)"
    assert outside(code) == "ok"
    assert await lane.attack(code) == "EPERM"


async def test_clone_cannot_make_a_user_namespace_and_clone3_does_not_exist(lane, outside):
    code = f"""
pid = libc.syscall(ctypes.c_long({NUMBERS["clone"]}), ctypes.c_long(0x10000000 | 17), 0, 0, 0, 0)
if pid == 0:
    os._exit(0)
found = ['ok' if pid > 0 else errno.errorcode[ctypes.get_errno()], syscall({NUMBERS["clone3"]}, 0, 0)]
"""
    assert outside(code) == ["ok", "EINVAL"]
    assert await lane.attack(code) == ["EPERM", "ENOSYS"]


async def test_without_the_filter_nothing_is_won_either(lane, monkeypatch):
    """The layers hold each on its own: no rights to mount, and nested user namespaces are off in the kernel too."""
    allow_all = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
    monkeypatch.setattr("services.pas.sandbox.bubblewrap.build_filter", lambda machine: allow_all)
    code = f"""
found = [
    syscall({NUMBERS["unshare"]}, 0x20000), syscall({NUMBERS["fsopen"]}, 0, 0), syscall({NUMBERS["chroot"]}, 0),
    syscall({NUMBERS["unshare"]}, 0x10000000),
]
"""
    *rights, nested = await lane.attack(code)
    assert "ok" not in rights
    assert "disable-userns" not in lane.isolation.describe().features or nested == "ENOSPC"


async def test_calls_newer_than_the_reviewed_table_do_not_exist(lane):
    numbers = [seccomp.NEWEST_REVIEWED + 1, seccomp.NEWEST_REVIEWED + 30, 5000]
    code = f"found = [syscall(n, 0, 0, 0) for n in {numbers!r}]"
    assert await lane.attack(code) == ["ENOSYS"] * 3


SOCKETS = {"vsock": 40, "netlink": 16, "packet": 17, "alg": 38, "bluetooth": 31, "xdp": 44}


async def test_only_unix_and_internet_sockets_can_be_made(lane, outside):
    code = f"""
def outcome(family):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind).close()
            return 'ok'
        except OSError as error:
            code = errno.errorcode[error.errno]
    return code
found = {{name: outcome(family) for name, family in {SOCKETS!r}.items()}}
found['inet'], found['unix'] = outcome(socket.AF_INET), outcome(socket.AF_UNIX)
"""
    assert outside(code)["netlink"] == "ok"
    assert await lane.attack(code) == dict.fromkeys(SOCKETS, "EAFNOSUPPORT") | {"inet": "ok", "unix": "ok"}


async def test_socket_family_with_a_bit_above_32_is_still_refused(lane):
    code = f"found = syscall({NUMBERS['socket']}, 16 | 1 << 40, 3, 0)"
    assert await lane.attack(code) == "EAFNOSUPPORT"


@pytest.mark.parametrize("request_number", [0x5412, 0x541C, 0x5412 | 1 << 40])
async def test_nothing_can_be_typed_into_a_terminal(lane, request_number, outside):
    code = f"found = syscall({NUMBERS['ioctl']}, 1, {request_number}, 0)"
    assert outside(code) == "ENOTTY"
    assert await lane.attack(code) == "EPERM"


async def test_there_is_no_controlling_terminal(lane):
    assert await lane.attack("found = error_of(os.open, '/dev/tty', os.O_RDWR)") == "ENXIO"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int 0x80 and x32 exist on x86_64 only")
@pytest.mark.parametrize(
    "code_bytes",
    [
        b"\xb8\x14\x00\x00\x00\xcd\x80\xc3",  # mov eax, 20 (getpid, 32 bit); int 0x80; ret
        b"\xb8\x27\x00\x00\x40\x0f\x05\xc3",  # mov eax, 0x40000000 | 39 (getpid, x32); syscall; ret
    ],
    ids=["int80", "x32"],
)
async def test_foreign_call_convention_kills_the_process(lane, code_bytes, outside):
    code = f"""
import mmap
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write({code_bytes!r})
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
pid = os.fork()
if pid == 0:
    ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    os._exit(0)
found = os.WTERMSIG(os.waitpid(pid, 0)[1])
"""
    assert outside(code) != 31
    assert await lane.attack(code) == 31  # SIGSYS


async def test_command_has_a_session_of_its_own_inside(lane):
    assert await lane.attack("found = os.getsid(0) != 0")  # 0 would be a session that began outside


async def test_user_inside_is_the_lane_and_never_root(lane):
    assert await lane.attack("found = [os.getuid(), os.geteuid(), os.getgid()]") == [65533, 65533, 65533]
    assert set(await lane.attack("found = os.getgroups()")) <= {65533, 65534}
    assert await lane.attack("found = error_of(os.setuid, 0)") == "EINVAL"  # uid 0 is not even mapped


async def test_host_side_identity_is_an_unprivileged_uid(lane, workspace):
    await lane.attack("open('made', 'w').close()")
    owner = (workspace / "made").stat().st_uid
    assert owner == (65533 if os.geteuid() == 0 else os.geteuid())
    assert owner != 0


async def test_ordinary_programs_still_work(lane):
    code = """
import threading, tempfile
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
server = socket.create_server(('127.0.0.1', 0)); client = socket.create_connection(server.getsockname()); client.close()
with tempfile.TemporaryDirectory() as directory: os.chmod(directory, 0o2775)
import multiprocessing
lock = multiprocessing.Lock()
found = subprocess.run(['/bin/sh', '-c', 'echo $((1+1))'], capture_output=True).stdout.decode().strip()
"""
    assert await lane.attack(code) == "2"
