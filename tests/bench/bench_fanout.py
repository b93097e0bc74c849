"""100 subscribers of which one never reads, beside the same without it: latency of the others, memory of the server."""

from harness import Figures, Meter, settle

READERS = 99
RATE = 2000        # events/s, each an append of its own
WARM_UP_S = 1
STALLS = {         # how a subscriber of each transport can not read
    "gRPC, socket not read": ("grpc", []),
    "gRPC, window not opened": ("grpc", ["--stall-window"]),
    "SSE": ("sse", []),
    "NDJSON": ("ndjson", []),
    "WebSocket": ("websocket", []),
}
P99_RATIO_MAX = 1.5
MEMORY_MAX_MB = 8

FLOODS = 3
FLOOD_EVENTS = 200000  # while one does not read: 100 MB of data
FLOOD_EVENTS_PER_APPEND = 20
FLOOD_DATA_BYTES = 500


def client(bench, strata, transport, *arguments):
    target = strata.grpc if transport == "grpc" else "127.0.0.1:%d" % strata.http_port
    return bench.run("fanout_client", "--transport", transport, "--append-to", strata.grpc, "--subscribe-to", target,
                     "--pid", strata.process.pid, *arguments)


def crowd(bench, strata, transport, *arguments):
    """99 readers, and who is among them besides; returns the client's result and the server's CPU of a delivery."""
    settle(strata.process.pid)
    count = RATE * (WARM_UP_S + bench.options.seconds)
    with Meter(strata.process.pid) as used:
        result = client(bench, strata, transport, "--readers", READERS, "--rate", RATE, "--count", count, "--warm-up",
                        RATE * WARM_UP_S, *arguments)
    return result, used.us / (count * READERS)


def grown_mb(result, since):
    return (result["rss_end_kib"] - result["rss_%s_kib" % since]) / 1024


def contest(bench, name):
    """Runs with and without it in turns, on one store."""
    transport, how = STALLS[name]
    figures = Figures()
    with bench.store(name) as strata:
        for turn in range(bench.rounds):
            contestants = {"without": [], "with": ["--stalled", 1, *how]}
            for kind in sorted(contestants, reverse=turn % 2 == 1):
                result, delivery_us = crowd(bench, strata, transport, *contestants[kind])
                figures.add("%s it: p50 of the others" % kind, result["sent"]["p50_us"] / 1000, "ms")
                figures.add("%s it: p99 of the others" % kind, result["sent"]["p99_us"] / 1000, "ms")
                figures.add("%s it: p99 of the others after the answer" % kind, result["answered"]["p99_us"] / 1000, "ms")
                figures.add("%s it: p99 of the append's answer" % kind, result["append"]["p99_us"] / 1000, "ms")
                figures.add("%s it: server CPU a delivery" % kind, delivery_us, "µs")
                figures.add("%s it: server memory grew by" % kind, grown_mb(result, "warm"), "MB")
    ratio = figures.median("with it: p99 of the others") / figures.median("without it: p99 of the others")
    figures.add("p99 with / p99 without, of the medians", ratio, "x")
    figures.show("%s: %d readers and one that never reads, %d events/s each an append, %d rounds of %d s, durable"
                 % (name, READERS, RATE, bench.rounds, bench.options.seconds))
    bench.require(ratio <= P99_RATIO_MAX, "%s: the others' p99 is %.2f times of that without it; goal %.1f"
                  % (name, ratio, P99_RATIO_MAX))
    require_memory(bench, figures, name)


def require_memory(bench, figures, name):
    """What the readers' own messages take while the machine is busy is in both figures."""
    more = figures.median("with it: server memory grew by") - figures.median("without it: server memory grew by")
    bench.require(more < MEMORY_MAX_MB, "%s: server memory grows by %.1f MB more with it than without; goal below %d MB"
                  % (name, more, MEMORY_MAX_MB))


def flood(bench, name):
    """Far more than any buffer holds goes past the one that does not read, and then it must get everything."""
    transport, how = STALLS[name]
    arguments = ["--rate", 0, "--count", FLOOD_EVENTS // FLOOD_EVENTS_PER_APPEND, "--events", FLOOD_EVENTS_PER_APPEND,
                 "--data-bytes", FLOOD_DATA_BYTES, "--warm-up", 0]
    figures = Figures()
    with bench.store("flood") as strata:
        client(bench, strata, transport, *arguments)  # fills what is as large for any events: ring, caches, pools
        for _ in range(FLOODS):
            for kind, extra in (("without", []), ("with", ["--stalled", 1, "--revive", *how])):
                settle(strata.process.pid)
                result = client(bench, strata, transport, *arguments, *extra)
                figures.add("%s it: server memory grew by" % kind, grown_mb(result, "live"), "MB")
                figures.add("%s it: appended" % kind, result["events_per_s"], "events/s")
    figures.show("%s: %d events with data of %d bytes past one that does not read; then it reads, and gets all in order"
                 % (name, FLOOD_EVENTS, FLOOD_DATA_BYTES))
    require_memory(bench, figures, name)


def run(bench):
    for name, (transport, _) in STALLS.items():
        if transport in bench.options.transports.split(","):
            contest(bench, name)
            flood(bench, name)
