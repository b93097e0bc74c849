"""Appends on MariaDB through Strata beside what a team writes by itself: a transaction an append, on the same server."""

from harness import Figures, Meter

PUBLISH = "/strata.v1.EventService/PublishEvent"
WARM_UP = 1000


def run(bench):
    from support.engines import MariaDb
    from support.strata_service import Service
    calls = min(bench.options.calls, 20000)
    figures = Figures()
    with MariaDb("--innodb-log-file-size=512M", "--innodb-buffer-pool-size=512M") as database, \
            Service(config=database.settings()) as strata:
        def plain(connections, statements, appends):
            return bench.run("mysql_client", "--port", database.port, "--connections", connections, "--appends", appends,
                             "--aggregates", 1000, "--event-bytes", 500, "--statements", statements)["events_per_s"]
        for turn in range(bench.rounds):
            with Meter(strata.process.pid) as used, Meter(database.process.pid) as behind:
                rate = bench.run("bench_client", "--target", strata.grpc, "--method", PUBLISH, "--in-flight", 256, "--count",
                                 calls, "--warm-up", WARM_UP, "--event-bytes", 500, "--aggregates", 1000, "--prefix",
                                 "r%d" % turn)["events_per_s"]
            one, many = plain(1, 4, 2000), plain(256, 4, 10000)
            lean, lean_many = plain(1, 1, 4000), plain(256, 1, 10000)
            figures.add("Strata, 256 appends in flight, rate", rate, "events/s")
            figures.add("Strata, its own CPU an append", used.us / (calls + WARM_UP), "µs")
            figures.add("Strata, MariaDB's CPU an append", behind.us / (calls + WARM_UP), "µs")
            figures.add("1 connection, BEGIN SELECT INSERT COMMIT", one, "events/s")
            figures.add("256 connections, BEGIN SELECT INSERT COMMIT", many, "events/s")
            figures.add("1 connection, INSERT alone", lean, "events/s")
            figures.add("256 connections, INSERT alone", lean_many, "events/s")
            figures.add("Strata / 1 connection, paired by round", rate / one, "x")
            figures.add("Strata / 256 connections, paired by round", rate / many, "x")
            figures.add("Strata / 1 connection, INSERT alone", rate / lean, "x")
            figures.add("Strata / 256 connections, INSERT alone", rate / lean_many, "x")
    figures.show("Appends on MariaDB 10.11 (flushed at each commit): %d rounds of %d appends, events of 500 bytes"
                 % (bench.rounds, calls))
    bench.require(figures.median("Strata / 1 connection, paired by round") >= 20,
                  "on MySQL at least 20 times one connection with a transaction an append")
    bench.require(figures.median("Strata / 256 connections, paired by round") >= 2,
                  "on MySQL at least twice 256 connections with a transaction an append")
