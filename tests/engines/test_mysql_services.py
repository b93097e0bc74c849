"""What lies above the store with two services on one MariaDB: verdicts, versions, reads of what the other has answered,
operations, and cluster handlers that go on when their holder is killed.

STRATA_TEST_SEED replays the choices.
"""

import asyncio
import collections
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import unittest

ROOT = __file__.rsplit("/tests/", 1)[0] + "/tests"
sys.path[:0] = [ROOT, ROOT + "/model"]
from domain import ORDER_MOVES  # noqa: E402
from support.engines import MariaDb  # noqa: E402
from support.strata_aio import AioClient, answer  # noqa: E402
from support.strata_rpc import (Client, Failure, aggregate_service_pb2, event_pb2, event_service_pb2, failure_of,  # noqa: E402
                                subscription_service_pb2, system_service_pb2)
from support.strata_service import BINARY, Service, scaled  # noqa: E402

CLIENTS = 16  # of each service
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))
HANDLER = BINARY.parents[2] / "tests/embed/cluster_handler"
RUNNING, SUCCEEDED, CANCELLED = (system_service_pb2.Operation.State.Value(name) for name in ("RUNNING", "SUCCEEDED", "CANCELLED"))


DATABASE = None


def setUpModule():
    global DATABASE
    DATABASE = unittest.enterModuleContext(MariaDb())


def publish(order, event_type, data, **more):
    return event_service_pb2.PublishEventRequest(type=event_type, aggregate_id=order, aggregate_type="order",
                                                 data=data.encode(), **more)


class TwoServices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print("STRATA_TEST_SEED=%s" % SEED, flush=True)
        cls.a = cls.enterClassContext(Service(config=DATABASE.settings()))
        cls.b = cls.enterClassContext(Service(config=DATABASE.settings()))

    def setUp(self):
        self.random = random.Random(SEED)
        self.client_a = self.enterContext(Client(self.a))
        self.client_b = self.enterContext(Client(self.b))

    def ask_all(self, plans):
        """Each plan is the requests of one client, every second one of them at the other service; (request, reply) of all."""
        async def run_one(client, requests):
            return [(request, await answer(client.events.PublishEvent, request)) for request in requests]

        async def run():
            clients = [AioClient((self.a, self.b)[n % 2]) for n in range(len(plans))]
            await asyncio.gather(*(client.channel.channel_ready() for client in clients))
            answers = await asyncio.gather(*(run_one(client, plan) for client, plan in zip(clients, plans)))
            await asyncio.gather(*(client.close() for client in clients))
            return [pair for ones in answers for pair in ones]
        return asyncio.run(run())

    def events_of(self, order, client=None):
        request = event_service_pb2.ReadEventsRequest(
            query=event_pb2.EventQuery(items=[event_pb2.QueryItem(aggregate_ids=[order])]))
        events = [e for m in (client or self.client_b).events.ReadEvents(request) for e in m.events]
        for event in events:  # of the service that answers, not of the event
            event.ClearField("processed")
            event.ClearField("processed_at")
        return events

    # --- where a subscription begins ---

    def test_a_subscription_from_the_end_begins_behind_what_another_service_answered(self):
        """The service that is asked has not heard of it: nobody there waits for events."""
        for number in range(5):
            published = [self.client_a.events.PublishEvent(publish("end-%d-%d" % (number, n), "order_created",
                                                                   '{"order_id":"end-%d-%d"}' % (number, n)))
                         for n in range(3)]
            stream = self.client_b.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(from_end=True), timeout=30)
            first = next(iter(stream))
            stream.cancel()
            self.assertEqual((first.WhichOneof("message"), first.caught_up.position),
                             ("caught_up", published[-1].event.position))

    # --- verdicts ---

    def test_a_recorded_order_is_legal_whichever_service_judged_its_moves(self):
        counts = collections.Counter()
        for number in range(scaled(3)):
            order = "order-%d" % number
            self.client_a.events.PublishEvent(publish(order, "order_created", '{"order_id":"%s"}' % order))
            moves = [self.random.choice(list(ORDER_MOVES)[1:]) for _ in range(2 * CLIENTS * 4)]
            plans = [[publish(order, "order_status_changed", '{"order_id":"%s","new_status":"%s"}' % (order, status))
                      for status in moves[c * 4:c * 4 + 4]] for c in range(2 * CLIENTS)]
            accepted = {}
            for request, reply in self.ask_all(plans):
                counts["ok" if not isinstance(reply, Failure) else reply.reason] += 1
                if not isinstance(reply, Failure):
                    accepted[reply.event.id] = (reply.event.version, request.data)
            stored = self.events_of(order)
            self.assertEqual([e.version for e in stored], list(range(1, len(stored) + 1)))
            self.assertEqual({e.id: (e.version, e.data) for e in stored[1:]}, accepted)
            now = "pending"  # by nobody's fold but this
            for event in stored[1:]:
                then = re.search(rb'"new_status":"(\w+)"', event.data)[1].decode()
                self.assertIn(then, ORDER_MOVES[now], "version %d goes from %s to %s" % (event.version, now, then))
                now = then
            self.assertEqual(self.events_of(order, self.client_a), stored)
        print(dict(counts), flush=True)
        self.assertGreater(counts["ok"], 0)
        self.assertGreater(counts["TRANSITION_REFUSED"], 0)
        self.assertEqual(set(counts) - {"ok", "TRANSITION_REFUSED", "REVALIDATE_EXHAUSTED"}, set())
        self.assertLessEqual(counts["REVALIDATE_EXHAUSTED"], sum(counts.values()) // 20)

    def test_what_every_state_allows_is_hardly_ever_given_up(self):
        """Each is accepted, so each changes the state that the other service judged by."""
        again = event_service_pb2.PublishEventRequest(type="payment_processed", aggregate_id="busy", aggregate_type="payment",
                                                      data=b'{"payment_id":"busy","status":"pending"}')
        plans = [[again] * scaled(10) for _ in range(2 * CLIENTS)]
        counts = collections.Counter(reply.reason if isinstance(reply, Failure) else "ok" for _, reply in self.ask_all(plans))
        print(dict(counts), flush=True)
        self.assertEqual(set(counts) - {"ok", "REVALIDATE_EXHAUSTED"}, set())
        self.assertLessEqual(counts["REVALIDATE_EXHAUSTED"], sum(counts.values()) // 20)
        self.assertEqual([e.version for e in self.events_of("busy")], list(range(1, counts["ok"] + 1)))

    def test_each_exact_version_has_one_winner(self):
        versions = scaled(20, 5)
        plans = [[publish("exact", "order_note", "{}", expected_version=v) for v in range(versions)] for _ in range(2 * CLIENTS)]
        for plan in plans:
            for request in plan:
                request.type = "custom"
        winners, refused = collections.Counter(), collections.Counter()
        for request, reply in self.ask_all(plans):
            if isinstance(reply, Failure):
                refused[reply.code, reply.reason] += 1
            else:
                self.assertEqual(reply.event.version, request.expected_version + 1)
                winners[request.expected_version] += 1
        print(dict(refused), flush=True)
        self.assertEqual({n for n in winners.values()}, {1})
        self.assertEqual(sorted(winners), list(range(len(winners))))
        self.assertEqual([e.version for e in self.events_of("exact")], list(range(1, len(winners) + 1)))
        self.assertEqual(list(refused), [("ABORTED", "VERSION_CONFLICT")])

    # --- reads ---

    def test_a_read_at_the_other_service_shows_what_was_answered(self):
        took = []
        for n in range(1, scaled(100, 20) + 1):
            writer, reader = self.random.sample((self.client_a, self.client_b), 2)
            event = writer.events.PublishEvent(publish("seen", "custom", "{}")).event
            if n % 2:
                self.assertEqual(reader.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(id="seen")).version, n)
                page = reader.events.ListEvents(event_service_pb2.ListEventsRequest(aggregate_id="seen", page_size=1000))
                self.assertEqual(page.events[-1].position if len(page.events) > 1 else event.position,
                                 max(e.position for e in page.events))
                self.assertEqual(len(page.events), n)
            else:
                begun = time.monotonic()
                found = reader.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(
                    id="seen", min_position=event.position))
                took.append(time.monotonic() - begun)
                self.assertEqual(found.version, n)
        print("min_position at the other service: median %.0f ms, most %.0f ms" % (
            1000 * statistics.median(took), 1000 * max(took)), flush=True)
        self.assertLess(max(took), 2.5)  # as long as the idle poll, on a busy machine

    def test_a_subscriber_that_changes_the_service_goes_on(self):
        position = self.client_a.events.PublishEvent(publish("moved", "custom", "{}")).event.position
        stream = self.client_b.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(after_position=position))
        last = self.client_a.events.PublishEvent(publish("moved", "custom", "{}")).event.position
        for message in stream:
            if message.batch.events:
                self.assertEqual([e.position for e in message.batch.events], [last])
                break
        stream.cancel()


class Handler:
    """tests/embed/cluster_handler.c: `seen` is [(position, epoch, when)]."""

    def __init__(self, database, store_id):
        self.process = subprocess.Popen([str(HANDLER), str(database.port), "strata_test", store_id, "printer"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.seen = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the handler does not start")
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            position, epoch = map(int, line.split())
            self.seen.append((position, epoch, time.monotonic()))

    def end(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        self.reader.join(30)
        self.process.stdout.close()
        return code


def wait_until(what, seconds, reason):
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise AssertionError("not in %d s: %s" % (seconds, reason))
        time.sleep(0.02)


class Processes(unittest.TestCase):
    """What one process of several does alone."""

    def setUp(self):
        store_id = self.id().rsplit(".", 1)[1][:40]
        self.services = [Service(config={**DATABASE.settings(), "STRATA_DATABASE_MYSQL_STORE_ID": store_id}) for _ in range(2)]
        for service in self.services:
            service.start()
            self.addCleanup(service.remove)
            self.addCleanup(service.stop)  # not one that was killed
        self.handlers = []
        self.addCleanup(lambda: [handler.end(signal.SIGKILL) for handler in self.handlers])
        self.store_id = store_id
        self.a, self.b = self.services
        self.client_a = self.enterContext(Client(self.a))
        self.client_b = self.enterContext(Client(self.b))

    def append(self, client, count):
        return client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[
            event_pb2.NewEvent(type="custom", aggregate_id="a%d" % (i % 10), aggregate_type="custom", data=b"{}")
            for i in range(count)])).last_position

    def start_verify(self, client):
        return client.system.StartOperation(system_service_pb2.StartOperationRequest(verify=system_service_pb2.Verify()))

    def start_and_stop_at_once(self):
        """A verification at the first process, which is stopped before it comes to its end."""
        operation = self.start_verify(self.client_a)
        self.a.process.send_signal(signal.SIGSTOP)
        self.addCleanup(lambda: self.a.process.poll() is None and self.a.process.send_signal(signal.SIGCONT))
        return operation

    def get(self, client, operation):
        return client.system.GetOperation(system_service_pb2.GetOperationRequest(id=operation.id))

    def ended(self, client, operation, seconds):
        wait_until(lambda: self.get(client, operation).state != RUNNING, seconds, "the operation ends")
        return self.get(client, operation)

    def test_what_a_killed_process_did_alone_goes_on_in_another(self):
        for _ in range(10):
            self.append(self.client_a, 1000)
        holder, other = self.handlers = [Handler(DATABASE, self.store_id) for _ in range(2)]
        wait_until(lambda: holder.seen or other.seen, 30, "an event is handled")
        if other.seen:
            holder, other = other, holder
        wait_until(lambda: len(holder.seen) >= 10000, 60, "all events are handled")
        operation = self.start_and_stop_at_once()
        self.assertEqual(self.get(self.client_b, operation).state, RUNNING)
        listed = self.client_b.system.ListOperations(system_service_pb2.ListOperationsRequest())
        self.assertEqual([o.id for o in listed.operations], [operation.id])
        self.a.kill()
        holder.end(signal.SIGKILL)
        killed = time.monotonic()
        self.assertEqual(other.seen, [])
        self.assertEqual(self.get(self.client_b, operation).state, RUNNING)
        last = self.append(self.client_b, 100)
        self.check_behind(self.client_b)
        wait_until(lambda: other.seen and other.seen[-1][0] >= last, 40, "the other handler goes on")
        self.check_handled(holder.seen, other.seen, last)
        ended = self.ended(self.client_b, operation, 60)
        print("after the kill: the handler goes on in %.1f s, the operation has ended in %.1f s" % (
            other.seen[0][2] - killed, time.monotonic() - killed), flush=True)
        self.assertEqual(ended.state, SUCCEEDED, ended)
        self.assertIn("went on", ended.message)
        self.assertEqual(ended.result["events"], "10000")
        self.assertEqual(other.end(signal.SIGTERM), 0)

    def check_behind(self, client):
        """A position that nobody has is answered after five seconds."""
        begun = time.monotonic()
        failure = failure_of(client.aggregates.GetAggregate,
                             aggregate_service_pb2.GetAggregateRequest(id="a1", min_position=1 << 40))
        self.assertEqual(failure.reason, "BEHIND")
        self.assertTrue(4.9 < time.monotonic() - begun < 8, time.monotonic() - begun)

    def check_handled(self, before, after, last):
        """Every event in order; those behind the last checkpoint come again, and under a newer epoch."""
        positions = [position for position, _, _ in before]
        self.assertEqual(positions, list(range(1, len(positions) + 1)))
        again = [position for position, _, _ in after]
        self.assertEqual(again, list(range(again[0], last + 1)))
        self.assertLessEqual(again[0], positions[-1] + 1)
        self.assertEqual(len({epoch for _, epoch, _ in before}), 1)
        self.assertGreater(min(epoch for _, epoch, _ in after), before[0][1])

    def test_an_operation_is_cancelled_at_another_process(self):
        for _ in range(5):
            self.append(self.client_a, 1000)
        operation = self.start_and_stop_at_once()
        self.assertEqual(failure_of(self.start_verify, self.client_b).reason, "OPERATION_RUNNING")
        cancelled = self.client_b.system.CancelOperation(system_service_pb2.CancelOperationRequest(id=operation.id))
        self.assertEqual(cancelled.state, CANCELLED)
        self.a.process.send_signal(signal.SIGCONT)
        self.assertEqual(self.get(self.client_a, operation).state, CANCELLED)
        again = self.start_verify(self.client_b)
        self.assertEqual(self.ended(self.client_a, again, 60).state, SUCCEEDED)
        self.assertEqual(self.get(self.client_b, operation).state, CANCELLED)


if __name__ == "__main__":
    unittest.main()
