"""Many subscribers of which one does not read, over each transport: the others get every event once and in order while it
does not, the server keeps nothing for it, and when it reads at last it gets every event too.

What it is sent goes far beyond what sockets and buffers hold. Times are the bench's matter: scripts/bench --only fanout.
"""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import BINARY, Service, scaled  # noqa: E402

CLIENT = BINARY.resolve().parents[2] / "tests/bench/fanout_client"
READERS = 20
EVENTS_PER_APPEND = 20
APPENDS = scaled(2000)
CROWD_APPENDS = scaled(200)
DATA_BYTES = 500
MEMORY_MB = 8  # more than without it; the events have 25 MB as they are sent, and more as JSON
SANITIZED = scaled(100) != 100  # what the allocator of a sanitizer holds says nothing


class Fanout(unittest.TestCase):
    def setUp(self):
        self.service = Service()
        self.addCleanup(Service.remove, self.service)
        self.service.start()

    def tearDown(self):
        self.service.stop()

    def run_client(self, transport, *arguments):
        """The client fails when any subscriber misses an event, gets one twice or out of order."""
        split = os.environ.get("STRATA_TEST_SPLIT")
        processes = [self.service.process] + ([self.service.gateway.process] if split else [])
        target = self.service.grpc if transport == "grpc" else "127.0.0.1:%d" % self.service.http_port
        command = [str(CLIENT), "--transport", transport, "--append-to", self.service.grpc, "--subscribe-to", target,
                   "--rate", "0", "--events", str(EVENTS_PER_APPEND), "--data-bytes", str(DATA_BYTES), "--warm-up", "0"]
        command += ["--pid=%d" % process.pid for process in processes] + [str(argument) for argument in arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        result = json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout else {"error": done.stderr}
        self.assertEqual((done.returncode, result["error"]), (0, ""), command)
        return result

    def check(self, transport, *how):
        self.run_client(transport, "--readers", READERS, "--stalled", 2, "--revive", "--count", CROWD_APPENDS, *how)
        grown = {}
        for stalled in (0, 1):
            result = self.run_client(transport, "--stalled", stalled, "--revive", "--count", APPENDS, *how)
            grown[stalled] = (result["rss_end_kib"] - result["rss_live_kib"]) / 1024
        print("%s%s: memory grows by %.1f MB, without it by %.1f" % (transport, " ".join(how), grown[1], grown[0]), flush=True)
        if not SANITIZED:
            self.assertLess(grown[1] - max(0, grown[0]), MEMORY_MB)

    def test_grpc_whose_socket_is_not_read(self):
        self.check("grpc")

    def test_grpc_whose_window_is_not_opened(self):
        self.check("grpc", "--stall-window")

    def test_sse(self):
        self.check("sse")

    def test_ndjson(self):
        self.check("ndjson")

    def test_websocket(self):
        self.check("websocket")


if __name__ == "__main__":
    unittest.main()
