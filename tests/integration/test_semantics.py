"""Each rule of the semantics and each error of the API, as a row of a table: over gRPC and over HTTP, on the embedded and
on the memory engine. The tables are in `semantics/`; `semantics/rows.py` says what a row is."""

import concurrent.futures
import json
import os
import pathlib
import re
import sys
import threading
import unittest

sys.path[:0] = [__file__.rsplit("/tests/", 1)[0] + "/tests", str(pathlib.Path(__file__).resolve().parent)]
from semantics import (drive, elsewhere, rows, table_append, table_domain, table_identity, table_limits,  # noqa: E402
                       table_payload, table_reads, table_routes, table_save, table_versions)
from support.strata_service import ROOT, Service  # noqa: E402

ENGINES = ("embedded", "memory")
WORKERS = 16  # so that rows that wait, for a sync or for BEHIND, wait together
MEMORY = {"STRATA_DATABASE_EVENT_STORE": "memory", "STRATA_DATABASE_SNAPSHOT_STORE": "memory"}


def settings(engine, extra=None):
    return {**(MEMORY if engine == "memory" else {}), **(extra or {})}


class Place:
    """A running service and the ways in."""

    def __init__(self, engine, extra=None):
        self.engine = engine
        self.service = Service(config=settings(engine, extra)).start()
        self.ways = {way.name: way for way in (drive.Grpc(self.service), drive.Stream(self.service),
                                            drive.Rest(self.service))}

    def stop(self):
        for way in self.ways.values():
            way.close()
        self.service.stop()
        self.service.remove()


class Numbers:
    """Prefixes of six bytes, each given once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0

    def next(self):
        with self.lock:
            self.count += 1
            return "r%04d-" % self.count


numbers = Numbers()


def carried_out(way, calls):
    """Makes the calls over gRPC; their answers as dicts."""
    answers = []
    for method, request in calls:
        answer = way.call(method, resolved(request, answers))
        assert not isinstance(answer, drive.Failure), "before: %s" % answer
        answers.append(drive.inline(answer.DESCRIPTOR, drive.json_format.MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)))
    return answers


def resolved(value, answers):
    """`value` with what it takes from earlier answers."""
    if isinstance(value, rows.From):
        found = drive.lookup(answers[value.at], value.path)
        return int(found) + value.plus if isinstance(found, str) and found.isdigit() else found
    if isinstance(value, dict):
        return {name: resolved(one, answers) for name, one in value.items()}
    return [resolved(one, answers) for one in value] if isinstance(value, list) else value


def placed(outcome, prefix, answers):
    """The outcome of a row with its prefix and with what it takes from earlier answers."""
    done = object.__new__(type(outcome))
    done.__dict__ = {name: resolved(rows.prefixed(value, prefix), answers) for name, value in outcome.__dict__.items()}
    return done


def ways_of(row):
    ways = [row.only] if row.only else ["grpc", "rest"] + (["stream"] if row.call[0] == "AppendEvents" else [])
    # In two processes gRPC reaches the core as ever; what differs is the gateway's way there.
    return [way for way in ways if way == "rest" or not os.environ.get("STRATA_TEST_SPLIT")]


def check_row(place, row, name, own, before):
    for call, outcome in [(row.call, row.outcome), *row.then]:
        method, request = rows.prefixed(call, own)
        try:
            place.ways[name].check((method, resolved(request, before)), placed(outcome, own, before))
        except AssertionError as error:
            raise AssertionError("%s, %s, %s\n    %s" % (place.engine, name, row, error)) from None


def run_row(place, row, name):
    own = numbers.next()
    check_row(place, row, name, own, carried_out(place.ways["grpc"], rows.prefixed(row.after, own)))


def run_exchange(place, exchange, _):
    own = numbers.next()
    carried_out(place.ways["grpc"], rows.prefixed(exchange.after, own))
    status, headers, content = place.ways["rest"].send(
        exchange.verb, rows.prefixed(exchange.target, own), rows.prefixed(exchange.send, own),
        rows.prefixed(exchange.body, own) if exchange.body is not None else None)
    told = "%s, %s\n    %d %s" % (place.engine, exchange, status, content[:1000])
    assert status == exchange.status, told
    for name, wanted in rows.prefixed(exchange.headers, own).items():
        assert drive.same(wanted, headers.get(name)), "%s\n    %s: %s" % (told, name, headers.get(name))
    answer = json.loads(content) if exchange.has or exchange.code else {}
    for name, wanted in rows.prefixed(exchange.has, own).items():
        assert drive.same(wanted, answer.get(name)), "%s\n    %s: %s" % (told, name, answer.get(name))
    assert status != 304 or content == b"", told
    if exchange.code is not None:
        assert headers["Content-Type"] == "application/problem+json", told
        assert (answer["code"], answer.get("reason"), answer["status"]) == \
            (exchange.code, exchange.reason, exchange.status), told
        assert answer["request_id"] == headers["Strata-Request-Id"], told


class Semantics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        kinds = {"places": {}, "strict": {"STRATA_VALIDATION_RULES_STRICT": "true"},
                 "unchecked": {"STRATA_VALIDATION_ENABLED": "false"},
                 "limited": {"STRATA_VALIDATION_RULES_MAX_AGGREGATE_EVENTS": "4"}}
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            starting = {kind: [pool.submit(Place, engine, extra) for engine in ENGINES] for kind,
                        extra in kinds.items()}
        for kind, places in starting.items():
            setattr(cls, kind, [place.result() for place in places])

    @classmethod
    def tearDownClass(cls):
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            stopping = [pool.submit(place.stop) for place in cls.places + cls.strict + cls.unchecked + cls.limited]
        for one in stopping:
            one.result()

    def run_all(self, places, table, run=run_row):
        """Every row on every engine and over both ways; each that fails is told."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            doing = {pool.submit(run, place, row, way): (place.engine, way, row)
                     for row in table for place in places for way in ways_of(row)}
            for done in concurrent.futures.as_completed(doing):
                engine, way, row = doing[done]
                with self.subTest(engine=engine, way=way, rule=row.rule):
                    done.result()

    def test_versions(self):
        self.run_all(self.places, table_versions.ROWS)

    def test_identity(self):
        self.run_all(self.places, table_identity.ROWS)

    def test_payload(self):
        self.run_all(self.places, table_payload.ROWS)

    def test_payload_strict(self):
        self.run_all(self.strict, table_payload.STRICT)

    def test_payload_unchecked(self):
        self.run_all(self.unchecked, table_payload.UNCHECKED)

    def test_append(self):
        self.run_all(self.places, table_append.ROWS)

    def test_append_at_limits(self):
        self.run_all(self.limited, table_append.ORDER_OF_LIMITS)

    def test_save_and_snapshots(self):
        self.run_all(self.places, table_save.ROWS)

    def test_reads(self):
        self.run_all(self.places, table_reads.ROWS)

    def test_domain(self):
        self.run_all(self.places, table_domain.ROWS)

    def test_routes(self):
        self.run_all(self.places, table_routes.EXCHANGES, run_exchange)


class Limits(unittest.TestCase):
    def test_limits(self):
        """Stories: what a row before has filled stays full, so a story ends with its first wrong answer."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            telling = {pool.submit(self.tell, engine, extra, story): (engine, name)
                       for engine in ENGINES for name, extra, story in table_limits.STORIES}
            for done in concurrent.futures.as_completed(telling):
                with self.subTest(engine=telling[done][0], limit=telling[done][1]):
                    done.result()

    @staticmethod
    def tell(engine, extra, story):
        place = Place(engine, extra)
        try:
            for row in story:
                own = numbers.next()
                answers = carried_out(place.ways["grpc"], rows.prefixed(row.after, own))
                for way in ways_of(row):
                    check_row(place, row, way, own, answers)
        finally:
            place.stop()


class Completeness(unittest.TestCase):
    """No reason without a row."""

    def test_every_reason_has_a_row(self):
        source = (ROOT / "src/base/status.h").read_text()
        known = {name: (code, int(http), retry != "0")
                 for name, code, http, retry in re.findall(r"X\((\w+), (\w+), (\d+), (\d+)\)", source)}
        self.assertEqual(known, rows.REASONS)
        tables = [table_versions.ROWS, table_identity.ROWS, table_payload.ROWS, table_payload.STRICT,
                  table_payload.UNCHECKED, table_append.ROWS, table_append.ORDER_OF_LIMITS, table_save.ROWS,
                  table_reads.ROWS, table_domain.ROWS, *[story for _, _, story in table_limits.STORIES]]
        shown = {getattr(outcome, "reason", None) for table in tables for row in table
                 for outcome in [row.outcome, *[then for _, then in row.then]]}
        shown |= {exchange.reason for exchange in table_routes.EXCHANGES}
        for reason in sorted(set(known) - shown):
            with self.subTest(reason=reason):
                self.assertIn(reason, elsewhere.SHOWN, "give it a row, or say which test shows it")
                for path in elsewhere.SHOWN[reason]:
                    self.assertIn(reason, (ROOT / path).read_text(), path)
        self.assertEqual(shown & set(elsewhere.SHOWN), set(), "have rows by now")


if __name__ == "__main__":
    unittest.main()
