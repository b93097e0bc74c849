"""Subscriptions over each transport: where they begin, checkpoints while nothing matches, what a slow client is told, who is
listed, and what a server that stops tells them."""

import contextlib
import http.client
import json
import select
import sys
import threading
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.cut_streams import TRANSPORTS, WAIT_S  # noqa: E402
from support.strata_rpc import Client, event_pb2, event_service_pb2, subscription_service_pb2  # noqa: E402
from support.strata_service import Service, SplitService  # noqa: E402

RING_EVENTS = 4096  # whoever is further behind is read to from the store
STOP_MAX_S = 30  # draining has 5 s for each kind of port, and a machine may be busy
KINDS = {"grpc": "STREAM", "sse": "SSE", "ndjson": "SSE", "websocket": "WEBSOCKET"}


def custom(number, kind="custom", **fields):
    return event_pb2.NewEvent(type=kind, aggregate_id="a", aggregate_type="custom", data=b'{"n":%d}' % number, **fields)


class Reader:
    """One subscription, read part by part: `parts` are all that came."""

    def __init__(self, service, transport, after=None, filters=()):
        ports = {"http": service.http_port, "grpc": int(service.grpc.rsplit(":", 1)[1])}
        self.stream = TRANSPORTS[transport](ports, after, list(filters))
        self.parts, self.waiting = [], []

    def next(self):
        while not self.waiting:
            self.waiting = self.stream.feed(self.stream.receive(65536))
        part = self.waiting.pop(0)
        self.parts.append(part)
        return part

    def take(self, wanted, least_position=0):
        """The next part of that kind, at that position or later."""
        while True:
            kind, position, number = self.next()
            if kind == wanted and position >= least_position:
                return position, number

    def rest(self):
        """Everything until the stream ends."""
        with contextlib.suppress(EOFError):
            while True:
                self.next()
        return self.parts

    def events(self):
        return [(position, number) for kind, position, number in self.parts if kind == "event"]

    def has_more(self):
        return bool(self.waiting) or bool(select.select([self.stream.socket], [], [], 0)[0])

    def address(self):
        return "%s:%d" % self.stream.socket.getsockname()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()


class WithService(unittest.TestCase):
    def setUp(self):
        self.service = Service().start()
        self.addCleanup(self.service.remove)
        self.addCleanup(self.service.stop)
        self.client = Client(self.service)
        self.addCleanup(self.client.close)

    def append(self, *events):
        return self.client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=events))

    def reader(self, transport, *arguments, **options):
        reader = Reader(self.service, transport, *arguments, **options)
        self.addCleanup(reader.stream.close)
        return reader

    def readers(self, *arguments, **options):
        return {transport: self.reader(transport, *arguments, **options) for transport in TRANSPORTS}

    def listed(self, query=""):
        status, _, page = self.service.request("GET", "/api/v1/subscriptions" + query)
        self.assertEqual(status, 200, page)
        return page


class Subscriptions(WithService):
    def test_they_begin_at_a_time_or_now(self):
        first = self.append(custom(0), custom(1)).last_position
        time.sleep(0.002)  # times have microseconds
        second = self.append(custom(2)).last_position
        stored = self.client.events.GetEvent(event_service_pb2.GetEventRequest(event_id=self.id_at(second)))
        moment = stored.timestamp.ToJsonString()
        for transport in TRANSPORTS:
            with self.subTest(transport), self.reader(transport, filters=[("from_timestamp", moment)]) as at_time, \
                    self.reader(transport) as now:
                self.assertEqual(at_time.take("event"), (second, 2))
                self.assertEqual(at_time.take("caught_up")[0], second)
                self.assertEqual(now.take("caught_up")[0], second)
                self.assertEqual(now.events(), [])
        self.assertLess(first, second)

    def id_at(self, position):
        page = self.client.events.ListEvents(event_service_pb2.ListEventsRequest(after_position=position - 1))
        return page.events[0].id

    def test_a_checkpoint_comes_while_nothing_matches(self):
        readers = self.readers(0, filters=[("types", "never")])
        for reader in readers.values():
            reader.take("caught_up")
        position = self.append(*[custom(n) for n in range(10)]).last_position
        for transport, reader in readers.items():
            with self.subTest(transport):
                reader.take("checkpoint", position)
                self.assertEqual(reader.take("checkpoint")[0], position, "the heartbeat goes on")
                self.assertEqual(reader.events(), [])

    def test_one_who_does_not_read_is_told_that_he_fell_behind_and_misses_nothing(self):
        readers = self.readers()
        for reader in readers.values():
            reader.take("caught_up")
        large = {"metadata": json.dumps({"text": "x" * 16000}).encode()}
        numbers = iter(range(1 << 30))
        for _ in range(8):  # more than sockets on the way hold
            self.append(*[custom(next(numbers), **large) for _ in range(100)])
        for _ in range(40):
            last = self.append(*[custom(next(numbers)) for _ in range(1000)]).last_position
            lags = [int(s["lag"]) for s in self.listed()["subscriptions"]]
            if len(lags) == len(readers) and min(lags) > RING_EVENTS:
                break
        self.assertGreater(min(lags), RING_EVENTS, "somebody was read to although he does not read")
        for transport, reader in readers.items():
            with self.subTest(transport):
                reader.take("event", last)
                self.assertEqual(reader.events(), [(n + 1, n) for n in range(last)])
                told = [(i, position) for i, (kind, position, _) in enumerate(reader.parts) if kind == "fell_behind"]
                self.assertEqual(len(told), 1, told)
                index, position = told[0]
                before = [p for kind, p, _ in reader.parts[:index] if kind == "event"]
                self.assertEqual(position, before[-1], "everything up to there was delivered")
                self.assertEqual(reader.take("caught_up")[0], last)


class Listing(WithService):
    def names(self, query=""):
        return sorted(s["name"] for s in self.listed(query)["subscriptions"])

    def test_each_transport_is_listed_with_who_and_what(self):
        position = self.append(custom(0)).last_position
        readers = {}
        for transport in TRANSPORTS:
            readers[transport] = self.reader(transport, filters=[
                ("name", "my " + transport), ("types", transport), ("aggregate_id_prefixes", "a-")])
            readers[transport].take("caught_up")
        page = self.listed()
        self.assertEqual(page["handler_count"], 4)
        self.assertEqual(page["event_types"], sorted(TRANSPORTS))
        self.assertEqual(page["next_page_token"], "")
        shown = {s["name"]: s for s in page["subscriptions"]}
        self.assertEqual(len({s["id"] for s in shown.values()}), 4)
        for transport, reader in readers.items():
            with self.subTest(transport):
                one = shown["my " + transport]
                self.assertEqual(one["kind"], KINDS[transport])
                item, = one["query"]["items"]
                self.assertEqual((item["types"], item["aggregate_id_prefixes"]), ([transport], ["a-"]))
                self.assertEqual((one["position"], one["lag"], one["principal"]), (str(position), "0", "anonymous"))
                behind_gateway = isinstance(self.service, SplitService) and transport != "grpc"
                self.assertRegex(one["peer"], "^" + reader.address() + (" via 127.0.0.1:[0-9]+$" if behind_gateway else "$"))
                self.assertEqual(self.names("?type=" + transport), ["my " + transport])
        self.assertEqual(self.names("?type=other"), [])
        by_grpc = self.client.subscriptions.ListSubscriptions(subscription_service_pb2.ListSubscriptionsRequest())
        self.assertEqual([s.id for s in by_grpc.subscriptions], [s["id"] for s in page["subscriptions"]])
        for reader in readers.values():
            reader.stream.close()
        deadline = time.monotonic() + WAIT_S
        while self.names() and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.names(), [])

    def test_who_says_that_he_is_somebody_else_is_shown_as_himself_too(self):
        lying = self.client.subscriptions.Subscribe(
            subscription_service_pb2.SubscribeRequest(name="lying"),
            metadata=(("strata-client-peer", "8.8.8.8:53"), ("strata-client-transport", "websocket")))
        next(lying)
        one, = self.listed()["subscriptions"]
        self.assertRegex(one["peer"], "^8[.]8[.]8[.]8:53 via 127[.]0[.]0[.]1:[0-9]+$")
        lying.cancel()

    def test_pages(self):
        readers = [self.reader("ndjson", filters=[("name", "n%d" % n)]) for n in range(5)]
        for reader in readers:
            reader.take("caught_up")
        seen, token = [], ""
        while True:
            page = self.listed("?page_size=2&page_token=" + token)
            self.assertEqual(page["handler_count"], 5)
            seen += [s["name"] for s in page["subscriptions"]]
            token = page["next_page_token"]
            if not token:
                break
        self.assertEqual(sorted(seen), ["n0", "n1", "n2", "n3", "n4"])  # in the order in which they arrived


class Publisher(threading.Thread):
    """Publishes one event after the other over a connection of its own, until the server does not take another."""

    def __init__(self, service, number):
        super().__init__(daemon=True)
        self.port, self.number = service.http_port, number
        self.stored, self.refused, self.unanswered = [], [], 0

    def run(self):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)) as connection:
            self.publish(connection)

    def publish(self, connection):
        for n in range(1 << 20):
            body = json.dumps({"type": "custom", "aggregate_id": "p-%d" % self.number, "aggregate_type": "custom",
                               "data": {"n": n}})
            try:
                connection.request("POST", "/api/v1/events/publish", body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                answer = json.loads(reply.read())
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                return
            if reply.status != 201:
                self.refused.append((reply.status, answer.get("detail"), answer.get("code")))
                return
            self.stored.append(int(answer["position"]))


class Stopping(WithService):
    def test_a_stop_tells_each_subscriber_where_to_go_on_and_finishes_what_was_begun(self):
        readers = self.readers()
        filtered = self.readers(filters=[("types", "never")])
        split = isinstance(self.service, SplitService)
        deaf = {} if split else self.readers()  # they cost all of the bound
        for reader in [*readers.values(), *filtered.values(), *deaf.values()]:
            reader.take("caught_up")
        large = {"metadata": json.dumps({"text": "x" * 16000}).encode()}
        for n in range(8):  # more than the sockets of the deaf hold
            self.append(*[custom(n, **large) for _ in range(100)])
        publishers = [Publisher(self.service, n) for n in range(4)]
        for publisher in publishers:
            publisher.start()
        while not all(len(p.stored) >= 10 for p in publishers):
            time.sleep(0.01)
        begun = time.monotonic()
        self.service.terminate()
        for transport, reader in [*readers.items(), *filtered.items()]:
            with self.subTest(transport):
                kind, position, _ = reader.rest()[-1]
                self.assertEqual(kind, "closing")
                if reader is readers[transport]:
                    self.assertEqual(position, reader.events()[-1][0], "everything matches: nothing was passed over")
                    self.assertEqual([p for p, _ in reader.events()], list(range(1, position + 1)))
        self.service.stop()
        self.assertLess(time.monotonic() - begun, STOP_MAX_S)
        for publisher in publishers:
            publisher.join(WAIT_S)
            self.assertFalse(publisher.is_alive())
            self.assertLessEqual({code for _, _, code in publisher.refused}, {"UNAVAILABLE"}, publisher.refused)
        acknowledged = sorted(position for p in publishers for position in p.stored)
        unanswered = sum(p.unanswered for p in publishers)
        for reader in deaf.values():
            reader.stream.close()
        self.service.start()
        with Client(self.service) as client:
            stored = [e.position for m in client.events.ReadEvents(event_service_pb2.ReadEventsRequest())
                      for e in m.events if e.aggregate_id.startswith("p-")]
        self.assertLessEqual(set(acknowledged), set(stored))
        self.assertLessEqual(len(stored) - len(acknowledged), unanswered, "somebody was refused what was stored")
        for transport, reader in readers.items():  # and who goes on there misses nothing
            with self.subTest(transport), self.reader(transport, reader.parts[-1][1]) as again:
                again.take("caught_up")
                self.assertEqual([p for p, _ in reader.events() + again.events()], list(range(1, max(stored) + 1)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
