"""Every way by which an event can be read, each giving the same `Seen`, with data and metadata as bytes."""

import base64
import collections
import http.client
import json
import socket
import subprocess
import urllib.parse

import h2.config
import h2.connection
import h2.events
from websockets.sync.client import connect

from support.json_tokens import items, members
from support.strata_rpc import event_pb2, event_service_pb2, subscription_service_pb2
from support.strata_service import BINARY, environment

WAIT_S = 120

Seen = collections.namedtuple("Seen", "id type aggregate_id aggregate_type version position correlation_id causation_id "
                                      "subject content_type tags data metadata")


def seen_of_message(event):
    return Seen(event.id, event.type, event.aggregate_id, event.aggregate_type, event.version, event.position,
                event.correlation_id, event.causation_id, event.subject, event.content_type, tuple(event.tags),
                event.data, event.metadata or b"{}")


def seen_of_json(text):
    """From an event's JSON, of which data and metadata are taken as they stand there."""
    raw = members(text)
    plain = {name: json.loads(value) for name, value in raw.items() if name not in ("data", "metadata")}
    data = raw["data"]
    if plain["content_type"] not in ("", "application/json"):
        data = base64.b64decode(json.loads(data), validate=True)
    return Seen(plain["id"], plain["type"], plain["aggregate_id"], plain["aggregate_type"], plain["version"],
                int(plain["position"]), plain["correlation_id"], plain["causation_id"], plain["subject"],
                plain["content_type"], tuple(plain["tags"]), data, raw.get("metadata", b"{}"))


# --- percent-encoding: all of these mean the same ---

def minimal(text):
    """Encoded is only what a path segment cannot hold."""
    return urllib.parse.quote(text, safe="!$&'()*+,;=:@~-._")


def everything(text):
    return "".join("%%%02X" % byte for byte in text.encode())


def everything_lower(text):
    return everything(text).lower()


def every_other(text):
    """Unreserved characters half encoded, hexadecimal digits of both cases mixed."""
    out = []
    for index, byte in enumerate(text.encode()):
        plain = chr(byte) if byte < 0x80 and (chr(byte).isalnum() or chr(byte) in "-._~") else None
        out.append(plain if plain and index % 2 else ("%%%02x" if index % 3 else "%%%02X") % byte)
    return "".join(out)


ENCODINGS = (minimal, everything, everything_lower, every_other)


def in_query(text, form=True):
    """As a browser's form writes it, with + for a space, or as a path is written."""
    return urllib.parse.quote_plus(text) if form else urllib.parse.quote(text, safe="/?:@!$'()*,;~")


# --- HTTP ---

class Http:
    """One connection that is kept; answers are (status, headers, body as bytes)."""

    def __init__(self, service):
        self.port = service.http_port
        self.connection = None

    def request(self, method, target, body=None, headers=()):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            self.connection.request(method, target, body=body, headers=dict(headers))
            reply = self.connection.getresponse()
            answer = reply.status, reply.headers, reply.read()
        except Exception:
            self.close()
            raise
        if reply.will_close:
            self.close()
        return answer

    def get(self, target, **headers):
        return self.request("GET", target, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, target, body, headers=()):
        return self.request("POST", target, body, {"Content-Type": "application/json", **dict(headers)})

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


def http2_get(service, targets):
    """(status, body) of each, one after the other on one connection."""
    state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    answers = []
    with socket.create_connection(("127.0.0.1", service.http_port), timeout=WAIT_S) as connection:
        state.initiate_connection()
        for target in targets:
            stream, status, body, ended = state.get_next_available_stream_id(), None, b"", False
            state.send_headers(stream, [(":method", "GET"), (":path", target), (":scheme", "http"),
                                        (":authority", "localhost")], end_stream=True)
            while not ended:
                connection.sendall(state.data_to_send())
                for event in state.receive_data(connection.recv(65536)):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = dict(event.headers)[":status"]
                    elif isinstance(event, h2.events.DataReceived):
                        body += event.data
                        state.acknowledge_received_data(event.flow_controlled_length, stream)
                    ended = ended or isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset))
            answers.append((status, body))
    return answers


def events_of_page(body):
    return [seen_of_json(text) for text in items(members(body)["events"])]


def rest_pages(http_connection, target):
    """All events of a list, page by page."""
    found, token = [], ""
    while True:
        mark = "&" if "?" in target else "?"
        status, _, body = http_connection.get(target + (mark + "page_token=" + urllib.parse.quote(token) if token else ""))
        assert status == 200, (target, status, body[:400])
        found += events_of_page(body)
        token = json.loads(members(body)["next_page_token"])
        if not token:
            return found


def rest_ndjson(http_connection, target):
    status, headers, body = http_connection.get(target, Accept="application/x-ndjson")
    assert (status, headers["Content-Type"]) == (200, "application/x-ndjson"), (target, status, body[:400])
    return [seen_of_json(line) for line in body.split(b"\n")[:-1]]


def _stream(service, query, accept):
    connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=WAIT_S)
    connection.request("GET", "/api/v1/events/subscribe" + query, headers={"Accept": accept})
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    return connection, reply


def sse(service, query, count):
    """The first `count` events. The lines are read as HTML 9.2 says, which knows three line ends."""
    connection, reply = _stream(service, query, "text/event-stream")
    found, name, data = [], None, []
    try:
        while len(found) < count:
            line = reply.readline().rstrip(b"\n")
            assert b"\r" not in line, line
            if line == b"":
                if data and name is None:
                    found.append(seen_of_json(b"\n".join(data)))
                name, data = None, []
            elif line.startswith(b"event: "):
                name = line[7:]
            elif line.startswith(b"data: "):
                data.append(line[6:])
    finally:
        connection.close()
    return found


def ndjson(service, query, count):
    connection, reply = _stream(service, query, "application/x-ndjson")
    found = []
    try:
        while len(found) < count:
            member = members(reply.readline())
            if "event" in member:
                found.append(seen_of_json(member["event"]))
    finally:
        connection.close()
    return found


def web_socket(service, query, count):
    found = []
    with connect("ws://127.0.0.1:%d/ws%s" % (service.http_port, query), open_timeout=WAIT_S, close_timeout=0.2,
                 max_size=16 << 20) as connection:
        while len(found) < count:
            text = connection.recv(timeout=WAIT_S)
            member = members(text.encode())
            assert member["type"] != b'"error"', text
            if member["type"] == b'"event"':
                found.append(seen_of_json(member["event"]))
    return found


# --- gRPC ---

def grpc_read(client, query=None):
    request = event_service_pb2.ReadEventsRequest(query=query)
    return [seen_of_message(e) for answer in client.events.ReadEvents(request, timeout=WAIT_S) for e in answer.events]


def grpc_pages(client, **filters):
    found, token = [], ""
    while True:
        page = client.events.ListEvents(event_service_pb2.ListEventsRequest(page_token=token, **filters), timeout=WAIT_S)
        found += [seen_of_message(e) for e in page.events]
        token = page.next_page_token
        if not token:
            return found


def grpc_subscribe(client, count, **filters):
    request = subscription_service_pb2.SubscribeRequest(from_start=True, **filters)
    stream = client.subscriptions.Subscribe(request, timeout=WAIT_S)
    found = []
    try:
        while len(found) < count:
            found += [seen_of_message(e) for e in next(stream).batch.events]
    finally:
        stream.cancel()
    return found


def query_of(**lists):
    return event_pb2.EventQuery(items=[event_pb2.QueryItem(**lists)])


# --- the command ---

def strata(*arguments, given=None):
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(BINARY), *[str(a) for a in arguments]], input=given, capture_output=True, timeout=300,
                          env=environment())
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def export(*arguments):
    return [seen_of_json(line) for line in strata("export", "-q", *arguments).split(b"\n")[:-1]]
