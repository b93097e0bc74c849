"""What a service that stands still is doing: its health, its numbers, where its threads are, and the end of its log."""

import json
import shutil
import subprocess

ASKED_WITHIN_SECONDS = 10


def _asked(service, path):
    try:
        status, _, answer = service.request("GET", path, timeout=ASKED_WITHIN_SECONDS)
        return "%d %s" % (status, json.dumps(answer) if isinstance(answer, (dict, list)) else answer)
    except OSError as error:
        return "no answer: %s" % error


def _stacks(process_id):
    """Of all threads, where gdb is installed and may look; it goes on running."""
    if shutil.which("gdb") is None:
        return "(no gdb)"
    try:
        ended = subprocess.run(["gdb", "--batch", "--nx", "-p", str(process_id), "-ex", "thread apply all backtrace 14"],
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "(gdb does not end)"
    return "\n".join(line for line in ended.stdout.splitlines() if line.startswith(("Thread", "#")))


def diagnosis(service):
    """A text for people."""
    parts = ["%s %s" % (path, _asked(service, path)) for path in ("/health", "/api/v1/stats")]
    return "\n".join([*parts, _stacks(service.process.pid), service.log()])
