"""The executable as people run it: piped, and on a real terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from support.strata_service import BINARY, environment

# gRPC 1.51 looks at errno of connect() only after it has allocated, and ThreadSanitizer's allocator changes errno. A client
# built with it therefore gives up now and then; without it this text never comes.
SANITIZER_ERRNO = "No such file or directory); start the service"
SECONDS = 120  # sanitizers on a loaded machine

COLOR = re.compile(r"\x1b\[[0-9;]*m")


def strata(*arguments, given=None, extra=None, cwd=None):
    """Runs it with pipes; .stdout and .stderr are text."""
    for _ in range(5):
        done = subprocess.run([str(BINARY), *[str(a) for a in arguments]], input=given, capture_output=True, text=True,
                              timeout=SECONDS, env=environment(extra), cwd=cwd)
        if "TSAN_OPTIONS" not in os.environ or SANITIZER_ERRNO not in done.stderr:
            break
    return done


class Terminal:
    """A program on a terminal of its own. `text` is all that it has written there."""

    def __init__(self, command, columns=120, extra=None, cwd=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        settings = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(extra or {})}
        kept = {k: v for k, v in environment(settings).items() if v is not None and (k != "NO_COLOR" or extra and k in extra)}
        self.process = subprocess.Popen([str(word) for word in command], stdin=slave, stdout=slave, stderr=slave, env=kept,
                                        cwd=cwd, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.raw = b""

    @property
    def text(self):
        return self.raw.decode(errors="replace").replace("\r\n", "\n")

    def _read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            try:
                more = os.read(self.master, 65536)
            except OSError:  # nobody holds the other side any more
                more = b""
            self.raw += more
            return bool(more)
        return None

    def until(self, word, seconds=SECONDS):
        """Reads until `word` was written since the last time, and returns what was."""
        start, end = len(self.raw), time.monotonic() + seconds
        while word.encode() not in self.raw[start:]:
            if time.monotonic() > end or self._read(0.2) is False:
                raise AssertionError("%r did not come: %r" % (word, self.text[-2000:]))
        return self.raw[start:].decode(errors="replace")

    def type(self, text):
        os.write(self.master, text.encode())

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def end(self):
        """Reads to the end and returns the exit code."""
        stop = time.monotonic() + SECONDS
        while time.monotonic() < stop and self._read(0.2) is not False:
            pass
        os.close(self.master)
        return self.process.wait(timeout=SECONDS)


def on_terminal(*arguments, columns=120, extra=None, cwd=None):
    """(exit code, all that it wrote to its terminal)"""
    for _ in range(5):
        terminal = Terminal([BINARY, *arguments], columns, extra, cwd)
        code = terminal.end()
        if "TSAN_OPTIONS" not in os.environ or SANITIZER_ERRNO not in terminal.text:
            break
    return code, terminal.text
