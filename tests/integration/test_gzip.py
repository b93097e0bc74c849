"""Answers that a client takes compressed: the same bytes, unpacked by independent programs; streams are not held back."""

import gzip
import http.client
import json
import subprocess
import sys
import time
import unittest
import zlib

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_rpc import Client, event_pb2, event_service_pb2  # noqa: E402
from support.strata_service import Service  # noqa: E402

WAIT_S = 60
LEAST_BYTES = 1024
PROBLEM = {"events": [{"type": "custom", "aggregate_id": "a b %d" % n, "aggregate_type": "custom"} for n in range(60)]}


def custom(aggregate, n=0):
    return event_pb2.NewEvent(type="custom", aggregate_id=aggregate, aggregate_type="custom",
                              data=b'{"n":%d,"text":"%s"}' % (n, b"some text " * 5))


class Gzip(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()
        cls.client = Client(cls.service)
        for first in range(0, 2500, 250):
            cls.append(*[custom("many", n) for n in range(first, first + 250)])
        cls.append(custom("one"))
        # What is compared below must not change any more.
        deadline = time.monotonic() + WAIT_S
        while not cls.service.request("GET", "/api/v1/events/aggregate/one")[2]["events"][0]["processed"]:
            assert time.monotonic() < deadline, "the events were not processed"
            time.sleep(0.05)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.service.stop()
        cls.service.remove()

    @classmethod
    def append(cls, *events):
        return cls.client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=events))

    def ask(self, path, accept="gzip", method="GET", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.service.http_port, timeout=WAIT_S)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if accept is not None:
            given["Accept-Encoding"] = accept
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in given.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply.status, reply.headers, content

    def check_same(self, path, **options):
        """Compressed and plain answers say the same; the plain one is given."""
        _, plain_headers, plain = self.ask(path, None, **options)
        status, headers, content = self.ask(path, **options)
        self.assertNotIn("Content-Encoding", plain_headers)
        self.assertEqual(headers["Content-Encoding"], "gzip", (path, status))
        for given in (headers, plain_headers):
            self.assertIn("Accept-Encoding", ", ".join(given.get_all("Vary")), path)
        self.assertEqual(headers["Content-Type"], plain_headers["Content-Type"])
        unpacked = gzip.decompress(content)
        self.assertLess(len(content), len(plain) / 2)
        return unpacked, plain

    def test_large_answers_are_compressed_and_say_the_same(self):
        for path, accept in (("/api/v1/events", None), ("/api/v1/events/aggregate/many?page_size=1000", None),
                             ("/openapi.json", None), ("/asyncapi.json", None), ("/docs", None), ("/docs/docs.js", None),
                             ("/api/v1/events", "application/x-ndjson"),
                             ("/api/v1/events/aggregate/many", "application/x-ndjson")):
            with self.subTest(path=path, accept=accept):
                unpacked, plain = self.check_same(path, **({"Accept": accept} if accept else {}))
                # A page's token is made anew for each.
                strip = lambda text: {**json.loads(text), "next_page_token": ""} if path.startswith("/api") and not accept else text
                self.assertTrue(strip(unpacked) == strip(plain), path)

    def test_problems_too(self):
        body = json.dumps(PROBLEM).encode()
        unpacked, plain = self.check_same("/api/v1/events/append", method="POST", body=body)
        strip = lambda text: {**json.loads(text), "request_id": ""}
        self.assertEqual(strip(unpacked), strip(plain))
        self.assertGreater(len(json.loads(plain)["errors"]), 10)

    def test_curl_shows_the_same_over_both_protocols(self):
        for protocol in ("--http1.1", "--http2-prior-knowledge"):
            for accept in ("application/json", "application/x-ndjson"):
                shown = [subprocess.run(["curl", "-s", protocol, *compressed, "-H", "Accept: " + accept,
                                         self.service.http + "/api/v1/events/aggregate/many?page_size=900"],
                                        check=True, capture_output=True, timeout=WAIT_S).stdout
                         for compressed in ([], ["--compressed"])]
                lines = [[json.loads(line) for line in text.splitlines()] for text in shown]
                for line in lines[0] + lines[1]:
                    line.pop("next_page_token", None)
                self.assertTrue(lines[0] == lines[1], (protocol, accept))  # a list of differences would take minutes

    def test_small_answers_and_those_with_a_tag_are_left_alone(self):
        for path in ("/api/v1/aggregates/one", "/livez", "/api/v1/events/id/none", "/api/v1/events/aggregate/one"):
            status, headers, content = self.ask(path)
            self.assertLess(len(content), LEAST_BYTES)
            self.assertNotIn("Content-Encoding", headers, path)
        # A strong tag names these very bytes, and If-Match is to give it back.
        self.append(event_pb2.NewEvent(type="custom", aggregate_id="big", aggregate_type="custom",
                                       data=b'{"text":"%s"}' % (b"x" * 5000)))
        status, headers, content = self.ask("/api/v1/aggregates/big")
        self.assertEqual((headers["ETag"], headers["Content-Encoding"], int(headers["Content-Length"])),
                         ('"1"', None, len(content)))
        self.assertEqual(self.ask("/api/v1/aggregates/big", If_None_Match='"1"')[0], 304)

    def test_the_head_of_a_compressed_answer_is_the_answers(self):
        for accept in ("gzip", None):
            _, whole, content = self.ask("/openapi.json", accept)
            status, head, nothing = self.ask("/openapi.json", accept, method="HEAD")
            self.assertEqual((status, nothing), (200, b""))
            for name in ("Content-Length", "Content-Encoding", "Vary", "Content-Type"):
                self.assertEqual(head[name], whole[name], name)
            self.assertEqual(int(head["Content-Length"]), len(content))

    def test_only_who_asks_gets_it(self):
        for accept, wanted in (("gzip", True), ("deflate, gzip;q=1.0, *;q=0.5", True), ("*", True), (None, False), ("", False),
                               ("br, deflate", False), ("gzip;q=0, *", False), ("identity;q=1, gzip;q=0.5", False)):
            with self.subTest(accept=accept):
                _, headers, content = self.ask("/openapi.json", accept)
                self.assertEqual(headers["Content-Encoding"], "gzip" if wanted else None)
                self.assertEqual(content[:1], b"\x1f" if wanted else b"{")

    def test_streams_are_not_held_back(self):
        for accept, line in (("text/event-stream", b"data: "), ("application/x-ndjson", b'{"event":')):
            with self.subTest(accept=accept):
                connection = http.client.HTTPConnection("127.0.0.1", self.service.http_port, timeout=WAIT_S)
                connection.request("GET", "/api/v1/events/subscribe?aggregate_ids=live", headers={
                    "Accept": accept, "Accept-Encoding": "gzip"})
                reply = connection.getresponse()
                self.assertEqual(reply.headers["Content-Encoding"], "gzip")
                unpacker, text = zlib.decompressobj(31), b""
                while b"caught_up" not in text:
                    text += unpacker.decompress(reply.read1())
                for n in range(20):  # each is seen before the next is made
                    self.append(custom("live", n))
                    while b'"data":{"n":%d,' % n not in text:
                        text += unpacker.decompress(reply.read1())
                self.assertGreaterEqual(text.count(line), 20)
                connection.close()

    def test_a_catch_up_is_compressed_whole(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.service.http_port, timeout=WAIT_S)
        connection.request("GET", "/api/v1/events/subscribe?aggregate_ids=many&after_position=0", headers={
            "Accept": "application/x-ndjson", "Accept-Encoding": "gzip"})
        reply = connection.getresponse()
        unpacker, text = zlib.decompressobj(31), b""
        while b"caught_up" not in text:
            text += unpacker.decompress(reply.read1())
        found = [json.loads(line)["event"]["data"]["n"] for line in text.splitlines() if line.startswith(b'{"event"')]
        self.assertEqual(found, list(range(2500)))
        connection.close()

    def test_a_clean_stop_ends_a_compressed_stream_whole(self):
        with Service() as service, Client(service) as client:
            client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[custom("end")]))
            connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=WAIT_S)
            connection.request("GET", "/api/v1/events/subscribe?after_position=0", headers={"Accept-Encoding": "gzip"})
            reply = connection.getresponse()
            unpacker, text = zlib.decompressobj(31), b""
            while b"caught_up" not in text:
                text += unpacker.decompress(reply.read1())
            service.terminate()
            text += unpacker.decompress(reply.read())
            self.assertIn(b"event: closing", text)
            self.assertTrue(unpacker.eof)
            connection.close()

    def test_a_compressed_request_is_refused_naming_what_is_accepted(self):
        body = json.dumps({"type": "custom", "aggregate_id": "packed", "aggregate_type": "custom"}).encode()
        for coding in ("gzip", "deflate", "br", "identity, gzip"):
            status, headers, content = self.ask("/api/v1/events/publish", None, "POST", gzip.compress(body),
                                                Content_Encoding=coding)
            problem = json.loads(content)
            self.assertEqual((status, problem["status"], headers["Accept-Encoding"]), (415, 415, "identity"), problem)
            self.assertIn("Content-Encoding", problem["detail"])
        self.assertEqual(self.ask("/api/v1/events/publish", None, "POST", body, Content_Encoding="identity")[0], 201)


if __name__ == "__main__":
    unittest.main()
