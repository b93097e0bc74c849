"""Random values: names, JSON, events. Nothing here depends on what the service answers."""

import json

from domain import ORDER_MOVES, PAYMENT_MOVES
from model import Event
from support.strata_rpc import event_pb2
from tokens import content, member, write

EPOCH_OPERATIONS = 700


class Values:
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
        if self.hot is not None:
            return self.one(self.hot)
        kind = self.one(self.kinds)
        return self.one(self.pools[kind]), kind

    def known(self, aggregate_id):
        return self.model.aggregates.get(aggregate_id)

    def version_of(self, aggregate_id):
        """Where it is; in a race, where it may be by then."""
        known = self.known(aggregate_id)
        version = known.now.version if known is not None else 0
        return version + self.one((0, 0, 0, 1, 1, 2, 3, 5)) if self.hot is not None else version

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
            put(self.one(list(m) or ["x"]), self.one(("true", "17", "[1]", '"nothing"', "1.5")))
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
