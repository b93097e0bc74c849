"""Four readings of one stream of HTTP/1.1 requests: by the front, over a socket, and by parsers that share nothing with it.

A reading is a list of requests, complete ones, and how it ends: "refused", "closed" (the reader says that the connection ends
after the last request), "switched" (what follows is another protocol's) or "open".
"""

import json
import re
import socket
import struct
import subprocess
import threading

import h11

HEX = re.compile(rb"\r\nRead-(Method|Target|Headers|Body): ?([^\r]*)")
REFUSALS = {400, 408, 413, 414, 417, 431, 501, 505}
WAIT_S = 30


class Request:
    """`headers`: (lower-case name, value) in order, None: not told."""

    def __init__(self, method, target, body, keep, headers=None):
        self.method, self.target, self.body, self.keep, self.headers = method, target, body, keep, headers

    def __repr__(self):
        return "%r %r body %r%s" % (self.method, self.target, self.body, "" if self.keep else ", then closes")


class Reading:
    def __init__(self, requests, end, why=""):
        self.requests, self.end, self.why = requests, end, why

    def __repr__(self):
        return "\n".join(["        %r" % request for request in self.requests] + ["        %s %s" % (self.end, self.why)])


class Fault(AssertionError):
    """An answer of the front that no stream of requests may cause."""


class Front:
    """The front behind a socket, tests/fuzz/h1_front.c."""

    name = "front"

    def __init__(self, program):
        self.process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.count = 0

    def close(self):
        self.process.stdin.close()  # ends it
        self.process.stdout.close()
        return self.process.wait(timeout=WAIT_S)

    def answers(self, pieces):
        """Everything that it says to these pieces, up to its end of the connection."""
        self.count += 1
        with socket.socket() as client:
            client.settimeout(WAIT_S)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Addresses in turn: each keeps its port for a minute after the connection.
            client.bind(("127.%d.%d.%d" % (1 + self.count // 62500 % 100, self.count // 250 % 250, 1 + self.count % 250), 0))
            client.connect(("127.0.0.1", self.port))
            said = []
            try:
                for piece in pieces:
                    client.sendall(piece)
                client.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError, OSError):
                pass  # it has refused and may have closed
            try:
                while part := client.recv(1 << 16):
                    said.append(part)
            except ConnectionResetError:
                pass  # only what it never reads: the answers before are there
            return b"".join(said)

    def read(self, pieces):
        said = self.answers(pieces)
        requests, end, why, at = [], "open", "", 0
        while at < len(said):
            if end != "open":
                raise Fault("an answer follows one that ends the connection: %r" % said)
            stop = said.find(b"\r\n\r\n", at)
            if stop < 0 or not said.startswith(b"HTTP/1.1 ", at):
                raise Fault("not an answer: %r" % said[at:])
            head = said[at:stop + 2]
            status = int(head[9:12])
            at = stop + 4
            if status == 100:
                continue
            closes = b"\r\nConnection: close\r\n" in head
            length = int(re.search(rb"\r\nContent-Length: (\d+)\r\n", head).group(1))
            if status == 200:
                read = dict(HEX.findall(head))
                headers = bytes.fromhex(read[b"Headers"].decode()).split(b"\n")[:-1]
                requests.append(Request(read[b"Method"], read[b"Target"], bytes.fromhex(read[b"Body"].decode()), not closes,
                                        [(name.lower(), value) for name, _, value in (one.partition(b":") for one in headers)]))
                end = "closed" if closes else "open"
                continue
            if status not in REFUSALS or not closes:
                raise Fault("%d, %s" % (status, "and the connection ends" if closes else "and the connection goes on"))
            end = "refused"
            problem = said[at:at + length]
            why = "%d %s" % (status, json.loads(problem)["detail"] if problem else "")
            at += length
        return Reading(requests, end, why)


def read_by_h11(stream):
    """h11, the strict parser behind httpx and uvicorn."""
    requests, rest = [], stream
    while rest:  # h11 takes nothing for the end of the connection
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 16)
        request, body = None, []
        try:
            parser.receive_data(rest)
            while True:
                event = parser.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return Reading(requests, "open")
                if isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    break
        except h11.RemoteProtocolError as error:
            return Reading(requests, "refused", str(error))
        keep = parser.their_state is not h11.MUST_CLOSE
        requests.append(Request(request.method, request.target, b"".join(body), keep, list(request.headers)))
        if not keep:
            return Reading(requests, "closed")
        if parser.their_state is h11.MIGHT_SWITCH_PROTOCOL:
            requests[-1].keep = None  # it follows from the answer
            if request.method == b"CONNECT":
                return Reading(requests, "switched")
        rest = parser.trailing_data[0]
    return Reading(requests, "open")


class Program:
    """Another language's parser: a program that answers each case with a line of JSON."""

    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(timeout=WAIT_S)

    def _write(self, streams):
        for stream in streams:
            self.process.stdin.write(struct.pack(">I", len(stream)) + stream)
        self.process.stdin.flush()

    def read_all(self, streams):
        writing = threading.Thread(target=self._write, args=(streams,))
        writing.start()
        readings = [self._reading(json.loads(self.process.stdout.readline())) for _ in streams]
        writing.join()
        return readings

    @staticmethod
    def _reading(told):
        requests = []
        for one in told["requests"]:
            headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in one["headers"]] \
                if "headers" in one else None
            requests.append(Request(one["method"].encode("latin-1", "replace"), one["target"].encode("latin-1", "replace"),
                                    bytes.fromhex(one["body"]),
                                    one["keep"], headers))
            if not one["keep"]:
                return Reading(requests, "closed")
        return Reading(requests, told["end"], told["why"])


def told(request, what):
    if what != "headers" or request.headers is None:
        return getattr(request, what)
    # Codings have no case (RFC 9112 7), and h11 tells their names in small letters.
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in request.headers]


def difference(front, other):
    """(what, index of the request), where two readings differ about requests; None: they agree.

    The front may refuse what the other one takes, and wait in vain for the end of what the other one refuses already. What
    the front takes the other one must take alike; "refused" is when that one refuses it."""
    for index, mine in enumerate(front.requests):
        if index == len(other.requests):
            return None if other.end == "switched" else ("refused" if other.end == "refused" else "missing", index)
        theirs = other.requests[index]
        for what in ("method", "target", "body", "headers", "keep"):
            a, b = told(mine, what), told(theirs, what)
            if b is not None and a != b:
                return what, index
    if front.end == "open" and len(other.requests) > len(front.requests):
        return "invented", len(front.requests)
    return None
