"""What the benchmarks share: programs of the build folder, CPU of a process, tables of medians."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))


class Bench:
    """`options` are those of bench.py."""

    def __init__(self, options):
        self.options = options
        self.programs = options.build / "tests/bench"
        self.rounds = options.rounds
        self.scratch = options.scratch
        self.missed = []
        os.environ["STRATA_TEST_BINARY"] = str(options.build / "src/main/strata")

    def run(self, program, *arguments):
        """Runs a program that prints one JSON line; an error in it ends the bench."""
        command = [str(self.programs / program), *[str(argument) for argument in arguments]]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = done.stdout.strip().splitlines()
        result = json.loads(lines[-1]) if lines else {}
        if done.returncode != 0 or not lines or result.get("errors") or result.get("error"):
            raise SystemExit("%s: %s %s" % (" ".join(command), done.stdout, done.stderr))
        return result

    def bare(self, events_per_batch, batches, event_bytes):
        return self.run("bare_sync", "--file", self.scratch / "bare.tmp", "--batches", batches, "--events",
                        events_per_batch, "--event-bytes", event_bytes)

    def serve(self, program, *arguments):
        return Yardstick(self.programs / program, arguments)

    def require(self, met, text):
        """A goal: when it is missed the bench goes on and fails in the end."""
        if not met:
            self.missed.append(text)
            print("\nMISSED: %s" % text, flush=True)

    @contextlib.contextmanager
    def store(self, name="store"):
        """A service on a new store in the scratch folder."""
        from support.strata_service import Service
        folder = self.scratch / "".join(letter for letter in name if letter.isalnum())
        folder.mkdir()
        with Service(data=folder) as service:
            yield service
        shutil.rmtree(folder)


class Yardstick:
    """A server beside Strata's: `with … as echo` gives `echo.target`."""

    def __init__(self, program, arguments):
        self.command = [str(program), *[str(argument) for argument in arguments]]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.target = "127.0.0.1:" + self.process.stdout.readline().split()[-1]
        return self

    def __exit__(self, kind, value, trace):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def cpu_us(pid):
    """CPU time of all threads (utime+stime of the process has 10 ms ticks only). Threads must not end meanwhile."""
    total = 0
    for task in pathlib.Path("/proc/%d/task" % pid).iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1000


def settle(pid, most_seconds=120):
    """Waits until the process rests: what an append left to do (automatic snapshots) is not the next figure's."""
    for _ in range(most_seconds * 2):
        before = cpu_us(pid)
        time.sleep(0.5)
        if cpu_us(pid) - before < 5000:
            return
    raise SystemExit("the server does not come to rest in %d s" % most_seconds)


class Meter:
    """`with Meter(pid) as used: …` then used.us."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.before = cpu_us(self.pid)
        return self

    def __exit__(self, kind, value, trace):
        self.us = cpu_us(self.pid) - self.before


def rss_anon_mb(pid):
    """Resident memory without page cache."""
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    raise SystemExit("no RssAnon in /proc/%d/status" % pid)


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return "%s, %d CPUs, Linux %s, load %.1f" % (model, os.cpu_count(), os.uname().release, os.getloadavg()[0])


class Figures:
    """One list of values a name, in the order of first mention; `unit` and the words of the row stand in the table."""

    shown = []  # every table of the run, for --json

    def __init__(self):
        self.rows = {}

    def add(self, name, value, unit):
        self.rows.setdefault((name, unit), []).append(value)

    def values(self, name):
        return next(values for (known, _), values in self.rows.items() if known == name)

    def median(self, name):
        return statistics.median(self.values(name))

    def show(self, title):
        print("\n%s\n" % title)
        print("| %-66s | %11s | %11s | %11s | |" % ("", "median", "least", "greatest"))
        print("| --- | ---: | ---: | ---: | --- |")
        for (name, unit), values in self.rows.items():
            shown = ["%.2f" % value if value < 1000 else "%.0f" % value
                     for value in (statistics.median(values), min(values), max(values))]
            print("| %-66s | %11s | %11s | %11s | %s |" % (name, *shown, unit))
        sys.stdout.flush()
        Figures.shown.append({"title": title, "rows": [
            {"name": name, "unit": unit, "median": statistics.median(values), "values": values}
            for (name, unit), values in self.rows.items()]})
