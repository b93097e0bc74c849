"""HTTP/1.1 as the front reads it against three parsers that share nothing with it: h11, llhttp (Node.js) and Go's net/http.

Streams of requests (h1_cases.py) are sent to the front over a socket, in pieces, and given to the parsers. All must find the
same requests: their number, methods, targets, headers and bodies, and whether the connection goes on. The front may refuse
what the others take. What it takes although one of them refuses must be in JUSTIFIED.

    STRATA_TEST_FUZZ_SECONDS=600 .venv/bin/python tests/fuzz/test_h1_differential.py

prints its seed first. STRATA_TEST_SEED repeats a run, STRATA_TEST_FUZZ_CASE=NUMBER one case of it.
"""

import collections
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path[:0] = [__file__.rsplit("/tests/", 1)[0] + "/tests", str(pathlib.Path(__file__).resolve().parent)]
import h1_cases  # noqa: E402
import h1_readers  # noqa: E402
from h1_readers import Front, Program, Reading, Request, difference, read_by_h11  # noqa: E402
from support.strata_service import BINARY, ROOT  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parent
SECONDS = float(os.environ.get("STRATA_TEST_FUZZ_SECONDS", "6"))
SEED = os.environ.get("STRATA_TEST_SEED") or secrets.token_hex(4)
BATCH = 64
SHOWN = 5  # disagreements that are told


def header(request, name):
    return b",".join(value for other, value in request.headers if other == name).lower()


def options(request):
    return [option.strip(b" \t") for option in header(request, b"connection").split(b",")]


KNOWN_METHODS = {b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"TRACE", b"M-SEARCH"}

# (parser, what differs, the beginning of its words, what must be so of the request, the rule that the front obeys). `at` is the
# place of the request among `mine`, the front's.
JUSTIFIED = [
    ("h11", "refused", "no request line received", lambda mine, at, stream: b"\r\n" in stream,
     "RFC 9112 2.2: at least one empty line before the request line is ignored; the front ignores two"),
    ("go", "refused", 'malformed HTTP request ""', lambda mine, at, stream: b"\r\n" in stream, "RFC 9112 2.2: the same"),
    ("llhttp", "refused", "HPE_INVALID_METHOD", lambda mine, at, stream: mine[at].method not in KNOWN_METHODS,
     "RFC 9110 9.1: any token is a method; which ones a path has is for the router to say, with 405"),
    ("llhttp", "refused", "HPE_INVALID_VERSION: Expected HTTP/2 Connection Preface", lambda mine, at,
     stream: mine[at].method == b"PRI",
     "RFC 9113 3.4: a preface is known by all its bytes, not by its method"),
    ("llhttp", "refused", "HPE_STRICT: Invalid character in chunk extensions", lambda mine, at, stream: chunked(mine[at]),
     "RFC 9112 7.1.1: chunk extensions that are not understood are ignored; whatever they hold, CR LF ends their line, and "
     "other control characters are refused"),
    *[("llhttp", "refused", error, lambda mine, at, stream: any(map(chunked, mine[:at + 1])),
       "RFC 9112 7.1.2: trailer fields are dropped, RFC 9110 6.5.1: and never frame anything; llhttp counts Content-Length and "
       "Transfer-Encoding among them for this request or the next one")
      for error in ("HPE_INVALID_TRANSFER_ENCODING", "HPE_INVALID_CONTENT_LENGTH", "HPE_UNEXPECTED_CONTENT_LENGTH")],
    *[("h11", "refused", error, lambda mine, at, stream: chunked(mine[at]), "RFC 9110 6.5.1: the same; h11 reads trailers as a head")
      for error in ("Only Transfer-Encoding: chunked is supported", "multiple Transfer-Encoding headers", "bad Content-Length",
                    "conflicting Content-Length headers")],
    ("go", "refused", "parse ", lambda mine, at, stream: b"%" in mine[at].target,
     "RFC 9112 3: the target is the origin's to understand; the router refuses a broken percent-encoding with 400"),
    ("h11", "keep", "", lambda mine, at, stream: b"keep-alive" in options(mine[at]) and b"close" not in options(mine[at]),
     "RFC 9112 9.3: HTTP/1.0 with keep-alive goes on; h11 ends it always"),
    ("llhttp", "keep", "", lambda mine, at, stream: b"close" in options(mine[at]) and not mine[at].keep,
     "RFC 9112 9.3: close comes before keep-alive; llhttp goes on with both in HTTP/1.0"),
    ("llhttp", "keep", "", lambda mine, at, stream: header(mine[at], b"proxy-connection") and mine[at].keep,
     "RFC 9110 7.6.1: Connection alone says it; llhttp takes Proxy-Connection for it"),
]


def chunked(request):
    return header(request, b"transfer-encoding") == b"chunked"


def justification(name, what, index, mine, other, stream):
    for parser, kind, words, so, _ in JUSTIFIED:
        of_this = (parser, kind) == (name, what) and (kind == "keep" or other.why.startswith(words))
        if of_this and so(mine.requests, index, stream):
            return parser, kind, words
    return None


class Parsers:
    def __init__(self, folder):
        go = str(ROOT / ".tools/bin/go") if (ROOT / ".tools/bin/go").exists() else shutil.which("go")
        program = pathlib.Path(folder) / "h1_peer"
        subprocess.run([go, "build", "-o", str(program), str(FOLDER / "h1_peer.go")], check=True, cwd=folder)
        self.programs = [Program("llhttp", ["node", str(FOLDER / "h1_peer.js")]), Program("go", [str(program)])]

    def read_all(self, streams):
        """[{parser: reading}] of each stream."""
        columns = {"h11": [read_by_h11(stream) for stream in streams]}
        columns.update({program.name: program.read_all(streams) for program in self.programs})
        return [{name: readings[at] for name, readings in columns.items()} for at in range(len(streams))]

    def close(self):
        for program in self.programs:
            program.close()


class Differential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="strata-h1-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.parsers = Parsers(cls.folder.name)
        cls.addClassCleanup(cls.parsers.close)

    def setUp(self):
        self.front = Front(BINARY.parents[2] / "tests/fuzz/h1_front")

    def tearDown(self):
        self.assertEqual(self.front.close(), 0, "the front did not end well")

    def judge(self, number, stream, pieces, others):
        """The disagreements about one case as text, and what there was to agree on."""
        told = "case %d of seed %s: %r in pieces of %s bytes\n" % (number, SEED, stream, [len(piece) for piece in pieces])
        try:
            mine = self.front.read(pieces)
        except h1_readers.Fault as fault:
            return [told + "    %s" % fault], None, set()
        wrong, excused = [], set()
        for name, other in others.items():
            differs = difference(mine, other)
            excuse = differs and justification(name, *differs, mine, other, stream)
            if excuse:
                excused.add(excuse)
            elif differs:
                wrong.append(told + "    %s of request %d\n    front\n%r\n    %s\n%r" % (*differs, mine, name, other))
        return wrong, mine, excused

    def test_all_find_the_same_requests(self):
        print("seed %s" % SEED, flush=True)
        only = os.environ.get("STRATA_TEST_FUZZ_CASE")
        until, number, wrong = time.monotonic() + SECONDS, int(only or 0), []
        seen, excuses = collections.Counter(), collections.Counter()
        while time.monotonic() < until and len(wrong) < SHOWN and (only is None or number == int(only)):
            cases = [h1_cases.case(SEED, number + i) for i in range(1 if only else BATCH)]
            for (stream, pieces), others in zip(cases, self.parsers.read_all([stream for stream, _ in cases])):
                bad, mine, excused = self.judge(number, stream, pieces, others)
                wrong += bad
                excuses.update(excused)
                number += 1
                if mine is not None:
                    seen.update([mine.end, "requests"] if mine.requests else [mine.end])
                    seen["several requests"] += len(mine.requests) > 1
                    seen["chunked bodies"] += sum(chunked(one) and one.body != b"" for one in mine.requests)
                    seen["all agree to the end"] += mine.end == "open" and not excused and mine.requests != []
        print("%d streams: %s\njustified: %s" % (number, dict(seen), dict(excuses)))
        self.assertEqual(wrong, [], "\n".join(wrong[:SHOWN]))
        if only is None:  # what was drawn must be worth it
            for what in ("refused", "closed", "requests", "several requests", "chunked bodies", "all agree to the end"):
                self.assertGreater(seen[what], number // 50, what)

    def test_pieces_do_not_matter(self):
        """One stream byte by byte and whole: read alike."""
        stream = (b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\n"
                  b"PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\nde")
        whole, single = self.front.read([stream]), self.front.read([stream[i:i + 1] for i in range(len(stream))])
        self.assertEqual([one.body for one in whole.requests], [b"abc", b"de"])
        self.assertEqual((repr(whole), whole.end), (repr(single), "closed"))


def request(method=b"GET", target=b"/", body=b"", keep=True, headers=()):
    return Request(method, target, body, keep, list(headers))


class Comparing(unittest.TestCase):
    """What is found to differ: else a run proves nothing."""

    def test_each_difference_is_seen(self):
        one, two = request(), request(b"POST", b"/x", b"abc")
        for mine, theirs, expected in (
                (Reading([one, two], "open"), Reading([one, two], "open"), None),
                (Reading([one], "refused"), Reading([one, two], "open"), None),
                (Reading([one], "closed"), Reading([one, two], "open"), None),
                (Reading([one], "open"), Reading([one], "refused"), None),
                (Reading([one, two], "open"), Reading([one], "switched"), None),
                (Reading([one], "open"), Reading([one, two], "open"), ("invented", 1)),
                (Reading([one, two], "open"), Reading([one], "open"), ("missing", 1)),
                (Reading([one, two], "refused"), Reading([one], "closed"), ("missing", 1)),
                (Reading([one, two], "refused"), Reading([one], "refused"), ("refused", 1)),
                (Reading([two], "open"), Reading([request(b"POST", b"/x", b"ab")], "open"), ("body", 0)),
                (Reading([two], "open"), Reading([request(b"POST", b"/y", b"abc")], "open"), ("target", 0)),
                (Reading([two], "open"), Reading([request(b"PUT", b"/x", b"abc")], "open"), ("method", 0)),
                (Reading([one], "open"), Reading([request(keep=False)], "closed"), ("keep", 0)),
                (Reading([one], "open"), Reading([request(headers=[(b"a", b"b")])], "open"), ("headers", 0))):
            with self.subTest(front=mine, other=theirs):
                self.assertEqual(difference(mine, theirs), expected)

    def test_a_refusal_needs_its_own_rule(self):
        mine, stream = Reading([request(b"GET")], "open"), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        self.assertIsNone(justification("llhttp", "refused", 0, mine, Reading([], "refused", "HPE_INVALID_METHOD: x"), stream))
        self.assertIsNone(justification("h11", "body", 0, mine, mine, stream))

    def test_a_case_follows_from_its_number(self):
        self.assertEqual(h1_cases.case("seed", 7), h1_cases.case("seed", 7))
        self.assertNotEqual(h1_cases.case("seed", 7), h1_cases.case("seed", 8))


if __name__ == "__main__":
    unittest.main()
