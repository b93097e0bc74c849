"""Idle and active WebSocket connections: how soon events come, what a connection takes of memory."""

from harness import Figures, Meter

RATE = 20  # events/s to each active connection
WARM_UP_S = 2
MIXED_GROUPS = 100
P99_MAX_MS = 100
MEMORY_MAX_MB = 400
IDLE_MAX_KB = 20


def crowd(bench, figures, groups):
    options = bench.options
    with bench.store() as strata, Meter(strata.process.pid) as used:
        result = bench.run("websocket_crowd", "--append-to", strata.grpc, "--subscribe-to",
                           "127.0.0.1:%d" % strata.http_port, "--idle", options.idle, "--active", options.active,
                           "--groups", groups, "--rate", RATE, "--warm-up", WARM_UP_S, "--seconds",
                           WARM_UP_S + options.seconds, "--pid", strata.process.pid)
    figures.add("event after its append's answer, median", result["p50_us"] / 1000, "ms")
    figures.add("event after its append's answer, p99", result["p99_us"] / 1000, "ms")
    figures.add("event after its append's answer, p99.9", result["p999_us"] / 1000, "ms")
    figures.add("event after its append's answer, longest", result["max_us"] / 1000, "ms")
    if options.idle > 0:
        idle_kb = (result["rss_idle_kib"] - result["rss_begin_kib"]) / options.idle * 1.024
        figures.add("memory of an idle connection", idle_kb, "KB")
    figures.add("resident memory without page cache, greatest", result["rss_max_kib"] / 1024, "MB")
    figures.add("all idle connections live after", result["open_s"], "s")
    figures.add("server CPU of the whole run", used.us / 1e6, "s")


def run(bench):
    options = bench.options
    for groups in (1, min(MIXED_GROUPS, options.active)):
        figures = Figures()
        for _ in range(bench.rounds):
            crowd(bench, figures, groups)
        figures.show("%d idle WebSockets with a checkpoint a second each and %d active ones in %d group%s: %d events/s "
                     "appended one by one, %d deliveries/s, %d rounds of %d s, durable"
                     % (options.idle, options.active, groups, "s" * (groups > 1), RATE * groups, RATE * options.active,
                        bench.rounds, options.seconds))
        p99_ms = figures.median("event after its append's answer, p99")
        memory_mb = max(figures.values("resident memory without page cache, greatest"))
        bench.require(memory_mb < MEMORY_MAX_MB, "WebSockets: the server takes %.0f MB; goal below %d"
                      % (memory_mb, MEMORY_MAX_MB))
        if groups == 1:
            bench.require(p99_ms <= P99_MAX_MS, "WebSockets: p99 is %.0f ms; goal %d" % (p99_ms, P99_MAX_MS))
        if options.idle > 0:
            idle_kb = figures.median("memory of an idle connection")
            bench.require(idle_kb < IDLE_MAX_KB, "WebSockets: an idle one takes %.1f KB; goal below %d"
                          % (idle_kb, IDLE_MAX_KB))
