"""The same append, and the same read, over REST and over gRPC; and what core and gateway in two processes cost more."""

import contextlib

from harness import Figures, Meter, settle

PUBLISH = "/strata.v1.EventService/PublishEvent"
READ = "/strata.v1.AggregateService/GetAggregate"
GOAL = 1.25  # server CPU of a REST append by that of the gRPC append
WARM_UP = 2000
AGGREGATES = 10000
# Over HTTP/1.1 each request in flight has a connection.
WAYS = {"HTTP/1.1": [], "HTTP/2": ["--http2", "--connections", 4]}
EVENTS = {"one long text": ["--event-bytes", 500], "many members": ["--data-bytes", 450]}


class Contest:
    """One table: calls by each way in turn, on the same store."""

    def __init__(self, bench, strata, in_flight):
        self.bench, self.strata, self.figures = bench, strata, Figures()
        self.calls = bench.options.calls
        self.load = ["--in-flight", in_flight, "--count", self.calls, "--warm-up", WARM_UP, "--aggregates", AGGREGATES]

    def measure(self, name, pids, program, *arguments):
        """CPU of these processes for a call, in µs."""
        for pid in pids:
            settle(pid)
        with contextlib.ExitStack() as stack:
            used = [stack.enter_context(Meter(pid)) for pid in pids]
            result = self.bench.run(program, *arguments, *self.load)
        cost_us = sum(meter.us for meter in used) / (self.calls + WARM_UP)
        self.figures.add(name + ", server CPU a call", cost_us, "µs")
        self.figures.add(name + ", rate", result["calls_per_s"], "calls/s")
        return cost_us

    def grpc(self, method, *arguments):
        return self.measure("gRPC", [self.strata.process.pid], "bench_client", "--target", self.strata.grpc, "--method",
                            method, *arguments)

    def rest(self, way, *arguments):
        return self.measure("REST, " + way, [self.strata.process.pid], "rest_client", "--target",
                            "127.0.0.1:%d" % self.strata.http_port, *WAYS[way], *arguments)

    def split(self, split, way, *arguments):
        pids = [split.process.pid, split.gateway.process.pid]
        return self.measure("REST, %s, in two processes" % way, pids, "rest_client", "--target",
                            "127.0.0.1:%d" % split.http_port, *WAYS[way], *arguments)

    def compare(self, way, rest_us, grpc_us):
        self.figures.add("REST, %s / gRPC, paired by round" % way, rest_us / grpc_us, "x")

    def ratio(self, way):
        return self.figures.median("REST, %s / gRPC, paired by round" % way)


@contextlib.contextmanager
def split_service(bench):
    from support.strata_service import SplitService
    folder = bench.scratch / "split"
    folder.mkdir()
    with SplitService(data=folder) as service:
        yield service


def appends(bench, strata, split, in_flight, event):
    """`split` None: without it."""
    contest = Contest(bench, strata, in_flight)
    for turn in range(bench.rounds):
        def prefix(way):
            return [*EVENTS[event], "--prefix", "%s-%d-%s-%d" % (event[:3], in_flight, way, turn)]
        grpc_us = contest.grpc(PUBLISH, *prefix("g"))
        for number, way in enumerate(WAYS):
            rest_us = contest.rest(way, *prefix(number))
            contest.compare(way, rest_us, grpc_us)
            if split is not None:
                split_us = contest.split(split, way, *prefix(number))
                contest.figures.add("what two processes cost more, %s, paired by round" % way, split_us - rest_us, "µs")
    contest.figures.show("An append: %d rounds of %d calls, %d in flight, events of 500 bytes whose data is %s"
                         % (bench.rounds, contest.calls, in_flight, event))
    for way in WAYS:
        bench.require(contest.ratio(way) <= GOAL, "a REST append over %s costs at most %.2f times the server CPU of gRPC's "
                      "(%d in flight, %s): %.2f" % (way, GOAL, in_flight, event, contest.ratio(way)))


def reads(bench, strata):
    contest = Contest(bench, strata, 256)
    bench.run("bench_client", "--target", strata.grpc, "--method", PUBLISH, "--count", AGGREGATES, "--aggregates",
              AGGREGATES, "--prefix", "read")
    for _ in range(bench.rounds):
        grpc_us = contest.grpc(READ, "--prefix", "read")
        for way in WAYS:
            contest.compare(way, contest.rest(way, "--get", "--prefix", "read"), grpc_us)
    contest.figures.show("A read of an aggregate of one event: %d rounds of %d calls, 256 in flight"
                         % (bench.rounds, contest.calls))


def run(bench):
    with bench.store() as strata, split_service(bench) as split:
        appends(bench, strata, split, 256, "one long text")
        appends(bench, strata, None, 256, "many members")
        appends(bench, strata, None, 16, "one long text")
        reads(bench, strata)
