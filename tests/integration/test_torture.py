"""Hostile ids and payloads: appended by one door, read by every door, compared byte for byte and token for token."""

import base64
import json
import pathlib
import re
import sys
import tempfile
import unittest

import grpc

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support import doors  # noqa: E402
from support.doors import ENCODINGS, Http, Seen, in_query, minimal  # noqa: E402
from support.json_tokens import compact, members  # noqa: E402
from support.strata_records import read_history  # noqa: E402
from support.strata_rpc import Client, Failure, event_pb2, event_service_pb2, failure_of  # noqa: E402
from support.strata_service import Service, scaled  # noqa: E402
from support.torture import IDS, PAYLOADS, REFUSED_IDS, REFUSED_PAYLOADS, json_suite  # noqa: E402

CONFIG = {"STRATA_SUPPORTED_EVENT_TYPES": '["custom","t*"]', "STRATA_SUPPORTED_AGGREGATE_TYPES": '["custom","t*"]'}
STEP = 100 // scaled(100, 10)  # sanitizers take a part of the long tables


def fits(text):
    return text if len(text.encode()) <= 255 else text.encode()[:255].decode(errors="ignore")


def another(name):
    """A different id that is as hostile."""
    return fits("2" + name)


def type_of(name):
    """Types have no '/'."""
    return fits("t" + name.replace("/", "\u2044"))


def event(name, **fields):
    return {"id": name, "type": "custom", "aggregate_id": name, "aggregate_type": "custom", "data": b"{}", **fields}


def json_of(fields):
    """The event as a client of REST writes it: data and metadata stay as they are."""
    return b"{%s}" % b",".join(
        b"%s:%s" % (json.dumps(name).encode(), value if isinstance(value, bytes) else json.dumps(value).encode())
        for name, value in fields.items())


def message_of(fields, kind=event_pb2.NewEvent):
    return kind(**fields)


class Doors(unittest.TestCase):
    """A service and both ways in; what was recorded is remembered as `expected`, made of what was given alone."""

    config = CONFIG

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="strata-torture-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.service = Service(data=self.folder / "data", config=self.config).start()
        self.addCleanup(self.stop)
        self.client = Client(self.service)
        self.addCleanup(self.client.close)
        self.http = Http(self.service)
        self.addCleanup(self.http.close)
        self.expected = []
        self.versions = {}

    def stop(self):
        self.service.stop()

    def recorded(self, fields):
        version = self.versions[fields["aggregate_id"]] = self.versions.get(fields["aggregate_id"], 0) + 1
        kind = fields.get("content_type", "")
        data, metadata = fields["data"], fields.get("metadata", b"{}")
        self.expected.append(Seen(
            fields["id"], fields["type"], fields["aggregate_id"], fields["aggregate_type"], version,
            len(self.expected) + 1, fields.get("correlation_id", ""), fields.get("causation_id", ""),
            fields.get("subject", ""), kind, tuple(fields.get("tags", ())),
            data if kind else compact(data), compact(metadata)))
        return self.expected[-1]

    def by_rest(self, fields):
        given = dict(fields)
        if given.get("content_type"):
            given["data"] = json.dumps(base64.b64encode(given["data"]).decode()).encode()
        status, headers, body = self.http.post("/api/v1/events/publish", json_of(given))
        self.assertEqual(status, 201, (fields, body))
        expected = self.recorded(fields)
        self.assertEqual(doors.seen_of_json(body), expected)
        return headers

    def by_grpc(self, fields):
        reply = self.client.events.PublishEvent(event_service_pb2.PublishEventRequest(**fields))
        expected = self.recorded(fields)
        self.assertEqual(doors.seen_of_message(reply.event), expected)

    def same(self, found, expected, why):
        """assertEqual would print megabytes."""
        self.assertEqual(len(found), len(expected), why)
        for ours, theirs in zip(found, expected):
            if ours != theirs:
                name = next(f for f in Seen._fields if getattr(ours, f) != getattr(theirs, f))
                self.fail("%s: %s of event %.80r is %.300r instead of %.300r" %
                          (why, name, theirs.id, getattr(ours, name), getattr(theirs, name)))

    def check_every_door(self):
        everything, count = self.expected, len(self.expected)
        self.same(doors.grpc_read(self.client), everything, "ReadEvents")
        self.same(doors.grpc_pages(self.client), everything, "ListEvents")
        self.same(doors.grpc_subscribe(self.client, count), everything, "Subscribe")
        self.same(doors.rest_pages(self.http, "/api/v1/events"), everything, "pages of JSON")
        self.same(doors.rest_ndjson(self.http, "/api/v1/events"), everything, "a list as NDJSON")
        self.same(doors.sse(self.service, "?from_start=true", count), everything, "SSE")
        self.same(doors.ndjson(self.service, "?from_start=true", count), everything, "NDJSON")
        self.same(doors.web_socket(self.service, "?from_start=true", count), everything, "WebSocket")
        self.same(doors.export("-a", self.service.grpc), everything, "export of a service")

    def check_copies(self):
        """Export of the folder, import that keeps everything, and import that makes new appends."""
        records, lines = self.folder / "all.records", self.folder / "all.ndjson"
        self.stop()
        self.same(doors.export("--path", self.folder / "data"), self.expected, "export of a folder")
        doors.strata("export", "-q", "--path", self.folder / "data", "--records", records)
        doors.strata("export", "-q", "--path", self.folder / "data", lines)
        doors.strata("import", "-q", "--keep", records, "--path", self.folder / "kept")
        self.same(doors.export("--path", self.folder / "kept"), self.expected, "import --keep")
        chains = [re.search(rb"chain: ([0-9a-f]{64})", doors.strata("verify", self.folder / name)).group(1)
                  for name in ("data", "kept")]
        self.assertEqual(chains[0], chains[1])
        with Service(data=self.folder / "made", config=self.config) as made, Client(made) as client:
            doors.strata("import", "-q", "-a", made.grpc, lines)
            self.same(doors.grpc_read(client), self.expected, "import of NDJSON")
            self.assertEqual(read_history(client.channel).chain.hex() == chains[0].decode(), False)  # other salts and times


class Ids(Doors):
    def fill(self):
        """Each id as everything that an id may name, twice: the second event comes by the other door."""
        for index, name in enumerate(IDS):
            ways = (self.by_rest, self.by_grpc) if index % 2 else (self.by_grpc, self.by_rest)
            for way, event_id in zip(ways, (name, another(name))):
                way(event(event_id, aggregate_id=name, type=type_of(name), aggregate_type=type_of(name),
                          tags=[name, "t"], correlation_id=name, causation_id=name, subject=name,
                          metadata=b'{ "by" : "%s" }' % way.__name__.encode()))

    def test_the_table_holds_no_id_twice(self):
        for names in (IDS + [another(name) for name in IDS], [type_of(name) for name in IDS]):
            self.assertEqual(len(set(names)), len(names))

    def test_every_door_shows_every_id(self):
        self.fill()
        self.check_every_door()
        self.check_copies()

    def test_every_address_finds_its_event_however_it_is_encoded(self):
        self.fill()
        for index, name in enumerate(IDS):
            first, second = self.expected[2 * index:2 * index + 2]
            both = [first, second]
            for encode in ENCODINGS:
                path, kind = encode(name), encode(type_of(name))
                with self.subTest(name=name, encode=encode.__name__):
                    for event_id, wanted in ((path, first), (encode(second.id), second)):
                        status, _, body = self.http.get("/api/v1/events/id/" + event_id)
                        self.assertEqual(status, 200, body)
                        self.assertEqual(doors.seen_of_json(body), wanted)
                    for target, wanted in (("aggregate/" + path, both), ("type/" + kind, both),
                                           ("aggregate-type/" + kind, both)):
                        status, _, body = self.http.get("/api/v1/events/" + target)
                        self.assertEqual(status, 200, body)
                        self.assertEqual(doors.events_of_page(body), wanted, target)
                    status, headers, body = self.http.get("/api/v1/aggregates/" + path)
                    self.assertEqual((status, headers["ETag"]), (200, '"2"'), body)
                    self.assertEqual(json.loads(body)["id"], name)

    def test_http2_carries_the_same_addresses(self):
        self.fill()
        answers = doors.http2_get(self.service, ["/api/v1/events/id/" + ENCODINGS[n % len(ENCODINGS)](seen.id)
                                                 for n, seen in enumerate(self.expected)])
        self.assertEqual({status for status, _ in answers}, {"200"})
        self.same([doors.seen_of_json(body) for _, body in answers], self.expected, "HTTP/2")

    def test_every_filter_finds_its_events(self):
        self.fill()
        for index, name in enumerate(IDS[::STEP]):
            both = self.expected[2 * index * STEP:2 * index * STEP + 2]
            kind = type_of(name)
            with self.subTest(name=name):
                for form in (True, False):
                    value, value_of_type = in_query(name, form), in_query(kind, form)
                    for query, wanted in (("aggregate_id=" + value, both), ("correlation_id=" + value, both),
                                          ("tags=" + value, both), ("tags=t&tags=" + value, both),
                                          ("type=" + value_of_type, both), ("aggregate_type=" + value_of_type, both)):
                        status, _, body = self.http.get("/api/v1/events?" + query)
                        self.assertEqual(status, 200, body)
                        self.assertEqual(doors.events_of_page(body), wanted, query)
                    self.assertEqual(doors.rest_ndjson(self.http, "/api/v1/events?tags=" + value), both)
                self.assertEqual(doors.seen_of_message(self.client.events.GetEvent(
                    event_service_pb2.GetEventRequest(event_id=name))), both[0])
                self.assertEqual(doors.grpc_pages(self.client, aggregate_id=name), both)
                for lists in ({"aggregate_ids": [name]}, {"tags": [name, "t"]}, {"types": [kind]},
                              {"aggregate_types": [kind]}, {"correlation_id": name}):
                    self.assertEqual(doors.grpc_read(self.client, doors.query_of(**lists)), both, lists)

    def test_every_subscription_takes_its_filter_from_the_url(self):
        self.fill()
        for index, name in enumerate(IDS[::STEP]):
            both = self.expected[2 * index * STEP:2 * index * STEP + 2]
            kind = type_of(name)
            field, value = (("aggregate_ids", name), ("tags", name), ("types", kind), ("aggregate_types", kind),
                            ("correlation_id", name))[index % 5]
            query = "?after_position=0&%s=%s" % (field, in_query(value, index % 2 == 0))
            with self.subTest(name=name, query=query):
                self.assertEqual(doors.sse(self.service, query, 2), both)
                self.assertEqual(doors.ndjson(self.service, query, 2), both)
                self.assertEqual(doors.web_socket(self.service, query, 2), both)
                given = value if field == "correlation_id" else [value]
                self.assertEqual(doors.grpc_subscribe(self.client, 2, **{field: given}), both)

    def test_a_location_leads_to_its_event_and_a_key_in_a_header_is_the_key_in_a_message(self):
        for name in IDS:
            with self.subTest(name=name):
                headers = self.by_rest(event(name))
                status, _, body = self.http.get(headers["Location"])
                self.assertEqual((status, doors.seen_of_json(body)), (200, self.expected[-1]))
                new = event_pb2.NewEvent(type="custom", aggregate_id=name, data=b'{"n":1.0}')
                first = self.client.events.AppendEvents(event_service_pb2.AppendEventsRequest(
                    append_id=name, events=[new]))
                self.recorded(event(first.event_ids[0]) | {"aggregate_id": name, "data": b'{"n":1.0}'})
                body = b'{"type":"custom","aggregate_id":%s,"data":{"n":1.0}}' % json.dumps(name).encode()
                status, headers, body = self.http.post("/api/v1/events/publish", body, {"Idempotency-Key": name.encode()})
                self.assertEqual((status, headers["Strata-Replayed"]), (201, "true"), body)
                self.assertEqual(doors.seen_of_json(body), self.expected[-1])

    def test_an_aggregate_is_created_saved_and_photographed_under_every_id(self):
        for index, name in enumerate(IDS):
            payload = PAYLOADS[index % 2]
            path = ENCODINGS[index % len(ENCODINGS)](name)
            with self.subTest(name=name):
                status, headers, body = self.http.post("/api/v1/aggregates", json_of(
                    {"type": "custom", "id": name, "initial_state": payload, "metadata": payload}))
                self.assertEqual((status, json.loads(body)["id"]), (201, name), body)
                self.assertEqual([members(body)[m] for m in ("state", "metadata")], [compact(payload)] * 2)
                self.assertEqual(self.http.get(headers["Location"])[2], body)
                status, _, body = self.http.request("PUT", "/api/v1/aggregates/" + path, b'{"state":{"n":1e400}}',
                                                    {"Content-Type": "application/json", "If-Match": '"0"'})
                self.assertEqual((status, members(body)["state"], json.loads(body)["id"]), (200, b'{"n":1e400}', name))
                status, _, body = self.http.post("/api/v1/snapshots", json_of({"aggregate_id": name, "version": 1}))
                self.assertEqual((status, json.loads(body)["aggregate_id"]), (201, name), body)
                for target in ("/api/v1/snapshots/" + path, "/api/v1/snapshots/" + path + "/latest"):
                    status, _, body = self.http.get(target)
                    self.assertEqual((status, json.loads(body)["aggregate_id"]), (200, name), body)
                    self.assertEqual(members(body)["data"], b'{"n":1e400}')

    def test_escapes_in_a_body_and_in_metadata_name_the_same_ids(self):
        escaped = lambda text: '"%s"' % "".join(
            "\\u%04x" % int.from_bytes(unit, "big")
            for unit in re.findall(rb"(?s)..", text.encode("utf-16-be")))
        for name in IDS[::STEP]:
            with self.subTest(name=name):
                text = escaped(name).encode()
                metadata = b'{"correlation_id":%s,"causation_id":%s}' % (text, text)
                status, _, body = self.http.post("/api/v1/events/publish", json_of(
                    event(name, metadata=metadata) | {"id": text, "aggregate_id": text}))
                self.assertEqual(status, 201, body)
                self.recorded(event(name, metadata=metadata, correlation_id=name, causation_id=name))
                self.by_grpc(event(another(name), aggregate_id=name, metadata=metadata) |
                             {"correlation_id": name, "causation_id": name})
                self.same(doors.rest_ndjson(self.http, "/api/v1/events/aggregate/" + minimal(name)),
                          self.expected[-2:], "a list as NDJSON")

    def outcomes(self, fields):
        """How REST and gRPC refuse it: code and reason of each."""
        status, _, body = self.http.post("/api/v1/events/publish", json_of(fields))
        self.assertEqual(status, 400, body)
        problem = json.loads(body)
        refused = failure_of(self.client.events.PublishEvent, event_service_pb2.PublishEventRequest(**fields))
        return (problem["code"], problem["reason"]), (refused.code, refused.reason)

    def test_what_is_no_id_is_refused_by_every_door_with_the_same_reason(self):
        for name in REFUSED_IDS:
            # No text field of the contract holds a NUL, whatever it is for.
            wanted = ("INVALID_ARGUMENT", "INVALID_FIELD" if "\0" in name else "INVALID_ID")
            for place in ("id", "aggregate_id", "type", "aggregate_type", "correlation_id", "causation_id", "subject",
                          "tags"):
                with self.subTest(name=name, place=place):
                    fields = event("good") | {place: [name] if place == "tags" else name}
                    self.assertEqual(self.outcomes(fields), (wanted, wanted))
            with self.subTest(name=name, place="a path"):
                for encode in ENCODINGS:
                    if name.startswith("$") and name != "$":
                        continue  # the system's can be asked for
                    for route in ("events/id/", "events/aggregate/", "aggregates/"):
                        status, _, body = self.http.get("/api/v1/" + route + encode(name))
                        problem = json.loads(body)
                        if name == "$":
                            self.assertEqual(status, 404, body)
                        elif encode is minimal and name in (".", ".."):
                            self.assertIn(status, (400, 404), body)  # whoever forgot to encode it names another path
                        else:
                            self.assertEqual((status, problem.get("reason")), (400, wanted[1]), body)
        self.assertEqual(doors.grpc_read(self.client), [])

    def test_bytes_that_are_no_utf8_are_refused_by_every_door(self):
        for raw in (b"\xff", b"a\xc0\x80b", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9", b"a\xf0\x9f\x98"):
            with self.subTest(raw=raw):
                encoded = "".join("%%%02x" % byte for byte in raw)
                for route in ("events/id/", "events/aggregate/", "events/type/", "aggregates/", "events?tags=",
                              "events?correlation_id="):
                    status, _, body = self.http.get("/api/v1/" + route + encoded)
                    self.assertEqual(status, 400, (route, body))
                    self.assertIn(json.loads(body)["reason"], ("INVALID_ID", "INVALID_FIELD"), body)
                status, _, body = self.http.post(
                    "/api/v1/events/publish",
                    b'{"type":"custom","aggregate_id":"%s","aggregate_type":"custom"}' % raw)
                self.assertEqual((status, json.loads(body)["reason"]), (400, "INVALID_JSON"))
                call = self.client.channel.unary_unary("/strata.v1.EventService/GetEvent")
                with self.assertRaises(grpc.RpcError) as refused:
                    call(b"\x0a" + bytes([len(raw)]) + raw)
                self.assertEqual(Failure(refused.exception).code, "INVALID_ARGUMENT")

    def test_encodings_that_are_broken_are_refused(self):
        for path in ("%", "%2", "%zz", "a%", "a%g0", "%u0041", "%%41"):
            for route in ("events/id/", "events/aggregate/", "aggregates/", "events?tags="):
                with self.subTest(route + path):
                    status, _, body = self.http.get("/api/v1/" + route + path)
                    self.assertEqual(status, 400, body)


class Payloads(Doors):
    def test_every_door_shows_every_payload(self):
        for number, payload in enumerate(PAYLOADS):
            for way in (self.by_rest, self.by_grpc):
                name = "p-%d-%s" % (number, way.__name__)
                way(event(name, data=payload))
                way(event(name + "-m", aggregate_id=name, metadata=payload))
        for number, payload in enumerate((bytes(range(256)), b"", b'{"not" : "JSON"}', b"\xff" * 5)):
            for way in (self.by_rest, self.by_grpc):
                way(event("o-%d-%s" % (number, way.__name__), data=payload, content_type="application/octet-stream"))
        self.check_every_door()
        for seen in self.expected:
            status, _, body = self.http.get("/api/v1/events/id/" + seen.id)
            self.assertEqual((status, doors.seen_of_json(body)), (200, seen))
        self.check_copies()

    def test_numbers_pass_a_state_and_a_snapshot_untouched(self):
        for number, payload in enumerate(PAYLOADS):
            if b"null" in payload or b'"\\u0041"' in payload or b"__proto__" in payload:
                continue  # a state has no null members, and one spelling of a name
            name = "s-%d" % number
            with self.subTest(payload=payload[:60]):
                self.by_rest(event(name, data=payload))
                status, _, body = self.http.get("/api/v1/aggregates/" + name)
                self.assertEqual(status, 200, body)
                self.assertEqual(sorted(members(members(body)["state"]).items()), sorted(members(payload).items()))
                status, _, body = self.http.post("/api/v1/snapshots/", b'{"aggregate_id":"%s","version":1,"data":%s}' %
                                                 (name.encode(), payload))
                self.assertEqual((status, json.loads(members(body)["state"])), (201, "VERIFIED"), body[:300])
                self.assertEqual(members(body)["data"], compact(payload))

    def verdicts(self, name, member, text):
        """How each door judges it: None when it was recorded, else code and reason."""
        given = event(name + "-r", aggregate_id=name) | {member: text}
        status, _, body = self.http.post("/api/v1/events/publish", json_of(given))
        by_rest = None
        if status == 201:
            self.recorded(given)
        else:
            problem = json.loads(body)
            by_rest = (problem["code"], problem["reason"])
        given["id"] = name + "-g"
        try:
            self.client.events.PublishEvent(event_service_pb2.PublishEventRequest(**given))
            by_grpc = None
            self.recorded(given)
        except grpc.RpcError as error:
            refused = Failure(error)
            by_grpc = (refused.code, refused.reason)
        return by_rest, by_grpc

    def test_what_is_no_payload_is_refused_by_both_doors_with_the_same_reason(self):
        for number, payload in enumerate(REFUSED_PAYLOADS):
            for member in ("data", "metadata"):
                with self.subTest(payload=payload[:60], member=member):
                    by_rest, by_grpc = self.verdicts("r-%d" % number, member, payload)
                    self.assertEqual(by_rest, ("INVALID_ARGUMENT", "INVALID_JSON"))
                    self.assertEqual(by_grpc, by_rest)
        self.assertEqual(doors.grpc_read(self.client), [])

    def test_other_peoples_files(self):
        suite = json_suite()
        if suite is None:
            self.skipTest("set STRATA_SHARED to the folder that holds data/json-test-suite")
        for number, (name, text, must) in enumerate(suite[::STEP]):
            for member, payload in (("data", b'{"v":' + text + b"}"), ("metadata", b'{"v": ' + text + b"}"), ("data", text)):
                if payload is text and text.strip() in (b"", b"null"):
                    continue  # no payload is {}: over gRPC that is no bytes, in JSON null
                with self.subTest(file=name, member=member, alone=payload is text):
                    by_rest, by_grpc = self.verdicts("f-%d-%s-%d" % (number, member, payload is text), member, payload)
                    self.assertEqual(by_rest, by_grpc)
                    if by_rest is not None:
                        self.assertEqual(by_rest, ("INVALID_ARGUMENT", "INVALID_JSON"))
                    is_object = payload is not text or text.strip()[:1] == b"{"
                    if must is not None:
                        self.assertEqual(by_rest is None, must and is_object)
        self.assertGreater(len(self.expected), 400 // STEP)
        self.check_every_door()
        self.check_copies()


if __name__ == "__main__":
    unittest.main()
