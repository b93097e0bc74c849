"""strata tail: where it begins, which events, and that nothing is missed or shown twice whatever happens to the connection."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_cli import COLOR, Terminal, strata  # noqa: E402
from support.strata_service import BINARY, Service, environment, free_port, scaled  # noqa: E402

CUTS = scaled(int(os.environ.get("STRATA_TEST_CUTS", "20")), least=4)


class Proxy:
    """Passes bytes on to a port of loopback until it is told to cut what it has."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sockets = []
        self.held = []
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.target)
            except OSError:
                return
            with self.lock:
                self.sockets += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source, target):
        try:
            while data := source.recv(65536):
                if source not in self.held:
                    target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def go_silent(self):
        """What is connected stays so, and nothing passes any more, as when a machine is gone."""
        with self.lock:
            self.held = list(self.sockets)

    def cut(self):
        with self.lock:
            for one in self.sockets:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                one.close()
            self.sockets = []

    def close(self):
        self.listener.close()
        self.cut()


class Tailed:
    """`strata tail --follow`, whose events are read as they come."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([str(BINARY), "tail", "--follow", *arguments], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=environment())
        self.lines, self.errors = [], []
        self.more = threading.Condition()
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for reader in self.readers:
            reader.start()

    def _read(self, source, lines):
        for line in source:
            with self.more:
                lines.append(line)
                self.more.notify_all()

    def until(self, count, of=None, seconds=120):
        lines = self.lines if of is None else of
        with self.more:
            if not self.more.wait_for(lambda: len(lines) >= count, seconds):
                raise AssertionError("%d of %d lines came; %s" % (len(lines), count, self.errors[-3:]))

    @property
    def positions(self):
        return [int(json.loads(line)["position"]) for line in self.lines]

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        code = self.process.wait(timeout=60)
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return code


class Case(unittest.TestCase):
    def append(self, service, count, **more):
        status, _, reply = service.request("POST", "/api/v1/events/append", {"events": [
            {"type": "custom", "aggregate_id": "t-1", "aggregate_type": "custom", "data": {}, **more} for _ in range(count)]})
        self.assertEqual(status, 201, reply)
        return int(reply["last_position"])


class Stored(Case):
    """Without --follow: what is there, and the end."""

    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()
        cls.events = []
        chance = random.Random(14)
        kinds = [("user_created", "user", {"email": "a@example.com", "name": "a"}), ("custom", "custom", {})]
        for n in range(300):
            kind = chance.randrange(2) if n % 7 else 1
            event_type, aggregate_type, data = kinds[kind]
            prefix = chance.choice(["a-", "b-"])
            event = {"type": event_type, "aggregate_id": "%s%s-%d" % (prefix, aggregate_type, n % 5 if kind else n),
                     "aggregate_type": aggregate_type, "data": dict(data), "tags": ["t:%d" % (n % 3), "u:%d" % (n % 2)],
                     "correlation_id": "c-%d" % (n % 4)}
            if kind == 0:
                event["data"]["user_id"] = event["aggregate_id"]
            status, _, reply = cls.service.request("POST", "/api/v1/events/publish", event)
            assert status == 201, reply
            cls.events.append(reply)

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.service.remove()

    def tailed(self, *arguments, code=0):
        done = strata("tail", "-a", self.service.grpc, *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        return [int(json.loads(line)["position"]) for line in done.stdout.splitlines()]

    def expected(self, wanted):
        return [int(event["position"]) for event in self.events if wanted(event)]

    def test_it_begins_where_it_is_told(self):
        everything = list(range(1, 301))
        self.assertEqual(self.tailed(), everything[-10:])
        self.assertEqual(self.tailed("-n", "3"), everything[-3:])
        self.assertEqual(self.tailed("-n", "0"), [])
        self.assertEqual(self.tailed("-n", "5000"), everything)
        self.assertEqual(self.tailed("--from-start"), everything)
        self.assertEqual(self.tailed("--after", "290"), everything[290:])
        self.assertEqual(self.tailed("--after", "300"), [])
        self.assertEqual(self.tailed("--from-start", "--count", "4"), [1, 2, 3, 4])
        middle = self.events[149]["timestamp"]
        self.assertEqual(self.tailed("--since", middle), self.expected(lambda event: event["timestamp"] >= middle))
        self.assertEqual(self.tailed("--since", "1h"), everything)
        self.assertEqual(self.tailed("--since", "2999-01-01"), [])

    def test_a_position_that_is_not_there_yet_is_of_another_store(self):
        for follow in ((), ("--follow",)):
            for after in ("301", "99999"):
                done = strata("tail", "-a", self.service.grpc, "--after", after, *follow)
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                for word in ("--after %s " % after, "position 300", "another store", "INVALID_FIELD"):
                    self.assertIn(word, done.stderr)

    def test_every_filter_is_the_services(self):
        a_user = next(event["aggregate_id"] for event in self.events if event["type"] == "user_created")
        cases = [
            (("--type", "user_created"), lambda e: e["type"] == "user_created"),
            (("--type", "user_created", "--type", "custom"), lambda e: True),
            (("--aggregate", "a-custom-1", "-i", a_user), lambda e: e["aggregate_id"] in ("a-custom-1", a_user)),
            (("--aggregate-type", "user"), lambda e: e["aggregate_type"] == "user"),
            (("--prefix", "a-"), lambda e: e["aggregate_id"].startswith("a-")),
            (("--tag", "t:1", "--tag", "u:0"), lambda e: {"t:1", "u:0"} <= set(e["tags"])),
            (("--correlation-id", "c-3"), lambda e: e["correlation_id"] == "c-3"),
            (("--prefix", "b-", "-y", "custom", "-g", "t:2"), lambda e: e["aggregate_id"].startswith("b-") and
             e["aggregate_type"] == "custom" and "t:2" in e["tags"]),
            (("--type", "nothing_like_it"), lambda e: False),
        ]
        for arguments, wanted in cases:
            with self.subTest(arguments):
                expected = self.expected(wanted)
                self.assertEqual(self.tailed("--from-start", *arguments), expected)
                self.assertEqual(self.tailed("-n", "5", *arguments), expected[-5:])

    def test_who_reads_no_more_ends_it_in_order(self):
        for follow in ((), ("--follow",)):
            with self.subTest(follow):
                tail = subprocess.Popen([str(BINARY), "tail", "-a", self.service.grpc, "--from-start", *follow],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
                tail.stdout.readline()
                tail.stdout.close()
                self.assertEqual((tail.wait(timeout=60), tail.stderr.read()), (0, b""))
                tail.stderr.close()


class Followed(Case):
    def test_the_last_ones_then_the_live_ones_each_once(self):
        with Service() as service:
            last = self.append(service, 5)
            tail = Tailed("-a", service.grpc, "-n", "2")
            tail.until(2)
            for _ in range(3):
                last = self.append(service, 2)
            tail.until(8)
            listed = [json.loads(line) for line in strata("list", "subscriptions", "-a", service.grpc).stdout.splitlines()]
            self.assertIn(("strata tail", "STREAM"), [(one["name"], one["kind"]) for one in listed])
            self.assertEqual(tail.interrupt(), 0)
            self.assertEqual(tail.positions, list(range(4, last + 1)))
            self.assertEqual(tail.errors, [])

    def test_a_start_in_the_future_is_waited_for(self):
        with Service() as service:
            self.append(service, 1)
            at = time.time() + 4
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
            tail = Tailed("-a", service.grpc, "--since", stamp)
            early = self.append(service, 1)
            time.sleep(max(0, at - time.time()) + 0.1)
            late = self.append(service, 1)
            tail.until(1)
            self.assertEqual(tail.interrupt(), 0)
            self.assertEqual((tail.positions, early + 1), ([late], late))

    def test_broken_connections_neither_lose_nor_double_an_event(self):
        """The stream is cut at random while appends go on, some matching and some not."""
        with Service() as service:
            proxy = Proxy(service.grpc)
            self.append(service, 10)
            tail = Tailed("-a", proxy.address, "--from-start", "--aggregate", "t-1")
            wanted, stopped = [], threading.Event()

            def write():
                while not stopped.is_set():
                    last = self.append(service, 3)
                    self.append(service, 1, aggregate_id="other")
                    wanted.extend(range(last - 2, last + 1))
            writer = threading.Thread(target=write)
            writer.start()
            chance = random.Random(2)
            cuts = 0
            while cuts < CUTS or (not tail.errors and cuts < 100):  # gRPC itself mends some that come between two calls
                tail.until(len(tail.lines) + 3)
                time.sleep(chance.random() * 0.05)
                proxy.cut()
                cuts += 1
            stopped.set()
            writer.join()
            tail.until(10 + len(wanted))
            self.assertEqual(tail.interrupt(), 0)
            self.assertEqual(tail.positions, [*range(1, 11), *wanted])
            self.assertTrue(any(b"going on behind position" in line for line in tail.errors), tail.errors)
            proxy.close()

    @unittest.skipIf(scaled(100) < 100, "ten seconds of waiting")
    def test_a_connection_that_says_nothing_more_is_taken_for_dead(self):
        with Service() as service:
            proxy = Proxy(service.grpc)
            last = self.append(service, 3)
            tail = Tailed("-a", proxy.address, "--from-start")
            tail.until(last)
            proxy.go_silent()
            last = self.append(service, 3)
            tail.until(last)
            self.assertEqual(tail.interrupt(), 0)
            self.assertEqual(tail.positions, list(range(1, last + 1)))
            self.assertIn(b"has said nothing for 10 s", tail.errors[0])
            proxy.close()

    def test_a_service_that_stops_or_is_killed_and_comes_back_is_followed_on(self):
        port = free_port()
        service = Service(config={"STRATA_SERVER_GRPC_PORT": str(port)})
        try:
            service.start()
            last = self.append(service, 5)
            tail = Tailed("-a", service.grpc, "--from-start")
            tail.until(last)
            for end in (service.stop, service.kill):
                end()
                time.sleep(0.3)
                service.start()
                last = self.append(service, 5)
                tail.until(last)
            self.assertEqual(tail.interrupt(), 0)
            self.assertEqual(tail.positions, list(range(1, last + 1)))
            service.stop()
        finally:
            service.remove()

    def test_a_service_that_stays_away_ends_it_with_3_and_the_place_to_go_on(self):
        with Service() as service:
            last = self.append(service, 3)
            tail = Tailed("-a", service.grpc, "--from-start", "--reconnect", "1s")
            tail.until(last)
            service.kill()
            self.assertEqual(tail.wait(), 3)
            self.assertIn(b"--after %d" % last, tail.errors[-1])
            self.assertEqual(tail.positions, list(range(1, last + 1)))

    def test_one_that_was_never_there_is_an_error_at_once(self):
        done = strata("tail", "--follow", "-a", "127.0.0.1:1")
        self.assertEqual((done.returncode, done.stdout), (3, ""))

    def test_on_a_terminal_the_table_grows_and_ctrl_c_ends_it(self):
        with Service() as service:
            self.append(service, 1)
            terminal = Terminal([BINARY, "tail", "-f", "-a", service.grpc])
            terminal.until("t-1")
            self.append(service, 1, aggregate_id="second")
            terminal.until("second")
            terminal.type("\x03")
            self.assertEqual(terminal.end(), 0)
            lines = [line for line in COLOR.sub("", terminal.text).splitlines() if line.strip() and "^C" not in line]
            self.assertEqual([line.split()[0] for line in lines], ["POSITION", "1", "2"])
            self.assertEqual(lines[1].index("custom"), lines[2].index("custom"))  # the columns stay where they are


if __name__ == "__main__":
    unittest.main()
