#!/usr/bin/env python3
"""Benchmarks with their yardsticks in one run on one machine, the contestants taking turns in each round.

    tests/bench/bench.py [--only unary,streams,size] [--rounds 7] [--full] [--json FILE] [--build build/release]

Medians with the least and the greatest. CPU is what the server process used (/proc/PID/task/*/schedstat, all threads);
the client's is not in it. The echoes do no durable work; appends answer after fdatasync. Ends with 1 when a goal is missed.
"""

import argparse
import json
import pathlib
import sys
import tempfile

import bench_fanout
import bench_latency
import bench_mysql
import bench_ndjson
import bench_rest
import bench_size
import bench_streams
import bench_unary
import bench_websockets
from harness import ROOT, Bench, Figures, machine

SECTIONS = {"unary": bench_unary, "rest": bench_rest, "streams": bench_streams, "size": bench_size,
            "fanout": bench_fanout, "latency": bench_latency, "mysql": bench_mysql,
            "websockets": bench_websockets, "ndjson": bench_ndjson}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="unary,streams,size", help="sections, with commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=40000, help="unary: calls a round")
    parser.add_argument("--appends", type=int, default=1000, help="streams: appends of 100 events a round")
    parser.add_argument("--in-flight", type=int, default=48, help="streams: appends without an answer, at most 64")
    parser.add_argument("--aggregates", type=int, default=1000, help="streams: aggregates of 100 events")
    parser.add_argument("--lists", type=int, default=2000, help="streams: lists a round")
    parser.add_argument("--size", type=int, default=300000, help="size: events to fill the store with")
    parser.add_argument("--commits", type=int, default=1000, help="size: commits a round whose pauses are measured")
    parser.add_argument("--seconds", type=int, default=4, help="fanout, latency: how long each run is measured")
    parser.add_argument("--readers", type=int, default=1, help="latency: subscribers, each of which gets all events")
    parser.add_argument("--transports", default="grpc,sse,ndjson,websocket", help="fanout, latency: of the subscribers")
    parser.add_argument("--idle", type=int, default=10000, help="websockets: connections that nothing is sent to")
    parser.add_argument("--active", type=int, default=1000, help="websockets: connections with 20 events a second each")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="where to write all values")
    parser.add_argument("--full", action="store_true", help="as --size 10000000 --commits 5000 --aggregates 10000")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--folder", help="where stores are made (the system's folder for temporary files)")
    options = parser.parse_args()
    if options.full:
        options.size, options.commits, options.aggregates = 10000000, 5000, 10000
    where = machine()
    print(where)
    missed = []
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory(prefix="strata-bench-", dir=options.folder) as scratch:
            options.scratch = pathlib.Path(scratch)
            bench = Bench(options)
            SECTIONS[name].run(bench)
            missed += bench.missed
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "tables": Figures.shown, "missed": missed}, indent=1))
    for text in missed:
        print("MISSED: %s" % text)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
