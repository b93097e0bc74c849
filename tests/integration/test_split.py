"""The service in two processes: what a client of the gateway sees when its core is slow, dies or comes back."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import socket
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import Service, SplitService, free_port, scaled  # noqa: E402

WAIT_S = 60
LEAST_REQUEST_BYTES = 100  # more than pings and windows, which are sent beside


def event(aggregate, n=0, **fields):
    return {"type": "custom", "aggregate_id": aggregate, "aggregate_type": "custom", "data": {"n": n}, **fields}


def unread_bytes(port):
    """What has come to the connections of a port of loopback and was not read yet."""
    found = 0
    for table in ("tcp", "tcp6"):
        for line in pathlib.Path("/proc/net/" + table).read_text().splitlines()[1:]:
            _, local, _, state, queues = line.split()[:5]
            if state == "01" and local.endswith(":%04X" % port):
                found += int(queues.split(":")[1], 16)
    return found


def suspend(pid):
    """By a signal: one thread must take it before all stop, and on a loaded machine the others go on until then."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + WAIT_S
    while any((task / "stat").read_text().rpartition(")")[2].split()[0] != "T"
              for task in pathlib.Path("/proc/%d/task" % pid).iterdir()):
        if time.monotonic() > deadline:
            raise AssertionError("process %d does not stop" % pid)
        time.sleep(0.01)


class Split(unittest.TestCase):
    def setUp(self):
        self.port = free_port()
        self.service = SplitService(config={"STRATA_SERVER_GRPC_PORT": str(self.port)}).start()
        self.addCleanup(self.service.remove)
        self.addCleanup(self.service.stop)

    def publish(self, *arguments, **fields):
        return self.service.request("POST", "/api/v1/events/publish", event(*arguments, **fields), timeout=WAIT_S)

    def core_again(self):
        """Starts the core that was killed, on the same port, behind the same gateway."""
        Service.start(self.core)

    def core_kill(self):
        self.core = Service(data=self.service.data, config=self.service.config, arguments=["--only", "core"])
        self.service.process.kill()
        self.service.process.wait()
        self.addCleanup(self.core_end)

    def core_end(self):
        """The core that was started again takes the place of the first one, so that its end is checked too."""
        if self.core.process is not None:
            self.service.process = self.core.process
        else:
            self.service.killed = True

    def test_a_core_that_is_gone_is_503_and_one_that_comes_back_is_found(self):
        self.assertEqual(self.publish("a", 1)[0], 201)
        self.core_kill()
        status, headers, problem = self.publish("a", 2)
        self.assertEqual((status, problem.get("reason")), (503, "STORE_UNREACHABLE"), problem)
        self.assertIn("Retry-After", headers)
        self.assertIn("127.0.0.1:%d" % self.port, problem["detail"])
        self.assertEqual(self.service.request("GET", "/livez")[0], 200)
        self.assertEqual(self.service.request("GET", "/readyz")[0], 503)
        self.core_again()
        self.service.wait_until_ready()
        status, _, stored = self.publish("a", 3)
        self.assertEqual((status, stored["version"]), (201, 2))

    def test_a_short_restart_of_the_core_is_not_seen_by_readers(self):
        self.publish("r")
        self.core_kill()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            reading = pool.submit(self.service.request, "GET", "/api/v1/aggregates/r", timeout=WAIT_S)
            Service.start(self.core)
            status, _, answer = reading.result()
        self.assertIn(status, (200, 503))  # a second is waited for; a slow machine starts slower
        self.service.wait_until_ready()
        self.assertEqual(self.service.request("GET", "/api/v1/aggregates/r")[2]["version"], 1)

    def test_a_write_whose_answer_is_lost_says_so_and_its_key_settles_it(self):
        self.publish("w")
        suspend(self.service.process.pid)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            writing = pool.submit(self.service.request, "POST", "/api/v1/events/publish", event("w", 7),
                                  {"Idempotency-Key": "settle"}, WAIT_S)
            deadline = time.monotonic() + WAIT_S
            while unread_bytes(self.port) < LEAST_REQUEST_BYTES and time.monotonic() < deadline:
                time.sleep(0.01)  # until it is with the core, which sleeps
            self.core_kill()
            status, _, problem = writing.result()
        self.assertEqual((status, problem.get("reason")), (500, "OUTCOME_UNKNOWN"), problem)
        self.core_again()
        for expected in (None, "true"):
            deadline = time.monotonic() + WAIT_S
            status = 503
            while status == 503 and time.monotonic() < deadline:
                status, headers, stored = self.service.request(
                    "POST", "/api/v1/events/publish", event("w", 7), {"Idempotency-Key": "settle"}, WAIT_S)
            self.assertEqual((status, stored["data"]), (201, {"n": 7}), stored)
            if expected:
                self.assertEqual(headers.get("Strata-Replayed"), expected)
        self.assertEqual(self.service.request("GET", "/api/v1/aggregates/w")[2]["version"], 2)

    def test_a_core_that_hangs_is_given_up_and_found_again(self):
        """Stopped by a signal it keeps its connections: its kernel takes what nobody reads. Pings tell, long before the
        minute that a call may take."""
        self.publish("h")
        stream = urllib.request.urlopen(self.service.http + "/api/v1/events/subscribe?after_position=0", timeout=WAIT_S)
        self.addCleanup(stream.close)
        self.assertEqual(self.read(stream, 1), [1])
        core = self.service.process.pid
        suspend(core)
        self.addCleanup(os.kill, core, signal.SIGCONT)  # else it could not be ended
        began = time.monotonic()
        status, _, problem = self.publish("h", 1)
        self.assertEqual((status, problem.get("reason")), (500, "OUTCOME_UNKNOWN"), problem)
        self.assertLess(time.monotonic() - began, 50)
        with self.assertRaises((OSError, ValueError, EOFError, http.client.HTTPException)):
            while stream.readline():
                pass
            raise EOFError("the stream ended")
        status, _, problem = self.publish("h", 2)  # it takes connections still, and says nothing
        self.assertEqual((status, problem.get("reason")), (503, "STORE_UNREACHABLE"), problem)
        os.kill(core, signal.SIGCONT)
        deadline = time.monotonic() + WAIT_S
        while self.publish("h", 3)[0] != 201 and time.monotonic() < deadline:
            time.sleep(0.05)
        version = self.service.request("GET", "/api/v1/aggregates/h")[2]["version"]
        self.assertIn(version, (2, 3))  # what was unknown was carried out, or not

    def test_a_subscription_is_cut_with_its_core_and_resumes_without_a_gap(self):
        for n in range(10):
            self.publish("s", n)
        with urllib.request.urlopen(self.service.http + "/api/v1/events/subscribe?after_position=0", timeout=WAIT_S) as stream:
            seen = self.read(stream, 10)
            self.core_kill()
            with self.assertRaises((OSError, ValueError, EOFError, http.client.HTTPException)):
                while True:
                    if not stream.readline():
                        raise EOFError("the stream ended")
        self.core_again()
        deadline = time.monotonic() + WAIT_S
        while self.publish("s", 10)[0] != 201 and time.monotonic() < deadline:
            time.sleep(0.05)
        again = urllib.request.Request(self.service.http + "/api/v1/events/subscribe", headers={"Last-Event-ID": str(seen[-1])})
        with urllib.request.urlopen(again, timeout=WAIT_S) as stream:
            self.assertEqual(self.read(stream, 1), [seen[-1] + 1])

    @staticmethod
    def read(stream, count):
        """Positions of the next events of an SSE stream."""
        positions = []
        while len(positions) < count:
            line = stream.readline()
            if line.startswith(b'data: {"id"'):
                positions.append(int(json.loads(line[6:])["position"]))
        return positions

    def test_a_slow_subscriber_holds_up_nobody_else(self):
        slow = socket.create_connection(("127.0.0.1", self.service.http_port), timeout=WAIT_S)
        self.addCleanup(slow.close)
        slow.sendall(b"GET /api/v1/events/subscribe?after_position=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        text = "x" * 100000
        rows = scaled(200, 120)  # 12 MB at least: more than all windows and socket buffers on the way
        for n in range(rows):
            self.assertEqual(self.publish("slow", n, metadata={"text": text})[0], 201)
        seen = self.service.request("GET", "/api/v1/aggregates/slow")[2]
        self.assertEqual(seen["version"], rows)
        got = b""
        while got.count(b'"aggregate_id":"slow"') < rows:
            more = slow.recv(1 << 20)
            self.assertTrue(more, "the slow subscriber was cut off")
            got += more
        self.assertEqual(got.count(b'"aggregate_id":"slow"'), rows)

    def test_a_gateway_that_stops_alone_tells_its_subscribers(self):
        for n in range(3):
            self.publish("stop", n)
        gateway = self.service.gateway
        streams = [urllib.request.urlopen(urllib.request.Request(
            self.service.http + "/api/v1/events/subscribe?after_position=0", headers={"Accept": accept}), timeout=WAIT_S)
            for accept in ("text/event-stream", "application/x-ndjson")]
        for stream in streams:
            while b"caught_up" not in (line := stream.readline()):
                self.assertTrue(line)
        gateway.terminate()
        sse, ndjson = (stream.read() for stream in streams)
        closing = {"reason": "SHUTTING_DOWN", "position": "3"}
        event_name, position, data = sse.strip().split(b"\n")[-3:]
        self.assertEqual((event_name, position), (b"event: closing", b"id: 3"))
        self.assertEqual(json.loads(data[6:]), closing)
        self.assertEqual(json.loads(ndjson.strip().split(b"\n")[-1]), {"closing": closing})
        gateway.stop()
        self.assertEqual(self.service.process.poll(), None)

    def test_the_largest_append_and_a_page_of_it_pass(self):
        text = "y" * 100000
        events = [event("large", n, metadata={"text": text}) for n in range(75)]
        status, _, appended = self.service.request("POST", "/api/v1/events/append", {"events": events}, timeout=WAIT_S)
        self.assertEqual((status, appended["heads"][0]["version"]), (201, 75), appended)
        got, token = [], ""
        while len(got) < 75:
            page = self.service.request("GET", "/api/v1/events/aggregate/large?page_token=" + token, timeout=WAIT_S)[2]
            got += page["events"]
            token = page["next_page_token"]
        self.assertEqual([e["data"]["n"] for e in got], list(range(75)))

    def test_as_many_faults_are_named_as_by_one_process(self):
        request = {"events": [event("no good id %02d" % n, **{"correlation_id": "nor this"}) for n in range(30)]}
        with Service() as whole:
            expected = whole.request("POST", "/api/v1/events/append", request)
        got = self.service.request("POST", "/api/v1/events/append", request)
        for _, _, problem in (expected, got):
            problem.pop("request_id")
        self.assertEqual((got[0], got[2]), (expected[0], expected[2]))
        self.assertGreater(len(got[2]["errors"]), 30)

    def test_many_at_once_over_one_connection(self):
        count = scaled(2000, 300)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda n: self.publish("many-%d" % (n % 50), n)[0], range(count)))
        self.assertEqual(set(statuses), {201})
        self.assertEqual(self.service.request("GET", "/api/v1/stats")[2]["event_count"], count)


class TwoCores(unittest.TestCase):
    def test_calls_go_to_the_core_that_is_there(self):
        dead = "127.0.0.1:%d" % free_port()
        with Service(arguments=["--only", "core"]) as core:
            with Service(arguments=["--only", "gateway", "--upstream", dead, "--upstream", core.grpc]) as gateway:
                gateway.wait_until_ready()
                for n in range(20):
                    status, _, stored = gateway.request("POST", "/api/v1/events/publish", event("t", n))
                    self.assertEqual((status, stored["version"]), (201, n + 1))


class Arguments(unittest.TestCase):
    def test_what_cannot_be_is_refused_by_name(self):
        for arguments, expected in ((["--only", "gateway"], "needs --upstream"), (["--only", "all"], '--only is "all"'),
                                    (["--upstream", "x:1"], "--only gateway"),
                                    (["--only", "gateway", "--upstream", "x"], "HOST:PORT"),
                                    (["--only", "gateway", "--upstream", "x:1", "--embedded"], "opens no store")):
            with self.assertRaises(RuntimeError) as refused:
                service = Service(arguments=arguments)
                try:
                    service.start()
                finally:
                    said = service.log()
                    service.remove()
            self.assertIn(expected, said, refused.exception)


if __name__ == "__main__":
    unittest.main()
