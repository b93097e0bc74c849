"""Random operations, compared step by step with the model, on the embedded and on the memory engine, or on a database
server that the run starts.

STRATA_TEST_OPERATIONS  operations in total (default 100,000)
STRATA_TEST_SEED        replays a run; the seed is printed first
STRATA_TEST_RACES       0 leaves races out: with them a seed replays only nearly
STRATA_TEST_WORLD       only this world
STRATA_TEST_ENGINE      the worlds of this database engine instead (tests/engines)
"""

import contextlib
import json
import os
import random
import subprocess
import sys
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.engines import MariaDb, MongoWire  # noqa: E402
from support.strata_service import BINARY, Service, environment, scaled  # noqa: E402

OPERATIONS = int(os.environ.get("STRATA_TEST_OPERATIONS", scaled(100000, 2000)))
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))

# name: (share of the operations, engine, what is configured otherwise)
WORLDS = {
    "embedded": (0.34, "embedded", {}),
    "memory": (0.26, "memory", {}),
    "embedded-limits": (0.14, "embedded", {"limits": True, "auto": True}),
    "memory-limits": (0.14, "memory", {"limits": True, "auto": True, "cache": False}),
    "embedded-unchecked": (0.06, "embedded", {"validation": False}),
    "memory-strict": (0.06, "memory", {"strict": True}),
}
DATABASE_WORLDS = {
    "mysql": (0.7, "mysql", {}),
    "mysql-limits": (0.3, "mysql", {"limits": True, "auto": True}),
    "mongodb": (0.7, "mongodb", {}),
    "mongodb-limits": (0.3, "mongodb", {"limits": True, "auto": True}),
}
if os.environ.get("STRATA_TEST_ENGINE"):
    WORLDS = {name: world for name, world in DATABASE_WORLDS.items() if world[1] == os.environ["STRATA_TEST_ENGINE"]}
DATABASES = {"mysql": MariaDb, "mongodb": MongoWire}
EXTRA_EVENTS = ["order_note", "audit_seen"]
EXTRA_AGGREGATES = ["ledger"]


def make_world(name, operations, database):
    """(Service, World)."""
    from model import BUILTIN_AGGREGATE_TYPES, BUILTIN_EVENT_TYPES, Limits, Model
    from world import World
    _, engine, other = WORLDS[name]
    config = database.settings() if database else {"STRATA_DATABASE_EVENT_STORE": engine}
    config.update({"STRATA_SNAPSHOT_EVENTS": "4" if other.get("auto") else "0",
              "STRATA_DATABASE_EMBEDDED_SEGMENT_SIZE": "4194304"})
    events, aggregates, extra_events, extra_aggregates = BUILTIN_EVENT_TYPES, BUILTIN_AGGREGATE_TYPES, (), ()
    limits = Limits()
    if other.get("limits"):
        events, aggregates = [*BUILTIN_EVENT_TYPES, "order_note", "audit_*"], [*BUILTIN_AGGREGATE_TYPES, "ledger"]
        extra_events, extra_aggregates = EXTRA_EVENTS, EXTRA_AGGREGATES
        limits = Limits(events=max(60, operations * 33 // 100), aggregates=max(20, operations * 28 // 1000),
                        aggregate_events=14, event_bytes=2000)
        config.update({"STRATA_SUPPORTED_EVENT_TYPES": json.dumps(events),
                       "STRATA_SUPPORTED_AGGREGATE_TYPES": json.dumps(aggregates),
                       "STRATA_MAX_EVENTS": str(limits.events), "STRATA_MAX_AGGREGATES": str(limits.aggregates),
                       "STRATA_VALIDATION_RULES_MAX_AGGREGATE_EVENTS": str(limits.aggregate_events),
                       "STRATA_VALIDATION_RULES_MAX_EVENT_DATA_SIZE": str(limits.event_bytes)})
    if other.get("cache") is False:
        config["STRATA_CACHING_ENABLED"] = "false"
    validation, strict = other.get("validation", True), other.get("strict", False)
    config["STRATA_VALIDATION_ENABLED"] = "true" if validation else "false"
    config["STRATA_VALIDATION_RULES_STRICT"] = "true" if strict else "false"
    service = Service(config=config).start()
    model = Model(events, aggregates, validation, strict, limits)
    return service, World(service, "%s/%s" % (SEED, name), model, bool(other.get("auto")), extra_events, extra_aggregates)


def start_again(service, world, database, violently):
    """What is durable outlives its service, and its database."""
    service.kill() if violently else service.stop()
    if database:
        database.kill() if violently else database.stop()
        database.start()
    service.start()
    world.connect()


def run_world(name, operations):
    """Runs one world to its end; a durable one is stopped, killed and started again on the way."""
    database = DATABASES.get(WORLDS[name][1])
    with database() if database else contextlib.nullcontext() as server:
        run_world_on(server, name, operations)


def run_world_on(database, name, operations):
    begin = time.monotonic()
    service, world = make_world(name, operations, database)
    try:
        embedded = WORLDS[name][1] == "embedded"
        parts = 1 if WORLDS[name][1] == "memory" else 5
        for part in range(1, parts + 1):
            world.run(operations * part // parts)
            if parts > 1:
                start_again(service, world, database, violently=part % 2 == 1)
        world.check_all()
        if embedded:
            from support.strata_records import read_history
            history = read_history(world.client.channel)
            service.stop()
            verified = subprocess.run([str(BINARY), "verify", "--quiet", str(service.data)], capture_output=True, text=True,
                                      timeout=600, env=environment())
            if "chain: %s\n" % history.chain.hex() not in verified.stdout:
                raise AssertionError("the chain is %s, and verify says\n%s%s" % (history.chain.hex(), verified.stdout,
                                                                                verified.stderr))
        else:
            service.stop()
    except BaseException:
        sys.stderr.write("STRATA_TEST_SEED=%s STRATA_TEST_WORLD=%s: failed at operation %d of %d (%s)\n%s\n" % (
            SEED, name, world.operations, operations, world.doing, service.log()[-2000:]))
        if service.process.poll() is None:
            service.kill()
        raise
    finally:
        world.close()
        service.remove()
    seconds = time.monotonic() - begin
    print("%s: %d operations, %d events of %d aggregates, %.0f s, %.0f operations/s" % (
        name, world.operations, len(world.model.log), len(world.model.order), seconds, world.operations / seconds))
    if os.environ.get("STRATA_TEST_VERBOSE"):
        for outcome, count in sorted(world.outcomes.items()):
            print("    %7d %s" % (count, outcome))
    sys.stdout.flush()


class AgainstTheModel(unittest.TestCase):
    def test_random_operations_agree_with_the_model(self):
        print("STRATA_TEST_SEED=%s STRATA_TEST_OPERATIONS=%d" % (SEED, OPERATIONS), flush=True)
        only = os.environ.get("STRATA_TEST_WORLD")
        least = 100 if os.environ.get("STRATA_TEST_ENGINE") else 500
        waiting = [(name, max(least, int(OPERATIONS * share))) for name, (share, _, _) in WORLDS.items()
                   if only in (None, "", name)]
        running = {}
        failed = []
        while waiting or running:
            while waiting and len(running) < 2:  # a process each: Python runs on one core
                name, operations = waiting.pop(0)
                running[name] = subprocess.Popen([sys.executable, __file__, "--world", name, str(operations)],
                                                 env={**os.environ, "STRATA_TEST_SEED": SEED})
            pid, code = os.wait()
            for name, process in list(running.items()):
                if process.pid == pid:
                    process.returncode = os.waitstatus_to_exitcode(code)
                    del running[name]
                    if process.returncode != 0:
                        failed.append(name)
        self.assertEqual(failed, [], "STRATA_TEST_SEED=%s" % SEED)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--world"]:
        run_world(sys.argv[2], int(sys.argv[3]))
    else:
        unittest.main()
