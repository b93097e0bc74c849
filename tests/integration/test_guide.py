"""docs/guide.md: its blocks pasted in order on an empty store, each call answered as the comment behind it says."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import ROOT, Service  # noqa: E402

GUIDE = (ROOT / "docs/guide.md").read_text()
ANSWER = re.compile(r"^# (\d{3})( [A-Z_]+)?(.*)$")  # status, reason, and in backticks what else must be in it


def blocks(marker):
    return re.findall(r"^<!-- %s -->\n```\w+\n(.*?)^```$" % marker, GUIDE, re.M | re.S)


def answers(output):
    """What curl -i has printed, call by call."""
    return [(int(head), rest) for head, rest in re.findall(r"HTTP/1\.1 (\d{3})(.*?)(?=HTTP/1\.1 |\Z)", output, re.S)]


class Guide(unittest.TestCase):
    def test_every_call_is_answered_as_the_guide_says(self):
        script = "".join(blocks("command: guide"))
        promised = [match.groups() for match in map(ANSWER.match, script.splitlines()) if match]
        self.assertEqual(script.count("\ncurl "), len(promised), "each call of the guide has its answer")
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / "ledger.yaml"
            config.write_text("".join(blocks("config: guide")))
            with Service(arguments=["--config", str(config)]) as s:
                printed = script.replace("http://localhost:8080", s.http).replace("curl -i", "curl -s -i")
                run = subprocess.run(["bash", "-euc", printed], capture_output=True, text=True, timeout=120)
        self.assertEqual(run.returncode, 0, run.stderr)
        seen = answers(run.stdout)
        self.assertEqual([status for status, _ in seen], [int(status) for status, _, _ in promised], run.stdout)
        for (_, text), (status, reason, rest) in zip(seen, promised):
            wanted = re.findall("`([^`]+)`", rest) + (['"reason":"%s"' % reason.strip()] if reason else [])
            for part in wanted:
                self.assertIn(part, text, "%s%s" % (status, rest))


if __name__ == "__main__":
    unittest.main()
