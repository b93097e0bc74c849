"""The routes and what HTTP alone can say: the table of calls, verbs, bodies, headers."""

from semantics.rows import at_version, create, publish


class Exchange:
    """One HTTP exchange. `after`: calls made before over gRPC. `headers` of the answer: None = not there, a function or
    a text. `has`: members of the answer's JSON; a problem has code and reason beside."""

    def __init__(self, rule, verb, target, status, send=None, body=None, headers=None, has=None, code=None, reason=None,
                 after=()):
        self.rule = rule
        self.verb = verb
        self.target = target
        self.status = status
        self.send = send or {}
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = headers or {}
        self.has = has or {}
        self.code = code
        self.reason = reason
        self.after = list(after)

        self.only = "rest"

    def __repr__(self):
        return "%s: %s %s" % (self.rule, self.verb, self.target[:100])


JSON = "application/json"
A_3 = [at_version(3)]
CREATE = '{"id":"@a","type":"custom"}'
PUBLISH = '{"type":"custom","aggregate_id":"@a","aggregate_type":"custom","data":{}}'
EVENTS = {"events": lambda seen: len(seen) > 0, "next_page_token": lambda seen: isinstance(seen, str)}

CALLS = [
    Exchange("create", "POST", "/api/v1/aggregates", 201, body=CREATE, has={"id": "@a", "version": 0},
             headers={"Location": "/api/v1/aggregates/@a", "ETag": '"0"', "Content-Type": JSON}),
    Exchange("create: exists", "POST", "/api/v1/aggregates/", 409, body=CREATE, code="ALREADY_EXISTS",
             reason="AGGREGATE_EXISTS", after=[create()], headers={"ETag": None, "Location": None}),
    Exchange("Location is one path segment", "POST", "/api/v1/aggregates", 201, body='{"id":"@a/b?","type":"custom"}',
             headers={"Location": "/api/v1/aggregates/@a%2Fb%3F"}),
    Exchange("get", "GET", "/api/v1/aggregates/@a", 200, after=A_3, has={"version": 3}, headers={"ETag": '"3"'}),
    Exchange("get: as_of_version", "GET", "/api/v1/aggregates/@a?as_of_version=1", 200, after=A_3, has={"version": 1}),
    Exchange("get: 304 without a body", "GET", "/api/v1/aggregates/@a", 304, send={"If-None-Match": '"3"'}, after=A_3,
             headers={"ETag": '"3"'}),
    Exchange("get: 404", "GET", "/api/v1/aggregates/@a", 404, code="NOT_FOUND", reason="AGGREGATE_UNKNOWN"),
    Exchange("save", "PUT", "/api/v1/aggregates/@a", 200, body='{"active":false}', after=A_3, headers={"ETag": '"4"'}),
    Exchange("save: 404", "PUT", "/api/v1/aggregates/@a", 404, body='{"active":false}', code="NOT_FOUND",
             reason="AGGREGATE_UNKNOWN"),
    Exchange("save: 409", "PUT", "/api/v1/aggregates/@a", 409, body='{"active":false,"expected_version":1}', after=A_3,
             code="ABORTED", reason="VERSION_CONFLICT", has={"expected_version": 1, "current_version": 3}),
    Exchange("save: 412", "PUT", "/api/v1/aggregates/@a", 412, send={"If-Match": '"1"'}, body='{"active":false}',
             after=A_3, code="ABORTED", reason="IF_MATCH_FAILED", has={"expected_version": 1, "current_version": 3}),
    Exchange("save: 428", "PUT", "/api/v1/aggregates/@a", 428, body='{"state":{}}', after=A_3,
             code="FAILED_PRECONDITION", reason="PRECONDITION_REQUIRED"),
    Exchange("a page of aggregates, by type", "GET", "/api/v1/aggregates?type=custom&page_size=1", 200, after=A_3,
             has={"aggregates": lambda seen: len(seen) == 1}),
    Exchange("events of an aggregate", "GET", "/api/v1/events/aggregate/@a", 200, after=A_3, has=EVENTS),
    Exchange("events of a type", "GET", "/api/v1/events/type/custom", 200, after=A_3, has=EVENTS),
    Exchange("events of an aggregate type", "GET", "/api/v1/events/aggregate-type/custom", 200, after=A_3, has=EVENTS),
    Exchange("events", "GET", "/api/v1/events", 200, after=A_3, has=EVENTS,
             headers={"Strata-Position": lambda seen: int(seen) > 0}),
    Exchange("events: 404 unknown aggregate", "GET", "/api/v1/events/aggregate/@a", 404, code="NOT_FOUND",
             reason="AGGREGATE_UNKNOWN"),
    Exchange("events: unknown type = empty", "GET", "/api/v1/events/type/never_seen", 200, has={"events": []}),
    Exchange("one event", "GET", "/api/v1/events/id/@e", 200, after=[publish(id="@e")], has={"id": "@e"}),
    Exchange("one event: 404", "GET", "/api/v1/events/id/@e", 404, code="NOT_FOUND", reason="EVENT_UNKNOWN"),
    Exchange("publish", "POST", "/api/v1/events/publish", 201, body=PUBLISH.replace("{", '{"id":"@e",', 1),
             has={"id": "@e", "version": 1}, headers={"Location": "/api/v1/events/id/@e", "Strata-Replayed": None}),
    Exchange("publish, checked only", "POST", "/api/v1/events/publish", 200,
             body=PUBLISH.replace("{", '{"validate_only":true,', 1), headers={"Location": None}),
    Exchange("append", "POST", "/api/v1/events/append", 201, body='{"events":[%s]}' % PUBLISH,
             has={"heads": lambda seen: seen[0]["version"] == 1, "first_position": lambda seen: isinstance(seen, str),
                  "last_position": lambda seen: isinstance(seen, str)}),
    Exchange("take a snapshot", "POST", "/api/v1/snapshots", 201, body='{"aggregate_id":"@a"}', after=A_3,
             has={"state": "VERIFIED"}),
    Exchange("a snapshot", "GET", "/api/v1/snapshots/@a", 200, has={"version": 3},
             after=A_3 + [("CreateSnapshot", {"aggregate_id": "@a"})]),
    Exchange("the latest snapshot", "GET", "/api/v1/snapshots/@a/latest", 200, has={"version": 3},
             after=A_3 + [("CreateSnapshot", {"aggregate_id": "@a"})]),
    Exchange("a snapshot: 404, reason says which", "GET", "/api/v1/snapshots/@a", 404, code="NOT_FOUND",
             reason="SNAPSHOT_NONE", after=A_3),
    Exchange("a snapshot: 404, reason says which", "GET", "/api/v1/snapshots/@a/latest", 404, code="NOT_FOUND",
             reason="AGGREGATE_UNKNOWN"),
    Exchange("snapshots of a type", "GET", "/api/v1/snapshots?aggregate_type=custom", 200,
             after=A_3 + [("CreateSnapshot", {"aggregate_id": "@a"})], has={"snapshots": lambda seen: len(seen) > 0}),
    Exchange("who is subscribed", "GET", "/api/v1/subscriptions", 200,
             has={"subscriptions": lambda seen: isinstance(seen, list), "event_types": lambda seen: isinstance(seen, list),
                  "handler_count": lambda seen: isinstance(seen, int), "next_page_token": lambda seen: isinstance(seen, str)}),
    Exchange("who is subscribed to a type", "GET", "/api/v1/subscriptions?type=never_seen&page_size=1000", 200,
             has={"subscriptions": lambda seen: isinstance(seen, list)}),
    Exchange("who is subscribed: no type", "GET", "/api/v1/subscriptions?type=a%2Fb", 400, code="INVALID_ARGUMENT",
             reason="INVALID_ID", has={"errors": lambda seen: seen[0]["field"] == "type"}),
    Exchange("who is subscribed: another listing's token", "GET", "/api/v1/subscriptions?page_token=00", 400,
             code="INVALID_ARGUMENT", reason="INVALID_FIELD",
             has={"errors": lambda seen: seen[0]["field"] == "page_token"}),
    Exchange("stats", "GET", "/api/v1/stats", 200, has={"event_count": lambda seen: isinstance(seen, int),
                                                      "head_position": lambda seen: isinstance(seen, str)}),
    Exchange("info", "GET", "/api/v1/info", 200, has={"event_types": lambda seen: "custom" in seen}),
    Exchange("health", "GET", "/health", 200, has={"state": "HEALTHY", "security_mode": "development"}),
    Exchange("alive", "GET", "/livez", 200),
    Exchange("ready", "GET", "/readyz", 200),
    Exchange("the contract", "GET", "/openapi.json", 200, has={"openapi": lambda seen: seen.startswith("3.1")}),
    Exchange("/ws without a WebSocket", "GET", "/ws", 426, code="FAILED_PRECONDITION",
             headers={"Upgrade": "websocket"}),
    Exchange("/ws from another origin", "GET", "/ws", 403, send={"Origin": "https://example.com"},
             code="PERMISSION_DENIED", reason="PERMISSION_DENIED"),
    Exchange("a wrong token", "GET", "/api/v1/info", 401, send={"Authorization": "Bearer x"}, code="UNAUTHENTICATED",
             reason="UNAUTHENTICATED"),
]

VERBS = [
    Exchange("trailing slashes are optional everywhere", "GET", path + "/", 200,
             after=A_3 + [publish(id="@e"), ("CreateSnapshot", {"aggregate_id": "@a"})])
    for path in ("/api/v1/aggregates", "/api/v1/aggregates/@a", "/api/v1/events", "/api/v1/events/aggregate/@a",
                 "/api/v1/events/type/custom", "/api/v1/events/id/@e", "/api/v1/snapshots", "/api/v1/snapshots/@a",
                 "/api/v1/snapshots/@a/latest", "/api/v1/subscriptions", "/api/v1/stats", "/api/v1/info", "/health", "/livez", "/readyz",
                 "/openapi.json")]
VERBS += [
    Exchange("trailing slash: publish", "POST", "/api/v1/events/publish/", 201, body=PUBLISH),
    Exchange("trailing slash: save", "PUT", "/api/v1/aggregates/@a/", 200, body='{"active":true}', after=A_3),
]
VERBS += [Exchange("wrong verb 405 with Allow", verb, target, 405, headers={"Allow": allow}, code="UNIMPLEMENTED")
          for verb, target, allow in (
              ("DELETE", "/api/v1/aggregates/@a", "GET, HEAD, PUT, OPTIONS"),
              ("PUT", "/api/v1/aggregates", "POST, GET, HEAD, OPTIONS"),
              ("POST", "/api/v1/events", "GET, HEAD, OPTIONS"), ("GET", "/api/v1/events/publish", "POST, OPTIONS"),
              ("POST", "/api/v1/subscriptions", "GET, HEAD, OPTIONS"),
              ("PATCH", "/api/v1/snapshots/@a", "GET, HEAD, OPTIONS"), ("POST", "/livez", "GET, HEAD, OPTIONS"))]
VERBS += [
    Exchange("nothing there", "GET", "/api/v1/nothing", 404, code="NOT_FOUND"),
    Exchange("nothing there, one segment too many", "GET", "/api/v1/events/id/@e/x", 404, code="NOT_FOUND"),
    Exchange("literals win over variables", "GET", "/api/v1/events/id", 404, code="NOT_FOUND"),
    Exchange("a variable is fully percent-decoded", "GET", "/api/v1/aggregates/@a%2Fb%2B", 200,
             after=[publish("@a/b+")], has={"id": "@a/b+"}),
    Exchange("+ in a path is itself", "GET", "/api/v1/aggregates/@a+b", 200, after=[publish("@a+b")],
             has={"id": "@a+b"}),
    Exchange("+ in a query is a space", "GET", "/api/v1/events?correlation_id=@a+b", 400, code="INVALID_ARGUMENT",
             reason="INVALID_ID"),
    Exchange("a broken percent-encoding", "GET", "/api/v1/aggregates/@a%2", 400, code="INVALID_ARGUMENT",
             reason="INVALID_FIELD"),
    Exchange("invalid UTF-8 in a path", "GET", "/api/v1/aggregates/@a%FF", 400, code="INVALID_ARGUMENT",
             reason="INVALID_FIELD", has={"errors": lambda seen: seen[0]["field"] == "id"}),
    Exchange("unknown query parameter 400", "GET", "/api/v1/events?typ=custom", 400, code="INVALID_ARGUMENT",
             reason="UNKNOWN_FIELD", has={"errors": lambda seen: seen[0]["field"] == "typ"}),
    Exchange("unknown request member 400", "POST", "/api/v1/events/publish", 400,
             body=PUBLISH.replace("{", '{"expectedVerison":1,', 1), code="INVALID_ARGUMENT", reason="UNKNOWN_FIELD",
             has={"errors": lambda seen: seen[0]["field"] == "expectedVerison"}),
    Exchange("a query where the body is all", "POST", "/api/v1/events/publish?version=1", 400, body=PUBLISH,
             code="INVALID_ARGUMENT", reason="UNKNOWN_FIELD"),
    Exchange("both spellings in", "POST", "/api/v1/events/publish", 201, has={"version": 1, "aggregate_type": "custom"},
             body='{"type":"custom","aggregateId":"@a","aggregateType":"custom","expectedVersion":0,"data":{}}'),
    Exchange("a field in both spellings", "POST", "/api/v1/events/publish", 400,
             body=PUBLISH.replace("{", '{"aggregateId":"@a",', 1), code="INVALID_ARGUMENT", reason="INVALID_FIELD"),
    Exchange("int64 positions are strings, counters numbers", "GET", "/api/v1/events/aggregate/@a", 200, after=A_3,
             has={"head_position": lambda seen: isinstance(seen, str), "events": lambda seen: isinstance(
                 seen[0]["position"], str) and isinstance(seen[0]["version"], int)}),
]

BODIES = [
    Exchange("broken JSON", "POST", "/api/v1/events/publish", 400, body='{"type":', code="INVALID_ARGUMENT",
             reason="INVALID_JSON"),
    Exchange("no JSON object", "POST", "/api/v1/events/publish", 400, body="[]", code="INVALID_ARGUMENT",
             reason="INVALID_JSON"),
    Exchange("bodies only as application/json", "POST", "/api/v1/events/publish", 415,
             send={"Content-Type": "text/plain"},
             body=PUBLISH, code="INVALID_ARGUMENT"),
    Exchange("with parameters", "POST", "/api/v1/events/publish", 201, body=PUBLISH,
             send={"Content-Type": "application/json; charset=utf-8"}),
    Exchange("a body above 12 MiB", "POST", "/api/v1/events/append", 413, body=b"x" * ((12 << 20) + 1),
             code="INVALID_ARGUMENT", reason="APPEND_TOO_LARGE"),
    Exchange("a target that is too long", "GET", "/api/v1/aggregates/" + "x" * 9000, 414, code="INVALID_ARGUMENT"),
    Exchange("a head that is too long", "GET", "/api/v1/info", 431, send={"X-Long": "x" * 60000},
             code="INVALID_ARGUMENT"),
    Exchange("Accept leaves out what the path gives", "GET", "/api/v1/info", 406, send={"Accept": "text/html"},
             code="INVALID_ARGUMENT"),
    Exchange("NDJSON walks the pages of any list", "GET", "/api/v1/events/aggregate/@a?page_size=1", 200, after=A_3,
             send={"Accept": "application/x-ndjson"}, headers={"Content-Type": "application/x-ndjson"}),
]

HEADERS = [
    Exchange("a header or the body: the key", "POST", "/api/v1/events/publish", 201, send={"Idempotency-Key": "@k"},
             body=PUBLISH, has={"append_id": "@k"}),
    Exchange("a header or the body: the key in the body", "POST", "/api/v1/events/publish", 201,
             body=PUBLISH.replace("{", '{"idempotency_key":"@k",', 1), has={"append_id": "@k"}),
    Exchange("both and the same", "POST", "/api/v1/events/publish", 201, send={"Idempotency-Key": "@k"},
             body=PUBLISH.replace("{", '{"idempotency_key":"@k",', 1), has={"append_id": "@k"}),
    Exchange("both and different: 400", "POST", "/api/v1/events/publish", 400, send={"Idempotency-Key": "@k"},
             body=PUBLISH.replace("{", '{"idempotency_key":"@j",', 1), code="INVALID_ARGUMENT", reason="INVALID_FIELD",
             has={"errors": lambda seen: [one["field"] for one in seen] == ["idempotency_key"]}),
    Exchange("both and different: 400, If-Match", "PUT", "/api/v1/aggregates/@a", 400, send={"If-Match": '"3"'},
             body='{"active":true,"if_match":"*"}', after=A_3, code="INVALID_ARGUMENT", reason="INVALID_FIELD"),
    Exchange("path and body, different: 400", "PUT", "/api/v1/aggregates/@a", 400, body='{"id":"@b","active":true}',
             after=A_3, code="INVALID_ARGUMENT", reason="INVALID_FIELD"),
    Exchange("a replay says so", "POST", "/api/v1/events/publish", 201, send={"Idempotency-Key": "@k"}, body=PUBLISH,
             after=[publish(idempotency_key="@k")], headers={"Strata-Replayed": "true"}),
    Exchange("Strata-Min-Position", "GET", "/api/v1/aggregates/@a", 400, send={"Strata-Min-Position": "-1"}, after=A_3,
             code="INVALID_ARGUMENT", reason="INVALID_FIELD"),
    Exchange("written to the header and kept in the body", "PUT", "/api/v1/aggregates/@a", 200, body='{"active":true}',
             after=A_3, has={"etag": '"4"', "position": lambda seen: int(seen) > 0},
             headers={"ETag": '"4"', "Strata-Position": lambda seen: int(seen) > 0}),
    Exchange("CORS exposes ETag, Location, Strata-*", "GET", "/api/v1/aggregates/@a", 200, after=A_3,
             send={"Origin": "http://localhost:3000"},
             headers={"Access-Control-Allow-Origin": "http://localhost:3000",
                      "Access-Control-Expose-Headers": lambda seen: all(
                          one in seen for one in ("ETag", "Location", "Strata-Position", "Strata-Replayed"))}),
    Exchange("another page's origin", "GET", "/api/v1/info", 403, send={"Origin": "https://example.com"},
             code="PERMISSION_DENIED", reason="PERMISSION_DENIED"),
    Exchange("only a Host of loopback in development", "GET", "/api/v1/info", 421, send={"Host": "example.com"},
             code="PERMISSION_DENIED"),
    Exchange("no forwarded requests in development", "GET", "/api/v1/info", 403, send={"X-Forwarded-For": "1.2.3.4"},
             code="PERMISSION_DENIED", reason="PERMISSION_DENIED"),
]

EXCHANGES = CALLS + VERBS + BODIES + HEADERS
