"""The suites of event stores and snapshot stores, unchanged, against a MongoDB-wire server that this run starts."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.engines import MongoWire  # noqa: E402

SUITE = Path(os.environ["STRATA_TEST_BINARY"]).parents[2] / "tests" / "contract" / "test_mongodb_store"


def main():
    with MongoWire() as server:
        environment = dict(os.environ, STRATA_TEST_MONGODB_PORT=str(server.port))
        return subprocess.run([SUITE, *sys.argv[1:]], env=environment, timeout=550).returncode


if __name__ == "__main__":
    sys.exit(main())
