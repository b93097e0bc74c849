"""From an append to its subscriber at a steady rate, beside Redis Streams and a bare write+fdatasync loop."""

import contextlib
import shutil
import socket
import subprocess
import time

from harness import Figures, Meter

RATE = 5000  # events/s, each an append of its own
WARM_UP_S = 1
DATA_BYTES = 300
EVENT_BYTES = 350  # as sent: what the bare loop writes
TRANSPORTS = {"gRPC": "grpc", "SSE": "sse", "NDJSON": "ndjson", "WebSocket": "websocket"}
P50_MAX_MS = 2
P99_MAX_MS = 20
# Written and synced before it is answered or delivered, as Strata's appends are; nothing else is done to the disk.
REDIS = ["--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always", "--save", "",
         "--auto-aof-rewrite-percentage", "0", "--daemonize", "no"]


def low_port():
    """A free port below those that outgoing connections take: one of them in TIME_WAIT would keep Redis from binding."""
    for port in range(20000, 32000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise SystemExit("no free port between 20000 and 32000")


class Redis:
    """`with Redis(folder) as redis:` redis.target, redis.process."""

    def __init__(self, folder):
        self.program = shutil.which("redis-server")
        if self.program is None:
            raise SystemExit("Redis is missing, the yardstick of this bench: apt-get install --no-install-recommends "
                             "redis-server")
        self.folder = folder

    def __enter__(self):
        self.folder.mkdir()
        self.port = low_port()
        self.target = "127.0.0.1:%d" % self.port
        self.log = open(self.folder / "log", "w")
        self.process = subprocess.Popen([self.program, "--port", str(self.port), "--dir", str(self.folder), *REDIS],
                                        stdout=self.log, stderr=self.log)
        for _ in range(200):
            with contextlib.suppress(OSError):
                if self.command("PING") == b"+PONG\r\n":
                    return self
            time.sleep(0.05)
        raise SystemExit("Redis does not start:\n" + (self.folder / "log").read_text())

    def command(self, line):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as link:
            link.sendall(line.encode() + b"\r\n")
            return link.recv(200)

    def version(self):
        return subprocess.run([self.program, "--version"], capture_output=True, text=True).stdout.split()[2]

    def __exit__(self, kind, value, trace):
        self.process.terminate()
        self.process.wait()
        self.log.close()


def measure(bench, figures, name, process, transport, append_to, subscribe_to):
    count = RATE * (WARM_UP_S + bench.options.seconds)
    with Meter(process.pid) as used:
        result = bench.run("fanout_client", "--transport", transport, "--append-to", append_to, "--subscribe-to",
                           subscribe_to, "--readers", bench.options.readers, "--rate", RATE, "--count", count, "--warm-up",
                           RATE * WARM_UP_S, "--data-bytes", DATA_BYTES)
    figures.add("%s, p50" % name, result["sent"]["p50_us"] / 1000, "ms")
    figures.add("%s, p99" % name, result["sent"]["p99_us"] / 1000, "ms")
    figures.add("%s, p50 of the append's answer" % name, result["append"]["p50_us"] / 1000, "ms")
    figures.add("%s, p99 of the append's answer" % name, result["append"]["p99_us"] / 1000, "ms")
    figures.add("%s, server CPU an event" % name, used.us / count, "µs")


def run(bench):
    figures = Figures()
    with bench.store() as strata, Redis(bench.scratch / "redis") as redis:
        title = ("From an append to %d subscriber(s): %d events/s each an append, %d rounds of %d s; both answer and deliver "
                 "after fdatasync (Redis %s: appendfsync always)"
                 % (bench.options.readers, RATE, bench.rounds, bench.options.seconds, redis.version()))
        http = "127.0.0.1:%d" % strata.http_port
        contestants = [(name, strata.process, transport, strata.grpc, strata.grpc if transport == "grpc" else http)
                       for name, transport in TRANSPORTS.items() if transport in bench.options.transports.split(",")]
        contestants.append(("Redis Streams", redis.process, "redis", redis.target, redis.target))
        for turn in range(bench.rounds):
            for place in range(len(contestants)):
                contestant = contestants[(turn + place) % len(contestants)]
                if contestant[0] == "Redis Streams":
                    redis.command("FLUSHALL")  # ids begin again
                measure(bench, figures, *contestant)
            bare = bench.bare(1, 2000, EVENT_BYTES)
            figures.add("bare loop beside it, one event: p50", bare["sync_p50_us"] / 1000, "ms")
            figures.add("bare loop beside it, one event: p99", bare["sync_p99_us"] / 1000, "ms")
    figures.show(title)
    for name, *_ in contestants[:-1]:
        for what, most in (("p50", P50_MAX_MS), ("p99", P99_MAX_MS)):
            found = figures.median("%s, %s" % (name, what))
            bench.require(found < most, "%s: append to subscriber, %s %.2f ms; goal below %d ms" % (name, what, found, most))
