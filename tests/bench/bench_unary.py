"""A durable unary append beside an empty gRPC echo and a bare write+fdatasync loop."""

from harness import Figures, Meter

PUBLISH = "/strata.v1.EventService/PublishEvent"
WARM_UP = 2000


def run(bench):
    calls = bench.options.calls
    load = ["--method", PUBLISH, "--in-flight", 256, "--count", calls, "--warm-up", WARM_UP]
    figures = Figures()
    with bench.store() as strata, bench.serve("echo_server", "--method", PUBLISH) as echo:
        for turn in range(bench.rounds):
            with Meter(echo.process.pid) as used:
                bench.run("bench_client", "--target", echo.target, *load, "--payload-bytes", 500)
            echo_us = used.us / (calls + WARM_UP)
            with Meter(strata.process.pid) as used:
                result = bench.run("bench_client", "--target", strata.grpc, *load, "--event-bytes", 500,
                                   "--aggregates", 10000, "--prefix", "r%d" % turn)
            append_us = used.us / (calls + WARM_UP)
            batch = max(1, round(result["events_per_s"] / 2500))
            bare = bench.bare(batch, max(200, calls // batch), 560)["events_per_s"]
            figures.add("empty gRPC echo, server CPU a call", echo_us, "µs")
            figures.add("durable unary append (PublishEvent), server CPU a call", append_us, "µs")
            figures.add("append / echo, paired by round", append_us / echo_us, "x")
            figures.add("durable unary append, rate", result["events_per_s"], "events/s")
            figures.add("bare write+fdatasync loop in batches alike, rate", bare, "events/s")
            figures.add("append / bare, paired by round", result["events_per_s"] / bare, "x")
    figures.show("A durable unary append: %d rounds of %d calls, 256 in flight, events of 500 bytes"
                 % (bench.rounds, calls))
