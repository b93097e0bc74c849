"""An independent model of Strata's semantics: decide, fold, checks, replays, snapshots.

Written from docs/domain.md and the tables of semantics, not from the sources. It knows no transport: the driver
(world.py) translates. JSON is kept token for token: a value is a str (the token of a scalar), a list, or a dict that
maps the content of a name to [name as written, value], in the order of the text.
"""

import json
import uuid
from decimal import Decimal

BUILTIN_EVENT_TYPES = ("user_created", "user_updated", "user_deleted", "order_created", "order_status_changed",
                       "payment_processed", "custom")
BUILTIN_AGGREGATE_TYPES = ("user", "order", "payment", "custom")
PREFIXES = (("user_", "user"), ("order_", "order"), ("payment_", "payment"))
CREATED, REPLACED, METADATA_CHANGED = "$aggregate_created", "$state_replaced", "$metadata_changed"
ACTIVATED, DEACTIVATED = "$activated", "$deactivated"

CODES = {  # reason → canonical code
    "INVALID_ID": "INVALID_ARGUMENT", "INVALID_JSON": "INVALID_ARGUMENT", "INVALID_FIELD": "INVALID_ARGUMENT",
    "UNKNOWN_FIELD": "INVALID_ARGUMENT", "TYPE_NOT_ALLOWED": "INVALID_ARGUMENT", "VERSION_ZERO": "INVALID_ARGUMENT",
    "EVENT_TOO_LARGE": "INVALID_ARGUMENT", "APPEND_TOO_LARGE": "INVALID_ARGUMENT",
    "VERSION_CONFLICT": "ABORTED", "CONDITION_FAILED": "ABORTED", "IF_MATCH_FAILED": "ABORTED",
    "AGGREGATE_EXISTS": "ALREADY_EXISTS", "EVENT_ID_USED": "ALREADY_EXISTS", "SNAPSHOT_EXISTS": "ALREADY_EXISTS",
    "TRANSITION_REFUSED": "FAILED_PRECONDITION", "TYPE_MISMATCH": "FAILED_PRECONDITION",
    "PENDING_TOO_MANY": "FAILED_PRECONDITION", "EVENTS_TOO_MANY": "FAILED_PRECONDITION",
    "PRECONDITION_REQUIRED": "FAILED_PRECONDITION", "AGGREGATE_UNKNOWN": "NOT_FOUND", "EVENT_UNKNOWN": "NOT_FOUND",
    "SNAPSHOT_NONE": "NOT_FOUND", "LIMIT_EVENTS": "RESOURCE_EXHAUSTED", "LIMIT_AGGREGATES": "RESOURCE_EXHAUSTED",
    "LIMIT_AGGREGATE_EVENTS": "RESOURCE_EXHAUSTED",
}


# --- JSON ---

def write(value):
    """Compact, tokens as they are."""
    if type(value) is str:
        return value
    if type(value) is dict:
        return "{" + ",".join([token + ":" + write(inner) for token, inner in value.values()]) + "}"
    return "[" + ",".join([write(inner) for inner in value]) + "]"


def copy(value):
    """Lists are never changed, so only objects are copied."""
    return {name: [token, copy(inner)] for name, (token, inner) in value.items()} if type(value) is dict else value


def content(token):
    """What a string token says; None when it is no string."""
    return json.loads(token) if type(token) is str and token[:1] == '"' else None


def member(obj, name):
    """The value, or None when it is not there or null."""
    entry = obj.get(name)
    return None if entry is None or entry[1] == "null" else entry[1]


def merge(target, patch):
    for name, (token, value) in patch.items():
        if value == "null":
            target.pop(name, None)
            continue
        entry = target.get(name)
        if entry is None:
            entry = target[name] = [token, None]
        if type(value) is dict:
            if type(entry[1]) is not dict:
                entry[1] = {}
            merge(entry[1], value)
        else:
            entry[1] = value


def clean(obj):
    cleaned = {}
    merge(cleaned, obj)
    return cleaned


def without_nulls(value):
    """As the state of a save: null members are absent ones, in lists too."""
    if type(value) is dict:
        return {name: [token, without_nulls(inner)] for name, (token, inner) in value.items() if inner != "null"}
    return [without_nulls(inner) for inner in value] if type(value) is list else value


def canonical(text):
    """Two texts are equal JSON values when these are equal: numbers are exact decimals."""
    def number(token):
        return "number", Decimal(token)
    return json.loads(text, parse_int=number, parse_float=number)


# --- payload shapes ---

ORDER_MOVES = {"pending": ("confirmed", "cancelled"), "confirmed": ("paid", "cancelled"), "paid": ("shipped", "refunded"),
               "shipped": ("delivered", "refunded"), "delivered": ("refunded",), "cancelled": (), "refunded": ()}
PAYMENT_MOVES = {"pending": ("pending", "authorized", "completed", "failed"),
                 "authorized": ("authorized", "completed", "failed"), "completed": ("refunded",), "failed": (),
                 "refunded": ()}


def _is_number(text):
    try:
        json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return False
    return text[:1] in "-0123456789" and text.strip() == text


def _string(value):
    return content(value) is not None


def _required(value):
    return bool(content(value))


def _decimal(value):
    text = content(value) if _string(value) else value
    return type(text) is str and text != "" and len(text) <= 1000 and _is_number(text)


def _int32(value):
    return (type(value) is str and value.lstrip("-").isdigit() and value[:1] in "-0123456789" and
            -2147483648 <= int(value) <= 2147483647)


def _currency(value):
    text = content(value)
    return text is not None and len(text) == 3 and all("A" <= c <= "Z" for c in text)


def _status_of(moves):
    return lambda value: content(value) in moves


def _list_of(shape):
    def check(value):
        return type(value) is list and all(type(v) is dict for v in value) and [f for v in value for f in faults(shape, v)]
    return check


def _any(value):
    return True


_ITEM = ({"product_id": _string, "name": _string, "quantity": _int32, "unit_price": _decimal}, ())
_CHANGE = ({"field": _required, "old_value": _any, "new_value": _any}, ("field",))
_USER = {name: _string for name in ("user_id", "email", "name", "first_name", "last_name", "role")}
SHAPES = {
    "user_created": ({**_USER, "user_id": _required}, ("user_id",)),
    "user_updated": ({**_USER, "changes": _list_of(_CHANGE)}, ()),
    "user_deleted": ({"user_id": _string, "reason": _string, "deleted_by": _string}, ()),
    "order_created": ({"order_id": _required, "user_id": _string, "items": _list_of(_ITEM), "total_amount": _decimal,
                       "currency": _currency, "status": _status_of(ORDER_MOVES)}, ("order_id",)),
    "order_status_changed": ({"order_id": _string, "old_status": _string, "reason": _string, "changed_by": _string,
                              "new_status": _status_of(ORDER_MOVES)}, ("new_status",)),
    "payment_processed": ({"payment_id": _required, "order_id": _string, "user_id": _string, "method": _string,
                           "transaction_id": _string, "processor": _string, "amount": _decimal, "currency": _currency,
                           "status": _status_of(PAYMENT_MOVES)}, ("payment_id",)),
}
OWN_ID = {"user_created": "user_id", "user_updated": "user_id", "user_deleted": "user_id", "order_created": "order_id",
          "order_status_changed": "order_id", "payment_processed": "payment_id"}
STATE_SHAPES = {"user": (SHAPES["user_created"][0], ()), "order": (SHAPES["order_created"][0], ()),
                "payment": (SHAPES["payment_processed"][0], ())}
for _members, _own in (("user", "user_id"), ("order", "order_id"), ("payment", "payment_id")):
    STATE_SHAPES[_members] = ({**STATE_SHAPES[_members][0], _own: _string}, ())


def faults(shape, obj):
    """The kinds of fault of an object: "INVALID_FIELD" and "UNKNOWN_FIELD" (the latter counts only when strict)."""
    members, required = shape
    found = []
    for name, (_, value) in obj.items():
        rule = members.get(name)
        if rule is None:
            found.append("UNKNOWN_FIELD")
        elif value != "null":
            verdict = rule(value)
            if verdict is False or verdict is None:
                found.append("INVALID_FIELD")
            elif type(verdict) is list:
                found += verdict
    found += ["INVALID_FIELD" for name in required if member(obj, name) is None]
    return found


# --- types, checks, folds ---

def kind_of(aggregate_type):
    return aggregate_type if aggregate_type in ("user", "order", "payment") else "custom"


def kind_of_event(event_type):
    for prefix, kind in PREFIXES:
        if event_type.startswith(prefix):
            return kind
    return None


def _move_refused(moves, now, to):
    return now in moves and to not in moves[now]


def _state_rule(moves, state, data):
    status, now = member(data, "status"), content(member(state, "status"))
    if status is not None and content(status) not in moves:
        return True
    if now not in moves or content(status) == now:
        return False
    return status is None or _move_refused(moves, now, content(status))


def refused(kind, exists, version, state, event_type, data):
    """Whether the check of the domain says no."""
    if kind == "user":
        deleted = content(member(state, "status")) == "deleted"
        if event_type == "user_created":
            return deleted or (exists and version >= 1 and "user_id" in state)
        if event_type in ("user_updated", "user_deleted"):
            return deleted
        return event_type == REPLACED and deleted and content(member(data, "status")) != "deleted"
    if kind == "order":
        if event_type in (CREATED, REPLACED):
            return _state_rule(ORDER_MOVES, state, data)
        now, status = content(member(state, "status")), member(data, "status")
        if event_type == "order_created":
            if exists and version >= 1 and "order_id" in state:
                return True
            if status is not None and content(status) not in ORDER_MOVES:
                return True
            return status is not None and content(status) != now and _move_refused(ORDER_MOVES, now, content(status))
        if event_type == "order_status_changed":
            current = member(state, "status")
            current = "pending" if current is None else content(current)
            new, old = content(member(data, "new_status")), member(data, "old_status")
            return (not exists or new not in ORDER_MOVES or (old is not None and content(old) != current) or
                    _move_refused(ORDER_MOVES, current, new))
    if kind == "payment":
        if event_type in (CREATED, REPLACED):
            return _state_rule(PAYMENT_MOVES, state, data)
        if event_type == "payment_processed":
            now, status = content(member(state, "status")), member(data, "status")
            if status is not None and content(status) not in PAYMENT_MOVES:
                return True
            return _move_refused(PAYMENT_MOVES, now, now if status is None else content(status))
    return False


def _set(state, name, value):
    """One member as a whole; None removes it."""
    if value is None:
        state.pop(name, None)
    else:
        entry = state.setdefault(name, [json.dumps(name), None])
        entry[1] = clean(value) if type(value) is dict else value


class Folded:
    """What events make of an aggregate. `first` and `last` are the stored events it began and stands at."""

    __slots__ = ("exists", "type", "version", "state", "metadata", "active", "first", "last", "count")

    def __init__(self):
        self.exists, self.type, self.version, self.active = False, "", 0, True
        self.state, self.metadata, self.first, self.last, self.count = {}, {}, None, None, 0

    def copy(self):
        other = Folded.__new__(Folded)
        for name in Folded.__slots__:
            setattr(other, name, getattr(self, name))
        other.state, other.metadata = copy(self.state), copy(self.metadata)
        return other

    def apply(self, event):
        if not self.exists:
            self.exists, self.type, self.first = True, event.aggregate_type, event
        self.version, self.last = event.version, event
        self.count += 1
        kind, event_type, data = kind_of(self.type), event.type, event.data_object
        if event_type == ACTIVATED or event_type == DEACTIVATED:
            self.active = event_type == ACTIVATED
        elif data is None:
            pass
        elif event_type == CREATED:
            self.state, self.metadata = clean(data), clean(event.metadata_object or {})
        elif event_type == REPLACED:
            self.state = clean(data)
        elif event_type == METADATA_CHANGED:
            merge(self.metadata, data)
        elif event_type[:1] == "$":
            pass
        elif kind == "custom":
            merge(self.state, data)
        elif kind == "user" and event_type == "user_created":
            merge(self.state, data)
        elif kind == "user" and event_type == "user_updated":
            self._update_user(data)
        elif kind == "user" and event_type == "user_deleted":
            _set(self.state, "status", '"deleted"')
        elif kind == "order" and event_type == "order_created":
            merge(self.state, data)
            if "status" not in self.state:
                _set(self.state, "status", '"pending"')
        elif kind == "order" and event_type == "order_status_changed":
            if content(member(data, "new_status")) is not None:
                _set(self.state, "status", member(data, "new_status"))
        elif kind == "payment" and event_type == "payment_processed":
            merge(self.state, data)

    def _update_user(self, data):
        merge(self.state, {name: entry for name, entry in data.items() if name != "changes"})
        changes = member(data, "changes")
        for change in changes if type(changes) is list else ():
            token = member(change, "field") if type(change) is dict else None
            name = content(token)
            if name is None:
                continue
            value = member(change, "new_value")
            if value is not None and name not in self.state:
                self.state[name] = [token, None]
            _set(self.state, name, value)


# --- what is asked and what is stored ---

class Refused:
    __slots__ = ("reason", "expected", "current")

    def __init__(self, reason, expected=None, current=None):
        self.reason, self.expected, self.current = reason, expected, current

    @property
    def code(self):
        return CODES[self.reason]

    def __repr__(self):
        return "refused %s expected=%s current=%s" % (self.reason, self.expected, self.current)


class Event:
    """An event as given, later as stored. `data` and `metadata` are the texts as stored."""

    __slots__ = ("id", "type", "aggregate_id", "given_type", "aggregate_type", "correlation_id", "causation_id",
                 "content_type", "schema_version", "tags", "subject", "occurred_at", "data", "metadata", "data_object",
                 "metadata_object", "version", "position", "append", "index")

    def __init__(self, **given):
        for name in Event.__slots__:
            setattr(self, name, given.get(name))
        self.tags = tuple(dict.fromkeys(given.get("tags") or ()))
        for name in ("id", "given_type", "correlation_id", "causation_id", "content_type", "subject"):
            if getattr(self, name) is None:
                setattr(self, name, "")
        self.schema_version = self.schema_version or 0
        if self.content_type == "application/json":
            self.content_type = ""
        if self.content_type:
            self.data_object = None
        else:
            self.data_object = self.data_object if self.data_object is not None else {}
            self.data = write(self.data_object)
        self.metadata = "" if self.metadata_object is None else write(self.metadata_object)
        for name in ("correlation_id", "causation_id"):
            text = content(member(self.metadata_object or {}, name))
            if text is not None and not getattr(self, name):
                setattr(self, name, text)

    def same_content(self, other):
        """Of a retry, against what is stored."""
        return (self.id == other.id and self.type == other.type and self.aggregate_id == other.aggregate_id and
                (not self.given_type or self.given_type == other.aggregate_type) and
                self.correlation_id == other.correlation_id and self.causation_id == other.causation_id and
                self.content_type == other.content_type and self.schema_version == other.schema_version and
                self.tags == other.tags and self.subject == other.subject and self.occurred_at == other.occurred_at and
                self.data == other.data and self.metadata == other.metadata)

    def size(self):
        return len(self.data.encode()) + len(self.metadata.encode())


class Expectation:
    __slots__ = ("aggregate_id", "kind", "version")

    def __init__(self, aggregate_id, kind, version=None):
        self.aggregate_id, self.kind, self.version = aggregate_id, kind, version


class Item:
    """One item of a query."""

    __slots__ = ("types", "tags", "aggregate_types", "aggregate_ids", "prefixes", "correlation_id")

    def __init__(self, types=(), tags=(), aggregate_types=(), aggregate_ids=(), prefixes=(), correlation_id=""):
        self.types, self.tags, self.aggregate_types = types, tags, aggregate_types
        self.aggregate_ids, self.prefixes, self.correlation_id = aggregate_ids, prefixes, correlation_id

    def matches(self, event):
        return ((not self.types or event.type in self.types) and
                all(tag in event.tags for tag in self.tags) and
                (not self.aggregate_types or event.aggregate_type in self.aggregate_types) and
                (not (self.aggregate_ids or self.prefixes) or event.aggregate_id in self.aggregate_ids or
                 any(event.aggregate_id.startswith(p) for p in self.prefixes)) and
                (not self.correlation_id or event.correlation_id == self.correlation_id))


class Append:
    """An append as given."""

    __slots__ = ("key", "events", "expectations", "items", "after_position", "validate_only", "server_ids")

    def __init__(self, events, key="", expectations=(), items=None, after_position=0, validate_only=False):
        self.key, self.events, self.expectations = key, events, expectations
        self.items, self.after_position, self.validate_only = items, after_position, validate_only
        self.server_ids = False


class Stored:
    """An append as recorded, or as it would be. The server's part (ids it made, time) is filled in from its answer."""

    __slots__ = ("append_id", "events", "timestamp_us", "replayed")

    def __init__(self, append_id, events):
        self.append_id, self.events, self.timestamp_us, self.replayed = append_id, events, None, False

    def recorded_us(self):
        """When its events were recorded; for a replay that is the first append's time."""
        return self.events[0].append.timestamp_us

    def heads(self):
        """The last event of each aggregate, in the order of first mention."""
        last = {}
        for event in self.events:
            last[event.aggregate_id] = event
        return list(last.values())


class Limits:
    def __init__(self, events=0, aggregates=0, aggregate_events=0, event_bytes=1 << 20):
        self.events, self.aggregates, self.aggregate_events = events, aggregates, aggregate_events
        self.event_bytes = event_bytes


class Aggregate:
    __slots__ = ("id", "now", "history", "snapshots")

    def __init__(self, aggregate_id):
        self.id, self.now = aggregate_id, Folded()
        self.history = []  # (event, state, metadata, active, count) after each event
        self.snapshots = {}

    def at_version(self, version):
        """The entry of the history, or None."""
        first = self.history[0][0].version
        index = version - first
        return self.history[index] if 0 <= index < len(self.history) else None

    def at_position(self, position):
        best = None
        for entry in reversed(self.history):
            if entry[0].position <= position:
                best = entry
                break
        return best


class Model:
    def __init__(self, event_types=BUILTIN_EVENT_TYPES, aggregate_types=BUILTIN_AGGREGATE_TYPES, validation=True,
                 strict=False, limits=None):
        self.event_types, self.aggregate_types = event_types, aggregate_types
        self.validation, self.strict, self.limits = validation, strict, limits or Limits()
        self.aggregates = {}
        self.order = []  # aggregates in the order of creation
        self.log = []    # events by position - 1
        self.by_id = {}
        self.by_tag = {}
        self.by_correlation = {}

    # --- requests by themselves ---

    def _allows(self, names, name):
        return "/" not in name and not name.startswith("$") and any(
            name.startswith(n[:-1]) if n.endswith("*") else name == n for n in names)

    def check_types(self, event_type, aggregate_type):
        if event_type and not self._allows(self.event_types, event_type):
            return "TYPE_NOT_ALLOWED"
        if aggregate_type and not self._allows(self.aggregate_types, aggregate_type):
            return "TYPE_NOT_ALLOWED"
        kind = kind_of_event(event_type)
        return "TYPE_MISMATCH" if aggregate_type and kind and kind != kind_of(aggregate_type) else None

    def check_payload(self, event):
        shape = SHAPES.get(event.type) if self.validation else None
        if shape is None:
            return None
        if event.content_type:
            return "INVALID_FIELD" if shape[1] else None
        found = faults(shape, event.data_object)
        own = content(member(event.data_object, OWN_ID[event.type]))
        if "INVALID_FIELD" in found or own not in (None, event.aggregate_id):
            return "INVALID_FIELD"
        return "UNKNOWN_FIELD" if self.strict and found else None

    def local_fault(self, append):
        """What is wrong with the request whatever is stored; None when nothing is."""
        for event in append.events:
            if event.type in (CREATED, REPLACED) and self.validation and "INVALID_FIELD" in faults(
                    STATE_SHAPES.get(kind_of(event.given_type), ({}, ())), event.data_object):
                return Refused("INVALID_FIELD")
            if event.type.startswith("$"):
                continue
            reason = self.check_types(event.type, event.given_type)
            for name in ("correlation_id", "causation_id"):
                text = content(member(event.metadata_object or {}, name))
                if reason is None and text is not None and text != getattr(event, name):
                    reason = "INVALID_FIELD"
            if reason is None and event.size() > self.limits.event_bytes:
                reason = "EVENT_TOO_LARGE"
            if reason is None:
                reason = self.check_payload(event)
            if reason is not None:
                return Refused(reason)
        given = [event.id for event in append.events if event.id]
        if (append.key and given) or len(set(given)) < len(given):
            return Refused("INVALID_FIELD")
        return None

    # --- decide ---

    def settle_ids(self, append):
        seed = append.key or append.events[0].id
        append.server_ids = not seed
        for index, event in enumerate(append.events):
            if not event.id and seed:
                event.id = str(uuid.uuid5(uuid.NAMESPACE_OID, "%s\0%d" % (seed, index)))

    def head(self):
        return len(self.log)

    def decide(self, append):
        """Refused, or Stored: replayed, or new (recorded at once unless validate_only)."""
        fault = self.local_fault(append)
        if fault is not None:
            return fault
        self.settle_ids(append)
        settled = self._look_at_ids(append)
        if settled is not None:
            return settled
        trial = {}
        reason = self._stage(append, trial)
        if reason is not None:
            return Refused(reason)
        for expectation in append.expectations:
            miss = self._miss(expectation)
            if miss is not None:
                return miss
        if append.items is not None and self._any_match(append.items, append.after_position):
            return Refused("CONDITION_FAILED")
        if any(verdict for _, verdict in trial.values()):
            return Refused("TRANSITION_REFUSED")
        return self._accept(append, trial)

    def _look_at_ids(self, append):
        if append.server_ids:
            return None
        seen = set()
        for index, event in enumerate(append.events):
            earlier = self.by_id.get(event.id)
            if earlier is None and event.id not in seen:
                seen.add(event.id)
                continue
            if index > 0 or earlier is None:
                return Refused("EVENT_ID_USED")
            stored = earlier.append
            if len(stored.events) != len(append.events) or not all(
                    e.same_content(s) for e, s in zip(append.events, stored.events)):
                return Refused("EVENT_ID_USED")
            answer = Stored(stored.append_id, stored.events)
            answer.replayed = True
            return answer
        return None

    def _now(self, aggregate_id):
        aggregate = self.aggregates.get(aggregate_id)
        return aggregate.now if aggregate is not None else Folded()

    def _stage(self, append, trial):
        """Sizes, limits and types; folds the events onto copies and notes what the checks say of each aggregate."""
        limits, new_aggregates = self.limits, 0
        if limits.events and self.head() + len(append.events) > limits.events:
            return "LIMIT_EVENTS"
        limited = mismatched = None
        for event in append.events:
            folded, verdict = trial.get(event.aggregate_id) or (self._now(event.aggregate_id).copy(), False)
            if not folded.exists and not event.given_type:
                mismatched = mismatched or "INVALID_FIELD"
            wanted = kind_of_event(event.type)
            if folded.exists and (event.given_type not in ("", folded.type) or
                                  (wanted and wanted != kind_of(folded.type))):
                mismatched = mismatched or "TYPE_MISMATCH"
            event.aggregate_type = folded.type if folded.exists else event.given_type
            created = event.type == CREATED
            event.version = (0 if created else 1) if not folded.exists else folded.version + 1
            new_aggregates += not folded.exists
            if limits.aggregate_events and event.version > limits.aggregate_events:
                limited = limited or "LIMIT_AGGREGATE_EVENTS"
            if self.validation and not verdict:
                verdict = refused(kind_of(event.aggregate_type), folded.exists, folded.version, folded.state, event.type,
                                  event.data_object if event.data_object is not None else {})
            folded.apply(event)
            trial[event.aggregate_id] = (folded, verdict)
        known = sum(1 for _ in self.aggregates)
        if limits.aggregates and new_aggregates and known + new_aggregates > limits.aggregates:
            limited = limited or "LIMIT_AGGREGATES"
        return limited or mismatched

    def _miss(self, expectation):
        now = self._now(expectation.aggregate_id)
        current = now.version if now.exists else None
        if expectation.kind == "version":
            if (not now.exists and expectation.version == 0) or current == expectation.version:
                return None
            return Refused("VERSION_CONFLICT", expectation.version, current)
        if expectation.kind == "if_match":
            return None if current == expectation.version else Refused("IF_MATCH_FAILED", expectation.version, current)
        if expectation.kind == "exist":
            return None if now.exists else Refused("VERSION_CONFLICT")
        if not now.exists:
            return None
        return Refused("AGGREGATE_EXISTS" if expectation.kind == "create" else "VERSION_CONFLICT", None, current)

    def candidates(self, item, after_position):
        """Events that may match, without looking at all there are."""
        if item.aggregate_ids and not item.prefixes:
            return [entry[0] for i in item.aggregate_ids if i in self.aggregates for entry in self.aggregates[i].history]
        if item.correlation_id:
            return self.by_correlation.get(item.correlation_id, ())
        if item.tags:
            return self.by_tag.get(item.tags[0], ())
        return self.log[after_position:]

    def _any_match(self, items, after_position):
        return any(event.position > after_position and item.matches(event)
                   for item in items for event in self.candidates(item, after_position))

    def _accept(self, append, trial):
        append_id = append.key or append.events[0].id
        stored = Stored(append_id, append.events)
        position = self.head()
        for index, event in enumerate(append.events):
            event.append, event.index, event.position = stored, index, position + 1 + index
        if append.validate_only:
            return stored
        for event in append.events:
            self.log.append(event)
            self._index(event)
            aggregate = self.aggregates.get(event.aggregate_id)
            if aggregate is None:
                aggregate = self.aggregates[event.aggregate_id] = Aggregate(event.aggregate_id)
                self.order.append(aggregate)
            aggregate.now.apply(event)
            aggregate.history.append((event, write(aggregate.now.state), write(aggregate.now.metadata), aggregate.now.active,
                                      aggregate.now.count))
        return stored

    def _index(self, event):
        if event.id:
            self.by_id[event.id] = event
        for tag in event.tags:
            self.by_tag.setdefault(tag, []).append(event)
        if event.correlation_id:
            self.by_correlation.setdefault(event.correlation_id, []).append(event)

    def adopt(self, stored, timestamp_us, ids):
        """The server's part of an accepted append."""
        stored.timestamp_us = timestamp_us
        for event, event_id in zip(stored.events, ids):
            if not event.id:
                event.id = event_id
                self.by_id[event_id] = event
        stored.append_id = stored.append_id or stored.events[0].id

    def reorder(self, first, positions):
        """Appends of a burst whose order was free: `positions` are the answered ones, append by append."""
        tail = self.log[first:]
        for event, position in zip(tail, positions):
            event.position = position
        tail.sort(key=lambda event: event.position)
        self.log[first:] = tail
        self.order.sort(key=lambda aggregate: aggregate.history[0][0].position)

    # --- snapshots ---

    def settle(self, aggregate):
        for version, snapshot in aggregate.snapshots.items():
            if snapshot["state"] == "PENDING" and version <= aggregate.now.version:
                self._compare(aggregate, version, snapshot)

    def _compare(self, aggregate, version, snapshot):
        entry = aggregate.at_version(version)
        if entry is None:  # version 0 of an aggregate that began with its first event
            return
        same = snapshot["data"] is None or canonical(snapshot["data"]) == canonical(entry[1])
        snapshot["data"] = entry[1] if snapshot["data"] is None else snapshot["data"]
        snapshot["state"] = "VERIFIED" if same else "DIVERGENT"
        snapshot["position"] = entry[0].position

    def create_snapshot(self, aggregate_id, version, data, metadata):
        """Refused, or the snapshot as a dict."""
        aggregate = self.aggregates.get(aggregate_id)
        if aggregate is None:
            return Refused("AGGREGATE_UNKNOWN")
        self.settle(aggregate)
        version = aggregate.now.version if version is None else version
        fresh = {"version": version, "data": data, "metadata": metadata, "position": 0, "state": "PENDING"}
        if version > aggregate.now.version:
            if data is None:
                return Refused("INVALID_FIELD")
            if sum(s["state"] == "PENDING" and v != version for v, s in aggregate.snapshots.items()) >= 16:
                return Refused("PENDING_TOO_MANY")
            aggregate.snapshots[version] = fresh
            return fresh
        if aggregate.at_version(version) is None:
            return Refused("INVALID_FIELD")
        former = aggregate.snapshots.get(version)
        if former is not None and former["state"] == "VERIFIED":
            if data is None or canonical(data) == canonical(former["data"]):
                return former
            return Refused("SNAPSHOT_EXISTS")
        self._compare(aggregate, version, fresh)
        aggregate.snapshots[version] = fresh
        return fresh

    def get_snapshot(self, aggregate_id, version=None, latest=False):
        aggregate = self.aggregates.get(aggregate_id)
        if aggregate is None:
            return Refused("AGGREGATE_UNKNOWN")
        self.settle(aggregate)
        below = [s for v, s in sorted(aggregate.snapshots.items()) if version is None or v <= version]
        usable = [s for s in below if s["state"] == "VERIFIED"]
        best = below if latest or not usable else usable
        return best[-1] if best else Refused("SNAPSHOT_NONE")
