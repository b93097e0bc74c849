"""Expectations, versions and the type of an aggregate."""

from semantics.rows import Ok, Refused, Row, append, at_version, create, event, get, publish, save

# --- the table of expectations: each cell, in every way to say it ---

UNKNOWN, CREATED, AT_3 = [], [create()], [at_version(3)]


def conflict(expected=None, current=None):
    return Refused("VERSION_CONFLICT", expected, current)


def appends(**expectation):
    return append(event(), expectations=[{"aggregate_id": "@a", **expectation}])


CELLS = [  # how it is said, answers for: unknown id, created without an event, at version 3
    ("none (any)", publish(), 1, 1, 4),
    ("none (any), append", append(event()), 1, 1, 4),
    ("publish version: 1", publish(version=1), 1, 1, conflict(0, 3)),
    ("expected_version: 0", publish(expected_version=0), 1, 1, conflict(0, 3)),
    ("be_at_version: 0", appends(be_at_version=0), 1, 1, conflict(0, 3)),
    ("publish version: 4", publish(version=4), conflict(3), conflict(3, 0), 4),
    ("expected 3", publish(expected_version=3), conflict(3), conflict(3, 0), 4),
    ("be_at_version: 3", appends(be_at_version=3), conflict(3), conflict(3, 0), 4),
    ("not_exist", appends(not_exist=True), 1, conflict(None, 0), conflict(None, 3)),
    ("exist", appends(exist=True), conflict(), 1, 4),
]


def cell_outcome(call, answer):
    if not isinstance(answer, int):
        return answer
    return Ok(event__version=answer) if call[0] == "PublishEvent" else Ok(heads__0__version=answer)


EXPECTATIONS = [Row("expectation %s: %s" % (name, when), call, cell_outcome(call, answer), after=after)
                for name, call, *answers in CELLS
                for answer, (when, after) in zip(answers, (("unknown id", UNKNOWN), ("created, no event", CREATED),
                                                           ("at version 3", AT_3)))]

# --- versions ---

VERSIONS = [
    Row("version: 0 in publish is 400", publish(version=0), Refused("VERSION_ZERO", fields=["version"])),
    Row("version: 0, also with the expected_version that it would follow", publish(version=0, expected_version=0),
        Refused("VERSION_ZERO", fields=["version"])),
    Row("a negative version is 400", publish(version=-1), Refused("INVALID_FIELD", fields=["version"])),
    Row("a negative expected_version is 400", publish(expected_version=-1),
        Refused("INVALID_FIELD", fields=["version"])),
    Row("version and expected_version both given must agree", publish(version=4, expected_version=4),
        Refused("INVALID_FIELD", fields=["version"]), after=AT_3),
    Row("both given and agreeing", publish(version=4, expected_version=3), Ok(event__version=4), after=AT_3),
    Row("a negative be_at_version is 400", appends(be_at_version=-1),
        Refused("INVALID_FIELD", fields=["expectations[0]"])),
    Row("creating an aggregate that exists is 409", create(), Refused("AGGREGATE_EXISTS", current=0), after=CREATED),
    Row("creating one that an event began is 409", create(), Refused("AGGREGATE_EXISTS", current=3), after=AT_3),
    Row("creating one that exists, of another type: exists comes first", create(type="user"),
        Refused("AGGREGATE_EXISTS", current=3), after=AT_3),
    Row("only explicit creation has version 0", create(), Ok(version=0, event_count=1, headers={"ETag": '"0"'})),
    Row("publishing to an unknown id creates it implicitly", publish(), Ok(event__version=1),
        then=[(get(as_of_version=0), Refused("AGGREGATE_UNKNOWN")), (get(), Ok(version=1, event_count=1))]),
    Row("versions count over domain and system events alike",
        save(set_metadata='{"k":1}', active=False), Ok(version=5, event_count=5, headers={"ETag": '"5"'}), after=AT_3,
        then=[(publish(), Ok(event__version=6))]),
    Row("system events are part of reads", ("ListEvents", {"aggregate_id": "@a"}),
        Ok(events__0__type="$aggregate_created", events__0__version=0, events__1__type="custom",
           events__2__type="$state_replaced", events__3__type="$metadata_changed", events__4__type="$deactivated",
           events__5__type="$activated", events__5__version=5, events__count=6),
        after=[create(), publish(), save(state='{"s":1}', expected_version=1, set_metadata='{"k":1}', active=False),
               save(active=True)]),
    Row("system events are left out by a types filter", ("ListEvents", {"aggregate_id": "@a", "type": "custom"}),
        Ok(events__0__type="custom", events__count=1), after=[create(), publish(), save(active=False)]),
    Row("data of a creation = initial_state, metadata = the aggregate's", ("ListEvents", {"aggregate_id": "@a"}),
        Ok(events__0__data={"s": 1}, events__0__metadata={"m": 2}, events__count=1),
        after=[create(initial_state='{"s":1}', metadata='{"m":2}')]),
]

# --- types ---

TYPES = [
    Row("its type is fixed at its first event", publish(aggregate_type="user"), Refused("TYPE_MISMATCH"), after=AT_3),
    Row("the type may be left out later", publish(aggregate_type=""), Ok(event__aggregate_type="custom"), after=AT_3),
    Row("the first event must name it", publish(aggregate_type=""), Refused("INVALID_FIELD", fields=["aggregate_type"])),
    Row("each first event must name it", append(event("@a"), event("@a", aggregate_type=""), event("@b", aggregate_type="")),
        Refused("INVALID_FIELD", fields=["events[2].aggregate_type"])),
    Row("the first event must name it, where a check looks", append(event(type="order_created", aggregate_type="",
                                                                          data='{"order_id":"@a"}')),
        Refused("INVALID_FIELD", fields=["events[0].aggregate_type"])),
    Row("user_* events fit user aggregates only", publish(type="user_updated", aggregate_type="order"),
        Refused("TYPE_MISMATCH", fields=["type"])),
    Row("order_* events fit order aggregates only", publish(type="order_created", aggregate_type="payment",
                                                             data='{"order_id":"@a"}'),
        Refused("TYPE_MISMATCH", fields=["type"])),
    Row("payment_* events fit payment aggregates only", publish(type="payment_processed", aggregate_type="user",
                                                                 data='{"payment_id":"@a"}'),
        Refused("TYPE_MISMATCH", fields=["type"])),
    Row("also when the type is left out", publish(type="user_updated", aggregate_type=""), Refused("TYPE_MISMATCH"),
        after=[at_version(1)]),
    Row("custom events fit any", publish(aggregate_type="payment"), Ok(event__version=1)),
    Row("custom events on the others leave the state", get(), Ok(version=2, state={"status": "pending"}),
        after=[create(type="order", initial_state='{"status":"pending"}'),
               publish(data='{"x":1}', aggregate_type="order"), publish(data='{"x":2}', aggregate_type="order")]),
    Row("custom events on custom aggregates fold by merge patch", get(), Ok(state={"b": {"d": 2}, "n": 3}),
        after=[append(event(data='{"a":1,"b":{"c":1}}'), event(data='{"a":null,"b":{"c":null,"d":2},"n":3}'))]),
    Row("supported event types restrict appends", publish(type="nope"), Refused("TYPE_NOT_ALLOWED", fields=["type"])),
    Row("supported aggregate types restrict appends", publish(aggregate_type="nope"),
        Refused("TYPE_NOT_ALLOWED", fields=["aggregate_type"])),
    Row("of both types that are not allowed, the event's is named", publish(type="nope", aggregate_type="nope"),
        Refused("TYPE_NOT_ALLOWED", fields=["type"])),
    Row("supported aggregate types restrict creations", create(type="nope"),
        Refused("TYPE_NOT_ALLOWED", fields=["type"])),
    Row("lists never restrict reads", ("ListEvents", {"type": "nope"}), Ok(events__count=0)),
    Row("lists never restrict reads of aggregate types", ("ListEvents", {"aggregate_type": "nope"}),
        Ok(events__count=0)),
]

ROWS = EXPECTATIONS + VERSIONS + TYPES
