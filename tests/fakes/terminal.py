"""A real pseudo-terminal around a command: type lines, wait for words, keep the transcript."""

import os
import pty
import re
import select
import signal
import termios
import time

STEP_S = 0.1


class Terminal:
    """Runs `argv` on a pty; TERM=dumb, so that the transcript is plain text in the order it was printed."""

    def __init__(self, argv, *, cwd, environment):
        self.text = ""
        self._mark = 0
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            settings = termios.tcgetattr(0)
            settings[3] &= ~termios.ECHO  # prompt_toolkit echoes what is typed; once is enough
            termios.tcsetattr(0, termios.TCSANOW, settings)
            # Who starts the tests in the background ignores Ctrl-C for all they start; a person's terminal does not.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(cwd)
            os.execvpe(argv[0], argv, {**environment, "TERM": "dumb", "COLUMNS": "160"})

    def send(self, line):
        """Type a line and Enter."""
        os.write(self._fd, f"{line}\n".encode())

    def interrupt(self):
        """Press Ctrl-C."""
        os.write(self._fd, b"\x03")

    def expect(self, words, *, timeout_s=90):
        """Wait until `words` appear after what was expected before; fail with the transcript otherwise."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            place = self.text.find(words, self._mark)
            if place >= 0:
                self._mark = place + len(words)
                return
            if not self._read():
                break
        raise AssertionError(f"{words!r} did not appear in:\n{self.text}")

    def _read(self):
        if not select.select([self._fd], [], [], STEP_S)[0]:
            return True
        try:
            chunk = os.read(self._fd, 65536)
        except OSError:  # the command has ended
            return False
        self.text += chunk.decode(errors="replace").replace("\r\n", "\n").replace("\r", "")
        return bool(chunk)

    def close(self):
        """Read what is left and return the exit code."""
        while self._read():
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                break
        else:
            _, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


NORMAL_FORMS = (
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    (r"\b(run|session|dlg|delegation|prj|project|est|estimate)-[0-9a-z]{16}\b", r"\1-ID"),
    (r"\b[0-9a-f]{40}\b", "COMMIT"),
    (r"\b[0-9a-f]{64}\b", "SHA256"),
    (r"\b(commit|at|index at) [0-9a-f]{7,12}\b", r"\1 COMMIT"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)", "TIME"),
    (r"\b\d+ min \d\d s\b", "T s"),
    (r"\b\d+(\.\d+)? (s|ms)\b", "T s"),
    (r"process \d+", "process PID"),
)


def normalise(text, *replacements):
    """Return a transcript in which ids, commits, times and given words are the same in every run."""
    for old, new in replacements:
        text = text.replace(old, new)
    for pattern, new in NORMAL_FORMS:
        text = re.sub(pattern, new, text)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
