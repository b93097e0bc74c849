"""Three replicas on one MongoDB-wire server, killed, stopped and restarted under load: every acknowledged event once, in
one order.

STRATA_TEST_APPENDS  appends in all (default 300); STRATA_TEST_SEED replays the choices
"""

import os
import random
import sys
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.engines import MongoWire  # noqa: E402
from support.replicas import Replicas  # noqa: E402
from support.strata_service import scaled  # noqa: E402

APPENDS = int(os.environ.get("STRATA_TEST_APPENDS", scaled(300, 100)))
CLIENTS = int(os.environ.get("STRATA_TEST_CLIENTS", 64 if APPENDS >= 5000 else 8))
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))


class OnMongoDb(unittest.TestCase):
    def test_every_acknowledged_event_is_there_once_and_in_one_order(self):
        print("STRATA_TEST_SEED=%s STRATA_TEST_APPENDS=%d" % (SEED, APPENDS), flush=True)
        # A replica is stopped last: meanwhile the others finish a small load. When it wakes, its driver connects anew, to a
        # database that is about to stop: which may then say that it is no member of a replica set.
        troubles = ["restart_database", "kill_replica", "kill_database", "kill_replica", "stop_replica", "restart_database"]
        begin = time.monotonic()
        with MongoWire() as database, Replicas(database, 3, SEED) as replicas:
            history = replicas.run(CLIENTS, APPENDS, troubles)
            forgotten = sum(service.log_path.read_text().count("is made anew") for service in replicas.services)
            self.assertEqual(database.newest()["chain"], history.chain)
            print("%d appends with %d events by 3 x %d clients in %.0f s; %d sends were repeated (%s); "
                  "%d drivers made anew; %s" % (
                APPENDS, len(history.records), CLIENTS, time.monotonic() - begin, replicas.repeated,
                ", ".join("%s/%s %d" % (*kind, count) for kind, count in sorted(replicas.refusals.items())),
                forgotten, ", ".join(replicas.took)))


if __name__ == "__main__":
    unittest.main()
