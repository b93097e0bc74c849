"""A disk that runs full under the real service: a small file system of its own, mounted for the test (which needs root).

Appends are refused by name, /health says so, stops and starts still work, space that is freed is found without help, and
nothing that was answered is lost.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import grpc

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_records import read_history  # noqa: E402
from support.strata_rpc import Client, Failure, event_pb2, event_service_pb2, snapshot_service_pb2  # noqa: E402
from support.strata_service import BINARY, Service, environment  # noqa: E402

MIB = 1 << 20
DISK_BYTES = 96 * MIB
RESERVE_BYTES = 32 * MIB  # what appends leave for state/ and the next start
BALLAST_BYTES = 24 * MIB
SEGMENT_BYTES = 4 * MIB
EVENT_BYTES = 40000
WAIT_SECONDS = 120


def mount_disk(folder):
    """A tmpfs; where it may not be mounted, the test fails: what it is for cannot be shown otherwise."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d,mode=700" % DISK_BYTES, "strata-test", str(folder)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("a small file system cannot be mounted (%s); run the test as root" % done.stderr.strip())


def unmount_disk(folder):
    subprocess.run(["umount", str(folder)], check=True)


class DiskFull(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="strata-test-disk-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.disk = self.root / "disk"
        self.disk.mkdir()
        mount_disk(self.disk)
        self.addCleanup(unmount_disk, self.disk)
        self.ballast = self.disk / "ballast"
        self.ballast.write_bytes(bytes(BALLAST_BYTES))
        self.service = Service(data=self.disk / "data",
                               config={"STRATA_DATABASE_EMBEDDED_SEGMENT_SIZE": str(SEGMENT_BYTES)})
        self.addCleanup(self.end_service)
        self.acknowledged = {}  # id → (position, aggregate, data)
        self.number = 0

    def end_service(self):
        if self.service.process is not None and self.service.process.poll() is None:
            self.service.kill()

    def start(self):
        self.service.data.mkdir(exist_ok=True)
        self.service.start()

    def free_bytes(self):
        about = os.statvfs(self.disk)
        return about.f_bavail * about.f_frsize

    def append(self, client):
        """One event; None when it was recorded, else the Failure."""
        self.number += 1
        event_id, aggregate = "full-%d" % self.number, "f-%d" % (self.number % 7)
        data = b'{"n":%d,"filler":"%s"}' % (self.number, b"x" * EVENT_BYTES)
        request = event_service_pb2.AppendEventsRequest(events=[event_pb2.NewEvent(
            id=event_id, type="custom", aggregate_id=aggregate, aggregate_type="custom", data=data)])
        try:
            reply = client.events.AppendEvents(request, timeout=60)
        except grpc.RpcError as error:
            return Failure(error)
        self.acknowledged[event_id] = (reply.first_position, aggregate, data)
        return None

    def fill(self, client):
        for _ in range(DISK_BYTES // EVENT_BYTES):
            failure = self.append(client)
            if failure is not None:
                return failure
        self.fail("more was appended than the disk holds")

    def check_refusal(self, failure):
        self.assertEqual((failure.code, failure.reason), ("UNAVAILABLE", "STORE_FAILED"), failure)
        self.assertRegex(failure.message, "there is no space for more events: .*main/log.*free some space and try again")
        self.assertEqual(failure.retry_after_s, 1)

    def health(self):
        status, _, body = self.service.request("GET", "/health")
        store = next(c for c in body["components"] if c["name"] == "event_store")
        return status, body, store

    def check_unhealthy(self):
        status, body, store = self.health()
        self.assertEqual((status, body["state"], store["state"]), (503, "UNHEALTHY", "UNHEALTHY"), body)
        self.assertRegex(store["reason"], "appends are refused for want of space: .*free some space.*go on by themselves")

    def wait_until_healthy(self):
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            status, body, store = self.health()
            if status == 200 and store["state"] == "HEALTHY":
                return
            time.sleep(0.1)
        self.fail("/health did not recover in %d s: %s" % (WAIT_SECONDS, body))

    def check_history(self, client):
        """What was answered is there, as answered; nothing else is."""
        history = read_history(client.channel)
        self.assertEqual({r.id: (r.position, r.aggregate_id, r.data) for r in history.records}, self.acknowledged)
        return history

    def check_refused_but_serving(self, client):
        self.check_refusal(self.fill(client))
        self.check_unhealthy()
        self.check_history(client)
        failure = self.append(client)  # once more, after the reads
        self.check_refusal(failure)
        # state/ has what the appends left.
        client.snapshots.CreateSnapshot(snapshot_service_pb2.CreateSnapshotRequest(
            aggregate_id="f-1", version=self.number + 1000, data=b'{"n":1}'))

    def test_a_full_disk_is_survived(self):
        self.start()
        with Client(self.service) as client:
            self.check_refused_but_serving(client)
            self.assertGreater(self.free_bytes(), RESERVE_BYTES - 4 * MIB)
            self.assertLess(self.free_bytes(), RESERVE_BYTES + 4 * MIB)
        first_fill = len(self.acknowledged)

        self.service.stop()  # a clean stop while full, and a start
        self.start()
        with Client(self.service) as client:
            self.check_refused_but_serving(client)

        self.service.kill()  # kill -9 while full, and a start
        self.start()
        with Client(self.service) as client:
            self.check_refused_but_serving(client)
            process = self.service.process.pid

            self.ballast.unlink()  # space is freed under the running service
            self.wait_until_healthy()
            log = self.service.log()
            self.assertIn("appends are refused for want of space", log)
            self.assertIn("there is space for appends again", log)
            self.assertIsNone(self.append(client))
            before = len(self.acknowledged)
            self.check_refused_but_serving(client)  # and fills up again
            self.assertGreater(len(self.acknowledged) - before, BALLAST_BYTES // EVENT_BYTES // 2)
            self.assertEqual(self.service.process.pid, process)
            history = self.check_history(client)
        self.service.stop()

        verified = subprocess.run([str(BINARY), "verify", "--quiet", str(self.service.data)], capture_output=True,
                                  text=True, timeout=300, env=environment())
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assertIn("good: %d events" % len(self.acknowledged), verified.stdout)
        self.assertIn("clean stop", verified.stdout)
        self.assertIn("chain: %s\n" % history.chain.hex(), verified.stdout)
        print("%d events fitted at first, %d in all; %s" % (first_fill, len(self.acknowledged),
                                                            verified.stdout.splitlines()[0]), flush=True)


if __name__ == "__main__":
    unittest.main()
