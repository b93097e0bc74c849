"""Appends to several aggregates, conditions, the order of decide's rules, repetitions."""

from semantics.rows import (DerivedId, From, Ok, Refused, Row, append, at_version, create, event, get, publish, save)

MANY = [event()] * 1000
MEGABYTE = '{"a":"%s"}' % ("x" * 1000000)

BOUNDS = [
    Row("1 event", append(event()), Ok(heads__0__version=1)),
    Row("no event", append(), Refused("INVALID_FIELD", fields=["events"])),
    Row("1,000 events", append(*MANY), Ok(heads__0__version=1000, event_ids__count=1000)),
    Row("1,001 events", append(*MANY, event()), Refused("APPEND_TOO_LARGE")),
    Row("8 MiB: just below", append(*[event(data=MEGABYTE)] * 8), Ok(heads__0__version=8)),
    Row("8 MiB: above", append(*[event(data=MEGABYTE)] * 9), Refused("APPEND_TOO_LARGE")),
    Row("one event's data and metadata at most max_event_data_size: at it",
        publish(data='{"a":"%s"}' % ("x" * ((1 << 20) - 8 - 2)), metadata="{}"), Ok(event__version=1)),
    Row("one event's data and metadata at most max_event_data_size: above",
        publish(data='{"a":"%s"}' % ("x" * ((1 << 20) - 8 - 1)), metadata="{}"),
        Refused("EVENT_TOO_LARGE", fields=["data"])),
    Row("the event that is too large is named", append(event(), event(data='{"a":"%s"}' % ("x" * (1 << 20)))),
        Refused("EVENT_TOO_LARGE", fields=["events[1].data"])),
    Row("white space does not count", publish(data='{"a":"%s" %s}' % ("x" * 500000, " " * 600000)), Ok()),
]


def about(*expectations, **fields):
    return append(event("@new"), expectations=list(expectations), **fields)


SEVERAL = [
    Row("to several aggregates, with consecutive positions", append(event("@a"), event("@b"), event("@a")),
        Ok(heads__count=2, heads__0__aggregate_id="@a", heads__0__version=2, heads__1__version=1, event_ids__count=3)),
    Row("all or nothing: an expectation", append(event("@a"), event("@b"),
                                                 expectations=[{"aggregate_id": "@b", "exist": True}]),
        Refused("VERSION_CONFLICT"), then=[(get("@a"), Refused("AGGREGATE_UNKNOWN"))]),
    Row("all or nothing: a type", append(event("@b"), event("@a", aggregate_type="order")), Refused("TYPE_MISMATCH"),
        after=[at_version(1)], then=[(get("@b"), Refused("AGGREGATE_UNKNOWN"))]),
    Row("all or nothing: a check", append(event("@b"), event("@a", '{"new_status":"paid"}', "order_status_changed",
                                                             "order")),
        Refused("TRANSITION_REFUSED"), after=[create(type="order")], then=[(get("@b"), Refused("AGGREGATE_UNKNOWN"))]),
    Row("expectations about aggregates nothing is appended to: version",
        about({"aggregate_id": "@a", "be_at_version": 3}),
        Ok(heads__count=1), after=[at_version(3)]),
    Row("and missed: version", about({"aggregate_id": "@a", "be_at_version": 2}), Refused("VERSION_CONFLICT", 2, 3),
        after=[at_version(3)], then=[(get("@new"), Refused("AGGREGATE_UNKNOWN"))]),
    Row("and missed: exist", about({"aggregate_id": "@a", "exist": True}), Refused("VERSION_CONFLICT")),
    Row("and missed: not_exist", about({"aggregate_id": "@a", "not_exist": True}),
        Refused("VERSION_CONFLICT", None, 0), after=[create()]),
    Row("the second of several expectations", about({"aggregate_id": "@b", "not_exist": True},
                                                    {"aggregate_id": "@a", "be_at_version": 7}),
        Refused("VERSION_CONFLICT", 7, 3), after=[at_version(3)]),
    Row("two expectations about one aggregate are 400", about({"aggregate_id": "@a", "exist": True},
                                                              {"aggregate_id": "@a", "be_at_version": 3}),
        Refused("INVALID_FIELD", fields=["expectations"]), after=[at_version(3)]),
    Row("an expectation that says nothing", about({"aggregate_id": "@a"}),
        Refused("INVALID_FIELD", fields=["expectations[0]"])),
    Row("exist: false", about({"aggregate_id": "@a", "exist": False}),
        Refused("INVALID_FIELD", fields=["expectations[0]"])),
    Row("not_exist: false", about({"aggregate_id": "@a", "not_exist": False}),
        Refused("INVALID_FIELD", fields=["expectations[0]"])),
    Row("an expectation that says two things", about({"aggregate_id": "@a", "exist": True, "be_at_version": 1}),
        Refused("INVALID_FIELD", http_fields=["expectations[0].be_at_version"]), only="rest"),
    Row("the aggregate of an expectation has an id", about({"aggregate_id": "a b", "exist": True}),
        Refused("INVALID_ID", fields=["expectations[0].aggregate_id"])),
    Row("expectations see the aggregates as before the append",
        append(event(), event(), expectations=[{"aggregate_id": "@a", "be_at_version": 0}]), Ok(heads__0__version=2)),
]

# --- conditions ---


def condition(*items, **after):
    return append(event("@new"), condition={"fail_if_match": {"items": list(items)}, **after})


SEEN = append(event("@a", tags=["@t", "@u"], correlation_id="@c"), event("@b", aggregate_type="order", tags=["@t"]))
MATCHES = [
    ("tags", {"tags": ["@t"]}), ("all of the tags", {"tags": ["@t", "@u"]}),
    ("aggregates", {"aggregate_ids": ["@z", "@b"]}),
    ("correlation", {"correlation_id": "@c"}), ("types", {"types": ["order_created", "custom"], "tags": ["@t"]}),
    ("aggregate types", {"aggregate_types": ["order"], "tags": ["@t"]}),
    ("all fields of an item", {"types": ["custom"], "tags": ["@u"], "aggregate_types": ["custom"],
                               "aggregate_ids": ["@a"], "correlation_id": "@c"}),
]
MISSES = [
    ("tags", {"tags": ["@none"]}), ("not all of the tags", {"tags": ["@t", "@none"]}),
    ("aggregates", {"aggregate_ids": ["@z"]}), ("correlation", {"correlation_id": "@none"}),
    ("types", {"types": ["order_created"], "tags": ["@t"]}),
    ("aggregate types", {"aggregate_types": ["payment"], "tags": ["@t"]}),
    ("one field of an item", {"tags": ["@u"], "aggregate_ids": ["@b"]}),
]
CONDITIONS = [Row("fail_if_match: %s" % name, condition(item), Refused("CONDITION_FAILED"), after=[SEEN],
                  then=[(get("@new"), Refused("AGGREGATE_UNKNOWN"))]) for name, item in MATCHES]
CONDITIONS += [Row("fail_if_match misses: %s" % name, condition(item), Ok(heads__0__version=1), after=[SEEN])
               for name, item in MISSES]
CONDITIONS += [Row("after a position, all seen: %s" % name, condition(item, after_position=From("last_position")),
                   Ok(heads__0__version=1), after=[SEEN]) for name, item in MATCHES]
CONDITIONS += [
    Row("after a position, the last not seen", condition({"tags": ["@t"]}, after_position=From("last_position", -1)),
        Refused("CONDITION_FAILED"), after=[SEEN]),
    Row("any of the items", condition({"tags": ["@none"]}, {"correlation_id": "@c"}), Refused("CONDITION_FAILED"),
        after=[SEEN]),
    Row("1 item at least", condition(), Refused("INVALID_FIELD", fields=["condition.fail_if_match"])),
    Row("16 items", condition(*[{"tags": ["@none%d" % i]} for i in range(16)]), Ok()),
    Row("17 items", condition(*[{"tags": ["@none%d" % i]} for i in range(17)]),
        Refused("INVALID_FIELD", fields=["condition.fail_if_match"])),
    Row("no prefixes", condition({"aggregate_id_prefixes": ["@"]}),
        Refused("INVALID_FIELD", fields=["condition.fail_if_match.items[0].aggregate_id_prefixes"])),
    Row("at most 64 entries in a list: 65", condition({"types": ["t%d" % i for i in range(65)]}),
        Refused("INVALID_FIELD", fields=["condition.fail_if_match.items[0].types"])),
    Row("at most 64 entries in a list: 64", condition({"types": ["t%d" % i for i in range(64)]}), Ok()),
    Row("a * is no wildcard", condition({"types": ["c*"]}), Ok(), after=[publish()]),
    Row("a position is not negative", condition({"tags": ["@t"]}, after_position=-1),
        Refused("INVALID_FIELD", fields=["condition.after_position"])),
    Row("faulty names of an item", condition({"tags": ["a b"], "aggregate_ids": [".", "@a"]}),
        Refused("INVALID_ID", fields=["condition.fail_if_match.items[0].tags[0]",
                                      "condition.fail_if_match.items[0].aggregate_ids[0]"])),
    Row("the append's own events do not count", append(event(tags=["@t"]),
                                                       condition={"fail_if_match": {"items": [{"tags": ["@t"]}]}}),
                                                       Ok()),
]

# --- the order of decide's rules: of two that would refuse, the earlier answers ---

ILLEGAL = dict(type="order_status_changed", aggregate_type="order", data='{"new_status":"delivered"}')
MATCHED = {"fail_if_match": {"items": [{"aggregate_ids": ["@a"]}]}}
MISSED = [{"aggregate_id": "@a", "be_at_version": 9}]
PENDING = create(type="order", initial_state='{"status":"pending"}')

ORDER = [
    Row("1 ids before 3 type", append(event(id="@e", aggregate_type="user")), Refused("EVENT_ID_USED", says="@e"),
        after=[publish(id="@e")]),
    Row("1 ids before 4 expectations", append(event(id="@e", data='{"x":1}'), expectations=MISSED),
        Refused("EVENT_ID_USED", says="@e"), after=[publish(id="@e")]),
    Row("1 ids before 5 condition", append(event(id="@e", data='{"x":1}'), condition=MATCHED),
        Refused("EVENT_ID_USED", says="@e"), after=[publish(id="@e")]),
    Row("1 ids before 6 check", append(event(id="@e", **ILLEGAL)), Refused("EVENT_ID_USED", says="@e"),
        after=[PENDING, publish("@b", id="@e")]),
    Row("3 type before 4 expectations", append(event(), expectations=MISSED), Refused("TYPE_MISMATCH"),
        after=[PENDING]),
    Row("4 expectations before 5 condition", append(event(), expectations=MISSED, condition=MATCHED),
        Refused("VERSION_CONFLICT", 9, 1), after=[publish()]),
    Row("4 expectations before 6 check", append(event(**ILLEGAL), expectations=MISSED),
        Refused("VERSION_CONFLICT", 9, 0), after=[PENDING]),
    Row("5 condition before 6 check", append(event(**ILLEGAL), condition=MATCHED), Refused("CONDITION_FAILED"),
        after=[PENDING]),
    Row("6 check, alone", append(event(**ILLEGAL)), Refused("TRANSITION_REFUSED"), after=[PENDING]),
    Row("request-local faults come first of all", append(event("a b", id="@e", **ILLEGAL), expectations=MISSED),
        Refused("INVALID_ID", fields=["events[0].aggregate_id"]), after=[publish(id="@e")]),
]

# With validation_rules.max_aggregate_events: 4, the rules around 2.
FULL = at_version(4)
ORDER_OF_LIMITS = [
    Row("1 ids before 2 limits", publish(id="@e", data='{"x":1}'), Refused("EVENT_ID_USED", says="@e"),
        after=[publish(id="@e"), append(event(), event(), event())]),
    Row("2 limits before 3 type", publish(aggregate_type="order"),
        Refused("LIMIT_AGGREGATE_EVENTS", quota="validation_rules.max_aggregate_events"), after=[FULL]),
    Row("2 limits before 4 expectations", publish(version=9),
        Refused("LIMIT_AGGREGATE_EVENTS", quota="validation_rules.max_aggregate_events"), after=[FULL]),
    Row("a replay wins over 2 limits", append(event(), append_id="@k"), Ok(replayed=True),
        after=[append(event(), append_id="@k"), append(event(), event(), event())]),
    Row("a creation of what exists hears just that", create(), Refused("AGGREGATE_EXISTS", current=4), after=[FULL]),
]

# --- repetitions ---

FIELDS = dict(correlation_id="@c", causation_id="@d", schema_version=2, tags=["@t", "@u"], subject="@s",
              occurred_at="2026-01-02T03:04:05.000006Z", data='{"a":1.0}', metadata='{"m":1}')
FIRST = append(event("@a", id="@1"), event("@b", id="@2"), event("@a", id="@3"))


def changed(**fields):
    return append(event(id="@e", **{**FIELDS, **fields}))


def order_of(*ids):
    return append(*[event("@b" if one == "@2" else "@a", id=one) for one in ids])


REPEATED = [
    Row("ids of one earlier append, in order, complete, same content: a replay", FIRST,
        Ok(replayed=True, append_id="@1", heads__count=2, heads__0__version=2, event_ids=["@1", "@2", "@3"]),
        after=[FIRST]),
    Row("the same content, every field", changed(), Ok(replayed=True), after=[changed()]),
    Row("white space is no content", changed(data='{ "a" : 1.0 }', metadata=' {"m":1}'), Ok(replayed=True),
        after=[changed()]),
    Row("the default content_type is no content", changed(content_type="application/json"), Ok(replayed=True),
        after=[changed()]),
    Row("the type of the aggregate may be left out", changed(aggregate_type=""), Ok(replayed=True), after=[changed()]),
    Row("expectations are no content", append(event(id="@e"), expectations=MISSED), Ok(replayed=True),
        after=[publish(id="@e")]),
    Row("a publication's version neither", publish(id="@e", version=7), Ok(replayed=True, event__version=1),
        after=[publish(id="@e")]),
    Row("the condition neither", append(event(id="@e"), condition=MATCHED), Ok(replayed=True),
        after=[publish(id="@e")]),
    Row("a replay wins over the check", append(event(id="@e", **{**ILLEGAL, "data": '{"new_status":"confirmed"}'})),
        Ok(replayed=True, heads__0__version=1),
        after=[PENDING, append(event(id="@e", **{**ILLEGAL, "data": '{"new_status":"confirmed"}'})),
               append(event(**{**ILLEGAL, "data": '{"new_status":"paid"}'}))]),
    Row("a replay records nothing", get(), Ok(version=1), after=[publish(id="@e"), publish(id="@e")]),
    Row("an append after a replay has the next version", publish(), Ok(event__version=2, replayed=False),
        after=[publish(id="@e"), publish(id="@e")]),
]
REPEATED += [Row("other content: %s" % name, changed(**{name: value}), Refused("EVENT_ID_USED", says="@e"),
                 after=[changed()])
             for name, value in dict(
                 correlation_id="@x", causation_id="", schema_version=3, tags=["@u", "@t"], subject="@x",
                 occurred_at="2026-01-02T03:04:05.000007Z", data='{"a":1.00}', metadata="{}").items()]
REPEATED += [
    Row("other content: aggregate", append(event("@other", id="@e")), Refused("EVENT_ID_USED", says="@e"),
        after=[publish(id="@e")]),
    Row("other content: type", append(event(id="@e", type="order_created", aggregate_type="order",
                                            data='{"order_id":"@a"}')),
        Refused("EVENT_ID_USED", says="@e"), after=[append(event(id="@e", aggregate_type="order"))]),
    Row("other content: content_type", append(event(id="@e", content_type="text/plain", data=b"{}")),
        Refused("EVENT_ID_USED", says="@e"), after=[append(event(id="@e"))]),
    Row("another order", order_of("@1", "@3", "@2"), Refused("EVENT_ID_USED", says="@1"), after=[FIRST]),
    Row("a part", order_of("@1", "@2"), Refused("EVENT_ID_USED", says="@1"), after=[FIRST]),
    Row("its end", order_of("@2", "@3"), Refused("EVENT_ID_USED", says="@2"), after=[FIRST]),
    Row("more", order_of("@1", "@2", "@3", "@4"), Refused("EVENT_ID_USED", says="@1"), after=[FIRST]),
    Row("new ids around an old one", order_of("@5", "@2"), Refused("EVENT_ID_USED", says="@2"), after=[FIRST],
        then=[(("GetEvent", {"event_id": "@5"}), Refused("EVENT_UNKNOWN"))]),
    Row("ids of two appends", order_of("@1", "@9"), Refused("EVENT_ID_USED", says="@1"),
        after=[order_of("@1"), order_of("@9")]),
    Row("one id twice in an append", order_of("@1", "@1"), Refused("INVALID_FIELD", fields=["events.id"])),
    Row("a key and ids both given is 400: append", append(event(id="@e"), append_id="@k"),
        Refused("INVALID_FIELD", fields=["append_id"])),
    Row("a key and ids both given is 400: publish", publish(id="@e", idempotency_key="@k"),
        Refused("INVALID_FIELD", fields=["idempotency_key"])),
    Row("a key and ids both given is 400: save", save(events=[{"type": "custom", "id": "@e"}], idempotency_key="@k"),
        Refused("INVALID_FIELD", fields=["idempotency_key"]), after=[create()]),
    Row("ids derive from append_id, UUIDv5 of key, 0x00, index", append(event(), event("@b"), append_id="@k"),
        Ok(append_id="@k", event_ids=[DerivedId("@k", 0), DerivedId("@k", 1)])),
    Row("ids derive from Idempotency-Key", publish(idempotency_key="@k"),
        Ok(event__id=DerivedId("@k", 0), event__append_id="@k")),
    Row("a repeated key answers the first result", publish(idempotency_key="@k"),
        Ok(replayed=True, event__version=1, headers={"Strata-Replayed": "true"}),
        after=[publish(idempotency_key="@k"), publish()]),
    Row("a repeated key with other content", publish(idempotency_key="@k", data='{"x":1}'),
        Refused("EVENT_ID_USED", says=[DerivedId("@k", 0), "Idempotency-Key"]),
        after=[publish(idempotency_key="@k")]),
    Row("a repeated key with more events", append(event(), event(), append_id="@k"), Refused("EVENT_ID_USED"),
        after=[append(event(), append_id="@k")]),
    Row("Create answers the aggregate as of that append", create(initial_state='{"s":1}', idempotency_key="@k"),
        Ok(replayed=True, version=0, state={"s": 1}, headers={"Strata-Replayed": "true", "ETag": '"0"'}),
        after=[create(initial_state='{"s":1}', idempotency_key="@k"), publish(data='{"s":2}')]),
    Row("Create with a key and no id: the same aggregate", ("CreateAggregate",
                                                            {"type": "custom", "idempotency_key": "@k"}),
        Ok(replayed=True, id=From("id")), after=[("CreateAggregate", {"type": "custom", "idempotency_key": "@k"})]),
    Row("Create with the key of other content", create(initial_state='{"s":2}', idempotency_key="@k"),
        Refused("EVENT_ID_USED"), after=[create(initial_state='{"s":1}', idempotency_key="@k")]),
    Row("Save answers the aggregate as of that append", save(set_metadata='{"m":1}', idempotency_key="@k"),
        Ok(replayed=True, version=1, metadata={"m": 1}, state={"s": 1}),
        after=[create(initial_state='{"s":1}'), save(set_metadata='{"m":1}', idempotency_key="@k"),
               publish(data='{"s":2}'), save(set_metadata='{"m":2}')]),
    Row("Save is repeated under every expectation", save(state='{"s":2}', if_match='"0"', idempotency_key="@k"),
        Ok(replayed=True, version=1, state={"s": 2}),
        after=[create(), save(state='{"s":2}', if_match='"0"', idempotency_key="@k"), publish(data='{"s":3}')]),
    Row("neither key nor ids: append_id = the first event's id", append(event(), event()),
        Ok(replayed=False, append_id=lambda id: len(id) == 36 and id[14] == "7")),
]

ROWS = BOUNDS + SEVERAL + CONDITIONS + ORDER + REPEATED
