"""The generator refuses, by name, what the service could not serve; and it gives the same output every time."""

import copy
import json
import pathlib
import re
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools/protogen"))

import asyncapi  # noqa: E402
import examples  # noqa: E402
import model  # noqa: E402
import openapi  # noqa: E402
import protogen  # noqa: E402
import reasons  # noqa: E402
import tables  # noqa: E402

HEAD = """syntax = "proto3";
package strata.v1;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "strata/v1/options.proto";
message Reply { string id = 1; Inner inner = 2; repeated string many = 3; }
message Inner { string id = 1; double weight = 2; }
message Ping { google.protobuf.Timestamp at = 1; }
service PingService {
  rpc Ping(strata.v1.Ping) returns (strata.v1.Ping) {
    option (google.api.http) = {get: "/ping"};
    option (rule) = {role: ROLE_PUBLIC rate: RATE_CLASS_EXEMPT};
  }
}
"""
RULE = "option (rule) = {role: ROLE_READER rate: RATE_CLASS_READ};"


def contract(text):
    with tempfile.TemporaryDirectory() as folder:
        proto = pathlib.Path(folder)
        (proto / "strata/v1").mkdir(parents=True)
        (proto / "strata/v1/options.proto").write_text((ROOT / "proto/strata/v1/options.proto").read_text())
        (proto / "strata/v1/test.proto").write_text(HEAD + text)
        return model.Contract(protogen.compile_descriptors(proto, []), protogen.our_files(proto))


def method(http, request="string id = 1; repeated string many = 2; Inner inner = 3;", rule=RULE, kinds=("", "")):
    return contract("""message Request { %s }
service TestService { rpc Call(%s Request) returns (%s Reply) { %s %s } }""" % (
        request, kinds[0], kinds[1], rule, "option (google.api.http) = {%s};" % http if http else ""))


class Refuses(unittest.TestCase):
    def refused(self, pattern, make, *arguments, **named):
        with self.assertRaises(model.Refused) as caught:
            make(*arguments, **named)
        self.assertRegex(str(caught.exception), pattern)

    def test_a_method_without_a_rule(self):
        self.refused(r"^/strata.v1.TestService/Call: has no option \(rule\)", method, None, rule="")

    def test_a_rule_without_a_role_or_a_class(self):
        self.refused("no role or no rate", method, None, rule="option (rule) = {rate: RATE_CLASS_READ};")
        self.refused("no role or no rate", method, None, rule="option (rule) = {role: ROLE_READER};")

    def test_a_success_that_is_none(self):
        self.refused("http_success is 404", method, None,
                     rule="option (rule) = {role: ROLE_READER rate: RATE_CLASS_READ http_success: 404};")

    def test_a_location_that_the_reply_does_not_have(self):
        location = "option (rule) = {role: ROLE_READER rate: RATE_CLASS_READ http_location: \"/x/{%s}\"};"
        for path in ("nothing", "inner.nothing", "many", "inner", "inner.weight", "id.id"):
            self.refused("http_location", method, None, rule=location % path)
        method(None, rule=location % "inner.id")

    def test_templates_outside_what_is_transcoded(self):
        for path, why in (("/x/*", r"segment '\*'"), ("/x/**", r"segment '\*\*'"), ("/x/{id=y/*}", "segment '{id=y'"),
                          ("/x/{id}:run", "segment '{id}:run'"), ("/x//y", "segment ''"), ("/x/", "segment ''"),
                          ("x", "begin with a slash"), ("/x/{inner.id}", "nested"), ("/x/{nothing}", "no plain field"),
                          ("/x/{many}", "no plain field"), ("/x/{inner}", "no plain field"),
                          ("/x/{id}/{id}", "binds one field twice")):
            self.refused(why, method, 'get: "%s"' % path)

    def test_a_custom_verb(self):
        self.refused("custom verb", method, 'custom: {kind: "HEAD" path: "/x"}')

    def test_bodies_that_cannot_be(self):
        self.refused("GET has no body", method, 'get: "/x" body: "*"')
        self.refused("DELETE has no body", method, 'delete: "/x" body: "*"')
        self.refused("body: nothing", method, 'post: "/x" body: "nothing"')
        self.refused("body: id", method, 'post: "/x" body: "id"')
        self.refused("body: many", method, 'post: "/x" body: "many"')
        self.refused("response_body", method, 'post: "/x" body: "*" response_body: "nothing"')
        method('post: "/x" body: "inner" response_body: "inner"')

    def test_streams_that_http_cannot_carry(self):
        self.refused("client stream", method, 'get: "/x"', kinds=("stream", ""))
        self.refused("stream with a body", method, 'post: "/x" body: "*"', kinds=("", "stream"))
        method('get: "/x"', kinds=("", "stream"))

    def test_two_templates_that_match_one_path(self):
        again = 'get: "/a/{id}" additional_bindings {get: "%s"}'
        self.refused("GET /a/{other}: matches the same paths as /a/{id}", method, again % "/a/{other}",
                     request="string id = 1; string other = 2;")
        crossed = 'get: "/a/{id}/c" additional_bindings {get: "/a/b/{id}"}'
        self.refused("matches the same paths", method, crossed)

    def test_not_a_literal_beside_a_variable(self):
        method('get: "/a/{id}" additional_bindings {get: "/a/b"} additional_bindings {post: "/a/{id}" body: "*"}')

    def test_fields_that_are_not_transcoded(self):
        for declaration in ("uint32 a = 1;", "fixed64 a = 1;", "float a = 1;", "sint32 a = 1;"):
            self.refused(r"strata.v1.Request.a: this field type", method, None, request=declaration)
        self.refused("above 255", method, None, request="string a = 256;")
        self.refused("more than 64 fields", method, None,
                     request=" ".join("string a%d = %d;" % (i, i) for i in range(1, 66)))
        # protoc refuses a clash of the json names it derives itself; the name of one may still be the other's.
        self.refused("two fields are 'ab'", method, None, request='string ab = 1 [json_name = "x"]; string c = 2 '
                                                                  '[json_name = "ab"];')

    def test_options_on_the_wrong_field(self):
        for declaration, why in (("string a = 1 [(field) = {raw_json: true}];", "raw_json is for bytes"),
                                 ("bytes a = 1 [(field) = {decimal: true}];", "decimal is for strings"),
                                 ("int32 a = 1 [(field) = {json_number: true}];", "json_number is for int64"),
                                 ("repeated string a = 1 [(field) = {http_header: \"X\"}];", "http_header is for one"),
                                 ("string a = 1 [(field) = {http_header: \"X Y\"}];", "not a header name"),
                                 ("int32 a = 1 [(field) = {shape: SHAPE_ID}];", "shape is for strings"),
                                 ("string a = 1 [(field) = {may_be_empty: true}];", "strings with a shape"),
                                 ("string a = 1 [(field) = {minimum: 0}];", "minimum is for int32 and int64"),
                                 ("string a = 1 [(field) = {max_items: 3}];", "are for lists")):
            self.refused(why, method, None, request=declaration)

    def test_a_message_that_contains_itself(self):
        self.refused("contains itself", contract, "message A { B b = 1; } message B { repeated A a = 1; }")

    def test_nesting_that_is_too_deep(self):
        deep = "".join("message D%d { D%d d = 1; } " % (i, i + 1) for i in range(16)) + "message D16 { string x = 1; }"
        self.refused("nested deeper than 16", contract, deep)


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = protogen.compile_descriptors()
        cls.contract = model.Contract(cls.files, protogen.our_files())

    def test_everything_has_a_comment(self):
        for message in self.contract.described():
            if message.name.endswith("Entry") or message.name.startswith("google."):
                continue
            self.assertTrue(message.comment, message.name)
            for field in message.fields:
                self.assertTrue(field.comment, "%s.%s" % (message.name, field.name))
        for method_ in self.contract.methods:
            self.assertTrue(method_.comment, method_.path)

    def test_output_is_the_same_every_time(self):
        again = model.Contract(protogen.compile_descriptors(), protogen.our_files())
        self.assertEqual(tables.tables_source(self.contract), tables.tables_source(again))
        self.assertEqual(protogen.descriptions(self.contract), protogen.descriptions(again))

    def test_committed_output_is_fresh(self):
        committed = ROOT / "generated"
        with tempfile.TemporaryDirectory() as folder:
            sys.argv = ["protogen", folder]
            protogen.main()
            for path in pathlib.Path(folder).rglob("*.*"):
                name = path.relative_to(folder)
                self.assertEqual(path.read_bytes(), (committed / name).read_bytes(), "%s is stale" % name)


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        contract_ = model.Contract(protogen.compile_descriptors(), protogen.our_files())
        cls.document = json.loads(protogen.descriptions(contract_)["openapi"])

    def schema(self, name):
        return self.document["components"]["schemas"][name]

    def test_references_lead_somewhere(self):
        names = set(re.findall(r'"#/components/schemas/([^"]+)"', str(self.document).replace("'", '"')))
        self.assertLessEqual(names, set(self.document["components"]["schemas"]))

    def test_every_path_variable_is_a_parameter(self):
        for path, operations in self.document["paths"].items():
            for verb, operation in operations.items():
                bound = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
                self.assertEqual(bound, set(re.findall(r"{(\w+)}", path)), "%s %s" % (verb, path))

    def test_operation_ids_differ(self):
        ids = [o["operationId"] for p in self.document["paths"].values() for o in p.values()]
        self.assertEqual(len(ids), len(set(ids)))

    def test_publish(self):
        operation = self.document["paths"]["/api/v1/events/publish"]["post"]
        self.assertEqual(operation["requestBody"]["content"]["application/json"]["schema"],
                         {"$ref": "#/components/schemas/PublishEventRequestBody"})
        reply = operation["responses"]["201"]
        self.assertEqual(reply["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Event")
        self.assertIn("Location", reply["headers"])
        self.assertIn("Strata-Replayed", reply["headers"])
        self.assertIn("Idempotency-Key", [p["name"] for p in operation["parameters"] if p["in"] == "header"])
        self.assertIn("application/problem+json", operation["responses"]["default"]["content"])

    def test_the_json_mapping(self):
        event = self.schema("Event")["properties"]
        self.assertEqual(event["position"]["type"], "string")
        self.assertEqual(event["version"]["type"], "integer")
        self.assertEqual(event["timestamp"]["format"], "date-time")
        self.assertNotIn("payload_salt", event)
        self.assertEqual(self.schema("Stats")["properties"]["event_count"]["type"], "integer")
        self.assertEqual(self.schema("Snapshot")["properties"]["state"]["enum"][1], "VERIFIED")

    def test_a_request_names_its_members_and_no_others(self):
        self.assertIs(self.schema("PublishEventRequestBody")["additionalProperties"], False)
        self.assertIs(self.schema("NewEvent")["additionalProperties"], False)
        self.assertNotIn("additionalProperties", self.schema("Event"))

    def test_what_a_field_must_be(self):
        publish = self.schema("PublishEventRequestBody")
        self.assertEqual(publish["required"], ["type", "aggregate_id"])
        self.assertEqual(publish["properties"]["version"]["minimum"], 1)
        self.assertEqual(publish["properties"]["tags"]["maxItems"], 16)
        given = publish["properties"]["aggregate_id"]
        for text, fits in (("a", True), ("a/b", True), (".a", True), ("..a", True), ("...", True), ("é", True), ("a" * 255, True),
                           ("", False), (".", False), ("..", False), ("$a", False), ("a b", False), ("a\u2003", False),
                           ("\x7f", False)):
            self.assertEqual(bool(re.search(given["pattern"], text)), fits, repr(text))
        self.assertFalse(re.search(publish["properties"]["type"]["pattern"], "a/b"))
        self.assertTrue(re.search(publish["properties"]["id"]["pattern"], ""))

    def test_what_may_be_left_out_may_be_null(self):
        publish = self.schema("PublishEventRequestBody")["properties"]
        self.assertEqual(publish["id"]["type"], ["string", "null"])
        self.assertEqual(publish["type"]["type"], "string")
        self.assertIn({"type": "null"}, self.schema("AppendEventsRequestBody")["properties"]["condition"]["anyOf"])
        self.assertEqual(self.schema("Event")["properties"]["id"]["type"], "string")

    def test_what_is_asked_for_and_answered_has_two_schemas(self):
        self.assertIs(self.schema("EventQueryGiven")["additionalProperties"], False)
        self.assertNotIn("additionalProperties", self.schema("EventQuery"))

    def test_what_may_come_compressed_says_so(self):
        paths = self.document["paths"]
        self.assertIn("Content-Encoding", paths["/api/v1/events"]["get"]["responses"]["200"]["headers"])
        self.assertNotIn("Content-Encoding", paths["/api/v1/aggregates/{id}"]["get"]["responses"]["200"]["headers"])

    def test_a_dry_run_has_an_answer_of_its_own(self):
        responses = self.document["paths"]["/api/v1/events/publish"]["post"]["responses"]
        self.assertEqual(responses["200"]["content"], responses["201"]["content"])
        self.assertNotIn("Location", responses["200"].get("headers", {}))

    def test_a_member_that_path_or_header_give_is_not_in_the_body(self):
        self.assertNotIn("idempotency_key", self.schema("PublishEventRequestBody")["properties"])
        operation = self.document["paths"]["/api/v1/aggregates/{id}"]["put"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        self.assertNotIn("id", self.schema(body)["properties"])
        self.assertIn("state", self.schema(body)["properties"])


def call(text="GET /a", name="one", status=200, **more):
    return {"name": name, "says": "It.", "call": text, "answer": {"status": status}, **more}


class Examples(unittest.TestCase):
    """No route, frame or part of a stream goes without an example that was answered."""

    def setUp(self):
        nothing = {"responses": {"200": {"description": "It."}}}
        self.paths = {"/a": {"get": {"operationId": "A", **copy.deepcopy(nothing)}},
                      "/a/{id}": {"get": {"operationId": "B", **copy.deepcopy(nothing),
                                          "parameters": [{"name": "id", "in": "path", "schema": {"type": "string"}}]}}}

    def refused(self, pattern, *steps):
        with self.assertRaises(model.Refused) as caught:
            examples.Examples({"1.json": list(steps)}).add_to(self.paths)
        self.assertRegex(str(caught.exception), pattern)

    def test_a_route_without_one_is_refused_by_name(self):
        self.refused(r"^GET /a/\{id\}: has no example of its success in proto/examples", call())

    def test_a_problem_alone_is_none(self):
        self.refused(r"^GET /a/\{id\}: has no example of its success", call(), call("GET /a/x", status=404))

    def test_one_that_was_never_answered(self):
        step = call()
        del step["answer"]
        self.refused(r"^proto/examples/1.json: one: has no answer; record it", step)

    def test_one_of_a_path_or_a_parameter_that_is_not_there(self):
        self.refused("GET /b has no such path", call("GET /b"))
        self.refused("POST /a has no such path", call("POST /a"))
        self.refused("x is no parameter of A", call("GET /a?x=1"))

    def test_one_whose_answer_is_not_described(self):
        self.refused("A has no answer 201", call(status=201))
        self.refused("A does not answer 200 with text/plain",
                     call(answer={"status": 200, "headers": {"Content-Type": "text/plain"}, "body": "x"}))

    def test_two_of_one_name(self):
        self.refused("another example of GET /a has this name", call(), call())

    def test_steps_without_name_or_words(self):
        self.refused("has no `name`", call(name=""))
        self.refused("has no `says`", {**call(), "says": ""})
        self.refused("a frame has no `says`", {"name": "s", "says": "It.", "socket": "/ws", "frames": [{"send": {}}]})
        self.refused("neither a call nor a socket", {"name": "s", "says": "It."})

    def test_the_more_literal_path_wins(self):
        self.paths["/a/b"] = {"get": {"operationId": "C", "responses": {"200": {"description": "It."}}}}
        examples.Examples({"1.json": [call(), call("GET /a/b"), call("GET /a/c%2Fd")]}).add_to(self.paths)
        self.assertEqual(len(self.paths["/a/b"]["get"]["x-exchanges"]), 1)
        self.assertEqual(self.paths["/a/{id}"]["get"]["parameters"][0]["examples"], {"one": {"value": "c/d"}})

    def test_what_is_refused_is_no_example_of_a_request(self):
        self.paths["/a"]["post"] = {"operationId": "D", "responses": {"200": {"description": "It."}},
                                    "requestBody": {"content": {"application/json": {"schema": {}}}}}
        steps = [call(), call("GET /a/x"), call("POST /a", body={"good": 1}), call("POST /a", "bad", 400, body={"bad": 1})]
        examples.Examples({"1.json": steps}).add_to(self.paths)
        operation = self.paths["/a"]["post"]
        self.assertEqual(list(operation["requestBody"]["content"]["application/json"]["examples"]), ["one"])
        self.assertEqual([exchange.get("body") for exchange in operation["x-exchanges"]], [None, {"bad": 1}])

    def test_every_frame_and_every_part_needs_one(self):
        contract_ = model.Contract(protogen.compile_descriptors(), protogen.our_files())
        whole = examples.Examples.load(ROOT / "proto/examples")
        subscribe = {"description": "", "parameters": []}
        asyncapi.document(contract_, whole, subscribe)
        for kind in ("fell_behind", "unsubscribed"):
            without = copy.copy(whole)
            without.frames = [(story, frame) for story, frame in whole.frames if frame.get("receive", {}).get("type") != kind]
            with self.assertRaisesRegex(model.Refused, '^/ws frame "%s": has no example' % kind):
                asyncapi.document(contract_, without, subscribe)
        without = copy.copy(whole)
        without.calls = [(where, step) for where, step in whole.calls if "later" not in step]
        with self.assertRaisesRegex(model.Refused, '^text/event-stream part "fell_behind": has no example'):
            asyncapi.document(contract_, without, subscribe)

    def test_every_reason_has_a_meaning(self):
        header = "#define STATUS_REASON_TABLE(X) \\\n    X(GONE, NOT_FOUND, 404, 0) \\\n    X(BUSY, UNAVAILABLE, 503, 50)\n\n"
        table = reasons.read(header, '{"GONE": "It is.", "BUSY": "It is."}')
        self.assertEqual(table[1], {"reason": "BUSY", "code": "UNAVAILABLE", "status": 503, "retry_ms": 50, "description": "It is."})
        with self.assertRaisesRegex(model.Refused, "^BUSY: has no meaning in proto/reasons.json"):
            reasons.read(header, '{"GONE": "It is."}')
        with self.assertRaisesRegex(model.Refused, "^NEVER: is in proto/reasons.json and not"):
            reasons.read(header, '{"GONE": "It is.", "BUSY": "It is.", "NEVER": "It is."}')


if __name__ == "__main__":
    unittest.main()
