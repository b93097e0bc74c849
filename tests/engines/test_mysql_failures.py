"""MariaDB that refuses, is gone, is cut off, or would lose what it acknowledged; and names that collate equal."""

import os
import random
import sys
import tempfile
import time
import unittest
from pathlib import Path

from google.protobuf import timestamp_pb2

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.cutting_proxy import CuttingProxy  # noqa: E402
from support.database_faults import message_of_start, publish, wait_until  # noqa: E402
from support.engines import MariaDb, free_port, make_certificates  # noqa: E402
from support.replicas import Replicas  # noqa: E402
from support.strata_rpc import Client, event_pb2, event_service_pb2, subscription_service_pb2  # noqa: E402
from support.strata_service import Service, scaled  # noqa: E402

SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))


class Refusals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.database = cls.enterClassContext(MariaDb())
        cls.database.sql("CREATE USER u@127.0.0.1 IDENTIFIED BY 'right'; CREATE USER reader@127.0.0.1 IDENTIFIED BY 'right';"
                         "GRANT SELECT ON strata_test.* TO reader@127.0.0.1;"
                         "CREATE USER nobody@127.0.0.1 IDENTIFIED BY 'right'; GRANT ALL ON strata_test.* TO u@127.0.0.1;")

    def expect(self, parts, **other):
        message = message_of_start(self.database.settings(**other))
        for part in parts:
            self.assertIn(part, message)

    def test_a_wrong_password_is_named_with_its_key(self):
        self.expect(["refuses user \"u\"", "database.mysql.password"], username="u", password="wrong")

    def test_a_missing_database_is_named_with_how_to_make_it(self):
        self.expect(["no database \"none\"", "CREATE DATABASE `none`", "database.mysql.database"], database="none")

    def test_a_database_that_is_not_granted_is_named(self):
        self.expect(["\"nobody\"", "\"strata_test\"", "GRANT ALL"], username="nobody", password="right")

    def test_a_missing_privilege_is_named(self):
        self.expect(["\"reader\" lacks a privilege", "GRANT ALL"], username="reader", password="right")

    def test_a_missing_privilege_is_named_when_the_tables_are_there_too(self):
        with Service(config=self.database.settings(store_id="granted")):
            self.expect(["\"reader\" lacks a privilege", "GRANT ALL"], username="reader", password="right", store_id="granted")

    def test_localhost_means_the_port_that_is_named(self):
        with Service(config=self.database.settings(host="localhost", store_id="localhost")) as service:
            self.assertEqual(publish(service, "a")[0], 201)

    def test_a_password_that_changes_while_it_runs_is_no_fault_of_its_clients(self):
        self.database.sql("CREATE USER w@127.0.0.1 IDENTIFIED BY 'right'; GRANT ALL ON strata_test.* TO w@127.0.0.1")
        with Service(config=self.database.settings(username="w", password="right", store_id="changed")) as service:
            self.assertEqual(publish(service, "a")[0], 201)
            self.database.sql("ALTER USER w@127.0.0.1 IDENTIFIED BY 'other'; KILL USER w@127.0.0.1")
            for ask in (lambda: publish(service, "a"), lambda: service.request("GET", "/api/v1/events")):
                wait_until(lambda: "database.mysql.password" in ask()[2].get("detail", ""))
                status, _, problem = ask()
                self.assertEqual((status, problem["reason"]), (503, "STORE_UNREACHABLE"))
            self.database.sql("ALTER USER w@127.0.0.1 IDENTIFIED BY 'right'")
            wait_until(lambda: publish(service, "a")[0] == 201)

    def test_a_password_file_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "password"
            file.write_text("right\n")
            with Service(config=self.database.settings(username="u", password_file=str(file), store_id="by-file")) as service:
                self.assertEqual(publish(service, "a")[0], 201)
            self.expect(["password_file", "No such file"], username="u", password_file=str(file) + "-none")

    def test_a_server_without_tls_is_refused_where_tls_is_wanted(self):
        self.expect(["no encrypted connection", "database.mysql.tls"], tls="required")


class WeakSettings(unittest.TestCase):
    def expect(self, option, setting):
        with MariaDb(option) as database:
            message = message_of_start(database.settings())
            self.assertIn(setting, message)
            return database, message

    def test_a_log_that_is_not_flushed_at_commit_is_refused_unless_it_is_accepted(self):
        with MariaDb("--innodb-flush-log-at-trx-commit=2") as database:
            message = message_of_start(database.settings())
            self.assertIn("innodb_flush_log_at_trx_commit = 2", message)
            self.assertIn("database.mysql.allow_weak_durability", message)
            with Service(config=database.settings(allow_weak_durability="true")) as service:
                self.assertEqual(publish(service, "a")[0], 201)

    def test_a_binary_log_that_is_not_synced_is_refused(self):
        with MariaDb("--log-bin", "--server-id=1", "--sync-binlog=0") as database:
            self.assertIn("sync_binlog = 0", message_of_start(database.settings()))

    def test_a_binary_log_of_statements_is_refused(self):
        with MariaDb("--log-bin", "--server-id=1", "--sync-binlog=1", "--binlog-format=STATEMENT") as database:
            self.assertIn("binlog_format = STATEMENT", message_of_start(database.settings()))

    def test_a_galera_cluster_is_refused_whatever_its_size(self):
        """A real member, alone: the lock on the head's row holds on one member only."""
        with MariaDb("--wsrep-on=ON", "--wsrep-provider=/usr/lib/galera/libgalera_smm.so", "--wsrep-cluster-address=gcomm://",
                     "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--wsrep-node-address=127.0.0.1",
                     "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:%d" % free_port()) as database:
            message = message_of_start(database.settings(allow_weak_durability="true"))
            self.assertIn("127.0.0.1:%d runs with wsrep_on = ON" % database.port, message)
            self.assertIn("no member of one", message)

    def test_a_server_that_takes_no_writes_is_refused_and_left_when_it_becomes_one(self):
        with MariaDb() as database:
            database.sql("CREATE USER u@127.0.0.1; GRANT ALL ON strata_test.* TO u@127.0.0.1")
            with Service(config=database.settings(username="u")) as service:
                self.assertEqual(publish(service, "a")[0], 201)
                database.sql("SET GLOBAL read_only=ON")  # as a primary that is demoted; root may write all the same
                wait_until(lambda: "read_only = ON" in publish(service, "a")[2].get("detail", ""))
                status, _, problem = publish(service, "a")
                self.assertEqual((status, problem["reason"]), (503, "STORE_UNREACHABLE"))
                self.assertIn("database.mysql.host", message_of_start(database.settings()))
                database.sql("SET GLOBAL read_only=OFF")
                wait_until(lambda: publish(service, "a")[0] == 201)

    def test_a_packet_that_is_too_small_is_refused(self):
        with MariaDb("--max-allowed-packet=1M") as database:
            self.assertIn("max_allowed_packet = 1048576", message_of_start(database.settings()))


class Tls(unittest.TestCase):
    def test_only_a_certificate_that_is_the_hosts_is_taken(self):
        with tempfile.TemporaryDirectory() as folder:
            good, other = make_certificates(Path(folder) / "good"), make_certificates(Path(folder) / "other")
            with MariaDb("--ssl-ca=%s" % good.ca, "--ssl-cert=%s" % good.certificate, "--ssl-key=%s" % good.key) as database:
                for tls, extra in (("required", {}), ("verified", {"tls_ca_file": str(good.ca)})):
                    with Service(config=database.settings(tls=tls, store_id=tls, **extra)) as service:
                        self.assertEqual(publish(service, "a")[0], 201)
                message = message_of_start(database.settings(tls="verified", tls_ca_file=str(other.ca)))
                self.assertIn("no encrypted connection", message)


class Gone(unittest.TestCase):
    def test_a_service_waits_for_its_database_and_goes_on_by_itself(self):
        database = MariaDb()
        self.addCleanup(database.__exit__, None, None, None)
        database.prepare()
        with Service(config=database.settings()) as service:  # nothing listens yet
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
                self.assertEqual(publish(service, "a", "second")[0], 503)
            database.start()
            wait_until(lambda: publish(service, "a", "second")[0] == 201)
            events = service.request("GET", "/api/v1/events/aggregate/a")[2]["events"]
            self.assertEqual([event["id"] for event in events], ["first", "second"])


class CutOff(unittest.TestCase):
    """Commits whose connections are cut at any byte, reset, delayed: none lost, none doubled, and no restart is needed."""

    def test_no_cut_loses_or_doubles_an_event(self):
        print("STRATA_TEST_SEED=%s" % SEED, flush=True)
        appends = int(os.environ.get("STRATA_TEST_APPENDS", scaled(1500, 200)))
        with MariaDb() as database, CuttingProxy(database.port, SEED) as proxy:
            through = dict(database.settings(), STRATA_DATABASE_MYSQL_PORT=str(proxy.port))
            database.settings = lambda: through
            with Replicas(database, 2, SEED) as replicas:
                proxy.cut_share, proxy.delay_s = 0.02, 0.001
                history = replicas.run(12, appends, [], calm=lambda: setattr(proxy, "cut_share", 0.0))
            chain = database.sql("SELECT HEX(chain) FROM strata_stores", database="strata_test").strip()
            self.assertEqual(chain.lower(), history.chain.hex())
            self.assertGreater(proxy.cuts, appends / 100)
            print("%d appends, %d connections cut, %d sends repeated (%s)" % (
                appends, proxy.cuts, replicas.repeated, replicas.refusals))


    def test_an_answer_that_ends_within_the_description_of_its_columns_is_no_answer(self):
        """The library says the same there as when no more results come."""
        with MariaDb() as database, CuttingProxy(database.port) as proxy:
            with Service(config=database.settings()) as service:
                self.assertEqual(publish(service, "a")[0], 201)
            with Service(config=database.settings(port=str(proxy.port))) as service, Client(service) as client:
                proxy.cut_before = b"\x0eaggregate_type"  # of the aggregates' heads, behind the store's head
                client.events.AppendEvents(event_service_pb2.AppendEventsRequest(
                    events=[event_pb2.NewEvent(type="custom", aggregate_id="a", data=b"{}")],
                    expectations=[event_pb2.Expectation(aggregate_id="a", be_at_version=1)]))
                self.assertEqual(proxy.cuts, 1)


class Unknown(unittest.TestCase):
    def test_a_commit_that_cannot_be_asked_for_is_unknown_and_settled_by_its_ids(self):
        """The network is silent behind a COMMIT, for longer than the service asks."""
        for arrives in (True, False):
            with self.subTest(arrives=arrives), MariaDb() as database, CuttingProxy(database.port) as proxy:
                config = database.settings(port=str(proxy.port), io_timeout="1s", connect_timeout="1s", settle_timeout="2s")
                with Service(config=config) as service:
                    self.assertEqual(publish(service, "a", "before")[0], 201)
                    proxy.silent_after = b"COMMIT" if arrives else b"FOR UPDATE"
                    status, _, problem = publish(service, "a", "lost")
                    self.assertEqual((status, problem["reason"]), (500, "OUTCOME_UNKNOWN") if arrives else
                                     (503, "STORE_UNREACHABLE"))
                    self.assertEqual(publish(service, "a", "meanwhile")[2]["reason"], "STORE_UNREACHABLE")
                    proxy.speak_again()
                    wait_until(lambda: publish(service, "a", "lost")[0] in (200, 201))
                    wait_until(lambda: publish(service, "a", "meanwhile")[0] == 201)
                    events = service.request("GET", "/api/v1/events/aggregate/a")[2]["events"]
                    self.assertEqual([event["id"] for event in events], ["before", "lost", "meanwhile"])


class Packets(unittest.TestCase):
    def test_the_largest_append_fits_however_much_of_it_is_escaped(self):
        """Names, tags and data of quotes become twice as long, in packets of 16 MiB at most."""
        with MariaDb("--max-allowed-packet=16M") as database:
            config = dict(database.settings(), STRATA_VALIDATION_RULES_MAX_EVENT_DATA_SIZE="3145728")
            with Service(config=config) as service, Client(service) as client:
                for count, size in ((850, 3145000), (999, 1000)):
                    events = [event_pb2.NewEvent(
                        type="custom", aggregate_id="%d-%d" % (size, n) + "'" * 240, aggregate_type="custom", data=b"{}",
                        correlation_id="'" * 255, tags=["%02d" % tag + "'" * 250 for tag in range(16)]) for n in range(count)]
                    events.append(event_pb2.NewEvent(type="custom", aggregate_id="last", aggregate_type="custom",
                                                     data=b'{"filler":"%s"}' % (b"'" * size)))
                    reply = client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=events))
                    self.assertEqual(len(reply.heads), count + 1)


class Silence(unittest.TestCase):
    def test_calls_that_need_no_database_are_answered_while_it_is_silent(self):
        starts = (dict(from_end=True), dict(from_timestamp=timestamp_pb2.Timestamp(seconds=1)), dict(after_position=1 << 40))
        calls = {"a read": lambda client: client.events.ReadEvents(event_service_pb2.ReadEventsRequest(), timeout=60)}
        calls.update(("a subscription %s" % list(start), lambda client, start=start: client.subscriptions.Subscribe(
            subscription_service_pb2.SubscribeRequest(**start), timeout=60)) for start in starts)
        with MariaDb() as database, CuttingProxy(database.port) as proxy:
            config = database.settings(port=str(proxy.port), io_timeout="6s")
            for name, ask in calls.items():
                with self.subTest(name), Service(config=config) as service, Client(service) as reader, Client(service) as other:
                    self.assertEqual(publish(service, "a")[0], 201)
                    proxy.silent_after = b"SELECT"
                    asked = [ask(reader) for _ in range(3)]
                    time.sleep(0.5)  # so that they have come; too short a pause can only let the test pass
                    alive = other.channel.unary_unary("/grpc.health.v1.Health/Check")
                    self.assertTrue(alive(b"", timeout=3))
                    for one in asked:
                        one.cancel()
                    proxy.speak_again()

    def test_who_finds_every_connection_taken_is_told_so(self):
        with MariaDb() as database, CuttingProxy(database.port) as proxy:
            config = database.settings(port=str(proxy.port), io_timeout="20s", connect_timeout="1s", pool_size="1")
            with Service(config=config) as service, Client(service) as client:
                self.assertEqual(publish(service, "a")[0], 201)
                proxy.silent_after = b"SELECT e.position"
                first = client.events.ReadEvents(event_service_pb2.ReadEventsRequest(), timeout=60)
                wait_until(proxy.silent.is_set)
                begun = time.monotonic()
                status, _, problem = service.request("GET", "/api/v1/aggregates/a", timeout=60)
                self.assertEqual((status, problem["reason"]), (503, "STORE_UNREACHABLE"))
                self.assertIn("database.mysql.pool_size", problem["detail"])
                self.assertLess(time.monotonic() - begun, 15)
                first.cancel()
                proxy.speak_again()
                wait_until(lambda: service.request("GET", "/api/v1/aggregates/a")[0] == 200)


class RoundTrips(unittest.TestCase):
    def test_a_batch_is_two_round_trips(self):
        """Counted by a proxy, in the bytes of the protocol."""
        with MariaDb() as database, CuttingProxy(database.port) as proxy:
            config = dict(database.settings(), STRATA_DATABASE_MYSQL_PORT=str(proxy.port), STRATA_CACHING_ENABLED="true")
            with Service(config=config) as service, Client(service) as client:
                def append(number, count=1, size=10):
                    client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[event_pb2.NewEvent(
                        id="e%d/%d" % (number, n), type="custom", aggregate_id="a%d" % n, aggregate_type="custom",
                        data=b'{"filler":"%s"}' % (b"x" * size)) for n in range(count)]))
                def asked():
                    """Commands but for the questions of who waits for events."""
                    others = (b"SELECT position, timestamp_us", b"SELECT value FROM strata_state", b"INSERT INTO strata_state",
                              b"UPDATE strata_state")
                    return sum(not c.startswith(others) for c in list(proxy.commands))
                append(0)
                before = asked()
                for number in range(1, 41):
                    append(number)
                self.assertEqual(asked() - before, 80)
                before = asked()
                append(41, count=1000, size=3800)  # nearly 4 MiB, with 1,000 ids and aggregates to ask for
                self.assertEqual(asked() - before, 2)


class Names(unittest.TestCase):
    """What a database might take for one name, or for a statement, is stored as it is."""

    HOSTILE = ["a", "A", "á", "à", "a\u0301", "ß", "ss", "ı", "i", "I", "İ", "'", "\"", "\\", "\\'", "';--", "%", "_",
               "`", "0x41", "NULL", "$where".replace("$", "x$"), "a'b", "a\\", "\U0001F600", "\U0001F601", "e\u0301", "é",
               "*3\\r\\n", "{\"$gt\":\"\"}", "a\u200bb", "ab", "ﬁ", "fi", "\u03a9", "\u2126", "1", "01", "1.0", "x" * 255]

    def test_hostile_names_are_distinct_and_come_back(self):
        with MariaDb() as database, Service(config=database.settings()) as service, Client(service) as client:
            for n, name in enumerate(self.HOSTILE):
                reply = client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[event_pb2.NewEvent(
                    id=name, type="custom", aggregate_id=name, aggregate_type="custom", correlation_id=name, tags=[name],
                    data=('{"v":"%d","t":%s}' % (n, '"\\u0027; DROP TABLE strata_events; --"')).encode())]))
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
