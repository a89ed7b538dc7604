"""The system-call filter of every lane, assembled as classic BPF for x86_64 and aarch64.

What it is for: namespaces hide files, processes and the network, but leave kernel doors open that need no name:
AF_VSOCK sockets ignore network namespaces, TIOCSTI types into the operator's terminal, nested user namespaces and the
mount API reach rarely tested code. Each is answered with an error that ordinary programs handle; a foreign call
convention (int 0x80, x32), through which the numbers below would mean something else, kills the process.

Numbers are those of the kernel's `unistd` tables; a number newer than the newest one reviewed is answered ENOSYS, which
C libraries take as "old kernel".
"""

import errno
import functools
import struct
from collections.abc import Iterable
from dataclasses import dataclass

_OFFSET_NR = 0
_OFFSET_ARCH = 4
_OFFSET_ARGS = 16

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

_X32_BIT = 0x40000000
NEWEST_REVIEWED = 469
"""file_setattr, Linux 6.17; the tables agree between architectures from 424 on."""

_CLONE_NEW_ANY = 0x7E020080
"""Every CLONE_NEW* flag: namespaces are made by the platform, not by a lane."""
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_SOCKET_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_SETUID_BIT = 0o4000
_OPEN_MAKES_FILE = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE

_COMMON = {
    "pidfd_getfd": 438, "process_madvise": 440, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442, "quotactl_fd": 443, "open_tree_attr": 467,
    "clone3": 435, "openat2": 437, "fchmodat2": 452,
}  # fmt: skip


@dataclass(frozen=True)
class _Architecture:
    audit: int
    has_x32: bool
    numbers: dict[str, int]


_X86_64 = _Architecture(
    audit=0xC000003E,
    has_x32=True,
    numbers=_COMMON
    | {
        "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "ptrace": 101, "process_vm_readv": 310,
        "process_vm_writev": 311, "kcmp": 312, "keyctl": 250, "add_key": 248, "request_key": 249, "bpf": 321,
        "userfaultfd": 323, "perf_event_open": 298, "setns": 308, "unshare": 272, "kexec_load": 246,
        "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176,
        "open_by_handle_at": 304, "name_to_handle_at": 303, "reboot": 169, "swapon": 167, "swapoff": 168,
        "syslog": 103, "acct": 163, "quotactl": 179, "lookup_dcookie": 212, "nfsservctl": 180, "vhangup": 153,
        "fanotify_init": 300, "iopl": 172, "ioperm": 173, "modify_ldt": 154, "uselib": 134, "_sysctl": 156,
        "create_module": 174, "get_kernel_syms": 177, "query_module": 178, "ustat": 136, "sysfs": 139,
        "settimeofday": 164, "clock_settime": 227, "sethostname": 170, "setdomainname": 171,
        "clone": 56, "socket": 41, "socketpair": 53, "ioctl": 16, "chmod": 90, "fchmod": 91, "fchmodat": 268,
        "open": 2, "creat": 85, "openat": 257, "mknod": 133, "mknodat": 259,
    },
)  # fmt: skip

_AARCH64 = _Architecture(
    audit=0xC00000B7,
    has_x32=False,
    numbers=_COMMON
    | {
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "ptrace": 117, "process_vm_readv": 270,
        "process_vm_writev": 271, "kcmp": 272, "keyctl": 219, "add_key": 217, "request_key": 218, "bpf": 280,
        "userfaultfd": 282, "perf_event_open": 241, "setns": 268, "unshare": 97, "kexec_load": 104,
        "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106,
        "open_by_handle_at": 265, "name_to_handle_at": 264, "reboot": 142, "swapon": 224, "swapoff": 225,
        "syslog": 116, "acct": 89, "quotactl": 60, "lookup_dcookie": 18, "nfsservctl": 42, "vhangup": 58,
        "fanotify_init": 262, "settimeofday": 170, "clock_settime": 112, "sethostname": 161, "setdomainname": 162,
        "clone": 220, "socket": 198, "socketpair": 199, "ioctl": 29, "fchmod": 52, "fchmodat": 53, "openat": 56,
        "mknodat": 33,
    },
)  # fmt: skip

_ARCHITECTURES = {"x86_64": _X86_64, "amd64": _X86_64, "aarch64": _AARCH64, "arm64": _AARCH64}

_MODE_ARGUMENT = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1, "mknodat": 2}
_OPEN_ARGUMENTS = {"open": (1, 2), "openat": (2, 3)}
_SPECIAL = {"clone3", "clone", "openat2", "socket", "socketpair", "ioctl", *_MODE_ARGUMENT, *_OPEN_ARGUMENTS}


class UnsupportedMachineError(LookupError):
    """There is no system-call table for this processor."""


def _instruction(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, on_true, on_false, value)


def _error(number: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | number)


def _load_argument(index: int) -> bytes:
    """Load the low 32 bits: the kernel takes ints here, so a bit set above them must not slip through."""
    return _instruction(_LOAD, _OFFSET_ARGS + 8 * index)


def _when(number: int, body: bytes) -> bytes:
    """Run `body` for one system call; a body ends in a return on every path, so the number stays loaded otherwise."""
    return _instruction(_JUMP_EQUAL, number, 0, len(body) // 8) + body


def _deny_bits(argument: int, mask: int) -> bytes:
    allow = _instruction(_RETURN, _ALLOW)
    return _load_argument(argument) + _instruction(_JUMP_ANY_BIT, mask, 0, 1) + _error(errno.EPERM) + allow


def _deny_values(argument: int, values: Iterable[int]) -> bytes:
    body = b"".join(_instruction(_JUMP_EQUAL, value, 0, 1) + _error(errno.EPERM) for value in values)
    return _load_argument(argument) + body + _instruction(_RETURN, _ALLOW)


def _only_values(argument: int, values: Iterable[int], error: int) -> bytes:
    allow = _instruction(_RETURN, _ALLOW)
    body = b"".join(_instruction(_JUMP_EQUAL, value, 0, 1) + allow for value in values)
    return _load_argument(argument) + body + _error(error)


def _deny_setuid_creation(flags_argument: int, mode_argument: int) -> bytes:
    """Look at the mode of an open only when it makes a file; otherwise the register holds anything."""
    makes_file = _deny_bits(mode_argument, _SETUID_BIT)
    skip = _instruction(_JUMP_ANY_BIT, _OPEN_MAKES_FILE, 0, len(makes_file) // 8)
    return _load_argument(flags_argument) + skip + makes_file + _instruction(_RETURN, _ALLOW)


def _special_rules(numbers: dict[str, int]) -> bytes:
    rules = [
        # Flags of clone3 and modes of openat2 lie in memory, where no filter can look: programs fall back to the old.
        _when(numbers["clone3"], _error(errno.ENOSYS)),
        _when(numbers["openat2"], _error(errno.ENOSYS)),
        _when(numbers["clone"], _deny_bits(0, _CLONE_NEW_ANY)),
        _when(numbers["socket"], _only_values(0, _SOCKET_FAMILIES, errno.EAFNOSUPPORT)),
        _when(numbers["socketpair"], _only_values(0, _SOCKET_FAMILIES, errno.EAFNOSUPPORT)),
        _when(numbers["ioctl"], _deny_values(1, _TERMINAL_INJECTION)),
    ]
    for name, argument in _MODE_ARGUMENT.items():
        if name in numbers:
            rules.append(_when(numbers[name], _deny_bits(argument, _SETUID_BIT)))
    for name, (flags, mode) in _OPEN_ARGUMENTS.items():
        if name in numbers:
            rules.append(_when(numbers[name], _deny_setuid_creation(flags, mode)))
    return b"".join(rules)


@functools.cache
def build_filter(machine: str) -> bytes:
    """Return the program for `machine` (as `platform.machine()` names it), 8 bytes an instruction.

    Raises UnsupportedMachineError for a processor without a table here.
    """
    architecture = _ARCHITECTURES.get(machine.lower())
    if architecture is None:
        raise UnsupportedMachineError(f"no system-call filter for processor {machine!r}; use x86_64 or aarch64")
    numbers = architecture.numbers
    program = [
        _instruction(_LOAD, _OFFSET_ARCH),
        _instruction(_JUMP_EQUAL, architecture.audit, 1, 0),
        _instruction(_RETURN, _KILL_PROCESS),
        _instruction(_LOAD, _OFFSET_NR),
    ]
    if architecture.has_x32:
        program += [_instruction(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _instruction(_RETURN, _KILL_PROCESS)]
    program += [_instruction(_JUMP_AT_LEAST, NEWEST_REVIEWED + 1, 0, 1), _error(errno.ENOSYS)]
    denied = sorted(number for name, number in numbers.items() if name not in _SPECIAL)
    program += [_when(number, _error(errno.EPERM)) for number in denied]
    program += [_special_rules(numbers), _instruction(_RETURN, _ALLOW)]
    return b"".join(program)
