"""Clients in Python, Go, Node, Java and of grpcurl, made from the published protos by the commands of docs/clients.md, each
against a service of its own: what they met is what is promised, the same in all, and what the server says itself."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
import uuid

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import ROOT, Service  # noqa: E402

GUIDE = (ROOT / "docs/clients.md").read_text()
LANGUAGES = os.environ.get("STRATA_TEST_CLIENTS", "python go node java grpcurl").split()
BUILD_S, RUN_S = 240, 60  # on a loaded machine
FAR = 2**53 + 1
APPEND_IDS = [str(uuid.uuid5(uuid.NAMESPACE_OID, "first\0%d" % index)) for index in (0, 1)]
STATES = ['{"owner":"zoë","balance":%s,"limit":9007199254740993}' % balance for balance in ("10.10", "9.90")]


def refusal(code, reason, message, facts=None, fields=None):
    """`message` is a part of it, `fields` are the first."""
    told = {"code": code, "domain": "strata", "reason": reason, "message": message, "facts": facts or {}}
    return {**told, "fields": fields} if fields else told


def appended(replayed):
    return {"first": "2", "last": "3", "version": 2, "ids": APPEND_IDS, "replayed": replayed}


# What tests/clients/README.md promises, but for what depends on when the rival appends.
PROMISED = {
    "health": 1,
    "created": {"version": 0, "etag": '"0"', "position": "1", "state": STATES[0]},
    "create_again": refusal(6, "AGGREGATE_EXISTS", "account", {"aggregate_id": "account", "current_version": "0"}),
    "appended": appended(False),
    "conflict": refusal(10, "VERSION_CONFLICT", "account",
                        {"aggregate_id": "account", "expected_version": "0", "current_version": "2"}),
    "appended_again": appended(True),
    "invalid": refusal(3, "INVALID_ID", "events[0]", fields=["events[0].type"]),
    "hopeless": refusal(3, "INVALID_ID", "2000 fields are faulty", fields=["events[0].type", "events[0].aggregate_id"]),
    "aggregate": {"version": 2, "state": '{"owner":"zoë","balance":9.90,"limit":1e400,"note":"\\u00e9"}'},
    "past": {"version": 1, "state": STATES[1]},
    "unknown": refusal(5, "AGGREGATE_UNKNOWN", "nobody-€-100%"),
    "listed": [[0, 1], [2]],
    "read": [["1", STATES[0]], ["2", '{"balance":9.90}'], ["3", '{"note":"\\u00e9","limit":1e400}']],
    "streamed": ["%d: version %d" % (n, n - (n > 7)) if n != 7 else "7: VERSION_CONFLICT" for n in range(1, 51)],
    "far_position": refusal(3, "INVALID_FIELD", "after_position is %d and the head is 52" % FAR, fields=["after_position"]),
    "deadline": [4, 4],
    "cut_off": 1,
}


def commands(marker, kind="command"):
    """The lines of a block of docs/clients.md."""
    block = re.search(r"^<!-- %s: %s -->\n```sh\n(.*?)^```$" % (kind, marker), GUIDE, re.M | re.S)
    if block is None:
        raise AssertionError("docs/clients.md has no %s '%s'" % (kind, marker))
    return block.group(1)


def environment():
    """What scripts/setup has installed, and nothing from the network."""
    tools = ROOT / ".tools"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRATA_")}
    return {**kept, "PATH": "%s:%s:%s" % (tools / "bin", ROOT / ".venv/bin", kept["PATH"]),
            "GOMODCACHE": str(tools / "gomod"), "GOFLAGS": "-mod=readonly", "GOPROXY": "off", "GOTOOLCHAIN": "local",
            "npm_config_cache": str(tools / "npm"), "npm_config_offline": "true",
            "MAVEN_OPTS": "-XX:TieredStopAtLevel=1"}


def shell(script, timeout_s=RUN_S):
    run = subprocess.Popen(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environment(),
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           start_new_session=True)
    try:
        output, errors = run.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        output, errors = run.communicate()
    if run.returncode != 0:
        raise AssertionError("%s\nended with %d:\n%s%s" % (script, run.returncode, output[-4000:], errors[-8000:]))
    return output


class Rival(threading.Thread):
    """Appends by REST to the aggregate `rival`, from when somebody creates it."""

    def __init__(self, service):
        super().__init__()
        self.service = service
        self.over = threading.Event()
        self.appended = 0

    def run(self):
        append = {"events": [{"type": "custom", "aggregate_id": "rival", "data": {"by": "rival"}}],
                  "expectations": [{"aggregate_id": "rival", "exist": True}]}
        while not self.over.is_set():
            if self.service.request("POST", "/api/v1/events/append", append)[0] == 201:
                self.appended += 1
            time.sleep(0.001)


def recorded(service, last_position):
    """SHA-256 over all events up to a position, as the server lists them over REST."""
    request = urllib.request.Request(service.http + "/api/v1/events?to_position=%d" % (last_position + 1),
                                     headers={"Accept": "application/x-ndjson"})
    digest = hashlib.sha256()
    with urllib.request.urlopen(request, timeout=30) as lines:
        for line in lines:
            data = re.search(rb'"data":(\{.*?\}),"metadata"', line).group(1)
            event = json.loads(line)
            digest.update(b"%s %s %s\n" % (event["position"].encode(), event["id"].encode(), data))
    return digest.hexdigest()


class Clients(unittest.TestCase):
    maxDiff = None
    met = {}  # the facts of the first client: every other's are the same

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="strata-clients-"))
        shell(cls.here(commands("export")))
        maven = cls.folder / "java/.mvn"
        maven.mkdir()
        (maven / "maven.config").write_text("-o\n-Dmaven.repo.local=%s\n" % (ROOT / ".tools/maven"))
        cls.pool = concurrent.futures.ThreadPoolExecutor(max_workers=2)
        cls.built = {language: cls.pool.submit(cls.build, language) for language in LANGUAGES}

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown(cancel_futures=True)
        shutil.rmtree(cls.folder)

    @classmethod
    def here(cls, script):
        return script.replace("build/samples", str(cls.folder))

    @classmethod
    def build(cls, language):
        began = time.monotonic()
        if language != "grpcurl":
            shell(cls.here(commands("build " + language)), BUILD_S)
        return time.monotonic() - began

    def facts_of(self, language):
        """The line of the client, and the facts that only its own server can confirm, which are confirmed here."""
        build_s = self.built[language].result()
        with Service() as service:
            rival = Rival(service)
            rival.start()
            began = time.monotonic()
            try:
                printed = shell(self.here(commands("run " + language)).replace("localhost:50051", service.grpc))
            finally:
                rival.over.set()
                rival.join()
            print("%s: built in %.1f s, ran in %.1f s beside %d appends of the rival" %
                  (language, build_s, time.monotonic() - began, rival.appended), file=sys.stderr)
            facts = json.loads(printed.splitlines()[-1])
            followed = facts.pop("followed")
            self.assertEqual(followed["sha256"], recorded(service, int(followed["count"])))
            self.assertGreater(int(followed["count"]), 3 + 49 + 1 + 200)
            self.assertGreater(rival.appended, 0)
            self.assertGreaterEqual(int(facts.pop("before_caught_up")), 53)
            self.agrees_with_rest(service, facts)
        return facts

    def agrees_with_rest(self, service, facts):
        _, _, account = service.request("GET", "/api/v1/aggregates/account")
        self.assertEqual((account["version"], account["position"]), (facts["aggregate"]["version"], "3"))
        _, _, live = service.request("GET", "/api/v1/aggregates/live")
        self.assertEqual((live["version"], live["state"]), (249, {"n": 249}))

    def is_promised(self, fact, promised):
        if isinstance(promised, dict) and "message" in promised:
            self.assertIn(promised["message"], fact["message"])
            fact = {**fact, "message": promised["message"]}
            if "fields" in promised:
                fact["fields"] = fact.get("fields", [])[:len(promised["fields"])]
        self.assertEqual(fact, promised)

    def meets_what_is_promised(self, language):
        facts = self.facts_of(language)
        if language == "grpcurl":  # a process that was killed, not a call that was cancelled
            self.assertEqual(facts["cut_off"], 128 + signal.SIGTERM)
            facts["cut_off"] = PROMISED["cut_off"]
        self.assertEqual(sorted(facts), sorted(PROMISED))
        for name, promised in PROMISED.items():
            with self.subTest(name):
                self.is_promised(facts[name], promised)
        self.assertGreater(len(facts["hopeless"]["fields"]), 10)
        first = self.met.setdefault("facts", facts)
        self.assertEqual(facts, first)

    def test_what_is_said_to_be_installed_is_what_was_tested(self):
        tested = {tuple(line.split()[1:]) for line in (ROOT / "scripts/packages.txt").read_text().splitlines()
                  if line.startswith("test ")}
        said = [("pip", *package.split("==")) for package in commands("python", "install").split()[2:]]
        said += [("go", *line.split()[2].split("@")) for language in ("go", "grpcurl")
                 for line in commands(language, "install").splitlines()]
        self.assertEqual(len(said), 8)
        self.assertEqual([package for package in said if package not in tested], [])

    def test_other_generators_take_the_folder(self):
        shell(self.here(commands("others")))
        for made in ("csharp/EventService.cs", "cpp/strata/v1/event.pb.h", "php/Strata/V1/Event.php"):
            self.assertTrue((self.folder / made).exists(), made)

    def test_a_server_that_describes_itself(self):
        script = commands("reflection")
        readme = re.findall(r"`(grpcurl .*?)`", (ROOT / "README.md").read_text())
        self.assertGreater(len(readme), 0)
        with Service() as service:
            printed = shell("\n".join([*readme, script]).replace("localhost:50051", service.grpc))
        for part in ("strata.v1.SubscriptionService\n", "grpc.health.v1.Health\n", "rpc AppendEvents (",
                     '"status": "SERVING"', '"etag": "\\"0\\""', '"type": "$aggregate_created"'):
            self.assertIn(part, printed)


for name in LANGUAGES:
    setattr(Clients, "test_" + name, lambda self, language=name: self.meets_what_is_promised(language))


if __name__ == "__main__":
    unittest.main()
