"""/ws, spoken to by an independent WebSocket client."""

import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_rpc import Client, event_pb2, event_service_pb2  # noqa: E402
from support import strata_service  # noqa: E402
from support.strata_service import BINARY, Service, SplitService, free_port, scaled  # noqa: E402

WAIT_S = 60
CONNECTIONS = int(os.environ.get("STRATA_TEST_WS_CONNECTIONS", "500"))
IDLE_MAX_BYTES = 20000  # of core and gateway together
IDLE, ACTIVE = (int(n) for n in os.environ.get("STRATA_TEST_WS_CROWD", "200,50").split(","))
CROWD = BINARY.parents[2] / "tests" / "bench" / "websocket_crowd"
SANITIZED = scaled(100) < 100  # its allocator holds on to memory, and each byte has shadows


class Socket:
    """One connection; `take(type)` gives the next frame of that type and keeps those before it in `passed`."""

    def __init__(self, service, query="", port=None, **options):
        self.manager = connect("ws://127.0.0.1:%d/ws%s" % (port or service.http_port, query), open_timeout=WAIT_S,
                               close_timeout=0.2, **options)  # it does not read on while closing
        self.socket = self.manager.__enter__()
        self.passed = []

    def next(self):
        return json.loads(self.socket.recv(timeout=WAIT_S))

    def take(self, kind, subscription=None):
        while True:
            frame = self.next()
            if frame["type"] == kind and subscription in (None, frame["subscription"]):
                return frame
            if frame["type"] == "error":
                raise AssertionError(frame)
            self.passed.append(frame)

    def answer(self):
        """The next frame that is no heartbeat."""
        while (frame := self.next())["type"] == "checkpoint":
            pass
        return frame

    def events(self, count, subscription="default"):
        return [self.take("event", subscription)["event"] for _ in range(count)]

    def send(self, **frame):
        self.socket.send(json.dumps(frame))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.manager.__exit__(None, None, None)


def custom(aggregate, n=0, **fields):
    return event_pb2.NewEvent(type="custom", aggregate_id=aggregate, aggregate_type="custom", data=b'{"n":%d}' % n,
                              **fields)


def processes(service):
    """Its process; in two: the gateway's, which has the sockets, before the core's."""
    return [service.gateway.process, service.process] if isinstance(service, SplitService) else [service.process]


class WebSocket(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()
        cls.client = Client(cls.service)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.service.stop()
        cls.service.remove()

    def append(self, *events):
        return self.client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=events))

    def test_bare_means_everything_from_now_on(self):
        self.append(custom("before"))
        with Socket(self.service) as ws:
            caught_up = ws.take("caught_up")
            self.assertEqual(caught_up["subscription"], "default")
            status, _, _ = self.service.request("POST", "/api/v1/events/publish", {
                "type": "custom", "aggregate_id": "bare", "aggregate_type": "custom",
                "data": {"amount": 10.5}, "metadata": {"k": "v"}})
            self.assertEqual(status, 201)
            reply = self.append(custom("bare"), custom("bare-2"))
            events = ws.events(3)
            self.assertEqual([e["aggregate_id"] for e in events], ["bare", "bare", "bare-2"])
            self.assertEqual(events[0]["data"], {"amount": 10.5})
            self.assertEqual(int(events[2]["position"]), reply.last_position)
            first = int(caught_up["checkpoint"]["position"])
            self.assertEqual([int(e["position"]) for e in events], [first + 1, first + 2, first + 3])
            self.assertNotIn("payload_salt", events[0])

    def test_from_a_position_there_is_no_gap_while_appends_run(self):
        start = self.append(custom("gap")).last_position
        for i in range(20):
            self.append(*[custom("gap", i) for _ in range(100)])
        stop = threading.Event()
        counts = [0] * 3

        def run(worker):
            with Client(self.service) as client:
                while not stop.is_set() and counts[worker] < 7 * scaled(600, 100):
                    client.events.AppendEvents(event_service_pb2.AppendEventsRequest(
                        events=[custom("gap-%d" % worker, i) for i in range(7)]))
                    counts[worker] += 7
        threads = [threading.Thread(target=run, args=(w,)) for w in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                with Socket(self.service, "?after_position=%d" % start) as ws:
                    positions = [int(e["position"]) for e in ws.events(scaled(3000, 2100))]
                self.assertEqual(positions, list(range(start + 1, start + 1 + len(positions))))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        with Socket(self.service, "?after_position=%d" % start) as ws:
            positions = [int(e["position"]) for e in ws.events(2000 + sum(counts))]
            self.assertEqual(positions, list(range(start + 1, start + 1 + len(positions))))

    def test_a_slow_client_loses_nothing(self):
        start = self.append(custom("slow")).last_position
        with Socket(self.service, "?after_position=%d&aggregate_ids=slow" % start, max_queue=1) as ws:
            ws.take("caught_up")
            filler = b'{"x":"' + b"y" * 2000 + b'"}'
            rounds = scaled(40, 20)
            for _ in range(rounds):  # about 8 MB that the client does not read meanwhile
                self.append(*[event_pb2.NewEvent(type="custom", aggregate_id="slow", data=filler) for _ in range(100)])
            versions = [e["version"] for e in ws.events(100 * rounds)]
        self.assertEqual(versions, list(range(2, 2 + 100 * rounds)))

    def test_subscribe_and_unsubscribe(self):
        with Socket(self.service, "?subscribe=none") as ws:
            ws.send(action="subscribe", id="mine", filter={"aggregate_ids": ["sub-a"], "from_start": True})
            self.assertEqual(ws.next(), {"type": "subscribed", "subscription": "mine"})
            ws.take("caught_up", "mine")
            ws.send(action="subscribe", id="typed", filter={"query": {"items": [{"tags": ["red"]}]}})
            ws.take("caught_up", "typed")
            self.append(custom("sub-a"), custom("sub-b"), custom("sub-b", tags=["red"]))
            mine = ws.take("event")
            typed = ws.take("event")
            got = {f["subscription"]: f["event"]["aggregate_id"] for f in (mine, typed)}
            self.assertEqual(got, {"mine": "sub-a", "typed": "sub-b"})
            ws.send(action="subscribe", id="mine", filter={})
            error = ws.answer()
            self.assertEqual((error["type"], error["error"]["code"], error["error"]["reason"]),
                             ("error", "INVALID_ARGUMENT", "INVALID_FIELD"))
            ws.send(action="unsubscribe", id="mine")
            ws.take("unsubscribed", "mine")
            self.append(custom("sub-a"), custom("sub-a", tags=["red"]))
            after = ws.take("event")
            self.assertEqual((after["subscription"], after["event"]["tags"]), ("typed", ["red"]))
            ws.send(action="subscribe", id="mine", filter={"after_position": after["event"]["position"]})
            ws.take("subscribed", "mine")

    def test_faulty_frames_are_answered_by_name_and_the_connection_goes_on(self):
        with Socket(self.service, "?subscribe=none") as ws:
            for text, reason in (("{", "INVALID_JSON"), ('{"action":"dance","id":"x"}', "INVALID_FIELD"),
                                 ('{"action":"subscribe","id":"x","fliter":{}}', "UNKNOWN_FIELD"),
                                 ('{"action":"subscribe","filter":{}}', "INVALID_FIELD"),
                                 ('{"action":"subscribe","id":"p","filter":{"after_position":"999999999999"}}',
                                  "INVALID_FIELD"),
                                 ('{"action":"unsubscribe","id":"none"}', "INVALID_FIELD")):
                ws.socket.send(text)
                frame = ws.next()
                while frame["type"] == "subscribed":
                    frame = ws.next()
                self.assertEqual((frame["type"], frame["error"]["reason"]), ("error", reason), text)
                self.assertTrue(frame["error"]["message"])
            ws.send(action="subscribe", id="good", filter={})
            ws.take("caught_up", "good")

    def test_a_query_that_is_not_understood_is_refused_before_the_upgrade(self):
        for query in ("?after_position=x", "?subscribe=all", "?tpye=custom", "?after_position=-1"):
            with self.subTest(query):
                try:
                    with Socket(self.service, query) as ws:
                        frame = ws.next()
                        self.assertEqual(frame["type"], "error", frame)
                except InvalidStatus as refused:
                    self.assertEqual(refused.response.status_code, 400)

    def test_checkpoints_are_the_heartbeat(self):
        with Socket(self.service, "?aggregate_ids=nothing-here&checkpoint_interval=0.2s") as ws:
            ws.take("caught_up")
            begin = time.monotonic()
            checkpoints = [ws.take("checkpoint")["checkpoint"] for _ in range(3)]
            self.assertLess(time.monotonic() - begin, 30)
            self.assertTrue(all(int(c["position"]) <= int(c["head_position"]) for c in checkpoints))

    def test_pings_are_answered_and_binary_is_not_understood(self):
        with Socket(self.service, "?subscribe=none") as ws:
            self.assertTrue(ws.socket.ping().wait(WAIT_S))
            ws.socket.send(b"\x00\x01")
            try:
                frame = ws.next()
                self.assertEqual(frame["type"], "error")
            except ConnectionClosed as closed:
                self.assertEqual(closed.rcvd.code, 1003)

    def test_a_page_of_another_origin_is_refused(self):
        for origin, good in (("http://evil.example", False), ("null", False), ("http://localhost:3000", True),
                             ("http://127.0.0.1", True), (None, True)):
            with self.subTest(origin=origin):
                if good:
                    with Socket(self.service, "?subscribe=none", origin=origin):
                        continue
                with self.assertRaises(InvalidStatus) as refused:
                    Socket(self.service, origin=origin)
                self.assertEqual(refused.exception.response.status_code, 403)

    def test_a_token_that_cannot_be_accepted_is_refused_before_the_upgrade(self):
        for query in ("", "?subscribe=none"):
            with self.subTest(query):
                with self.assertRaises(InvalidStatus) as refused:
                    Socket(self.service, query, additional_headers={"Authorization": "Bearer nobody-knows-it"})
                answer = refused.exception.response
                self.assertEqual(answer.status_code, 401)
                self.assertEqual(answer.headers["WWW-Authenticate"], "Bearer")
                self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
                problem = json.loads(answer.body)
                self.assertEqual((problem["status"], problem["code"], problem["reason"]),
                                 (401, "UNAUTHENTICATED", "UNAUTHENTICATED"))

    def test_a_connection_has_64_subscriptions_of_names_up_to_64_bytes(self):
        with Socket(self.service) as ws:  # the default one counts
            names = ["%064d" % i for i in range(63)]
            for name in names:
                ws.send(action="subscribe", id=name, filter={"aggregate_ids": ["many"]})
                ws.take("subscribed", name)
            for name in ("x" * 65, "one-more", names[0], "default"):
                ws.send(action="subscribe", id=name, filter={})
                with self.assertRaises(AssertionError, msg=name) as error:
                    ws.take("subscribed", name)
                self.assertEqual(error.exception.args[0]["error"]["reason"], "INVALID_FIELD")
            self.append(custom("many"))
            got = {ws.take("event")["subscription"] for _ in range(64)}
            self.assertEqual(got, {*names, "default"})
            for name in (names[7], "default"):
                ws.send(action="unsubscribe", id=name)
                ws.take("unsubscribed", name)
            ws.send(action="subscribe", id="one-more", filter={"aggregate_ids": ["many"], "from_start": True})
            self.assertEqual(ws.take("event", "one-more")["event"]["aggregate_id"], "many")

    def test_a_plain_get_is_told_to_upgrade(self):
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(self.service.http + "/ws", timeout=WAIT_S)
        with refused.exception as answer:
            self.assertEqual(answer.code, 426)
            self.assertEqual(answer.headers["Upgrade"].lower(), "websocket")
            self.assertEqual(json.load(answer)["status"], 426)


class Shutdown(unittest.TestCase):
    def test_a_clean_stop_says_so_and_closes_with_1001(self):
        with Service() as s, Client(s) as client, Socket(s, "?after_position=0") as ws, Socket(s, "?subscribe=none") as idle:
            ws.take("caught_up")
            client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[custom("end")]))
            self.assertEqual(ws.events(1)[0]["aggregate_id"], "end")
            s.terminate()
            closing = ws.take("closing")
            self.assertEqual(closing["closing"], {"reason": "SHUTTING_DOWN", "position": "1"}, closing)
            for socket in (ws, idle):
                with self.assertRaises(ConnectionClosed) as closed:
                    socket.next()
                self.assertEqual(closed.exception.rcvd.code, 1001, closed.exception)
            self.assertEqual(s.process.wait(60), 0, s.log())


    def test_a_gateway_that_stops_alone_says_where_to_go_on(self):
        """Its core goes on, and so do the appends."""
        with SplitService() as s, Client(s) as client, Socket(s, "?after_position=0") as ws, \
                Socket(s, "?subscribe=none") as idle:
            stop = threading.Event()

            def append():
                n = 0
                while not stop.is_set():
                    n += 1
                    client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[custom("on", n)]))
            thread = threading.Thread(target=append)
            thread.start()
            try:
                last = int(ws.events(20)[-1]["position"])
                s.gateway.terminate()
                while True:
                    frame = ws.next()
                    if frame["type"] == "closing":
                        break
                    if frame["type"] == "event":
                        last = int(frame["event"]["position"])
                self.assertEqual(frame["closing"]["reason"], "SHUTTING_DOWN")
                self.assertGreaterEqual(int(frame["closing"]["position"]), last)
                for socket in (ws, idle):
                    with self.assertRaises(ConnectionClosed) as closed:
                        socket.next()
                    self.assertEqual(closed.exception.rcvd.code, 1001, closed.exception)
                self.assertEqual(s.gateway.process.wait(60), 0, s.log())
            finally:
                stop.set()
                thread.join()
            self.assertEqual(last, int(frame["closing"]["position"]), "everything matches: nothing was passed over")


class Ports(unittest.TestCase):
    def test_a_port_of_its_own_serves_ws_and_nothing_else(self):
        port = free_port()
        with Service(config={"STRATA_WEBSOCKET_PORT": str(port)}) as s, Client(s) as client:
            with Socket(s, port=port) as ws:
                ws.take("caught_up")
                client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[custom("apart")]))
                self.assertEqual(ws.events(1)[0]["aggregate_id"], "apart")
            with self.assertRaises(InvalidStatus) as refused:
                Socket(s)
            self.assertEqual(refused.exception.response.status_code, 404)
            for path in ("/livez", "/api/v1/info"):
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=WAIT_S)
                with refused.exception as answer:
                    self.assertEqual(answer.code, 404)
            self.assertEqual(s.request("GET", "/livez")[0], 200)


class Limits(unittest.TestCase):
    def refusal(self, service):
        with self.assertRaises(InvalidStatus) as refused:
            Socket(service, "?subscribe=none")
        answer = refused.exception.response
        self.assertEqual((answer.status_code, answer.headers["Content-Type"]), (503, "application/problem+json"))
        self.assertIn("Retry-After", answer.headers)
        return json.loads(answer.body)

    def test_one_too_many_gets_503_until_another_is_gone(self):
        with Service(config={"STRATA_WEBSOCKET_MAX_CONNECTIONS": "2"}) as s, Client(s) as client, Socket(s) as first:
            with Socket(s):
                problem = self.refusal(s)
                self.assertIn("2 WebSocket connections are open", problem["detail"])
                self.assertIn("too many WebSocket connections, refusing new ones", s.log())
            first.take("caught_up")
            client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[custom("still")]))
            self.assertEqual(first.events(1)[0]["aggregate_id"], "still")
            self.assertEqual(s.request("GET", "/livez")[0], 200)
            deadline = time.monotonic() + WAIT_S
            while True:  # its end may take a moment to be seen
                try:
                    with Socket(s, "?subscribe=none"):
                        return
                except InvalidStatus:
                    self.assertLess(time.monotonic(), deadline)

    def test_the_soft_descriptor_limit_is_raised_to_the_hard_one(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            with Service() as s:
                process = s.gateway.process if isinstance(s, SplitService) else s.process
                self.assertEqual(resource.prlimit(process.pid, resource.RLIMIT_NOFILE), (min(hard, 65536), hard))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def test_where_descriptors_are_few_websockets_leave_some_for_others(self):
        """Three quarters of 400 are theirs, three each: nobody is accepted and then has no descriptor, nor is left waiting."""
        with tempfile.TemporaryDirectory() as folder:
            few = pathlib.Path(folder) / "strata"
            few.write_text("#!/bin/sh\nulimit -n 400\nexec '%s' \"$@\"\n" % BINARY)
            few.chmod(0o755)
            strata_service.BINARY, kept = few, BINARY
            try:
                with Service() as s, Client(s) as client, contextlib.ExitStack() as stack:
                    self.assertIn("websocket.max_connections", s.log())
                    sockets = [stack.enter_context(Socket(s)) for _ in range(100)]
                    self.refusal(s)
                    self.assertEqual(s.request("GET", "/livez")[0], 200)
                    client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[custom("few")]))
                    for ws in sockets:
                        self.assertEqual(ws.events(1)[0]["aggregate_id"], "few")
            finally:
                strata_service.BINARY = kept


class Crowd(unittest.TestCase):
    """STRATA_TEST_WS_CROWD=10000,1000 is the full one; how soon events come is for the benchmark, `scripts/bench --only
    websockets`."""

    def test_idle_and_active_connections_get_what_is_theirs(self):
        for groups in (1, 10):
            with self.subTest(groups=groups), Service() as s:
                pids = ["--pid=%d" % process.pid for process in processes(s)]
                done = subprocess.run(
                    [str(CROWD), "--append-to", s.grpc, "--subscribe-to", "127.0.0.1:%d" % s.http_port, "--idle", str(IDLE),
                     "--active", str(ACTIVE), "--groups", str(groups), "--seconds", "2", "--warm-up", "0", "--rest", "0",
                     *pids], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                result = json.loads(done.stdout)
                self.assertEqual(result["deliveries"], ACTIVE * 40)
                if not SANITIZED:
                    grown = (result["rss_max_kib"] - result["rss_begin_kib"]) * 1024
                    self.assertLess(grown, (IDLE + ACTIVE) * IDLE_MAX_BYTES + 16 * 1024 * 1024)


@unittest.skipIf(SANITIZED, "measures memory")
class Memory(unittest.TestCase):
    @staticmethod
    def resident(process, kind="RssAnon"):
        for line in pathlib.Path("/proc/%d/status" % process.pid).read_text().splitlines():
            if line.startswith(kind + ":"):
                return int(line.split()[1]) * 1024
        raise AssertionError(kind)

    def queued_for_a_client_that_does_not_read(self, write_buffer_size):
        config = {"STRATA_WEBSOCKET_WRITE_BUFFER_SIZE": str(write_buffer_size)}
        filler = b'{"x":"' + b"y" * 3000 + b'"}'
        with Service(config=config) as s, Client(s) as client:
            for _ in range(120):  # 36 MB: more than the buffer and what the kernel keeps
                client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[
                    event_pb2.NewEvent(type="custom", aggregate_id="slow", aggregate_type="custom", data=filler)
                    for _ in range(100)]))
            edge = processes(s)[0]
            before = self.resident(edge)
            with Socket(s, "?after_position=0", max_queue=1) as ws:
                ws.take("event")
                grown, quiet = -1, 0
                while quiet < 10:  # until nothing more is queued
                    time.sleep(0.1)
                    now = self.resident(edge) - before
                    quiet = quiet + 1 if abs(now - grown) < 65536 else 0
                    grown = now
                self.assertEqual(len(ws.events(119)), 119)
        return grown

    def test_write_buffer_size_bounds_what_waits_for_a_slow_client(self):
        small, large = (self.queued_for_a_client_that_does_not_read(size) for size in (65536, 16 * 1024 * 1024))
        self.assertGreater(large - small, 12 * 1024 * 1024, (small, large))

    def test_idle_connections_are_small(self):
        """Also those that have had an event: what carried it is given back."""
        with Service() as s, Client(s) as client, contextlib.ExitStack() as stack:
            def resident():
                return [self.resident(process) for process in processes(s)]

            def subscribe():
                socket = stack.enter_context(Socket(s, "?after_position=0"))
                socket.take("event")
                socket.take("caught_up")
            client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[event_pb2.NewEvent(
                type="custom", aggregate_id="large", aggregate_type="custom", data=b'{"x":"' + b"y" * 8000 + b'"}')]))
            for _ in range(50):  # what the first ones bring along
                subscribe()
            before = resident()
            for _ in range(CONNECTIONS):
                subscribe()
            time.sleep(1.5)  # a checkpoint each
            each = [(after - first) // CONNECTIONS for first, after in zip(before, resident())]
            print("\n%d idle connections: %s bytes each" % (CONNECTIONS, " and ".join(map(str, each))), flush=True)
            self.assertLess(sum(each), IDLE_MAX_BYTES)


if __name__ == "__main__":
    unittest.main()
