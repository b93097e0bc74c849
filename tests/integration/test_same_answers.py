"""One process and two, asked the same: status, headers and body of every answer are equal, token for token.

Both begin with nothing and carry out the same requests one after the other: the generated table
(semantics/table_alike.py), and the rows of the semantics. What differs from run to run is normalised by the rules of
`Terms`, and nothing else.
"""

import collections
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import re
import sys
import time
import unittest

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

sys.path[:0] = [__file__.rsplit("/tests/", 1)[0] + "/tests", str(pathlib.Path(__file__).resolve().parent)]
import test_semantics  # noqa: E402
from semantics import (drive, rows, table_alike, table_append, table_domain, table_identity, table_payload,  # noqa: E402
                       table_reads, table_routes, table_save, table_versions)
from support.strata_service import Service, SplitService, scaled  # noqa: E402

WAIT_S = 60
KINDS = ("good", "wrong type", "missing", "unknown", "too large", "conflict", "not found")
# Of the machine, the clock or the process, not of what was asked.
MACHINE = ("latency", "bytes", "appends_per_second", "handler_lag", "commit", "processed_position", "log_bytes",
           "index_bytes", "chain",
           "hits", "misses", "entries")
# A start is answered while the work may be done already.
OF_PROGRESS = ("state", "done", "total", "message", "ended_at")
# Written by both deployments for each answer anew, or counted in what varies.
NOT_COMPARED = {"date", "content-length"}


class Terms:
    """Times, ids and tokens that the service made, by the order of their appearance; so what is equal stays equal."""

    MADE = [("time", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")),
            ("id", re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")),
            ("folder", re.compile(r"/tmp/strata-test-[a-z0-9_]+")),
            ("digest", re.compile(r'(?<="payload_digest":")[^"]+')),  # of the record, which holds ids and times
            ("token", re.compile(r'(?<="next_page_token":")[^"]+')),
            ("peer", re.compile(r"127\.0\.0\.1:\d+"))]
    PROCESSED = re.compile(r'"processed":(?:true|false)(?:,"processed_at":"[^"]*")?')  # the bus passes events a moment later
    MACHINES = re.compile(r'"(%s)":("[^"]*"|[0-9.]+)' % "|".join(MACHINE))
    PROGRESS = re.compile(r'"(%s)":("[^"]*"|[0-9.]+),?' % "|".join(OF_PROGRESS))
    ACCEPT_KEY = re.compile(r"(?<=sec-websocket-accept: )\S+")

    def __init__(self):
        self.seen, self.counts = {}, collections.Counter()

    def text(self, content, progress=False):
        said = content.decode("utf-8", "backslashreplace")
        said = self.PROCESSED.sub('"processed":*', said)
        said = self.MACHINES.sub(r'"\1":*', said)
        if progress:
            said = self.PROGRESS.sub("", said)
        for kind, pattern in self.MADE:
            said = pattern.sub(lambda match: self.term(kind, match.group()), said)
        return said

    def term(self, kind, value):
        if kind in ("peer", "folder"):
            return "<%s>" % kind
        if (kind, value) not in self.seen:
            self.seen[kind, value] = "<%s %d>" % (kind, self.counts[kind])
            self.counts[kind] += 1
        return self.seen[kind, value]


class Deployment:
    def __init__(self, kind):
        self.service = kind().start()
        self.grpc = drive.Grpc(self.service)
        self.terms = Terms()
        self.connection = None
        self.last_id = ""

    def stop(self):
        self.grpc.close()
        if self.connection is not None:
            self.connection.close()
        self.service.stop()
        self.service.remove()

    # --- one request ---

    LIVE = {"text/event-stream": b"event: caught_up"}  # has no end: up to where it waits

    def send(self, verb, target, headers, body):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.service.http_port, timeout=WAIT_S)
        try:
            self.connection.putrequest(verb, target, skip_accept_encoding=True)
            for name, value in {"Strata-Request-Id": "same", **headers}.items():
                self.connection.putheader(name, value)
            if body is not None:
                self.connection.putheader("Content-Length", str(len(body)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was read
                self.connection.endheaders(body)
            return self.connection.getresponse()
        except Exception:
            self.connection.close()
            raise

    def told(self, status, headers, content, progress=False):
        """Status line, headers in order, body, in terms."""
        head = ["%s: %s" % (name.lower(), self.terms.text(value.encode("latin-1"))) for name, value in headers
                if name.lower() not in NOT_COMPARED]
        return "%d\n%s\n\n%s" % (status, "\n".join(head), self.terms.text(content, progress))

    def ask(self, case):
        deadline = time.monotonic() + WAIT_S
        while True:
            reply = self.send(case.verb, case.target.replace("@", self.last_id), case.headers, case.body)
            first = case.first or self.LIVE.get(reply.headers["Content-Type"] if reply.status == 200 else None)
            content = self.up_to(reply, first) if first else reply.read()
            if case.until is None or case.until in content:
                break
            if time.monotonic() > deadline:
                raise AssertionError("%r: %r does not come in %r" % (case, case.until, content))
            time.sleep(0.02)
        if case.kind == "start" and reply.status < 300:
            self.last_id = json.loads(content)["id"]
        return self.told(reply.status, reply.getheaders(), content, case.kind == "start")

    def up_to(self, reply, last):
        """A stream up to the line that has `last`, and the rest of its block."""
        lines = []
        while last not in (line := reply.readline()):
            if not line:
                break
            lines.append(line)
        lines.append(line)
        if last.startswith(b"event:") and line:
            while (line := reply.readline()).strip():
                lines.append(line)
        self.connection.close()  # what follows is live
        self.connection = None
        return b"".join(lines)

    # --- rows of the semantics ---

    def row(self, number, row):
        own = "r%04d-" % number
        before = test_semantics.carried_out(self.grpc, rows.prefixed(row.after, own))
        said = []
        for call in [row.call, *[then for then, _ in row.then]]:
            method, request = rows.prefixed(call, own)
            verb, target, headers, body = drive.to_http(method, test_semantics.resolved(request, before))
            reply = self.send(verb, target, headers, body)
            said.append(self.told(reply.status, reply.getheaders(), reply.read()))
        return "\n".join(said)

    def exchange(self, number, exchange):
        own = "x%04d-" % number
        test_semantics.carried_out(self.grpc, rows.prefixed(exchange.after, own))
        body = rows.prefixed(exchange.body, own) if exchange.body is not None else None
        headers = {**({"Content-Type": "application/json"} if body is not None else {}), **rows.prefixed(exchange.send, own)}
        host = headers.pop("Host", None)
        if host is not None:
            return None  # a second Host: the front's own matter
        reply = self.send(exchange.verb, rows.prefixed(exchange.target, own), headers, body)
        return self.told(reply.status, reply.getheaders(), reply.read())

    # --- WebSocket ---

    def socket(self, query, frames, more):
        said = []
        try:
            with connect("ws://127.0.0.1:%d/ws%s" % (self.service.http_port, query), open_timeout=WAIT_S) as socket:
                while "subscribe=none" not in query and not re.search('"type":"(caught_up|error|closing)"',
                                                                      said[-1] if said else ""):
                    said.append(self.terms.text(socket.recv(timeout=WAIT_S).encode()))
                for frame in frames:
                    socket.send(frame)
                for _ in range(more):
                    said.append(self.terms.text(socket.recv(timeout=WAIT_S).encode()))
        except InvalidStatus as refused:
            head = [(name, value) for name, value in refused.response.headers.raw_items()
                    if name.lower() != "strata-request-id"]
            said.append(self.told(refused.response.status_code, head,
                                  re.sub(rb'"request_id":"[^"]*"', b"", refused.response.body)))
        except ConnectionClosed as closed:
            said.append(str(closed.rcvd))
        return "\n".join(said)


def some(table):
    """All of it, or at a smaller STRATA_TEST_SCALE a part: test_semantics.py carries all of them out there too."""
    return table[::max(1, len(table) // scaled(len(table)) // 2)]


def first_difference(one, two):
    at = next((at for at, (a, b) in enumerate(zip(one, two)) if a != b), min(len(one), len(two)))
    begin = max(0, at - 200)
    return "    one process %s…%s\n    two %s…%s" % (one[:3], one[begin:at + 200], two[:3], two[begin:at + 200])


class SameAnswers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            cls.both = list(pool.map(Deployment, (Service, SplitService)))
        for deployment in cls.both:
            cls.addClassCleanup(deployment.stop)

    def compare(self, things, ask):
        """Each deployment on a thread of its own, each one thing after the other."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            one, two = pool.map(lambda deployment: [ask(deployment, at, thing) for at, thing in enumerate(things)], self.both)
        different = ["%r\n%s" % (thing, first_difference(a, b)) for thing, a, b in zip(things, one, two) if a != b]
        self.assertEqual(len(different), 0, "%d of %d are answered otherwise\n%s" % (len(different), len(things),
                                                                                     "\n\n".join(different[:10])))
        return one

    def test_1_every_route_and_kind(self):
        description = self.both[0].service.request("GET", "/openapi.json")[2]
        cases = [*table_alike.story(), *table_alike.Table(description).cases(), *table_alike.conflicts(),
                 *table_alike.operations(),
                 *table_alike.streams()]
        answers = self.compare(cases, lambda deployment, at, case: deployment.ask(case))
        self.assertGreater(len(cases), 300)
        # What was asked must be worth it: each kind, each route, and answers as the kind says.
        seen = collections.Counter((case.kind.split(",")[0], answer[:1]) for case, answer in zip(cases, answers))
        for kind in KINDS:
            self.assertGreater(seen[kind, "2" if kind == "good" else "4"], 10, "%s: %s" % (kind, seen))
        routes = {case.route for case, answer in zip(cases, answers) if answer[0] in "23"}
        for path, operations in description["paths"].items():
            for verb in operations:
                if verb.upper() in ("GET", "POST", "PUT") and path != "/ws":
                    self.assertIn("%s %s" % (verb.upper(), path), routes, "has no good answer")
        print("%d cases, by kind and status: %s" % (len(cases), dict(sorted(seen.items()))))

    def test_2_rows_of_the_semantics(self):
        table = [row for each in (table_versions.ROWS, table_identity.ROWS, table_payload.ROWS, table_append.ROWS,
                                  table_save.ROWS, table_reads.ROWS,
                                  table_domain.ROWS) for row in each
                 if row.only in (None, "rest")
                 and getattr(row.outcome, "reason", None) != "BEHIND"]  # which waits for five seconds
        self.assertGreater(len(table), 200)
        self.compare(some(table), lambda deployment, at, row: deployment.row(at, row))

    def test_3_exchanges(self):
        self.compare(some(table_routes.EXCHANGES), lambda deployment, at, exchange: deployment.exchange(at, exchange))

    def test_4_sockets(self):
        self.compare(table_alike.SOCKETS, lambda deployment, at, socket: deployment.socket(*socket))


if __name__ == "__main__":
    unittest.main()
