"""Appends on MariaDB through Strata beside what a team writes by itself: a transaction an append, on the same server."""

from harness import Figures, Meter

PUBLISH = "/strata.v1.EventService/PublishEvent"
WARM_UP = 1000
STREAMS = 8  # of one client, on one connection
IN_FLIGHT = 64  # of one stream: what its window takes
AGGREGATES = 1000


def run(bench):
    from support.engines import MariaDb
    from support.strata_service import Service
    calls = min(bench.options.calls, 40000)
    figures = Figures()
    with MariaDb("--innodb-log-file-size=512M", "--innodb-buffer-pool-size=512M") as database, \
            Service(config=database.settings()) as strata:
        def through_strata(name, program, *arguments):
            """Each append is one event, decided for itself and answered for itself once it is durable."""
            with Meter(strata.process.pid) as used, Meter(database.process.pid) as behind:
                rate = bench.run(program, *arguments, "--target", strata.grpc)["events_per_s"]
            figures.add("Strata, %s, rate" % name, rate, "events/s")
            figures.add("%s, Strata's own CPU an append" % name, used.us / (calls + WARM_UP), "µs")
            figures.add("%s, MariaDB's CPU an append" % name, behind.us / (calls + WARM_UP), "µs")
            return rate

        def plain(connections, statements, appends):
            return bench.run("mysql_client", "--port", database.port, "--connections", connections, "--appends", appends,
                             "--aggregates", AGGREGATES, "--event-bytes", 500, "--statements", statements)["events_per_s"]
        for turn in range(bench.rounds):
            unary = through_strata(
                "256 calls in flight", "bench_client", "--method", PUBLISH, "--in-flight", 256, "--count", calls, "--warm-up",
                WARM_UP, "--event-bytes", 500, "--aggregates", AGGREGATES, "--prefix", "r%d" % turn)
            streamed = through_strata(
                "%d streams, %d appends in flight each" % (STREAMS, IN_FLIGHT), "stream_client", "append", "--streams", STREAMS,
                "--in-flight", IN_FLIGHT, "--events", 1, "--count", calls // STREAMS, "--warm-up", WARM_UP // STREAMS,
                "--data-bytes", 500, "--aggregates", AGGREGATES // STREAMS, "--prefix", "s%d" % turn)
            one, many = plain(1, 4, 3000), plain(256, 4, 10000)
            lean, lean_many = plain(1, 1, 6000), plain(256, 1, 10000)
            figures.add("1 connection, BEGIN SELECT INSERT COMMIT", one, "events/s")
            figures.add("256 connections, BEGIN SELECT INSERT COMMIT", many, "events/s")
            figures.add("1 connection, INSERT alone", lean, "events/s")
            figures.add("256 connections, INSERT alone", lean_many, "events/s")
            for name, rate in (("calls", unary), ("streams", streamed)):
                figures.add("Strata, %s / 1 connection, paired by round" % name, rate / one, "x")
                figures.add("Strata, %s / 256 connections, paired by round" % name, rate / many, "x")
                figures.add("Strata, %s / 1 connection, INSERT alone" % name, rate / lean, "x")
                figures.add("Strata, %s / 256 connections, INSERT alone" % name, rate / lean_many, "x")
    figures.show("Appends of one event of 500 bytes on MariaDB 10.11 (flushed at each commit), by calls and by AppendStream: "
                 "%d rounds of %d" % (bench.rounds, calls))
    bench.require(figures.median("Strata, streams / 1 connection, paired by round") >= 20,
                  "on MySQL appends on streams at least 20 times one connection with a transaction an append")
    for name in ("calls", "streams"):
        bench.require(figures.median("Strata, %s / 256 connections, paired by round" % name) >= 2,
                      "on MySQL %s at least twice 256 connections with a transaction an append" % name)
