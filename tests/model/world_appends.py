"""Appends of every kind: alone, again, overlapping, and many at once over one stream."""

from model import Append, Event, Expectation, Item
from support.strata_rpc import event_pb2, event_service_pb2
from world_compare import outcome_name


class Appends:
    def expectation(self, aggregate_id):
        """(Expectation, its message)."""
        known = self.known(aggregate_id)
        version = self.version_of(aggregate_id)
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
        elif expected.reason == "CONDITION_FAILED" and not self.names_a_match(build(), got):
            self.differ("%s\n%s" % (what, request), "the position of a match", got)
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
            version = self.version_of(aggregate_id)
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
            self.compare_publish(what, request, expected, got)
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
        made = self.make_overlap(self.past)
        if made is None:
            return
        what, build, request = made
        expected = self.model.decide(build())
        got = self.ask(self.client.events.AppendEvents, request, "overlap")
        if not self.compare_refusal(what, request, expected, got):
            self.compare_append(what, request, expected, got)
        self.count("overlap", outcome_name(expected))

    def make_overlap(self, past):
        """(which way, builder of the model's Append, request) of an append that overlaps one of `past`, or None."""
        used = [entry for entry in past if entry[0] == "append" and not entry[2].append_id]
        keyed = [entry for entry in past if entry[0] == "append" and entry[2].append_id]
        if not used or not keyed:
            return None
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
                event.correlation_id, event.causation_id = new.correlation_id, new.causation_id  # not those of the metadata
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
        first = build()

        def again():
            return Append([clone(e) for e in events], changed.append_id, first.expectations, first.items, first.after_position)
        return "overlap %d" % way, again, changed


def clone(event):
    """As given, for sending once more."""
    copy = Event.__new__(Event)
    for name in Event.__slots__:
        setattr(copy, name, getattr(event, name))
    copy.version = copy.position = copy.append = copy.index = copy.aggregate_type = None
    return copy


def repeatable(append_id, events):
    return bool(append_id) or all(event.id for event in events)
