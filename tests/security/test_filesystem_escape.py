"""A lane sees its workspace, its interpreter and the system's programs, and writes only the workspace and /tmp."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from services.pas.core.isolation import Mount, UnsafeWorkspaceError

pytestmark = pytest.mark.sandbox


async def test_workspace_is_read_and_written(lane, workspace):
    (workspace / "in.txt").write_text("hello")
    assert await lane.attack("found = open('in.txt').read(); open('/lane/out.txt', 'w').write(found + '!')") == "hello"
    assert (workspace / "out.txt").read_text() == "hello!"


async def test_secret_beside_the_workspace_does_not_exist_inside(lane, canary, outside):
    code = f"found = error_of(open, {str(canary)!r})"
    assert outside(code) == "ok"
    assert await lane.attack(code) == "ENOENT"


async def test_homes_shadow_and_variable_data_do_not_exist_inside(lane, outside):
    code = (
        "found = [p for p in ('/home', '/etc/shadow', '/var', '/run', '/srv', '/mnt', '/boot', '/sys', '/etc/ssh')"
        " if os.path.lexists(p)]"
    )
    assert outside(code)
    assert await lane.attack(code) == []


async def test_root_directory_holds_only_the_profile(lane):
    listed = set(await lane.attack("found = os.listdir('/')"))
    own = {Path(part).parts[1] for part in (str(Path(os.sys.prefix)), str(Path(os.sys.base_prefix)))}
    assert (
        listed <= {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "dev", "proc", "tmp", "lane"} | own
    )


async def test_home_above_an_interpreter_shows_only_the_interpreter(lane, tmp_path):
    below = tmp_path / "home" / "deep" / "tool"
    below.mkdir(parents=True)
    (tmp_path / "home" / "private").write_text("x")
    mounts = (Mount(below, str(below)),)
    assert await lane.attack(f"found = os.listdir({str(tmp_path / 'home')!r})", mounts=mounts) == ["deep"]


async def test_symlink_to_a_secret_leads_nowhere_inside(lane, workspace, canary, outside):
    (workspace / "link").symlink_to(canary)
    assert outside("found = error_of(open, 'link')", cwd=workspace) == "ok"
    assert await lane.attack("found = error_of(open, 'link')") == "ENOENT"


async def test_system_file_cannot_be_hard_linked_into_the_workspace(lane, outside, tmp_path, canary):
    assert outside(f"found = error_of(os.link, {str(canary)!r}, {str(tmp_path / 'link')!r})") == "ok"
    assert await lane.attack("found = error_of(os.link, '/etc/passwd', 'passwd')") in {"EXDEV", "EPERM"}


@pytest.mark.parametrize("root", ["/proc/self/root", "/proc/1/root", "/proc/self/cwd/../..", "/proc/self/fd/../root"])
async def test_proc_root_links_lead_to_the_sandbox_root(lane, root, canary, outside):
    code = f"found = error_of(open, {root!r} + {str(canary)!r})"
    if root == "/proc/self/root":
        assert outside(code) == "ok"
    assert await lane.attack(code) in {"ENOENT", "EACCES", "ENOTDIR"}


@pytest.mark.parametrize(
    "path", ["/usr/bin/true", "/usr/new", "/etc/passwd", "/etc/new", "/new", "/dev/new", "/bin/new", "/proc/new"]
)
async def test_system_cannot_be_written(lane, path):
    assert await lane.attack(f"found = error_of(open, {path!r}, 'ab')") in {"EROFS", "EACCES", "ENOENT", "ETXTBSY"}


@pytest.mark.parametrize("name", ["kernel/core_pattern", "vm/drop_caches", "kernel/hostname"])
async def test_kernel_switches_cannot_be_written(lane, name, outside):
    code = f"found = error_of(os.open, '/proc/sys/{name}', os.O_WRONLY)"  # opening is enough: nothing is written
    if os.geteuid() == 0:
        assert outside(code) == "ok"
    assert await lane.attack(code) in {"EROFS", "EACCES"}


async def test_read_only_mount_cannot_be_written_and_a_writable_one_can(lane, tmp_path):
    for name in ("ro", "rw"):
        (tmp_path / name).mkdir(mode=0o777)
        (tmp_path / name).chmod(0o777)
    mounts = (Mount(tmp_path / "ro", "/inputs"), Mount(tmp_path / "rw", "/outputs", is_writable=True))
    code = "found = [error_of(open, d + '/x', 'w') for d in ('/inputs', '/outputs')]"
    assert await lane.attack(code, mounts=mounts) == ["EROFS", "ok"]
    assert (tmp_path / "rw" / "x").exists()


@pytest.mark.parametrize(
    "target", ["/", "/lane", "/lane/x", "/tmp", "/proc", "/proc/self", "/dev", "/dev/shm", "a", "/a/../b"]
)
async def test_mount_that_would_cover_the_sandbox_is_refused(lane, tmp_path, target):
    with pytest.raises(UnsafeWorkspaceError):
        await lane.run("/usr/bin/true", mounts=(Mount(tmp_path, target),))


GIT_ATTACK = """
found = [
    error_of(os.rename, '.git', 'moved'), error_of(os.rmdir, '.git'), error_of(os.mkdir, '.git/hooks'),
    error_of(open, '.git/config', 'w'), error_of(os.symlink, '/tmp', '.git'),
    os.listdir('.git') if os.path.isdir('.git') else None,
]
"""


async def test_git_directory_can_be_neither_made_nor_moved(lane, workspace, outside, tmp_path):
    control = tmp_path / "control"
    (control / ".git").mkdir(parents=True)
    assert outside(GIT_ATTACK, cwd=control)[0] == "ok"
    moved, removed, made, written, linked, listed = await lane.attack(GIT_ATTACK)
    assert (moved, removed) == ("EBUSY", "EBUSY")
    assert (made, written, linked) == ("EROFS", "EROFS", "EEXIST")
    assert listed == []
    assert list(workspace.iterdir()) == []  # the placeholder is gone


async def test_existing_git_directory_is_hidden_and_untouched(lane, workspace):
    (workspace / ".git").mkdir()
    (workspace / ".git" / "config").write_text("[core]")
    owner = (workspace / ".git" / "config").stat().st_uid
    assert (await lane.attack(GIT_ATTACK))[-1] == []
    assert (workspace / ".git" / "config").read_text() == "[core]"
    assert (workspace / ".git" / "config").stat().st_uid == owner


async def test_git_file_of_a_linked_worktree_is_hidden_and_cannot_be_rewritten(lane, workspace):
    (workspace / ".git").write_text("gitdir: /elsewhere")
    code = """
found = [
    open('.git').read(), error_of(open, '.git', 'w'), error_of(os.unlink, '.git'), error_of(os.rename, '.git', 'g')
]
"""
    assert await lane.attack(code) == ["", "EROFS", "EBUSY", "EBUSY"]
    assert (workspace / ".git").read_text() == "gitdir: /elsewhere"


async def test_symlink_named_git_is_refused(lane, workspace, tmp_path):
    (workspace / ".git").symlink_to(tmp_path)
    with pytest.raises(UnsafeWorkspaceError, match=r"\.git"):
        await lane.run("/usr/bin/true")


async def test_setuid_programs_gain_nothing(lane):
    code = """
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
found = {key: status[key].strip() for key in ('NoNewPrivs', 'CapEff', 'CapPrm', 'CapBnd', 'CapAmb', 'Seccomp')}
"""
    found = await lane.attack(code)
    zero = "0" * 16
    assert found == {"NoNewPrivs": "1", "CapEff": zero, "CapPrm": zero, "CapBnd": zero, "CapAmb": zero, "Seccomp": "2"}


async def test_setuid_files_and_devices_cannot_be_made(lane, workspace, outside):
    code = """
open('f', 'w').close()
found = [
    error_of(os.chmod, 'f', 0o4755), error_of(lambda: os.close(os.open('g', os.O_CREAT | os.O_WRONLY, 0o4755))),
    error_of(os.chmod, 'f', 0o755), error_of(os.mknod, 'd', 0o020666, os.makedev(1, 3)),
]
"""
    assert outside(code, cwd=workspace)[:3] == ["ok", "ok", "ok"]
    for name in ("f", "g", "d"):
        (workspace / name).unlink(missing_ok=True)
    assert await lane.attack(code) == ["EPERM", "EPERM", "ok", "EPERM"]
    assert not stat.S_IMODE((workspace / "f").stat().st_mode) & stat.S_ISUID


async def test_reclaimed_tree_belongs_to_the_server_and_follows_no_link(lane, workspace, canary):
    canary.chmod(0o640)
    (workspace / "link").symlink_to(canary)
    code = """
os.makedirs('locked/inner'); open('locked/inner/f', 'w').close(); os.chmod('locked/inner/f', 0)
os.chmod('locked/inner', 0); os.chmod('locked', 0); os.symlink('/', 'slash'); os.mkfifo('pipe')
"""
    await lane.attack(code)
    lane.isolation.reclaim(workspace)
    for path in [workspace, *workspace.rglob("*")]:
        assert path.lstat().st_uid == os.geteuid()
    assert (workspace / "locked/inner/f").read_text() == ""
    assert stat.S_IMODE((workspace / "locked").stat().st_mode) == 0o700
    assert stat.S_IMODE(canary.stat().st_mode) == 0o640
    shutil.rmtree(workspace)


async def test_tree_nested_too_deep_is_refused_and_still_deletable(lane, workspace):
    code = "\nfor _ in range(700):\n    os.mkdir('d'); os.chdir('d')\n"
    await lane.attack(code)
    with pytest.raises(UnsafeWorkspaceError, match="deeper"):
        await lane.run("/usr/bin/true")
    with pytest.raises(UnsafeWorkspaceError, match="deeper"):
        lane.isolation.reclaim(workspace)
    lane.isolation.reclaim(workspace)
    shutil.rmtree(workspace)


async def test_interpreter_of_a_virtual_environment_runs_at_its_own_path(lane):
    result = await lane.run(os.sys.executable, "-I", "-c", "import sys; print(sys.prefix, sys.base_prefix)")
    assert result.stdout.decode().split() == [os.sys.prefix, os.sys.base_prefix], result
