"""The documented calls, pasted in order on an empty store, and pasted again."""

import re
import subprocess
import sys
import unittest
import urllib.parse

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import ROOT, Service  # noqa: E402

USER = {"email": "john@example.com", "first_name": "John", "last_name": "Doe", "role": "user"}
CREATE = {"type": "user", "id": "user-123", "initial_state": USER}
PUBLISH = {"type": "user_created", "aggregate_id": "user-123", "aggregate_type": "user", "version": 1,
           "data": {"user_id": "user-123", **USER},
           "metadata": {"source": "user-service", "correlation_id": "corr-123"}}


class FirstLight(unittest.TestCase):
    def test_the_documented_calls_answer_in_order(self):
        with Service() as s:
            status, headers, aggregate = s.request("POST", "/api/v1/aggregates/", CREATE)
            self.assertEqual((status, aggregate["version"], aggregate["state"]), (201, 0, USER))
            self.assertEqual(headers["ETag"], '"0"')
            self.assertEqual(headers["Location"], "/api/v1/aggregates/user-123")

            status, headers, event = s.request("POST", "/api/v1/events/publish", PUBLISH)
            self.assertEqual(status, 201, event)
            self.assertEqual((event["version"], event["correlation_id"]), (1, "corr-123"))
            self.assertEqual(headers["Location"], "/api/v1/events/id/" + event["id"])
            self.assertEqual(event["position"], "2")

            status, _, page = s.request("GET", "/api/v1/events/aggregate/user-123")
            self.assertEqual((status, [e["version"] for e in page["events"]]), (200, [0, 1]))

            status, _, snapshot = s.request("POST", "/api/v1/snapshots/",
                                            {"aggregate_id": "user-123", "version": 10, "data": USER})
            self.assertEqual((status, snapshot["state"]), (201, "PENDING"), snapshot)

            status, _, stats = s.request("GET", "/api/v1/stats")
            self.assertEqual((status, stats["event_count"], stats["aggregate_count"], stats["snapshot_count"]),
                             (200, 1, 1, 1), stats)
            self.assertEqual(stats["system_event_count"], 1)

            status, headers, aggregate = s.request("GET", "/api/v1/aggregates/user-123")
            self.assertEqual((status, aggregate["version"], headers["ETag"]), (200, 1, '"1"'))
            self.assertEqual(aggregate["state"]["email"], "john@example.com")

            for path in ("/api/v1/events/type/user_created", "/api/v1/events/aggregate-type/user", "/api/v1/events/"):
                status, _, page = s.request("GET", path)
                self.assertEqual(status, 200, page)
                self.assertIn(event["id"], [e["id"] for e in page["events"]])
            status, _, page = s.request("GET", "/api/v1/events/type/never_seen")
            self.assertEqual((status, page["events"]), (200, []))

            status, _, latest = s.request("GET", "/api/v1/snapshots/user-123/latest")
            self.assertEqual((status, latest["version"], latest["state"]), (200, 10, "PENDING"))
            status, _, used = s.request("GET", "/api/v1/snapshots/user-123")
            self.assertEqual(status, 200, used)

            status, _, info = s.request("GET", "/api/v1/info")
            self.assertEqual((status, info["event_store"]), (200, "embedded"))
            self.assertIn("user_created", info["event_types"])
            status, _, health = s.request("GET", "/health")
            self.assertEqual((status, health["state"], health["security_mode"]), (200, "HEALTHY", "development"))
            for path in ("/livez", "/readyz", "/openapi.json", "/asyncapi.json", "/docs"):
                self.assertEqual(s.request("GET", path)[0], 200, path)

            status, headers, aggregate = s.request("PUT", "/api/v1/aggregates/user-123",
                                                   {"state": {**USER, "role": "admin"}}, {"If-Match": '"1"'})
            self.assertEqual((status, aggregate["version"], headers["ETag"]), (200, 2, '"2"'), aggregate)
            self.assertEqual(aggregate["state"]["role"], "admin")

    def test_pasting_again_is_refused_with_what_to_send_instead(self):
        with Service() as s:
            self.assertEqual(s.request("POST", "/api/v1/aggregates/", CREATE)[0], 201)
            self.assertEqual(s.request("POST", "/api/v1/events/publish", PUBLISH)[0], 201)
            status, headers, problem = s.request("POST", "/api/v1/aggregates/", CREATE)
            self.assertEqual((status, problem["reason"]), (409, "AGGREGATE_EXISTS"))
            self.assertEqual(headers["Content-Type"], "application/problem+json")
            self.assertTrue(problem["request_id"])
            status, _, problem = s.request("POST", "/api/v1/events/publish", PUBLISH)
            self.assertEqual((status, problem["reason"]), (409, "VERSION_CONFLICT"))
            self.assertEqual((problem["current_version"], problem["expected_version"]), (1, 0))
            self.assertIn("2", problem["detail"])
            status, _, problem = s.request("PUT", "/api/v1/aggregates/user-123", {"state": USER}, {"If-Match": '"7"'})
            self.assertEqual((status, problem["reason"]), (412, "IF_MATCH_FAILED"))
            status, _, problem = s.request("PUT", "/api/v1/aggregates/user-123", {"state": USER})
            self.assertEqual((status, problem["reason"]), (428, "PRECONDITION_REQUIRED"))

    def test_the_curl_lines_of_the_readme_run_as_printed(self):
        block = subprocess.run([ROOT / "scripts/readme-command", "curl"], check=True, capture_output=True,
                               text=True).stdout
        with Service() as s:
            commands = block.replace("http://localhost:8080", s.http)
            seen = []
            for command in re.split(r"\n(?=curl )", commands.strip()):
                reply = subprocess.run(["bash", "-c", command.strip()], capture_output=True, text=True, timeout=60)
                self.assertEqual(reply.returncode, 0, command + reply.stderr)
                seen.append(int(reply.stdout.split(" ", 2)[1]))
            self.assertEqual(seen, [201, 201, 200, 201] + [200] * 10, list(zip(seen, block.split("curl "))))

    def test_everything_survives_a_clean_stop(self):
        first = Service()
        with first as s:
            s.request("POST", "/api/v1/aggregates/", CREATE)
            s.request("POST", "/api/v1/events/publish", PUBLISH)
            before = s.request("GET", "/api/v1/events/")[2]["events"]
            s.stop()
            again = Service(data=first.data).start()
            try:
                after = again.request("GET", "/api/v1/events/")[2]["events"]
                strip = lambda events: [{k: v for k, v in e.items() if not k.startswith("processed")} for e in events]
                self.assertEqual(strip(before), strip(after))
                self.assertEqual(again.request("GET", "/api/v1/aggregates/user-123")[2]["version"], 1)
            finally:
                again.stop()


class Refusals(unittest.TestCase):
    """Wrong input is refused by name."""

    CASES = [
        ("a mistyped member", "POST", "/api/v1/events/publish", {**PUBLISH, "expectedVerison": 1}, 400, "UNKNOWN_FIELD"),
        ("a version of zero", "POST", "/api/v1/events/publish", {**PUBLISH, "version": 0}, 400, "VERSION_ZERO"),
        ("no JSON", "POST", "/api/v1/events/publish", b"{", 400, "INVALID_JSON"),
        ("a duplicate name", "POST", "/api/v1/events/publish", b'{"type":"a","type":"b"}', 400, "INVALID_JSON"),
        ("a type not allowed", "POST", "/api/v1/events/publish", {**PUBLISH, "type": "nope"}, 400, "TYPE_NOT_ALLOWED"),
        ("an id with a control character", "POST", "/api/v1/events/publish", {**PUBLISH, "aggregate_id": "a\u0007"}, 400,
         "INVALID_ID"),
        ("a system type", "POST", "/api/v1/events/publish", {**PUBLISH, "type": "$activated"}, 400, None),
        ("an unknown aggregate", "GET", "/api/v1/aggregates/none", None, 404, "AGGREGATE_UNKNOWN"),
        ("events of an unknown aggregate", "GET", "/api/v1/events/aggregate/none", None, 404, "AGGREGATE_UNKNOWN"),
        ("an unknown event", "GET", "/api/v1/events/id/none", None, 404, "EVENT_UNKNOWN"),
        ("no snapshot", "GET", "/api/v1/snapshots/none", None, 404, None),
        ("an unknown query parameter", "GET", "/api/v1/events?tpye=x", None, 400, "UNKNOWN_FIELD"),
        ("from_version without an aggregate", "GET", "/api/v1/events?from_version=1", None, 400, "INVALID_FIELD"),
        ("a position that is no number", "GET", "/api/v1/events?after_position=x", None, 400, "INVALID_FIELD"),
        ("no such route", "GET", "/api/v1/nothing", None, 404, None),
        ("the wrong verb", "DELETE", "/api/v1/stats", None, 405, None),
        ("version and expected_version that disagree", "POST", "/api/v1/events/publish",
         {**PUBLISH, "expected_version": 5}, 400, "INVALID_FIELD"),
        ("a key and an id", "POST", "/api/v1/events/publish", {**PUBLISH, "id": "e1", "idempotency_key": "k"}, 400,
         "INVALID_FIELD"),
    ]

    def test_each_fault_has_its_status_and_reason(self):
        with Service() as s:
            for why, method, path, body, status, reason in self.CASES:
                with self.subTest(why):
                    got, _, problem = s.request(method, path, body)
                    self.assertEqual(got, status, problem)
                    self.assertEqual(problem["status"], status)
                    if reason:
                        self.assertEqual(problem["reason"], reason, problem)
                    self.assertTrue(problem["detail"])

    def test_all_faulty_fields_are_listed(self):
        with Service() as s:
            status, _, problem = s.request("POST", "/api/v1/events/publish", {
                "type": "order_created", "aggregate_id": "o1", "aggregate_type": "order",
                "data": {"order_id": "o1", "user_id": 5, "items": [{"product_id": "p", "quantity": "x"}],
                         "total_amount": True}})
            self.assertEqual(status, 400, problem)
            fields = {fault["field"] for fault in problem["errors"]}
            self.assertLessEqual({"data.user_id", "data.items[0].quantity", "data.total_amount"}, fields)
            for fault in problem["errors"]:  # as in RFC 9457: a JSON pointer into what was sent
                self.assertEqual(fault["pointer"], "#/" + fault["field"].replace("[0]", "/0").replace(".", "/"))

    def test_a_slash_in_an_id_travels_percent_encoded(self):
        with Service() as s:
            name = "a/b ü%2F+;"
            name = name.replace(" ", "_")
            status, _, _ = s.request("POST", "/api/v1/events/publish", {
                "type": "custom", "aggregate_id": name, "aggregate_type": "custom", "data": {"n": 1}})
            self.assertEqual(status, 201)
            status, _, aggregate = s.request("GET", "/api/v1/aggregates/" + urllib.parse.quote(name, safe=""))
            self.assertEqual((status, aggregate["id"]), (200, name))

    def test_numbers_come_back_token_for_token(self):
        with Service() as s:
            body = (b'{"type":"custom","aggregate_id":"n","aggregate_type":"custom",'
                    b'"data":{"a":10.10,"b":1e400,"c":9223372036854775809,"d":"\\u00e9\\/"}}')
            self.assertEqual(s.request("POST", "/api/v1/events/publish", body)[0], 201)
            import urllib.request
            raw = urllib.request.urlopen(s.http + "/api/v1/aggregates/n").read()
            self.assertIn(b'"a":10.10,"b":1e400,"c":9223372036854775809,"d":"\\u00e9\\/"', raw)


if __name__ == "__main__":
    unittest.main()
