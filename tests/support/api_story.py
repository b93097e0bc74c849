"""The examples of proto/examples, carried out in order against one service.

What a service answers is written down in the terms of the story: a time, an id, a token or a digest that the service made
becomes the story's own for it, the same wherever it appears, and stands for the service's in later calls. So the answers of
two services are equal text, and a request may name what an earlier answer gave. The rules of what varies are `Terms`.
"""

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import pathlib
import re
import time

from websockets.sync.client import connect

from support.strata_service import ROOT

FOLDER = ROOT / "proto/examples"
WAIT_S = 60
# Headers of answers that an example shows.
SHOWN = ("Content-Type", "Content-Encoding", "ETag", "Location", "Retry-After", "Allow", "WWW-Authenticate", "Cache-Control",
         "Strata-Position", "Strata-Replayed", "Upgrade", "Sec-WebSocket-Accept")
FLOOD = (10, 800, 2000)  # appends, events in each, bytes of each: more than sockets hold and than the bus remembers

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
TAG = re.compile(r'"[0-9a-f]{16,}(-gzip)?"')


def chapters():
    return sorted(FOLDER.glob("*.json"))


class Mismatch(AssertionError):
    pass


class Terms:
    """What the service says ↔ what the story says."""

    # The story begins at nine; each new time is later by this.
    START_S, STEP_S, STEP_US = 1772442000, 7, 1000

    # Members that say something of the machine, the build or the clock: the story's value for them, whatever it is. Their
    # type must be right.
    MACHINE = {"latency": "0.000012s", "bytes": 67108864, "appends_per_second": 0.25, "build_version": "0.1.0",
               "commit": "0123456789abcdef", "libraries": {"grpc": "1.51.1", "nghttp2": "1.52.0"}, "handler_lag": 0,
               "counters": {}, "configuration": {}, "processed_position": "8",
               "request_id": "019cacfc-5a00-7000-8000-00000000f00d"}

    def __init__(self):
        self.said, self.meant = {}, {}  # the service's → the story's, and back
        self.given = set()  # what requests brought stays as it is
        self.counts = {}

    def _term(self, kind, value, make):
        if value in self.given or value in self.meant:
            return value
        if value not in self.said:
            self.counts[kind] = number = self.counts.get(kind, 0) + 1
            self.said[value] = term = make(number)
            self.meant[term] = value
        return self.said[value]

    def time(self, value):
        def make(number):
            at = time.gmtime(self.START_S + self.STEP_S * number)
            return time.strftime("%Y-%m-%dT%H:%M:%S", at) + ".%06dZ" % (self.STEP_US * number)
        return self._term("time", value, make)

    def uuid(self, value):
        return self._term("uuid", value, lambda number: "019cacfc-5a00-7000-8000-%012x" % number)

    def token(self, value):
        return self._term("token", value, lambda number: base64.urlsafe_b64encode(b"page %04d of a list" % number).decode())

    def digest(self, value):
        make = lambda number: base64.b64encode(hashlib.sha256(b"digest %d" % number).digest()).decode()
        return self._term("digest", value, make)

    def chain(self, value):
        return self._term("chain", value, lambda number: hashlib.sha256(b"chain %d" % number).hexdigest())

    def text(self, value):
        value = TIME.sub(lambda match: self.time(match.group()), value)
        return UUID7.sub(lambda match: self.uuid(match.group()), value)

    def outgoing(self, value):
        """A request in the service's terms."""
        if isinstance(value, dict):
            return {name: self.outgoing(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.outgoing(inner) for inner in value]
        if not isinstance(value, str):
            return value
        for term in sorted(self.meant, key=len, reverse=True):
            value = value.replace(term, self.meant[term])
        self.given.update(match for match in TIME.findall(value) + UUID7.findall(value) if match not in self.said)
        return value

    def incoming(self, value, name="", live=False):
        """An answer in the story's terms. `live`: of an append or a feed, which comes before the bus has passed the event."""
        if name in self.MACHINE:
            term = self.MACHINE[name]
            if type(value) is not type(term) and not (isinstance(value, (int, float)) and isinstance(term, (int, float))):
                raise Mismatch("%s is %r" % (name, value))
            return term
        if isinstance(value, dict):
            out = {key: self.incoming(inner, key, live) for key, inner in value.items()}
            if "processed" in out and "position" in out:
                self._processed(out, live)
            return out
        if isinstance(value, list):
            return [self.incoming(inner, name, live) for inner in value]
        if not isinstance(value, str) or not value:
            return value
        if name == "next_page_token":
            return self.token(value)
        if name == "payload_digest":
            return self.digest(value)
        if name == "chain":
            return self.chain(value)
        if name == "peer":
            return re.sub(r":\d+( via .*)?$", ":50712", value)  # behind a gateway of its own: via that
        return self.text(value)

    @staticmethod
    def _processed(event, live):
        """The bus passes an event soon after its append: reads show that it has, answers of appends that it has not."""
        event.pop("processed_at", None)
        event["processed"] = not live
        if not live:
            order = list(event)
            at = order.index("processed") + 1
            later = {**{key: event[key] for key in order[:at]}, "processed_at": event["timestamp"][:-4] + "120Z"}
            rest = {key: event[key] for key in order[at:]}
            event.clear()
            event.update({**later, **rest})


class Player:
    """Carries the steps out; `answers` are written into them. `stop` ends the service."""

    def __init__(self, service):
        self.service, self.terms, self.stopped = service, Terms(), False

    def chapter(self, steps):
        for step in steps:
            try:
                self.socket(step) if "socket" in step else self.call(step)
            except Exception as error:
                error.args = ("%s, %s: %s" % (step.get("call", step.get("socket")), step["name"], error),)
                raise

    # --- calls ---

    def ask(self, method, target, headers=None, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.service.http_port, timeout=WAIT_S)
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection, connection.getresponse()

    def call(self, step):
        method, target = self.terms.outgoing(step["call"]).split(" ", 1)
        headers, body = self.terms.outgoing(step.get("headers", {})), None
        if "body" in step:
            headers, body = {"Content-Type": "application/json", **headers}, json.dumps(self.terms.outgoing(step["body"])).encode()
        elif "text" in step:
            body = step["text"].encode()
        deadline = time.monotonic() + WAIT_S
        while True:
            connection, reply = self.ask(method, target, headers, body)
            with contextlib.closing(connection):
                seen = self.answer(step, method, reply)
            until = step.get("until", {}).items()
            if all(isinstance(seen.get("body"), dict) and seen["body"].get(name) == value for name, value in until):
                break
            if time.monotonic() > deadline:
                raise Mismatch("it has not come to %r" % step["until"])
            time.sleep(0.05)
        step["answer"] = seen

    def answer(self, step, method, reply):
        seen = {"status": reply.status}
        headers = {name: self.terms.text(reply.headers[name]) for name in SHOWN if reply.headers[name] is not None}
        if "ETag" in headers:
            headers["ETag"] = TAG.sub('"0123456789abcdef"', headers["ETag"])
        if "Upgrade" in headers:
            headers["Upgrade"] = headers["Upgrade"].lower()  # names of protocols have no case
        if headers:
            seen["headers"] = headers
        kind = headers.get("Content-Type", "")
        if reply.status == 101:
            return seen
        if "parts" in step:
            seen["body"] = "".join(self.line_or_message(kind, reply) for _ in range(step["parts"]))
            self.meanwhile(step.get("meanwhile"))
            if "later" in step:
                step["later"]["text"] = self.later(kind, reply, step)
            return seen
        content = reply.read()
        if headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        if kind == "application/x-ndjson":
            seen["body"] = "".join(self.line(line, method != "GET") + "\n" for line in content.decode().splitlines())
        elif kind.endswith("json"):
            whole = json.loads(content)
            seen["body"] = self.part(step, whole) if step.get("partly") else self.terms.incoming(whole, live=method != "GET")
        elif content:
            text = content.decode()
            seen["body"] = self.part(step, text) if step.get("partly") else self.terms.text(text)
        return seen

    @staticmethod
    def part(step, whole):
        """Of a document an example shows the beginning: the members of a JSON object that are texts, or a title."""
        if isinstance(whole, dict):
            return {name: value for name, value in whole.items() if isinstance(value, str)} | \
                {"info": {name: whole["info"][name] for name in ("title", "version")}}
        return re.search(r"<title>.*?</title>", whole).group()

    def line(self, text, live):
        return json.dumps(self.terms.incoming(json.loads(text), live=live), ensure_ascii=False, separators=(",", ":"))

    def line_or_message(self, kind, reply, translate=True):
        """The next part of a stream that goes on."""
        out = ""
        while True:
            line = reply.readline().decode()
            if not line:
                raise Mismatch("the stream has ended, after %r" % out)
            if kind == "application/x-ndjson":
                return self.line(line, True) + "\n" if translate else line
            out += "data: " + self.line(line[6:], True) + "\n" if translate and line.startswith("data: ") else line
            if line == "\n":
                return out

    def later(self, kind, reply, step):
        """The part that is waited for; events before it are left out."""
        name, varies = step["later"]["part"], step["later"].get("varies", {})
        while True:
            text = self.line_or_message(kind, reply, translate=False)
            if text.startswith('{"%s"' % name):
                part = json.loads(text)
                self.replace(part[name], varies)
                return self.line(json.dumps(part), True) + "\n"
            if text.startswith("event: %s\n" % name):
                lines = dict(line.split(": ", 1) for line in text.splitlines() if line)
                data = json.loads(lines["data"])
                if lines["id"] != data["position"]:
                    raise Mismatch("the id is %s, the position %s" % (lines["id"], data["position"]))
                self.replace(data, varies)
                return "event: %s\nid: %s\ndata: %s\n\n" % (name, data["position"], self.line(json.dumps(data), True))

    def replace(self, inside, varies):
        """What depends on how fast somebody reads has the story's value."""
        for path, value in varies.items():
            *above, name = path.split(".")
            inner = inside
            for part in above:
                inner = inner[part]
            if type(inner[name]) is not type(value):
                raise Mismatch("%s is %r" % (path, inner[name]))
            inner[name] = value
            self.terms.given.add(value)

    # --- frames ---

    def socket(self, step):
        url = "ws://127.0.0.1:%d%s" % (self.service.http_port, step["socket"])
        with connect(url, open_timeout=WAIT_S, close_timeout=0.2, max_queue=1, max_size=16 << 20) as connection:
            for frame in step["frames"]:
                self.meanwhile(frame.get("meanwhile"))
                if "send" in frame:
                    connection.send(json.dumps(self.terms.outgoing(frame["send"])))
                if "receive" in frame:
                    frame["receive"] = self.receive(connection, frame)

    def receive(self, connection, frame):
        wanted = frame["receive"]["type"]
        while True:
            seen = json.loads(connection.recv(timeout=WAIT_S))
            if seen["type"] == wanted or seen["type"] != frame.get("skips"):
                break
        if seen["type"] != wanted:
            raise Mismatch("%r came, not %s" % (seen, wanted))
        self.replace(seen, frame.get("varies", {}))
        return self.terms.incoming(seen, live=True)

    def meanwhile(self, what):
        if what == "stop":
            self.service.terminate()
            self.stopped = True
        elif what == "flood":
            appends, count, size = FLOOD
            event = {"type": "custom", "aggregate_id": "ticker", "aggregate_type": "custom", "data": {"x": "y" * size}}
            body = json.dumps({"events": [event] * count}).encode()
            for _ in range(appends):
                connection, reply = self.ask("POST", "/api/v1/events/append", {"Content-Type": "application/json"}, body)
                with contextlib.closing(connection):
                    if reply.status != 201:
                        raise Mismatch("the flood is refused: %r" % reply.read())
        elif what is not None:
            self.call(what)


def play(service):
    """{chapter's path: its text with the answers of this service}."""
    player, texts = Player(service), {}
    for path in chapters():
        steps = json.loads(path.read_text())
        player.chapter(steps)
        texts[path] = written(steps)
    return texts


def written(steps):
    return json.dumps(steps, indent=1, ensure_ascii=False) + "\n"
