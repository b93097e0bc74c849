"""A commit to MariaDB that is still on its way when its sender has lost the connection and asks what became of it."""

import sys
import threading
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.cutting_proxy import CuttingProxy  # noqa: E402
from support.database_faults import publish, wait_until  # noqa: E402
from support.engines import MariaDb  # noqa: E402
from support.strata_service import Service  # noqa: E402

CLIENTS, APPENDS = 12, 25


class LateProxy(CuttingProxy):
    """Once `armed`, it holds a packet that takes the lock on the head itself, and ends its client's connection, of which the
    server hears nothing. The packet arrives behind the client's question what became of it, and before what he sends next."""

    def __init__(self, database):
        super().__init__(database.port)
        self.database = database
        self.armed = False
        self.held = None  # the server's socket and the packet
        self.asking = None
        self.arrived = False

    def head(self):
        return self.database.sql("SELECT position FROM strata_stores", database="strata_test")

    def _arrive(self):
        self.arrived = True
        before = self.head()
        self.held[0].sendall(self.held[1])
        wait_until(lambda: self.head() != before)
        self._end(self.held[0], False)

    def _pump(self, source, target, from_client):
        try:
            while piece := source.recv(1 << 20):
                if from_client and self.armed and not self.held and b"SELECT IF(COALESCE" in piece and piece.endswith(b"COMMIT"):
                    self.held = (target, piece)
                    self._end(source, True)
                    return
                if from_client and self.asking is source and not self.arrived:
                    self._arrive()
                if from_client and self.held and (b"SELECT GET_LOCK('strata_writer" in piece or b"SELECT record" in piece):
                    self.asking = self.asking or source
                target.sendall(piece)
        except OSError:
            pass
        if not self.held or self.held[0] not in (source, target):
            self._end(source, True)
            self._end(target, True)


class Late(unittest.TestCase):
    def test_what_was_said_not_to_be_recorded_is_not_recorded_later(self):
        with MariaDb() as database, LateProxy(database) as proxy:
            with Service(config=database.settings(port=str(proxy.port))) as service:
                self.assertEqual(publish(service, "a")[0], 201)
                proxy.armed = True
                answers = []
                clients = [threading.Thread(target=lambda n=n: answers.extend(
                    publish(service, "a%d" % n) for _ in range(APPENDS))) for n in range(CLIENTS)]
                for client in clients:
                    client.start()
                for client in clients:
                    client.join()
                self.assertTrue(proxy.arrived)
                self.assertEqual([problem for status, _, problem in answers if status != 201], [])
                stored = database.sql("SELECT aggregate_id, COUNT(*) FROM strata_events WHERE aggregate_id<>'a' GROUP BY 1",
                                      database="strata_test")
                self.assertEqual(dict(line.split() for line in stored.splitlines()),
                                 {"a%d" % n: str(APPENDS) for n in range(CLIENTS)})


if __name__ == "__main__":
    unittest.main()
