"""Servers of other makers that tests run against: each in a temporary folder, on loopback, ended by its process id.

A server that cannot be started fails the test: nothing is skipped.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from support.strata_service import free_port

STARTS_WITHIN_SECONDS = 60


class Certificates:
    """A certificate authority of its own in `folder`, and a server's certificate; of make_certificates."""

    def __init__(self, folder):
        self.ca, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"


def make_certificates(folder, names="IP:127.0.0.1,DNS:localhost"):
    folder.mkdir(parents=True)
    made = Certificates(folder)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj",
            "/CN=strata test ca")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    (folder / "ext").write_text("subjectAltName=%s\n" % names)
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out",
            "server.pem", "-extfile", "ext")
    return made


class Engine:
    """One server. A subclass says how it is prepared, started and asked whether it answers."""

    STOPS_WITHIN_SECONDS = 30

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"strata-{type(self).__name__.lower()}-"))
        self.port = free_port()
        self.process = None

    def __enter__(self):
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *failure):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self):
        """Makes the data folder."""

    def command(self):
        raise NotImplementedError

    def answers(self):
        raise NotImplementedError

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + STARTS_WITHIN_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.command()[0]} does not start:\n{self.log()[-2000:]}")
            time.sleep(0.05)

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def stop(self, number=signal.SIGTERM):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)  # one that a test has stopped
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=self.STOPS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self):
        self.stop(signal.SIGKILL)


class MariaDb(Engine):
    """MariaDB with an empty database `strata_test`; user root has no password. `options` go to the server.

    A server that starts removes all temporary tables of its tmpdir, also another server's: each has a tmpdir of its own.
    """

    def __init__(self, *options):
        super().__init__()
        self.options = options

    def prepare(self):
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={self.folder / 'data'}",
             "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, TMPDIR=str(self.folder)))

    def command(self):
        return ["mariadbd", "--no-defaults", "--user=root", f"--datadir={self.folder / 'data'}", f"--port={self.port}",
                "--bind-address=127.0.0.1", f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}",
                f"--tmpdir={self.folder}", "--skip-name-resolve", "--max-connections=600", *self.options]

    def answers(self):
        return subprocess.run(
            ["mariadb-admin", "--no-defaults", "-h127.0.0.1", f"-P{self.port}", "-uroot", "ping"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def start(self):
        super().start()
        self.sql("CREATE DATABASE IF NOT EXISTS strata_test")

    def sql(self, statements, user="root", database=None):
        """What the server's own client prints."""
        return subprocess.run(
            ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{self.port}", f"-u{user}", "--batch", "--skip-column-names",
             *([database] if database else [])],
            input=statements, text=True, check=True, capture_output=True).stdout

    def settings(self, **other):
        """What a service is configured with to keep its events and snapshots here; `other` are keys of database.mysql."""
        keys = {"host": "127.0.0.1", "port": str(self.port), "username": "root", "database": "strata_test", **other}
        return {"STRATA_DATABASE_MYSQL_" + name.upper(): value for name, value in keys.items()}


class Redis(Engine):
    """Redis that syncs each write. `lines` are further lines of its configuration; `password` is the default user's; with
    `tls` it serves nothing else, and with `clients_named` only clients with a certificate of the same authority."""

    def __init__(self, *lines, password=None, tls=None, clients_named=False):
        super().__init__()
        self.lines, self.password, self.tls, self.clients_named = lines, password, tls, clients_named

    def _tls_lines(self):
        return [f"tls-port {self.port}", f"tls-cert-file {self.tls.certificate}", f"tls-key-file {self.tls.key}",
                f"tls-ca-cert-file {self.tls.ca}", f"tls-auth-clients {'yes' if self.clients_named else 'no'}"]

    def prepare(self):
        port = ["port 0", *self._tls_lines()] if self.tls else [f"port {self.port}"]
        lines = [*port, "bind 127.0.0.1", f"dir {self.folder}", f"unixsocket {self.folder / 's'}", "appendonly yes",
                 "appendfsync always", "save \"\"", *([f"requirepass {self.password}"] if self.password else []), *self.lines]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")

    def command(self):
        return ["redis-server", str(self.folder / "redis.conf")]

    def answers(self):
        return self.cli("ping", check=False) == "PONG"

    def cli(self, *words, check=True):
        """What the server's own client prints, over a socket that no setting takes away."""
        environment = dict(os.environ, **({"REDISCLI_AUTH": self.password} if self.password else {}))
        ended = subprocess.run(["redis-cli", "-s", str(self.folder / "s"), *words], env=environment, text=True,
                               capture_output=True, timeout=30)
        assert ended.returncode == 0 or not check, ended.stderr
        return ended.stdout.strip()

    def settings(self, **other):
        """What a service is configured with to find it; `other` are keys of database.redis."""
        keys = {"host": "127.0.0.1", "port": str(self.port), **({"password": self.password} if self.password else {}), **other}
        return {"STRATA_DATABASE_REDIS_" + name.upper(): value for name, value in keys.items()}


class MongoWire(Engine):
    """A server that speaks MongoDB's protocol, as a replica set of one (docs/mongodb-stand-in.md); `options` go to it. With
    `tls`, certificates, it takes encrypted connections only."""

    STOPS_WITHIN_SECONDS = 8  # now and then it does not, and is killed, which it has to bear as well

    def __init__(self, *options, tls=None):
        super().__init__()
        self.options = options
        self.tls = tls

    def prepare(self):
        (self.folder / "data").mkdir()

    def command(self):
        return [str(Path(__file__).resolve().parents[2] / ".venv" / "bin" / "secantusd-py"), "--host", "127.0.0.1", "--port",
                str(self.port), "--storage-path", str(self.folder / "data"), "--sync-on-commit", "--enable-test-commands",
                "--log-level", "WARNING", *self.options,
                *(["--tls-cert-file", str(self.tls.certificate), "--tls-key-file", str(self.tls.key)] if self.tls else [])]

    def client(self, **options):
        """A client of pymongo's, to be closed."""
        from pymongo import MongoClient
        if self.tls:
            options.update(tls=True, tlsAllowInvalidCertificates=True)
        return MongoClient("127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=2000, **options)

    def answers(self):
        from pymongo.errors import PyMongoError
        try:
            with self.client() as client:
                return client.admin.command("ping")["ok"] == 1
        except PyMongoError:
            return False

    def newest(self, store_id="main"):
        """The newest append of a store, as it is stored."""
        with self.client() as client:
            return client["strata_test"][store_id + ".appends"].find_one(sort=[("_id", -1)])

    def settings(self, **other):
        """What a service is configured with to keep its events and snapshots here; `other` are keys of database.mongodb."""
        uri = {} if "uri_file" in other else {"uri": "mongodb://127.0.0.1:%d/?replicaSet=secantus" % self.port}
        keys = {**uri, "database": "strata_test", **other}
        return {"STRATA_DATABASE_MONGODB_" + name.upper(): value for name, value in keys.items()}
