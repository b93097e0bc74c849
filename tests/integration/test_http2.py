"""HTTP/2 on the HTTP port, by prior knowledge, spoken to by curl, by the h2 library and by h2spec."""

import json
import re
import socket
import subprocess
import sys
import time
import unittest

import h2.config
import h2.connection
import h2.events
import h2.settings
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import ROOT, Service, scaled  # noqa: E402

WAIT_S = 60
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
H2SPEC = ROOT / ".tools/bin/h2spec"

# What h2spec expects and does not get, and why that is right.
H2SPEC_KNOWN = {
    "Sends invalid connection preface": "one port speaks both versions: what is no preface is answered as HTTP/1.1, 400",
    "Sends stream identifier that is numerically smaller than previous":
        "nghttp2 ignores it: it may be the trailers of a stream that was reset",
}


class Reply:
    def __init__(self):
        self.status, self.headers, self.body, self.ended, self.reset = None, {}, b"", False, None

    def json(self):
        return json.loads(self.body)


class Connection:
    """One connection of the h2 library; replies by stream."""

    def __init__(self, service, window=1 << 20):
        self.socket = socket.create_connection(("127.0.0.1", service.http_port), timeout=WAIT_S)
        self.authority = "127.0.0.1:%d" % service.http_port
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8",
                                                                                  validate_outbound_headers=False))
        self.state.initiate_connection()
        self.state.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.replies, self.goaway, self.closed, self.acknowledge, self.acknowledged = {}, None, False, True, 0
        self.flush()
        self.wait(lambda: self.acknowledged == 2)

    def flush(self):
        self.socket.sendall(self.state.data_to_send())

    def request(self, method, path, body=None, headers=(), end=True):
        stream = self.state.get_next_available_stream_id()
        self.replies[stream] = Reply()
        fields = [(":method", method), (":path", path), (":scheme", "http"), (":authority", self.authority), *headers]
        if body is not None:
            fields.append(("content-type", "application/json"))
        self.state.send_headers(stream, fields, end_stream=body is None and end)
        if body is not None:
            self.state.send_data(stream, body if isinstance(body, bytes) else json.dumps(body).encode(), end_stream=end)
        self.flush()
        return stream

    def read(self):
        data = self.socket.recv(65536)
        self.closed = not data
        for event in self.state.receive_data(data) if data else []:
            reply = self.replies.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ResponseReceived):
                headers = dict(event.headers)
                reply.status, reply.headers = int(headers.pop(":status")), headers
            elif isinstance(event, h2.events.DataReceived):
                reply.body += event.data
                if self.acknowledge and event.flow_controlled_length:
                    self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                reply.ended = True
            elif isinstance(event, h2.events.StreamReset):
                reply.reset = event.error_code
            elif isinstance(event, h2.events.SettingsAcknowledged):
                self.acknowledged += 1
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = event.error_code
        if data:
            try:
                self.flush()
            except OSError:
                self.closed = True

    def wait(self, until):
        deadline = time.monotonic() + WAIT_S
        while not until():
            if self.closed or time.monotonic() > deadline:
                raise AssertionError("closed" if self.closed else "waited in vain")
            self.read()

    def reply(self, stream):
        reply = self.replies[stream]
        self.wait(lambda: reply.ended or reply.reset is not None)
        return reply

    def ask(self, *arguments, **options):
        return self.reply(self.request(*arguments, **options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def event(aggregate, n=0, text=""):
    return {"type": "custom", "aggregate_id": aggregate, "aggregate_type": "custom", "data": {"n": n, "text": text}}


def end_of(raw, limit_s=WAIT_S):
    """Reads a raw socket to its end: (bytes, error code of a GOAWAY or None, whether it was reset, which may overtake one)."""
    raw.settimeout(limit_s)
    got, was_reset = b"", False
    try:
        while True:
            more = raw.recv(65536)
            if not more:
                break
            got += more
    except ConnectionResetError:
        was_reset = True
    code, at = None, 0
    while at + 9 <= len(got):
        length, kind = int.from_bytes(got[at:at + 3], "big"), got[at + 3]
        if kind == 7:
            code = int.from_bytes(got[at + 13:at + 17], "big")
        at += 9 + length
    return got, code, was_reset


class Http2(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.service.remove()

    def raw(self):
        raw = socket.create_connection(("127.0.0.1", self.service.http_port), timeout=WAIT_S)
        self.addCleanup(raw.close)
        return raw

    def test_curl_gets_the_same_answers_over_both_versions(self):
        url = self.service.http + "/api/v1/events/publish"

        def curl(*arguments):
            done = subprocess.run(["curl", "-s", "-w", "\n%{http_code} %{http_version}", *arguments],
                                  capture_output=True, text=True, timeout=WAIT_S)
            body, last = done.stdout.rsplit("\n", 1)
            return re.sub(r'"request_id":"[^"]*"', "", body), *last.split(" ")
        published = curl("--http2-prior-knowledge", url, "-H", "Content-Type: application/json", "-d", json.dumps(event("curl")))
        self.assertEqual(published[1:], ("201", "2"))
        for arguments in (["/api/v1/aggregates/curl"], ["/api/v1/aggregates/nobody"], ["-X", "DELETE", "/api/v1/aggregates/curl"],
                          ["/api/v1/nothing"], ["/api/v1/events/aggregate/curl?from_version=x"], ["-H", "Host: evil", "/livez"],
                          ["-d", "{}", "/api/v1/events/publish"], ["-H", "Origin: http://evil.example", "/livez"],
                          ["-H", "Content-Type: application/json", "-d", "{", "/api/v1/events/publish"],
                          ["/api/v1/aggregates/" + "a" * 9000]):
            arguments = arguments[:-1] + [self.service.http + arguments[-1]]
            one, two = curl("--http1.1", *arguments), curl("--http2-prior-knowledge", *arguments)
            self.assertEqual((one[0], one[1], "1.1"), (two[0], two[1], one[2]), arguments)
            self.assertEqual(two[2], "2", arguments)

    def test_requests_of_one_connection_run_side_by_side(self):
        with Connection(self.service) as connection:
            waiting = connection.request("GET", "/api/v1/events/subscribe?after_position=0&types=never")
            streams = [connection.request("POST", "/api/v1/events/publish", event("side", n)) for n in range(100)]
            replies = [connection.reply(stream) for stream in streams]
            self.assertEqual({reply.status for reply in replies}, {201})
            self.assertEqual(sorted(reply.json()["version"] for reply in replies), list(range(1, 101)))
            self.assertFalse(connection.replies[waiting].ended)

    def test_head_has_the_length_and_no_body(self):
        with Connection(self.service) as connection:
            connection.ask("POST", "/api/v1/events/publish", event("head"))
            get, head = connection.ask("GET", "/api/v1/aggregates/head"), connection.ask("HEAD", "/api/v1/aggregates/head")
            self.assertEqual((head.status, head.body, head.headers["content-length"]), (200, b"", str(len(get.body))))
            self.assertEqual(head.headers["etag"], '"1"')

    def test_what_is_refused_says_why_and_the_connection_goes_on(self):
        with Connection(self.service) as connection:
            many = connection.ask("GET", "/livez", headers=[("x-%d" % n, "a") for n in range(150)])
            self.assertEqual((many.status, many.json()["status"]), (431, 431))
            large = connection.ask("GET", "/livez", headers=[("x-large", "a" * 30000)])
            self.assertEqual(large.status, 431)
            two_hosts = connection.ask("GET", "/livez", headers=[("host", "localhost")])
            self.assertEqual(two_hosts.status, 400)
            self.assertIn("different hosts", two_hosts.json()["detail"])
            body = connection.ask("POST", "/api/v1/events/publish", headers=[
                ("content-length", "13000000"), ("content-type", "application/json")], end=False)
            self.assertEqual((body.status, body.reset), (413, None))
            self.assertEqual(connection.ask("PURGE", "/livez").status, 405)
            self.assertEqual(connection.ask("GET", "/ws").reset, 13)  # HTTP_1_1_REQUIRED
            self.assertEqual(connection.ask("GET", "/livez").status, 200)

    def test_a_body_without_a_length_is_bounded(self):
        with Connection(self.service) as connection:
            stream = connection.request("POST", "/api/v1/events/publish", b"[", end=False)
            reply, sent = connection.replies[stream], 1
            while reply.status is None and reply.reset is None and sent < 20 << 20:
                room = min(connection.state.local_flow_control_window(stream), 16384)
                if room == 0:
                    connection.read()
                    continue
                connection.state.send_data(stream, b" " * room)
                sent += room
                try:
                    connection.flush()
                except OSError:
                    break
            connection.wait(lambda: reply.status is not None)
            self.assertEqual(reply.status, 413)
            self.assertLess(sent, 15 << 20)

    def test_the_preface_may_come_in_pieces(self):
        raw = self.raw()
        for byte in PREFACE[:20]:
            raw.sendall(bytes([byte]))
        raw.sendall(PREFACE[20:] + SettingsFrame(0).serialize())
        self.assertEqual(raw.recv(9)[3], 4)  # SETTINGS

    def test_an_interrupted_preface_is_http_1(self):
        raw = self.raw()
        raw.sendall(PREFACE[:16] + b"Host: localhost\r\n\r\n")
        self.assertTrue(raw.recv(100).startswith(b"HTTP/1.1 505 "))

    def test_a_client_that_does_not_read_stops_the_cursor_and_nothing_is_lost(self):
        rows = scaled(400, 100)
        with Connection(self.service) as writer, Connection(self.service, window=20000) as reader:
            text = "x" * 2000
            reader.acknowledge = False
            stream = reader.request("GET", "/api/v1/events/subscribe?types=custom&after_position=0&aggregate_ids=slow")
            for n in range(rows):
                self.assertEqual(writer.ask("POST", "/api/v1/events/publish", event("slow", n, text)).status, 201)
            reply = reader.replies[stream]
            reader.wait(lambda: len(reply.body) >= 20000)
            self.assertEqual(len(reply.body), 20000)  # no byte more than the window
            reader.acknowledge = True
            reader.state.increment_flow_control_window(1 << 20, stream)
            reader.state.increment_flow_control_window(1 << 20)
            reader.flush()
            reader.wait(lambda: reply.body.count(b'"aggregate_id":"slow"') == rows and reply.body.endswith(b"\n"))
            self.assertEqual([int(n) for n in re.findall(rb'"data":\{"n":(\d+),', reply.body)], list(range(rows)))

    def test_a_stream_that_the_client_resets_is_given_up(self):
        with Connection(self.service) as connection:
            self.wait_for_subscribers(0)  # those of other tests go, too
            streams = [connection.request("GET", "/api/v1/events/subscribe") for _ in range(20)]
            connection.wait(lambda: all(connection.replies[s].status for s in streams))
            self.wait_for_subscribers(20)
            for stream in streams:
                connection.state.reset_stream(stream)
            connection.flush()
            self.wait_for_subscribers(0)

    def wait_for_subscribers(self, wanted):
        deadline = time.monotonic() + WAIT_S
        while (found := self.service.request("GET", "/api/v1/stats")[2]["bus"]["subscribers"]) != wanted:
            self.assertLess(time.monotonic(), deadline, "%d subscribers instead of %d" % (found, wanted))
            time.sleep(0.05)

    # --- floods ---

    def begin(self):
        raw = self.raw()
        raw.sendall(PREFACE + SettingsFrame(0).serialize())
        return raw, Encoder()

    def head(self, encoder, stream, path="/livez", end=True):
        frame = HeadersFrame(stream, flags=["END_HEADERS"] + (["END_STREAM"] if end else []))
        frame.data = encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", path),
                                     (":authority", "127.0.0.1:%d" % self.service.http_port)])
        return frame.serialize()

    def flood(self, pieces):
        """Sends until the server ends the connection, which it must do before the pieces end."""
        raw, encoder = self.begin()
        raw.setblocking(True)
        refused = False
        try:
            for piece in pieces(encoder):
                raw.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            refused = True
        raw.settimeout(WAIT_S)
        try:
            raw.shutdown(socket.SHUT_WR)
        except OSError:
            refused = True
        try:
            _, code, was_reset = end_of(raw)
        except OSError:
            code, was_reset = None, False
        self.assertTrue(refused or was_reset or code not in (None, 0), "the flood was endured, code %s" % code)
        with Connection(self.service) as other:
            self.assertEqual(other.ask("GET", "/livez").status, 200)

    def test_rapid_resets_end_the_connection(self):
        self.flood(lambda encoder: (self.head(encoder, 2 * n + 1) + RstStreamFrame(2 * n + 1, 8).serialize()
                                    for n in range(20000)))

    def test_an_endless_header_ends_the_connection(self):
        def pieces(encoder):
            first = HeadersFrame(1)
            first.data = encoder.encode([(":method", "GET")])
            yield first.serialize()
            for _ in range(2000):
                frame = ContinuationFrame(1)
                frame.data = encoder.encode([("x-more", "a" * 100)])
                yield frame.serialize()
        self.flood(pieces)

    def test_pings_that_are_never_read_end_the_connection(self):
        ping = PingFrame(0, opaque_data=b"12345678").serialize() * 1000
        self.flood(lambda _: (ping for _ in range(4000)))

    # --- the end ---

    def test_a_clean_stop_finishes_what_runs_and_says_goodbye(self):
        with Service() as service, Connection(service) as connection:
            stream = connection.request("GET", "/api/v1/events/subscribe")
            connection.wait(lambda: connection.replies[stream].status)
            service.terminate()
            connection.wait(lambda: connection.replies[stream].ended)
            self.assertIn(b"event: closing", connection.replies[stream].body)
            connection.wait(lambda: connection.goaway is not None)
            self.assertEqual(connection.goaway, 0)

    def test_h2spec(self):
        done = subprocess.run([str(H2SPEC), "http2", "hpack", "generic", "-h", "127.0.0.1", "-p", str(self.service.http_port),
                               "-P", "/livez", "-o", "5"], capture_output=True, text=True, timeout=600)
        total = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
        self.assertIsNotNone(total, done.stdout + done.stderr)
        self.assertEqual((total[1], total[3]), ("145", "0"))
        failures = done.stdout[done.stdout.index("Failures:"):]
        failed = [line.split(": ", 1)[1].strip() for line in failures.splitlines() if "×" in line]
        self.assertEqual(failed, list(H2SPEC_KNOWN), done.stdout[-6000:])


if __name__ == "__main__":
    unittest.main()
