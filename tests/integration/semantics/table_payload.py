"""`data`, `metadata` and other JSON texts."""

from semantics.rows import Ok, Refused, Row, append, create, event, get, publish, save


def nested(depth, inner="{}"):
    """Objects in each other: `depth` levels, the innermost included."""
    return '{"a":' * (depth - 1) + inner + "}" * (depth - 1)


def listed(depth):
    """An object with lists in each other."""
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


NUMBER_1000 = "1" + "0" * 497 + "." + "5" * 497 + "e+99"
assert len(NUMBER_1000) == 1000

BROKEN = [
    ("duplicate names", '{"a":1,"a":2}'),
    ("duplicate names, deeper", '{"o":[{"a":1,"b":2,"a":3}]}'),
    ("duplicate names, one escaped", '{"a":1,"\\u0061":2}'),
    ("invalid UTF-8", b'{"a":"\xff"}'),
    ("invalid UTF-8: overlong", b'{"a":"\xc0\xaf"}'),
    ("invalid UTF-8: cut short", b'{"a":"\xe2\x82"}'),
    ("invalid UTF-8 in a name", b'{"\xfe":1}'),
    ("a lone high surrogate", '{"a":"\\ud800"}'),
    ("a lone low surrogate", '{"a":"\\udc00 "}'),
    ("surrogates in the wrong order", '{"a":"\\udc00\\ud800"}'),
    ("a surrogate in UTF-8", b'{"a":"\xed\xa0\x80"}'),
    ("depth 65", nested(65)),
    ("depth 65 in lists", listed(65)),
    ("a number of 1,001 characters", '{"a":%s0}' % NUMBER_1000),
    ("a leading zero", '{"a":01}'),
    ("a plus", '{"a":+1}'),
    ("a bare point", '{"a":.5}'),
    ("NaN", '{"a":NaN}'),
    ("a trailing comma", '{"a":1,}'),
    ("a comment", '{"a":1/*x*/}'),
    ("single quotes", "{'a':1}"),
    ("a control character in a string", '{"a":"\t"}'),
]
NO_OBJECT = [("a list", "[1]"), ("a string", '"x"'), ("a number", "1"), ("true", "true")]

TOKENS = '{"b":10.10,"a":-0,"\\u0061b":"\\u00e9\\/\\n","n":1e400,"l":[1.0,1E+2],"é":"é","o":{}}'
SPACED = TOKENS.replace(":", " :\n").replace(",", ",\t\r\n ").replace("{", "{ ")

ORDER = {"type": "order_created", "aggregate_type": "order"}

ROWS = [Row("data must not have: %s" % why, publish(data=text),
            Refused("INVALID_JSON", fields=["data"], http_fields=[]))
        for why, text in BROKEN]
ROWS += [Row("%s is a JSON object: %s" % (field, why), call(text), Refused("INVALID_JSON", fields=[field]))
         for field, call in (
             ("data", lambda text: publish(data=text)),
             ("metadata", lambda text: publish(metadata=text)),
             ("initial_state", lambda text: create(initial_state=text)))
         for why, text in NO_OBJECT]
ROWS += [Row("%s is a JSON object: null" % field, publish(**{field: "null"}), Refused("INVALID_JSON", fields=[field]),
             only="grpc") for field in ("data", "metadata")]  # over HTTP null is absent, as everywhere in proto3's JSON
ROWS += [Row("the same rules for %s: %s" % (field, why), call(text),
             Refused("INVALID_JSON", fields=[field], http_fields=[]), after=[create()])
         for field, call in (
             ("metadata", lambda text: publish(metadata=text)),
             ("events[1].data", lambda text: append(event(), event(data=text))),
             ("initial_state", lambda text: create("@b", initial_state=text)),
             ("state", lambda text: save(state=text, expected_version=0)),
             ("set_metadata", lambda text: save(set_metadata=text)))
         for why, text in (BROKEN[0], BROKEN[3], BROKEN[7], BROKEN[11], BROKEN[13])]

KEPT = [("depth 64", nested(64)), ("depth 64 in lists", listed(64)), ("a number of 1,000 characters",
                                                                   '{"a":%s}' % NUMBER_1000),
        ("a pair of surrogates", '{"a":"\\ud83d\\ude00"}'), ("token for token", TOKENS), ("an empty object", "{}"),
        ("an empty name", '{"":1}')]
ROWS += [Row("data is kept: %s" % why, publish(data=text), Ok(raw={"event.data": text})) for why, text in KEPT]
ROWS += [Row("data of an append is kept: %s" % why, append(event(data=text), event(data=text, metadata=text)), Ok(),
             then=[(("ListEvents", {"aggregate_id": "@a"}), Ok(raw={"events.1.data": text,
                                                                    "events.1.metadata": text}))])
         for why, text in KEPT]
ROWS += [Row("a state is kept: %s" % why, create(initial_state=text), Ok(raw={"state": text}),
             then=[(get(), Ok(raw={"state": text}))]) for why, text in KEPT]
ROWS += [
    Row("insignificant white space is removed on entry", publish(data=SPACED, metadata=SPACED),
        Ok(raw={"event.data": TOKENS, "event.metadata": TOKENS})),
    Row("no data is {}", publish(data=""), Ok(raw={"event.data": "{}"}), only="grpc"),
    Row("folding copies number tokens", get(), Ok(raw={"state": '{"a":1.50,"b":%s}' % NUMBER_1000}),
        after=[append(event(data='{"a":1}'), event(data='{"a":1.50,"b":%s}' % NUMBER_1000))]),

    Row("another content_type is opaque bytes", publish(data=b"\xff\x00{", content_type="image/png"),
        Ok(event__content_type="image/png", event__data="/wB7")),
    Row("application/json is the default, not stored", publish(content_type="application/json"),
        Ok(event__content_type="")),
    Row("a content_type is ASCII", publish(content_type="image/é", data=b"x"),
        Refused("INVALID_FIELD", fields=["content_type"])),
    Row("a content_type has no control characters", publish(content_type="image/\npng", data=b"x"),
        Refused("INVALID_FIELD", fields=["content_type"])),
    Row("a content_type has at most 255 bytes", publish(content_type="a/" + "b" * 254, data=b"x"),
        Refused("INVALID_FIELD", fields=["content_type"])),
    Row("a known type is JSON", publish(data=b"x", content_type="image/png", **ORDER),
        Refused("INVALID_FIELD", fields=["content_type"])),
    Row("opaque bytes are base64 in JSON", ("PublishEvent", {**event(data="{}"), "content_type": "image/png",
                                                             "data": b""}),
        Ok(event__data="")),
    Row("a schema_version is 0 or more", publish(schema_version=-1),
        Refused("INVALID_FIELD", fields=["schema_version"])),
]

# --- correlation and causation from the metadata ---

for name in ("correlation_id", "causation_id"):
    inner = "metadata." + name
    ROWS += [
        Row("metadata.%s sets the event's when that is absent" % name, publish(metadata='{"%s":"@c"}' % name),
            Ok(**{"event__" + name: "@c"})),
        Row("metadata.%s, escaped" % name, publish(metadata='{"%s":"@\\u0063"}' % name),
            Ok(**{"event__" + name: "@c"})),
        Row("metadata.%s and the event's, the same" % name, publish(metadata='{"%s":"@c"}' % name, **{name: "@c"}),
            Ok(**{"event__" + name: "@c"})),
        Row("metadata.%s and the event's, different, is 400" % name,
            publish(metadata='{"%s":"@c"}' % name, **{name: "@d"}), Refused("INVALID_FIELD", fields=[inner])),
        Row("metadata.%s must be a string" % name, publish(metadata='{"%s":1}' % name),
            Refused("INVALID_FIELD", fields=[inner])),
        Row("metadata.%s must be an id" % name, publish(metadata='{"%s":"a b"}' % name),
            Refused("INVALID_ID", fields=[inner])),
        Row("metadata.%s null is as good as absent" % name, publish(metadata='{"%s":null}' % name, **{name: "@d"}),
            Ok(**{"event__" + name: "@d"})),
    ]

# --- payload messages of the known types ---


def order(**members):
    return '{"order_id":"@a"%s}' % "".join(',"%s":%s' % member for member in members.items())


MONEY = ["10.10", '"10.10"', "0", '"-0.00"', "1e2", '"1E+2"', "123456789012345678901234567890.123456789"]
NO_MONEY = ["true", "[]", "{}", '""', '"1,5"', '"EUR 1"', '"01"', '"1 "', '"NaN"', '"%s"' % ("1" * 1001)]
ROWS += [Row("money accepts JSON numbers and strings, digits kept: %s" % text,
             publish(data=order(total_amount=text, items='[{"unit_price":%s}]' % text), **ORDER),
             Ok(raw={"event.data": order(total_amount=text, items='[{"unit_price":%s}]' % text)}))
         for text in MONEY if "@" not in text]
ROWS += [Row("money is no: %s" % text[:20],
             publish(data=order(total_amount=text, items='[{"unit_price":1},{"unit_price":%s}]' % text), **ORDER),
             Refused("INVALID_FIELD", fields=["data.total_amount", "data.items[1].unit_price"])) for text in NO_MONEY]
ROWS += [
    Row("all faulty fields listed", publish(
        data='{"total_amount":[],"currency":"eur","status":1,"user_id":{},"items":[{"quantity":1.5,"name":2},3]}',
        **ORDER),
        Refused("INVALID_FIELD", fields=["data.total_amount", "data.currency", "data.status", "data.user_id",
                                         "data.items[0].quantity", "data.items[0].name", "data.items[1]",
                                         "data.order_id"])),
    Row("all faulty fields of all events listed",
        append(event("@a", '{"order_id":1}', **ORDER), event("@b", '{"user_id":1}', "user_created", "user"),
               event("", data="[]"), event("@d", '{"payment_id":"@d","amount":true}', "payment_processed", "payment")),
        Refused("INVALID_FIELD", fields=["events[0].data.order_id", "events[1].data.user_id", "events[2].aggregate_id",
                                         "events[2].data", "events[3].data.amount"])),
    Row("a required member is missing", publish(data="{}", **ORDER),
        Refused("INVALID_FIELD", fields=["data.order_id"])),
    Row("a required member is null", publish(data='{"order_id":null}', **ORDER),
        Refused("INVALID_FIELD", fields=["data.order_id"])),
    Row("a required member is empty", publish(data='{"user_id":""}', type="user_created", aggregate_type="user"),
        Refused("INVALID_FIELD", fields=["data.user_id"])),
    Row("the aggregate's own id: another is refused", publish(data='{"payment_id":"@b"}', type="payment_processed",
                                                              aggregate_type="payment"),
        Refused("INVALID_FIELD", fields=["data.payment_id"])),
    Row("any member may be null", publish(data=order(total_amount="null", items="null", status="null"), **ORDER), Ok()),
    Row("unknown members are kept", publish(data=order(gift="true", note='{"x":[1.0]}'), **ORDER),
        Ok(raw={"event.data": order(gift="true", note='{"x":[1.0]}')})),
    Row("an initial state has the members' types", create(type="order",
                                                          initial_state='{"total_amount":[],"order_id":1}'),
        Refused("INVALID_FIELD", fields=["initial_state.total_amount", "initial_state.order_id"])),
    Row("no member of an initial state is required", create(type="order", initial_state='{"x":1}'), Ok(state={"x": 1})),
    Row("a whole new state has the members' types", save(state='{"currency":1}', expected_version=0),
        Refused("INVALID_FIELD", fields=["state.currency"]), after=[create(type="payment")]),
]

# --- unknown members of requests, which gRPC cannot send ---

ROWS += [
    Row("unknown request member 400 naming it", publish(expectedVerison=1),
        Refused("UNKNOWN_FIELD", http_fields=["expectedVerison"], says="expected_version"), only="rest"),
    Row("unknown member of an event", append(event(datas="{}")),
        Refused("UNKNOWN_FIELD", http_fields=["events[0].datas"], says="data"), only="rest"),
    Row("unknown query parameter 400 naming it", get(as_of_vresion=1),
        Refused("UNKNOWN_FIELD", http_fields=["as_of_vresion"], says="as_of_version"), only="rest", after=[create()]),
    Row("a member of the wrong kind is named", publish(tags="x", version="one", occurred_at="yesterday"),
        Refused("INVALID_FIELD", http_fields=["tags", "version", "occurred_at"]), only="rest"),
    Row("version null is absent", publish(version=None), Ok(event__version=1), only="rest"),
]

# With validation_rules.strict.
STRICT = [
    Row("strict refuses unknown members", publish(data=order(gift="1", items='[{"x":1}]'), **ORDER),
        Refused("UNKNOWN_FIELD", fields=["data.gift", "data.items[0].x"])),
    Row("strict: other faults have their own reason", publish(data=order(gift="1", currency="1"), **ORDER),
        Refused("INVALID_FIELD", fields=["data.gift", "data.currency"])),
    Row("strict is about known types", publish(data='{"anything":1}'), Ok()),
    Row("strict is not about states", create(type="order", initial_state='{"gift":1}'), Ok(state={"gift": 1})),
]

# With validation_enabled: false.
UNCHECKED = [
    Row("validation off: no payload shapes", publish(data='{"total_amount":[]}', **ORDER), Ok()),
    Row("validation off: no checks", publish(data='{"new_status":"refunded"}', type="order_status_changed",
                                             aggregate_type="order"), Ok(event__version=1)),
    Row("validation off, never ids", publish("a b"), Refused("INVALID_ID", fields=["aggregate_id"])),
    Row("validation off, never sizes", append(*[event()] * 1001), Refused("APPEND_TOO_LARGE")),
    Row("validation off, never UTF-8", publish(data=b'{"a":"\xff"}'),
        Refused("INVALID_JSON", fields=["data"], http_fields=[])),
    Row("validation off, never versions", publish(version=2), Refused("VERSION_CONFLICT", 1)),
    Row("validation off, never types", publish(type="user_created", aggregate_type="order"),
        Refused("TYPE_MISMATCH", fields=["type"])),
]
