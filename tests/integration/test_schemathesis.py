"""Schema-driven fuzzing of REST: schemathesis with all its checks over /openapi.json.

STRATA_TEST_EXAMPLES  examples for each operation (default 4)
STRATA_TEST_SEED      replays a run; schemathesis prints the seed
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import Service, scaled  # noqa: E402

EXAMPLES = int(os.environ.get("STRATA_TEST_EXAMPLES", scaled(4, 1)))
CONFIGURATION = pathlib.Path(__file__).with_name("schemathesis.toml")
# The event stream has no end, and /ws no answer but for a WebSocket client: test_sse.py and test_websocket.py have them.
APART = ["/api/v1/events/subscribe", "/ws"]


class Fuzzing(unittest.TestCase):
    def test_every_answer_is_what_the_api_description_says(self):
        command = [str(pathlib.Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION), "run",
                   "--checks", "all", "--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing,stateful",
                   "--request-timeout", "60", "--no-color"]
        for path in APART:
            command += ["--exclude-path", path]
        if os.environ.get("STRATA_TEST_SEED"):
            command += ["--seed", os.environ["STRATA_TEST_SEED"]]
        with Service() as service, tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([*command, service.http + "/openapi.json"], capture_output=True, text=True, cwd=folder,
                                  timeout=1800)
            said = "\n".join(line[:600] for line in done.stdout.splitlines())  # a URL may be of 8 KiB
            self.assertEqual(done.returncode, 0, said[-20000:] + done.stderr[-2000:])
            self.assertIn("API Operations:", done.stdout)
            self.assertEqual(service.request("GET", "/livez")[0], 200)
        print("\n".join(line for line in done.stdout.splitlines() if "generated" in line or "Seed" in line), flush=True)


if __name__ == "__main__":
    unittest.main()
