"""Chromium without a window, driven over its debugging protocol. It can reach nothing but loopback."""

import base64
import contextlib
import json
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request

from websockets.sync.client import connect

WAIT_S = 60
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1440,900", "--remote-debugging-port=0",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


class Page:
    """One page. `requests` are the URLs that it asked for, `complaints` what its console, its loader and its policy said."""

    def __init__(self, socket):
        self.socket = socket
        self.requests, self.complaints = [], []
        self.answers, self.number = queue.Queue(), 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")

    def _read(self):
        with contextlib.suppress(Exception):
            for text in self.socket:
                self._take(json.loads(text))

    def _take(self, message):
        method, told = message.get("method"), message.get("params", {})
        if "id" in message:
            self.answers.put(message)
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Network.loadingFailed":
            self.complaints.append("not loaded: " + told["errorText"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"])[:2000])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(told["args"])[:2000])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        answer = self.answers.get(timeout=WAIT_S)
        assert answer["id"] == self.number and "error" not in answer, (method, answer)
        return answer["result"]

    def run(self, script):
        """The value of an expression, awaited."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, script):
        deadline = time.monotonic() + WAIT_S
        while not self.run(script):
            assert time.monotonic() < deadline, "never true: " + script
            time.sleep(0.02)

    def open(self, url):
        self.call("Page.navigate", url=url)

    def screenshot(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def page():
    chromium = shutil.which("chromium")
    assert chromium, "there is no chromium; run scripts/setup"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="strata-chromium-"))
    process = subprocess.Popen([chromium, *FLAGS, "--user-data-dir=%s" % folder, "about:blank"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_address(process, folder), open_timeout=WAIT_S, max_size=64 << 20) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        try:
            process.wait(timeout=WAIT_S)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _address(process, folder):
    """Of its first page; the port stands in a file once it listens."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "chromium has ended with %s" % process.returncode
        with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
            port = int((folder / "DevToolsActivePort").read_text().split()[0])
            with urllib.request.urlopen("http://127.0.0.1:%d/json" % port, timeout=WAIT_S) as reply:
                return next(each["webSocketDebuggerUrl"] for each in json.load(reply) if each["type"] == "page")
        time.sleep(0.05)
    raise AssertionError("chromium does not listen")
