"""Idempotency at size: every append has a name or ids of its own, and each is answered with its first result for ever.

Old appends are repeated at random among new and altered ones, on the real process, which is killed amid the load, killed
again and stopped; answers are compared whole (tests/bench/keys_client.c). STRATA_TEST_KEYS sets the number of appends,
STRATA_TEST_SEED the seed; the folder for temporary files needs 400 bytes an append. Prints memory and CPU a retry.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
import unittest
import uuid

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from bench.harness import Meter, rss_anon_mb, settle  # noqa: E402
from support.strata_rpc import Client, event_pb2, event_service_pb2, system_service_pb2  # noqa: E402
from support.strata_service import BINARY, Service, environment, scaled  # noqa: E402

KEYS = int(os.environ.get("STRATA_TEST_KEYS", scaled(20000)))
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))
CLIENT = BINARY.resolve().parents[2] / "tests/bench/keys_client"
AGGREGATES = max(100, KEYS // 10)
RETRIES = max(2000, KEYS // 10)
IN_FLIGHT_MAX = 64  # of the client
KILL_SECONDS = 600
MEMORY_MB = 300  # besides the page cache
SANITIZED = scaled(100) != 100
SEGMENT_BYTES = 1 << 20 if KEYS < 1000000 else 256 << 20  # so that a small share has many segments and merged runs, too


def events_of(keys):
    """Each eighth append has two events."""
    return keys + keys // 8


def head_of(client):
    return client.system.GetStats(system_service_pb2.GetStatsRequest()).head_position


class Memory:
    """The most that a process has resident besides the page cache, while the block runs."""

    def __init__(self, pid):
        self.pid = pid
        self.most_mb = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _look(self):
        try:
            self.most_mb = max(self.most_mb, rss_anon_mb(self.pid))
        except (FileNotFoundError, ProcessLookupError, SystemExit):
            pass  # it was killed meanwhile

    def _watch(self):
        while not self.ended.wait(0.2):
            self._look()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self._look()
        self.ended.set()
        self.thread.join()


class Keys(unittest.TestCase):
    def setUp(self):
        print("STRATA_TEST_SEED=%s STRATA_TEST_KEYS=%d" % (SEED, KEYS), flush=True)
        self.service = Service(config={"STRATA_DATABASE_EMBEDDED_SEGMENT_SIZE": str(SEGMENT_BYTES)})
        self.times = self.service.data.parent / (self.service.data.name + ".times")
        self.addCleanup(self.times.unlink, missing_ok=True)
        self.addCleanup(Service.remove, self.service)
        self.keys = 0  # appends that were made
        self.most_mb = 0

    # --- the client ---

    def begin(self, mode, **options):
        arguments = ["--%s=%s" % (name.replace("_", "-"), value) for name, value in options.items()]
        return subprocess.Popen([str(CLIENT), mode, "--port", self.service.grpc.split(":")[1], "--times", str(self.times),
                                 "--aggregates", str(AGGREGATES), *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def end(self, client):
        out, errors = client.communicate()
        self.assertTrue(out, errors)
        result = json.loads(out)
        self.assertEqual((client.returncode, result["error"]), (0, ""), errors)
        return result

    def fill(self, first, count, unknown=0):
        """Makes the appends; of the first `unknown`, whose outcome is not known, as many may be replays."""
        result = self.end(self.begin("fill", first=first, count=count))
        self.assertTrue(result["complete"], (result, self.service.log()))
        self.assertEqual((result["answered"], result["recorded"] + result["replayed"]), (count, count))
        self.assertLessEqual(result["replayed"], unknown)
        self.keys = first + count
        return result

    def retry(self, title, other_every=0, new_every=0):
        """Repeats appends out of all that were made; returns server CPU and seconds of one."""
        new = RETRIES // new_every if new_every else 0
        with Meter(self.service.process.pid) as used:
            result = self.end(self.begin("retry", known=self.keys, count=RETRIES, seed=int(SEED) + self.keys,
                                         other_every=other_every, new_every=new_every))
        self.keys += new
        self.assertTrue(result["complete"], (result, self.service.log()))
        self.assertEqual((result["answered"], result["recorded"], result["known"]), (RETRIES, new, self.keys))
        self.assertGreater(result["replayed"], 0)
        self.assertEqual(result["refused"] > 0, other_every > 0)
        self.assertEqual(result["replayed"] + result["refused"] + new, RETRIES)
        print("%s: %d replayed, %d refused, %d new; %.1f µs of server CPU and %.1f µs each; %.0f MB"
              % (title, result["replayed"], result["refused"], new, used.us / RETRIES,
                 result["seconds"] * 1e6 / RETRIES, rss_anon_mb(self.service.process.pid)), flush=True)

    # --- what must hold ---

    def head(self):
        with Client(self.service) as client:
            return head_of(client)

    def check_count(self):
        """Nothing doubled and nothing is missing, by counting."""
        with Client(self.service) as client:
            stats = client.system.GetStats(system_service_pb2.GetStatsRequest(exact=True), timeout=KILL_SECONDS)
        self.assertEqual((stats.event_count, stats.head_position, stats.aggregate_count),
                         (events_of(self.keys), events_of(self.keys), AGGREGATES))

    def check_independently(self):
        """A handful by another client and with ids derived by another library."""
        source = random.Random(SEED)
        with Client(self.service) as client:
            for number in source.sample(range(0, self.keys, 8), 20):  # of eight, the first has a name and one event
                position = events_of(number) + 1
                name = "key-%d" % number
                reply = client.events.AppendEvents(event_service_pb2.AppendEventsRequest(append_id=name, events=[
                    event_pb2.NewEvent(type="custom", aggregate_id="k-%d" % ((position - 1) % AGGREGATES),
                                       aggregate_type="custom", data=b'{"n":%d}' % position)]))
                self.assertTrue(reply.replayed)
                self.assertEqual((reply.first_position, list(reply.event_ids)),
                                 (position, [str(uuid.uuid5(uuid.NAMESPACE_OID, name + "\0" + "0"))]))

    def fill_through_a_kill(self):
        begin = self.keys
        kill_at = events_of(begin) + random.Random(SEED).randrange(events_of(KEYS - begin) // 2) + 1
        with Memory(self.service.process.pid) as memory, Client(self.service) as watching:
            # More than are wanted, or they might all be made before somebody looks.
            client = self.begin("fill", first=begin, count=4 * (KEYS - begin))
            deadline = time.monotonic() + KILL_SECONDS
            while head_of(watching) < kill_at:
                self.assertLess(time.monotonic(), deadline, self.service.log())
                time.sleep(0.01)
            self.most_mb = max(self.most_mb, memory.most_mb)
        self.service.kill()
        result = self.end(client)
        self.assertFalse(result["complete"], "the load was over before the kill")
        answered = begin + result["answered"]
        self.service.start()
        self.assertGreaterEqual(self.head(), events_of(answered))
        with Memory(self.service.process.pid) as memory:
            rest = self.fill(answered, max(KEYS - answered, IN_FLIGHT_MAX), unknown=IN_FLIGHT_MAX)
        self.most_mb = max(self.most_mb, memory.most_mb)
        print("killed after %d answers: %d more had been recorded" % (answered, rest["replayed"]), flush=True)

    def test_every_append_answers_its_first_result_for_ever(self):
        self.service.start()
        with Memory(self.service.process.pid) as memory:
            filled = self.fill(0, KEYS * 2 // 5)
        self.most_mb = memory.most_mb
        print("filled: %d appends a second" % (filled["answered"] / filled["seconds"]), flush=True)
        self.fill_through_a_kill()
        settle(self.service.process.pid)
        with Memory(self.service.process.pid) as memory:
            self.retry("retries of old appends")
            self.retry("among altered and new ones", other_every=8, new_every=16)
        self.most_mb = max(self.most_mb, memory.most_mb)
        for ending, title in ((self.service.kill, "after kill -9"), (self.service.stop, "after a clean stop")):
            ending()
            self.service.start()
            with Memory(self.service.process.pid) as memory:
                self.retry(title, other_every=8, new_every=16)
            self.most_mb = max(self.most_mb, memory.most_mb)
        self.check_independently()
        self.check_count()
        print("at most %.0f MB resident besides the page cache" % self.most_mb, flush=True)
        self.assertGreater(self.most_mb, 1)
        if not SANITIZED:
            self.assertLess(self.most_mb, MEMORY_MB)
        self.service.stop()
        verified = subprocess.run([str(BINARY), "verify", "--quiet", str(self.service.data)], capture_output=True,
                                  text=True, env=environment())
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assertIn("good: %d events of %d aggregates" % (events_of(self.keys), AGGREGATES), verified.stdout)


if __name__ == "__main__":
    unittest.main()
