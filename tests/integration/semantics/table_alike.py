"""Every route × good, wrong type, missing, unknown, too large, conflict, not found, wrong verb: made from the OpenAPI
description that the service gives, and from the values below. Nothing here says what is answered: two deployments are asked
and must agree."""

import json
import urllib.parse

JSON_TYPE = {"Content-Type": "application/json"}
LONG = "x" * 256
BODY_OVER_ALL = b"{" + b" " * (12 << 20) + b"}"


class Case:
    """One request. `until`: it is repeated until its answer's text has this. `first`: of a stream, only up to this text."""

    def __init__(self, route, kind, verb, target, headers=None, body=None, until=None, first=None):
        self.route, self.kind, self.verb, self.target = route, kind, verb, target
        self.headers = {**(JSON_TYPE if body is not None else {}), **(headers or {})}
        self.body = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        self.until, self.first = until, first

    def __repr__(self):
        return "%s, %s: %s %s %s %s" % (self.route, self.kind, self.verb, self.target[:200], self.headers,
                                        (self.body or b"")[:200])


def event(aggregate, n, **fields):
    return {"type": "custom", "aggregate_id": aggregate, "aggregate_type": "custom", "data": {"n": n, "t": "é"}, **fields}


# What is there before: three aggregates, tags, correlation, a snapshot.
def story():
    def publish(aggregate, n, **fields):
        return Case("story", "good", "POST", "/api/v1/events/publish", body=event(aggregate, n, **fields))
    yield Case("story", "good", "POST", "/api/v1/aggregates",
               body={"id": "same-1", "type": "custom", "initial_state": {"n": 0}})
    for n in range(4):
        yield publish("same-1", n, id="e-%d" % n, correlation_id="corr-1", tags=["blue", "n:%d" % n],
                      occurred_at="2026-01-0%dT00:00:00.000001Z" % (n + 1), metadata={"m": [1.0, 10]})
    for n in range(3):
        yield publish("same-2", n)
    yield publish("same-3", 0, content_type="text/plain", data="aGVsbG8=")
    yield Case("story", "good", "POST", "/api/v1/snapshots", body={"aggregate_id": "same-1"})


GOOD = {"type": "custom", "aggregate_type": "custom", "aggregate_id": "same-1", "id": "same-1", "event_id": "e-1",
        "correlation_id": "corr-1", "tags": "blue", "from_version": 2, "to_version": 3,
        "from_timestamp": "2020-01-01T00:00:00Z",
        "to_timestamp": "2199-01-01T00:00:00Z", "from_position": 3, "after_position": 2, "to_position": 5, "min_position": 3,
        "direction": "BACKWARD", "page_size": 2, "as_of_version": 2, "as_of_position": 4, "as_of_time": "2199-01-01T00:00:00Z",
        "include_events": "true", "effective_at": "2026-01-02T12:00:00Z", "active": "true", "include_state": "true",
        "version": 4,
        "exact": "true", "aggregate_id_prefixes": "same", "types": "custom", "aggregate_types": "custom",
        "aggregate_ids": "same-2", "name": "same"}
BODIES = {
    ("POST", "/api/v1/aggregates"): {"id": "made-@", "type": "custom", "initial_state": {"a": 1.0}},
    ("PUT", "/api/v1/aggregates/{id}"): {"active": True, "state": {"a": 1}, "expected_version": 3},
    ("POST", "/api/v1/events/publish"): event("made-@", 1),
    ("POST", "/api/v1/events/append"): {"events": [event("made-@", 1), event("made-@-b", 2)]},
    ("POST", "/api/v1/snapshots"): {"aggregate_id": "same-2"},
    ("POST", "/api/v1/operations"): {"verify": {}, "validate_only": True},
    ("POST", "/api/v1/operations/{id}/cancel"): {},
}
PATHS = {"id": "same-2", "aggregate_id": "same-1", "type": "custom", "aggregate_type": "custom", "event_id": "e-2"}


def wrong(schema):
    """Values of another type than the schema's, as JSON."""
    kinds = schema.get("type", "object")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    values = (("string", "x y"), ("string", 5), ("integer", "one"), ("integer", 1.5), ("boolean", "perhaps"), ("object", [1]),
              ("array", {"a": 1}))
    return [value for kind, value in values if kind in kinds] + [True if "boolean" not in kinds else 1]


def wrong_text(schema):
    kinds = schema.get("type", "string")
    if "enum" in schema:
        return "SIDEWAYS"
    if "boolean" in kinds:
        return "perhaps"
    if schema.get("format") == "date-time":
        return "yesterday"
    return "one" if "integer" in kinds or "number" in kinds else "a b"


def huge_text(schema):
    return "99999999999999999999" if "integer" in schema.get("type", "") else LONG


class Table:
    def __init__(self, description):
        self.description, self.made = description, 0

    def resolved(self, schema):
        while "$ref" in schema:
            schema = self.description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def fresh(self, body):
        """The body with ids that nothing else has."""
        self.made += 1
        return json.loads(json.dumps(body).replace("@", str(self.made)))

    @staticmethod
    def target(path, variables=None, query=None):
        for name, value in {**PATHS, **(variables or {})}.items():
            path = path.replace("{%s}" % name, urllib.parse.quote(value, safe="%"))
        return path + ("?" + urllib.parse.urlencode(query, doseq=True) if query else "")

    def cases(self):
        for path, operations in self.description["paths"].items():
            for verb, operation in operations.items():
                if verb.upper() in ("GET", "POST", "PUT"):
                    yield from self.of_route(verb.upper(), path, operation)

    def of_route(self, verb, path, operation):
        route = "%s %s" % (verb, path)
        parameters = {one["name"]: self.resolved(one.get("schema", {})) for one in operation.get("parameters", [])}
        places = {one["name"]: one["in"] for one in operation.get("parameters", [])}
        yield from self.of_protocol(route, verb, path)
        for name, place in places.items():
            if place == "path":
                for kind, value in (("not found", "nobody"), ("wrong type", "a%20b"), ("wrong type", "%zz"),
                                    ("too large", LONG), ("missing", "%20")):
                    yield self.call(route, kind, verb, path, variables={name: value})
        if path.endswith(("/subscribe", "/ws")):
            yield from self.of_query(route, path, parameters, places, good=False)
            return
        if "requestBody" in operation:
            yield from self.of_body(route, verb, path, operation)
            return
        yield self.call(route, "good", verb, path)
        yield from self.of_query(route, path, parameters, places)
        if self.lists(operation):
            yield Case(route, "good, lines", verb, self.target(path, query={"page_size": 1}),
                       {"Accept": "application/x-ndjson"})

    @staticmethod
    def lists(operation):
        return "application/x-ndjson" in operation["responses"].get("200", {}).get("content", {})

    def call(self, route, kind, verb, path, variables=None, headers=None, body=None):
        if body is None and (verb, path) in BODIES:
            body = self.fresh(BODIES[verb, path])
        return Case(route, kind, verb, self.target(path, variables), headers, body)

    def of_protocol(self, route, verb, path):
        """What each route does with other verbs and with what is negotiated."""
        for other in ("DELETE", "PATCH", "OPTIONS", "POST" if verb == "GET" else "GET"):
            yield Case(route, "wrong verb", other, self.target(path))
        if not path.endswith(("/subscribe", "/ws")):
            yield Case(route, "head", "HEAD", self.target(path))
        yield Case(route, "unknown", verb, self.target(path + "/nothing/here"))
        yield self.call(route, "not acceptable", verb, path, headers={"Accept": "image/png"})
        yield self.call(route, "another origin", verb, path, headers={"Origin": "https://elsewhere.example"})
        if not path.endswith(("/subscribe", "/ws")):
            yield self.call(route, "an origin of this host", verb, path, headers={"Origin": "http://localhost:3000"})
        yield self.call(route, "a wrong token", verb, path, headers={"Authorization": "Bearer nonsense"})

    def of_query(self, route, path, parameters, places, good=True):
        yield Case(route, "unknown", "GET", self.target(path, query={"nonsense": 1}))
        for name, schema in parameters.items():
            if places[name] == "path" or name == "subscribe":
                continue
            if places[name] == "header":
                for kind, value in (("good", '"2"'), ("wrong type", "nonsense"), ("too large", LONG), ("wrong type", "-1")):
                    if good or kind != "good":
                        yield Case(route, kind + ", header " + name, "GET", self.target(path), {name: value})
                continue
            kind = self.resolved(schema.get("items", schema)) if schema.get("type") == "array" else schema
            if good and name in GOOD:
                yield Case(route, "good, " + name, "GET", self.target(path, query={name: GOOD[name]}))
            yield Case(route, "wrong type, " + name, "GET", self.target(path, query={name: wrong_text(kind)}))
            yield Case(route, "too large, " + name, "GET", self.target(path, query={name: huge_text(kind)}))
            if not path.endswith(("/subscribe", "/ws")):
                yield Case(route, "twice, " + name, "GET",
                           self.target(path, query={name: [GOOD.get(name, "1"), GOOD.get(name, "1")]}))

    def of_body(self, route, verb, path, operation):
        schema = self.resolved(operation["requestBody"]["content"]["application/json"]["schema"])
        good = BODIES[verb, path]
        yield self.call(route, "good", verb, path)
        yield self.call(route, "good, checked only", verb, path, body={**self.fresh(good), "validate_only": True})
        yield Case(route, "missing", verb, self.target(path), body=b"", headers=JSON_TYPE)
        yield Case(route, "missing, no length", verb, self.target(path))
        yield Case(route, "missing, all members", verb, self.target(path), body={})
        yield Case(route, "wrong type", verb, self.target(path), body=b"[]")
        yield Case(route, "wrong type", verb, self.target(path), body=b"null")
        yield Case(route, "wrong type", verb, self.target(path), body=b"{\"a\":")
        yield Case(route, "wrong type", verb, self.target(path), body=b"\xff\xfe{}")
        yield Case(route, "wrong content type", verb, self.target(path), {"Content-Type": "text/plain"},
                   json.dumps(self.fresh(good)).encode())
        yield Case(route, "unknown", verb, self.target(path), body={**self.fresh(good), "nonsense": 1})
        yield Case(route, "unknown", verb, self.target(path, query={"nonsense": 1}), body=self.fresh(good))
        yield Case(route, "too large", verb, self.target(path), body=BODY_OVER_ALL)
        for name, inner in schema.get("properties", {}).items():
            inner = self.resolved(inner)
            for value in wrong(inner):
                yield Case(route, "wrong type, " + name, verb, self.target(path), body={**self.fresh(good), name: value})
            if name == "validate_only":
                continue  # without it an operation starts, and the next one depends on whether it runs still
            yield Case(route, "null, " + name, verb, self.target(path), body={**self.fresh(good), name: None})
            if "string" in inner.get("type", ""):
                yield Case(route, "too large, " + name, verb, self.target(path), body={**self.fresh(good), name: LONG})
            if "integer" in inner.get("type", ""):
                for value in (-1, 1 << 31, 1 << 80):
                    yield Case(route, "too large, " + name, verb, self.target(path), body={**self.fresh(good), name: value})
        for name in [name for name in good if name != "validate_only"]:
            yield Case(route, "missing, " + name, verb, self.target(path),
                       body={key: value for key, value in self.fresh(good).items() if key != name})


def conflicts():
    """What is refused for what is stored."""
    def case(kind, verb, target, body, headers=None):
        return Case("%s %s" % (verb, target), kind, verb, target, headers, body)
    yield case("conflict", "POST", "/api/v1/aggregates", {"id": "same-1", "type": "custom"})
    yield case("conflict", "POST", "/api/v1/aggregates", {"id": "same-1", "type": "user"})
    for version in (0, 1, 5, 99):
        yield case("conflict", "POST", "/api/v1/events/publish", event("same-1", 9, expected_version=version))
    yield case("conflict", "POST", "/api/v1/events/publish", event("same-1", 9, id="e-1"))
    yield case("conflict", "POST", "/api/v1/events/publish", event("same-1", 9, aggregate_type="user"))
    for data in ({"n": 1}, {"n": 1}, {"n": 2}):
        yield case("good, then a replay, then a conflict", "POST", "/api/v1/events/publish",
                   {**event("same-2", 1), "data": data}, {"Idempotency-Key": "key-1"})
    for match in ('"1"', '"99"', "*", 'W/"4"', "nonsense", ""):
        yield case("conflict, If-Match %s" % match, "PUT", "/api/v1/aggregates/same-3", {"active": True}, {"If-Match": match})
    yield case("precondition missing", "PUT", "/api/v1/aggregates/same-3", {"state": {"a": 1}})
    yield case("not found", "PUT", "/api/v1/aggregates/nobody", {"active": True})
    yield case("not found", "POST", "/api/v1/snapshots", {"aggregate_id": "nobody"})
    yield case("not found", "POST", "/api/v1/snapshots", {"aggregate_id": "same-1", "version": 99})
    for _ in range(2):
        yield case("conflict", "POST", "/api/v1/snapshots", {"aggregate_id": "same-1", "version": 1})
    for conditions in ([{"kind": "nonsense"}], [{"query": {"types": ["custom"]}, "after_position": "1"}], [{}]):
        yield case("conflict, condition", "POST", "/api/v1/events/append",
                   {"events": [event("same-2", 1)], "conditions": conditions})
    for expectations in ([{"aggregate_id": "same-2", "version": 1}], [{"aggregate_id": "same-2", "exists": False}],
                         [{"aggregate_id": "nobody", "exists": True}]):
        yield case("conflict, expectation", "POST", "/api/v1/events/append",
                   {"events": [event("same-2", 1)], "expectations": expectations})
    yield case("too large", "POST", "/api/v1/events/publish", event("same-2", 1, metadata={"x": "y" * (1 << 20)}))
    yield case("too large", "POST", "/api/v1/events/append", {"events": [event("same-2", n) for n in range(1001)]})
    yield case("many faults", "POST", "/api/v1/events/append",
               {"events": [event("no good id", n, correlation_id="nor this") for n in range(40)]})
    yield case("order", "POST", "/api/v1/events/publish",
               {"type": "order_created", "aggregate_id": "order-1", "data": {"order_id": "order-2"}})
    yield Case("GET /api/v1/events", "wrong type", "GET", "/api/v1/events?page_token=bm9uc2Vuc2U")
    for start in ("after_position=0&from_start=true", "after_position=-1", "checkpoint_interval=1ns", "from_timestamp=1",
                  "nonsense=1", "types=a%20b"):
        yield Case("GET /api/v1/events/subscribe", "wrong type", "GET", "/api/v1/events/subscribe?" + start)


def operations():
    """Carried out to their end. `@` in a target stands for the id that the last start gave."""
    for work in ({"verify": {}}, {"verify": {"from_position": "2"}}, {"cleanup": {}}, {"rebuild": {"what": "cache"}},
                 {"rebuild": {"what": "nothing"}}):
        yield Case("POST /api/v1/operations", "start", "POST", "/api/v1/operations", body=work)
        if work != {"rebuild": {"what": "nothing"}}:
            yield Case("GET /api/v1/operations/{id}", "good", "GET", "/api/v1/operations/@", until=b'"state":"SUCCEEDED"')
            yield Case("POST /api/v1/operations/{id}/cancel", "good", "POST", "/api/v1/operations/@/cancel")
    yield Case("GET /api/v1/operations", "good", "GET", "/api/v1/operations")


def streams():
    """Up to where they are live."""
    for query in ("after_position=0", "after_position=3", "from_start=true", "from_end=true",
                  "from_timestamp=2020-01-01T00:00:00Z", "after_position=0&types=custom",
                  "after_position=0&aggregate_ids=same-2", "after_position=0&aggregate_id_prefixes=same",
                  "after_position=0&tags=blue&correlation_id=corr-1",
                  "after_position=99999999"):
        for accept, last in (("text/event-stream", b"event: caught_up"), ("application/x-ndjson", b'"caught_up"')):
            yield Case("GET /api/v1/events/subscribe", "good, %s" % accept, "GET", "/api/v1/events/subscribe?" + query,
                       {"Accept": accept}, first=last)
    yield Case("GET /api/v1/events/subscribe", "good, resumed", "GET", "/api/v1/events/subscribe?after_position=0",
               {"Last-Event-ID": "4"}, first=b"event: caught_up")
    yield Case("GET /api/v1/events/subscribe", "wrong type, resumed", "GET", "/api/v1/events/subscribe",
               {"Last-Event-ID": "nonsense"})


SOCKETS = [  # (what stands in the URL, frames that are sent after it is caught up, how many answers come then)
    ("?after_position=0", [], 0), ("?after_position=3&types=custom", [], 0), ("?from_start=true&aggregate_ids=same-2", [], 0),
    ("?subscribe=none", ["{}", "nonsense", '{"action":"subscribe","id":"s","filter":{"after_position":"2"}}'], 3),
    ("?nonsense=1", [], 0), ("?after_position=-1", [], 0)]
