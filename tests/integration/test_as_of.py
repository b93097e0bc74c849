"""Reads of the past against a second account of it: every event, folded by tests/model/domain.py.

Clients say wrong things about states, snapshots come and go by themselves, the service is killed and started again, and
each read as of a version, a time, a position or with effective_at still is the replay of the events before it.

STRATA_TEST_READS  reads of the past (default 1,000)
STRATA_TEST_SEED   replays a run; the seed is printed first
"""

import json
import os
import random
import struct
import sys
import tempfile
import time
import unittest

ROOT = __file__.rsplit("/tests/", 1)[0]
sys.path[:0] = [ROOT + "/tests", ROOT + "/tests/model"]
from domain import Folded  # noqa: E402
from support.strata_rpc import (Client, Failure, aggregate_service_pb2, event_service_pb2, microseconds,  # noqa: E402
                                snapshot_service_pb2, system_service_pb2)
from support.strata_service import BINARY, Service, scaled  # noqa: E402
from tokens import canonical, write  # noqa: E402
import grpc  # noqa: E402

SEED = int(os.environ.get("STRATA_TEST_SEED") or random.randrange(1 << 32))
SHIFTED_CLOCK = BINARY.resolve().parents[2] / "tests/support/libstrata_shifted_clock.so"
READS = int(os.environ.get("STRATA_TEST_READS", scaled(1000, 150)))
WAIT_S = 120
ORDER = ("pending", "confirmed", "paid", "shipped", "delivered", "cancelled", "refunded")
PAYMENT = ("pending", "authorized", "completed", "failed", "refunded")
AGGREGATES = [("note-%d" % i, "custom") for i in range(4)] + [("order-%d" % i, "order") for i in range(3)] + [
    ("user-%d" % i, "user") for i in range(3)] + [("payment-%d" % i, "payment") for i in range(3)]
VERIFIED, PENDING, DIVERGENT = (snapshot_service_pb2.Snapshot.State.Value(s) for s in ("VERIFIED", "PENDING", "DIVERGENT"))


class Number(str):
    """A number as it was written."""


def tokens_of(text):
    """JSON text without escapes as tokens.py holds it."""
    def of(value):
        if isinstance(value, Number):
            return str(value)
        if isinstance(value, tuple):
            return {name: [json.dumps(name), of(inner)] for name, inner in value}
        return [of(inner) for inner in value] if isinstance(value, list) else json.dumps(value)
    return of(json.loads(text, parse_int=Number, parse_float=Number, object_pairs_hook=tuple) or ()) or {}


class Seen:
    """A stored event as Folded takes it."""

    def __init__(self, event):
        self.type, self.aggregate_id, self.aggregate_type = event.type, event.aggregate_id, event.aggregate_type
        self.version, self.position, self.timestamp_us = event.version, event.position, microseconds(event.timestamp)
        self.effective_us = microseconds(event.occurred_at) if event.HasField("occurred_at") else self.timestamp_us
        self.data_object = tokens_of(event.data) if event.data else {}
        self.metadata_object = tokens_of(event.metadata) if event.metadata else None


def attempt(call, request):
    try:
        return call(request, timeout=60)
    except grpc.RpcError as error:
        return Failure(error)


class Clock:
    """The wall clock of a service that runs with tests/support/shifted_clock.c."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="strata-clock-")
        self.shift_us = 0
        self.step(0)

    def step(self, step_us):
        self.shift_us += step_us
        os.pwrite(self.file.fileno(), struct.pack("<q", self.shift_us), 0)

    def now_us(self):
        return time.time_ns() // 1000 + self.shift_us

    def config(self):
        return {"LD_PRELOAD": str(SHIFTED_CLOCK), "SHIFTED_CLOCK": self.file.name}


class Past:
    def __init__(self, service, clock=None):
        self.service, self.random, self.clock = service, random.Random(SEED), clock
        self.client, self.events, self.of = None, [], {}
        self.connect()

    def connect(self):
        if self.client is not None:
            self.client.close()
        self.client = Client(self.service)

    def one(self, choices):
        return self.random.choice(choices)

    # --- the other account ---

    def learn(self, began_us=None):
        """`began_us`: the clock before an append that has been answered; what it recorded is as late, or a microsecond
        behind the append before it."""
        head = len(self.events)
        last_us = self.events[-1].timestamp_us if self.events else 0
        for message in self.client.events.ReadEvents(event_service_pb2.ReadEventsRequest(after_position=head), timeout=60):
            for event in message.events:
                seen = Seen(event)
                assert seen.position == len(self.events) + 1, seen.position
                assert not self.events or seen.timestamp_us >= self.events[-1].timestamp_us, seen.position
                if began_us is not None:
                    assert max(began_us, last_us + 1) <= seen.timestamp_us <= max(self.clock.now_us(), last_us + 1), (
                        seen.position, began_us, last_us, seen.timestamp_us)
                self.events.append(seen)
                self.of.setdefault(seen.aggregate_id, []).append(seen)

    def replay(self, aggregate_id, position=None, version=None, effective_us=None):
        folded = Folded()
        for event in self.of.get(aggregate_id, ()):
            if ((position is None or event.position <= position) and (version is None or event.version <= version) and
                    (effective_us is None or event.effective_us <= effective_us)):
                folded.apply(event)
        return folded

    # --- acting ---

    def act(self):
        aggregate_id, kind = self.one(AGGREGATES)
        pick = self.random.random()
        if self.clock is not None and self.random.random() < 0.1:
            self.clock.step(self.random.randrange(-1, 2) * self.random.randrange(self.one((1000, 5 * 10 ** 9))))
        if pick < 0.6:
            self.append(aggregate_id, kind)
        elif pick < 0.68:
            self.save(aggregate_id)
        elif pick < 0.9:
            self.claim(aggregate_id)
        else:
            self.client.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(id=AGGREGATES[0][0]), timeout=60)

    def append(self, aggregate_id, kind):
        first = aggregate_id not in self.of
        request = event_service_pb2.PublishEventRequest(aggregate_id=aggregate_id, aggregate_type=kind)
        number = self.random.randrange(1000)
        if kind == "custom":
            request.type, data = "custom", self.one(('{"n":%d}', '{"a":{"b":%d.50}}', '{"a":null,"m":%d}', '{"l":[%d,1e2]}')) % number
        elif kind == "order":
            request.type = "order_created" if first else "order_status_changed"
            data = '{"order_id":"%s"%s}' % (aggregate_id, "" if first else ',"new_status":"%s"' % self.one(ORDER))
        elif kind == "user":
            request.type = "user_created" if first else self.one(["user_updated"] * 20 + ["user_deleted"])
            data = '{"user_id":"%s","reason":"%d"}' % (aggregate_id, number)
        else:
            request.type = "payment_processed"
            data = '{"payment_id":"%s","amount":%d.10,"status":"%s"}' % (aggregate_id, number, self.one(PAYMENT))
        request.data = data.encode()
        if self.random.random() < 0.3:
            request.occurred_at.FromMicroseconds(int(time.time() * 1e6) + self.random.randrange(-5000000, 5000000))
        began_us = None if self.clock is None else self.clock.now_us()
        got = attempt(self.client.events.PublishEvent, request)
        assert not isinstance(got, Failure) or got.reason == "TRANSITION_REFUSED", (request, got)
        if isinstance(got, Failure) or kind not in ("order", "user"):
            self.learn(began_us)
            return
        # A wrong snapshot must not talk the check into anything: the status it followed is the replayed one.
        status = write(self.replay(aggregate_id).state.get("status", ["", '"pending"'])[1])
        self.learn(began_us)
        if kind == "order" and not first:
            moves = {"pending": ("confirmed", "cancelled"), "confirmed": ("paid", "cancelled"), "paid": ("shipped", "refunded"),
                     "shipped": ("delivered", "refunded"), "delivered": ("refunded",)}
            new = json.loads(data)["new_status"]
            assert new in moves.get(json.loads(status), ()), (aggregate_id, status, new)
        elif kind == "user":
            assert status != '"deleted"', aggregate_id

    def save(self, aggregate_id):
        request = aggregate_service_pb2.SaveAggregateRequest(id=aggregate_id, if_match="*")
        if self.random.random() < 0.5:
            request.set_metadata = b'{"by":"%d"}' % self.random.randrange(9)
        else:
            request.active = self.random.random() < 0.5
        got = attempt(self.client.aggregates.SaveAggregate, request)
        assert not isinstance(got, Failure) or got.reason == "AGGREGATE_UNKNOWN", got
        self.learn()

    def claim(self, aggregate_id):
        """What a client says of any version, mostly wrong: shown, and never believed."""
        if aggregate_id not in self.of:
            return
        head = self.of[aggregate_id][-1].version
        version = self.random.randrange(1, head + 8)
        data = self.one(('{"status":"paid"}', '{"status":"delivered","order_id":"x"}', '{"n":-1}', '{"status":"deleted"}', "{}",
                         write(self.replay(aggregate_id, version=version).state)))
        request = snapshot_service_pb2.CreateSnapshotRequest(aggregate_id=aggregate_id, version=version, data=data.encode())
        got = attempt(self.client.snapshots.CreateSnapshot, request)
        right = canonical(data) == canonical(write(self.replay(aggregate_id, version=version).state))
        if version > head:
            assert got.reason == "PENDING_TOO_MANY" if isinstance(got, Failure) else got.state == PENDING, got
        elif right:
            assert got.state == VERIFIED, (aggregate_id, version, data, got)
        elif isinstance(got, Failure):
            assert got.reason == "SNAPSHOT_EXISTS", got
        else:
            assert got.state == DIVERGENT and got.data == data.encode(), (aggregate_id, version, data, got)

    # --- looking ---

    def moment(self):
        event = self.one(self.events)
        near = self.one((event.timestamp_us, event.effective_us))
        return near + self.one((0, -1, 1, self.random.randrange(-3000000, 3000000)))

    def look(self):
        aggregate_id = self.one(list(self.of))
        request = aggregate_service_pb2.GetAggregateRequest(id=aggregate_id)
        bound, position = {}, 0
        way = self.random.randrange(4)
        if way == 0:
            request.as_of_version = bound["version"] = self.random.randrange(self.of[aggregate_id][-1].version + 1)
        elif way == 1:
            request.as_of_position = bound["position"] = position = self.random.randrange(1, len(self.events) + 1)
        elif way == 2:
            moment_us = self.moment()
            request.as_of_time.FromMicroseconds(moment_us)
            bound["position"] = position = sum(event.timestamp_us <= moment_us for event in self.events)
        if self.random.random() < 0.25:
            bound["effective_us"] = self.moment()
            request.effective_at.FromMicroseconds(bound["effective_us"])
        wanted = self.replay(aggregate_id, **bound)
        got = attempt(self.client.aggregates.GetAggregate, request)
        if not wanted.exists:
            assert isinstance(got, Failure) and got.reason == "AGGREGATE_UNKNOWN", (request, got)
            return
        if way == 0:
            position = wanted.last.position
        shown = (got if isinstance(got, Failure) else
                 (got.version, got.state.decode(), got.metadata.decode(), got.active, got.position, got.event_count,
                  microseconds(got.created_at), microseconds(got.updated_at), got.as_of_position))
        assert shown == (wanted.version, write(wanted.state), write(wanted.metadata) if wanted.metadata else "{}", wanted.active,
                         wanted.last.position, wanted.count, wanted.first.timestamp_us, wanted.last.timestamp_us, position), (
            "SEED %d: %s\nwanted %s %s at %d\ngot    %s" % (SEED, request, wanted.version, write(wanted.state), position, shown))

    def look_at_counts(self):
        """Kept counters, exact ones, and those of the other account."""
        by_type, of_type = {}, {}
        for event in self.events:
            by_type[event.type] = by_type.get(event.type, 0) + 1
        for own in self.of.values():
            of_type[own[0].aggregate_type] = of_type.get(own[0].aggregate_type, 0) + 1
        system = sum(count for name, count in by_type.items() if name[0] == "$")
        by_type = {name: count for name, count in by_type.items() if name[0] != "$"}
        for exact in (False, True):
            stats = self.client.system.GetStats(system_service_pb2.GetStatsRequest(exact=exact), timeout=60)
            shown = (stats.event_count, stats.system_event_count, stats.aggregate_count, stats.event_type_count,
                     dict(stats.events_by_type), dict(stats.aggregates_by_type))
            assert shown == (len(self.events) - system, system, len(self.of), len(by_type), by_type, of_type), (exact, shown)
        for aggregate_id, own in self.of.items():
            got = self.client.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(id=aggregate_id), timeout=60)
            assert got.event_count == len(own), aggregate_id

    def snapshots(self):
        page = self.client.snapshots.ListSnapshots(snapshot_service_pb2.ListSnapshotsRequest(page_size=1000), timeout=60)
        return list(page.snapshots), page.total_size

    def look_at_snapshots(self):
        """What is VERIFIED is what the events say."""
        found, total = self.snapshots()
        assert total == len(found), total
        for snapshot in found:
            if snapshot.state == VERIFIED:
                state = write(self.replay(snapshot.aggregate_id, version=snapshot.version).state)
                assert canonical(snapshot.data.decode()) == canonical(state), snapshot
            elif snapshot.state == PENDING:
                assert snapshot.version > self.of[snapshot.aggregate_id][-1].version, snapshot
        return found


class AsOf(unittest.TestCase):
    def test_reads_of_the_past_equal_a_replay(self):
        print("STRATA_TEST_SEED=%d STRATA_TEST_READS=%d" % (SEED, READS), flush=True)
        for engine in ("embedded", "memory"):
            with self.subTest(engine), Service(config={
                    "STRATA_DATABASE_EVENT_STORE": engine, "STRATA_SNAPSHOT_EVENTS": "5", "STRATA_SNAPSHOT_INTERVAL": "1s",
                    "STRATA_MAX_SNAPSHOTS": "60", "STRATA_CLEANUP_INTERVAL": "1s"}) as service:
                past = Past(service)
                past.append(*AGGREGATES[0])
                acts, reads = max(READS // 2, 60), READS // 2
                for i in range(acts):
                    past.act()
                    for _ in range(reads * i // acts - reads * (i - 1) // acts if i else 0):
                        past.look()
                    if engine == "embedded" and i in (acts // 3, acts * 2 // 3):
                        kept = {(s.aggregate_id, s.version, s.state) for s in past.snapshots()[0] if s.state != VERIFIED}
                        service.kill()
                        service.start()
                        past.connect()
                        again = {(s.aggregate_id, s.version, s.state) for s in past.snapshots()[0] if s.state != VERIFIED}
                        self.assertTrue(kept <= again | {k for k in kept if k[2] == DIVERGENT}, kept - again)
                        past.look_at_counts()
                past.look_at_counts()
                past.look_at_snapshots()
                past.client.close()

    @unittest.skipUnless(SHIFTED_CLOCK.exists(), "no clock to be stepped beside sanitizers")
    def test_a_clock_that_steps_changes_no_past(self):
        """Back and forth by up to 83 minutes, also while the service is down."""
        clock = Clock()
        with Service(config={"STRATA_SNAPSHOT_EVENTS": "5", "STRATA_SNAPSHOT_INTERVAL": "1s", "STRATA_CLEANUP_INTERVAL": "1s",
                             **clock.config()}) as service:
            past = Past(service, clock)
            past.append(*AGGREGATES[0])
            acts, reads = max(READS // 4, 60), READS // 4
            for i in range(acts):
                past.act()
                if i == acts // 2:
                    service.kill()
                    clock.step(-3 * 3600 * 10 ** 6)
                    service.start()
                    past.connect()
                for _ in range(reads * (i + 1) // acts - reads * i // acts):
                    past.look()
            past.look_at_counts()
            past.look_at_snapshots()
            past.client.close()

    def test_clients_snapshots_ahead_outlive_max_snapshots(self):
        """Whatever the engine: only the service knows which ones may go."""
        for engine in ("embedded", "memory"):
            with self.subTest(engine), Service(config={
                    "STRATA_DATABASE_EVENT_STORE": engine, "STRATA_SNAPSHOT_EVENTS": "0", "STRATA_MAX_SNAPSHOTS": "3"}) as service:
                with Client(service) as client:
                    for i in range(8):
                        client.events.PublishEvent(event_service_pb2.PublishEventRequest(
                            type="custom", aggregate_id="a%d" % i, aggregate_type="custom", data=b'{"n":1}'))
                        client.snapshots.CreateSnapshot(snapshot_service_pb2.CreateSnapshotRequest(
                            aggregate_id="a%d" % i, version=None if i > 3 else 9, data=b'{"n":1}'))
                    deadline = time.monotonic() + WAIT_S
                    while time.monotonic() < deadline:
                        found = client.snapshots.ListSnapshots(snapshot_service_pb2.ListSnapshotsRequest()).snapshots
                        if len(found) == 4:
                            break
                    self.assertEqual([(s.aggregate_id, s.state) for s in found], [("a%d" % i, PENDING) for i in range(4)])

    def test_the_cleanup_runs_by_itself_and_removes_no_event(self):
        with Service(config={"STRATA_SNAPSHOT_EVENTS": "0", "STRATA_CLEANUP_INTERVAL": "100ms"}) as service:
            with Client(service) as client:
                for i in range(1, 6):
                    client.events.PublishEvent(event_service_pb2.PublishEventRequest(
                        type="custom", aggregate_id="a", aggregate_type="custom", data=b'{"n":%d}' % i))
                    client.snapshots.CreateSnapshot(snapshot_service_pb2.CreateSnapshotRequest(aggregate_id="a"))
                deadline = time.monotonic() + WAIT_S
                while time.monotonic() < deadline:
                    stats = client.system.GetStats(system_service_pb2.GetStatsRequest())
                    if stats.snapshot_count == 1:
                        break
                self.assertEqual(client.snapshots.GetLatestSnapshot(
                    snapshot_service_pb2.GetLatestSnapshotRequest(aggregate_id="a")).version, 5)
                self.assertEqual(stats.event_count, 5)

    # RFC 7396, appendix A, as events of a custom aggregate: those whose target and patch are objects.
    RFC_7396 = (
        ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'), ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
        ('{"a":"b"}', '{"a":null}', "{}"), ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
        ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'), ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
        ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'), ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
        # A member that is null is absent in a state: the RFC's target {"e":null} is {} here.
        ('{"e":null}', '{"a":1}', '{"a":1}'), ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'))

    def test_merge_patches_are_those_of_rfc_7396(self):
        with Service(config={"STRATA_DATABASE_EVENT_STORE": "memory"}) as service:
            for i, (target, patch, result) in enumerate(self.RFC_7396):
                for data in (target, patch):
                    status, _, answer = service.request("POST", "/api/v1/events/publish", {
                        "type": "custom", "aggregate_id": "a%d" % i, "aggregate_type": "custom", "data": json.loads(data)})
                    self.assertEqual(status, 201, answer)
                _, _, got = service.request("GET", "/api/v1/aggregates/a%d" % i)
                self.assertEqual(json.dumps(got["state"], separators=(",", ":")), result)
            for patch in ('["c"]', "null", '"bar"'):  # and the rest of them is refused: an event's data is an object
                status, _, answer = service.request("POST", "/api/v1/events/publish", (
                    '{"type":"custom","aggregate_id":"a0","data":{},"metadata":%s}' % patch).encode())
                self.assertEqual(status, 201 if patch == "null" else 400, answer)

    def test_numbers_are_compared_as_exact_decimals(self):
        """As the data of a snapshot with the state, each pair judged by integers of any size."""
        chance = random.Random(SEED)
        pairs = [("1", "1.0"), ("1e400", "10e399"), ("-0", "0"), ("0.1", "0.10000000000000000555"), ("9007199254740993", "9007199254740992"),
                 ("1e" + "9" * 997, "10e" + "9" * 996 + "8"), ("1e-" + "9" * 995, "0.1e-" + "9" * 994 + "8"), ("0e" + "9" * 998, "-0.0"),
                 ("1" + "0" * 999, "1e999"), ("0." + "0" * 997 + "1", "1e-998"), ("1E400", "1E+0400"), ("5e-324", "4.9e-324")]
        for _ in range(scaled(150, 30)):
            number = spelled(chance, chance.randrange(-9999, 10000), chance.randrange(-30, 30))
            value = exact(number)
            pairs.append((number, spelled(chance, *value) if chance.random() < 0.6 else
                          spelled(chance, value[0] + chance.choice((-1, 1)), value[1])))
        with Service(config={"STRATA_DATABASE_EVENT_STORE": "memory", "STRATA_SNAPSHOT_EVENTS": "0"}) as service:
            with Client(service) as client:
                for version, (a, b) in enumerate(pairs, 1):
                    client.events.PublishEvent(event_service_pb2.PublishEventRequest(
                        type="custom", aggregate_id="a", aggregate_type="custom", data=b'{"n":%s}' % a.encode()))
                    got = client.snapshots.CreateSnapshot(snapshot_service_pb2.CreateSnapshotRequest(
                        aggregate_id="a", version=version, data=b'{"n":%s}' % b.encode()))
                    self.assertEqual(got.state, VERIFIED if exact(a) == exact(b) else DIVERGENT, "SEED %d: %s and %s" % (SEED, a, b))


def exact(token):
    """A number as (digits, exponent), where digits has no trailing zero."""
    mantissa, _, exponent = token.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    sys.set_int_max_str_digits(0)
    digits, exponent = int(whole + fraction) if whole != "-" else 0, int(exponent or "0") - len(fraction)
    while digits and digits % 10 == 0:
        digits, exponent = digits // 10, exponent + 1
    return (digits, exponent) if digits else (0, 0)


def spelled(chance, digits, exponent):
    """digits × 10^exponent in one of its many spellings."""
    zeros = chance.randrange(5)
    text, exponent = str(abs(digits)) + "0" * zeros, exponent - zeros
    point = chance.randrange(1, len(text) + 1) if digits else 1
    whole, fraction = text[:point], text[point:]
    exponent += len(fraction)
    sign = "-" if digits < 0 else ""
    tail = "" if exponent == 0 and chance.random() < 0.5 else "%s%s%d" % (
        chance.choice("eE"), chance.choice(("", "+", "+00")) if exponent >= 0 else "", exponent)
    return sign + whole + ("." + fraction if fraction else "") + tail


if __name__ == "__main__":
    unittest.main()
