"""Ids and type names."""

from semantics.rows import PREFIX_BYTES, Ok, Refused, Row, append, create, event, get, publish, save

REST = 255 - PREFIX_BYTES  # of an id behind its prefix
LONGEST, TOO_LONG = "@" + "x" * REST, "@" + "x" * (REST + 1)
# Bytes are counted, not characters.
ALSO_LONGEST, ALSO_TOO_LONG = "@" + "é" * ((REST - 1) // 2) + "x", "@" + "é" * ((REST + 1) // 2)

WHITE_SPACE = [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F,
               0x205F, 0x3000]
CONTROLS = [0x01, 0x1B, 0x1F, 0x7F, 0x80, 0x9F]

# Refused wherever an id may stand, also where it may be empty.
FAULTY = [("over 255 bytes", TOO_LONG), ("over 255 bytes in two-byte characters", ALSO_TOO_LONG), (".", "."),
          ("..", ".."), ("the system's", "$x"), ("the system's", "$")]
FAULTY += [("control character U+%04X" % point, "@a%sb" % chr(point)) for point in CONTROLS]
FAULTY += [("white space U+%04X" % point, "@a%sb" % chr(point)) for point in WHITE_SPACE]
# A sample of them stands for all where the same check is called for another field.
SAMPLE = [FAULTY[0], FAULTY[3], FAULTY[4], FAULTY[6], FAULTY[-1]]

SOUND = [("255 bytes", LONGEST), ("255 bytes in two-byte characters", ALSO_LONGEST), ("a slash", "@a/b"),
         ("only beginning with a point", "@.a"), ("three points", "@..."), ("a dollar behind the beginning", "@$"),
         ("no white space: zero width", "@a\u200bb"), ("no white space: U+180E", "@a\u180eb"),
         ("no white space: U+FEFF", "@a\ufeffb"), ("beyond the basic plane", "@\U0001F600"),
         ("percent and plus", "@100%+1"), ("question mark and hash", "@a?b#c")]


def named(field, value):
    """A publication in which `field` has `value`."""
    return publish(**{**{"aggregate": "@a"}, ("aggregate" if field == "aggregate_id" else field): value})


ROWS = [Row("an aggregate id must not be: %s" % why, named("aggregate_id", value),
            Refused("INVALID_ID", fields=["aggregate_id"])) for why, value in FAULTY + [("empty", "")]]
ROWS += [Row("a %s must not be: %s" % (field, why), named(field, value), Refused("INVALID_ID", fields=[field]))
         for field in ("id", "type", "aggregate_type", "correlation_id", "causation_id", "subject", "idempotency_key")
         for why, value in SAMPLE]
ROWS += [Row("a tag must not be: %s" % why, publish(tags=["ok", value]), Refused("INVALID_ID", fields=["tags[1]"]))
         for why, value in SAMPLE + [("empty", "")]]
ROWS += [Row("an append_id must not be: %s" % why, append(event(), append_id=value),
             Refused("INVALID_ID", fields=["append_id"])) for why, value in SAMPLE]
ROWS += [Row("a created id must not be: %s" % why, create(value), Refused("INVALID_ID", fields=["id"]))
         for why, value in SAMPLE]
ROWS += [Row("an id that is read must not be: %s" % why, get(value), Refused("INVALID_ID", fields=["id"]))
         for why, value in SAMPLE if value[0] != "$"]
ROWS += [Row("an id that is saved must not be: %s" % why, save(value, active=True),
             Refused("INVALID_ID", fields=["id"]))
         for why, value in SAMPLE]
ROWS += [Row("an aggregate id may be: %s" % why, publish(value), Ok(event__aggregate_id=value),
             then=[(get(value), Ok(id=value, version=1))]) for why, value in SOUND]
ROWS += [Row("an id may be 255 bytes: %s" % field, named(field, LONGEST), Ok(**{"event__" + field: LONGEST}))
         for field in ("id", "correlation_id", "causation_id", "subject")]
ROWS += [
    Row("an append_id may be 255 bytes", append(event(), append_id=LONGEST), Ok(append_id=LONGEST)),
    Row("a tag may be 255 bytes", publish(tags=[LONGEST]), Ok(event__tags=[LONGEST])),
    Row("at most 16 tags: 16", publish(tags=["@%d" % i for i in range(16)]), Ok(event__tags__count=16)),
    Row("at most 16 tags: 17", publish(tags=["@%d" % i for i in range(17)]), Refused("INVALID_FIELD", fields=["tags"])),
    Row("possibly empty: correlation_id, causation_id, subject, idempotency_key, tags",
        publish(id="", correlation_id="", causation_id="", subject="", idempotency_key="", tags=[]),
        Ok(event__correlation_id="", event__causation_id="", event__subject="")),
    Row("type names have no slash: event type", publish(type="a/b"), Refused("INVALID_ID", fields=["type"])),
    Row("type names have no slash: aggregate type", publish(aggregate_type="a/b"),
        Refused("INVALID_ID", fields=["aggregate_type"])),
    Row("type names have no slash: a creation", create(type="a/b"), Refused("INVALID_ID", fields=["type"])),
    Row("a type name is not empty", publish(type=""), Refused("INVALID_ID", fields=["type"])),
    Row("the system's types are never appended", publish(type="$activated"), Refused("INVALID_ID", fields=["type"])),
    Row("the system's aggregates can be read", get("$erasures"), Refused("AGGREGATE_UNKNOWN")),
    Row("the system's types can be read", ("ListEvents", {"aggregate_id": "@a", "type": "$activated"}),
        Ok(events__0__type="$activated", events__count=1), after=[create(), save(active=True)]),
    Row("an expectation may be about the system's aggregates",
        append(event(), expectations=[{"aggregate_id": "$erasures", "exist": True}]), Refused("VERSION_CONFLICT")),
    Row("compared as bytes: composed is not decomposed", get("@e\u0301"), Refused("AGGREGATE_UNKNOWN"),
        after=[publish("@\u00e9")]),
    Row("compared as bytes: case", get("@A"), Refused("AGGREGATE_UNKNOWN"), after=[publish("@a")]),
    Row("an aggregate is addressed by id alone, unique in the store", publish(aggregate_type="order"),
        Refused("TYPE_MISMATCH"), after=[publish()]),
    Row("an id of an event is unique in the store", publish("@b", id="@e"), Refused("EVENT_ID_USED", says="@e"),
        after=[publish("@a", id="@e")]),
    Row("all faulty fields are named", publish("", type="a b", correlation_id="..", tags=["$"], version=0),
        Refused("INVALID_ID", fields=["type", "aggregate_id", "correlation_id", "tags[0]", "version"])),
    Row("protobuf-c guard: no NUL in strings", publish("@a\0b"), Refused("INVALID_FIELD")),
]
