"""What an operator does after a loss: reads the refusal, accepts it once, finds it on record, starts as always."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import BINARY, Service, environment  # noqa: E402


class DataLoss(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="strata-loss-")
        self.addCleanup(folder.cleanup)
        self.data = pathlib.Path(folder.name) / "data"
        self.backup = pathlib.Path(folder.name) / "backup"
        self.data.mkdir()

    def service(self, *arguments):
        return Service(data=self.data, arguments=arguments)

    def append(self, service, *ids):
        for event_id in ids:
            code, _, reply = service.request("POST", "/api/v1/events/append", {"events": [
                {"id": event_id, "type": "custom", "aggregate_id": "ledger", "aggregate_type": "custom", "data": {}}]})
            self.assertEqual(code, 201, reply)

    def events(self, service, path):
        code, _, reply = service.request("GET", path)
        self.assertEqual(code, 200, reply)
        return reply["events"]

    def refusal(self, *arguments, extra=None):
        """A start that must fail; what it says."""
        settings = {"STRATA_DATABASE_EMBEDDED_PATH": str(self.data), "STRATA_SERVER_HTTP_PORT": "0",
                    "STRATA_SERVER_GRPC_PORT": "0", "STRATA_WEBSOCKET_PORT": "0", **(extra or {})}
        done = subprocess.run([str(BINARY), "serve", *arguments], env=environment(settings), capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        return done.stderr

    def roll_the_log_back(self):
        with self.service() as service:
            self.append(service, "e1", "e2")
        shutil.copytree(self.data / "main/log", self.backup)
        with self.service() as service:
            self.append(service, "e3", "e4", "e5")
        shutil.rmtree(self.data / "main/log")
        shutil.copytree(self.backup, self.data / "main/log")

    def test_a_log_that_was_rolled_back(self):
        self.roll_the_log_back()
        said = self.refusal()
        self.assertIn("history ends at position 2", said)
        self.assertIn("it was at 5", said)
        self.assertIn("--accept-data-loss", said)
        self.assertIn(str(self.data), said)
        self.assertIn("history ends at position 2", self.refusal("--accept-state-loss"))  # another loss
        with self.service("--accept-data-loss") as service:
            [recorded] = self.events(service, "/api/v1/events/type/$data_loss_accepted")
            self.assertEqual((recorded["position"], recorded["aggregate_id"]), ("3", "$data_losses"))
            self.assertEqual(recorded["data"], {"history_ended_at": "2", "it_was_at": "5"})
            self.append(service, "e3")  # the id is free again
            service.kill()  # before the next remembered head, perhaps
        with self.service() as service:
            self.assertEqual([e["id"] for e in self.events(service, "/api/v1/events/aggregate/ledger")],
                             ["e1", "e2", "e3"])
            self.assertEqual(len(self.events(service, "/api/v1/events/aggregate/$data_losses")), 1)
        with self.service("--accept-data-loss") as service:  # nothing is lost now: nothing to record
            self.assertEqual(len(self.events(service, "/api/v1/events/aggregate/$data_losses")), 1)
        good = subprocess.run([str(BINARY), "verify", str(self.data)], env=environment(), capture_output=True, text=True,
                              timeout=60)
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertIn("good: 4 events of 2 aggregates", good.stdout)

    def test_a_state_folder_that_is_gone(self):
        with self.service() as service:
            self.append(service, "e1", "e2")
            code, _, reply = service.request("POST", "/api/v1/snapshots/", {"aggregate_id": "ledger", "version": 2})
            self.assertEqual(code, 201, reply)
        shutil.rmtree(self.data / "main/state")
        said = self.refusal()
        self.assertIn("state/state.db is missing", said)
        self.assertIn("--accept-state-loss", said)
        self.assertIn("--accept-state-loss", self.refusal("--accept-data-loss"))  # another loss
        with self.service("--accept-state-loss") as service:
            self.assertEqual(service.request("GET", "/api/v1/snapshots/ledger")[0], 404)
            self.assertEqual(len(self.events(service, "/api/v1/events/aggregate/ledger")), 2)
            self.append(service, "e3")
            self.assertIn("state/ was missing, accepted", service.log())
        with self.service() as service:
            self.assertEqual(len(self.events(service, "/api/v1/events/aggregate/ledger")), 3)

    def test_the_options_are_about_the_embedded_store(self):
        in_memory = {"STRATA_DATABASE_EVENT_STORE": "memory", "STRATA_DATABASE_SNAPSHOT_STORE": "memory"}
        for option in ("--accept-data-loss", "--accept-state-loss"):
            with self.subTest(option):
                said = self.refusal(option, extra=in_memory)
                self.assertIn(option, said)
                self.assertIn("database.event_store", said)


if __name__ == "__main__":
    unittest.main()
