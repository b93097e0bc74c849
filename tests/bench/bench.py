#!/usr/bin/env python3
"""CPU µs of a durable unary append beside an empty gRPC echo, and the append rate beside a bare write+fdatasync loop.

    tests/bench/bench.py [--rounds 7] [--calls 60000] [--build build/release]

One run on one machine, the contestants taking turns in each round; medians with the least and the greatest. CPU is what
the server process used (/proc/PID/task/*/schedstat, all threads) divided by the calls; the client's is not in it. The
echo does no durable work; the append answers after fdatasync.
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))


def cpu_us(pid):
    """CPU time of all threads, also of those that have ended (utime+stime of the process has 10 ms ticks only)."""
    total = 0
    for task in pathlib.Path("/proc/%d/task" % pid).iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1000


def client(build, target, method, arguments):
    out = subprocess.run([build / "tests/bench/bench_client", "--target", target, "--method", method, *arguments],
                         check=True, capture_output=True, text=True).stdout
    result = json.loads(out.strip().splitlines()[-1])
    if result["errors"]:
        raise SystemExit("%s: %s" % (method, result))
    return result


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return "%s, %d CPUs, Linux %s" % (model, os.cpu_count(), os.uname().release)


def row(name, values, unit):
    print("| %-58s | %9.2f | %9.2f | %9.2f | %s |" % (name, statistics.median(values), min(values), max(values), unit))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=60000)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    options = parser.parse_args()
    os.environ["STRATA_TEST_BINARY"] = str(options.build / "src/main/strata")
    from support.strata_service import Service

    publish = "/strata.v1.EventService/PublishEvent"
    load = ["--in-flight", "256", "--count", str(options.calls), "--warm-up", "2000"]
    echo = subprocess.Popen([options.build / "tests/bench/echo_server", "--method", publish], stdout=subprocess.PIPE,
                            text=True)
    echo_target = "127.0.0.1:" + echo.stdout.readline().split()[-1]
    figures = {name: [] for name in ("echo_cpu", "append_cpu", "append_rate", "bare_rate", "ratio", "rate_ratio")}
    with Service() as strata, tempfile.TemporaryDirectory(dir=strata.data.parent) as scratch:
        for turn in range(options.rounds):
            before = cpu_us(echo.pid)
            client(options.build, echo_target, publish, [*load, "--payload-bytes", "500"])
            echo_cpu = (cpu_us(echo.pid) - before) / (options.calls + 2000)
            before = cpu_us(strata.process.pid)
            result = client(options.build, strata.grpc, publish,
                            [*load, "--event-bytes", "500", "--aggregates", "10000", "--prefix", "r%d-" % turn])
            append_cpu = (cpu_us(strata.process.pid) - before) / (options.calls + 2000)
            batch = max(1, round(result["events_per_s"] / 2500))
            bare = subprocess.run([options.build / "tests/bench/bare_sync", "--file", scratch + "/bare",
                                   "--batches", str(max(200, options.calls // batch)), "--events", str(batch),
                                   "--event-bytes", "560"], check=True, capture_output=True, text=True).stdout
            bare_rate = json.loads(bare.strip().splitlines()[-1])["events_per_s"]
            for name, value in (("echo_cpu", echo_cpu), ("append_cpu", append_cpu), ("append_rate", result["events_per_s"]),
                                ("bare_rate", bare_rate), ("ratio", append_cpu / echo_cpu),
                                ("rate_ratio", result["events_per_s"] / bare_rate)):
                figures[name].append(value)
    echo.send_signal(signal.SIGTERM)
    echo.wait()
    print("%s; %d rounds of %d calls, 256 in flight, events of 500 bytes" % (machine(), options.rounds, options.calls))
    print("| %-58s | %9s | %9s | %9s | |\n| --- | ---: | ---: | ---: | --- |" % ("", "median", "least", "greatest"))
    row("empty gRPC echo, server CPU a call", figures["echo_cpu"], "µs")
    row("durable unary append (PublishEvent), server CPU a call", figures["append_cpu"], "µs")
    row("append / echo, paired by round", figures["ratio"], "x")
    row("durable unary append, rate", figures["append_rate"], "events/s")
    row("bare write+fdatasync loop in batches alike, rate", figures["bare_rate"], "events/s")
    row("append / bare, paired by round", figures["rate_ratio"], "x")


if __name__ == "__main__":
    main()
