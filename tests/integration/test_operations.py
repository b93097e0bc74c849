"""Long-running operations of the real service: what their client does and what becomes of the process changes nothing."""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_rpc import (Client, event_pb2, event_service_pb2, failure_of, snapshot_service_pb2,  # noqa: E402
                                system_service_pb2)
from support.strata_service import BINARY, Service, environment, scaled  # noqa: E402

APPENDS = scaled(60, least=10)  # of 1,000 events; one verification takes some tenths of a second
WAIT_SECONDS = 120

RUNNING = system_service_pb2.Operation.RUNNING
SUCCEEDED = system_service_pb2.Operation.SUCCEEDED
FAILED = system_service_pb2.Operation.FAILED
CANCELLED = system_service_pb2.Operation.CANCELLED


def start_verify(client, **verify):
    return client.system.StartOperation(
        system_service_pb2.StartOperationRequest(verify=system_service_pb2.Verify(**verify)))


def get(client, operation_id):
    return client.system.GetOperation(system_service_pb2.GetOperationRequest(id=operation_id))


def cancel(client, operation_id):
    return client.system.CancelOperation(system_service_pb2.CancelOperationRequest(id=operation_id))


def watch(client, operation_id, timeout=WAIT_SECONDS):
    return client.system.WatchOperation(system_service_pb2.WatchOperationRequest(id=operation_id), timeout=timeout)


def wait(client, operation_id):
    """The operation as it has ended."""
    for operation in watch(client, operation_id):
        last = operation
    return last


def load(client, appends, aggregates=1000):
    for number in range(appends):
        client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[
            event_pb2.NewEvent(type="custom", aggregate_id="a%d" % ((number * 1000 + i) % aggregates),
                               aggregate_type="custom", data=b'{"n":%d}' % i) for i in range(1000)]))


def chain_of(folder):
    """The chain as `strata verify` computes it, with nobody serving the store."""
    done = subprocess.run([str(BINARY), "verify", str(folder)], env=environment(), capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.search(r"\b[0-9a-f]{64}\b", done.stdout).group()


class Embedded(unittest.TestCase):
    """One store for all: verifying changes nothing."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="strata-operations-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.data = pathlib.Path(cls.folder.name) / "data"
        cls.data.mkdir()
        with cls.service() as s, Client(s) as c:
            load(c, APPENDS)
        cls.chain = chain_of(cls.data)

    @classmethod
    def service(cls):
        return Service(data=cls.data)

    def start_and_catch(self, client):
        """A verification that has begun and not ended; it may take some tries to see one."""
        for _ in range(50):
            operation = start_verify(client)
            while operation.state == RUNNING and operation.done == 0:
                operation = get(client, operation.id)
            if operation.state == RUNNING:
                return operation
        self.fail("50 verifications of %d events ended before they were looked at" % (1000 * APPENDS))

    def assert_whole(self, operation):
        self.assertEqual(operation.state, SUCCEEDED, operation)
        self.assertEqual(operation.done, 1000 * APPENDS)
        self.assertEqual(operation.result["chain"], self.chain)
        self.assertEqual(operation.result["chain_checked"], "true")
        self.assertEqual(operation.result["events"], str(1000 * APPENDS))

    def test_a_verification_gives_the_chain_that_the_offline_one_gives(self):
        with self.service() as s, Client(s) as c:
            started = start_verify(c)
            self.assertEqual((started.state, started.kind, started.total), (RUNNING, "verify", 1000 * APPENDS))
            seen = list(watch(c, started.id))
            self.assert_whole(seen[-1])
            self.assertEqual([o.done for o in seen], sorted(o.done for o in seen))
            self.assertTrue(all(o.state == RUNNING for o in seen[:-1]))

    def test_a_killed_process_goes_on_with_it(self):
        ended = None
        for _ in range(10):
            service = self.service().start()
            with Client(service) as c:
                caught = self.start_and_catch(c)
                service.kill()
            with self.service() as s, Client(s) as c:
                ended = wait(c, caught.id)
            self.assert_whole(ended)
            self.assertEqual(ended.started_at, caught.started_at)
            if ended.message:  # else it had ended before the kill
                break
        self.assertRegex(ended.message, r"^went on at [0-9]+ of %d after a restart$" % (1000 * APPENDS))

    def test_a_clean_stop_pauses_it(self):
        with self.service() as s, Client(s) as c:
            caught = self.start_and_catch(c)
        with self.service() as s, Client(s) as c:
            ended = wait(c, caught.id)
            found = re.match(r"went on at ([0-9]+) of ", ended.message)
            if found:  # else it had ended before the stop
                self.assertGreaterEqual(int(found[1]), caught.done)
            self.assert_whole(ended)

    def test_a_client_that_goes_changes_nothing(self):
        with self.service() as s:
            before = s.request("GET", "/api/v1/operations")[2]["operations"]
            body = json.dumps({"verify": {}}).encode()
            with socket.create_connection(("127.0.0.1", s.http_port)) as raw:
                raw.sendall(b"POST /api/v1/operations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            with Client(s) as c:
                deadline = time.monotonic() + WAIT_SECONDS
                while True:
                    now = c.system.ListOperations(system_service_pb2.ListOperationsRequest()).operations
                    if len(now) > len(before):
                        break
                    self.assertLess(time.monotonic(), deadline, "it was never started")
                    time.sleep(0.01)
                stream = watch(c, now[0].id)
                next(stream)
                stream.cancel()
                self.assert_whole(wait(c, now[0].id))

    def test_a_cancelled_one_stays_cancelled(self):
        service = self.service().start()
        with Client(service) as c:
            caught = self.start_and_catch(c)
            ended = cancel(c, caught.id)
            if ended.state == CANCELLED:
                self.assertLess(ended.done, 1000 * APPENDS)
                self.assert_whole(wait(c, start_verify(c).id))  # it is in nobody's way
        service.kill()
        with self.service() as s, Client(s) as c:
            self.assertEqual(get(c, caught.id).state, ended.state)
            self.assertEqual(cancel(c, caught.id).ended_at, ended.ended_at)

    def test_over_http(self):
        with self.service() as s:
            status, headers, started = s.request("POST", "/api/v1/operations", {"verify": {}})
            self.assertEqual(status, 202, started)
            self.assertEqual(headers["Location"], "/api/v1/operations/" + started["id"])
            self.assertEqual((started["kind"], started["state"], started["started_by"]),
                             ("verify", "RUNNING", "anonymous"))
            self.assertIsInstance(started["total"], int)  # counters are JSON numbers
            status, _, refused = s.request("POST", "/api/v1/operations", {"verify": {}})
            if status != 202:  # the first one still ran
                self.assertEqual((status, refused["reason"]), (400, "OPERATION_RUNNING"))
            deadline = time.monotonic() + WAIT_SECONDS
            while True:
                status, _, now = s.request("GET", headers["Location"])
                self.assertEqual(status, 200)
                if now["state"] != "RUNNING":
                    break
                self.assertLess(time.monotonic(), deadline, now)
            self.assertEqual(now["state"], "SUCCEEDED", now)
            self.assertEqual(now["result"]["chain_checked"], "true")
            status, _, same = s.request("POST", headers["Location"] + "/cancel", {})
            self.assertEqual((status, same["state"]), (200, "SUCCEEDED"))
            status, headers, checked = s.request("POST", "/api/v1/operations",
                                                 {"cleanup": {"what": ["SNAPSHOTS"]}, "validate_only": True})
            self.assertEqual((status, headers["Location"]), (200, None), checked)
            status, _, problem = s.request("GET", "/api/v1/operations/no-such-id")
            self.assertEqual((status, problem["reason"]), (404, "OPERATION_UNKNOWN"))
            status, _, problem = s.request("POST", "/api/v1/operations", {"rebuild": {"what": "index"}})
            self.assertEqual((status, problem["reason"], problem["errors"][0]["field"]),
                             (400, "INVALID_FIELD", "rebuild.what"))
            status, _, page = s.request("GET", "/api/v1/operations?page_size=1")
            self.assertEqual((status, len(page["operations"])), (200, 1))


class Others(unittest.TestCase):
    def test_a_part_with_a_checkpoint(self):
        with Service() as s, Client(s) as c:
            load(c, 2)
            chain = bytes.fromhex(wait(c, start_verify(c).id).result["chain"])
            load(c, 1)
            part = wait(c, start_verify(c, from_position=2001, trusted_checkpoint=chain).id)
            self.assertEqual((part.state, part.done, part.result["chain_checked"]), (SUCCEEDED, 1000, "true"), part)
            wrong = bytes([chain[0] ^ 1]) + chain[1:]
            part = wait(c, start_verify(c, from_position=2001, trusted_checkpoint=wrong).id)
            self.assertEqual((part.state, part.error_code), (FAILED, 15), part)

    def test_snapshots_are_cleaned_up_and_made_anew(self):
        with Service(config={"STRATA_SNAPSHOT_EVENTS": "0"}) as s, Client(s) as c:
            load(c, 1, aggregates=10)
            for version in range(1, 6):
                c.snapshots.CreateSnapshot(snapshot_service_pb2.CreateSnapshotRequest(aggregate_id="a0", version=version))
            cleanup = system_service_pb2.Cleanup(what=[system_service_pb2.Cleanup.SNAPSHOTS])
            done = wait(c, c.system.StartOperation(system_service_pb2.StartOperationRequest(cleanup=cleanup)).id)
            self.assertEqual((done.state, dict(done.result)), (SUCCEEDED, {"snapshots": "4"}))
            left = c.snapshots.ListSnapshots(snapshot_service_pb2.ListSnapshotsRequest()).snapshots
            self.assertEqual([(o.aggregate_id, o.version) for o in left], [("a0", 5)])
            s.stop()
            s.config["STRATA_SNAPSHOT_EVENTS"] = "100"
            s.start()
            with Client(s) as again:
                rebuild = system_service_pb2.Rebuild(what="snapshots")
                done = wait(again,
                            again.system.StartOperation(system_service_pb2.StartOperationRequest(rebuild=rebuild)).id)
                self.assertEqual((done.state, dict(done.result)), (SUCCEEDED, {"aggregates": "10", "taken": "9"}))
                left = again.snapshots.ListSnapshots(snapshot_service_pb2.ListSnapshotsRequest()).snapshots
                self.assertEqual(len(left), 10)

    def test_damage_in_the_log_is_named(self):
        with tempfile.TemporaryDirectory(prefix="strata-operations-") as folder:
            data = pathlib.Path(folder) / "data"
            data.mkdir()
            small = {"STRATA_DATABASE_EMBEDDED_SEGMENT_EVENTS": "1000"}
            with Service(data=data, config=small) as s, Client(s) as c:
                load(c, 3)
                self.assertEqual(wait(c, start_verify(c).id).state, SUCCEEDED)
            first = sorted((data / "main/log").glob("*.seg"))[0]
            content = bytearray(first.read_bytes())
            at = content.rindex(b'{"n":700}')
            content[at + 5] ^= 1
            first.write_bytes(content)
            with Service(data=data, config=small) as s, Client(s) as c:  # a start does not read full segments
                ended = wait(c, start_verify(c).id)
                self.assertEqual((ended.state, ended.error_code), (FAILED, 15), ended)
                self.assertRegex(ended.message, r"\b701\b")  # the position
                late = wait(c, start_verify(c, from_position=1001).id)
                self.assertEqual((late.state, late.result["chain_checked"]), (SUCCEEDED, "false"), late)

    def test_in_memory_they_live_as_long_as_the_process(self):
        with Service(config={"STRATA_DATABASE_EVENT_STORE": "memory"}) as s, Client(s) as c:
            load(c, 1)
            ended = wait(c, start_verify(c).id)
            self.assertEqual((ended.state, ended.result["events"]), (SUCCEEDED, "1000"))
            s.stop()
            s.start()
            with Client(s) as again:
                self.assertEqual(failure_of(get, again, ended.id).reason, "OPERATION_UNKNOWN")
                self.assertEqual(failure_of(watch, again, ended.id).reason, "OPERATION_UNKNOWN")


if __name__ == "__main__":
    unittest.main(verbosity=2)
