"""RFC 6455 by the Autobahn cases (kosoku): the WebSocket room behind an echo, and /ws where no echo is needed."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import BINARY, Service  # noqa: E402

KOSOKU = pathlib.Path(sys.executable).parent / "kosoku"
ECHO = BINARY.parents[2] / "tests" / "support" / "ws_echo"
WAIT_S = 240

# 9 is speed and large messages, 12 and 13 are permessage-deflate, which is never agreed on.
NOT_ASKED = ("9.*", "12.*", "13.*")

# NON-STRICT: when good frames and a fault come together, the fault may win and the echo of the good ones stay out.
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}

# Where the room does otherwise on purpose: the close code instead of the echo, and why.
ACCEPTED = {
    **{"1.2.%d" % i: (1003, "binary frames: subscriptions speak JSON in text frames") for i in range(1, 9)},
}

# What needs no echo: pings, reserved bits, opcodes, fragments that are faults, UTF-8 that is not, closing. Not the cases
# that send a good text first: it may be answered, and not by an echo.
WITHOUT_ECHO = ("2.*", "3.1", "3.5", "3.6", "3.7", "4.1.1", "4.1.2", "4.2.1", "4.2.2", "5.1", "5.2", "5.9", "5.10", "5.11",
                "5.12", "5.13", "5.14", "5.16", "5.17", "5.18", "6.3.*", "6.4.*", "7.3.*", "7.5.*", "7.7.*", "7.9.*", "7.13.*")


def run(address, include=()):
    """{case: {"behavior", "behaviorClose", "remoteCloseCode", …}}"""
    with tempfile.TemporaryDirectory(prefix="strata-kosoku-") as folder:
        command = [str(KOSOKU), "-m", "fuzzingclient", "-p", "4", "-o", folder]
        for case in NOT_ASKED:
            command += ["-x", case]
        for case in include:
            command += ["-i", case]
        done = subprocess.run([*command, address], capture_output=True, text=True, timeout=WAIT_S)
        index = pathlib.Path(folder) / "index.json"
        if not index.exists():
            raise RuntimeError("kosoku made no report:\n%s%s" % (done.stdout, done.stderr))
        (results,) = json.loads(index.read_text()).values()
        return results


class Conformance(unittest.TestCase):
    def judge(self, results, least):
        self.assertGreaterEqual(len(results), least, "cases are missing")
        for case, result in results.items():
            with self.subTest(case=case):
                if case in ACCEPTED:
                    code, why = ACCEPTED[case]
                    self.assertEqual(result["remoteCloseCode"], code, why)
                    continue
                self.assertIn(result["behavior"], GOOD, result)
                self.assertIn(result["behaviorClose"], GOOD, result)

    def test_the_room_behind_an_echo(self):
        with subprocess.Popen([str(ECHO)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
            try:
                port = int(echo.stdout.readline())
                self.judge(run("ws://127.0.0.1:%d/ws" % port), 247)
            finally:
                echo.stdin.close()  # ends it
        self.assertEqual(echo.returncode, 0)

    def test_the_service_where_no_echo_is_needed(self):
        with Service() as service:
            self.judge(run("ws://127.0.0.1:%d/ws?subscribe=none" % service.http_port, WITHOUT_ECHO), 67)


if __name__ == "__main__":
    unittest.main()
