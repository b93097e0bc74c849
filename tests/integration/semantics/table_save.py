"""Save and snapshots."""

from semantics.rows import Ok, Refused, Row, append, at_version, create, event, get, publish, save

AT_2 = [at_version(2)]

PRECONDITIONS = [
    Row("404 for an unknown id", save(active=True), Refused("AGGREGATE_UNKNOWN")),
    Row("404 comes before 412", save(active=True, if_match='"3"'), Refused("AGGREGATE_UNKNOWN")),
    Row("a whole new state without If-Match or expected_version is 428", save(state="{}"),
        Refused("PRECONDITION_REQUIRED"), after=AT_2),
    Row('If-Match is "N"', save(state='{"s":1}', if_match='"2"'),
        Ok(version=3, state={"s": 1}, headers={"ETag": '"3"'}),
        after=AT_2),
    Row("If-Match is *", save(state='{"s":1}', if_match="*"), Ok(version=3, headers={"ETag": '"3"'}), after=AT_2),
    Row("If-Match missed is 412", save(state="{}", if_match='"1"'), Refused("IF_MATCH_FAILED", 1, 2), after=AT_2),
    Row("If-Match missed ahead is 412", save(active=True, if_match='"7"'), Refused("IF_MATCH_FAILED", 7, 2),
        after=AT_2),
    Row("expected_version missed is 409", save(state="{}", expected_version=1), Refused("VERSION_CONFLICT", 1, 2),
        after=AT_2),
    Row("expected_version 0 missed is 409", save(state="{}", expected_version=0), Refused("VERSION_CONFLICT", 0, 2),
        after=AT_2),
    Row("both given and agreeing", save(state="{}", expected_version=2, if_match='"2"'), Ok(version=3), after=AT_2),
    Row("both given and missed is 412", save(state="{}", expected_version=1, if_match='"1"'),
        Refused("IF_MATCH_FAILED", 1, 2), after=AT_2),
    Row("with expected_version it must agree", save(state="{}", expected_version=2, if_match='"1"'),
        Refused("INVALID_FIELD", fields=["expected_version"]), after=AT_2),
    Row("* agrees with any expected_version, which still counts", save(state="{}", expected_version=1, if_match="*"),
        Refused("VERSION_CONFLICT", 1, 2), after=AT_2),
    Row("a negative expected_version", save(state="{}", expected_version=-1),
        Refused("INVALID_FIELD", fields=["expected_version"]), after=AT_2),
]
PRECONDITIONS += [Row("If-Match is no: %s" % form, save(state="{}", if_match=form),
                      Refused("INVALID_FIELD", fields=["if_match"]), after=AT_2)
                  for form in ("2", 'W/"2"', '"02"', '"2", "3"', '"-1"', '""', '"x"', '"2"x', "**", '"99999999999"')]

PARTS = [
    Row("nothing given", save(), Refused("INVALID_FIELD"), after=AT_2),
    Row("events and state both", save(events=[{"type": "custom"}], state="{}", if_match="*"),
        Refused("INVALID_FIELD", fields=["state"]), after=AT_2),
    Row("events", save(events=[{"type": "custom", "data": '{"n":3}'}, {"type": "custom", "data": '{"m":4}'}]),
        Ok(version=4, state={"n": 3, "m": 4}), after=AT_2),
    Row("1,000 events", save(events=[{"type": "custom"}] * 1000), Ok(version=1002), after=AT_2),
    Row("1,001 events", save(events=[{"type": "custom"}] * 1001), Refused("APPEND_TOO_LARGE"), after=AT_2),
    Row("1,000 events and one of the system's", save(events=[{"type": "custom"}] * 1000, active=True),
        Refused("APPEND_TOO_LARGE"), after=AT_2),
    Row("events of another aggregate", save(events=[{"type": "custom", "aggregate_id": "@b"}]),
        Refused("INVALID_FIELD", fields=["events[0].aggregate_id"]), after=AT_2),
    Row("events of another type of aggregate", save(events=[{"type": "custom", "aggregate_type": "order"}]),
        Refused("TYPE_MISMATCH"), after=AT_2),
    Row("events that do not fit", save(events=[{"type": "user_updated"}]), Refused("TYPE_MISMATCH"), after=AT_2),
    Row("a whole new state, recorded as $state_replaced", save(state='{"s":1}', if_match='"2"'),
        Ok(state={"s": 1}, version=3), after=AT_2,
        then=[(("ListEvents", {"aggregate_id": "@a", "from_version": 3}),
               Ok(events__0__type="$state_replaced", events__0__data={"s": 1}, events__count=1))]),
    Row("null members are absent members", save(state='{"a":null,"b":{"c":null,"d":1}}', if_match="*"),
        Ok(state={"b": {"d": 1}}), after=AT_2),
    Row("a state passes the type's check", save(state='{"status":"delivered"}', if_match="*"),
        Refused("TRANSITION_REFUSED"), after=[create(type="order", initial_state='{"status":"pending"}')]),
    Row("set_metadata is a patch", save(set_metadata='{"a":null,"b":2}'), Ok(version=1, metadata={"c": 3, "b": 2}),
        after=[create(metadata='{"a":1,"c":3}')],
        then=[(("ListEvents", {"aggregate_id": "@a", "from_version": 1}),
               Ok(events__0__type="$metadata_changed", raw={"events.0.data": '{"a":null,"b":2}'}))]),
    Row("active: false", save(active=False), Ok(active=False, version=3), after=AT_2,
        then=[(("ListEvents", {"aggregate_id": "@a", "from_version": 3}), Ok(events__0__type="$deactivated"))]),
    Row("active: true", save(active=True), Ok(active=True, version=4), after=AT_2 + [save(active=False)],
        then=[(("ListEvents", {"aggregate_id": "@a", "from_version": 4}), Ok(events__0__type="$activated"))]),
    Row("active says nothing about appends", publish(), Ok(event__version=4), after=AT_2 + [save(active=False)]),
    Row("a part that changes nothing is recorded too", save(active=True), Ok(version=3), after=AT_2),
    Row("state, metadata and active, in that order, one append",
        save(state='{"s":1}', set_metadata='{"m":1}', active=False, if_match='"2"'),
        Ok(version=5, state={"s": 1}, metadata={"m": 1}, active=False, headers={"ETag": '"5"'}), after=AT_2),
    Row("events, metadata and active", save(events=[{"type": "custom"}], set_metadata='{"m":1}', active=False),
        Ok(version=5), after=AT_2),
    Row("all or nothing", save(state='{"status":"delivered"}', set_metadata='{"m":1}', if_match="*"),
        Refused("TRANSITION_REFUSED"), after=[create(type="order", initial_state='{"status":"pending"}')],
        then=[(get(), Ok(version=0, metadata={}))]),
]

# --- snapshots ---


def snapshot(**fields):
    return "CreateSnapshot", {"aggregate_id": "@a", **fields}


def snapshot_at(version, **fields):
    return snapshot(version=version, data='{"ahead":%d}' % version, **fields)


def best(**fields):
    return "GetSnapshot", {"aggregate_id": "@a", **fields}


LATEST = ("GetLatestSnapshot", {"aggregate_id": "@a"})
LIST = ("ListSnapshots", {"aggregate_id": "@a"})
STATE = [append(event(data='{"a":10.10,"b":"x"}'), event(data='{"c":[1]}'))]
SIXTEEN = [snapshot_at(10 + i) for i in range(16)]

SNAPSHOTS = [
    Row("without data the server takes the replayed state: VERIFIED", snapshot(),
        Ok(version=2, state="VERIFIED", raw={"data": '{"a":10.10,"b":"x","c":[1]}'}), after=STATE),
    Row("without data, of a version of the past", snapshot(version=1), Ok(version=1, state="VERIFIED",
                                                                          raw={"data": '{"a":10.10,"b":"x"}'}),
                                                                          after=STATE),
    Row("given data is compared as JSON values, numbers as exact decimals",
        snapshot(version=2, data='{"c":[1.0e0],"b":"\\u0078","a":101e-1}'), Ok(state="VERIFIED"), after=STATE),
    Row("a digit more is another value", snapshot(version=2, data='{"a":10.100000000000000000001,"b":"x","c":[1]}'),
        Ok(state="DIVERGENT"), after=STATE),
    Row("DIVERGENT is kept and shown", LATEST, Ok(version=2, state="DIVERGENT", raw={"data": '{"other":1}'}),
        after=STATE + [snapshot(version=2, data='{"other":1}')]),
    Row("DIVERGENT is never used to rebuild", get(), Ok(raw={"state": '{"a":10.10,"b":"x","c":[1]}'}),
        after=STATE + [snapshot(version=2, data='{"other":1}')]),
    Row("a version ahead is PENDING", snapshot_at(3), Ok(version=3, state="PENDING", position=0), after=STATE),
    Row("a version ahead needs data", snapshot(version=3), Refused("INVALID_FIELD", fields=["version"]), after=STATE),
    Row("a version is 0 or more", snapshot(version=-1), Refused("INVALID_FIELD", fields=["version"]), after=STATE),
    Row("version 0 of what an event began", snapshot(version=0), Refused("INVALID_FIELD", fields=["version"]), after=STATE),
    Row("version 0 of what was created", snapshot(version=0), Ok(version=0, state="VERIFIED"), after=[create()]),
    Row("PENDING, at most 16 per aggregate: the 16th", SIXTEEN[15], Ok(state="PENDING"), after=STATE + SIXTEEN[:15]),
    Row("PENDING, at most 16 per aggregate: the 17th", snapshot_at(30), Refused("PENDING_TOO_MANY"),
        after=STATE + SIXTEEN),
    Row("one of 16 may be replaced", snapshot(version=10, data='{"other":1}'), Ok(state="PENDING"),
        after=STATE + SIXTEEN),
    Row("compared when a snapshot read finds it reached: VERIFIED", LATEST, Ok(version=3, state="VERIFIED"),
        after=STATE + [snapshot(version=3, data='{"a":10.1,"b":"x","c":[1],"d":2}'), publish(data='{"d":2}')]),
    Row("compared when a snapshot read finds it reached: DIVERGENT", LATEST, Ok(version=3, state="DIVERGENT"),
        after=STATE + [snapshot_at(3), publish(data='{"d":2}')]),
    Row("compared at the first load", LIST, Ok(snapshots__0__state="DIVERGENT"),
        after=STATE + [snapshot_at(3), publish(), get()]),
    Row("a POST replaces a PENDING one", snapshot(version=3, data='{"other":1}'),
        Ok(state="PENDING", data={"other": 1}), after=STATE + [snapshot_at(3)]),
    Row("a POST replaces a DIVERGENT one", snapshot(version=2), Ok(state="VERIFIED"),
        after=STATE + [snapshot(version=2, data='{"other":1}')]),
    Row("a VERIFIED one with equal data answers as it stands",
        snapshot(version=2, data='{"b":"x","c":[1],"a":10.1}', metadata='{"m":2}'),
        Ok(state="VERIFIED", metadata={"m": 1}, raw={"data": '{"a":10.10,"b":"x","c":[1]}'}),
        after=STATE + [snapshot(metadata='{"m":1}')]),
    Row("a VERIFIED one with other data is 409", snapshot(version=2, data='{"other":1}'), Refused("SNAPSHOT_EXISTS"),
        after=STATE + [snapshot()]),
    Row("GET is the one a rebuild would use", best(), Ok(version=1, state="VERIFIED"),
        after=STATE + [snapshot(version=1), snapshot(version=2, data='{"other":1}'), snapshot_at(9)]),
    Row("GET: else the newest", best(), Ok(version=9, state="PENDING"),
        after=STATE + [snapshot(version=2, data='{"other":1}'), snapshot_at(9)]),
    Row("GET at or below a version", best(version=1), Ok(version=1), after=STATE + [snapshot(version=1), snapshot()]),
    Row("latest is the highest version stored", LATEST, Ok(version=9, state="PENDING"),
        after=STATE + [snapshot_at(9), snapshot(version=1)]),
    Row("a list lists", LIST, Ok(snapshots__count=3, snapshots__0__version=1, snapshots__2__version=9, total_size=3),
        after=STATE + [snapshot_at(9), snapshot(version=2, data='{"other":1}'), snapshot(version=1)]),
    Row("a list of nothing", LIST, Ok(snapshots__count=0, total_size=0), after=STATE),
    Row("404, reason says which: no snapshot", best(), Refused("SNAPSHOT_NONE"), after=STATE),
    Row("404, reason says which: none so low", best(version=1), Refused("SNAPSHOT_NONE"), after=STATE + [snapshot()]),
    Row("404, reason says which: no aggregate", best(), Refused("AGGREGATE_UNKNOWN")),
    Row("404, reason says which: latest, no snapshot", LATEST, Refused("SNAPSHOT_NONE"), after=STATE),
    Row("404, reason says which: latest, no aggregate", LATEST, Refused("AGGREGATE_UNKNOWN")),
    Row("a snapshot's aggregate has an id", ("GetSnapshot", {"aggregate_id": "a b"}),
        Refused("INVALID_ID", fields=["aggregate_id"])),
    Row("GET at or below a version, from 0", best(version=-1), Refused("INVALID_FIELD", fields=["version"]),
        after=STATE),
    Row("a list of snapshots: page_size", ("ListSnapshots", {"page_size": -1}),
        Refused("INVALID_FIELD", fields=["page_size"])),
    Row("a list of snapshots: page_token", ("ListSnapshots", {"page_token": "x"}),
        Refused("INVALID_FIELD", fields=["page_token"])),
    Row("404: a snapshot of no aggregate", snapshot_at(1), Refused("AGGREGATE_UNKNOWN")),
    Row("data of a snapshot is a JSON object", snapshot(data="[1]"), Refused("INVALID_JSON", fields=["data"]),
        after=STATE),
    Row("metadata of a snapshot is a JSON object", snapshot(metadata="1"), Refused("INVALID_JSON", fields=["metadata"]),
        after=STATE),
]

ROWS = PRECONDITIONS + PARTS + SNAPSHOTS
