"""Creating, saving and reading aggregates."""

from domain import ACTIVATED, CREATED, DEACTIVATED, METADATA_CHANGED, ORDER_MOVES, PAYMENT_MOVES, REPLACED, Folded
from model import Append, Event, Expectation, Refused
from support.strata_rpc import aggregate_service_pb2, event_service_pb2, microseconds
from tokens import copy, without_nulls, write
from world_appends import clone
from world_compare import outcome_name


class Aggregates:
    def create(self):
        self.send_create("create", *self.make_create())

    def make_create(self):
        """(builder of the model's Append, CreateAggregateRequest)."""
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
        return build, request

    def send_create(self, what, build, request):
        expected = self.model.decide(build())
        got = self.ask(self.client.aggregates.CreateAggregate, request, what)
        self.compare_saved(what, request, expected, got)
        if request.idempotency_key and not request.validate_only:
            self.past.append(("create", build, request))

    def compare_saved(self, what, request, expected, got):
        """The reply of create and save: the aggregate as of the append."""
        if not self.compare_refusal(what, request, expected, got):
            self.compare_saved_reply(what, request, expected, got)
        self.count(what, outcome_name(expected))

    def compare_saved_reply(self, what, request, expected, got):
        """One that says yes."""
        last = expected.events[-1]
        if request.validate_only and not expected.replayed:
            self.compare_rehearsal(what, request, expected, got)
            return
        aggregate = self.model.aggregates[last.aggregate_id]
        entry = aggregate.at_version(last.version)
        self.check_time(expected, microseconds(got.updated_at), what)
        self.model.settle(aggregate)
        self.compare_aggregate(what, request, aggregate, entry, got, expected.replayed)
        if any(event.id == "" for event in expected.events):
            self.learn_ids(expected)

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
        self.send_save("save", *self.make_save())

    def make_save(self):
        """(builder of the model's Append, SaveAggregateRequest)."""
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
                state = {**copy(known.now.state), **state}  # the model goes on with its own
            request.state = self.text(state)
        patch = self.object() if self.chance(0.3) else None
        if patch is not None:
            request.set_metadata = self.text(patch)
        active = self.chance(0.5) if self.chance(0.3) else None
        if active is not None:
            request.active = active
        expectation = None
        version = self.version_of(aggregate_id)
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
        return build, request

    def decide_save(self, build, request):
        append = build()
        if not append.events:
            return Refused("INVALID_FIELD")
        if request.state and not request.if_match and not request.HasField("expected_version"):
            return Refused("PRECONDITION_REQUIRED")
        if self.known(request.id) is None:
            return Refused("AGGREGATE_UNKNOWN")
        return self.model.decide(append)

    def send_save(self, what, build, request):
        expected = self.decide_save(build, request)
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
