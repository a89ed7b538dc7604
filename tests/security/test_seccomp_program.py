"""The filter as a program, run by a small interpreter: both processors are judged, whichever runs the tests."""

import errno
import struct

import pytest

from services.pas.sandbox import seccomp

ALLOW = "allow"
KILL = "kill"
X86, ARM = seccomp._X86_64, seccomp._AARCH64
MACHINES = {"x86_64": X86, "aarch64": ARM}
BOTH = pytest.mark.parametrize("machine", MACHINES)


def judge(machine, number, *arguments, audit=None):
    """Run the program on one system call as the kernel would."""
    program = list(struct.iter_unpack("<HBBI", seccomp.build_filter(machine)))
    padded = [argument & (2**64 - 1) for argument in (*arguments, 0, 0, 0, 0, 0, 0)][:6]
    data = struct.pack("<IIQ6Q", number, MACHINES[machine].audit if audit is None else audit, 0, *padded)
    accumulator = position = 0
    while True:
        code, on_true, on_false, value = program[position]
        position += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code in {0x15, 0x35, 0x45}:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            position += on_true if holds else on_false
        else:
            assert code == 0x06
            return outcome_of(value)


def outcome_of(value):
    if value == 0x7FFF0000:
        return ALLOW
    return KILL if value == 0x80000000 else errno.errorcode[value & 0xFFFF]


@BOTH
def test_every_denied_call_is_refused(machine):
    for name, number in MACHINES[machine].numbers.items():
        if name not in seccomp._SPECIAL:
            assert judge(machine, number) == "EPERM", name


@BOTH
def test_every_jump_stays_inside_the_program(machine):
    program = list(struct.iter_unpack("<HBBI", seccomp.build_filter(machine)))
    assert len(program) <= 4096
    for position, (code, on_true, on_false, _) in enumerate(program):
        if code in {0x15, 0x35, 0x45}:
            assert position + 1 + max(on_true, on_false) < len(program)
    assert program[-1][0] == 0x06


@BOTH
def test_foreign_architecture_is_killed(machine):
    assert judge(machine, 0, audit=0x40000003) == KILL  # i386
    assert judge(machine, 0, audit=0) == KILL


def test_x32_numbers_are_killed_and_ordinary_ones_pass():
    assert judge("x86_64", 0x40000000 | 39) == KILL
    assert judge("x86_64", 39) == ALLOW
    assert judge("aarch64", 172) == ALLOW


@BOTH
def test_unreviewed_numbers_do_not_exist(machine):
    assert judge(machine, seccomp.NEWEST_REVIEWED) == ALLOW
    assert judge(machine, seccomp.NEWEST_REVIEWED + 1) == "ENOSYS"


@BOTH
@pytest.mark.parametrize("flag", [0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
def test_clone_with_any_namespace_flag_is_refused(machine, flag):
    number = MACHINES[machine].numbers["clone"]
    assert judge(machine, number, flag | 17) == "EPERM"
    assert judge(machine, number, 0x003D0F00) == ALLOW  # what a thread library passes


@BOTH
def test_calls_with_flags_in_memory_do_not_exist(machine):
    numbers = MACHINES[machine].numbers
    assert judge(machine, numbers["clone3"]) == "ENOSYS"
    assert judge(machine, numbers["openat2"]) == "ENOSYS"


@BOTH
@pytest.mark.parametrize("call", ["socket", "socketpair"])
def test_socket_families_are_an_allowlist_on_the_low_half(machine, call):
    number = MACHINES[machine].numbers[call]
    for family in range(64):
        expected = ALLOW if family in {1, 2, 10} else "EAFNOSUPPORT"
        assert judge(machine, number, family) == expected
        assert judge(machine, number, family | 1 << 40) == expected


@BOTH
def test_terminal_injection_is_refused_on_the_low_half(machine):
    number = MACHINES[machine].numbers["ioctl"]
    for request in (0x5412, 0x541C):
        assert judge(machine, number, 0, request) == "EPERM"
        assert judge(machine, number, 0, request | 1 << 40) == "EPERM"
    assert judge(machine, number, 0, 0x5413) == ALLOW


@BOTH
def test_setuid_bit_is_refused_wherever_a_mode_is_given(machine):
    numbers = MACHINES[machine].numbers
    for name, position in seccomp._MODE_ARGUMENT.items():
        if name in numbers:
            arguments = [0, 0, 0, 0]
            for mode, expected in ((0o4755, "EPERM"), (0o2775, ALLOW), (0o644, ALLOW)):
                arguments[position] = mode
                assert judge(machine, numbers[name], *arguments) == expected, name


@BOTH
def test_mode_of_open_counts_only_when_a_file_is_made(machine):
    numbers = MACHINES[machine].numbers
    for name, (flags, mode) in seccomp._OPEN_ARGUMENTS.items():
        if name in numbers:
            for flag, bits, expected in (
                (0o100, 0o4755, "EPERM"),
                (0o20000000, 0o4755, "EPERM"),
                (0, 0o4755, ALLOW),
                (0o100, 0o644, ALLOW),
            ):
                arguments = [0, 0, 0, 0]
                arguments[flags], arguments[mode] = flag, bits
                assert judge(machine, numbers[name], *arguments) == expected


def test_unknown_processor_is_refused():
    with pytest.raises(seccomp.UnsupportedMachineError, match="riscv64"):
        seccomp.build_filter("riscv64")


def test_program_is_assembled_once():
    assert seccomp.build_filter("x86_64") is seccomp.build_filter("x86_64")
