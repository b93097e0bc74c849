"""HTTP/1.1 at the service itself, by bytes on a socket: what smuggles, floods or dawdles is refused cleanly, and what RFC 9110
and 9112 let a client do works on every route. The front alone is tested further in tests/unit/gateway/http and tests/fuzz."""

import json
import re
import socket
import sys
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import Service  # noqa: E402

WAIT_S = 60
HOST = b"Host: localhost\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /api/v1/events/publish HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
EVENT = b'{"type":"custom","aggregate_id":"h1","aggregate_type":"custom","data":{}}'
END = b"\r\n\r\n"


def beside(request, headers):
    """The request with more headers."""
    return request.replace(END, b"\r\n" + headers + END, 1)


SIZED = POST + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT
COUNTED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT), EVENT)

# (why, bytes, statuses of all answers; "*" behind one: the connection ends with it)
ROWS = [
    ("one", GET, "200"),
    ("two in one segment", GET + GET, "200 200"),
    ("two appends and a read in one segment", SIZED + CHUNKED + COUNTED + GET, "201 201 200"),
    ("a hundred in one segment", GET * 100, " ".join(["200"] * 100)),
    ("nothing behind close", beside(GET, b"Connection: close") + SIZED, "200*"),

    # Smuggling: two readings of one request's end.
    ("CL.TE", POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG" + GET, "400*"),
    ("TE.CL", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + GET + b"0\r\n\r\n", "400*"),
    ("TE.TE, a second coding", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + GET, "400*"),
    ("TE with a list", POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + GET, "501*"),
    ("TE spelt with a space", POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + GET, "400*"),
    ("TE hidden by a vertical tab", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + GET, "400*"),
    ("TE hidden in a folded line", POST + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, "400*"),
    ("TE behind a bare LF", POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, "400*"),
    ("TE behind a bare CR", POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, "400*"),
    ("TE in HTTP/1.0", POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, "400*"),
    ("two lengths", POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(GET) + GET, "400*"),
    ("a list of lengths", POST + b"Content-Length: 0, %d\r\n\r\n" % len(GET) + GET, "400*"),
    ("a length with a sign", POST + b"Content-Length: +%d\r\n\r\n" % len(EVENT) + EVENT, "400*"),
    ("a length in hexadecimal", POST + b"Content-Length: 0x10\r\n\r\n" + GET, "400*"),
    ("a length with a space in it", POST + b"Content-Length: 1 0\r\n\r\n" + GET, "400*"),
    ("a length that wraps", POST + b"Content-Length: 18446744073709551616\r\n\r\n" + GET, "400*"),
    ("a GET with a body", beside(GET, b"Content-Type: application/json\r\nContent-Length: %d" % len(GET)) + GET + GET,
     "200 200"),
    ("the next request in a body", POST + b"Content-Length: %d\r\n\r\n" % len(GET) + GET + GET, "400 200"),
    ("a request line with two spaces", b"GET /livez  HTTP/1.1\r\n" + HOST + b"\r\n", "400*"),
    ("a target of another host", b"GET http://elsewhere/livez HTTP/1.1\r\n" + HOST + b"\r\n" + GET, "400*"),
    ("two Hosts", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: elsewhere\r\n\r\n" + GET, "400*"),
    ("no Host", b"GET /livez HTTP/1.1\r\n\r\n" + GET, "400*"),
    ("another Host", b"GET /livez HTTP/1.1\r\nHost: elsewhere\r\n\r\n" + GET, "421 200"),
    ("NUL", GET.replace(b"/livez", b"/livez\0"), "400*"),
    ("h2c is not taken", beside(GET, b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk") + GET,
     "200 200"),
    ("CONNECT", b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n" + GET, "501*"),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400*"),
    ("HTTP/0.9", b"GET /livez\r\n\r\n", "400*"),
    ("HTTP/3.0", b"GET /livez HTTP/3.0\r\n" + HOST + b"\r\n", "505*"),

    # Chunks.
    ("a chunk shorter than it says", CHUNKED + b"5\r\nabc\r\n0\r\n\r\n" + GET, "400*"),
    ("a chunk longer than it says", CHUNKED + b"2\r\nabc\r\n0\r\n\r\n" + GET, "400*"),
    ("a chunk size with a prefix", CHUNKED + b"0x%s" % COUNTED, "400*"),
    ("a chunk size with a sign", CHUNKED + b"-1\r\n", "400*"),
    ("a chunk size that wraps", CHUNKED + b"fffffffffffffffff\r\n", "413*"),
    ("a chunk size without a number", CHUNKED + b";a\r\n" + GET, "400*"),
    ("chunks ended by LF", CHUNKED + COUNTED.replace(b"\r\n", b"\n"), "400*"),
    ("an extension that goes on for ever", CHUNKED + b"1;" + b"e" * 5000, "431*"),
    ("trailers that go on for ever", CHUNKED + b"0\r\n" + b"T: %s\r\n" % (b"t" * 1000) * 40, "431*"),
    ("extensions and trailers are dropped",
     CHUNKED + b'%x;a="b"\r\n%s\r\n0\r\nContent-Length: 7\r\nX: y\r\n\r\n' % (len(EVENT), EVENT) + GET, "201 200"),

    # Sizes.
    ("a long target", b"GET /%s HTTP/1.1\r\n" % (b"x" * 9000) + HOST + b"\r\n", "414*"),
    ("a target without an end", b"GET /" + b"x" * 100000, "414*"),
    ("a long header", GET[:-2] + b"X: %s\r\n\r\n" % (b"y" * 20000), "431*"),
    ("many headers", GET[:-2] + b"".join(b"X%d: y\r\n" % n for n in range(200)) + b"\r\n", "431*"),
    ("headers without an end", GET[:-2] + b"X: y\r\n" * 100000, "431*"),
    ("a long name", GET[:-2] + b"x" * 20000 + b": y\r\n\r\n", "431*"),
    ("a large body, by its length", POST + b"Content-Length: 99999999\r\n\r\n", "413*"),
    ("a large body, by its chunk", CHUNKED + b"5f5e0ff\r\n", "413*"),

    # Bodies and what is said of them.
    ("no length", POST + b"\r\n" + GET, "411 200"),
    ("no length in HTTP/1.0", POST.replace(b"1.1", b"1.0") + b"\r\n", "411*"),
    ("an empty body", POST + b"Content-Length: 0\r\n\r\n" + GET, "400 200"),
    ("another content type", SIZED.replace(b"application/json", b"text/plain") + GET, "415*"),
    ("a compressed body", beside(SIZED, b"Content-Encoding: gzip") + GET, "415 200"),
    ("a cancel needs no body", b"POST /api/v1/operations/none/cancel HTTP/1.1\r\n" + HOST + b"\r\n" + GET, "404 200"),
    ("100-continue with its body", beside(SIZED, b"Expect: 100-continue") + GET, "201 200"),
    ("another expectation", beside(SIZED, b"Expect: 200-ok") + GET, "417*"),

    # HTTP/1.0.
    ("1.0 ends", GET.replace(b"1.1", b"1.0") + GET, "200*"),
    ("1.0 needs no Host, but here one of loopback", b"GET /livez HTTP/1.0\r\n\r\n", "421*"),
    ("1.0 with keep-alive goes on",
     beside(GET.replace(b"1.1", b"1.0"), b"Connection: keep-alive") + GET, "200 200"),
    ("an append in 1.0", SIZED.replace(b"1.1", b"1.0"), "201*"),
]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return "%d %s %s" % (self.status, self.headers, self.body[:300])


class Talk:
    """A connection, and whole answers from it."""

    def __init__(self, service):
        self.socket = socket.create_connection(("127.0.0.1", service.http_port), timeout=WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.said = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # it has refused and closed

    def more(self):
        part = b""
        try:
            part = self.socket.recv(1 << 16)
        except ConnectionResetError:
            pass
        self.said += part
        return bool(part)

    def answer(self, to_head=False):
        """The next answer; None at the end of the connection. `to_head`: of a request whose answer has no body."""
        while b"\r\n\r\n" not in self.said:
            if not self.more():
                assert self.said == b"", "half an answer: %r" % self.said
                return None
        head, rest = self.said.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        status = int(re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", lines[0]).group(1))
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        assert len(headers) == len(lines) - 1, "a header twice: %s" % lines
        length = 0 if to_head or status in (100, 204, 304) else int(headers["content-length"])
        while len(rest) < length:
            assert self.more(), "half a body: %r" % self.said
            rest = self.said.split(b"\r\n\r\n", 1)[1]
        self.said = rest[length:]
        return Answer(status, headers, rest[:length])


class Http1(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()
        cls.addClassCleanup(cls.service.remove)
        cls.addClassCleanup(cls.service.stop)

    def statuses(self, pieces):
        """Of all answers to these pieces."""
        told = []
        with Talk(self.service) as talk:
            for piece in pieces:
                talk.send(piece)
            try:
                talk.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            while answer := talk.answer():
                if answer.status == 100:
                    continue
                told.append("%d%s" % (answer.status, "*" if answer.headers.get("connection") == "close" else ""))
                if answer.status >= 400:
                    self.assertEqual(answer.headers["content-type"], "application/problem+json")
                    problem = json.loads(answer.body)
                    self.assertEqual((problem["status"], problem["request_id"]),
                                     (answer.status, answer.headers["strata-request-id"]))
                    self.assertTrue(problem["detail"])
        return " ".join(told)

    def test_what_is_sent_and_what_is_said(self):
        for why, sent, expected in ROWS:
            half = len(sent) // 2
            ways = {"whole": [sent], "in two": [sent[:half], sent[half:]]}
            if len(sent) < 2000:
                ways["byte by byte"] = [sent[at:at + 1] for at in range(len(sent))]
            for way, pieces in ways.items():
                with self.subTest(why, way=way):
                    self.assertEqual(self.statuses(pieces), expected)
        self.assertEqual(self.statuses([GET]), "200")

    def test_nothing_smuggled_was_carried_out(self):
        before = self.service.request("GET", "/api/v1/stats")[2]["event_count"]
        for why, sent, expected in ROWS:
            if "201" not in expected:
                self.statuses([sent.replace(GET, SIZED) if expected.endswith("*") else sent])
        self.assertEqual(self.service.request("GET", "/api/v1/stats")[2]["event_count"], before)

    # --- time ---

    def test_a_head_that_dawdles_is_timed_out(self):
        """A byte now and then does not prolong it, and others are served meanwhile."""
        with Service(config={"STRATA_WEBSOCKET_HANDSHAKE_TIMEOUT": "1s"}) as service, Talk(service) as slow:
            slow.socket.settimeout(0.1)
            slow.send(b"GET /livez HTTP/1.1\r\n")
            until = time.monotonic() + WAIT_S
            while slow.said == b"" and time.monotonic() < until:
                slow.send(b"X")
                try:
                    slow.more()
                except TimeoutError:
                    self.assertEqual(service.request("GET", "/livez")[0], 200)
            slow.socket.settimeout(WAIT_S)
            answer = slow.answer()
            self.assertEqual((answer.status, answer.headers["connection"]), (408, "close"))
            self.assertIsNone(slow.answer())

    def test_a_connection_that_says_nothing_holds_up_nobody(self):
        silent = [Talk(self.service) for _ in range(50)]
        half = [Talk(self.service) for _ in range(50)]
        for talk in half:
            talk.send(POST + b"Content-Length: 100\r\n\r\n{")
        self.assertEqual(self.statuses([GET + SIZED]), "200 201")
        for talk in silent + half:
            talk.socket.close()

    # --- Expect ---

    def test_a_body_is_asked_for_where_it_is_wanted(self):
        with Talk(self.service) as talk:
            talk.send(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(EVENT))
            self.assertEqual(talk.answer().status, 100)
            talk.send(EVENT)
            self.assertEqual(talk.answer().status, 201)

    def test_a_body_is_not_asked_for_where_it_would_be_refused(self):
        for head, status in ((POST + b"Content-Length: 99999999\r\n", 413),
                             (POST.replace(b"application/json", b"text/plain") + b"Content-Length: 9\r\n", 415),
                             (POST + b"Content-Length: 9\r\nOrigin: https://elsewhere.example\r\n", 403),
                             (POST + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n", 400)):
            with self.subTest(status), Talk(self.service) as talk:
                talk.send(head + b"Expect: 100-continue\r\n\r\n")
                self.assertEqual(talk.answer().status, status)
                self.assertIsNone(talk.answer())

    # --- every route ---

    def routes(self):
        """(path with its variables filled in, its verbs) of all that the service describes."""
        for path, operations in self.service.request("GET", "/openapi.json")[2]["paths"].items():
            yield re.sub(r"{\w+}", "h1", path), [verb.upper() for verb in operations if verb in ("get", "post", "put")]

    def ask(self, verb, path, *headers):
        with Talk(self.service) as talk:
            talk.send(b"%s %s HTTP/1.1\r\n" % (verb.encode(), path.encode()) + HOST +
                      b"".join(b"%s\r\n" % one for one in headers) + b"\r\n")
            return talk.answer(to_head=verb == "HEAD")

    def test_options_and_other_verbs_on_every_route(self):
        """OPTIONS tells what a path allows, and 405 the same for the rest."""
        for path, verbs in self.routes():
            if path == "/ws":
                continue  # below
            allowed = {verb for verb in verbs} | ({"HEAD"} if "GET" in verbs else set()) | {"OPTIONS"}
            with self.subTest(path):
                answer = self.ask("OPTIONS", path)
                self.assertEqual((answer.status, set(answer.headers["allow"].split(", "))), (204, allowed))
                self.assertNotIn("content-length", answer.headers)
                for verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get"):
                    if verb not in allowed:
                        answer = self.ask(verb, path)
                        self.assertEqual((answer.status, set(answer.headers["allow"].split(", "))), (405, allowed))
        self.assertEqual(self.ask("OPTIONS", "*").status, 204)
        self.assertEqual((self.ask("POST", "/ws").status, self.ask("POST", "/ws").headers["allow"]), (405, "GET"))

    def test_head_is_get_without_its_body(self):
        for path, verbs in self.routes():
            if "GET" not in verbs or path in ("/ws", "/api/v1/events/subscribe"):
                continue
            with self.subTest(path):
                told, head = self.ask("GET", path), self.ask("HEAD", path)
                same = ("content-type", "etag", "vary", "cache-control", "content-encoding")
                self.assertEqual((head.status, [head.headers.get(name) for name in same]),
                                 (told.status, [told.headers.get(name) for name in same]))
                self.assertIn("content-length", head.headers)
                self.assertEqual(head.body, b"")

    def test_head_of_a_stream_ends(self):
        with Talk(self.service) as talk:
            talk.send(b"HEAD /api/v1/events/subscribe HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            answer = talk.answer(to_head=True)
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))

    def test_bodies_and_forms_on_every_route(self):
        """406 for what cannot be given; 411, 413 and 415 where a body is wanted."""
        for path, verbs in self.routes():
            for verb in verbs:
                if path in ("/ws", "/livez", "/readyz", "/docs") or path.endswith((".json", "/cancel")):
                    continue
                with self.subTest(path, verb=verb):
                    body = verb != "GET"
                    self.assertEqual(self.ask(verb, path, b"Accept: image/png",
                                              *([b"Content-Type: application/json", b"Content-Length: 0"]
                                                if body else [])).status, 406)
                    if body:
                        self.assertEqual(self.ask(verb, path).status, 411)
                        self.assertEqual(self.ask(verb, path, b"Content-Length: 0").status, 415)
                        self.assertEqual(self.ask(verb, path, b"Content-Type: application/json",
                                                  b"Content-Length: 99999999").status, 413)
                        self.assertEqual(self.ask(verb, path, b"Content-Type: application/json", b"Content-Length: 0").status,
                                         400)

    # --- HTTP/1.0 ---

    def test_a_stream_in_http_1_0_ends_with_its_connection(self):
        self.assertEqual(self.statuses([SIZED]), "201")
        with Talk(self.service) as talk:
            talk.send(b"GET /api/v1/events/aggregate/h1?page_size=1 HTTP/1.0\r\n" + HOST +
                      b"Accept: application/x-ndjson\r\nConnection: keep-alive\r\n\r\n")
            while talk.more():
                pass
            head, body = talk.said.split(b"\r\n\r\n", 1)
            self.assertNotIn(b"transfer-encoding", head.lower())
            self.assertNotIn(b"content-length", head.lower())
            self.assertIn(b"connection: close", head.lower())
            for line in body.splitlines():
                self.assertEqual(json.loads(line)["aggregate_id"], "h1")


if __name__ == "__main__":
    unittest.main()
