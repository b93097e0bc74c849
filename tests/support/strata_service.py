"""Starts the real service on free loopback ports with a data folder of its own, and stops it by process id."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("STRATA_TEST_BINARY", ROOT / "build/release/src/main/strata"))
START_SECONDS = 60  # sanitizers on a loaded machine


def scaled(count, least=1):
    """`count` at STRATA_TEST_SCALE percent: sanitizer builds do a part of the work."""
    return max(least, count * int(os.environ.get("STRATA_TEST_SCALE", "100")) // 100)


def environment(extra=None):
    """The caller's environment without STRATA_* (unknown names stop the start) plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STRATA_")}
    return {**kept, **(extra or {})}


class Service:
    """`with Service() as s:` s.http is "http://127.0.0.1:PORT", s.grpc "127.0.0.1:PORT".

    With STRATA_TEST_SPLIT it is two processes, see SplitService.
    """

    def __new__(cls, data=None, config=None, arguments=()):
        split = cls is Service and os.environ.get("STRATA_TEST_SPLIT") and "--only" not in arguments
        return object.__new__(SplitService if split else cls)

    def __init__(self, data=None, config=None, arguments=()):
        self.own_folder = data is None
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix="strata-test-"))
        self.config = config or {}
        self.arguments = list(arguments)
        self.process = None
        self.killed = False

    def start(self):
        self.killed = False
        settings = {
            "STRATA_DATABASE_EMBEDDED_PATH": str(self.data),
            "STRATA_SERVER_HTTP_PORT": "0",
            "STRATA_WEBSOCKET_PORT": "0",
            "STRATA_SERVER_GRPC_PORT": "0",
            "STRATA_LOGGING_FORMAT": "json",
            **self.config,
        }
        self.log_path = self.data.parent / (self.data.name + ".log")
        with open(self.log_path, "ab") as log:
            offset = log.tell()
            self.process = subprocess.Popen(
                [str(BINARY), "serve", *self.arguments], env=environment(settings), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            line = self._line_with(offset, '"serving"')
            if line:
                self.http = "http://127.0.0.1:%d" % line["http_port"]
                self.http_port = line["http_port"]
                self.grpc = "127.0.0.1:%d" % line["grpc_port"]
                return self
            if self.process.poll() is not None:
                raise RuntimeError("the service ended with %s:\n%s" % (self.process.returncode, self.log()))
            time.sleep(0.02)
        raise RuntimeError("the service did not start in %d s:\n%s" % (START_SECONDS, self.log()))

    def wait_until_ready(self):
        """Of a gateway: until it has reached its core. A call waits a second for that, which a loaded machine may exceed."""
        deadline = time.monotonic() + START_SECONDS
        while self.request("GET", "/readyz")[0] != 200:
            if time.monotonic() > deadline:
                raise RuntimeError("the service was not ready in %d s:\n%s" % (START_SECONDS, self.log()))
            time.sleep(0.02)

    def _line_with(self, offset, text):
        with open(self.log_path, "rb") as log:
            log.seek(offset)
            for line in log:
                if text.encode() in line and line.endswith(b"\n"):
                    return json.loads(line)
        return None

    def log(self):
        return self.log_path.read_text(errors="replace")[-8000:]

    def terminate(self):
        """Begins a clean stop."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """A clean stop; the exit code must be 0, also of a service that has ended before."""
        if self.process is None or self.killed:
            return
        if self.process.poll() is None:
            Service.terminate(self)
        code = self.process.wait(timeout=60)
        if code != 0:
            raise RuntimeError("the service ended with %d:\n%s" % (code, self.log()))

    def kill(self):
        self.killed = True
        self.process.kill()
        self.process.wait()

    def remove(self):
        if self.own_folder:
            shutil.rmtree(self.data, ignore_errors=True)
            self.log_path.unlink(missing_ok=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            elif self.process and self.process.poll() is None:
                sys.stderr.write(self.log())
                self.kill()
        finally:
            self.remove()

    def request(self, method, path, body=None, headers=None, timeout=30):
        """(status, headers, parsed JSON or bytes). `body` is sent as JSON unless it is bytes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, data=data, method=method, headers=dict(headers or {}))
        if data is not None and not request.has_header("Content-type"):
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as reply:
                return self._parsed(reply.status, reply.headers, reply.read())
        except urllib.error.HTTPError as error:
            with error:
                return self._parsed(error.code, error.headers, error.read())

    @staticmethod
    def _parsed(status, headers, content):
        kind = headers.get("Content-Type") or ""
        if "json" in kind and "ndjson" not in kind and content:
            return status, headers, json.loads(content)
        return status, headers, content


class SplitService(Service):
    """The same in two processes: `strata serve --only core`, and `--only gateway` in front of it."""

    def start(self):
        self.core_arguments = self.core_arguments if hasattr(self, "core_arguments") else list(self.arguments)
        self.arguments = [*self.core_arguments, "--only", "core"]
        super().start()
        settings = {name: value for name, value in self.config.items() if "DATABASE" not in name}
        self.gateway = Service(config=settings, arguments=["--only", "gateway", "--upstream", self.grpc])
        self.gateway.start()
        self.http, self.http_port = self.gateway.http, self.gateway.http_port
        self.wait_until_ready()
        return self

    def log(self):
        return super().log() + "--- gateway\n" + self.gateway.log()

    def terminate(self):
        """Core first, as the one process does it: its subscriptions are told, and the gateway passes it on."""
        super().terminate()

        def then_the_gateway():
            self.process.wait()
            self.gateway.terminate()
        threading.Thread(target=then_the_gateway, daemon=True).start()

    def stop(self):
        try:
            super().stop()
        finally:
            self.gateway.stop()
            self.gateway.remove()

    def kill(self):
        super().kill()
        self.gateway.kill()
        self.gateway.remove()


def stubs():
    """Folder of Python modules generated from proto/, made once in the build tree, put on sys.path."""
    from grpc_tools import protoc
    import fcntl
    out = ROOT / "build" / "python-stubs"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sources = sorted((ROOT / "proto/strata/v1").glob("*.proto"))
        stamp = out / ".stamp"
        newest = max(source.stat().st_mtime for source in sources)
        if not stamp.exists() or stamp.stat().st_mtime < newest:
            gogo = "/usr/share/gocode/src/github.com/gogo/googleapis"
            includes = ["-I%s" % (ROOT / "proto"), "-I/usr/include", "-I" + gogo]
            apis = [gogo + "/google/api/annotations.proto", gogo + "/google/api/http.proto",
                    gogo + "/google/rpc/status.proto", gogo + "/google/rpc/error_details.proto"]
            code = protoc.main(["protoc", *includes, "--python_out=%s" % out, "--grpc_python_out=%s" % out,
                                *[str(source) for source in sources], *apis])
            if code != 0:
                raise RuntimeError("protoc failed")
            stamp.touch()
    sys.path.insert(0, str(out))
    # google.api and google.rpc live beside the installed google.protobuf package.
    import google
    google.__path__.append(str(out / "google"))


_port_tokens = []  # UDP sockets, open until the process ends


def free_port():
    """A port for a service that is started later, or again. The kernel gives it to nobody who asks for any port, since it is below
    those; and no other test takes it, since the UDP port of its number is held here."""
    given_from = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(10240, max(20480, given_from))
        token = socket.socket(type=socket.SOCK_DGRAM)
        try:
            token.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            token.close()
            continue
        _port_tokens.append(token)
        return port
