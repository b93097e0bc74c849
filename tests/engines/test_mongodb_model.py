"""The model of tests/model against a service on a MongoDB-wire server; both are killed and started again on the way.

STRATA_TEST_OPERATIONS  operations in total (default 300: the server is a slow one)
"""

import os
import subprocess
import sys
from pathlib import Path

MODEL = Path(__file__).resolve().parents[1] / "model" / "test_model.py"

if __name__ == "__main__":
    share = int(os.environ.get("STRATA_TEST_SCALE", "100"))
    environment = dict(os.environ, STRATA_TEST_ENGINE="mongodb")
    environment.setdefault("STRATA_TEST_OPERATIONS", str(300 * share // 100))
    sys.exit(subprocess.run([sys.executable, MODEL, *sys.argv[1:]], env=environment).returncode)
