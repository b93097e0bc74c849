"""The contract suite of snapshot stores, unchanged, and what the cache and the hints promise, against a Redis of this run."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.engines import Redis  # noqa: E402

SUITE = Path(os.environ["STRATA_TEST_BINARY"]).parents[2] / "tests" / "contract" / "test_redis_snapshots"


def main():
    with Redis() as server:
        environment = dict(os.environ, STRATA_TEST_REDIS_PORT=str(server.port))
        return subprocess.run([SUITE, *sys.argv[1:]], env=environment, timeout=250).returncode


if __name__ == "__main__":
    sys.exit(main())
