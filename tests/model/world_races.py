"""Races: 16 clients at once on a few aggregates.

The requests follow from the seed, how they interleave does not. Afterwards the recorded ones are replayed through the model
in the order of their positions, and every refusal, replay and read must be what the model says at some point of that order
that lies between its sending and its answer (tests/support/serial_order.py).
"""

import threading

import grpc

from model import Refused
from support.serial_order import Asked, Ticks, Unexplained, settle
from support.strata_rpc import Client, Failure, aggregate_service_pb2, event_service_pb2, snapshot_service_pb2
from tokens import canonical
from world_appends import repeatable
from world_bursts import StreamFailure
from world_compare import Difference
from world_reads import STATES

RACERS = 16


class Races:
    def connect_racers(self):
        for client in self.racers:
            client.close()
        self.racers = [Client(self.service) for _ in range(RACERS)]

    def race(self):
        plan = self.plan_race()
        first = self.model.head()
        self.run_race(plan)
        asked = [one for ones in plan for one in ones]
        try:
            self.settle_race(first, asked)
        except Difference as difference:
            raise Difference("%s\n%s" % (difference, told_race(asked))) from None
        except Unexplained as failure:
            raise Difference("operation %d, race\n%s, at\n%s\n%s" % (
                self.operations, failure, told(failure.one), told_race(asked))) from None

    # --- what is asked ---

    def plan_race(self):
        """A list of requests for each client."""
        pool = [(aggregate_id, kind) for kind in self.kinds for aggregate_id in self.pools[kind]]
        count = self.one((1, 2, 3, 5))
        self.hot = [self.one(pool) for _ in range(count)]
        if self.chance(0.5):
            self.hot.append(self.one([entry for entry in pool if entry[1] in ("order", "payment")]))
        self.burst_head = self.model.head()
        plan, again = [], []
        for client in range(RACERS):
            streamed = self.chance(0.3)
            ones = []
            for _ in range(self.random.randrange(2, 7) if streamed else self.random.randrange(1, 4)):
                ones.append(self.plan_one(client, streamed, again))
            for index, one in enumerate(ones if streamed else ()):
                one.follows = [before for before in ones[:index] if named(before.request) & named(one.request)]
            plan.append(ones)
        self.hot = self.burst_head = None
        self.past += again
        return plan

    def plan_one(self, client, streamed, again):
        """`again` are requests of this race that may be sent once more, by whomever."""
        if again and self.chance(0.2):
            kind, build, request = self.one(again)
            if kind == "append" or not streamed:
                return Asked(client, "stream" if streamed else kind, build, request)
        if again and self.chance(0.12):
            made = self.make_overlap(again)
            if made is not None:
                return Asked(client, "stream" if streamed else "append", *made[1:])
        kind = "append" if streamed else self.random.choices(
            ("publish", "append", "save", "create", "get", "list", "snapshot", "latest snapshot"), (30, 25, 14, 5, 8, 3, 6, 3))[0]
        owned = [entry for entry in self.hot if self.pools[entry[1]].index(entry[0]) % RACERS == client]
        if kind.endswith("snapshot"):
            if not owned:  # snapshots have no positions: one client alone tells their order
                kind = "publish"
            else:
                return self.plan_snapshot(client, kind, self.one(owned)[0])
        if kind == "get":
            return Asked(client, kind, None, aggregate_service_pb2.GetAggregateRequest(id=self.aggregate()[0]))
        if kind == "list":
            return Asked(client, kind, None, event_service_pb2.ListEventsRequest(after_position=self.burst_head, page_size=1000))
        build, request = {"publish": self.make_publish, "save": self.make_save, "create": self.make_create,
                          "append": lambda: self.make_append(few=True)}[kind]()
        key = request.append_id if kind == "append" else request.idempotency_key
        events = request.events if kind == "append" else [request] if kind == "publish" else []
        if not request.validate_only and (key or events and repeatable("", events)):
            again.append((kind, build, request))
        return Asked(client, "stream" if streamed else kind, build, request)

    def plan_snapshot(self, client, kind, aggregate_id):
        if kind == "latest snapshot":
            return Asked(client, kind, None, snapshot_service_pb2.GetLatestSnapshotRequest(aggregate_id=aggregate_id))
        self.only = (aggregate_id, "")
        made = self.make_snapshot()
        self.only = None
        if made is None:
            return Asked(client, "get", None, aggregate_service_pb2.GetAggregateRequest(id=aggregate_id))
        request, asked = made
        if self.auto_snapshots and not request.HasField("version"):
            # What is right of the state now is wrong of the next, where the service may have taken one itself.
            request.ClearField("data")
            asked = (*asked[:2], None, asked[3])
        return Asked(client, kind, asked, request)

    # --- the race ---

    def run_race(self, plan):
        self.doing = "race"
        ticks, begin, failures = Ticks(), threading.Barrier(RACERS), []

        def run(client, ones):
            try:
                begin.wait()
                if ones[0].kind == "stream":
                    stream_all(client, ones, ticks)
                else:
                    ask_all(client, ones, ticks)
            except BaseException as failure:
                failures.append(failure)
        threads = [threading.Thread(target=run, args=pair) for pair in zip(self.racers, plan)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise Difference("race: %r\n%s" % (failures[0], told_race([one for ones in plan for one in ones])))

    # --- what came of it ---

    def settle_race(self, first, asked):
        for one in asked:
            if is_recorded(one):
                got = one.got
                one.position = (got.event.position if one.kind == "publish" else
                                got.position if one.kind in ("save", "create") else got.last_position)
        placed = [one for one in asked if not self.is_wrong_by_itself(one)]
        for one in placed:
            one.follows = [before for before in one.follows if before in placed]
        settle(placed, self.replay_recorded, self.is_explained)
        self.check_after(first)
        for one in asked:
            self.count("race " + one.kind, one.got.reason or one.got.code if is_failure(one) else
                       "replayed" if getattr(one.got, "replayed", False) else None)

    def is_wrong_by_itself(self, one):
        """Such a request is refused whatever is stored, and waits for none: it has no place in the order."""
        if one.kind not in ("publish", "append", "stream", "create"):
            return False
        expected = self.model.local_fault(one.build())
        if expected is not None and not (is_failure(one) and self.is_the_same_refusal(expected, one.got)):
            self.differ("race\n%s" % told(one), expected, one.got)
        return expected is not None

    def check_after(self, first):
        """What is stored, and where its aggregates stand."""
        request = event_service_pb2.ReadEventsRequest(after_position=first)
        got = [event for m in self.client.events.ReadEvents(request, timeout=120) for event in m.events]
        self.same("race: events after %d" % first, [e.position for e in self.model.log[first:]], [e.position for e in got])
        for event, shown in zip(self.model.log[first:], got):
            self.compare_event("race: events", event, shown)
        for aggregate_id in dict.fromkeys(event.aggregate_id for event in self.model.log[first:]):
            aggregate = self.model.aggregates[aggregate_id]
            request = aggregate_service_pb2.GetAggregateRequest(id=aggregate_id)
            self.model.settle(aggregate)
            self.compare_aggregate("race: aggregate", request, aggregate, aggregate.history[-1],
                                   self.ask(self.client.aggregates.GetAggregate, request, "race: aggregate"))

    def decide_asked(self, one, rehearse):
        """What the model says at this point; a rehearsal records nothing."""
        def build():
            append = one.build()
            append.validate_only = append.validate_only or rehearse
            return append
        return self.decide_save(build, one.request) if one.kind == "save" else self.model.decide(build())

    def compare_asked(self, one, expected):
        compare = {"publish": self.compare_publish, "append": self.compare_append, "stream": self.compare_append,
                   "save": self.compare_saved_reply, "create": self.compare_saved_reply}[one.kind]
        compare("race " + one.kind, one.request, expected, one.got)

    def replay_recorded(self, one):
        expected = self.decide_asked(one, rehearse=False)
        if isinstance(expected, Refused) or expected.replayed:
            self.differ("race: recorded at %d\n%s" % (one.position, told(one)), expected, one.got)
        self.compare_asked(one, expected)

    def is_explained(self, one):
        if one.kind == "list":
            one.said.append("head %d" % self.model.head())
            return not is_failure(one) and self.agrees(lambda: self.compare_list(one))
        if one.kind in ("get", "snapshot", "latest snapshot"):
            return self.is_explained_read(one)
        expected = self.decide_asked(one, rehearse=True)
        one.said.append(expected)
        if is_failure(one):
            return isinstance(expected, Refused) and self.is_the_same_refusal(expected, one.got) and (
                expected.reason != "CONDITION_FAILED" or self.names_a_match(one.build(), one.got))
        if isinstance(expected, Refused) or expected.replayed != one.got.replayed:
            return False
        if not expected.replayed:
            return self.agrees(lambda: self.compare_asked(one, expected))
        self.compare_asked(one, expected)  # a replay is the first answer at every point
        return True

    def compare_list(self, one):
        """Whole appends up to a head, and nothing that was not there yet."""
        expected = self.model.log[one.request.after_position:]
        self.same("race list", (self.model.head(), len(expected)), (one.got.head_position, len(one.got.events)))
        for event, shown in zip(expected, one.got.events):
            self.compare_event("race list", event, shown)

    def is_explained_read(self, one):
        aggregate_id = one.request.id if one.kind == "get" else one.request.aggregate_id
        aggregate = self.known(aggregate_id)
        kept = {v: dict(s) for v, s in aggregate.snapshots.items()} if aggregate is not None else None
        if one.kind == "get":
            expected = Refused("AGGREGATE_UNKNOWN") if aggregate is None else aggregate.history[-1]
            compare = lambda: self.compare_aggregate("race get", one.request, aggregate, expected, one.got)
        elif one.kind == "snapshot":
            expected = self.model.create_snapshot(*one.build)
            compare = lambda: self.compare_snapshot("race snapshot", one.request, aggregate, expected, one.got)
        else:
            expected = self.model.get_snapshot(aggregate_id, None, True)
            compare = lambda: self.compare_snapshot("race latest", one.request, aggregate, expected, one.got)
        one.said.append(expected)
        if is_failure(one):
            good = isinstance(expected, Refused) and self.is_the_same_refusal(expected, one.got)
        elif one.kind == "latest snapshot" and self.auto_snapshots:
            entry = aggregate.at_version(one.got.version) if aggregate is not None else None  # which ones is its own affair
            return entry is not None and one.got.state == STATES["VERIFIED"] and canonical(entry[1]) == canonical(
                one.got.data.decode())
        else:
            good = not isinstance(expected, Refused) and self.agrees(compare)
        if aggregate is not None and not good:
            aggregate.snapshots = kept
        return good

    @staticmethod
    def agrees(compare):
        try:
            compare()
        except Difference:
            return False
        return True


def ask_all(client, ones, ticks):
    calls = {"publish": client.events.PublishEvent, "append": client.events.AppendEvents,
             "save": client.aggregates.SaveAggregate, "create": client.aggregates.CreateAggregate,
             "get": client.aggregates.GetAggregate, "list": client.events.ListEvents, "snapshot": client.snapshots.CreateSnapshot,
             "latest snapshot": client.snapshots.GetLatestSnapshot}
    for one in ones:
        one.begun = ticks.now()
        try:
            one.got = calls[one.kind](one.request, timeout=120)
        except grpc.RpcError as error:
            one.got = Failure(error)
        one.ended = ticks.now()


def stream_all(client, ones, ticks):
    """All of them without waiting for an answer; the answers must come in their order."""
    def requests():
        for one in ones:
            one.begun = ticks.now()
            yield event_service_pb2.AppendStreamRequest(append=one.request)
    answers = [(answer, ticks.now()) for answer in client.events.AppendStream(requests(), timeout=120)]
    if [answer.sequence for answer, _ in answers] != list(range(1, len(ones) + 1)):
        raise Difference("a stream of %d requests was answered with\n%s" % (len(ones), answers))
    for one, (answer, ended) in zip(ones, answers):
        one.got = answer.appended if answer.HasField("appended") else StreamFailure(answer.error)
        one.ended = ended


def is_failure(one):
    return isinstance(one.got, (Failure, StreamFailure))


def is_recorded(one):
    return (one.kind in ("publish", "append", "stream", "save", "create") and not is_failure(one) and
            not one.request.validate_only and not one.got.replayed)


def named(request):
    """The aggregates that order the requests of one stream."""
    return {event.aggregate_id for event in request.events} | {about.aggregate_id for about in request.expectations}


# --- for the reader of a difference ---

def told(one):
    said = []
    for expected in map(str, one.said):
        if expected not in said:
            said.append(expected)
    return "client %d %s from %s to %s, points %s to %s, at %s\n  %s\n  → %s%s" % (
        one.client, one.kind, one.begun, one.ended, one.low, one.high, one.point,
        str(one.request).replace("\n", "\n  ").rstrip(), one.got if is_failure(one) else str(one.got).replace("\n", "\n    "),
        "".join("\n  | model %s" % expected for expected in said))


def told_race(asked):
    return "--- the race, by the times of sending\n" + "\n".join(
        told(one) for one in sorted(asked, key=lambda one: one.begun or 0))
