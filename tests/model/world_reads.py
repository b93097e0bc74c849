"""Snapshots, lists and single events."""

import json
import re

from model import Item, Refused
from support.strata_rpc import Failure, aggregate_service_pb2, event_pb2, event_service_pb2, snapshot_service_pb2
from tokens import canonical, write
from world_compare import outcome_name

STATES = {"VERIFIED": 1, "PENDING": 2, "DIVERGENT": 3}


class Reads:
    def create_snapshot(self):
        made = self.make_snapshot()
        if made is None:
            return
        request, asked = made
        expected = self.model.create_snapshot(*asked)
        got = self.ask(self.client.snapshots.CreateSnapshot, request, "create snapshot")
        if not self.compare_refusal("create snapshot", request, expected, got):
            self.compare_snapshot("create snapshot", request, self.known(request.aggregate_id), expected, got)
        self.count("create snapshot", outcome_name(expected) if isinstance(expected, Refused) else expected["state"])

    def make_snapshot(self):
        """(CreateSnapshotRequest, what the model is asked), or None."""
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
            return None
        metadata = write(self.object()) if self.chance(0.2) else None
        request = snapshot_service_pb2.CreateSnapshotRequest(aggregate_id=aggregate_id)
        if version is not None:
            request.version = version
        if data is not None:
            request.data = data.encode()
        if metadata is not None:
            request.metadata = metadata.encode()
        return request, (aggregate_id, version, None if data is None else compact(data), metadata or "")

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
