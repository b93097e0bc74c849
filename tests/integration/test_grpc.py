"""The gRPC edge, spoken to by Python's grpcio and by grpcurl."""

import base64
import json
import queue
import random
import subprocess
import sys
import threading
import time
import unittest

import grpc

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_rpc import (Client, aggregate_service_pb2, event_pb2, event_service_pb2, failure_of,  # noqa: E402
                                microseconds, snapshot_service_pb2, subscription_service_pb2, system_service_pb2)
from support.strata_service import ROOT, Service, scaled  # noqa: E402

GRPCURL = ROOT / ".tools/bin/grpcurl"
Publish = event_service_pb2.PublishEventRequest
Append = event_service_pb2.AppendEventsRequest
NewEvent = event_pb2.NewEvent
Expectation = event_pb2.Expectation


def custom(aggregate, data=b'{"n":1}', **fields):
    return NewEvent(type="custom", aggregate_id=aggregate, aggregate_type="custom", data=data, **fields)


class Grpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()
        cls.client = Client(cls.service)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.service.stop()
        cls.service.remove()

    # --- unary ---

    def test_create_publish_get_and_get_event(self):
        c = self.client
        made = c.aggregates.CreateAggregate(aggregate_service_pb2.CreateAggregateRequest(
            id="g-user", type="user", initial_state=b'{ "email" : "a@example.com" }', metadata=b'{"tier":1.50}'))
        self.assertEqual((made.version, made.state, made.metadata, made.active, made.event_count, made.etag),
                         (0, b'{"email":"a@example.com"}', b'{"tier":1.50}', True, 1, '"0"'))
        reply = c.events.PublishEvent(Publish(
            type="user_created", aggregate_id="g-user", aggregate_type="user", version=1,
            data=b'{"user_id":"g-user","role":"r\\u00e9"}', metadata=b'{"correlation_id":"c-1"}', tags=["t:1", "t:2"]))
        event = reply.event
        self.assertFalse(reply.replayed)
        self.assertEqual((event.version, event.aggregate_id, event.correlation_id, list(event.tags), event.actor),
                         (1, "g-user", "c-1", ["t:1", "t:2"], "anonymous"))
        self.assertEqual((event.append_id, event.append_index, event.append_count), (event.id, 0, 1))
        self.assertEqual(event.position, made.position + 1)
        again = c.events.GetEvent(event_service_pb2.GetEventRequest(event_id=event.id))
        for computed in (again, event):
            computed.ClearField("processed")
            computed.ClearField("processed_at")
        self.assertEqual(again, event)
        now = c.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(id="g-user", include_events=True))
        self.assertEqual((now.version, now.state), (1, b'{"email":"a@example.com","user_id":"g-user","role":"r\\u00e9"}'))
        self.assertEqual([e.version for e in now.events], [0, 1])
        then = c.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(id="g-user", as_of_version=0))
        self.assertEqual((then.version, then.state), (0, b'{"email":"a@example.com"}'))

    def test_an_append_to_several_aggregates_is_all_or_nothing(self):
        c = self.client
        reply = c.events.AppendEvents(Append(append_id="multi-1", events=[
            custom("m-a"), custom("m-b"), custom("m-a"), custom("m-c")]))
        self.assertEqual([(h.aggregate_id, h.version) for h in reply.heads], [("m-a", 2), ("m-b", 1), ("m-c", 1)])
        self.assertEqual(reply.last_position - reply.first_position, 3)
        self.assertEqual([h.position - reply.first_position for h in reply.heads], [2, 1, 3])
        self.assertEqual((reply.append_id, reply.replayed, len(set(reply.event_ids))), ("multi-1", False, 4))
        again = c.events.AppendEvents(Append(append_id="multi-1", events=[
            custom("m-a"), custom("m-b"), custom("m-a"), custom("m-c")]))
        self.assertTrue(again.replayed)
        again.replayed = False
        self.assertEqual(again, reply)
        refused = failure_of(c.events.AppendEvents, Append(
            events=[custom("m-new"), custom("m-b")],
            expectations=[Expectation(aggregate_id="m-b", be_at_version=7)]))
        self.assertEqual((refused.code, refused.reason), ("ABORTED", "VERSION_CONFLICT"))
        self.assertEqual(refused.facts, {"expected_version": "7", "current_version": "1", "aggregate_id": "m-b"})
        unknown = failure_of(c.aggregates.GetAggregate, aggregate_service_pb2.GetAggregateRequest(id="m-new"))
        self.assertEqual((unknown.code, unknown.reason), ("NOT_FOUND", "AGGREGATE_UNKNOWN"))

    def test_expectations_about_aggregates_that_are_not_appended_to(self):
        c = self.client
        c.events.AppendEvents(Append(events=[custom("x-known")]))

        def told(expectation):
            request = Append(events=[custom("x-other")], expectations=[expectation])
            try:
                c.events.AppendEvents(request)
                return "ok"
            except grpc.RpcError as error:
                return error.code().name
        self.assertEqual(told(Expectation(aggregate_id="x-known", exist=True)), "ok")
        self.assertEqual(told(Expectation(aggregate_id="x-known", not_exist=True)), "ABORTED")
        self.assertEqual(told(Expectation(aggregate_id="x-none", not_exist=True)), "ok")
        self.assertEqual(told(Expectation(aggregate_id="x-none", exist=True)), "ABORTED")
        self.assertEqual(told(Expectation(aggregate_id="x-known", be_at_version=1)), "ok")
        self.assertEqual(told(Expectation(aggregate_id="x-none", be_at_version=0)), "ok")
        self.assertEqual(told(Expectation(aggregate_id="x-none")), "INVALID_ARGUMENT")
        self.assertEqual(told(Expectation(aggregate_id="x-none", exist=False)), "INVALID_ARGUMENT")

    def test_a_condition_guards_what_was_read(self):
        c = self.client
        seen = c.events.AppendEvents(Append(events=[custom("d-1", tags=["seat:1"])])).last_position
        query = event_pb2.EventQuery(items=[event_pb2.QueryItem(tags=["seat:1"])])

        def told(**after):
            request = Append(events=[custom("d-2", tags=["seat:1"])],
                             condition=event_pb2.AppendCondition(fail_if_match=query, **after))
            try:
                return c.events.AppendEvents(request).last_position
            except grpc.RpcError as error:
                return error.code().name
        self.assertEqual(told(), "ABORTED")
        self.assertEqual(told(after_position=seen - 1), "ABORTED")
        taken = told(after_position=seen)
        self.assertGreater(taken, seen)
        self.assertEqual(told(after_position=seen), "ABORTED")

    def test_validate_only_shows_and_records_nothing(self):
        c = self.client
        head = c.system.GetStats(system_service_pb2.GetStatsRequest()).head_position
        shown = c.events.PublishEvent(Publish(type="custom", aggregate_id="v-1", aggregate_type="custom",
                                              data=b"{}", validate_only=True)).event
        self.assertEqual((shown.version, shown.position), (1, head + 1))
        plan = c.events.AppendEvents(Append(events=[custom("v-1"), custom("v-2")], validate_only=True))
        self.assertEqual([e.aggregate_id for e in plan.events], ["v-1", "v-2"])
        self.assertEqual(c.system.GetStats(system_service_pb2.GetStatsRequest()).head_position, head)
        self.assertEqual(failure_of(c.aggregates.GetAggregate,
                                    aggregate_service_pb2.GetAggregateRequest(id="v-1")).code, "NOT_FOUND")

    # --- errors ---

    def test_a_conflict_names_expected_and_current_version(self):
        c = self.client
        c.events.AppendEvents(Append(events=[custom("e-1"), custom("e-1")]))
        failure = failure_of(c.events.PublishEvent, Publish(
            type="custom", aggregate_id="e-1", aggregate_type="custom", version=1, data=b"{}"))
        self.assertEqual((failure.code, failure.reason), ("ABORTED", "VERSION_CONFLICT"))
        self.assertEqual(failure.facts, {"expected_version": "0", "current_version": "2", "aggregate_id": "e-1"})
        self.assertIn("ErrorInfo", failure.details)
        self.assertIn("3", failure.message)

    def test_all_faulty_fields_are_named(self):
        failure = failure_of(self.client.events.AppendEvents, Append(events=[
            NewEvent(type="order_created", aggregate_id="a b", aggregate_type="order",
                     data=b'{"order_id":"o","total_amount":true}', tags=[""]),
            NewEvent(type="custom", aggregate_id="ok", aggregate_type="custom", data=b'{"a":1,"a":2}')]))
        self.assertEqual(failure.code, "INVALID_ARGUMENT")
        self.assertEqual(failure.reason, "INVALID_ID")
        self.assertLessEqual({"events[0].aggregate_id", "events[0].data.total_amount", "events[0].tags[0]",
                              "events[1].data"}, set(failure.faults))

    def test_refusals_by_name(self):
        c = self.client
        good = dict(type="custom", aggregate_id="r-1", aggregate_type="custom", data=b"{}")
        cases = [
            (Publish(**{**good, "version": 0}), "INVALID_ARGUMENT", "VERSION_ZERO"),
            (Publish(**{**good, "data": b"[1]"}), "INVALID_ARGUMENT", "INVALID_JSON"),
            (Publish(**{**good, "data": b'{"a":01}'}), "INVALID_ARGUMENT", "INVALID_JSON"),
            (Publish(**{**good, "data": b'{"a":"\\ud800"}'}), "INVALID_ARGUMENT", "INVALID_JSON"),
            (Publish(**{**good, "type": "nope"}), "INVALID_ARGUMENT", "TYPE_NOT_ALLOWED"),
            (Publish(**{**good, "type": "$activated"}), "INVALID_ARGUMENT", "INVALID_ID"),
            (Publish(**{**good, "aggregate_id": "$erasures"}), "INVALID_ARGUMENT", "INVALID_ID"),
            (Publish(**{**good, "aggregate_id": ".."}), "INVALID_ARGUMENT", "INVALID_ID"),
            (Publish(**{**good, "aggregate_id": "x" * 256}), "INVALID_ARGUMENT", "INVALID_ID"),
            (Publish(**{**good, "aggregate_id": ""}), "INVALID_ARGUMENT", "INVALID_ID"),
            (Publish(**{**good, "id": "i", "idempotency_key": "k"}), "INVALID_ARGUMENT", "INVALID_FIELD"),
            (Publish(**{**good, "correlation_id": "a", "metadata": b'{"correlation_id":"b"}'}), "INVALID_ARGUMENT",
             "INVALID_FIELD"),
            (Publish(**{**good, "type": "order_created", "data": b'{"order_id":"r-1"}'}), "FAILED_PRECONDITION",
             "TYPE_MISMATCH"),
            (Publish(**{**good, "tags": ["t%d" % i for i in range(17)]}), "INVALID_ARGUMENT", "INVALID_FIELD"),
            (Publish(**{**good, "data": b'{"a":"' + b"x" * (1 << 20) + b'"}'}), "INVALID_ARGUMENT", "EVENT_TOO_LARGE"),
            (Publish(**{**good, "version": 3}), "ABORTED", "VERSION_CONFLICT"),
            (Publish(type="custom", aggregate_id="r-none", data=b"{}"), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ]
        for request, code, reason in cases:
            with self.subTest(reason=reason, request=str(request)[:80]):
                failure = failure_of(c.events.PublishEvent, request)
                self.assertEqual((failure.code, failure.reason), (code, reason), failure)
                self.assertTrue(failure.message)

    def test_an_event_type_must_fit_the_aggregate_even_when_its_type_is_left_out(self):
        c = self.client
        c.events.PublishEvent(Publish(type="order_created", aggregate_id="fit-1", aggregate_type="order",
                                      data=b'{"order_id":"fit-1"}'))
        failure = failure_of(c.events.PublishEvent, Publish(type="user_updated", aggregate_id="fit-1", data=b"{}"))
        self.assertEqual((failure.code, failure.reason), ("FAILED_PRECONDITION", "TYPE_MISMATCH"), failure)

    def test_an_expectation_is_given_once_for_an_aggregate(self):
        failure = failure_of(self.client.events.AppendEvents, Append(events=[custom("once-1")], expectations=[
            Expectation(aggregate_id="once-1", be_at_version=0), Expectation(aggregate_id="once-1", not_exist=True)]))
        self.assertEqual((failure.code, failure.reason), ("INVALID_ARGUMENT", "INVALID_FIELD"), failure)

    def test_bounds_of_an_append(self):
        c = self.client
        many = failure_of(c.events.AppendEvents, Append(events=[custom("b-1")] * 1001))
        self.assertEqual((many.code, many.reason), ("INVALID_ARGUMENT", "APPEND_TOO_LARGE"))
        none = failure_of(c.events.AppendEvents, Append())
        self.assertEqual((none.code, none.reason), ("INVALID_ARGUMENT", "INVALID_FIELD"))
        big = b'{"a":"' + b"x" * 1000000 + b'"}'
        large = failure_of(c.events.AppendEvents, Append(events=[custom("b-1", big)] * 9))
        self.assertEqual((large.code, large.reason), ("INVALID_ARGUMENT", "APPEND_TOO_LARGE"))
        reply = c.events.AppendEvents(Append(events=[custom("b-1", big)] * 8))
        self.assertEqual(reply.heads[0].version, 8)
        too_big = failure_of(c.events.AppendEvents, Append(events=[custom("b-1", big)] * 13))
        self.assertEqual(too_big.code, "RESOURCE_EXHAUSTED")
        self.assertEqual(c.events.AppendEvents(Append(events=[custom("b-2")] * 1000)).heads[0].version, 1000)
        # The connection is still good, and what was large comes back, over several messages.
        events = [e for m in c.events.ReadEvents(event_service_pb2.ReadEventsRequest(query=event_pb2.EventQuery(
            items=[event_pb2.QueryItem(aggregate_ids=["b-1"])]))) for e in m.events]
        self.assertEqual([(e.version, e.data == big) for e in events], [(v, True) for v in range(1, 9)])

    def test_a_call_with_a_token_is_refused_in_development(self):
        failure = failure_of(self.client.system.GetInfo, system_service_pb2.GetInfoRequest(),
                             metadata=[("authorization", "Bearer x")])
        self.assertEqual((failure.code, failure.reason), ("UNAUTHENTICATED", "UNAUTHENTICATED"))

    # --- AppendStream ---

    def test_a_refused_append_does_not_end_the_stream(self):
        requests = [
            Append(events=[custom("s-1")], expectations=[Expectation(aggregate_id="s-1", not_exist=True)]),
            Append(events=[custom("s-1")], expectations=[Expectation(aggregate_id="s-1", not_exist=True)]),
            Append(events=[NewEvent(type="nope", aggregate_id="s-1")]),
            Append(events=[custom("s-1")], expectations=[Expectation(aggregate_id="s-1", be_at_version=1)]),
        ]
        answers = list(self.client.events.AppendStream(
            event_service_pb2.AppendStreamRequest(append=r) for r in requests))
        self.assertEqual([a.sequence for a in answers], [1, 2, 3, 4])
        self.assertEqual([a.WhichOneof("outcome") for a in answers], ["appended", "error", "error", "appended"])
        self.assertEqual((answers[1].error.code, answers[1].error.reason),
                         (grpc.StatusCode.ABORTED.value[0], "VERSION_CONFLICT"))
        self.assertEqual(dict(answers[1].error.facts), {"current_version": "1", "aggregate_id": "s-1"})
        self.assertEqual(answers[2].error.reason, "TYPE_NOT_ALLOWED")
        self.assertEqual(answers[3].appended.heads[0].version, 2)

    def test_requests_of_a_stream_that_share_an_aggregate_keep_their_order(self):
        count = 2000
        requests = (event_service_pb2.AppendStreamRequest(append=Append(
            events=[NewEvent(type="payment_processed", aggregate_id="s-pay", aggregate_type="payment",
                             data=b'{"payment_id":"s-pay","status":"pending","n":%d}' % i)] if i % 2 else
            [custom("s-log-%d" % (i % 7)), NewEvent(type="custom", aggregate_id="s-pay", aggregate_type="payment",
                                                    data=b'{"n":%d}' % i)])) for i in range(count))
        answers = list(self.client.events.AppendStream(requests))
        self.assertEqual([a.sequence for a in answers], list(range(1, count + 1)))
        versions = [h.version for a in answers for h in a.appended.heads if h.aggregate_id == "s-pay"]
        self.assertEqual(versions, list(range(1, count + 1)))
        events = [e for m in self.client.events.ReadEvents(event_service_pb2.ReadEventsRequest(
            query=event_pb2.EventQuery(items=[event_pb2.QueryItem(aggregate_ids=["s-pay"])]))) for e in m.events]
        self.assertEqual([json.loads(e.data)["n"] for e in events], list(range(count)))

    def test_a_refused_append_does_not_change_the_order_of_those_behind_it(self):
        """Checked, unchecked and refused appends of the same aggregates, pipelined; some expect the exact version."""
        source = random.Random(7)
        for round_number in range(scaled(10, 3)):
            versions, requests, expected = {}, [], []
            for _ in range(400):
                aggregate = "s-order-%d-%d" % (round_number, source.randrange(4))
                version = versions.get(aggregate, 0)
                event = NewEvent(type=source.choice(("payment_processed", "custom", "custom")), aggregate_id=aggregate,
                                 aggregate_type="payment",
                                 data=b'{"payment_id":"%s","status":"pending"}' % aggregate.encode())
                append = Append(events=[event])
                if version and source.random() < 0.1:
                    event.type, event.aggregate_type = "custom", "custom"
                    append = Append(events=[event])
                    expected.append("TYPE_MISMATCH")
                else:
                    if source.random() < 0.3:
                        append.expectations.append(Expectation(aggregate_id=aggregate, be_at_version=version))
                    versions[aggregate] = version + 1
                    expected.append(version + 1)
                requests.append(event_service_pb2.AppendStreamRequest(append=append))
            answers = self.client.events.AppendStream(iter(requests))
            self.assertEqual([a.error.reason or a.appended.heads[0].version for a in answers], expected)

    def test_answers_come_while_the_stream_is_open(self):
        requests = queue.Queue()
        answers = self.client.events.AppendStream(iter(requests.get, None))
        for i in range(3):
            requests.put(event_service_pb2.AppendStreamRequest(append=Append(events=[custom("s-open")])))
            self.assertEqual(next(answers).appended.heads[0].version, i + 1)
        requests.put(None)
        self.assertEqual(list(answers), [])

    # --- reading ---

    def test_read_events_pages_by_itself_and_resumes(self):
        c = self.client
        for _ in range(7):
            c.events.AppendEvents(Append(events=[custom("read-%d" % (i % 3), tags=["read"]) for i in range(300)]))
        query = event_pb2.EventQuery(items=[event_pb2.QueryItem(tags=["read"])])
        messages = list(c.events.ReadEvents(event_service_pb2.ReadEventsRequest(query=query)))
        events = [e for m in messages for e in m.events]
        self.assertEqual(len(events), 2100)
        self.assertTrue(all(len(m.events) <= 256 for m in messages))
        positions = [e.position for e in events]
        self.assertEqual(positions, sorted(positions))
        # Breaking off after any message and reading on from its position gives the rest.
        first = next(iter(c.events.ReadEvents(event_service_pb2.ReadEventsRequest(query=query))))
        rest = [e.position for m in c.events.ReadEvents(event_service_pb2.ReadEventsRequest(
            query=query, after_position=first.position)) for e in m.events]
        self.assertEqual([e.position for e in first.events] + rest, positions)
        backward = [e.position for m in c.events.ReadEvents(event_service_pb2.ReadEventsRequest(
            query=query, direction=event_service_pb2.BACKWARD, limit=10)) for e in m.events]
        self.assertEqual(backward, positions[:-11:-1])
        bounded = [e.position for m in c.events.ReadEvents(event_service_pb2.ReadEventsRequest(
            query=query, after_position=positions[4], to_position=positions[9])) for e in m.events]
        self.assertEqual(bounded, positions[5:9])

    def test_list_events_shows_the_store_as_it_was_at_the_first_page(self):
        c = self.client
        c.events.AppendEvents(Append(events=[custom("page-1") for _ in range(25)]))
        request = event_service_pb2.ListEventsRequest(aggregate_id="page-1", page_size=10)
        versions = []
        for _ in range(3):
            page = c.events.ListEvents(request)
            versions += [e.version for e in page.events]
            request.page_token = page.next_page_token
            c.events.AppendEvents(Append(events=[custom("page-1")]))
        self.assertEqual(page.next_page_token, "")
        self.assertEqual(versions, list(range(1, 26)))
        request.page_token = page.next_page_token or c.events.ListEvents(
            event_service_pb2.ListEventsRequest(aggregate_id="page-1", page_size=10)).next_page_token
        request.aggregate_id = "page-2"
        failure = failure_of(c.events.ListEvents, request)
        self.assertEqual(failure.code, "INVALID_ARGUMENT")

    # --- Subscribe ---

    def events_of(self, stream, count, skip_to_live=False):
        events = []
        for message in stream:
            if message.WhichOneof("message") == "batch":
                events += message.batch.events
            if len(events) >= count:
                return events
        raise AssertionError("the stream ended after %d events" % len(events))

    def test_a_subscription_catches_up_goes_live_and_resumes_without_a_gap(self):
        c = self.client
        item = {"aggregate_ids": ["sub-1"]}
        c.events.AppendEvents(Append(events=[custom("sub-1") for _ in range(500)]))
        stop = threading.Event()
        appended = []

        def append():
            while not stop.is_set():
                appended.append(c.events.AppendEvents(Append(events=[custom("sub-1"), custom("sub-noise")])))
        thread = threading.Thread(target=append)
        thread.start()
        try:
            seen = []
            position = 0
            for _ in range(6):  # breaking off and coming back, in the midst of appends
                stream = c.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(
                    after_position=position, **item), timeout=60)
                seen += self.events_of(stream, 120)
                stream.cancel()
                position = seen[-1].position
        finally:
            stop.set()
            thread.join()
        versions = [e.version for e in seen]
        self.assertEqual(versions, list(range(1, len(versions) + 1)))
        rest = self.events_of(c.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(
            after_position=position, **item), timeout=60), 500 + len(appended) - len(seen))
        self.assertEqual([e.version for e in seen + rest], list(range(1, 501 + len(appended))))

    def test_a_subscription_from_now_on_says_when_it_is_live_and_sends_checkpoints(self):
        c = self.client
        stream = c.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(
            types=["custom"], aggregate_ids=["sub-2"], checkpoint_interval={"nanos": 100000000}), timeout=60)
        first = next(stream)
        self.assertEqual(first.WhichOneof("message"), "caught_up")
        position = c.events.AppendEvents(Append(events=[custom("sub-2")])).last_position
        kinds = []
        for message in stream:  # some checkpoints may come before the event is recorded
            kinds.append(message.WhichOneof("message"))
            if kinds[-1] == "batch":
                self.assertEqual([e.position for e in message.batch.events], [position])
            if "batch" in kinds and kinds[kinds.index("batch"):].count("checkpoint") == 3:
                break
        self.assertEqual(kinds.count("batch"), 1)
        self.assertGreaterEqual(message.checkpoint.position, position)
        stream.cancel()
        later = next(c.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(from_end=True), timeout=60))
        self.assertEqual(later.caught_up.position, later.caught_up.head_position)

    def test_a_position_from_another_store_is_refused(self):
        failure = failure_of(self.client.subscriptions.Subscribe,
                             subscription_service_pb2.SubscribeRequest(after_position=1 << 40), timeout=60)
        self.assertEqual((failure.code, failure.reason), ("INVALID_ARGUMENT", "INVALID_FIELD"))

    # --- deadlines ---

    def test_a_deadline_ends_a_wait_and_a_stream(self):
        c = self.client
        begin = time.monotonic()
        failure = failure_of(c.aggregates.GetAggregate, aggregate_service_pb2.GetAggregateRequest(
            id="d", min_position=1 << 40), timeout=0.3)
        self.assertEqual(failure.code, "DEADLINE_EXCEEDED")
        stream = failure_of(c.subscriptions.Subscribe, subscription_service_pb2.SubscribeRequest(), timeout=0.3)
        self.assertEqual(stream.code, "DEADLINE_EXCEEDED")
        self.assertLess(time.monotonic() - begin, 30)
        behind = failure_of(c.aggregates.GetAggregate, aggregate_service_pb2.GetAggregateRequest(
            id="d", min_position=1 << 40), timeout=30)
        self.assertEqual((behind.code, behind.reason), ("UNAVAILABLE", "BEHIND"))
        self.assertIsNotNone(behind.retry_after_s)

    def test_reading_ones_own_write(self):
        c = self.client
        position = c.events.AppendEvents(Append(events=[custom("own")])).last_position
        got = c.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(id="own", min_position=position))
        self.assertEqual(got.version, 1)
        when = microseconds(got.updated_at)
        as_of = c.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(id="own", as_of_time=got.updated_at))
        self.assertEqual((as_of.version, microseconds(as_of.updated_at)), (1, when))
        self.assertGreaterEqual(as_of.as_of_position, position)

    # --- snapshots and the system ---

    def test_snapshots_are_verified_pending_or_divergent(self):
        c = self.client
        Create = snapshot_service_pb2.CreateSnapshotRequest
        State = snapshot_service_pb2.Snapshot
        c.events.AppendEvents(Append(events=[custom("snap", b'{"a":10.10}'), custom("snap", b'{"b":2}')]))
        made = c.snapshots.CreateSnapshot(Create(aggregate_id="snap"))
        self.assertEqual((made.version, made.state, made.data), (2, State.VERIFIED, b'{"a":10.10,"b":2}'))
        same = c.snapshots.CreateSnapshot(Create(aggregate_id="snap", version=2, data=b'{"b":2.0,"a":1.01e1}'))
        self.assertEqual((same.state, same.data), (State.VERIFIED, b'{"a":10.10,"b":2}'))
        wrong = c.snapshots.CreateSnapshot(Create(aggregate_id="snap", version=1, data=b'{"a":10.11}'))
        self.assertEqual(wrong.state, State.DIVERGENT)
        ahead = c.snapshots.CreateSnapshot(Create(aggregate_id="snap", version=3, data=b'{"a":10.1,"b":2,"c":3}'))
        self.assertEqual(ahead.state, State.PENDING)
        refused = failure_of(c.snapshots.CreateSnapshot, Create(aggregate_id="snap", version=2, data=b'{"a":1}'))
        self.assertEqual((refused.code, refused.reason), ("ALREADY_EXISTS", "SNAPSHOT_EXISTS"))
        c.events.AppendEvents(Append(events=[custom("snap", b'{"c":3}')]))
        got = c.snapshots.GetSnapshot(snapshot_service_pb2.GetSnapshotRequest(aggregate_id="snap"))
        self.assertEqual((got.version, got.state), (3, State.VERIFIED))
        listed = c.snapshots.ListSnapshots(snapshot_service_pb2.ListSnapshotsRequest(aggregate_id="snap"))
        self.assertEqual([(s.version, s.state) for s in listed.snapshots],
                         [(1, State.DIVERGENT), (2, State.VERIFIED), (3, State.VERIFIED)])
        self.assertEqual(listed.total_size, 3)

    def test_info_health_and_stats_answer(self):
        c = self.client
        self.assertEqual(c.system.GetHealth(system_service_pb2.GetHealthRequest()).state,
                         system_service_pb2.Health.HEALTHY)
        info = c.system.GetInfo(system_service_pb2.GetInfoRequest())
        self.assertEqual((info.event_store, info.snapshot_store), ("embedded", "embedded"))
        self.assertTrue(info.store_id)
        stats = c.system.GetStats(system_service_pb2.GetStatsRequest())
        exact = c.system.GetStats(system_service_pb2.GetStatsRequest(exact=True))
        self.assertEqual(stats.event_count + stats.system_event_count, stats.head_position)
        self.assertEqual((exact.event_count, exact.aggregate_count), (stats.event_count, stats.aggregate_count))

    # --- grpcurl ---

    def grpcurl(self, *arguments):
        done = subprocess.run([str(GRPCURL), "-plaintext", *arguments], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_grpcurl_works_without_proto_files(self):
        services = self.grpcurl(self.service.grpc, "list").split()
        for name in ("EventService", "AggregateService", "SnapshotService", "SubscriptionService", "SystemService"):
            self.assertIn("strata.v1." + name, services)
        self.assertIn("grpc.health.v1.Health", services)
        self.assertIn("rpc PublishEvent", self.grpcurl(self.service.grpc, "describe", "strata.v1.EventService"))
        self.assertIn("payload_digest", self.grpcurl(self.service.grpc, "describe", "strata.v1.Event"))
        health = json.loads(self.grpcurl(self.service.grpc, "grpc.health.v1.Health/Check"))
        self.assertEqual(health, {"status": "SERVING"})
        one = json.loads(self.grpcurl("-d", '{"service":"strata.v1.EventService"}', self.service.grpc,
                                      "grpc.health.v1.Health/Check"))
        self.assertEqual(one, {"status": "SERVING"})
        data = base64.b64encode(b'{"amount":10.10}').decode()
        published = json.loads(self.grpcurl("-d", json.dumps({
            "type": "custom", "aggregate_id": "grpcurl", "aggregate_type": "custom", "data": data}),
            self.service.grpc, "strata.v1.EventService/PublishEvent"))
        self.assertEqual((published["event"]["version"], published["event"]["data"]), (1, data))

    def test_grpcurl_shows_the_details_of_an_error(self):
        done = subprocess.run([str(GRPCURL), "-plaintext", "-d", '{"id":"nobody"}', self.service.grpc,
                               "strata.v1.AggregateService/GetAggregate"], capture_output=True, text=True, timeout=120)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("NotFound", done.stderr)
        self.assertIn("nobody", done.stderr)


class Shutdown(unittest.TestCase):
    def test_a_subscription_hears_that_the_service_stops_and_health_says_so(self):
        with Service() as s, Client(s) as c:
            c.events.AppendEvents(Append(events=[custom("z")]))
            stream = c.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(from_start=True), timeout=60)
            self.assertEqual(next(stream).batch.events[0].aggregate_id, "z")
            threading.Timer(0.2, s.process.terminate).start()
            last = None
            for message in stream:
                last = message
            self.assertEqual(last.WhichOneof("message"), "closing")
            self.assertEqual((last.closing.reason, last.closing.position), ("SHUTTING_DOWN", 1))
            self.assertEqual(s.process.wait(60), 0, s.log())


if __name__ == "__main__":
    unittest.main()
