"""Random operations against a running service, each compared with the model.

One world is one service, one model and one sequence of operations that follows from the seed alone: nothing random
depends on what the service answers, so a seed replays.
"""

import json
import random
import re

import grpc

from model import (ACTIVATED, CREATED, DEACTIVATED, METADATA_CHANGED, ORDER_MOVES, PAYMENT_MOVES, REPLACED, Append, Event,
                   Expectation, Folded, Item, Refused, Stored, canonical, content, member, without_nulls, write)
from support.strata_rpc import (Client, Failure, aggregate_service_pb2, event_pb2, event_service_pb2, microseconds,
                                snapshot_service_pb2, system_service_pb2)

EPOCH_OPERATIONS = 700
STATES = {"VERIFIED": 1, "PENDING": 2, "DIVERGENT": 3}


class Difference(AssertionError):
    pass


class World:
    def __init__(self, service, seed, model, auto_snapshots=False, extra_event_types=(), extra_aggregate_types=()):
        self.service, self.model = service, model
        self.auto_snapshots = auto_snapshots
        self.extra_event_types, self.extra_aggregate_types = extra_event_types, extra_aggregate_types
        self.random = random.Random(seed)
        self.client = None
        self.operations = 0
        self.outcomes = {}
        self.names = 0
        self.epoch = -1
        self.pools = {}
        self.past = []  # requests that may be sent again: (what, builder of the request)
        self.doing = ""
        self.only = None        # the one aggregate that a hot burst is about
        self.burst_head = None  # position at which the burst that is being made began
        self.connect()
        self.hub()
        self.choices = [
            (30, self.publish), (25, self.append), (2, self.burst), (2, self.hot_burst), (2, self.loose_burst), (8, self.retry),
            (4, self.overlap), (6, self.create), (14, self.save), (10, self.get), (6, self.get_past),
            (8, self.create_snapshot), (5, self.read_snapshot), (1, self.list_snapshots), (1, self.list_aggregates),
            (3, self.list_events), (1, self.read_events), (3, self.get_event), (4, self.invalid)]
        self.weights = [weight for weight, _ in self.choices]
        self.steps = [step for _, step in self.choices]

    def connect(self):
        if self.client is not None:
            self.client.close()
        self.client = Client(self.service)

    def run(self, operations):
        while self.operations < operations:
            if self.operations // EPOCH_OPERATIONS != self.epoch:
                self.new_epoch()
            self.random.choices(self.steps, self.weights)[0]()

    # --- names and values ---

    def new_epoch(self):
        self.epoch = self.operations // EPOCH_OPERATIONS
        e = self.epoch
        kinds = {"user": 6, "order": 6, "payment": 5, "custom": 6, **{t: 3 for t in self.extra_aggregate_types}}
        self.pools = {kind: ["%s-%d/%d%s" % (kind, e, n, "é" * (n % 2)) for n in range(count)] for kind, count in kinds.items()}
        self.kinds = list(self.pools)
        self.tags = ["t%d:%d" % (e, n) for n in range(6)]
        self.correlations = ["c%d-%d" % (e, n) for n in range(6)]
        self.past = self.past[-200:]

    def one(self, items):
        return items[self.random.randrange(len(items))]

    def chance(self, probability):
        return self.random.random() < probability

    def name(self, what):
        self.names += 1
        return "%s-%d" % (what, self.names)

    def aggregate(self):
        """(id, the type it should have)."""
        if self.only is not None:
            return self.only
        kind = self.one(self.kinds)
        return self.one(self.pools[kind]), kind

    def known(self, aggregate_id):
        return self.model.aggregates.get(aggregate_id)

    def number(self):
        return self.one(("0", "1", "-7", "10.10", "1e3", "12345678901234567890.123456789", "0.5", "-0", "99.990",
                         str(self.random.randrange(1000))))

    def string(self):
        return self.one(('""', '"a"', '"with \\"quotes\\""', '"\\u00e9\\/"', '"é €"', '"x y"', '"%d"' % self.random.randrange(50),
                         '"john@example.com"'))

    def value(self, depth=0):
        pick = self.random.randrange(12 if depth < 3 else 8)
        if pick < 3:
            return self.number()
        if pick < 6:
            return self.string()
        if pick < 8:
            return self.one(("true", "false", "null"))
        if pick < 10:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return self.object(depth + 1)

    NAMES = (("a", '"a"'), ("b", '"b"'), ("c", '"c"'), ("a", '"\\u0061"'), ("note", '"note"'), ("é", '"é"'),
             ("nested", '"nested"'), ("amount", '"amount"'), ("", '""'), ("status", '"status"'))

    def object(self, depth=0, count=4):
        made = {}
        for _ in range(self.random.randrange(count + 1)):
            name, token = self.one(self.NAMES)
            made[name] = [token, self.value(depth)]
        return made

    def text(self, value):
        """JSON with white space here and there, which must not matter."""
        if self.chance(0.7):
            return write(value).encode()
        if type(value) is str:
            return value.encode()
        space = self.one((b"", b" ", b"\n  ", b"\t"))
        if type(value) is dict:
            return b"{" + space + (b"," + space).join(
                token.encode() + space + b":" + space + self.text(inner) for token, inner in value.values()) + b"}"
        return b"[" + space + (space + b",").join(self.text(inner) for inner in value) + b"]"

    # --- events ---

    def status(self, moves, aggregate_id):
        """Mostly a legal next status, mostly one that is not the end."""
        known = self.known(aggregate_id)
        now = content(member(known.now.state, "status")) if known is not None else None
        legal = list(moves.get(now or "pending", ())) or list(moves)
        choice = self.one(legal if self.chance(0.85) else list(moves))
        if not moves[choice] and self.chance(0.6):
            choice = self.one(legal)
        return '"%s"' % choice

    def payload(self, event_type, aggregate_id):
        m = {}

        def put(name, value, probability=1.0):
            if self.chance(probability):
                m[name] = [json.dumps(name), value]
        own = json.dumps(aggregate_id, ensure_ascii=False)
        if event_type in ("user_created", "user_updated", "user_deleted"):
            put("user_id", own, 1 if event_type == "user_created" else 0.3)
            if event_type == "user_deleted":
                put("reason", self.string(), 0.5)
                return m
            for name in ("email", "name", "first_name", "last_name", "role"):
                put(name, self.one((self.string(), "null")), 0.4)
            if event_type == "user_updated" and self.chance(0.5):
                changes = []
                for _ in range(self.random.randrange(4)):
                    change = {"field": ['"field"', self.one(('"email"', '"role"', '"n\\u006fte"', '"x.y"', '"nested"'))]}
                    if self.chance(0.8):
                        change["new_value"] = ['"new_value"', self.value()]
                    if self.chance(0.3):
                        change["old_value"] = ['"old_value"', self.value()]
                    changes.append(change)
                put("changes", changes)
        elif event_type == "order_created":
            put("order_id", own)
            put("items", [{"product_id": ['"product_id"', self.string()], "quantity": ['"quantity"', self.one(("1", "3"))],
                           "unit_price": ['"unit_price"', self.one(('"9.99"', "10.10"))]} for _ in range(self.random.randrange(3))], 0.6)
            put("total_amount", self.one(("10.10", '"20.50"', "0")), 0.7)
            put("currency", self.one(('"EUR"', '"USD"', "null")), 0.5)
            put("status", self.status(ORDER_MOVES, aggregate_id), 0.3)
        elif event_type == "order_status_changed":
            put("old_status", self.status(ORDER_MOVES, aggregate_id), 0.15)
            put("new_status", self.status(ORDER_MOVES, aggregate_id))
        elif event_type == "payment_processed":
            put("payment_id", own)
            put("amount", self.one(("10.10", '"20.50"', "1e2")), 0.7)
            put("currency", '"EUR"', 0.4)
            put("status", self.status(PAYMENT_MOVES, aggregate_id), 0.7)
        else:
            return self.object(count=6)
        if self.chance(0.1 if self.model.strict else 0.3):
            put("note", self.value())
        if self.chance(0.03):  # a fault of shape
            put(self.one(list(m) or ["x"]), self.one(("true", "17", "[1]", '"nothing"', "{}" and "1.5")))
        return m

    def event(self, aggregate_id=None, kind=None, with_id=False):
        """(Event for the model, NewEvent for the service)."""
        if aggregate_id is None:
            aggregate_id, kind = self.aggregate()
        if self.known(aggregate_id) is None or self.chance(0.1):
            own = {"user": "user_created", "order": "order_created", "payment": "payment_processed"}
        else:
            own = {"user": "user_updated", "order": "order_status_changed", "payment": "payment_processed"}
        event_type = own.get(kind, "custom")
        if self.chance(0.35):
            event_type = self.one(("custom",) + tuple(self.extra_event_types))
        if self.chance(0.03):
            event_type = self.one(("user_created", "order_created", "payment_processed", "user_deleted"))
        known = self.known(aggregate_id)
        given_type = kind
        if known is not None and self.chance(0.4):
            given_type = ""
        elif self.chance(0.02):
            given_type = self.one(self.kinds + ["", "custom"])
        fields = {"type": event_type, "aggregate_id": aggregate_id, "given_type": given_type}
        if with_id:
            fields["id"] = self.name("event")
        if self.chance(0.2):
            fields["tags"] = [self.one(self.tags) for _ in range(self.random.randrange(1, 4))]
        if self.chance(0.2):
            fields["correlation_id"] = self.one(self.correlations)
        if self.chance(0.1):
            fields["causation_id"] = self.one(self.correlations)
        if self.chance(0.1):
            fields["schema_version"] = self.random.randrange(4)
        if self.chance(0.1):
            fields["subject"] = self.one(self.correlations)
        if self.chance(0.1):
            fields["occurred_at"] = 1700000000000000 + self.random.randrange(1 << 40)
        if self.chance(0.25):
            metadata = self.object(count=3)
            if self.chance(0.3):
                metadata["correlation_id"] = ['"correlation_id"', json.dumps(self.one(self.correlations))]
            fields["metadata_object"] = metadata
        if event_type not in ("custom", "user_updated") or not self.chance(0.03):
            fields["data_object"] = self.payload(event_type, aggregate_id)
            if self.chance(0.02):
                fields["content_type"] = "application/json"
            if self.model.limits.event_bytes < 10000 and self.chance(0.01):
                fields["data_object"]["big"] = ['"big"', '"%s"' % ("x" * self.model.limits.event_bytes)]
        else:
            fields["content_type"], fields["data"] = "text/plain", "opaque %d" % self.random.randrange(9)
        return self.pair(fields)

    def pair(self, fields):
        event = Event(**fields)
        new = event_pb2.NewEvent(
            id=event.id, type=event.type, aggregate_id=event.aggregate_id, aggregate_type=event.given_type,
            correlation_id=fields.get("correlation_id", ""), causation_id=fields.get("causation_id", ""),
            content_type=fields.get("content_type", ""), schema_version=event.schema_version,
            tags=fields.get("tags", ()), subject=event.subject)
        if event.occurred_at is not None:
            new.occurred_at.FromMicroseconds(event.occurred_at)
        new.data = event.data.encode() if event.content_type else self.text(event.data_object) if fields.get(
            "data_object") or self.chance(0.5) else b""
        if event.metadata_object is not None:
            new.metadata = self.text(event.metadata_object)
        return event, new

    # --- asking and comparing ---

    def count(self, what, outcome=None):
        self.operations += 1
        key = "%s %s" % (what, "ok" if outcome is None else outcome)
        self.outcomes[key] = self.outcomes.get(key, 0) + 1

    def differ(self, what, expected, got):
        raise Difference("operation %d, %s\n--- the model says\n%s\n--- the service says\n%s" % (
            self.operations, what, expected, got))

    def ask(self, call, request, what):
        """The reply, or the Failure."""
        self.doing = what
        try:
            return call(request, timeout=120)
        except grpc.RpcError as error:
            return Failure(error)

    def same(self, what, expected, got):
        if expected != got:
            self.differ(what, expected, got)

    def compare_refusal(self, what, request, expected, got, local=False):
        """True when both refuse, and alike."""
        failed = isinstance(got, Failure)
        if isinstance(expected, Refused) != failed:
            self.differ("%s\n%s" % (what, request), expected, got)
        if not failed:
            return False
        if (got.code, got.reason) != (expected.code, expected.reason):
            self.differ("%s\n%s" % (what, request), expected, got)
        if expected.reason in ("VERSION_CONFLICT", "IF_MATCH_FAILED", "AGGREGATE_EXISTS"):
            facts = {name: str(version) for name, version in (("expected_version", expected.expected),
                                                              ("current_version", expected.current)) if version is not None}
            self.same("%s: facts\n%s" % (what, request), facts, got.facts)
        return True

    def compare_event(self, what, event, got):
        times = (microseconds(got.timestamp), microseconds(got.occurred_at) if got.HasField("occurred_at") else None)
        expected = (event.id or got.id, event.type, event.aggregate_id, event.aggregate_type, event.version, event.position,
                    event.correlation_id, event.causation_id, event.content_type, event.schema_version, list(event.tags),
                    event.subject, event.occurred_at, event.append.append_id or event.append.events[0].id or got.append_id,
                    event.index, len(event.append.events), event.data.encode(), event.metadata.encode(), "anonymous",
                    event.append.timestamp_us or times[0])
        given = (got.id, got.type, got.aggregate_id, got.aggregate_type, got.version, got.position, got.correlation_id,
                 got.causation_id, got.content_type, got.schema_version, list(got.tags), got.subject, times[1], got.append_id,
                 got.append_index, got.append_count, got.data, got.metadata, got.actor, times[0])
        self.same(what, expected, given)

    def check_time(self, stored, timestamp_us, what):
        """Of a replay the first one's; else later than the append before."""
        if stored.replayed:
            self.same(what + ": time of a replay", stored.recorded_us(), timestamp_us)
            return
        before = stored.events[0].position - 2
        earlier = self.model.log[before].append.timestamp_us if 0 <= before < len(self.model.log) else None
        if earlier is not None and timestamp_us <= earlier:
            self.differ(what, "a time after %d" % earlier, timestamp_us)
        stored.timestamp_us = timestamp_us

    def adopt(self, stored, timestamp_us, ids, what):
        self.check_time(stored, timestamp_us, what)
        if stored.replayed:
            return
        if len(set(ids)) != len(ids):
            self.differ(what, "ids that differ", ids)
        position = stored.events[0].position
        if position <= len(self.model.log) and self.model.log[position - 1] is stored.events[0]:  # not only validated
            self.model.adopt(stored, timestamp_us, ids)

    def compare_append(self, what, request, expected, reply):
        """An AppendEventsResponse that says yes."""
        self.same("%s: replayed\n%s" % (what, request), expected.replayed, reply.replayed)
        first, last = expected.events[0], expected.events[-1]
        got = (reply.first_position, reply.last_position, [(h.aggregate_id, h.version, h.position) for h in reply.heads])
        self.same("%s\n%s" % (what, request), (first.position, last.position, [
            (e.aggregate_id, e.version, e.position) for e in expected.heads()]), got)
        ids = list(reply.event_ids)
        self.same("%s: ids\n%s" % (what, request), [e.id or i for e, i in zip(expected.events, ids)], ids)
        self.same("%s: append_id\n%s" % (what, request), expected.append_id or ids[0], reply.append_id)
        self.adopt(expected, microseconds(reply.timestamp), ids, what)
        for event, shown in zip(expected.events, reply.events):
            self.compare_event(what + ": shown", event, shown)

    def compare_aggregate(self, what, request, aggregate, entry, got, replayed=False, as_of=0, with_state=True):
        event, state, metadata, active, count = entry
        expected = (aggregate.id, event.aggregate_type, event.version, state if with_state else "", active, metadata, event.position,
                    count, '"%d"' % event.version, replayed, as_of, aggregate.history[0][0].append.timestamp_us,
                    event.append.timestamp_us)
        given = (got.id, got.type, got.version, got.state.decode(), got.active, got.metadata.decode(), got.position,
                 got.event_count, got.etag if with_state else '"%d"' % event.version, got.replayed, got.as_of_position,
                 microseconds(got.created_at), microseconds(got.updated_at))
        self.same("%s\n%s" % (what, request), expected, given)

    # --- appending ---

    def expectation(self, aggregate_id):
        """(Expectation, its message)."""
        known = self.known(aggregate_id)
        version = known.now.version if known is not None else 0
        kind = self.one(("version", "version", "exist", "not_exist"))
        if kind == "version":
            version = version if self.chance(0.75) else max(0, version + self.one((-1, 1, 5)))
            return Expectation(aggregate_id, kind, version), event_pb2.Expectation(aggregate_id=aggregate_id, be_at_version=version)
        if self.chance(0.7):
            kind = "not_exist" if known is None else "exist"
        return Expectation(aggregate_id, kind), event_pb2.Expectation(aggregate_id=aggregate_id, **{kind: True})

    def condition(self):
        """(items, after_position, its message)."""
        items = []
        for _ in range(self.random.randrange(1, 3)):
            fields = {}
            if self.chance(0.4):
                fields["tags"] = [self.one(self.tags) for _ in range(self.random.randrange(1, 3))]
            if self.chance(0.3):
                fields["correlation_id"] = self.one(self.correlations)
            if self.chance(0.4) or not fields:
                fields["aggregate_ids"] = [self.aggregate()[0] for _ in range(self.random.randrange(1, 3))]
            if self.chance(0.3):
                fields["types"] = [self.one(("custom", "user_updated", "$state_replaced", "payment_processed"))]
            if self.chance(0.1):
                fields["aggregate_types"] = [self.one(self.kinds)]
            items.append(fields)
        head = self.model.head()
        after = self.one((None, head, head, head, max(0, head - self.random.randrange(60))))
        if self.burst_head is not None and self.chance(0.7):
            after = self.burst_head  # what the burst itself has appended since may match
        message = event_pb2.AppendCondition(fail_if_match=event_pb2.EventQuery(
            items=[event_pb2.QueryItem(**fields) for fields in items]))
        if after is not None:
            message.after_position = after
        return [Item(**fields) for fields in items], after or 0, message

    def make_append(self, conditions=True, few=False):
        """(builder of the model's Append, AppendEventsRequest)."""
        count = self.one((1, 1, 2, 3, 5)) if not few else self.one((1, 1, 2))
        how = self.random.randrange(4)  # 0 server ids, 1 key, 2 and 3 ids
        pairs = []
        aggregate_id, kind = self.aggregate()
        for _ in range(count):
            if not self.chance(0.6):
                aggregate_id, kind = self.aggregate()
            pairs.append(self.event(aggregate_id, kind, with_id=how >= 2))
        request = event_service_pb2.AppendEventsRequest(events=[new for _, new in pairs])
        if how == 1:
            request.append_id = self.name("key")
        expectations = []
        if self.chance(0.3):
            about = dict.fromkeys(([aggregate_id] if self.chance(0.8) else []) + [
                self.aggregate()[0] for _ in range(self.random.randrange(2))])
            for name in about:
                expected, message = self.expectation(name)
                expectations.append(expected)
                request.expectations.append(message)
        items, after = None, 0
        if conditions and self.chance(0.12 if self.burst_head is None else 0.3):
            items, after, message = self.condition()
            request.condition.CopyFrom(message)
        if conditions and self.chance(0.03):
            request.validate_only = True
        events = [event for event, _ in pairs]

        def build():
            return Append([clone(e) for e in events], request.append_id, expectations, items, after, request.validate_only)
        return build, request

    def append(self):
        build, request = self.make_append()
        self.send_append("append", build, request)

    def send_append(self, what, build, request):
        expected = self.model.decide(build())
        got = self.ask(self.client.events.AppendEvents, request, what)
        if not self.compare_refusal(what, request, expected, got):
            self.compare_append(what, request, expected, got)
        self.count(what, outcome_name(expected))
        if not request.validate_only and repeatable(request.append_id, request.events):
            self.past.append(("append", build, request))
        return expected

    def make_publish(self):
        aggregate_id, kind = self.aggregate()
        how = self.random.randrange(4)
        event, new = self.event(aggregate_id, kind, with_id=how == 2)
        request = event_service_pb2.PublishEventRequest()
        request.ParseFromString(new.SerializeToString())
        if how == 1:
            request.idempotency_key = self.name("key")
        expectations = []
        if self.chance(0.35):
            known = self.known(aggregate_id)
            version = known.now.version if known is not None else 0
            version = version if self.chance(0.75) else max(0, version + self.one((-1, 1, 9)))
            way = self.random.randrange(3)
            if way != 1:
                request.version = version + 1
            if way != 0:
                request.expected_version = version
            expectations = [Expectation(aggregate_id, "version", version)]
        if self.chance(0.03):
            request.validate_only = True

        def build():
            return Append([clone(event)], request.idempotency_key, expectations, validate_only=request.validate_only)
        return build, request

    def publish(self):
        build, request = self.make_publish()
        self.send_publish("publish", build, request)

    def send_publish(self, what, build, request):
        expected = self.model.decide(build())
        got = self.ask(self.client.events.PublishEvent, request, what)
        if not self.compare_refusal(what, request, expected, got):
            self.same(what + ": replayed", expected.replayed, got.replayed)
            stamp = microseconds(got.event.timestamp)
            self.compare_event("%s\n%s" % (what, request), expected.events[0], got.event)
            self.adopt(expected, stamp, [got.event.id], what)
        self.count(what, outcome_name(expected))
        if not request.validate_only and (request.id or request.idempotency_key):
            self.past.append(("publish", build, request))

    def retry(self):
        """Something that was sent before, exactly or nearly so."""
        if not self.past:
            return
        kind, build, request = self.past[-1 - min(int(self.random.expovariate(0.1)), len(self.past) - 1)]
        if kind == "publish":
            self.send_publish("retry publish", build, request)
        elif kind == "append":
            self.send_append("retry append", build, request)
        elif kind == "save":
            self.send_save("retry save", build, request)
        else:
            self.send_create("retry create", build, request)

    def overlap(self):
        """Ids that are used, with other content, in part, in another order, or among new ones."""
        used = [entry for entry in self.past if entry[0] == "append" and not entry[2].append_id]
        keyed = [entry for entry in self.past if entry[0] == "append" and entry[2].append_id]
        if not used or not keyed:
            return
        way = self.random.randrange(5)
        _, build, request = self.one(keyed if way == 4 else used)
        events = build().events
        changed = event_service_pb2.AppendEventsRequest()
        changed.CopyFrom(request)
        if way == 0:  # other content: one field of one event
            event, new = self.one(list(zip(events, changed.events)))
            field = self.one(("data", "metadata", "subject", "tags", "correlation_id", "causation_id", "schema_version",
                              "occurred_at"))
            if field == "data":
                event.data_object, event.data, event.content_type = {"z": ['"z"', "1"]}, '{"z":1}', ""
                new.data, new.content_type = b'{"z":1}', ""
            elif field == "metadata":
                event.metadata, new.metadata = '{"z":1}', b'{"z":1}'
                event.metadata_object = {"z": ['"z"', "1"]}
            elif field == "tags":
                event.tags += ("another",)
                new.tags.append("another")
            elif field == "schema_version":
                event.schema_version = new.schema_version = event.schema_version + 1
            elif field == "occurred_at":
                event.occurred_at = (event.occurred_at or 0) + 1
                new.occurred_at.FromMicroseconds(event.occurred_at)
            else:
                setattr(event, field, "another")
                setattr(new, field, "another")
        elif way == 1:  # a part
            events = events[:1]
            del changed.events[1:]
        elif way == 2:  # the other way round
            events.reverse()
            reverse = list(changed.events)[::-1]
            del changed.events[:]
            changed.events.extend(reverse)
        elif way == 3:  # a new one before
            event, new = self.event(with_id=True)
            events.insert(0, event)
            rest = list(changed.events)
            del changed.events[:]
            changed.events.extend([new] + rest)
        else:  # the same key for more
            event, new = self.event()
            events.append(event)
            changed.events.append(new)
        expectations = build().expectations

        def again():
            return Append([clone(e) for e in events], changed.append_id, expectations, build().items, build().after_position)
        expected = self.model.decide(again())
        got = self.ask(self.client.events.AppendEvents, changed, "overlap")
        if not self.compare_refusal("overlap %d" % way, changed, expected, got):
            self.compare_append("overlap %d" % way, changed, expected, got)
        self.count("overlap", outcome_name(expected))

    # --- many at once over one stream ---

    def hub(self):
        """An aggregate that ordered bursts name, so that all of them run in their order."""
        event, new = self.pair({"type": "custom", "aggregate_id": "hub", "given_type": "custom"})
        self.send_append("hub", lambda: Append([event]), event_service_pb2.AppendEventsRequest(events=[new]))

    def burst(self):
        """Pipelined appends that share an aggregate: decided in order, many in one batch."""
        hub = Expectation("hub", "exist")
        self.ordered_burst("burst", lambda build, request: (
            request.expectations.append(event_pb2.Expectation(aggregate_id="hub", exist=True)), with_expectation(build, hub))[1])

    def hot_burst(self):
        """Pipelined appends to one aggregate."""
        self.only = self.aggregate()
        self.ordered_burst("hot burst", lambda build, request: build)
        self.only = None

    def ordered_burst(self, what, bind):
        asked = []
        recent = []
        self.burst_head = self.model.head()
        for _ in range(self.random.randrange(5, 40)):
            if recent and self.chance(0.15):
                build, request = self.one(recent)  # a retry that may overtake the answer
            else:
                build, request = self.make_append(few=True)
                build = bind(build, request)
                if repeatable(request.append_id, request.events) and not request.validate_only:
                    recent.append((build, request))
            asked.append((build, request, self.model.decide(build())))
        self.burst_head = None
        answers = self.stream([request for _, request, _ in asked])
        try:
            for (_, request, expected), answer in zip(asked, answers):
                self.compare_answer(what, request, expected, answer)
        except Difference as difference:
            raise Difference("%s\n%s" % (difference, told(asked, answers))) from None
        self.past += [("append", build, request) for build, request in recent]

    def loose_burst(self):
        """Pipelined appends that share nothing as a whole: each aggregate's order holds, the rest is free."""
        if self.model.limits.events or self.model.limits.aggregates:
            return
        first = self.model.head()
        asked = []
        for _ in range(self.random.randrange(5, 40)):
            build, request = self.make_append(conditions=False, few=True)
            asked.append((build, request, self.model.decide(build())))
        answers = self.stream([request for _, request, _ in asked])
        positions = []
        for (_, request, expected), answer in zip(asked, answers):
            if isinstance(expected, Stored) and not expected.replayed:
                if not answer.HasField("appended"):
                    self.differ("loose burst\n%s" % request, expected, answer)
                positions += range(answer.appended.first_position, answer.appended.last_position + 1)
        self.same("loose burst: positions", list(range(first + 1, self.model.head() + 1)), sorted(positions))
        self.model.reorder(first, positions)
        for (_, request, expected), answer in zip(asked, answers):
            if isinstance(expected, Stored):  # first all times, then the comparison of neighbours makes sense
                expected.timestamp_us = None
        try:
            for (_, request, expected), answer in sorted(
                    zip(asked, answers), key=lambda pair: pair[1].appended.first_position):
                self.compare_answer("loose burst", request, expected, answer)
        except Difference as difference:
            raise Difference("%s\n%s" % (difference, told(asked, answers))) from None
        self.past += [("append", build, request) for build, request, expected in asked
                      if repeatable(request.append_id, request.events)]

    def stream(self, requests):
        self.doing = "stream"
        answers = list(self.client.events.AppendStream(
            (event_service_pb2.AppendStreamRequest(append=request) for request in requests), timeout=300))
        self.same("stream: sequence", list(range(1, len(requests) + 1)), [a.sequence for a in answers])
        return answers

    def compare_answer(self, what, request, expected, answer):
        got = answer.error
        if isinstance(expected, Refused):
            code = grpc.StatusCode[expected.code].value[0]
            if not answer.HasField("error") or (got.code, got.reason) != (code, expected.reason):
                self.differ("%s\n%s" % (what, request), expected, answer)
            if expected.reason == "VERSION_CONFLICT":
                facts = {name: str(version) for name, version in (("expected_version", expected.expected),
                                                                  ("current_version", expected.current)) if version is not None}
                self.same("%s: facts\n%s" % (what, request), facts, dict(got.facts))
        elif not answer.HasField("appended"):
            self.differ("%s\n%s" % (what, request), "accepted", answer)
        else:
            self.compare_append(what, request, expected, answer.appended)
        self.count(what, outcome_name(expected))

    # --- aggregates ---

    def create(self):
        aggregate_id, kind = self.aggregate()
        if self.chance(0.05):
            kind = self.one(self.kinds)
        state = self.object() if self.chance(0.8) else None
        if state is not None and kind in ("order", "payment") and "status" in state and self.chance(0.8):
            state["status"] = ['"status"', self.status(ORDER_MOVES if kind == "order" else PAYMENT_MOVES, aggregate_id)]
        metadata = self.object() if self.chance(0.4) else None
        request = aggregate_service_pb2.CreateAggregateRequest(
            id=aggregate_id, type=kind, idempotency_key=self.name("key") if self.chance(0.3) else "",
            validate_only=self.chance(0.05))
        if state is not None:
            request.initial_state = self.text(state)
        if metadata is not None:
            request.metadata = self.text(metadata)

        def build():
            return Append([Event(type=CREATED, aggregate_id=aggregate_id, given_type=kind, data_object=state or {},
                                 metadata_object=metadata)], request.idempotency_key,
                          [Expectation(aggregate_id, "create")], validate_only=request.validate_only)
        self.send_create("create", build, request)

    def send_create(self, what, build, request):
        expected = self.model.decide(build())
        got = self.ask(self.client.aggregates.CreateAggregate, request, what)
        self.compare_saved(what, request, expected, got)
        if request.idempotency_key and not request.validate_only:
            self.past.append(("create", build, request))

    def compare_saved(self, what, request, expected, got):
        """The reply of create and save: the aggregate as of the append."""
        if not self.compare_refusal(what, request, expected, got):
            last = expected.events[-1]
            if request.validate_only and not expected.replayed:
                self.compare_rehearsal(what, request, expected, got)
            else:
                aggregate = self.model.aggregates[last.aggregate_id]
                entry = aggregate.at_version(last.version)
                self.check_time(expected, microseconds(got.updated_at), what)
                self.model.settle(aggregate)
                self.compare_aggregate(what, request, aggregate, entry, got, expected.replayed)
                if any(event.id == "" for event in expected.events):
                    self.learn_ids(expected)
        self.count(what, outcome_name(expected))

    def learn_ids(self, stored):
        """Create and save do not tell the ids that the server made; the stored events do."""
        first, last = stored.events[0], stored.events[-1]
        page = self.client.events.ListEvents(event_service_pb2.ListEventsRequest(
            from_position=first.position, to_position=last.position + 1, page_size=1000), timeout=120)
        self.same("events of a save", len(stored.events), len(page.events))
        self.model.adopt(stored, stored.timestamp_us, [event.id for event in page.events])
        stored.append_id = page.events[0].append_id
        for event, got in zip(stored.events, page.events):
            self.compare_event("events of a save", event, got)

    def compare_rehearsal(self, what, request, expected, got):
        last = expected.events[-1]
        known = self.model.aggregates.get(last.aggregate_id)
        folded = known.now.copy() if known is not None else Folded()
        for event in expected.events:
            folded.apply(event)
        self.same("%s\n%s" % (what, request), (last.version, write(folded.state), write(folded.metadata), folded.active),
                  (got.version, got.state.decode(), got.metadata.decode(), got.active))
        self.same(what + ": shown", len(expected.events), len(got.events))
        expected.timestamp_us = microseconds(got.updated_at)
        for event, shown in zip(expected.events, got.events):
            self.compare_event(what + ": shown", event, shown)

    def save(self):
        aggregate_id, kind = self.aggregate()
        known = self.known(aggregate_id)
        request = aggregate_service_pb2.SaveAggregateRequest(id=aggregate_id)
        fields = []
        pick = self.random.randrange(10)
        state = None
        if pick < 4:
            for _ in range(self.random.randrange(1, 4)):
                event, new = self.event(aggregate_id, kind)
                if self.chance(0.5):
                    new.aggregate_id = ""
                new.aggregate_type = ""
                request.events.append(new)
                fields.append(event)
        elif pick < 7:
            state = self.object()
            if known is not None and self.chance(0.5):
                state = {**{n: [t, v] for n, (t, v) in known.now.state.items()}, **state}
            request.state = self.text(state)
        patch = self.object() if self.chance(0.3) else None
        if patch is not None:
            request.set_metadata = self.text(patch)
        active = self.chance(0.5) if self.chance(0.3) else None
        if active is not None:
            request.active = active
        expectation = None
        version = known.now.version if known is not None else 0
        version = version if self.chance(0.8) else max(0, version + self.one((-1, 1)))
        if self.chance(0.85 if state is not None else 0.3):
            way = self.random.randrange(5)
            if way == 0:
                request.expected_version = version
                expectation = Expectation(aggregate_id, "version", version)
            elif way == 1:
                request.if_match = "*"
                expectation = Expectation(aggregate_id, "exist")
            elif way == 2:
                request.if_match = '"%d"' % version
                request.expected_version = version
                expectation = Expectation(aggregate_id, "if_match", version)
            else:
                request.if_match = '"%d"' % version
                expectation = Expectation(aggregate_id, "if_match", version)
        expectation = expectation or Expectation(aggregate_id, "exist")
        if self.chance(0.3):
            request.idempotency_key = self.name("key")
        request.validate_only = self.chance(0.05)

        def build():
            own = self.known(aggregate_id)
            own_type = own.now.type if own is not None else kind
            events = []
            for event in fields:
                event = clone(event)
                event.given_type = own_type
                events.append(event)
            if state is not None:
                events.append(Event(type=REPLACED, aggregate_id=aggregate_id, given_type=own_type, data_object=without_nulls(state)))
            if patch is not None:
                events.append(Event(type=METADATA_CHANGED, aggregate_id=aggregate_id, given_type=own_type, data_object=patch))
            if active is not None:
                events.append(Event(type=ACTIVATED if active else DEACTIVATED, aggregate_id=aggregate_id, given_type=own_type))
            return Append(events, request.idempotency_key, [expectation], validate_only=request.validate_only)
        self.send_save("save", build, request)

    def send_save(self, what, build, request):
        append = build()
        if not append.events:
            expected = Refused("INVALID_FIELD")
        elif request.state and not request.if_match and not request.HasField("expected_version"):
            expected = Refused("PRECONDITION_REQUIRED")
        elif self.known(request.id) is None:
            expected = Refused("AGGREGATE_UNKNOWN")
        else:
            expected = self.model.decide(append)
        got = self.ask(self.client.aggregates.SaveAggregate, request, what)
        self.compare_saved(what, request, expected, got)
        if request.idempotency_key and not request.validate_only:
            self.past.append(("save", build, request))

    def get(self):
        aggregate_id, _ = self.aggregate()
        request = aggregate_service_pb2.GetAggregateRequest(id=aggregate_id, include_events=self.chance(0.1))
        if self.chance(0.2):
            request.min_position = self.model.head()
        got = self.ask(self.client.aggregates.GetAggregate, request, "get")
        aggregate = self.known(aggregate_id)
        expected = Refused("AGGREGATE_UNKNOWN") if aggregate is None else None
        if not self.compare_refusal("get", request, expected, got):
            self.model.settle(aggregate)
            self.compare_aggregate("get", request, aggregate, aggregate.history[-1], got)
            if request.include_events:
                self.same("get: number of events", len(aggregate.history), len(got.events))
                for entry, event in zip(aggregate.history, got.events):
                    self.compare_event("get: events", entry[0], event)
        self.count("get", outcome_name(expected))

    def get_past(self):
        aggregate_id, _ = self.aggregate()
        aggregate = self.known(aggregate_id)
        request = aggregate_service_pb2.GetAggregateRequest(id=aggregate_id)
        entry, expected, as_of = None, None, 0
        head = self.model.head()
        way = self.random.randrange(3)
        top = aggregate.now.version if aggregate is not None else 3
        if way == 0:
            request.as_of_version = version = self.random.randrange(top + 2)
            if aggregate is None:
                expected = Refused("AGGREGATE_UNKNOWN")
            elif version > top:
                expected = Refused("INVALID_FIELD")
            else:
                entry = aggregate.at_version(version)
                as_of = entry[0].position if entry else 0
        elif way == 1:
            if aggregate is not None and self.chance(0.8):
                around = self.one(aggregate.history)[0].position
                position = max(0, around + self.one((-1, 0, 0, 1)))
            else:
                position = self.random.randrange(head + 10)
            request.as_of_position = position
            as_of = min(position, head)
        else:
            if aggregate is not None and self.chance(0.8):
                event = self.one(aggregate.history)[0]
            else:
                event = self.one(self.model.log)
            time_us = event.append.timestamp_us + self.one((-1, 0, 0, 1))
            request.as_of_time.FromMicroseconds(time_us)
            as_of = self.position_at(event.append.events[-1].position, time_us)
        if way > 0 and aggregate is not None:
            entry = aggregate.at_position(as_of)
        if entry is None and expected is None:
            expected = Refused("AGGREGATE_UNKNOWN")
        got = self.ask(self.client.aggregates.GetAggregate, request, "get of the past")
        if not self.compare_refusal("get of the past", request, expected, got):
            self.compare_aggregate("get of the past", request, aggregate, entry, got, as_of=as_of)
        if aggregate is not None and not isinstance(expected, Refused):
            self.model.settle(aggregate)
        self.count("get of the past", outcome_name(expected))

    def position_at(self, near, time_us):
        """The greatest position whose time is at or before; `near` is where to begin looking."""
        log, position = self.model.log, near
        while position > 0 and log[position - 1].append.timestamp_us > time_us:
            position -= 1
        while position < len(log) and log[position].append.timestamp_us <= time_us:
            position += 1
        return position

    # --- snapshots ---

    def create_snapshot(self):
        aggregate_id, _ = self.aggregate()
        aggregate = self.known(aggregate_id)
        top = aggregate.now.version if aggregate is not None else 3
        version = None
        if self.chance(0.7):
            version = self.random.randrange(top + 1) if self.chance(0.5) else top + self.random.randrange(1, 25)
        data = None
        entry = aggregate.at_version(top if version is None else version) if aggregate is not None else None
        if self.chance(0.6):
            if entry is not None and self.chance(0.7 if not self.auto_snapshots else 1):
                data = entry[1]
                if self.chance(0.5):  # equal, but written otherwise
                    data = rewritten(data)
            elif not self.auto_snapshots:
                data = write(self.object())
        if self.auto_snapshots and version is not None and version > top:
            return
        metadata = write(self.object()) if self.chance(0.2) else None
        request = snapshot_service_pb2.CreateSnapshotRequest(aggregate_id=aggregate_id)
        if version is not None:
            request.version = version
        if data is not None:
            request.data = data.encode()
        if metadata is not None:
            request.metadata = metadata.encode()
        expected = self.model.create_snapshot(aggregate_id, version, None if data is None else compact(data), metadata or "")
        got = self.ask(self.client.snapshots.CreateSnapshot, request, "create snapshot")
        if not self.compare_refusal("create snapshot", request, expected, got):
            self.compare_snapshot("create snapshot", request, aggregate, expected, got)
        self.count("create snapshot", outcome_name(expected) if isinstance(expected, Refused) else expected["state"])

    def compare_snapshot(self, what, request, aggregate, expected, got):
        text = lambda snapshot_data, meta: (snapshot_data, meta) if not self.auto_snapshots else None
        self.same("%s\n%s" % (what, request),
                  (aggregate.id, aggregate.now.type, expected["version"], STATES[expected["state"]], expected["position"],
                   text(expected["data"], expected["metadata"])),
                  (got.aggregate_id, got.aggregate_type, got.version, got.state, got.position,
                   text(got.data.decode(), got.metadata.decode())))

    def read_snapshot(self):
        aggregate_id, _ = self.aggregate()
        aggregate = self.known(aggregate_id)
        latest = self.chance(0.4)
        if latest:
            version = None
            request = snapshot_service_pb2.GetLatestSnapshotRequest(aggregate_id=aggregate_id)
            got = self.ask(self.client.snapshots.GetLatestSnapshot, request, "read snapshot")
        else:
            version = self.random.randrange(60) if self.chance(0.5) else None
            request = snapshot_service_pb2.GetSnapshotRequest(aggregate_id=aggregate_id)
            if version is not None:
                request.version = version
            got = self.ask(self.client.snapshots.GetSnapshot, request, "read snapshot")
        expected = self.model.get_snapshot(aggregate_id, version, latest)
        if self.auto_snapshots and aggregate is not None:
            # Which ones the service took by itself is its own affair; what they say is not.
            if not isinstance(got, Failure):
                self.same("automatic snapshot", (canonical(aggregate.at_version(got.version)[1]), STATES["VERIFIED"]),
                          (canonical(got.data.decode()), got.state))
                self.count("read snapshot", "automatic")
                return
            self.same("automatic snapshot", ("SNAPSHOT_NONE", True), (got.reason, isinstance(expected, Refused)))
        elif not self.compare_refusal("read snapshot", request, expected, got):
            self.compare_snapshot("read snapshot", request, aggregate, expected, got)
        self.count("read snapshot", outcome_name(expected) if isinstance(expected, Refused) else expected["state"])

    def list_snapshots(self):
        if self.auto_snapshots:
            return
        aggregate_id, _ = self.aggregate()
        aggregate = self.known(aggregate_id)
        size = self.random.randrange(1, 6)
        request = snapshot_service_pb2.ListSnapshotsRequest(aggregate_id=aggregate_id, page_size=size)
        expected = sorted(aggregate.snapshots) if aggregate is not None else []
        versions = []
        while True:
            page = self.ask(self.client.snapshots.ListSnapshots, request, "list snapshots")
            self.same("list snapshots: total\n%s" % request, len(expected), page.total_size)
            versions += [s.version for s in page.snapshots]
            if not page.next_page_token:
                break
            self.same("list snapshots: a full page\n%s" % request, size, len(page.snapshots))
            request.page_token = page.next_page_token
        self.same("list snapshots\n%s" % request, expected, versions)
        self.count("list snapshots")

    # --- lists ---

    def list_aggregates(self):
        kind = self.one([""] + self.kinds)
        active = self.chance(0.5) if self.chance(0.4) else None
        size = self.random.randrange(1, 40)
        request = aggregate_service_pb2.ListAggregatesRequest(type=kind, page_size=size, include_state=self.chance(0.5))
        if active is not None:
            request.active = active
        if len(self.model.order) > 300 and active is not None:
            return  # walking all of a long history would only cost time
        wanted = [a for a in self.model.order if not kind or a.now.type == kind]
        if active is not None:
            wanted = [a for a in wanted if a.now.active == active]
        wanted = wanted[:2 * size]
        got = []
        for _ in range(2):
            page = self.ask(self.client.aggregates.ListAggregates, request, "list aggregates")
            got += page.aggregates
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        self.same("list aggregates\n%s" % request, [a.id for a in wanted], [a.id for a in got][:len(wanted)])
        if len(got) > len(wanted):
            self.differ("list aggregates\n%s" % request, [a.id for a in wanted], [a.id for a in got])
        for aggregate, shown in zip(wanted, got):
            self.compare_aggregate("list aggregates", request, aggregate, aggregate.history[-1], shown,
                                   with_state=request.include_state)
        self.count("list aggregates")

    def query(self):
        fields = {}
        if self.chance(0.4):
            fields["aggregate_ids"] = [self.aggregate()[0] for _ in range(self.random.randrange(1, 3))]
        if self.chance(0.4):
            fields["types"] = [self.one(("custom", "user_updated", "order_created", "$activated", "none"))]
        if self.chance(0.2):
            fields["tags"] = [self.one(self.tags) for _ in range(self.random.randrange(1, 3))]
        if self.chance(0.2):
            fields["aggregate_types"] = [self.one(self.kinds)]
        if self.chance(0.2):
            fields["correlation_id"] = self.one(self.correlations)
        return fields

    def list_events(self):
        fields = self.query()
        request = event_service_pb2.ListEventsRequest(
            aggregate_id=(fields.get("aggregate_ids") or [""])[0], type=(fields.get("types") or [""])[0],
            aggregate_type=(fields.get("aggregate_types") or [""])[0], tags=fields.get("tags", ()),
            correlation_id=fields.get("correlation_id", ""), page_size=self.random.randrange(1, 60),
            direction=self.random.randrange(3))
        item = Item(types=[request.type] if request.type else (), tags=list(request.tags),
                    aggregate_types=[request.aggregate_type] if request.aggregate_type else (),
                    aggregate_ids=[request.aggregate_id] if request.aggregate_id else (), correlation_id=request.correlation_id)
        head = self.model.head()
        low, high = max(0, head - self.random.randrange(1, 400)), head + 1
        if self.chance(0.5):
            request.after_position = low
        else:
            request.from_position = low + 1
        if self.chance(0.3):
            request.to_position = high = low + self.random.randrange(1, 200)
        lowest, highest = 0, None
        if request.aggregate_id and self.chance(0.4):
            request.from_version = lowest = self.random.randrange(20)
            if self.chance(0.5):
                request.to_version = highest = lowest + self.random.randrange(10)
        expected = [e for e in self.model.log[low:high - 1] if item.matches(e) and (
            not lowest or e.version >= lowest) and (highest is None or e.version < highest)]
        if request.direction == event_service_pb2.BACKWARD:
            expected.reverse()
        if request.aggregate_id and self.known(request.aggregate_id) is None:
            self.compare_refusal("list events", request, Refused("AGGREGATE_UNKNOWN"),
                                 self.ask(self.client.events.ListEvents, request, "list events"))
            self.count("list events", "AGGREGATE_UNKNOWN")
            return
        got = []
        while True:
            page = self.ask(self.client.events.ListEvents, request, "list events")
            if isinstance(page, Failure):
                self.differ("list events\n%s" % request, "a page", page)
            self.same("list events: head", head, page.head_position)
            got += page.events
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        self.same("list events\n%s" % request, [e.position for e in expected], [e.position for e in got])
        for event, shown in zip(expected, got):
            self.compare_event("list events", event, shown)
        self.count("list events")

    def read_events(self):
        items = [self.query() for _ in range(self.random.randrange(3))]
        head = self.model.head()
        low = max(0, head - self.random.randrange(1, 1000))
        limit = self.random.randrange(100) if self.chance(0.4) else 0
        backward = self.chance(0.3)
        request = event_service_pb2.ReadEventsRequest(after_position=low, limit=limit, direction=2 if backward else 0)
        if items:
            request.query.CopyFrom(event_pb2.EventQuery(items=[event_pb2.QueryItem(**fields) for fields in items]))
        wanted = [Item(**fields) for fields in items]
        expected = [e.position for e in self.model.log[low:] if not wanted or any(i.matches(e) for i in wanted)]
        if backward:
            expected.reverse()
        self.doing = "read events"
        got = [e.position for m in self.client.events.ReadEvents(request, timeout=120) for e in m.events]
        self.same("read events\n%s" % request, expected[:limit] if limit else expected, got)
        self.count("read events")

    def get_event(self):
        if self.chance(0.1):
            got = self.ask(self.client.events.GetEvent, event_service_pb2.GetEventRequest(event_id="nobody"), "get event")
            self.compare_refusal("get event", "nobody", Refused("EVENT_UNKNOWN"), got)
            self.count("get event", "EVENT_UNKNOWN")
            return
        event = self.one(self.model.log)
        got = self.ask(self.client.events.GetEvent, event_service_pb2.GetEventRequest(event_id=event.id), "get event")
        if isinstance(got, Failure):
            self.differ("get event %s" % event.id, "the event", got)
        self.compare_event("get event", event, got)
        self.count("get event")

    # --- requests that are wrong by themselves ---

    def invalid(self):
        _, request = self.make_publish()
        request.ClearField("version")
        request.ClearField("expected_version")
        request.ClearField("metadata")
        request.ClearField("content_type")
        request.id, request.idempotency_key = "", ""
        request.type, request.aggregate_type, request.data = "custom", "", b"{}"
        spoil = self.one((
            ("INVALID_ID", lambda r: setattr(r, "aggregate_id", self.one(("", "a b", "..", "x" * 256, "$x", "a\u0085", "\u2003")))),
            ("INVALID_ID", lambda r: setattr(r, "type", self.one(("", "cus tom", "$activated", "a/b")))),
            ("INVALID_ID", lambda r: setattr(r, "id", self.one(("a b", "$1", ".")))),
            ("INVALID_ID", lambda r: setattr(r, "correlation_id", "a\tb")),
            ("INVALID_ID", lambda r: r.tags.append("")),
            ("INVALID_FIELD", lambda r: r.tags.extend("tag%d" % n for n in range(17))),
            ("INVALID_JSON", lambda r: setattr(r, "data", self.one((
                b"[]", b"{", b'{"a":1,"\\u0061":2}', b'{"a":01}', b'{"a":"\\ud83d"}', b'{"a":"\xff"}', b"null", b'{"a":1}}',
                b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", b'{"a":' + b"1" * 1001 + b"}", b'{"a":nul}', b'{"a":"\x01"}',
                b"\xef\xbb\xbf{}", b'{"a":1,}')))),
            ("INVALID_JSON", lambda r: setattr(r, "metadata", self.one((b"1", b'{"a":}')))),
            ("TYPE_NOT_ALLOWED", lambda r: setattr(r, "type", "never_heard_of")),
            ("TYPE_NOT_ALLOWED", lambda r: setattr(r, "aggregate_type", "never_heard_of")),
            ("VERSION_ZERO", lambda r: setattr(r, "version", 0)),
            ("INVALID_FIELD", lambda r: setattr(r, "version", -3)),
            ("INVALID_FIELD", lambda r: (setattr(r, "version", 3), setattr(r, "expected_version", 3))),
            ("INVALID_FIELD", lambda r: (setattr(r, "id", "i"), setattr(r, "idempotency_key", "k"))),
            ("INVALID_FIELD", lambda r: setattr(r, "schema_version", -1)),
            ("INVALID_FIELD", lambda r: (r.occurred_at.FromMicroseconds(5), setattr(r.occurred_at, "nanos", 5))),
        ))
        spoil[1](request)
        got = self.ask(self.client.events.PublishEvent, request, "invalid")
        self.compare_refusal("invalid", request, Refused(spoil[0]), got)
        self.count("invalid", spoil[0])

    # --- the whole ---

    def check_all(self):
        """Every event, every aggregate, every count."""
        model = self.model
        got = [e for m in self.client.events.ReadEvents(event_service_pb2.ReadEventsRequest(), timeout=600) for e in m.events]
        self.same("all events: number", len(model.log), len(got))
        for position, (event, shown) in enumerate(zip(model.log, got), 1):
            self.same("all events: position", (position, position), (event.position, shown.position))
            self.compare_event("all events", event, shown)
        request = aggregate_service_pb2.ListAggregatesRequest(page_size=1000, include_state=True)
        shown = []
        while True:
            page = self.client.aggregates.ListAggregates(request, timeout=600)
            shown += page.aggregates
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        self.same("all aggregates", [a.id for a in model.order], [a.id for a in shown])
        for aggregate, one in zip(model.order, shown):
            self.compare_aggregate("all aggregates", "", aggregate, aggregate.history[-1], one)
        by_type, of_type = {}, {}
        for event in model.log:
            by_type[event.type] = by_type.get(event.type, 0) + 1
        for aggregate in model.order:
            of_type[aggregate.now.type] = of_type.get(aggregate.now.type, 0) + 1
        system = sum(count for name, count in by_type.items() if name.startswith("$"))
        for exact in (False, True):
            stats = self.client.system.GetStats(system_service_pb2.GetStatsRequest(exact=exact), timeout=600)
            self.same("stats exact=%s" % exact,
                      (len(model.log) - system, system, len(model.order), len(model.log), of_type,
                       {name: count for name, count in by_type.items() if not name.startswith("$")}),
                      (stats.event_count, stats.system_event_count, stats.aggregate_count, stats.head_position,
                       dict(stats.aggregates_by_type),
                       {name: count for name, count in stats.events_by_type.items() if not name.startswith("$")}))


def rewritten(text):
    """The same JSON value in other words: members the other way round, numbers with other digits, strings escaped."""
    class Number(float):
        def __repr__(self):
            return self.digits

    def number(token):
        value = Number(0)
        value.digits = token + ("0" if "." in token and "e" not in token else "e0" if "e" not in token else "")
        return value

    def other(value):
        if isinstance(value, dict):
            return "{" + ", ".join(json.dumps(name) + " : " + other(value[name]) for name in reversed(value)) + "}"
        if isinstance(value, list):
            return "[ " + ",".join(map(other, value)) + "]"
        return value.digits if isinstance(value, Number) else json.dumps(value)
    return other(json.loads(text, parse_int=number, parse_float=number))


def compact(text):
    """Without the white space between tokens."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    parts[::2] = [re.sub(r"\s+", "", part) for part in parts[::2]]
    return "".join(parts)


def clone(event):
    """As given, for sending once more."""
    copy = Event.__new__(Event)
    for name in Event.__slots__:
        setattr(copy, name, getattr(event, name))
    copy.version = copy.position = copy.append = copy.index = copy.aggregate_type = None
    return copy


def with_expectation(build, expectation):
    def more():
        append = build()
        append.expectations = list(append.expectations) + [expectation]
        return append
    return more


def told(asked, answers):
    """A burst in short, for the reader of a difference."""
    return "--- the burst\n" + "\n".join("%d: %s with %s → %s | model %s" % (
        answer.sequence, [(e.type, e.aggregate_id, e.id) for e in request.events],
        [x.aggregate_id for x in request.expectations],
        answer.error.reason or [(h.aggregate_id, h.version, h.position) for h in answer.appended.heads],
        expected if isinstance(expected, Refused) else [(e.aggregate_id, e.version) for e in expected.events])
        for (_, request, expected), answer in zip(asked, answers))


def repeatable(append_id, events):
    return bool(append_id) or all(event.id for event in events)


def outcome_name(expected):
    if isinstance(expected, Refused):
        return expected.reason
    return "replayed" if isinstance(expected, Stored) and expected.replayed else None
