"""256 clients, a connection each, publish with `any` to one order: nothing is refused that the rules do not demand.

What every state allows (a configured type that no check looks at; a payment that is still pending, which a check does look at)
is all recorded, once, at the next version. Changes of status are recorded or TRANSITION_REFUSED, and each refusal must be the
model's at a point of the recorded order between its sending and its answer (tests/support/serial_order.py).
"""

import asyncio
import collections
import json
import os
import random
import sys
import unittest

ROOT = __file__.rsplit("/tests/", 1)[0] + "/tests"
sys.path[:0] = [ROOT, ROOT + "/model"]
from model import BUILTIN_EVENT_TYPES, Append, Event, Model, Refused  # noqa: E402
from domain import ORDER_MOVES  # noqa: E402
from support.serial_order import Asked, Ticks, settle  # noqa: E402
from support.strata_aio import AioClient, answer  # noqa: E402
from support.strata_rpc import Client, Failure, event_pb2, event_service_pb2  # noqa: E402
from support.strata_service import Service, scaled  # noqa: E402

CLIENTS = 256
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))
EVENT_TYPES = [*BUILTIN_EVENT_TYPES, "order_note"]


def published(kind, aggregate_id, event_type, data, event_id=""):
    """(the model's Event, the request)."""
    event = Event(type=event_type, aggregate_id=aggregate_id, given_type=kind, id=event_id,
                  data_object={name: [json.dumps(name), json.dumps(value)] for name, value in data.items()})
    return event, event_service_pb2.PublishEventRequest(
        id=event_id, type=event_type, aggregate_id=aggregate_id, aggregate_type=kind, data=event.data.encode())


class HotOrder:
    engine = None

    def setUp(self):
        print("STRATA_TEST_SEED=%s %s" % (SEED, self.engine), flush=True)
        self.random = random.Random(SEED)
        self.service = Service(config={"STRATA_DATABASE_EVENT_STORE": self.engine,
                                       "STRATA_SUPPORTED_EVENT_TYPES": json.dumps(EVENT_TYPES)}).start()
        self.addCleanup(self.service.remove)
        self.addCleanup(self.service.stop)

    def ask_all(self, plan):
        """Every client sends its requests one after the other; all begin together."""
        ticks = Ticks()

        async def run_one(client, ones):
            for one in ones:
                one.begun = ticks.now()
                one.got = await answer(client.events.PublishEvent, one.request)
                one.ended = ticks.now()

        async def run():
            clients = [AioClient(self.service) for _ in plan]
            await asyncio.gather(*(client.channel.channel_ready() for client in clients))
            await asyncio.gather(*(run_one(client, ones) for client, ones in zip(clients, plan)))
            await asyncio.gather(*(client.close() for client in clients))
        asyncio.run(run())
        return [one for ones in plan for one in ones]

    def events_of(self, order):
        with Client(self.service) as client:
            return [e for m in client.events.ReadEvents(event_service_pb2.ReadEventsRequest(
                query=event_pb2.EventQuery(items=[event_pb2.QueryItem(aggregate_ids=[order])]))) for e in m.events]

    def test_what_every_state_allows_is_recorded_once_and_never_refused(self):
        self.check_never_refused("order", "order_note", {})
        self.check_never_refused("payment", "payment_processed", {"payment_id": "hot-payment", "status": "pending"})

    def check_never_refused(self, kind, event_type, data):
        """The aggregate is not there before; every fourth event is sent twice, by two clients."""
        rounds, hot = scaled(4, 2), "hot-" + kind
        notes = [published(kind, hot, event_type, {**data, "n": n}, "%s-%d" % (kind, n)) for n in range(CLIENTS * rounds)]
        plan = [[Asked(c, "note", None, notes[c * rounds + r][1]) for r in range(rounds)] for c in range(CLIENTS)]
        for client, ones in enumerate(plan):
            neighbour = plan[(client + 1) % CLIENTS]
            neighbour += [Asked((client + 1) % CLIENTS, "note", None, one.request) for one in ones[::4]]
        asked = self.ask_all(plan)
        self.assertEqual([one.got for one in asked if isinstance(one.got, Failure)], [])
        stored = self.events_of(hot)
        self.assertEqual([e.version for e in stored], list(range(1, len(notes) + 1)))
        self.assertEqual(collections.Counter(e.id for e in stored), {new.id: 1 for _, new in notes})
        versions = {e.id: e.version for e in stored}
        for one in asked:
            self.assertEqual(one.got.event.version, versions[one.request.id])
        self.assertEqual(sum(not one.got.replayed for one in asked), len(notes))
        for ones in plan:  # what a client sends after an answer comes behind it
            own = [one.got.event.version for one in ones if not one.got.replayed]
            self.assertEqual(own, sorted(own))

    def test_a_change_of_status_is_refused_only_where_the_order_of_events_demands_it(self):
        outcomes = collections.Counter()
        for number in range(scaled(6, 2)):
            order = "order-%d" % number
            plan = []
            for client in range(CLIENTS):
                status = self.random.choice(list(ORDER_MOVES)[1:])
                change = {"order_id": order, "new_status": status}
                if self.random.random() < 0.2:
                    change["old_status"] = self.random.choice(list(ORDER_MOVES))
                parts = [("note", "order_note", {"by": client}), ("status", "order_status_changed", change)]
                if self.random.random() < 0.5:
                    parts.reverse()
                if client == 0:
                    parts.insert(0, ("created", "order_created", {"order_id": order}))
                plan.append([Asked(client, kind, *published("order", order, event_type, data)) for kind, event_type, data in parts])
            asked = self.ask_all(plan)
            self.check_order(order, asked)
            outcomes.update((one.kind, one.got.reason if isinstance(one.got, Failure) else "ok") for one in asked)
        print(dict(outcomes), flush=True)
        self.assertGreater(outcomes["status", "ok"], 0)
        self.assertGreater(outcomes["status", "TRANSITION_REFUSED"], 0)

    def check_order(self, order, asked):
        model = Model(EVENT_TYPES)

        def decide(one, rehearse):
            asked = one.build
            event = Event(type=asked.type, aggregate_id=order, given_type=asked.given_type, data_object=asked.data_object)
            return model.decide(Append([event], validate_only=rehearse))

        def replay(one):
            expected = decide(one, False)
            self.assertNotIsInstance(expected, Refused, "recorded at version %d: %s" % (one.got.event.version, one.request))
            self.assertEqual(one.got.event.version, expected.events[0].version)

        def explained(one):
            expected = decide(one, True)
            return isinstance(expected, Refused) and (one.got.code, one.got.reason) == (expected.code, expected.reason)
        for one in asked:
            if not isinstance(one.got, Failure):
                one.position = one.got.event.position
            else:
                self.assertEqual((one.kind, one.got.code, one.got.reason),
                                 ("status", "FAILED_PRECONDITION", "TRANSITION_REFUSED"), one.got)
                self.assertIn('order "%s"' % order, one.got.message)
        settle(asked, replay, explained)
        recorded = sorted((one for one in asked if one.position), key=lambda one: one.position)
        self.assertEqual([(e.position, e.version, e.id, e.data) for e in self.events_of(order)],
                         [(one.position, n, one.got.event.id, one.request.data) for n, one in enumerate(recorded, 1)])


class HotOrderEmbedded(HotOrder, unittest.TestCase):
    engine = "embedded"


class HotOrderMemory(HotOrder, unittest.TestCase):
    engine = "memory"


if __name__ == "__main__":
    unittest.main()
