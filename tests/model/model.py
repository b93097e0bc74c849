"""An independent model of Strata's semantics: decide, replays, snapshots; what events mean is in domain.py.

Written from the tables of semantics, not from the sources. It knows no transport: world.py translates.
"""

import uuid

from domain import CREATED, OWN_ID, REPLACED, SHAPES, STATE_SHAPES, Folded, faults, kind_of, kind_of_event, refused
from tokens import canonical, content, member, write

BUILTIN_EVENT_TYPES = ("user_created", "user_updated", "user_deleted", "order_created", "order_status_changed",
                       "payment_processed", "custom")
BUILTIN_AGGREGATE_TYPES = ("user", "order", "payment", "custom")

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


# --- what is asked and what is stored ---

class Refused:
    """`about` is the aggregate whose expectation failed."""

    __slots__ = ("reason", "expected", "current", "about")

    def __init__(self, reason, expected=None, current=None, about=None):
        self.reason, self.expected, self.current, self.about = reason, expected, current, about

    @property
    def code(self):
        return CODES[self.reason]

    def __repr__(self):
        return "refused %s expected=%s current=%s about=%s" % (self.reason, self.expected, self.current, self.about)

    def facts(self):
        """Of a conflict, as ErrorInfo has them."""
        return {name: str(version) for name, version in (("expected_version", self.expected), ("current_version", self.current),
                                                         ("aggregate_id", self.about)) if version is not None}


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

    def __repr__(self):
        return "%s %s" % ("replayed" if self.replayed else "recorded", [(e.type, e.aggregate_id, e.version, e.position)
                                                                        for e in self.events])

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
        for expectation in append.expectations:
            miss = self._miss(expectation) if expectation.kind == "create" else None
            if miss is not None:
                return miss
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
        if limits.aggregates and new_aggregates and len(self.aggregates) + new_aggregates > limits.aggregates:
            limited = limited or "LIMIT_AGGREGATES"
        return limited or mismatched

    def _miss(self, expectation):
        about = expectation.aggregate_id
        now = self._now(about)
        current = now.version if now.exists else None
        if expectation.kind == "version":
            if (not now.exists and expectation.version == 0) or current == expectation.version:
                return None
            return Refused("VERSION_CONFLICT", expectation.version, current, about)
        if expectation.kind == "if_match":
            return None if current == expectation.version else Refused("IF_MATCH_FAILED", expectation.version, current, about)
        if expectation.kind == "exist":
            return None if now.exists else Refused("VERSION_CONFLICT", about=about)
        if not now.exists:
            return None
        return Refused("AGGREGATE_EXISTS" if expectation.kind == "create" else "VERSION_CONFLICT", None, current, about)

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
