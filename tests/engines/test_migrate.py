"""`strata migrate` from engine to engine: equal chains, equal answers, resumed where it was interrupted, followed live.

STRATA_TEST_EVENTS  events of the store that moves (default 3,000); STRATA_TEST_READS  random reads compared (default 300)
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.engines import MariaDb, MongoWire  # noqa: E402
from support.strata_records import read_history  # noqa: E402
from support.strata_rpc import Client, event_pb2, event_service_pb2  # noqa: E402
from support.strata_service import BINARY, Service, environment, scaled  # noqa: E402

EVENTS = int(os.environ.get("STRATA_TEST_EVENTS", scaled(3000, 300)))
READS = int(os.environ.get("STRATA_TEST_READS", scaled(300, 50)))
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))


def yaml_of(settings):
    """A configuration file with the settings of an engine: STRATA_DATABASE_MYSQL_PORT becomes database.mysql.port."""
    keys = {"STRATA_DATABASE_EVENT_STORE": ("event_store",), "STRATA_DATABASE_SNAPSHOT_STORE": ("snapshot_store",)}
    tree = {}
    for name, value in settings.items():
        path = keys.get(name)
        if path is None:
            section, key = name[len("STRATA_DATABASE_"):].lower().split("_", 1)
            path = (section, key)
        at = tree
        for part in path[:-1]:
            at = at.setdefault(part, {})
        at[path[-1]] = int(value) if path[-1] == "port" else value
    return json.dumps({"database": tree})  # JSON is YAML


class Place:
    """A store of one engine: its settings for a service, and its configuration file for migrate."""

    def __init__(self, folder, name, settings):
        self.settings = settings
        self.file = pathlib.Path(folder) / ("%s-%s.yaml" % (settings.get("STRATA_DATABASE_EVENT_STORE", "database"), name))
        self.file.write_text(yaml_of(settings))

    def service(self):
        return Service(config={**self.settings, "STRATA_SNAPSHOT_EVENTS": "20"})

    def quiet_service(self):
        """Whose reads change nothing: one that takes snapshots does so a moment after a read, and may leave it."""
        return Service(config={**self.settings, "STRATA_SNAPSHOT_EVENTS": "0"})


def migrate_command(source, target, *more):
    return [str(BINARY), "migrate", "--from", str(source.file), "--to", str(target.file), "--quiet", *more]


def migrate(source, target):
    done = subprocess.run(migrate_command(source, target), capture_output=True, text=True, timeout=600, env=environment())
    assert done.returncode == 0, done.stderr
    chains = {line.split(" chain ")[1] for line in done.stdout.splitlines() if " chain " in line}
    assert len(chains) == 1, done.stdout
    return done.stdout, chains.pop()


class Moves(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print("STRATA_TEST_SEED=%s" % SEED, flush=True)
        cls.random = random.Random(SEED)
        cls.folder = tempfile.mkdtemp(prefix="strata-migrate-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.mariadb = cls.enterClassContext(MariaDb())
        cls.mongodb_server = cls.enterClassContext(MongoWire())

    def embedded(self, name):
        return Place(self.folder, name, {"STRATA_DATABASE_EVENT_STORE": "embedded", "STRATA_DATABASE_SNAPSHOT_STORE": "embedded",
                                         "STRATA_DATABASE_EMBEDDED_PATH": str(pathlib.Path(self.folder) / name)})

    def mysql(self, name):
        return Place(self.folder, name, {**self.mariadb.settings(), "STRATA_DATABASE_MYSQL_STORE_ID": name})

    def mongodb(self, name):
        return Place(self.folder, name, {**self.mongodb_server.settings(), "STRATA_DATABASE_MONGODB_STORE_ID": name})

    def fill(self, client, events, prefix="f"):
        written = 0
        while written < events:
            count = self.random.choice((1, 1, 2, 7))
            client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[event_pb2.NewEvent(
                id="%s%d/%d" % (prefix, written, n), type="custom", aggregate_type="custom", tags=["t%d" % (n % 3)],
                aggregate_id="a-%d" % self.random.randrange(60), correlation_id="c%d" % self.random.randrange(9),
                data=b'{"k%d":%d.10,"text":"\xc3\xa9\'\\\\"}' % (self.random.randrange(9), written)) for n in range(count)]))
            written += count

    def answers(self, service):
        """What a user sees of it, by the same random questions whichever engine it is."""
        source = random.Random(SEED + "reads")
        head = int(service.request("GET", "/api/v1/stats")[2]["head_position"])
        for _ in range(READS):
            aggregate = "a-%d" % source.randrange(62)
            position = source.randrange(1, head + 1)
            path = source.choice((
                "/api/v1/aggregates/%s" % aggregate, "/api/v1/aggregates/%s?as_of_position=%d" % (aggregate, position),
                "/api/v1/aggregates/%s?as_of_version=%d" % (aggregate, source.randrange(1, 30)),
                "/api/v1/events/aggregate/%s?page_size=20&from_version=%d" % (aggregate, source.randrange(1, 20)),
                "/api/v1/events/?page_size=15&after_position=%d" % position,
                "/api/v1/events/?page_size=15&direction=BACKWARD&after_position=%d" % position,
                "/api/v1/events/type/custom?page_size=5&after_position=%d" % position,
                "/api/v1/events/?tags=t%d&page_size=9&after_position=%d" % (source.randrange(3), position),
                "/api/v1/events/?correlation_id=c%d&page_size=9" % source.randrange(9),
                "/api/v1/events/id/f%d%%2F0" % source.randrange(head), "/api/v1/snapshots/%s/latest" % aggregate))
            status, headers, body = service.request("GET", path)
            if isinstance(body, dict):
                for volatile in ("request_id", "next_page_token"):
                    body.pop(volatile, None)
                for event in [body, *body.get("events", [])]:
                    event.pop("processed", None)
                    event.pop("processed_at", None)
            yield path, status, headers.get("ETag"), body

    def test_there_and_back_with_equal_chains_and_answers(self):
        places = [self.embedded("first"), self.mysql("second"), self.mongodb("third"), self.embedded("fourth")]
        with places[0].service() as service, Client(service) as client:
            self.fill(client, EVENTS)
            for _ in self.answers(service):  # for which snapshots are taken, that move too
                pass
        with places[0].quiet_service() as service, Client(service) as client:
            expected = list(self.answers(service))
            chain = read_history(client.channel).chain.hex()
        for source, target in zip(places, places[1:]):
            self.assertEqual(migrate(source, target)[1], chain)
            self.assertIn("moved 0 events", migrate(source, target)[0])
            with target.quiet_service() as service, Client(service) as client:
                self.assertEqual(read_history(client.channel).chain.hex(), chain)
                for wanted, got in zip(expected, self.answers(service)):
                    self.assertEqual(got, wanted)

    def test_an_interrupted_move_goes_on(self):
        source, target = self.embedded("cut"), self.mysql("cut")
        with source.service() as service, Client(service) as client:
            self.fill(client, EVENTS)
        for delay_s in (0.05, 0.15, 0.3):
            moving = subprocess.Popen(migrate_command(source, target), env=environment(), stdout=subprocess.PIPE)
            time.sleep(delay_s)
            moving.kill()
            moving.communicate()
        output, chain = migrate(source, target)
        with target.service() as service, Client(service) as client:
            self.assertEqual(read_history(client.channel).chain.hex(), chain, output)

    def test_a_target_that_holds_something_else_is_refused(self):
        source, target = self.embedded("mine"), self.mysql("theirs")
        for place, prefix in ((source, "f"), (target, "g")):
            with place.service() as service, Client(service) as client:
                self.fill(client, 20, prefix)
        done = subprocess.run(migrate_command(source, target), capture_output=True, text=True, env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "not the first ones of the source|the wrong way round")

    def test_a_store_that_a_service_holds_is_refused_by_name(self):
        source, target = self.embedded("held"), self.mysql("held")
        with source.service():
            done = subprocess.run(migrate_command(source, target), capture_output=True, text=True, env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(source.file), done.stderr)
        self.assertIn("is locked by process", done.stderr)

    def refused(self, source, target):
        done = subprocess.run(migrate_command(source, target), capture_output=True, text=True, env=environment())
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        return done.stderr

    def test_what_cannot_be_meant_is_refused(self):
        """A mistyped path or name would else be made as a new store, whose nothing is moved with success."""
        memory = Place(self.folder, "memory", {"STRATA_DATABASE_EVENT_STORE": "memory"})
        mistyped, target = self.embedded("mistyped"), self.mysql("from-mistyped")
        self.assertRegex(self.refused(mistyped, target), 'no store "main" in the folder .*mistyped.*database.embedded.path')
        self.assertFalse((pathlib.Path(self.folder) / "mistyped").exists())
        self.assertIn("holds no event", self.refused(self.mysql("never-written"), self.embedded("from-nothing")))
        self.assertIn("--from and --to name the same mysql store", self.refused(target, target))
        for source, to, option in ((memory, target, "--from"), (target, memory, "--to")):
            self.assertRegex(self.refused(source, to), "%s .*ends with this command" % option)

    def test_a_shared_source_is_followed_until_it_is_closed(self):
        """Services go on appending while it moves; they stop, then the mover is told, and nothing is missing."""
        source, target = self.mysql("live"), self.embedded("live")
        with source.service() as service, Client(service) as client:
            self.fill(client, EVENTS // 3)
            moving = subprocess.Popen(migrate_command(source, target, "--follow"), env=environment(), stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
            self.fill(client, EVENTS // 3, "g")
            chain = read_history(client.channel).chain.hex()
        moving.send_signal(signal.SIGTERM)
        output, error = moving.communicate(timeout=120)
        self.assertEqual(moving.returncode, 0, error)
        self.assertEqual(output.count(chain), 2, output)

    def wait_until_moved(self, name, moving):
        """A server that is away when a move begins is refused; so it has to have begun."""
        until = time.monotonic() + 60
        position = "SELECT position FROM strata_stores WHERE name='%s' AND position>0" % name
        while not self.mariadb.sql(position, database="strata_test"):
            self.assertIsNone(moving.poll())
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)

    def test_a_follower_outlives_a_server_that_is_away(self):
        """Source and target stand on it, so that reads and writes are cut off, at whatever point they were."""
        source, target = self.mysql("followed"), self.mysql("follower")
        with source.service() as service, Client(service) as client:
            self.fill(client, EVENTS // 3)
            moving = subprocess.Popen(migrate_command(source, target, "--follow"), env=environment(), stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True)
            self.addCleanup(moving.kill)
            self.wait_until_moved("follower", moving)
            for number in range(3):
                self.fill(client, EVENTS // 9, "g%d-" % number)
                self.mariadb.kill()
                time.sleep(0.3)  # so that the mover hears of it; too short a pause can only let the test pass
                self.assertIsNone(moving.poll())
                self.mariadb.start()
                until = time.monotonic() + 60
                while service.request("GET", "/readyz")[0] != 200:
                    self.assertLess(time.monotonic(), until)
                    time.sleep(0.05)
            self.fill(client, EVENTS // 9, "h")
            chain = read_history(client.channel).chain.hex()
        moving.send_signal(signal.SIGTERM)
        output, error = moving.communicate(timeout=120)
        self.assertEqual(moving.returncode, 0, error)
        self.assertEqual(output.count(chain), 2, output)
        self.assertRegex(error, "retrying in [0-9.]+ s: .*127.0.0.1:%d" % self.mariadb.port)
        self.assertIn("went on after", error)

    def until_it_retries(self, moving):
        for line in moving.stderr:
            if "retrying" in line:
                return
        self.fail("it ended without a retry")

    def test_a_follower_gives_up_when_it_is_told_to(self):
        source = self.mysql("given-up")
        with source.service() as service, Client(service) as client:
            self.fill(client, 20)
        for how in ("by its bound", "by two signals"):
            with self.subTest(how):
                target = self.mysql("ended " + how)
                more = ("--retry-for", "1s") if how == "by its bound" else ()
                moving = subprocess.Popen(migrate_command(source, target, "--follow", *more), env=environment(),
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.addCleanup(moving.kill)
                self.addCleanup(moving.stderr.close)
                self.wait_until_moved("ended " + how, moving)
                self.mariadb.kill()
                try:
                    self.until_it_retries(moving)
                    if not more:
                        moving.send_signal(signal.SIGTERM)
                        self.until_it_retries(moving)
                        moving.send_signal(signal.SIGTERM)
                    output, error = moving.communicate(timeout=30)
                finally:
                    self.mariadb.start()
                self.assertEqual((moving.returncode, output), (1, ""), error)
                self.assertIn("127.0.0.1:%d" % self.mariadb.port, error)
                self.assertIn("run it again to go on", error)


if __name__ == "__main__":
    unittest.main()
