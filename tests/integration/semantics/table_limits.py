"""Limits: stories on a service of their own. Rows run one after the
other, `after` once, and then the call over both transports: a refusal changes nothing."""

from semantics.rows import Ok, Refused, Row, append, create, event, publish

HEALTH = ("GetHealth", {})
STATS = ("GetStats", {})


def full(limit, **fields):
    reason = {"max_events": "LIMIT_EVENTS", "max_aggregates": "LIMIT_AGGREGATES",
              "validation_rules.max_aggregate_events": "LIMIT_AGGREGATE_EVENTS"}[limit]
    return Refused(reason, quota=limit, says=[limit, "raise"], **fields)


def health(state):
    """The limit is the event store's: the rest is well."""
    return Ok(state=state, components=lambda seen: [one["name"] for one in seen if one["state"] != "HEALTHY"] ==
              ([] if state == "HEALTHY" else ["event_store"]))


STORIES = [
    ("max_events", {"STRATA_MAX_EVENTS": "10"}, [
        Row("below 80 %: healthy", HEALTH, health("HEALTHY"), after=[append(*[event()] * 6), create("@b")]),
        Row("degraded at 80 %, and 200", HEALTH, health("DEGRADED"), after=[publish()]),
        Row("an append beyond it is refused as a whole", append(*[event()] * 3), full("max_events")),
        Row("up to it", append(*[event()] * 2), Ok(), only="rest"),
        Row("one more", publish(), full("max_events")),
        Row("also a creation", create(), full("max_events")),
        Row("max_events compares the head position; system events are counted apart", STATS,
            Ok(head_position=10, event_count=9, system_event_count=1)),
        Row("still degraded, not unhealthy: reads go on", HEALTH, health("DEGRADED")),
    ]),
    ("max_aggregates", {"STRATA_MAX_AGGREGATES": "5"}, [
        Row("below 80 %: healthy", HEALTH, health("HEALTHY"),
            after=[append(event("one"), event("two")), create("three")]),
        Row("degraded at 80 %", HEALTH, health("DEGRADED"), after=[create("four")]),
        Row("an append that would make two is refused as a whole", append(event("x"), event("y")),
            full("max_aggregates")),
        Row("the last", create("five"), Ok(), only="rest"),
        Row("one more, created", create("six"), full("max_aggregates")),
        Row("one more, by its first event", publish("six"), full("max_aggregates")),
        Row("those that are there go on", publish("five"), Ok(), only="rest"),
        Row("and not beside a new one", append(event("five"), event("six")), full("max_aggregates")),
        Row("aggregates are counted", STATS, Ok(aggregate_count=5)),
    ]),
    ("max_aggregate_events", {"STRATA_VALIDATION_RULES_MAX_AGGREGATE_EVENTS": "4"}, [
        Row("max_aggregate_events compares the version", append(*[event("@a")] * 5),
            full("validation_rules.max_aggregate_events")),
        Row("up to it, a creation not counted", append(*[event("@a")] * 4), Ok(heads__0__version=4),
            after=[create("@a")],
            only="rest"),
        Row("one more", publish("@a"), full("validation_rules.max_aggregate_events"),
            after=[append(*[event("@a")] * 4)]),
        Row("one of several aggregates", append(event("@b"), event("@a")),
            full("validation_rules.max_aggregate_events"),
            after=[append(*[event("@a")] * 4)]),
        Row("a save too", ("SaveAggregate", {"id": "@a", "active": False}),
            full("validation_rules.max_aggregate_events"), after=[append(*[event("@a")] * 4)]),
    ]),
    ("max_event_data_size", {"STRATA_VALIDATION_RULES_MAX_EVENT_DATA_SIZE": "100"}, [
        Row("at it", publish(data='{"a":"%s"}' % ("x" * 92)), Ok()),
        Row("above it", publish(data='{"a":"%s"}' % ("x" * 93)), Refused("EVENT_TOO_LARGE", fields=["data"],
                                                                          says="max_event_data_size")),
        Row("metadata counts", publish(data='{"a":"%s"}' % ("x" * 90), metadata='{}\n'), Ok()),
        Row("metadata counts, above", publish(data='{"a":"%s"}' % ("x" * 91), metadata="{}"),
            Refused("EVENT_TOO_LARGE", fields=["data"])),
        Row("an initial state is an event's data", create(initial_state='{"a":"%s"}' % ("x" * 93)),
            Refused("EVENT_TOO_LARGE", fields=["initial_state"])),
    ]),
    ("no limit", {}, [
        Row("0 = unlimited, the shipped default", HEALTH, health("HEALTHY"), after=[append(*[event("@a")] * 1000)]),
        Row("system events are counted apart in stats", STATS,
            Ok(event_count=1000, system_event_count=0)),
    ]),
]
