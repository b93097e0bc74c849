"""One AppendStream beside the bare loop, one ReadEvents beside a stream from memory, one aggregate beside 100 preads."""

from harness import Figures, Meter, settle

EVENTS = 100        # a request
DATA_BYTES = 500
CLIENT_BYTES = 582  # of an event as a client sends it: what the bare loop writes
WARM_UP = 50
AGGREGATE_EVENTS = 100


def append(bench, strata, figures, name, turn, *extra):
    appends = bench.options.appends
    bare = bench.bare(EVENTS, appends, CLIENT_BYTES)
    with Meter(strata.process.pid) as used:
        result = bench.run("stream_client", "append", "--target", strata.grpc, "--count", appends, "--warm-up", WARM_UP,
                           "--in-flight", bench.options.in_flight, "--events", EVENTS, "--data-bytes", DATA_BYTES, "--prefix",
                           "%s%d" % (name[0], turn), *extra)
    figures.add("%s, rate" % name, result["events_per_s"], "events/s")
    figures.add("%s, server CPU an event" % name, used.us / ((appends + WARM_UP) * EVENTS), "µs")
    figures.add("%s, answer after (p50)" % name, result["p50_us"] / 1000, "ms")
    figures.add("bare write+fdatasync loop beside it, rate", bare["events_per_s"], "events/s")
    figures.add("%s / bare, paired by round" % name, result["events_per_s"] / bare["events_per_s"], "x")


def read(bench, strata):
    figures = Figures()
    settle(strata.process.pid)
    saved = bench.scratch / "messages"
    whole = bench.run("stream_client", "read", "--target", strata.grpc, "--count", 0, "--save", saved)
    with bench.serve("stream_echo_server", "--file", saved, "--messages", whole["messages"]) as echo:
        for _ in range(bench.rounds):
            rates = {}
            for name, server, target in (("stream from memory", echo, echo.target), ("ReadEvents", strata, strata.grpc)):
                with Meter(server.process.pid) as used:
                    result = bench.run("stream_client", "read", "--target", target, "--count", 0)
                rates[name] = result["events_per_s"]
                figures.add("%s, rate" % name, result["events_per_s"], "events/s")
                figures.add("%s, server CPU an event" % name, used.us / result["events"], "µs")
            figures.add("ReadEvents / stream from memory, paired by round",
                        rates["ReadEvents"] / rates["stream from memory"], "x")
    saved.unlink()
    figures.show("Reading all %d events over one ReadEvents from page cache, %d messages of %.0f KB"
                 % (whole["events"], whole["messages"], whole["bytes"] / whole["messages"] / 1000))


def aggregate(bench, strata):
    """The events of an aggregate lie as far apart as there are aggregates."""
    aggregates = bench.options.aggregates
    calls = bench.options.lists
    bench.run("stream_client", "append", "--target", strata.grpc, "--count", aggregates * AGGREGATE_EVENTS // EVENTS,
              "--warm-up", 0, "--events", EVENTS, "--aggregates", aggregates, "--prefix", "scattered")
    settle(strata.process.pid)
    method = "/strata.v1.EventService/ListEvents"
    load = ["--method", method, "--in-flight", 16, "--count", calls, "--warm-up", 100]
    ask = [*load, "--events", AGGREGATE_EVENTS, "--aggregates", aggregates, "--prefix", "scattered"]
    reply = bench.run("bench_client", "--target", strata.grpc, *ask)["reply_bytes"]
    record = reply // AGGREGATE_EVENTS
    segment = max((strata.data / "main/log").glob("*.seg"), key=lambda path: path.stat().st_size)
    figures = Figures()
    with bench.serve("echo_server", "--method", method, "--reply-bytes", reply) as echo:
        for _ in range(bench.rounds):
            with Meter(strata.process.pid) as used:
                result = bench.run("bench_client", "--target", strata.grpc, *ask)
            list_us = used.us / (calls + 100)
            with Meter(echo.process.pid) as used:
                bench.run("bench_client", "--target", echo.target, *load, "--payload-bytes", 24)
            echo_us = used.us / (calls + 100)
            preads = bench.run("scattered_reads", "--file", segment, "--bytes", record, "--stride", aggregates * record,
                               "--reads", AGGREGATE_EVENTS, "--count", calls)["cpu_us_per_round"]
            figures.add("ListEvents of one aggregate, server CPU", list_us, "µs")
            figures.add("ListEvents of one aggregate, rate", result["calls_per_s"], "lists/s")
            figures.add("100 preads of such records, CPU", preads, "µs")
            figures.add("echo of as many bytes, server CPU", echo_us, "µs")
            figures.add("ListEvents / (preads + echo), paired by round", list_us / (preads + echo_us), "x")
    figures.show("An aggregate of %d events, each %d events from the next, %d bytes in all"
                 % (AGGREGATE_EVENTS, aggregates, reply))


def run(bench):
    with bench.store() as strata:
        figures = Figures()
        for turn in range(bench.rounds):
            append(bench, strata, figures, "server's ids", turn)
            append(bench, strata, figures, "client's ids", turn, "--client-ids", turn + 1)
        figures.show("One AppendStream: %d rounds of %d appends of %d events, %d in flight, data of %d bytes, durable"
                     % (bench.rounds, bench.options.appends, EVENTS, bench.options.in_flight, DATA_BYTES))
        read(bench, strata)
        aggregate(bench, strata)
