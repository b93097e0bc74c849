"""Redis as cache, snapshot store and messenger between replicas: never stale, never in the way, and named when it fails."""

import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.cutting_proxy import CuttingProxy  # noqa: E402
from support.engines import MariaDb, Redis, make_certificates  # noqa: E402
from support.strata_aio import AioClient  # noqa: E402
from support.strata_rpc import (Client, aggregate_service_pb2, event_pb2, event_service_pb2,  # noqa: E402
                                subscription_service_pb2)
from support.strata_service import Service, scaled  # noqa: E402

SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))
PAIRS = int(os.environ.get("STRATA_TEST_PAIRS", scaled(2000, 300)))  # all: 100,000
CACHED = {"STRATA_CACHE_TYPE": "redis"}
BACK_WITHIN_SECONDS = 30


def wait_until(what, seconds=BACK_WITHIN_SECONDS):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited %d s" % seconds
        time.sleep(0.05)


def component(service, name):
    """(state, reason) of a part of /health, which must not be worse than degraded."""
    status, _, health = service.request("GET", "/health")
    assert status == 200 and health["state"] in ("HEALTHY", "DEGRADED"), health
    return next((part["state"], part["reason"]) for part in health["components"] if part["name"] == name)


def cache_of(service):
    return service.request("GET", "/api/v1/stats")[2]["cache"]


def publish(service, aggregate, number):
    status, _, reply = service.request("POST", "/api/v1/events/publish", {
        "aggregate_id": aggregate, "aggregate_type": "custom", "type": "custom", "data": {"n": number}})
    assert status == 201, reply


def event(aggregate, data):
    return event_service_pb2.AppendEventsRequest(events=[event_pb2.NewEvent(
        type="custom", aggregate_type="custom", aggregate_id=aggregate, data=data)])


class Pairs:
    """Writers who read at once, each time on another replica, what they have been acknowledged."""

    def __init__(self, services, seed):
        self.services, self.random = services, random.Random(seed)
        self.done = 0
        self.slow = 0
        self.stopping = False

    async def _writer(self, number, pairs):
        clients = [AioClient(service) for service in self.services]
        for count in range(1, pairs + 1):
            if self.stopping:
                break
            mine = self.random.random() < 0.5
            aggregate = "own-%d" % number if mine else "shared-%d" % self.random.randrange(4)
            first, second = self.random.sample(clients, 2)
            data = b'{"w%d":%d}' % (number, count)
            written = await first.events.AppendEvents(event(aggregate, data), timeout=60)
            # Some wait for the position as a careful client does; most just ask.
            position = written.last_position if self.random.random() < 0.2 else 0
            begin = time.monotonic()
            read = await second.aggregates.GetAggregate(
                aggregate_service_pb2.GetAggregateRequest(id=aggregate, min_position=position), timeout=60)
            self.slow += time.monotonic() - begin > 0.15
            assert read.version >= written.heads[0].version, (read, written)
            assert b'"w%d":%d' % (number, count) in read.state, (read, count)
            assert not mine or read.version == written.heads[0].version, (read, written)
            self.done += 1
        for client in clients:
            await client.close()

    def run(self, writers, pairs):
        async def all_of_them():
            await asyncio.gather(*(self._writer(number, pairs // writers) for number in range(writers)))
        asyncio.run(all_of_them())


def setUpModule():
    global database
    database = MariaDb()
    unittest.addModuleCleanup(database.__exit__, None, None, None)
    database.__enter__()


def on_database(store, *others):
    """A store of its own on the one database of this run."""
    settings = {**database.settings(), "STRATA_DATABASE_MYSQL_STORE_ID": store}
    for other in others:
        settings.update(other)
    return settings


class NeverStale(unittest.TestCase):
    def test_a_read_after_a_write_on_another_replica_shows_it(self):
        print("STRATA_TEST_SEED=%s STRATA_TEST_PAIRS=%d" % (SEED, PAIRS), flush=True)
        with Redis() as redis:
            config = on_database("stale", redis.settings(), CACHED)
            with Service(config=config) as one, Service(config=config) as two:
                pairs = Pairs([one, two], SEED)
                begin = time.monotonic()
                pairs.run(10, PAIRS)
                took = time.monotonic() - begin
                self.assertEqual(pairs.done, PAIRS // 10 * 10)
                hits = [int(cache_of(service)["hits"]) for service in (one, two)]
                self.assertGreater(min(hits), 0)
                self.assertEqual(cache_of(one)["kind"], "redis")
                print("%d pairs in %.1f s, cache hits %s" % (pairs.done, took, hits))


class InTheWay(unittest.TestCase):
    """A Redis in trouble, amid writes and reads of which none may fail or be stale."""

    def _stop_for_a_while(self, redis):
        redis.process.send_signal(signal.SIGSTOP)
        self._expect_degraded("does not answer within 200 ms")
        redis.process.send_signal(signal.SIGCONT)

    def _kill(self, redis):
        redis.kill()
        self._expect_degraded("cannot be reached")
        redis.start()

    def _fill(self, redis):
        redis.cli("config", "set", "maxmemory", "1")
        self._expect_degraded("it is full")
        redis.cli("config", "set", "maxmemory", "0")

    def _make_a_replica(self, redis):
        redis.cli("replicaof", "127.0.0.1", "1")
        self._expect_degraded("must name the primary")
        redis.cli("replicaof", "no", "one")

    def _expect_degraded(self, reason):
        for service in self.services:
            wait_until(lambda: reason in component(service, "cache")[1])
            self.assertEqual(component(service, "cache")[0], "DEGRADED")
        time.sleep(0.3)  # so that reads go on without it for a while

    def test_a_redis_in_trouble_costs_only_speed(self):
        with Redis() as redis:
            config = on_database("trouble", redis.settings(), CACHED)
            with Service(config=config) as one, Service(config=config) as two:
                self.services = [one, two]
                pairs = Pairs(self.services, SEED)
                failures = []

                def load():
                    try:
                        pairs.run(4, 1 << 30)
                    except BaseException as failure:
                        failures.append(failure)
                thread = threading.Thread(target=load)
                thread.start()
                try:
                    for trouble in (self._stop_for_a_while, self._kill, self._fill, self._make_a_replica):
                        before = pairs.done
                        trouble(redis)
                        for service in self.services:
                            wait_until(lambda: component(service, "cache")[0] == "HEALTHY")
                        hits = int(cache_of(one)["hits"])
                        wait_until(lambda: int(cache_of(one)["hits"]) > hits + 10)
                        self.assertGreater(pairs.done, before)
                finally:
                    pairs.stopping = True
                    thread.join()
                self.assertEqual(failures, [])
                print("%d pairs, %d reads over 150 ms" % (pairs.done, pairs.slow))
                warnings = sum('"Redis fails' in line for line in one.log().splitlines())
                self.assertLess(warnings, 20, "one line a trouble and purpose, not one a read")


    def test_connections_that_are_cut_anywhere_cost_only_speed(self):
        with Redis() as redis, CuttingProxy(redis.port, SEED) as proxy:
            config = on_database("cut", redis.settings(port=str(proxy.port)), CACHED)
            with Service(config=config) as one, Service(config=config) as two:
                pairs = Pairs([one, two], SEED)
                pairs.run(4, 40)
                proxy.cut_share = 0.1
                pairs.run(4, PAIRS // 4)
                proxy.cut_share = 0.0
                for service in (one, two):
                    wait_until(lambda: component(service, "cache")[0] == "HEALTHY")
                print("%d pairs, %d connections to Redis cut" % (pairs.done, proxy.cuts))
                self.assertGreater(proxy.cuts, 5)


class Named(unittest.TestCase):
    """What is configured wrongly is named in the log and in /health; the service serves without its cache."""

    def expect(self, parts, config):
        with Service(config={**config, **CACHED}) as service:
            publish(service, "a", 1)
            self.assertEqual(service.request("GET", "/api/v1/aggregates/a")[2]["state"], {"n": 1})
            wait_until(lambda: component(service, "cache")[0] == "DEGRADED")
            for part in parts:
                self.assertIn(part, component(service, "cache")[1])
                self.assertIn(part, service.log().replace('\\"', '"'))
            self.assertNotIn("wrong-secret", service.log())

    def test_passwords_and_rights(self):
        with Redis("user strata on >right ~strata:* &strata:* +@all -@dangerous +info",
                   "user reader on >right ~strata:* +@read +@connection", "user elsewhere on >right ~other:* +@all",
                   password="admin") as redis:
            self.expect(["refuses user \"default\"", "database.redis.password"], redis.settings(password="wrong-secret"))
            self.expect(["NOAUTH", "give database.redis.password"], redis.settings(password=""))
            self.expect(["refuses user \"nobody\"", "database.redis.username"],
                        redis.settings(username="nobody", password="wrong-secret"))
            self.expect(["refuses user \"reader\"", "eval", "ACL SETUSER"], redis.settings(username="reader", password="right"))
            self.expect(["refuses user \"elsewhere\"", "ACL SETUSER"], redis.settings(username="elsewhere", password="right"))
            self.expect(["database.redis.db"], redis.settings(db="99"))
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "password"
                file.write_text("right\n")
                file.chmod(0o600)
                with Service(config={**redis.settings(username="strata", password="", password_file=str(file)),
                                     **CACHED}) as service:
                    publish(service, "a", 1)
                    self.assertEqual(service.request("GET", "/api/v1/aggregates/a")[0], 200)
                    self.assertEqual(component(service, "cache"), ("HEALTHY", ""))
                    self.assertEqual(int(cache_of(service)["entries"]), 1)
                    self.assertNotIn('"warn"', service.log())

    def test_certificates(self):
        with tempfile.TemporaryDirectory() as folder:
            good, other = make_certificates(Path(folder) / "good"), make_certificates(Path(folder) / "other")
            with Redis(tls=good) as redis:
                for keys in ({"tls": "required"}, {"tls": "verified", "tls_ca_file": str(good.ca)},
                             {"tls": "verified", "tls_ca_file": str(good.ca), "host": "localhost"}):
                    with Service(config={**redis.settings(**keys), **CACHED}) as service:
                        publish(service, "a", 1)
                        for _ in range(3):
                            self.assertEqual(service.request("GET", "/api/v1/aggregates/a")[0], 200)
                        self.assertEqual(component(service, "cache"), ("HEALTHY", ""))
                        self.assertGreater(int(cache_of(service)["hits"]), 0)
                self.expect(["no encrypted connection", "self-signed", "database.redis.tls"],
                            redis.settings(tls="verified", tls_ca_file=str(other.ca)))
                self.expect(["127.0.0.1:%d" % redis.port], redis.settings())
        with Redis() as plain:
            self.expect(["no encrypted connection", "serves TLS"], plain.settings(tls="required"))

    def test_certificates_of_clients(self):
        """Over TLS 1.3 a server says that it wants one when the handshake is over for the client, over 1.2 within it."""
        with tempfile.TemporaryDirectory() as folder:
            good, other = make_certificates(Path(folder) / "good"), make_certificates(Path(folder) / "other")
            for version in ("TLSv1.3", "TLSv1.2"):
                with self.subTest(version), Redis("tls-protocols %s" % version, tls=good, clients_named=True) as redis:
                    def keys(of, **more):
                        return redis.settings(tls="verified", tls_ca_file=str(good.ca), **({
                            "tls_cert_file": str(of.certificate), "tls_key_file": str(of.key)} if of else {}), **more)
                    with Service(config={**keys(good), **CACHED}) as service:
                        publish(service, "a", 1)
                        for _ in range(3):
                            self.assertEqual(service.request("GET", "/api/v1/aggregates/a")[0], 200)
                        self.assertEqual(component(service, "cache"), ("HEALTHY", ""))
                        self.assertGreater(int(cache_of(service)["hits"]), 0)
                    self.expect(["no encrypted connection", "database.redis.tls_cert_file and tls_key_file"], keys(None))
                    self.expect(["no encrypted connection", "database.redis.tls_cert_file and tls_key_file"], keys(other))
            for certificate, key, named in ((str(good.ca) + "-none", good.key, "tls_cert_file"),
                                            (good.certificate, other.key, "tls_key_file")):
                config = Redis(tls=good).settings(tls="verified", tls_ca_file=str(good.ca), tls_cert_file=str(certificate),
                                                  tls_key_file=str(key))
                with self.assertRaisesRegex(RuntimeError, "database.redis." + named):
                    Service(config={**config, **CACHED}).start()


class Snapshots(unittest.TestCase):
    def test_snapshots_stand_in_redis_and_a_redis_that_is_down_takes_nothing_else_with_it(self):
        for events in ({}, on_database("snapshots")):
            with self.subTest(events=events), Redis() as redis, Service(config={
                    **events, **redis.settings(), "STRATA_DATABASE_SNAPSHOT_STORE": "redis",
                    "STRATA_SNAPSHOT_EVENTS": "2", "STRATA_CACHING_ENABLED": "false"}) as service:
                self._story(redis, service)

    def _story(self, redis, service):
        path = "/api/v1/snapshots"
        for name in ("a*", "x$5", "*3\\r\\n"):
            for number in range(5):
                publish(service, name, number)
            status, _, made = service.request("POST", path, {"aggregate_id": name, "version": 5})
            self.assertEqual((status, made["state"]), (201, "VERIFIED"), made)
        self.assertEqual(service.request("GET", "/api/v1/info")[2]["snapshot_store"], "redis")
        redis.kill()
        status, _, problem = service.request("POST", path, {"aggregate_id": "a*", "version": 4})
        self.assertEqual((status, problem["reason"]), (503, "STORE_UNREACHABLE"), problem)
        publish(service, "a*", 6)
        for _ in range(20):
            self.assertEqual(service.request("GET", "/api/v1/aggregates/a*")[2]["state"], {"n": 6})
        self.assertEqual(component(service, "snapshot_store")[0], "DEGRADED")
        self.assertEqual(service.log().count("folding from the events"), 1, "told once, not for each read")
        redis.start()
        wait_until(lambda: component(service, "snapshot_store")[0] == "HEALTHY")
        listed = service.request("GET", path + "?aggregate_id=a*")[2]
        self.assertIn(5, [snapshot["version"] for snapshot in listed["snapshots"]])


class Hints(unittest.TestCase):
    EVENTS = int(os.environ.get("STRATA_TEST_HINTS", scaled(50, 20)))

    def _latencies(self, config):
        """From the answer to an append on one replica to its event at a subscriber of another, in ms."""
        with Service(config=config) as one, Service(config=config) as two, Client(one) as writer, Client(two) as reader:
            arrived = {}
            stream = reader.subscriptions.Subscribe(subscription_service_pb2.SubscribeRequest(after_position=0), timeout=300)

            def follow():
                for message in stream:
                    for one_event in message.batch.events:
                        arrived[one_event.position] = time.monotonic()
                    if len(arrived) == self.EVENTS + 1:
                        return
            thread = threading.Thread(target=follow)
            writer.events.AppendEvents(event("a", b"{}"))
            thread.start()
            wait_until(lambda: arrived)
            answered = []
            for _ in range(self.EVENTS):
                answered.append((writer.events.AppendEvents(event("a", b"{}")).last_position, time.monotonic()))
                time.sleep(0.02 * random.random())
            thread.join(60)
            return sorted(1000 * (arrived[position] - at) for position, at in answered)

    def test_commits_are_told_to_other_replicas(self):
        with Redis() as redis:
            told = self._latencies(on_database("told", redis.settings()))
            published = redis.cli("info", "commandstats")
            self.assertIn("cmdstat_publish", published)
            self.assertIn("cmdstat_subscribe:calls=2", published)
            polled = self._latencies(on_database("polled", redis.settings(hints="false")))
            for name, latencies in (("hints", told), ("polling", polled)):
                print("%s: %d events, p50 %.1f ms, p99 %.1f ms, most %.1f ms" % (
                    name, len(latencies), statistics.median(latencies), latencies[len(latencies) * 99 // 100], latencies[-1]))

    def test_hints_that_do_not_come_or_go_are_named_in_health(self):
        """No part of the service is worse off than by a poll's time, so it is degraded at most."""
        rights = (("deaf", "subscribe"), ("mute", "publish"))
        users = ["user %s on >right ~strata:* &strata:* +@all -%s" % pair for pair in rights]
        with Redis(*users) as redis:
            for user, word in rights:
                config = on_database(user, redis.settings(username=user, password="right"))
                with self.subTest(user), Service(config=config) as one:
                    publish(one, "a", 1)
                    wait_until(lambda: component(one, "hints")[0] == "DEGRADED")
                    self.assertIn("refuses user \"%s\"" % user, component(one, "hints")[1])
                    self.assertIn(word, component(one, "hints")[1])
                    redis.cli("acl", "setuser", user, "+" + word)
                    wait_until(lambda: component(one, "hints") == ("HEALTHY", ""))  # and nobody appends meanwhile
            with Service(config=on_database("gone", redis.settings())) as one:
                wait_until(lambda: component(one, "hints") == ("HEALTHY", ""))
                redis.kill()
                wait_until(lambda: component(one, "hints")[0] == "DEGRADED")
                self.assertIn("127.0.0.1:%d" % redis.port, component(one, "hints")[1])
                self.assertEqual(one.request("GET", "/readyz")[0], 200)
                redis.start()
                wait_until(lambda: component(one, "hints") == ("HEALTHY", ""))
        with Service() as alone:
            self.assertNotIn("hints", [part["name"] for part in alone.request("GET", "/health")[2]["components"]])

    def test_lost_hints_cost_a_poll_and_no_event(self):
        with Redis() as redis:
            config = on_database("lost", redis.settings())
            with Service(config=config) as one, Service(config=config) as two, Client(two) as reader:
                stream = reader.subscriptions.Subscribe(
                    subscription_service_pb2.SubscribeRequest(after_position=0), timeout=60)
                positions = (one_event.position for message in stream for one_event in message.batch.events)
                for number, trouble in enumerate((lambda: None, redis.kill, redis.start, lambda: redis.cli(
                        "publish", "strata:lost:head", "9223372036854775807"), lambda: redis.cli(
                            "publish", "strata:lost:head", "no number"))):
                    trouble()
                    publish(one, "a", number)
                    self.assertEqual(next(positions), number + 1)
                stream.cancel()


if __name__ == "__main__":
    unittest.main()
