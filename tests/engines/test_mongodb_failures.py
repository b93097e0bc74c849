"""A MongoDB-wire server that refuses, is gone, is cut off, or was set back; and names that a database might take for equal.

Through a proxy the driver must not look for the members of the replica set by itself: directConnection.
"""

import os
import random
import sys
import tempfile
import time
import unittest
from pathlib import Path

import grpc

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.cutting_proxy import CuttingProxy  # noqa: E402
from support.database_faults import message_of_start, publish, wait_until  # noqa: E402
from support.engines import MariaDb, MongoWire, make_certificates  # noqa: E402
from support.replicas import Replicas, Subscriber  # noqa: E402
from support.strata_rpc import Client, event_pb2, event_service_pb2, subscription_service_pb2  # noqa: E402
from support.strata_service import Service, scaled  # noqa: E402

SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))


class Refusals(unittest.TestCase):
    def expect(self, parts, config):
        message = message_of_start(config)
        for part in parts:
            self.assertIn(part, message)
        self.assertNotIn("right", message)  # the password

    def test_what_is_wrong_with_a_user_is_named_with_the_key(self):
        database = MongoWire()
        self.addCleanup(database.__exit__, None, None, None)
        database.prepare()
        database.start()
        with database.client() as client:
            client.strata_test.command("createUser", "u", pwd="right", roles=["readWrite"])
            client.strata_test.command("createUser", "reader", pwd="right", roles=["read"])
        database.stop()
        database.options = ("--auth",)
        database.start()
        uri = "mongodb://%%s127.0.0.1:%d/strata_test?replicaSet=secantus" % database.port
        self.expect(["refuses user \"u\"", "database.mongodb.uri"], database.settings(uri=uri % "u:wrong@"))
        self.expect(["refuses user \"nobody\"", "database.mongodb.uri"], database.settings(uri=uri % "nobody:right@"))
        self.expect(["\"reader\" lacks a role", "\"strata_test\"", "readWrite"], database.settings(uri=uri % "reader:right@"))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "uri"
            file.write_text(uri % "u:right@" + "\n")
            with Service(config=database.settings(uri_file=str(file), store_id="by-file")) as service:
                self.assertEqual(publish(service, "a")[0], 201)
                self.assertNotIn("right", service.log())
            self.expect(["uri_file", "No such file"], database.settings(uri_file=str(file) + "-none"))

    def test_a_standalone_server_is_refused(self):
        with MongoWire("--standalone") as database:
            self.expect(["standalone", "replica set", "database.mongodb.uri"],
                        database.settings(uri="mongodb://127.0.0.1:%d/" % database.port))

    def test_a_name_that_cannot_be_one_is_refused(self):
        nowhere = MongoWire()
        self.addCleanup(nowhere.__exit__, None, None, None)
        self.expect(["database.mongodb.uri is not one"], nowhere.settings(uri="http://127.0.0.1:1/"))
        self.expect(["database.mongodb.database is \"a.b\""], nowhere.settings(database="a.b"))
        self.expect(["database.mongodb.store_id is \"a$b\""], nowhere.settings(store_id="a$b"))


class Tls(unittest.TestCase):
    def test_a_server_is_trusted_by_its_certificate_and_name_or_refused_with_what_to_mend(self):
        with tempfile.TemporaryDirectory() as folder:
            good, other = make_certificates(Path(folder) / "good"), make_certificates(Path(folder) / "other")
            elsewhere = make_certificates(Path(folder) / "elsewhere", "DNS:db.example")

            def config(database, ca):
                uri = database.settings()["STRATA_DATABASE_MONGODB_URI"]
                return database.settings(uri="%s&tls=true&tlsCAFile=%s" % (uri, ca), connect_timeout="1s")
            with MongoWire(tls=good) as database:
                with Service(config=config(database, good.ca)) as service:
                    self.assertEqual(publish(service, "a")[0], 201)
                self._expect_refusal(database, config(database, other.ca))
                for file, why in ((Path(folder) / "none", "No such file"), (folder, "Is a directory")):
                    for option, uri in (("tlsCAFile", file), ("tlsCertificateKeyFile", "%s&tlsCertificateKeyFile=%s" % (good.ca, file))):
                        message = message_of_start(config(database, uri))
                        for part in (option + " in database.mongodb.uri", '"%s"' % file, why):
                            self.assertIn(part, message)
            with MongoWire(tls=elsewhere) as database:
                self._expect_refusal(database, config(database, elsewhere.ca))
            with MongoWire() as database:  # without TLS: it may get it, so it is waited for
                with Service(config=config(database, good.ca)) as service:
                    wait_until(lambda: "runs with TLS" in str(service.request("GET", "/health")[2]))

    def _expect_refusal(self, database, config):
        message = message_of_start(config)
        for part in ("127.0.0.1:%d" % database.port, "TLS", "tlsCAFile", "database.mongodb.uri"):
            self.assertIn(part, message)


class Killed(unittest.TestCase):
    def test_a_killed_process_leaves_nothing_in_shared_memory(self):
        with Service() as service:
            self.assertIn("serving", service.log())
            kept = Path("/dev/shm/mongoc-%d" % service.process.pid)
            service.kill()
            self.assertFalse(kept.exists())


class Pair(unittest.TestCase):
    def test_with_both_sections_events_are_in_mysql_and_snapshots_in_mongodb(self):
        with MariaDb() as mysql, MongoWire() as mongodb, Service(config={**mysql.settings(), **mongodb.settings()}) as service:
            self.assertEqual(publish(service, "a")[0], 201)
            self.assertEqual(service.request("POST", "/api/v1/snapshots", {"aggregate_id": "a"})[0], 201)
            self.assertEqual(mysql.sql("SELECT COUNT(*) FROM strata_events", database="strata_test").strip(), "1")
            self.assertEqual(mysql.sql("SELECT COUNT(*) FROM strata_snapshots", database="strata_test").strip(), "0")
            with mongodb.client() as client:
                self.assertEqual(client.strata_test["main.snapshots"].count_documents({}), 1)
                self.assertEqual(client.strata_test["main.appends"].count_documents({}), 0)


class Gone(unittest.TestCase):
    def test_a_service_waits_for_its_database_and_goes_on_by_itself(self):
        database = MongoWire()
        self.addCleanup(database.__exit__, None, None, None)
        database.prepare()
        with Service(config=database.settings(connect_timeout="1s")) as service:  # nothing listens yet
            self.assertEqual(service.request("GET", "/livez")[0], 200)
            self.assertEqual(service.request("GET", "/readyz")[0], 503)
            status, _, problem = publish(service, "a", "first")
            self.assertEqual((status, problem["reason"]), (503, "STORE_UNREACHABLE"))
            self.assertIn("127.0.0.1:%d" % database.port, problem["detail"])
            self.assertIn("cannot be reached", str(service.request("GET", "/health")[2]))
            for _ in range(2):
                database.start()
                wait_until(lambda: service.request("GET", "/readyz")[0] == 200)
                self.assertIn(publish(service, "a", "first")[0], (200, 201))
                self.assertEqual(service.request("GET", "/api/v1/aggregates/a")[0], 200)
                database.stop()
                wait_until(lambda: publish(service, "a", "second")[0] in (500, 503))
            database.start()
            wait_until(lambda: publish(service, "a", "second")[0] in (200, 201))
            events = service.request("GET", "/api/v1/events/aggregate/a")[2]["events"]
            self.assertEqual([event["id"] for event in events], ["first", "second"])


class OutOfItsSet(unittest.TestCase):
    """A server that says it is no member of the replica set: one that was restarted alone for maintenance, or is just
    stopping. The driver forgets it, and when it has forgotten all, looks for none."""

    def test_a_server_that_was_alone_meanwhile_is_found_again(self):
        with MongoWire() as database, Service(config=database.settings(connect_timeout="1s")) as service:
            subscriber = Subscriber(service)
            subscriber.start()
            self.assertEqual(publish(service, "a", "first")[0], 201)
            for number in range(2):
                database.stop()
                database.options = ("--standalone",)
                database.start()
                wait_until(lambda: "says that it is of the replica set" in str(service.request("GET", "/health")[2]))
                status, _, problem = publish(service, "a", "refused")
                self.assertEqual((status, problem["reason"]), (503, "STORE_UNREACHABLE"))
                self.assertIn("\"secantus\"", problem["detail"])
                database.stop()
                database.options = ()
                database.start()
                wait_until(lambda: service.request("GET", "/readyz")[0] == 200)
                self.assertEqual(publish(service, "a", "back-%d" % number)[0], 201)
            subscriber.expect_all(3)
            self.assertEqual(subscriber.seen, ["first", "back-0", "back-1"])


class Silent(unittest.TestCase):
    """A server that is suddenly cut off: no connection ends, and no answer comes."""

    TIMEOUT_S = 2  # of a connection, and of an answer

    def test_a_bus_that_saves_its_checkpoint_meanwhile_waits_for_it_once(self):
        with MongoWire() as database, CuttingProxy(database.port) as proxy:
            config = database.settings(uri="mongodb://127.0.0.1:%d/?directConnection=true" % proxy.port,
                              connect_timeout="%ds" % self.TIMEOUT_S, io_timeout="%ds" % self.TIMEOUT_S)
            with Service(config=config) as service, Client(service) as client:
                stream = client.subscriptions.Subscribe(
                    subscription_service_pb2.SubscribeRequest(from_start=True), timeout=9 * self.TIMEOUT_S)
                proxy.silent_after = b"insert\x00\x0b\x00\x00\x00main.state"  # by which the checkpoint is kept first
                self.assertEqual(publish(service, "a")[0], 201)
                heard, longest = time.monotonic(), 0.0
                try:
                    for _ in stream:  # the event, then checkpoints, a second apart, but for that
                        longest = max(longest, time.monotonic() - heard)
                        heard = time.monotonic()
                        if longest > 1.5 * self.TIMEOUT_S:
                            break
                except grpc.RpcError:  # ended for want of the database
                    longest = max(longest, time.monotonic() - heard)
                stream.cancel()
                self.assertTrue(proxy.silent.is_set())
                # The answer, a second try of the driver's, and the look for another server; never five times all that.
                self.assertLess(longest, 4.5 * self.TIMEOUT_S)
                proxy.speak_again()


    def test_who_finds_every_connection_taken_is_told_so(self):
        with MongoWire() as database, CuttingProxy(database.port) as proxy:
            config = database.settings(uri="mongodb://127.0.0.1:%d/?directConnection=true" % proxy.port,
                                       io_timeout="20s", connect_timeout="1s", pool_size="1")
            with Service(config=config) as service, Client(service) as client:
                self.assertEqual(publish(service, "a")[0], 201)
                proxy.silent_after = b"find\x00\x0d\x00\x00\x00main.appends"
                first = client.events.ReadEvents(event_service_pb2.ReadEventsRequest(), timeout=60)
                wait_until(proxy.silent.is_set)
                begun = time.monotonic()
                status, _, problem = service.request("GET", "/api/v1/aggregates/a", timeout=60)
                self.assertEqual((status, problem["reason"]), (503, "STORE_UNREACHABLE"))
                self.assertIn("database.mongodb.pool_size", problem["detail"])
                self.assertLess(time.monotonic() - begun, 15)
                first.cancel()
                proxy.speak_again()
                wait_until(lambda: service.request("GET", "/api/v1/aggregates/a")[0] == 200)


class SetBack(unittest.TestCase):
    def test_nothing_is_written_or_read_over_a_gap(self):
        with MongoWire() as database, Service(config=database.settings()) as service:
            for number in range(4):
                self.assertEqual(publish(service, "a%d" % number)[0], 201)
            with database.client() as client:
                appends = client.strata_test["main.appends"]
                kept = appends.find_one_and_delete({"_id": 4})
                status, _, problem = publish(service, "b")
                self.assertEqual((status, problem["reason"]), (500, "POSITION_MISSING"))
                self.assertIn("position 4", problem["detail"])
                appends.insert_one(kept)
                self.assertEqual(publish(service, "b")[0], 201)
                appends.delete_one({"_id": 2})
            answer = service.request("GET", "/api/v1/events?after_position=0")
            self.assertIn("POSITION_MISSING", str(answer))
            self.assertIn("position 2", str(answer))


class CutOff(unittest.TestCase):
    """Commits whose connections are cut at any byte, reset, delayed: none lost, none doubled, and no restart is needed."""

    def test_no_cut_loses_or_doubles_an_event(self):
        print("STRATA_TEST_SEED=%s" % SEED, flush=True)
        appends = int(os.environ.get("STRATA_TEST_APPENDS", scaled(120, 60)))
        with MongoWire() as database, CuttingProxy(database.port, SEED) as proxy:
            # Without the driver's own second try, so that lost answers come to the store.
            uri = "mongodb://127.0.0.1:%d/?directConnection=true&retryWrites=false&retryReads=false" % proxy.port
            through = database.settings(uri=uri)
            database.settings = lambda: through
            with Replicas(database, 2, SEED) as replicas:
                proxy.cut_share, proxy.delay_s = 0.03, 0.001
                history = replicas.run(6, appends, [], calm=lambda: setattr(proxy, "cut_share", 0.0))
                settled = sum(service.log_path.read_text().count("a commit whose answer was lost is settled")
                              for service in replicas.services)
            self.assertEqual(database.newest()["chain"], history.chain)
            self.assertGreater(proxy.cuts, appends / 100)
            print("%d appends, %d connections cut, %d commits settled, %d sends repeated (%s)" % (
                appends, proxy.cuts, settled, replicas.repeated, replicas.refusals))


class RoundTrips(unittest.TestCase):
    DELAY_S = 0.15  # each way; far more than the server takes

    def test_a_batch_is_two_round_trips(self):
        """All that a batch asks is asked at the same time, then it is written: by a line so slow that they can be told."""
        with MongoWire() as database, CuttingProxy(database.port) as proxy:
            config = database.settings(uri="mongodb://127.0.0.1:%d/?directConnection=true" % proxy.port)
            with Service(config=config) as service, Client(service) as client:
                def append(number):
                    begin = time.monotonic()
                    client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[event_pb2.NewEvent(
                        id="e%d/%d" % (number, n), type="custom", aggregate_id="a%d/%d" % (number, n),
                        aggregate_type="custom", data=b"{}") for n in range(3)]))
                    return (time.monotonic() - begin) / (2 * self.DELAY_S)
                for number in range(3):
                    append(number)
                proxy.delay_s = self.DELAY_S
                trips = min(append(number) for number in range(3, 9))
                proxy.delay_s = 0.0
                self.assertGreaterEqual(trips, 1.9)
                self.assertLess(trips, 2.9)


class Names(unittest.TestCase):
    """What a database might take for one name, or for an operator, is stored as it is."""

    HOSTILE = ["a", "A", "á", "à", "a\u0301", "ß", "ss", "ı", "i", "I", "İ", "'", "\"", "\\", "%", "_", "`", "NULL", "x$where",
               "a.b", "a.$b", ".a", "a.", "a$", "{\"$gt\":\"\"}", "{$ne:1}", "__proto__", "\U0001F600", "\U0001F601", "e\u0301",
               "é", "*3\\r\\n", "a\u200bb", "ab", "ﬁ", "fi", "\u03a9", "\u2126", "1", "01", "1.0", "true", "x" * 255, "ä" * 127]

    def test_hostile_names_are_distinct_and_come_back(self):
        with MongoWire() as database, Service(config=database.settings()) as service, Client(service) as client:
            for n, name in enumerate(self.HOSTILE):
                reply = client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[event_pb2.NewEvent(
                    id=name, type="custom", aggregate_id=name, aggregate_type="custom", correlation_id=name, tags=[name],
                    data=('{"v":"%d","$where":"sleep(1)","a.b":{"$ne":null}}' % n).encode())]))
                self.assertFalse(reply.replayed, name)
                self.assertEqual(reply.heads[0].version, 1, name)
            for n, name in enumerate(self.HOSTILE):
                for query in ({"aggregate_id": name}, {"correlation_id": name}, {"tags": [name]}):
                    events = client.events.ListEvents(event_service_pb2.ListEventsRequest(**query)).events
                    self.assertEqual([event.id for event in events], [name], query)
                    self.assertIn(b'"v":"%d"' % n, events[0].data)
                self.assertEqual(client.events.GetEvent(event_service_pb2.GetEventRequest(event_id=name)).position, n + 1)


if __name__ == "__main__":
    unittest.main()
