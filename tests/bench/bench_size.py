"""A store of many events: pauses of commits, CPU an append beside an empty one's, start, memory."""

import shutil
import time

from harness import Figures, Meter, rss_anon_mb, settle
from bench_streams import CLIENT_BYTES, DATA_BYTES, EVENTS

IN_FLIGHT = 16  # appends without an answer while the store is filled
PROBE_APPENDS = 1000  # a measurement of CPU: 100,000 events, so that seven of them fill between two and three segments
KILL_APPENDS = 3000  # right before the kill
RUNS_ALONE = 3  # a p99.9 is of 14 commits in a run
FILL_ALONE = 2000000  # events of the store without a service: eight segments, whose runs have been merged


class Filling:
    def __init__(self, bench, strata):
        self.bench = bench
        self.strata = strata
        self.turn = 0
        self.events = 0

    def append(self, appends, in_flight=IN_FLIGHT):
        """Client's ids, new ones each time: the dearest way. Returns the client's result and server CPU an event."""
        self.turn += 1
        with Meter(self.strata.process.pid) as used:
            result = self.bench.run("stream_client", "append", "--target", self.strata.grpc, "--count", appends,
                                    "--warm-up", 0, "--in-flight", in_flight, "--events", EVENTS, "--data-bytes",
                                    DATA_BYTES, "--aggregates", 1000000, "--prefix", "size", "--client-ids",
                                    1000 + self.turn)
        self.events += appends * EVENTS
        return result, used.us / (appends * EVENTS)


def probe(filled, empty, figures):
    """In turns with a store that began empty: what the machine does to one of them it does to the other."""
    empty.append(PROBE_APPENDS)  # the first pages of everything
    for turn in range(empty.bench.rounds):
        pair = [(empty, "nearly empty"), (filled, "filled")]
        used = {}
        for filling, name in pair if turn % 2 == 0 else reversed(pair):
            used[name] = filling.append(PROBE_APPENDS)[1]
            figures.add("CPU an event appended, store " + name, used[name], "µs")
        figures.add("filled / nearly empty, paired by round", used["filled"] / used["nearly empty"], "x")
    figures.add("filled / nearly empty, medians", figures.median("CPU an event appended, store filled") /
                figures.median("CPU an event appended, store nearly empty"), "x")


def started_after(service):
    begun = time.monotonic()
    service.start()
    return time.monotonic() - begun


def pauses(filling, figures):
    """One append in flight, so that its answer's time is the commit's; the bare loop takes its turns."""
    for _ in range(filling.bench.rounds):
        commits = filling.bench.options.commits
        bare = filling.bench.bare(EVENTS, commits, CLIENT_BYTES)
        result, _ = filling.append(commits, in_flight=1)
        figures.add("commit, p99.9", result["p999_us"] / 1000, "ms")
        figures.add("bare loop, p99.9", bare["sync_p999_us"] / 1000, "ms")
        figures.add("commit / bare, p99.9, paired by round", result["p999_us"] / bare["sync_p999_us"], "x")
        figures.add("commit, longest", result["max_us"] / 1000, "ms")
        figures.add("bare loop, longest", bare["sync_max_us"] / 1000, "ms")


def run_alone(bench, figures):
    folder = bench.scratch / "commits"
    folder.mkdir()
    found = bench.run("commit_pauses", "--folder", folder, "--fill", min(bench.options.size, FILL_ALONE), "--commits",
                      bench.rounds * bench.options.commits, "--events", EVENTS, "--data-bytes", DATA_BYTES)
    shutil.rmtree(folder)
    for what in ("p50", "p99", "p999", "max"):
        shown = {"p50": "median", "p99": "p99", "p999": "p99.9", "max": "longest"}[what]
        figures.add("commit of the store alone, " + shown, found["commit_%s_us" % what] / 1000, "ms")
        figures.add("bare loop in turns with it, " + shown, found["bare_%s_us" % what] / 1000, "ms")
    figures.add("commit of the store alone / bare, p99.9", found["commit_p999_us"] / found["bare_p999_us"], "x")


def commits_alone(bench, figures):
    """What the store does of a commit, without client and network, in turns with the bare loop in one process."""
    for _ in range(RUNS_ALONE):
        run_alone(bench, figures)


def run(bench):
    figures = Figures()
    commits_alone(bench, figures)
    with bench.store("empty") as other, bench.store() as strata:
        empty = Filling(bench, other)
        filling = Filling(bench, strata)
        with Meter(strata.process.pid) as used:
            while filling.events < bench.options.size:
                filling.append(min(20000, (bench.options.size - filling.events) // EVENTS + 1))
            settle(strata.process.pid)  # the merges that the filling has left to do are the filling's
        size = filling.events
        figures.add("CPU an event of the whole filling, all merges with it", used.us / size, "µs")
        probe(filling, empty, figures)
        pauses(filling, figures)
        figures.add("resident memory without page cache, after filling", rss_anon_mb(strata.process.pid), "MB")
        strata.stop()
        figures.add("start after a clean stop", started_after(strata), "s")
        figures.add("resident memory without page cache, after that start", rss_anon_mb(strata.process.pid), "MB")
        filling.append(KILL_APPENDS)  # more than a segment: its index is being written
        strata.kill()
        figures.add("start after kill -9", started_after(strata), "s")
    figures.show("A store filled with %.2f million events (nearly empty: below %.2f); %.2f million at the end"
                 % (size / 1e6, empty.events / 1e6, filling.events / 1e6))
    bench.require(figures.median("filled / nearly empty, medians") <= 1.3,
                  "CPU an append in a filled store at most 1.3 times an empty one's")
    bench.require(figures.median("commit of the store alone / bare, p99.9") <= 3,
                  "p99.9 of commits at most 3 times the bare loop's")
    bench.require(figures.median("start after a clean stop") < 2 and figures.median("start after kill -9") < 10,
                  "starts below 2 s after a clean stop and below 10 s after kill -9")
