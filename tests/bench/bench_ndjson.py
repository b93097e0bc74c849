"""Everything in a store as one NDJSON answer: the memory of the server meanwhile, rate, CPU an event."""

from bench_streams import DATA_BYTES, EVENTS
from harness import Figures, Meter

IN_FLIGHT = 16  # appends without an answer while the store is filled
AGGREGATES = 1000000
SLOW_BYTES_PER_S = 2000000
SLOW_S = 20
MEMORY_MAX_MB = 200
PATHS = {"list of events": "/api/v1/events/", "subscription from the start": "/api/v1/events/subscribe?from_start=true"}


def fill(bench, strata):
    appends = bench.options.size // EVENTS
    for done in range(0, appends, 20000):
        bench.run("stream_client", "append", "--target", strata.grpc, "--count", min(20000, appends - done), "--warm-up", 0,
                  "--in-flight", IN_FLIGHT, "--events", EVENTS, "--data-bytes", DATA_BYTES, "--aggregates", AGGREGATES,
                  "--prefix", "ndjson")
    return appends * EVENTS


def read(bench, strata, figures, name, *arguments):
    with Meter(strata.process.pid) as used:
        result = bench.run("ndjson_client", "--target", "127.0.0.1:%d" % strata.http_port, "--path", PATHS[name], "--pid",
                           strata.process.pid, *arguments)
    figures.add("%s: resident memory without page cache, before" % name, result["rss_begin_kib"] / 1024, "MB")
    figures.add("%s: resident memory without page cache, greatest" % name, result["rss_max_kib"] / 1024, "MB")
    return result, used.us


def whole(bench, strata, figures, name, size):
    """From a fresh start, so that what the appends left behind is not in it."""
    strata.stop()
    strata.start()
    result, used_us = read(bench, strata, figures, name)
    if (result["events"], result["first"], result["last"]) != (size, 1, size):
        raise SystemExit("%s: %s instead of %d events" % (name, result, size))
    figures.add("%s: rate" % name, result["events_per_s"], "events/s")
    figures.add("%s: bytes an event" % name, result["bytes"] / size, "bytes")
    figures.add("%s: server CPU an event" % name, used_us / size, "µs")


def slow(bench, strata, figures, name):
    strata.stop()
    strata.start()
    result, _ = read(bench, strata, figures, name, "--bytes-per-s", SLOW_BYTES_PER_S, "--seconds", SLOW_S)
    figures.add("%s: taken" % name, result["bytes"] / 1e6, "MB")


def run(bench):
    with bench.store() as strata:
        size = fill(bench, strata)
        figures = Figures()
        slow_figures = Figures()
        for name in PATHS:
            for _ in range(min(bench.rounds, 3)):
                whole(bench, strata, figures, name, size)
            slow(bench, strata, slow_figures, name)
        figures.show("All %d events as NDJSON, data of %d bytes, from page cache as far as it reaches, on a server just "
                     "started" % (size, DATA_BYTES))
        slow_figures.show("The same for a client that reads %.0f MB/s, %d s long" % (SLOW_BYTES_PER_S / 1e6, SLOW_S))
        for table in (figures, slow_figures):
            for name in PATHS:
                memory_mb = max(table.values("%s: resident memory without page cache, greatest" % name))
                bench.require(memory_mb < MEMORY_MAX_MB, "NDJSON, %s: the server takes %.0f MB; goal below %d"
                              % (name, memory_mb, MEMORY_MAX_MB))
