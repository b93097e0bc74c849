"""What tests of a database that fails ask of a service: events, what it says when it does not start, that it comes back."""

import subprocess
import tempfile
import time

from support.strata_service import BINARY, environment

READY_SECONDS = 60


def message_of_start(config):
    """What `strata serve` says when it does not start."""
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run([str(BINARY), "serve"], cwd=folder, capture_output=True, text=True, timeout=60,
                               env=environment({"STRATA_SERVER_HTTP_PORT": "0", "STRATA_SERVER_GRPC_PORT": "0",
                                                "STRATA_WEBSOCKET_PORT": "0", **config}))
    assert ended.returncode == 1, (ended.returncode, ended.stderr)
    return ended.stderr


def publish(service, aggregate, event_id=None, **members):
    return service.request("POST", "/api/v1/events/publish", {
        "aggregate_id": aggregate, "aggregate_type": "custom", "type": "custom", "data": {}, **members,
        **({"id": event_id} if event_id else {})})


def wait_until(what, seconds=READY_SECONDS):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "waited %d s" % seconds
        time.sleep(0.05)
