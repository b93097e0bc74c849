"""The commands of the executable, run as a person would."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_cli import SANITIZER_ERRNO, strata  # noqa: E402
from support.strata_service import BINARY, ROOT, Service, environment  # noqa: E402


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()

    @classmethod
    def tearDownClass(cls):
        cls.service.stop()
        cls.service.remove()

    def run_good(self, command, *arguments, given=None):
        done = strata(command, "-a", self.service.grpc, *arguments, given=given)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_append_get_and_tail(self):
        [reply] = self.run_good("append", "-t", "custom", "-i", "ledger-1", "-y", "custom", "-m", '{"by":"me"}',
                                '{"amount":"10.10"}')
        event = reply.get("event", reply)
        self.assertEqual((event["version"], event["data"], event["metadata"]), (1, {"amount": "10.10"}, {"by": "me"}))
        [second] = self.run_good("append", "-t", "custom", "-i", "ledger-1", "-e", "1", "--idempotency-key", "k-1", "-",
                                 given='{"amount": 1.50}')
        self.assertEqual(second.get("event", second)["version"], 2)
        [again] = self.run_good("append", "-t", "custom", "-i", "ledger-1", "-e", "1", "--idempotency-key", "k-1",
                                given='{"amount":1.50}')
        self.assertEqual(again.get("event", again)["id"], second.get("event", second)["id"])
        [now] = self.run_good("get", "ledger-1")
        self.assertEqual((now["version"], now["state"]), (2, {"amount": 1.5}))
        [then] = self.run_good("get", "ledger-1", "--as-of-version", "1", "--events")
        self.assertEqual((then["state"], len(then["events"])), ({"amount": "10.10"}, 1))
        [dry] = self.run_good("append", "-t", "custom", "-i", "ledger-1", "--dry-run", "{}")
        self.assertEqual(dry.get("event", dry)["version"], 3)
        tailed = self.run_good("tail", "--after", "0", "--aggregate", "ledger-1", "--type", "custom", "--count", "2")
        self.assertEqual([e["version"] for e in tailed], [1, 2])

    def test_tail_follows(self):
        def follow():
            tail = subprocess.Popen([str(BINARY), "tail", "-f", "-a", self.service.grpc, "-p", "0", "-i", "followed"],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
            try:
                for seen in range(1, 4):
                    self.run_good("append", "-t", "custom", "-i", "followed", "-y", "custom", "{}")
                    line = tail.stdout.readline()
                    if not line:
                        return tail.stderr.read()
                    self.assertEqual(json.loads(line)["version"], seen)
                return None
            finally:
                tail.terminate()
                tail.communicate(timeout=60)
        failure = follow()
        for _ in range(4):
            if failure is not None and "TSAN_OPTIONS" in os.environ and SANITIZER_ERRNO in failure:
                failure = follow()
        self.assertIsNone(failure)

    def test_refusals_exit_with_1_and_name_the_reason(self):
        done = strata("get", "-a", self.service.grpc, "nobody")
        self.assertEqual(done.returncode, 1)
        self.assertIn("AGGREGATE_UNKNOWN", done.stderr)
        self.assertIn("nobody", done.stderr)
        done = strata("append", "-a", self.service.grpc, "-t", "order_created", "-i", "o", "-y", "order",
                      '{"total_amount":true}')
        self.assertEqual(done.returncode, 1)
        self.assertIn("data.order_id", done.stderr)
        self.assertIn("data.total_amount", done.stderr)
        done = strata("get", "-a", "127.0.0.1:1", "x")
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn("127.0.0.1:1", done.stderr)

    def test_wrong_usage_exits_with_2(self):
        for arguments in ((), ("dance",), ("append",), ("append", "-t", "custom"), ("get",), ("get", "a", "b"),
                          ("get", "--as-of-version", "x", "a"), ("tail", "--count", "0"), ("tail", "--nope"),
                          ("serve", "--nope"), ("serve", "nonsense"), ("verify", "a", "b"), ("append", "--expected-version", "-1")):
            with self.subTest(arguments):
                done = strata(*arguments)
                self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertTrue(done.stderr)

    def test_an_address_that_is_no_grpc_address_is_told(self):
        for address in ("http://127.0.0.1:8080", "localhost", ":50051"):
            done = strata("health", "-a", address)
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertIn('--address is "%s"; give the gRPC address of a service as HOST:PORT' % address, done.stderr)
        done = strata("health", "-a", "127.0.0.1:%d" % self.service.http_port)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        [line] = done.stderr.splitlines()  # and nothing of gRPC's own
        self.assertIn("speaks HTTP, not gRPC", line)
        self.assertIn("server.grpc_port", line)

    def test_help_teaches(self):
        done = strata("--help")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(strata("help").stdout, done.stdout)
        commands = re.findall(r"(?m)^  ([a-z]+(?: [a-z]+)*)  +\S", done.stdout.split("To begin:")[0])
        self.assertGreater(len(commands), 30)
        for command in commands:
            with self.subTest(command):
                one = strata(*command.split(), "--help")
                self.assertEqual(one.returncode, 0, one.stderr)
                self.assertIn("Usage: strata " + command, one.stdout)
                self.assertEqual(strata("help", *command.split()).stdout, one.stdout)
        self.assertIn("Examples:", strata("append", "--help").stdout)
        begun = strata("snapshot")
        self.assertEqual(begun.returncode, 2)
        self.assertIn("snapshot take", begun.stderr)
        self.assertRegex(strata("--version").stdout, r"^strata \d+\.\d+")
        keys = strata("serve", "--keys")
        self.assertEqual(keys.returncode, 0)
        self.assertIn("validation_rules.max_event_data_size", keys.stdout)


class Verify(unittest.TestCase):
    def test_a_store_is_proved_and_damage_is_found(self):
        service = Service(config={"STRATA_DATABASE_EMBEDDED_SEGMENT_SIZE": "1048576"})
        try:
            with service as s:
                s.remove = lambda: None
                for i in range(5):
                    self.assertEqual(s.request("POST", "/api/v1/events/append", {"events": [
                        {"type": "custom", "aggregate_id": "a-%d" % (n % 7), "aggregate_type": "custom",
                         "data": {"filler": "x" * 1000, "n": n}} for n in range(500)]})[0], 201)
                running = strata("verify", s.data)
                self.assertEqual(running.returncode, 1, running.stdout)  # the service holds it
            good = strata("verify", service.data)
            self.assertEqual(good.returncode, 0, good.stderr)
            self.assertRegex(good.stdout, r"^good: 2500 events of 7 aggregates in \d+ segments, clean stop\nindex: finds every event that it should\nchain: [0-9a-f]{64}\n$")
            self.assertEqual(strata("verify", "--quiet", service.data).stdout, good.stdout)
            segments = sorted((service.data / "main/log").glob("*.seg"))
            self.assertGreater(len(segments), 2)
            content = segments[1].read_bytes()
            at = content.index(b"x" * 1000) + 500
            segments[1].write_bytes(content[:at] + b"y" + content[at + 1:])
            bad = strata("verify", service.data)
            self.assertEqual((bad.returncode, bad.stdout), (1, ""))
            self.assertIn(segments[1].name, bad.stderr)
            segments[1].write_bytes(content)
            self.assertEqual(strata("verify", service.data).stdout, good.stdout)
        finally:
            Service.remove(service)

    def test_a_folder_that_is_not_there_or_empty_is_said(self):
        done = strata("verify", "/nonexistent/folder")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/folder", done.stderr)
        with tempfile.TemporaryDirectory() as folder:
            empty = strata("verify", folder)
            self.assertEqual((empty.returncode, empty.stdout), (1, ""), empty.stderr)
            self.assertEqual(os.listdir(folder), [])


class CheckConfig(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def check(self, text, extra=None):
        path = pathlib.Path(self.folder.name) / "c.yaml"
        path.write_text(text)
        return path, strata("serve", "--config", path, "--check-config", extra=extra)

    def test_the_shipped_file_is_good_and_has_every_key(self):
        shipped = ROOT / "configs/config.yaml"
        done = strata("serve", "--config", shipped, "--check-config")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "the configuration is good\n", ""))
        text = shipped.read_text()
        keys = [line.split()[0] for line in strata("serve", "--keys").stdout.splitlines()]
        for key in keys:
            self.assertRegex(text, r"(?m)^[ #]*%s:" % key.rsplit(".", 1)[-1], key)

    def test_every_documented_key_passes(self):
        _, done = self.check(EVERY_KEY)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_serve_names_what_is_configured_and_not_built(self):
        path, checked = self.check(EVERY_KEY)
        self.assertIn("but `strata serve` refuses it: ", checked.stderr)
        done = strata("serve", "--config", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn(" is configured and not part of this build; ", done.stderr)

    def test_each_kind_of_bad_file_is_refused_with_place_key_and_remedy(self):
        cases = [
            ("a misspelt key", "name: a\nmax_evnets: 5\n", 2, "max_evnets", "max_events"),
            ("a misspelt nested key", "cache:\n  enabled: true\n  max_sise: 5\n", 3, "cache.max_sise", "cache.max_size"),
            ("a key of another section", "cache:\n  port: 5\n", 2, "cache.port", ""),
            ("a wrong type", "name: a\n\nmax_events: many\n", 3, "max_events", "number"),
            ("a truth value that is none", "caching_enabled: yes please\n", 1, "caching_enabled", "true or false"),
            ("a duration without unit", "cleanup_interval: 5 parsecs\n", 1, "cleanup_interval", ""),
            ("an impossible value", "server:\n  http_port: 70000\n", 2, "server.http_port", "65535"),
            ("a negative limit", "max_events: -1\n", 1, "max_events", "0"),
            ("no such choice", "cache:\n  type: memcached\n", 2, "cache.type", "memory"),
            ("a list for a value", "name: [a, b]\n", 1, "name", "one value"),
            ("a value for a list", "supported_event_types: custom\n", 1, "supported_event_types", "list"),
            ("a value for a section", "cache: memory\n", 1, "cache", ""),
            ("keys below a value", "name:\n  first: a\n", None, "name", ""),
            ("a duplicate key", "name: a\nmax_events: 1\nname: b\n", 3, "name", ""),
            ("a duplicate section", "cache:\n  ttl: 5m\ncache:\n  ttl: 6m\n", 3, "cache", ""),
            ("no YAML", "name: [a\n", None, "", "YAML"),
            ("an alias", "name: &n a\ndescription: *n\n", None, "description", "alias"),
            ("nothing but a list", "- a\n", None, "", "keys"),
        ]
        for why, text, line, key, remedy in cases:
            with self.subTest(why):
                path, done = self.check(text)
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertIn(str(path), done.stderr)
                if line is not None:
                    self.assertIn("%s:%d" % (path, line), done.stderr)
                self.assertIn(key, done.stderr)
                self.assertIn(remedy, done.stderr)

    def test_what_contradicts_itself_is_refused(self):
        for text, key in (("server:\n  bind: 0.0.0.0\n", "server.bind"),
                          ("server:\n  http_port: 5000\n  grpc_port: 5000\n", "server.grpc_port"),
                          ("message_queue:\n  enabled: true\n", "message_queue.brokers"),
                          ("supported_event_types: [\"a*b\"]\n", "supported_event_types[0]"),
                          ("database:\n  event_store: mysql\n", "database.snapshot_store"),
                          ("security:\n  allowed_hosts: [\"http://a\"]\n", "security.allowed_hosts"),
                          ("monitoring:\n  path: metrics\n", "monitoring.path")):
            with self.subTest(key):
                _, done = self.check(text)
                self.assertEqual(done.returncode, 1)
                self.assertIn(key, done.stderr)

    def test_the_environment_sets_keys_and_is_checked_too(self):
        _, good = self.check("name: a\n", {"STRATA_SERVER_HTTP_PORT": "8081", "STRATA_SUPPORTED_EVENT_TYPES": '["a_*"]',
                                           "STRATA_METADATA": '{"region":"eu"}'})
        self.assertEqual(good.returncode, 0, good.stderr)
        for name, value in (("STRATA_SERVER_HTTP_PRT", "8081"), ("STRATA_SERVER_HTTP_PORT", "x"),
                            ("STRATA_SUPPORTED_EVENT_TYPES", "a,b"), ("STRATA_MAX_EVENTS", "-4")):
            with self.subTest(name):
                _, bad = self.check("name: a\n", {name: value})
                self.assertEqual(bad.returncode, 1)
                self.assertIn(name, bad.stderr)

    def test_a_file_that_is_named_and_not_there_is_refused_with_its_key(self):
        for engine, key in (("mysql", "tls_ca_file"), ("mysql", "password_file"), ("redis", "tls_cert_file")):
            text = "cache: {type: redis}\ndatabase:\n  %s: {%s: %s/none}\n" % (engine, key, self.folder.name)
            path, checked = self.check(text)
            served = strata("serve", "--config", path)
            for done in (checked, served):
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                for part in ("database.%s.%s" % (engine, key), self.folder.name + "/none", "No such file"):
                    self.assertIn(part, done.stderr)
            for elsewhere in (("--embedded",), ("--only", "gateway", "--upstream", "127.0.0.1:1")):
                done = strata("serve", *elsewhere, "--config", path, "--check-config")
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_secret_that_others_may_read_is_warned_of(self):
        secret = pathlib.Path(self.folder.name) / "password"
        secret.write_text("hunter2")
        path, _ = self.check("database: {event_store: embedded, redis: {password: hunter2}, mysql: {password_file: %s}}\n" % secret)
        for mode in (0o600, 0o640):
            path.chmod(mode)
            secret.chmod(mode)
            with Service(arguments=("--config", str(path), "--embedded")) as service:
                told = [json.loads(line) for line in service.log().splitlines() if "chmod 600" in line]
            checked = strata("serve", "--config", path, "--embedded", "--check-config")
            self.assertEqual(checked.returncode, 0)
            self.assertEqual(checked.stderr.count("chmod 600"), len(told))
            self.assertNotIn("hunter2", checked.stderr + str(told))
            self.assertEqual(sorted((line["key"], line["file"], line["mode"]) for line in told), [] if mode == 0o600 else [
                ("database.mysql.password_file", str(secret), "0640"), ("database.redis.password", str(path), "0640")])

    def test_a_file_that_is_not_there(self):
        done = strata("serve", "--config", "/nonexistent.yaml", "--check-config")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent.yaml", done.stderr)


class Serve(unittest.TestCase):
    def test_a_second_service_on_the_same_folder_is_refused(self):
        with Service() as first:
            second = Service(data=first.data)
            with self.assertRaises(RuntimeError) as refused:
                second.start()
            self.assertIn(str(first.process.pid), str(refused.exception))
            self.assertEqual(first.request("GET", "/readyz")[0], 200)

    def test_a_port_that_is_taken_stops_the_start_by_name(self):
        with Service() as first:
            other = Service(config={"STRATA_SERVER_HTTP_PORT": str(first.http_port), "STRATA_WEBSOCKET_PORT": str(first.http_port)})
            try:
                with self.assertRaises(RuntimeError) as refused:
                    other.start()
                self.assertIn("server.http_port", str(refused.exception))
                self.assertIn(str(first.http_port), str(refused.exception))
            finally:
                other.remove()

    def test_a_folder_that_cannot_be_used_is_named_by_its_key(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "file"
            file.write_text("")
            with self.assertRaises(RuntimeError) as refused:
                Service(data=file).start()
            self.assertIn('database.embedded.path "%s"' % file, str(refused.exception))

    def test_a_mode_that_nobody_may_have_meant_is_warned_of(self):
        for settings, words in (
                ({"STRATA_SECURITY_ENABLED": "true", "STRATA_SECURITY_JWT_SECRET": "too short"}, "security.enabled is true, but"),
                ({"STRATA_SERVER_BIND": "0.0.0.0", "STRATA_SECURITY_ALLOW_INSECURE_BIND": "true"}, "security.allow_insecure_bind")):
            with Service(config=settings) as service:
                self.assertIn(words, service.log())

    def test_behind_a_proxy_it_is_reached_where_the_configuration_accepts_that(self):
        forwarded = {"Host": "strata.internal", "X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https"}
        with Service(config={"STRATA_SECURITY_ALLOWED_HOSTS": '["strata.internal"]'}) as service:
            self.assertEqual(service.request("GET", "/api/v1/info", headers={"Host": "strata.internal:8080"})[0], 200)
            status, _, problem = service.request("GET", "/api/v1/info", headers=forwarded)
            self.assertEqual(status, 403)
            self.assertIn("security.allow_insecure_bind: true", problem["detail"])
        with Service(config={"STRATA_SECURITY_ALLOWED_HOSTS": '["strata.internal"]',
                             "STRATA_SECURITY_ALLOW_INSECURE_BIND": "true"}) as service:
            event = {"type": "custom", "aggregate_id": "a", "aggregate_type": "custom", "data": {}}
            self.assertEqual(service.request("POST", "/api/v1/events/publish", event, headers=forwarded)[0], 201)
            page = {**forwarded, "Origin": "https://strata.internal"}
            self.assertEqual(service.request("GET", "/api/v1/aggregates/a", headers=page)[0], 200)
            status, _, problem = service.request("GET", "/api/v1/info", headers={**forwarded, "Host": "rebound.example"})
            self.assertEqual(status, 421)  # a name that somebody else has pointed here
            self.assertIn("security.allowed_hosts", problem["detail"])
            page = {**forwarded, "Origin": "https://rebound.example"}
            self.assertEqual(service.request("GET", "/api/v1/aggregates/a", headers=page)[0], 403)

    def test_an_address_that_is_bound_is_a_name_of_the_service(self):
        with Service(config={"STRATA_SERVER_BIND": "0.0.0.0", "STRATA_SECURITY_ALLOW_INSECURE_BIND": "true"}) as service:
            self.assertEqual(service.request("GET", "/livez", headers={"Host": "192.0.2.7:8080"})[0], 200)
            self.assertEqual(service.request("GET", "/livez", headers={"Host": "rebound.example"})[0], 421)

    def test_closed_standard_descriptors_never_become_those_of_a_store(self):
        """What is logged would else be written into the file that is opened next."""
        with tempfile.TemporaryDirectory() as folder:
            log = pathlib.Path(folder) / "log"
            served = subprocess.Popen(["bash", "-c", "exec %s serve --embedded <&- >&- 2>&-" % BINARY], env=environment({
                "STRATA_DATABASE_EMBEDDED_PATH": folder + "/data", "STRATA_SERVER_HTTP_PORT": "0", "STRATA_WEBSOCKET_PORT": "0",
                "STRATA_SERVER_GRPC_PORT": "0", "STRATA_LOGGING_OUTPUT": str(log)}))
            try:
                until = time.monotonic() + 60
                while not log.exists() or '"serving"' not in log.read_text():
                    self.assertIsNone(served.poll())
                    self.assertLess(time.monotonic(), until)
                    time.sleep(0.02)
                for number in range(3):
                    self.assertNotIn(folder, os.readlink("/proc/%d/fd/%d" % (served.pid, number)))
            finally:
                served.terminate()
                self.assertEqual(served.wait(timeout=60), 0)
            self.assertEqual(strata("verify", folder + "/data").returncode, 0)
        done = subprocess.run(["bash", "-c", "%s completion bash >&-" % BINARY], stderr=subprocess.PIPE, text=True, env=environment())
        self.assertNotEqual(done.returncode, 0)  # what is lost is not called a success

    def test_the_banner_names_address_store_mode_and_a_line_to_try(self):
        with tempfile.TemporaryDirectory() as folder:
            served = subprocess.Popen([str(BINARY), "serve", "--embedded"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True, env=environment({
                                          "STRATA_DATABASE_EMBEDDED_PATH": folder, "STRATA_SERVER_HTTP_PORT": "0",
                                          "STRATA_WEBSOCKET_PORT": "0", "STRATA_SERVER_GRPC_PORT": "0"}))
            lines = []
            while "Ctrl-C" not in (lines[-1] if lines else ""):
                line = served.stdout.readline()
                self.assertTrue(line, lines)
                lines.append(line)
            served.terminate()
            served.communicate(timeout=60)
            self.assertEqual(served.returncode, 0)
            banner = "".join(lines)
            for word in ("http://127.0.0.1:", "gRPC", folder, "development", "curl -X POST"):
                self.assertIn(word, banner)


EVERY_KEY = """
name: strata
version: 2.0.0
description: all of them
max_events: 1000000
max_aggregates: 100000
max_snapshots: 10000
snapshot_interval: 5m
snapshot_events: 50
cleanup_interval: 24h
validation_enabled: true
caching_enabled: true
monitoring_enabled: true
auditing_enabled: true
supported_event_types: [user_created, "audit_*", custom]
supported_aggregate_types: [user, custom]
validation_rules: {max_event_data_size: 65536, max_aggregate_events: 1000, strict: true}
metadata: {environment: test, region: eu-west-1}
database:
  event_store: mysql
  snapshot_store: mongodb
  embedded: {path: data, store_id: main, segment_size: 268435456, segment_events: 250000, head_cache_size: 33554432}
  mysql: {host: localhost, port: 3306, username: u, password: p, database: strata}
  mongodb: {uri: "mongodb://localhost:27017", database: strata}
  redis: {host: localhost, port: 6379, password: p, db: 0}
cache: {enabled: true, type: redis, ttl: 5m, max_size: 1000, cleanup_interval: 10m}
message_queue: {enabled: true, brokers: ["localhost:9092"], topics: [events]}
websocket: {enabled: true, port: 8080, read_buffer_size: 1024, write_buffer_size: 1024, handshake_timeout: 10s}
security: {enabled: true, jwt_secret: your-secret-key, jwt_secret_file: "", token_expiry: 24h, allowed_origins: ["*"], allowed_hosts: [strata.internal],
           rate_limit_enabled: true, rate_limit_requests: 100, rate_limit_window: 1m, allow_insecure_bind: false}
monitoring: {enabled: true, port: 9090, path: /metrics, collect_interval: 15s}
logging: {level: info, format: json, output: stdout}
server: {http_port: 8080, grpc_port: 50051, bind: 127.0.0.1}
"""


if __name__ == "__main__":
    unittest.main()
