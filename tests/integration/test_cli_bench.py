"""strata bench: it measures what it says, tells failures, and leaves other machines alone."""

import json
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_cli import COLOR, on_terminal, strata  # noqa: E402
from support.strata_service import Service  # noqa: E402


class Bench(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.service.remove()

    def bench(self, *arguments, code=0):
        done = strata("bench", *arguments, "-a", self.service.grpc, "--output", "json")
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        report = json.loads(done.stdout)
        latency = report["latency_us"]
        self.assertTrue(0 < latency["p50"] <= latency["p99"] <= latency["p99.9"] <= latency["max"], latency)
        self.assertGreater(report["calls_per_second"], 0)
        return report

    def stats(self):
        return self.service.request("GET", "/api/v1/stats?exact=true")[2]

    def test_appends_are_really_there_in_aggregates_of_their_own(self):
        for options in ((), ("--stream",)):
            with self.subTest(options):
                before = self.stats()
                report = self.bench("append", "--clients", "3", "--batch", "20", "--size", "300", "--count", "600", *options)
                self.assertEqual((report["events"], report["calls"], report["errors"]), (600, 30, 0))
                self.assertEqual(self.stats()["event_count"] - before["event_count"], 600)
                self.assertIn("fdatasync", report["durability"])
                self.assertEqual(report["mode"], "stream" if options else "unary")
                listed = strata("tail", "-a", self.service.grpc, "--prefix", report["aggregates"], "-n", "100000").stdout.splitlines()
                self.assertEqual(len(listed), 600)
                event = json.loads(listed[0])
                self.assertTrue(event["aggregate_id"].startswith("strata-bench-"))
                self.assertEqual(len(json.dumps(event["data"], separators=(",", ":"))), 300)

    def test_a_duration_ends_it(self):
        report = self.bench("append", "--duration", "300ms")
        self.assertTrue(0.3 <= report["seconds"] < 20, report)

    def test_reads_count_what_they_read(self):
        self.bench("append", "--batch", "100", "--count", "2000")
        report = self.bench("read", "--batch", "500", "--count", "10", "--clients", "2")
        self.assertEqual((report["calls"], report["events"], report["errors"]), (10, 5000, 0))
        report = self.bench("get", "--count", "50")
        self.assertEqual((report["calls"], report["errors"]), (50, 0))

    def test_every_subscriber_gets_every_event(self):
        report = self.bench("subscribe", "--clients", "3", "--rate", "1000", "--count", "300")
        self.assertEqual((report["events"], report["missing"], report["errors"]), (900, 0, 0))

    def test_what_is_refused_is_counted_and_fails_it(self):
        with Service(config={"STRATA_MAX_EVENTS": "50"}) as small:
            done = strata("bench", "append", "--batch", "10", "--count", "100", "-a", small.grpc)
            self.assertEqual(done.returncode, 1, done.stderr)
            report = json.loads(done.stdout)
            self.assertEqual((report["events"], report["errors"]), (50, 5))
            self.assertIn("max_events", report["error"])
        with Service() as empty:
            done = strata("bench", "get", "-a", empty.grpc)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("strata bench append", done.stderr)

    def test_other_machines_are_left_alone(self):
        done = strata("bench", "append", "-a", "192.0.2.1:50051")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("--allow-remote", done.stderr)
        self.assertEqual(strata("bench", "append", "-a", "127.0.0.1:1").returncode, 3)
        self.assertEqual(strata("bench", "append", "--duration", "0s").returncode, 2)

    def test_a_person_gets_a_table(self):
        code, text = on_terminal("bench", "append", "--count", "10", "-a", self.service.grpc)
        self.assertEqual(code, 0, text)
        self.assertRegex(COLOR.sub("", text), r"(?m)^latency_us\.p99\.9 +\d+")


if __name__ == "__main__":
    unittest.main()
