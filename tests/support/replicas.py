"""Several services on one database, clients that never give up, and somebody who kills, stops and restarts.

Every append is repeated with the same ids, on whichever replica, until it is answered; so an answer is the truth about it,
and the history at the end must hold it once, as answered.
"""

import asyncio
import collections
import random
import signal
import subprocess
import threading
import time

import grpc

from support.diagnosis import diagnosis
from support.strata_aio import AioClient, answer
from support.strata_records import read_history
from support.strata_rpc import Client, Failure, event_pb2, event_service_pb2, subscription_service_pb2
from support.strata_service import Service

ANSWER_WITHIN_SECONDS = 120
STANDS_AFTER_SECONDS = 30
AGGREGATES = 40
# What may be answered by a service whose database, or which itself, is going or gone.
TRANSIENT = {("UNAVAILABLE", ""), ("UNAVAILABLE", "STORE_UNREACHABLE"), ("UNAVAILABLE", "STORE_FAILED"),
             ("UNAVAILABLE", "QUEUE_FULL"), ("UNKNOWN", "OUTCOME_UNKNOWN"), ("DEADLINE_EXCEEDED", ""), ("CANCELLED", "")}


class Subscriber(threading.Thread):
    """Follows one replica from the first event, through its ends, by the last position it has seen."""

    def __init__(self, replica):
        super().__init__(daemon=True)
        self.replica = replica
        self.seen = []  # ids, by position - 1
        self.wrong = None
        self.ends_at = None
        self.ends = collections.deque(maxlen=20)  # of its streams: when, and how

    def run(self):
        while self.ends_at is None or len(self.seen) < self.ends_at:
            try:
                with Client(self.replica) as client:
                    for message in client.subscriptions.Subscribe(
                            subscription_service_pb2.SubscribeRequest(after_position=len(self.seen)), timeout=5):
                        for event in message.batch.events:
                            if event.position != len(self.seen) + 1:
                                self.wrong = "position %d after %d" % (event.position, len(self.seen))
                                return
                            self.seen.append(event.id)
            except grpc.RpcError as error:
                self.ends.append("%.1f s: %s %s" % (time.monotonic(), error.code().name, error.details()))
                if error.code() is grpc.StatusCode.DATA_LOSS:
                    self.wrong = str(error)
                    return
                time.sleep(0.05)

    def expect_all(self, count):
        """Waits for so many events as long as some come; else says what its replica does."""
        self.ends_at = count
        moved_at, before = time.monotonic(), len(self.seen)
        while self.is_alive() and time.monotonic() < moved_at + STANDS_AFTER_SECONDS:
            self.join(0.1)
            if len(self.seen) > before:
                moved_at, before = time.monotonic(), len(self.seen)
        assert self.wrong is None, self.wrong
        assert len(self.seen) >= count, "a subscriber stands at %d of %d at %.1f s, alive %s; its streams ended:\n%s\n%s" % (
            len(self.seen), count, time.monotonic(), self.is_alive(), "\n".join(self.ends), diagnosis(self.replica))


class Replicas:
    """`with Replicas(database, 3, seed) as r: r.run(clients=64, appends=1000, troubles=[…])`."""

    def __init__(self, database, count, seed, config=None):
        self.database = database
        self.random = random.Random(seed)
        self.services = [Service(config={**database.settings(), **(config or {})}) for _ in range(count)]
        self.answered = []  # (events, reply)
        self.sent = 0
        self.repeated = 0
        self.refusals = {}
        self.took = []  # each trouble, and how long

    def __enter__(self):
        for service in self.services:
            service.start()
        return self

    def __exit__(self, *failure):
        for service in self.services:
            if failure[0] is None:
                service.stop()
            elif service.process and service.process.poll() is None:
                service.process.send_signal(signal.SIGCONT)
                service.kill()
            service.remove()

    # --- the load ---

    def _new_append(self, name):
        count = self.random.choice((1, 1, 1, 2, 5))
        append_id = name if self.random.random() < 0.5 else ""
        return event_service_pb2.AppendEventsRequest(append_id=append_id, events=[
            event_pb2.NewEvent(id="" if append_id else "%s/%d" % (name, n), type="custom", aggregate_type="custom",
                               aggregate_id="shared-%d" % self.random.randrange(AGGREGATES), tags=["replicas"],
                               data=b'{"of":"%s","n":%d}' % (name.encode(), n)) for n in range(count)])

    async def _client(self, number):
        clients = {}
        at = number % len(self.services)
        while self.sent < self.wanted:
            self.sent += 1
            append = self._new_append("a%d" % self.sent)
            while True:
                service = self.services[at]
                if service.grpc not in clients:
                    clients[service.grpc] = AioClient(service)
                # Short of what a stopped replica holds, so that the others get its work.
                reply = await answer(clients[service.grpc].events.AppendEvents, append, timeout=10)
                if not isinstance(reply, Failure):
                    self.answered.append((append, reply))
                    break
                kind = (reply.code, reply.reason)
                self.refusals[kind] = self.refusals.get(kind, 0) + 1
                if kind not in TRANSIENT:
                    raise AssertionError("%r" % reply)
                self.repeated += 1
                at = (at + 1) % len(self.services)
                await asyncio.sleep(0.02 + 0.1 * self.random.random())
        for client in clients.values():
            await client.close()

    async def _clients(self, count):
        await asyncio.gather(*(self._client(number) for number in range(count * len(self.services))))

    # --- the troubles ---

    def kill_replica(self):
        service = self.random.choice(self.services)
        service.kill()
        service.start()

    def stop_replica(self):
        """Longer than the database lets a silent holder of the head be."""
        service = self.random.choice(self.services)
        service.process.send_signal(signal.SIGSTOP)
        time.sleep(7)
        service.process.send_signal(signal.SIGCONT)

    def restart_database(self):
        self.database.stop()
        self.database.start()

    def kill_database(self):
        self.database.kill()
        self.database.start()

    def run(self, clients, appends, troubles, calm=lambda: None):
        """`troubles` are names of the methods above, spread over the appends; `calm` is called when all are answered."""
        self.wanted = appends
        subscribers = [Subscriber(service) for service in self.services]
        for subscriber in subscribers:
            subscriber.start()
        load = threading.Thread(target=lambda: asyncio.run(self._clients(clients)), daemon=True)
        load.start()
        for number, trouble in enumerate(troubles, 1):
            while len(self.answered) < appends * number // (len(troubles) + 1) and load.is_alive():
                time.sleep(0.01)
            if load.is_alive():
                begin = time.monotonic()
                getattr(self, trouble)()
                self.took.append("%s %.1f s" % (trouble, time.monotonic() - begin))
        load.join(ANSWER_WITHIN_SECONDS + appends / 20)
        assert len(self.answered) == appends, "%d of %d were answered; refused so far: %s" % (
            len(self.answered), appends, self.refusals)
        calm()
        return self._check(subscribers)

    # --- what must be so ---

    @staticmethod
    def _history(service):
        """All records; a service that has just lost its database may say so for a moment."""
        until = time.monotonic() + ANSWER_WITHIN_SECONDS
        while True:
            try:
                with Client(service) as client:
                    return read_history(client.channel)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def _check(self, subscribers):
        history = self._history(self.services[0])
        for append, reply in self.answered:
            assert reply.last_position - reply.first_position + 1 == len(append.events)
            for place, (event, event_id) in enumerate(zip(append.events, reply.event_ids)):
                record = history.by_id.get(event_id)
                assert record is not None, "an acknowledged event is missing: %s" % event_id
                assert not event.id or event_id == event.id
                assert record.position == reply.first_position + place
                assert (record.aggregate_id, record.data) == (event.aggregate_id, event.data)
        assert len(history.records) == sum(len(append.events) for append, _ in self.answered), "events were invented"
        for subscriber in subscribers:
            subscriber.ends_at = len(history.records)
        for subscriber in subscribers:
            subscriber.expect_all(len(history.records))
            assert subscriber.seen == [record.id for record in history.records], "a subscriber saw another order"
        for service in self.services[1:]:
            assert self._history(service).chain == history.chain
        return history
