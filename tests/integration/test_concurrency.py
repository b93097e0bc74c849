"""Many clients at once: exact versions have one winner each, retries never double."""

import collections
import http.client
import json
import sys
import threading
import unittest

import grpc

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_rpc import Client, Failure, aggregate_service_pb2, event_pb2, event_service_pb2  # noqa: E402
from support.strata_service import Service, scaled  # noqa: E402

Publish = event_service_pb2.PublishEventRequest


class Http:
    """One kept-alive HTTP connection."""

    def __init__(self, service):
        self.connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=120)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def publish(self, body, headers=()):
        self.connection.request("POST", "/api/v1/events/publish", json.dumps(body),
                                {"Content-Type": "application/json", **dict(headers)})
        reply = self.connection.getresponse()
        return reply.status, reply.headers, json.loads(reply.read())


def at_once(count, run):
    """Runs run(0) … run(count - 1) on threads that begin together; raises what any of them raised."""
    begin = threading.Barrier(count)
    failures = []

    def body(index):
        begin.wait()
        try:
            run(index)
        except BaseException as failure:
            failures.append(failure)
            raise
    threads = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Concurrency(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()
        cls.clients = [Client(cls.service) for _ in range(16)]
        cls.client = cls.clients[0]

    @classmethod
    def tearDownClass(cls):
        for client in cls.clients:
            client.close()
        cls.service.stop()
        cls.service.remove()

    def events_of(self, aggregate):
        return [e for m in self.client.events.ReadEvents(event_service_pb2.ReadEventsRequest(
            query=event_pb2.EventQuery(items=[event_pb2.QueryItem(aggregate_ids=[aggregate])]))) for e in m.events]

    def race(self, aggregate, aggregate_type, event_type, payload):
        """100 writers, half over gRPC and half over HTTP, race for each version. Returns [(version, event id)] won."""
        last = scaled(200, 40)
        won, lost = [], collections.Counter()

        def grpc_attempt(client, version, writer):
            try:
                event = client.events.PublishEvent(Publish(
                    type=event_type, aggregate_id=aggregate, aggregate_type=aggregate_type, version=version,
                    data=json.dumps(payload(writer)).encode())).event
                return event.version, event.id
            except grpc.RpcError as error:
                failure = Failure(error)
                self.assertEqual((failure.code, failure.reason), ("ABORTED", "VERSION_CONFLICT"), failure)
                self.assertEqual(failure.facts["expected_version"], str(version - 1))
                return int(failure.facts["current_version"]), None

        def http_attempt(http_client, version, writer):
            status, _, body = http_client.publish({
                "type": event_type, "aggregate_id": aggregate, "aggregate_type": aggregate_type, "version": version,
                "data": payload(writer)})
            if status == 201:
                return body["version"], body["id"]
            self.assertEqual((status, body["reason"]), (409, "VERSION_CONFLICT"), body)
            self.assertEqual(body["expected_version"], version - 1)
            return body["current_version"], None

        def write(writer):
            if writer % 2:
                write_versions(writer, grpc_attempt, self.clients[writer % len(self.clients)])
                return
            with Http(self.service) as client:
                write_versions(writer, http_attempt, client)

        def write_versions(writer, attempt, client):
            current = 0
            while current < last:
                version = current + 1
                current, event_id = attempt(client, version, writer)
                if event_id is not None:
                    self.assertEqual(current, version)
                    won.append((version, event_id))
                else:
                    self.assertGreaterEqual(current, version)  # a conflict names a version that is really there
                    lost[writer] += 1
        at_once(100, write)
        self.assertGreater(sum(lost.values()), len(won))  # there was a race
        return last, won

    def check_race(self, aggregate, last, won):
        winners = sorted(won)
        self.assertEqual([version for version, _ in winners], list(range(1, len(winners) + 1)))
        self.assertGreaterEqual(len(winners), last)
        self.assertEqual([(e.version, e.id) for e in self.events_of(aggregate)], winners)

    def test_one_of_100_writers_wins_each_version(self):
        last, won = self.race("race-1", "custom", "custom", lambda writer: {"writer": writer})
        self.check_race("race-1", last, won)

    def test_one_of_100_writers_wins_each_version_of_a_checked_aggregate(self):
        last, won = self.race("race-2", "payment", "payment_processed",
                              lambda writer: {"payment_id": "race-2", "status": "pending", "by": str(writer)})
        self.check_race("race-2", last, won)

    def test_one_of_many_creates_the_aggregate(self):
        outcomes = []

        def create(index):
            try:
                self.clients[index % 16].aggregates.CreateAggregate(aggregate_service_pb2.CreateAggregateRequest(
                    id="create-1", type="user", initial_state=b'{"n":%d}' % index))
                outcomes.append("made")
            except grpc.RpcError as error:
                outcomes.append(Failure(error).reason)
        at_once(64, create)
        self.assertEqual(collections.Counter(outcomes), {"made": 1, "AGGREGATE_EXISTS": 63})

    def test_the_same_key_sent_at_once_is_recorded_once(self):
        for round_number in range(scaled(10, 3)):
            aggregate = "key-%d" % round_number
            answers = []

            def publish(index):
                body = {"type": "custom", "aggregate_id": aggregate, "aggregate_type": "custom", "data": {"n": 1}}
                if index % 2:
                    with Http(self.service) as client:
                        status, headers, event = client.publish(body, {"Idempotency-Key": "K-" + aggregate})
                    self.assertEqual(status, 201, event)
                    answers.append((event["id"], int(event["position"]), headers.get("Strata-Replayed", "false")))
                else:
                    reply = self.clients[index % 16].events.PublishEvent(Publish(
                        type="custom", aggregate_id=aggregate, aggregate_type="custom", data=b'{"n":1}',
                        idempotency_key="K-" + aggregate))
                    answers.append((reply.event.id, reply.event.position, "true" if reply.replayed else "false"))
            at_once(40, publish)
            self.assertEqual(len({(i, p) for i, p, _ in answers}), 1)
            self.assertEqual(collections.Counter(r for _, _, r in answers), {"false": 1, "true": 39})
            self.assertEqual(len(self.events_of(aggregate)), 1)

    def test_appends_retried_with_the_same_ids_never_double(self):
        """Each append of several events is sent by four clients at once."""
        appends = [[("retry-%d-%d" % (n, i), "retry-agg-%d" % ((n + i) % 5)) for i in range(1 + n % 4)]
                   for n in range(scaled(100, 20))]
        answers = collections.defaultdict(list)

        def send(index):
            client = self.clients[index % 16]
            for n, ids in enumerate(appends):
                reply = client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[
                    event_pb2.NewEvent(id=i, type="custom", aggregate_id=a, aggregate_type="custom", data=b"{}")
                    for i, a in ids]))
                answers[n].append((reply.first_position, reply.last_position,
                                   tuple((h.aggregate_id, h.version) for h in reply.heads), reply.replayed))
        at_once(4, send)
        for n, ids in enumerate(appends):
            self.assertEqual(len({a[:3] for a in answers[n]}), 1, answers[n])
            self.assertEqual(sum(not a[3] for a in answers[n]), 1, answers[n])
        stored = collections.Counter(e.id for m in self.client.events.ReadEvents(event_service_pb2.ReadEventsRequest(
            query=event_pb2.EventQuery(items=[event_pb2.QueryItem(aggregate_id_prefixes=["retry-agg-"])])))
            for e in m.events)
        self.assertEqual(stored, {i: 1 for ids in appends for i, _ in ids})


if __name__ == "__main__":
    unittest.main()
