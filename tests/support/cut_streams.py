"""Subscriptions over bare sockets, so that a connection can be cut at any byte: gRPC, SSE, NDJSON and WebSocket.

Each class opens a subscription and takes what the socket delivers: `feed(bytes)` returns the whole parts that came with
it, as (kind, position, number), where kind is "event", "caught_up", "checkpoint", "fell_behind" or "closing" and number is
the event's data, {"n":number}. `inside` says whether a part has begun that is not whole. `after` None: the filters say
where it begins, or nothing does.
"""

import base64
import contextlib
import os
import re
import socket
import struct
import urllib.parse

import h2.config
import h2.connection
import h2.events
import h2.settings
from google.protobuf import json_format

from support.strata_rpc import subscription_service_pb2

WAIT_S = 120
EVENT = re.compile(rb'"position":"(\d+)".*?"data":\{"n":(\d+)\}')
POSITION = re.compile(rb'"position":"(\d+)"')


class Cut:
    """The socket and the ways to lose it."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = False  # the answer's head was read
        self.ended = None  # why nothing follows what was fed

    def receive(self, size):
        if self.ended:
            raise EOFError(self.ended)
        data = self.socket.recv(size)
        if not data:
            raise EOFError("the server ended the stream")
        return data

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    def farewell(self):
        """As the protocol wants it; plain HTTP has no word for it."""
        self.close()


def after_of(position):
    return [] if position is None else [("after_position", position)]


class HttpCut(Cut):
    """Answers of HTTP/1.1 in chunks; `text` takes their content."""

    accept = path = None

    def __init__(self, service_ports, after, filters):
        super().__init__(("127.0.0.1", service_ports["http"]))
        self.raw = b""
        self.left = None  # of the chunk, with the line end behind it; None: its size comes next
        self.text = b""
        self.socket.sendall(self.request(after, filters))

    def head(self, target, lines):
        return ("GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (target, "".join(line + "\r\n" for line in lines))).encode()

    def feed(self, data):
        self.raw += data
        if not self.begun:
            end = self.raw.find(b"\r\n\r\n")
            if end < 0:
                return []
            head, self.raw = self.raw[:end], self.raw[end + 4:]
            self.check(head)
            self.begun = True
        return self.whole()

    def check(self, head):
        assert head.startswith(b"HTTP/1.1 200 ") and b"chunked" in head.lower(), head

    def unchunk(self):
        while self.raw:
            if self.left is None:
                end = self.raw.find(b"\r\n")
                if end < 0:
                    return
                size, self.raw = int(self.raw[:end], 16), self.raw[end + 2:]
                if size == 0:
                    self.ended = "the server ended the stream"
                    return
                self.left = size + 2
            part, self.raw = self.raw[:self.left], self.raw[self.left:]
            content = max(0, min(len(part), self.left - 2))
            self.text += part[:content]
            self.left = self.left - len(part) or None

    @property
    def inside(self):
        return bool(self.text)


class SseCut(HttpCut):
    def request(self, after, filters):
        # Like a browser, which repeats its URL: the header must win.
        start = [("from_start", "true")] if after is not None else []
        query = urllib.parse.urlencode([*start, ("checkpoint_interval", "0.1s"), *filters])
        resume = ["Last-Event-ID: %d" % after] if after else []
        return self.head("/api/v1/events/subscribe?" + query, ["Accept: text/event-stream", *resume])

    def whole(self):
        self.unchunk()
        *blocks, self.text = self.text.split(b"\n\n")
        found = []
        for block in blocks:
            lines = dict(line.split(b": ", 1) for line in block.split(b"\n"))
            kind = lines.get(b"event", b"event").decode()
            position, number = int(lines[b"id"]), 0
            if kind == "event":
                said, number = map(int, EVENT.search(lines[b"data"]).groups())
                assert said == position, block
            found.append((kind, position, number))
        return found


class NdjsonCut(HttpCut):
    def request(self, after, filters):
        query = urllib.parse.urlencode([*after_of(after), ("checkpoint_interval", "0.1s"), *filters])
        return self.head("/api/v1/events/subscribe?" + query, ["Accept: application/x-ndjson"])

    def whole(self):
        self.unchunk()
        *lines, self.text = self.text.split(b"\n")
        found = []
        for line in lines:
            assert line.startswith(b'{"') and line.endswith(b"}"), line
            kind = line[2:line.index(b'"', 2)].decode()
            position, number = map(int, EVENT.search(line).groups()) if kind == "event" else (
                int(POSITION.search(line).group(1)), 0)
            found.append((kind, position, number))
        return found


class WebSocketCut(HttpCut):
    def request(self, after, filters):
        query = urllib.parse.urlencode([*after_of(after), ("checkpoint_interval", "0.1s"), *filters])
        return self.head("/ws?" + query, ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                                          "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode()])

    def check(self, head):
        assert head.startswith(b"HTTP/1.1 101 "), head

    def whole(self):
        found, at, raw = [], 0, self.raw
        while len(raw) - at >= 2:
            size, start = raw[at + 1], at + 2
            assert raw[at] in (0x81, 0x89, 0x88) and size < 128, raw[at:at + 20]  # whole text, ping, close; not masked
            if size >= 126:
                width = 2 if size == 126 else 8
                size = int.from_bytes(raw[start:start + width], "big") if len(raw) >= start + width else len(raw)
                start += width
            if len(raw) < start + size:
                break
            if raw[at] == 0x88:
                self.ended = "the server closed the connection: %r" % raw[start:start + size]
            if raw[at] == 0x81:
                found.append(self.frame(raw[start:start + size]))
            at = start + size
        self.raw = raw[at:]
        return found

    @staticmethod
    def frame(text):
        assert text.startswith(b'{"type":"'), text
        kind = text[9:text.index(b'"', 9)].decode()
        assert kind == "event" or POSITION.search(text), text  # an error
        position, number = map(int, EVENT.search(text).groups()) if kind == "event" else (
            int(POSITION.search(text).group(1)), 0)
        return kind, position, number

    def farewell(self):
        self.socket.sendall(b"\x88\x82\0\0\0\0" + struct.pack(">H", 1000))
        self.close()

    @property
    def inside(self):
        return bool(self.raw)


class GrpcCut(Cut):
    def __init__(self, service_ports, after, filters):
        super().__init__(("127.0.0.1", service_ports["grpc"]))
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self.http.initiate_connection()
        self.http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        self.http.increment_flow_control_window(1 << 20)
        self.frames = b""
        self.message = b""
        request = subscription_service_pb2.SubscribeRequest(after_position=after)
        request.checkpoint_interval.FromMilliseconds(100)
        json_format.ParseDict({name: value if name in ("name", "from_timestamp", "from_end") else [value]
                               for name, value in filters}, request)
        body = request.SerializeToString()
        self.http.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"),
                                   (":path", "/strata.v1.SubscriptionService/Subscribe"), ("te", "trailers"),
                                   ("content-type", "application/grpc")])
        self.http.send_data(1, b"\0" + struct.pack(">I", len(body)) + body, end_stream=True)
        self.socket.sendall(self.http.data_to_send())

    def without_goaway(self, data):
        """The whole frames but GOAWAY, behind which h2 takes nothing, although what was begun goes on."""
        self.frames += data
        kept = b""
        while len(self.frames) >= 9:
            end = 9 + int.from_bytes(self.frames[:3], "big")
            if len(self.frames) < end:
                break
            kept += b"" if self.frames[3] == 7 else self.frames[:end]
            self.frames = self.frames[end:]
        return kept

    def feed(self, data):
        for event in self.http.receive_data(self.without_goaway(data)):
            if isinstance(event, h2.events.DataReceived):
                self.begun = True
                self.message += event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.TrailersReceived)):
                self.ended = str(event)
        answer = self.http.data_to_send()
        if answer:
            with contextlib.suppress(OSError):  # what came before the end is still to be read
                self.socket.sendall(answer)
        return self.whole()

    def whole(self):
        found, at = [], 0
        while len(self.message) - at >= 5:
            size = int.from_bytes(self.message[at + 1:at + 5], "big")
            if len(self.message) < at + 5 + size:
                break
            message = subscription_service_pb2.SubscribeResponse.FromString(self.message[at + 5:at + 5 + size])
            kind = message.WhichOneof("message")
            if kind == "batch":
                found += [("event", event.position, int(event.data[5:-1])) for event in message.batch.events]
            else:
                found.append((kind, getattr(message, kind).position, 0))
            at += 5 + size
        self.message = self.message[at:]
        return found

    def farewell(self):
        self.http.reset_stream(1, 8)  # CANCEL
        self.http.close_connection()
        self.socket.sendall(self.http.data_to_send())
        self.close()

    @property
    def inside(self):
        return bool(self.message)


TRANSPORTS = {"grpc": GrpcCut, "sse": SseCut, "ndjson": NdjsonCut, "websocket": WebSocketCut}
