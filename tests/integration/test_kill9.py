"""SIGKILL under load: what was acknowledged is there, once, as acknowledged; nothing is invented; unknown outcomes settle.

STRATA_TEST_KILL_ROUNDS sets the number of rounds, STRATA_TEST_SEED the seed.
"""

import os
import random
import subprocess
import sys
import threading
import time
import unittest

import grpc

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_records import read_history  # noqa: E402
from support.strata_rpc import Client, Failure, event_pb2, event_service_pb2, subscription_service_pb2  # noqa: E402
from support.strata_service import BINARY, Service, environment, scaled  # noqa: E402

ROUNDS = int(os.environ.get("STRATA_TEST_KILL_ROUNDS", scaled(20, 3)))
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))
CLIENTS = 8
AGGREGATES = 25
RESTART_SECONDS = 120


class Append:
    """One append that a client has sent: what was asked, and the answer once there is one."""

    def __init__(self, name, random_source):
        count = random_source.choice((1, 1, 1, 2, 3, 8, 40))
        self.append_id = name if random_source.random() < 0.5 else ""
        self.events = [(name + "/%d" % n, "k9-%d" % random_source.randrange(AGGREGATES),
                        b'{"of":"%s","n":%d,"filler":"%s"}' % (name.encode(), n, b"x" * random_source.randrange(600)))
                       for n in range(count)]
        self.reply = None

    def request(self):
        return event_service_pb2.AppendEventsRequest(append_id=self.append_id, events=[
            event_pb2.NewEvent(id="" if self.append_id else event_id, type="custom", aggregate_id=aggregate,
                               aggregate_type="custom", data=data, tags=["k9"])
            for event_id, aggregate, data in self.events])


class Load:
    """Clients that append without pause until the service is gone."""

    def __init__(self, service, round_number):
        self.service = service
        self.acknowledged = []
        self.unknown = []
        self.refused = []
        self.seen = {}  # position → id, by a live subscriber
        self.lock = threading.Lock()
        self.enough = threading.Event()
        self.wanted = 0
        self.threads = [threading.Thread(target=self._append, args=("r%d-c%d" % (round_number, c),)) for c in range(CLIENTS)]
        self.threads.append(threading.Thread(target=self._subscribe))
        for thread in self.threads:
            thread.start()

    def _append(self, name):
        source = random.Random(SEED + name)
        number = 0
        with Client(self.service) as client:
            while True:
                append = Append("%s-%d" % (name, number), source)
                number += 1
                try:
                    append.reply = client.events.AppendEvents(append.request(), timeout=60)
                except grpc.RpcError as error:
                    failure = Failure(error)
                    with self.lock:
                        self.unknown.append(append)
                    if failure.code != "UNAVAILABLE" or failure.reason:
                        self.refused.append(failure)
                    return
                with self.lock:
                    self.acknowledged.append(append)
                    if self.wanted and len(self.acknowledged) >= self.wanted:
                        self.enough.set()

    def _subscribe(self):
        with Client(self.service) as client:
            try:
                for message in client.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(from_end=True)):
                    for event in message.batch.events:
                        self.seen[event.position] = event.id
            except grpc.RpcError:
                return

    def kill_after(self, appends, delay_s):
        """Waits for so many answers, then a moment that falls anywhere within a commit, then SIGKILL."""
        with self.lock:
            self.wanted = appends
            if len(self.acknowledged) >= appends:
                self.enough.set()
        assert self.enough.wait(RESTART_SECONDS), "only %d answers:\n%s" % (len(self.acknowledged), self.service.log())
        until = time.perf_counter() + delay_s
        while time.perf_counter() < until:
            pass
        self.service.kill()
        for thread in self.threads:
            thread.join()


class Kill9(unittest.TestCase):
    def setUp(self):
        print("STRATA_TEST_SEED=%s STRATA_TEST_KILL_ROUNDS=%d" % (SEED, ROUNDS), flush=True)
        self.service = Service(config={"STRATA_DATABASE_EMBEDDED_SEGMENT_SIZE": "1048576"})  # rolls happen, too
        self.addCleanup(Service.remove, self.service)

    def check(self, appends, history):
        """Every answered append stands in the history exactly as answered."""
        for append in appends:
            reply = append.reply
            self.assertEqual(reply.last_position - reply.first_position + 1, len(append.events))
            heads = {}
            for place, (event_id, (asked_id, aggregate, data)) in enumerate(zip(reply.event_ids, append.events)):
                record = history.by_id.get(event_id)
                self.assertIsNotNone(record, "an acknowledged event is missing: %s" % event_id)
                if not append.append_id:
                    self.assertEqual(event_id, asked_id)
                self.assertEqual(record.position, reply.first_position + place)
                self.assertEqual((record.aggregate_id, record.data, record.append_id),
                                 (aggregate, data, reply.append_id))
                self.assertEqual(record.timestamp_us, reply.timestamp.seconds * 1000000 + reply.timestamp.nanos // 1000)
                heads[aggregate] = (record.version, record.position)
            self.assertEqual({h.aggregate_id: (h.version, h.position) for h in reply.heads}, heads)

    def settle(self, client, unknown, history):
        """Repeats what got no answer: replayed when it had been recorded, accepted when not, never doubled."""
        replayed = 0
        for append in unknown:
            append.reply = client.events.AppendEvents(append.request(), timeout=RESTART_SECONDS)
            was_there = append.reply.event_ids[0] in history.by_id
            self.assertEqual(append.reply.replayed, was_there, "append %s" % append.events[0][0])
            if not was_there:
                self.assertGreater(append.reply.first_position, len(history.records))
            replayed += was_there
        return replayed

    def test_nothing_acknowledged_is_lost_or_doubled(self):
        source = random.Random(SEED)
        answered = []
        replays = settled = 0
        for round_number in range(ROUNDS):
            self.service.start()
            load = Load(self.service, round_number)
            load.kill_after(source.randrange(1, scaled(400, 50)), source.random() * 0.004)
            self.service.start()
            try:
                with Client(self.service) as client:
                    history = read_history(client.channel)
                    answered += load.acknowledged
                    self.assertEqual(load.refused, [])
                    self.check(answered, history)
                    for position, event_id in load.seen.items():  # no reader saw what was not durable
                        self.assertEqual(history.records[position - 1].id, event_id)
                    known = {a.append_id or a.events[0][0] for a in answered + load.unknown}
                    for record in history.records:  # nothing is invented
                        self.assertIn(record.append_id, known)
                    replays += self.settle(client, load.unknown, history)
                    settled += len(load.unknown)
                    answered += load.unknown
                    again = read_history(client.channel)
                    self.check(answered, again)
                    self.assertEqual([r.stored for r in again.records[:len(history.records)]],
                                     [r.stored for r in history.records])
                    # And all of it is answered the same when it is sent once more.
                    for append in source.sample(answered, min(len(answered), 30)):
                        repeated = client.events.AppendEvents(append.request(), timeout=RESTART_SECONDS)
                        self.assertTrue(repeated.replayed)
                        self.assertEqual((repeated.first_position, list(repeated.event_ids), list(repeated.heads)),
                                         (append.reply.first_position, list(append.reply.event_ids), list(append.reply.heads)))
            finally:
                if round_number % 3 == 2:
                    self.service.stop()
                else:
                    self.service.kill()
        self.service.start()
        with Client(self.service) as client:
            history = read_history(client.channel)
            self.check(answered, history)
        self.service.stop()
        self.assertEqual(sum(len(a.events) for a in answered), len(history.records))
        verified = subprocess.run([str(BINARY), "verify", "--quiet", str(self.service.data)], capture_output=True, text=True,
                                  timeout=600, env=environment())
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assertIn("good: %d events of %d aggregates" % (len(history.records), len(history.versions)), verified.stdout)
        self.assertIn("clean stop", verified.stdout)
        self.assertIn("chain: %s\n" % history.chain.hex(), verified.stdout)
        print("%d rounds, %d appends answered with %d events, %d outcomes unknown of which %d had been recorded; %s"
              % (ROUNDS, len(answered), len(history.records), settled, replays, verified.stdout.splitlines()[0]), flush=True)


if __name__ == "__main__":
    unittest.main()
