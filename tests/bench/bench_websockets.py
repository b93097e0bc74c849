"""Idle and active WebSocket connections: how soon events come, what a connection takes of memory."""

import contextlib
import resource
import tempfile

from harness import Figures, Meter

RATE = 20  # events/s to each active connection
WARM_UP_S = 2
MIXED_GROUPS = 100
P99_MAX_MS = 100
MEMORY_MAX_MB = 400
IDLE_MAX_KB = 20
DESCRIPTORS_USED = 65536  # by the service, at most; three quarters are for WebSockets, three for each


def gateways_needed(connections):
    """0: one process is enough for them all."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, DESCRIPTORS_USED) * 3 // 4 // 3
    return 0 if connections <= most else -(-connections // most)


@contextlib.contextmanager
def deployment(bench, gateways):
    """(gRPC's address, ports with /ws, processes)"""
    from support.strata_service import Service
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=bench.scratch, prefix="store-"))
        core = stack.enter_context(Service(data=folder, arguments=["--only", "core"] if gateways else []))
        edges = [stack.enter_context(Service(arguments=["--only", "gateway", "--upstream", core.grpc]))
                 for _ in range(gateways)] or [core]
        yield core.grpc, [edge.http_port for edge in edges], {core.process.pid, *(edge.process.pid for edge in edges)}


def crowd(bench, figures, groups, gateways):
    options = bench.options
    with deployment(bench, gateways) as (grpc, ports, pids), contextlib.ExitStack() as stack:
        used = [stack.enter_context(Meter(pid)) for pid in pids]
        result = bench.run("websocket_crowd", "--append-to", grpc, "--idle", options.idle, "--active", options.active,
                           "--groups", groups, "--rate", RATE, "--warm-up", WARM_UP_S, "--seconds",
                           WARM_UP_S + options.seconds, *["--subscribe-to=127.0.0.1:%d" % port for port in ports],
                           *["--pid=%d" % pid for pid in pids])
    figures.add("event after its append's answer, median", result["p50_us"] / 1000, "ms")
    figures.add("event after its append's answer, p99", result["p99_us"] / 1000, "ms")
    figures.add("event after its append's answer, p99.9", result["p999_us"] / 1000, "ms")
    figures.add("event after its append's answer, longest", result["max_us"] / 1000, "ms")
    if options.idle > 0:
        idle_kb = (result["rss_idle_kib"] - result["rss_begin_kib"]) / options.idle * 1.024
        figures.add("memory of an idle connection", idle_kb, "KB")
    figures.add("resident memory without page cache, greatest", result["rss_max_kib"] / 1024, "MB")
    figures.add("all idle connections live after", result["open_s"], "s")
    figures.add("server CPU of the whole run", sum(meter.us for meter in used) / 1e6, "s")


def judge(bench, figures, groups):
    p99_ms = figures.median("event after its append's answer, p99")
    memory_mb = max(figures.values("resident memory without page cache, greatest"))
    bench.require(memory_mb < MEMORY_MAX_MB, "WebSockets: the server takes %.0f MB; goal below %d"
                  % (memory_mb, MEMORY_MAX_MB))
    if groups == 1:
        bench.require(p99_ms <= P99_MAX_MS, "WebSockets: p99 is %.0f ms; goal %d" % (p99_ms, P99_MAX_MS))
    if bench.options.idle > 0:
        idle_kb = figures.median("memory of an idle connection")
        bench.require(idle_kb < IDLE_MAX_KB, "WebSockets: an idle one takes %.1f KB; goal below %d"
                      % (idle_kb, IDLE_MAX_KB))


def run(bench):
    options = bench.options
    gateways = gateways_needed(options.idle + options.active)
    where = "one process" if gateways == 0 else "%d gateways before one core, for want of descriptors" % gateways
    for groups in (1, min(MIXED_GROUPS, options.active)):
        figures = Figures()
        for _ in range(bench.rounds):
            crowd(bench, figures, groups, gateways)
        figures.show("%d idle WebSockets with a checkpoint a second each and %d active ones in %d group%s: %d events/s "
                     "appended one by one, %d deliveries/s, %d rounds of %d s, durable, %s"
                     % (options.idle, options.active, groups, "s" * (groups > 1), RATE * groups, RATE * options.active,
                        bench.rounds, options.seconds, where))
        judge(bench, figures, groups)
