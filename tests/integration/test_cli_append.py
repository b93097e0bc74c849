"""strata append: everything about one event, and many by lines, of which one may fail."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_cli import strata  # noqa: E402
from support.strata_service import BINARY, Service, environment  # noqa: E402


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.service.remove()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="strata-append-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.name = self.id().rsplit(".", 1)[1]

    def append(self, *arguments, code=0, given=None):
        done = strata("append", "-a", self.service.grpc, *arguments, given=given)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def rows(self, done):
        return [json.loads(line) for line in done.stdout.splitlines()]

    def write(self, *lines):
        path = self.folder / "events.ndjson"
        path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        return path

    def event(self, n, **more):
        return {"type": "custom", "aggregate_id": self.name, "aggregate_type": "custom", "data": {"n": n}, **more}

    def stored(self):
        status, _, reply = self.service.request("GET", "/api/v1/events/aggregate/" + self.name)
        return [event["data"]["n"] for event in reply["events"]] if status == 200 else []


class One(Case):
    def test_every_option_is_in_the_event(self):
        [reply] = self.rows(self.append(
            "-t", "custom", "-i", self.name, "-y", "custom", "-m", '{"by":"me"}', "--id", "e-1", "--correlation-id", "c",
            "--causation-id", "d", "--tag", "a:1", "--tag", "b:2", "--subject", "person-7", "--occurred-at", "2020-01-02",
            "--schema-version", "3", "--expected-version", "0", '{"n":1.50}'))
        event = reply["event"]
        for name, value in (("id", "e-1"), ("correlation_id", "c"), ("causation_id", "d"), ("tags", ["a:1", "b:2"]),
                            ("subject", "person-7"), ("occurred_at", "2020-01-02T00:00:00.000000Z"), ("schema_version", 3),
                            ("metadata", {"by": "me"}), ("version", 1)):
            self.assertEqual(event[name], value, name)
        self.assertEqual(json.loads(strata("event", "-a", self.service.grpc, "e-1").stdout)["position"], event["position"])

    def test_opaque_data_comes_as_it_is(self):
        done = subprocess.run([str(BINARY), "append", "-a", self.service.grpc, "-t", "custom", "-i", self.name, "-y", "custom",
                               "--content-type", "application/octet-stream", "-"], input=bytes(range(256)), env=environment(),
                              capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        import base64
        self.assertEqual(base64.b64decode(json.loads(done.stdout)["event"]["data"]), bytes(range(256)))

    def test_an_empty_standard_input_is_no_event(self):
        """In a pipe behind a program that failed."""
        identity = ("-t", "custom", "-i", self.name, "-y", "custom")
        for data in ((), ("-",)):
            self.assertIn("the standard input is empty; give DATA", self.append(*identity, *data, code=1, given="").stderr)
        self.assertEqual(self.stored(), [])
        folder = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, folder)
        done = subprocess.run([str(BINARY), "append", "-a", self.service.grpc, *identity], stdin=folder, env=environment(),
                              capture_output=True, text=True, timeout=120)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("the standard input cannot be read: Is a directory", done.stderr)
        self.append(*identity, '{"n":1}')
        self.assertEqual(self.stored(), [1])

    def test_when_nobody_answers_the_message_says_how_to_repeat(self):
        done = strata("append", "-a", "127.0.0.1:1", "-t", "custom", "-i", "x", "{}")
        self.assertEqual(done.returncode, 3)
        [event_id] = [word for before, word in zip(done.stderr.split(), done.stderr.split()[1:]) if before == "--id"]
        for replayed in (False, True):
            [reply] = self.rows(self.append("-t", "custom", "-i", self.name, "-y", "custom", "--id", event_id, '{"n":1}'))
            self.assertEqual(reply["replayed"], replayed)
        self.assertEqual(self.stored(), [1])


class Lines(Case):
    def test_events_and_appends_a_line_each(self):
        path = self.write(self.event(1), "", {"events": [self.event(2), self.event(3)], "expectations": [
            {"aggregate_id": self.name, "be_at_version": 1}]}, self.event(4, expected_version=3, id="own-id"), self.event(5, version=5))
        rows = self.rows(self.append("--file", path))
        self.assertEqual([row["line"] for row in rows], [1, 3, 4, 5])
        self.assertEqual([len(row["event_ids"]) for row in rows], [1, 2, 1, 1])
        self.assertEqual(rows[2]["event_ids"], ["own-id"])
        self.assertEqual(self.stored(), [1, 2, 3, 4, 5])

    def test_a_refused_line_is_named_and_what_is_recorded_is_said(self):
        path = self.write(self.event(1), self.event(2), self.event(3, expected_version=7), self.event(4))
        done = self.append("--file", path, code=1)
        self.assertEqual([row["line"] for row in self.rows(done)], [1, 2])
        for word in ("events.ndjson:3:", "VERSION_CONFLICT", "2 lines recorded: 2 events, positions", "--from-line 3"):
            self.assertIn(word, done.stderr)
        self.assertEqual(self.stored(), [1, 2])
        path = self.write(self.event(1), self.event(2), self.event(3, expected_version=2), self.event(4))
        self.append("--file", path, "--from-line", "3")
        self.assertEqual(self.stored(), [1, 2, 3, 4])

    def test_keep_going_tries_every_line_and_still_fails(self):
        path = self.write(self.event(1), "{nonsense", self.event(2, type="not_allowed"), self.event(3, strange=1), "[]", self.event(4),
                          {**self.event(5), "position": "7", "append_id": "x"})
        done = self.append("--file", path, "--keep-going", code=1)
        self.assertEqual(self.stored(), [1, 4])
        for place, word in ((2, "INVALID_JSON"), (3, "TYPE_NOT_ALLOWED"), (4, "strange"), (5, "JSON object"), (7, "strata import")):
            [message] = [m for m in done.stderr.split("strata: ") if "events.ndjson:%d:" % place in m]
            self.assertIn(word, message)
        self.assertIn("5 refused", done.stderr)

    def test_with_a_key_the_same_file_again_is_a_replay(self):
        path = self.write(self.event(1), {"events": [self.event(2)]}, self.event(3))
        first = self.rows(self.append("-f", path, "--idempotency-key", "load"))
        again = self.append("-f", path, "--idempotency-key", "load")
        self.assertEqual([row["replayed"] for row in self.rows(again)], [True] * 3)
        self.assertEqual([row["event_ids"] for row in self.rows(again)], [row["event_ids"] for row in first])
        self.assertIn("3 had been before", again.stderr)
        self.assertEqual(self.stored(), [1, 2, 3])

    def test_the_standard_input_is_recorded_line_by_line_as_it_comes(self):
        process = subprocess.Popen([str(BINARY), "append", "-a", self.service.grpc, "--file", "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True)
        for n in (1, 2):
            process.stdin.write(json.dumps(self.event(n)) + "\n")
            process.stdin.flush()
            self.assertEqual(json.loads(process.stdout.readline())["line"], n)
            self.assertEqual(self.stored(), list(range(1, n + 1)))
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0)

    def test_a_dry_run_records_nothing(self):
        path = self.write(self.event(1), {"events": [self.event(2)]})
        rows = self.rows(self.append("--file", path, "--dry-run"))
        self.assertEqual([len(row["events"]) for row in rows], [1, 1])
        self.assertEqual(self.stored(), [])

    def test_what_does_not_go_together_is_wrong_usage(self):
        path = self.write(self.event(1))
        for arguments in (("--file", path, "-t", "custom"), ("--file", path, "{}"), ("--from-line", "2", "-t", "a", "-i", "b", "{}"),
                          ("-k", "-t", "a", "-i", "b", "{}"), ("-t", "a", "-t", "b", "-i", "c", "{}")):
            with self.subTest(arguments):
                self.append(*arguments, code=2)
        missing = strata("append", "-a", self.service.grpc, "--file", self.folder / "nowhere")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("nowhere", missing.stderr)

    def test_a_service_that_dies_under_it_is_exit_3_and_the_rest_follows_with_the_key(self):
        with Service() as service:
            path = self.write(*[self.event(n) for n in range(1, 1001)])  # whose answers do not fit into a pipe that nobody reads
            process = subprocess.Popen([str(BINARY), "append", "-a", service.grpc, "--file", str(path), "--idempotency-key", "k"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True)
            for _ in range(20):
                process.stdout.readline()
            service.kill()
            _, errors = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 3, errors)
            self.assertIn("--from-line", errors)
            again = Service(data=service.data).start()
            done = strata("append", "-a", again.grpc, "--file", path, "--idempotency-key", "k")
            self.assertEqual(done.returncode, 0, done.stderr)
            page = again.request("GET", "/api/v1/events/aggregate/%s?page_size=1000&from_version=801" % self.name)[2]
            self.assertEqual([event["data"]["n"] for event in page["events"]], list(range(801, 1001)))
            again.stop()


if __name__ == "__main__":
    unittest.main()
