"""Server-Sent Events and NDJSON, read with curl and with bare HTTP."""

import http.client
import json
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_rpc import Client, event_pb2, event_service_pb2  # noqa: E402
from support.strata_service import Service  # noqa: E402

WAIT_S = 60


def custom(aggregate, n=0, **fields):
    return event_pb2.NewEvent(type="custom", aggregate_id=aggregate, aggregate_type="custom", data=b'{"n":%d}' % n,
                              **fields)


class Stream:
    """An event stream over bare HTTP; `next()` gives (name, id, data)."""

    def __init__(self, service, query="", headers=()):
        self.connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=WAIT_S)
        self.connection.request("GET", "/api/v1/events/subscribe" + query,
                                headers={"Accept": "text/event-stream", **dict(headers)})
        self.reply = self.connection.getresponse()

    def next(self):
        name, position, data = "message", None, []
        while True:
            line = self.reply.readline().decode().rstrip("\n")
            if line == "" and data:
                return name, position, json.loads("\n".join(data))
            if line == "" and self.reply.isclosed():
                raise EOFError
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "id":
                position = value
            elif field == "data":
                data.append(value)

    def events(self, count):
        events = []
        while len(events) < count:
            name, position, data = self.next()
            if name == "message":
                assert position == data["position"], (position, data)
                events.append(data)
        return events

    def take(self, wanted):
        while True:
            name, position, data = self.next()
            if name == wanted:
                return position, data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


class Sse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.service = Service().start()
        cls.client = Client(cls.service)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.service.stop()
        cls.service.remove()

    def append(self, *events):
        return self.client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=events))

    def test_events_carry_their_position_as_id(self):
        start = self.append(custom("ids")).last_position
        self.append(*[custom("ids", n) for n in range(5)])
        with Stream(self.service, "?after_position=%d&aggregate_ids=ids" % start) as stream:
            self.assertEqual(stream.reply.status, 200)
            self.assertEqual(stream.reply.headers["Content-Type"], "text/event-stream")
            self.assertEqual(stream.reply.headers["Cache-Control"], "no-store")
            events = stream.events(5)
            self.assertEqual([e["data"]["n"] for e in events], [0, 1, 2, 3, 4])
            self.assertEqual([int(e["position"]) for e in events], list(range(start + 1, start + 6)))
            stream.take("caught_up")
            self.append(custom("ids", 99))
            self.assertEqual(stream.events(1)[0]["data"], {"n": 99})

    def test_last_event_id_wins_over_the_start_in_the_url(self):
        positions = [self.append(custom("resume", n)).last_position for n in range(6)]
        url = "?aggregate_ids=resume&after_position=0"
        with Stream(self.service, url, {"Last-Event-ID": str(positions[3])}) as stream:
            self.assertEqual([e["data"]["n"] for e in stream.events(2)], [4, 5])
        with Stream(self.service, "?aggregate_ids=resume&from_end=true", {"Last-Event-ID": str(positions[4])}) as stream:
            self.assertEqual([e["data"]["n"] for e in stream.events(1)], [5])
        with Stream(self.service, url) as stream:
            self.assertEqual([e["data"]["n"] for e in stream.events(6)], list(range(6)))

    def test_a_browser_that_comes_back_misses_nothing_while_appends_run(self):
        stop = threading.Event()
        start = self.append(custom("browser")).last_position
        appended = []

        def run():
            while not stop.is_set():
                appended.append(self.append(custom("browser", len(appended) + 1), custom("noise")))
        thread = threading.Thread(target=run)
        thread.start()
        try:
            seen, last = [], str(start)
            for _ in range(8):
                with Stream(self.service, "?types=custom&aggregate_ids=browser", {"Last-Event-ID": last}) as stream:
                    seen += stream.events(15)
                last = seen[-1]["position"]
        finally:
            stop.set()
            thread.join()
        self.assertEqual([e["data"]["n"] for e in seen], list(range(1, len(seen) + 1)))

    def test_a_faulty_start_is_refused_before_the_stream_begins(self):
        for query, headers in (("?after_position=x", {}), ("?tpyes=a", {}), ("", {"Last-Event-ID": "x"}),
                               ("?after_position=99999999999", {})):
            with self.subTest(query=query, headers=headers):
                with Stream(self.service, query, headers) as stream:
                    self.assertEqual(stream.reply.status, 400)
                    self.assertEqual(json.loads(stream.reply.read())["status"], 400)

    def test_curl_shows_the_stream(self):
        start = self.append(custom("curl")).last_position
        self.append(custom("curl", 1), custom("curl", 2))
        shown = ""
        with subprocess.Popen(["curl", "-sN", "--max-time", str(WAIT_S),
                               self.service.http + "/api/v1/events/subscribe?aggregate_ids=curl",
                               "-H", "Last-Event-ID: %d" % start], stdout=subprocess.PIPE, text=True) as curl:
            while "event: caught_up" not in shown and (line := curl.stdout.readline()):
                shown += line
            self.assertIsNone(curl.poll(), "the stream ended")
            curl.kill()
        blocks = [b.splitlines() for b in shown.split("\n\n") if b.startswith("id: ")]
        self.assertEqual([b[0] for b in blocks], ["id: %d" % (start + 1), "id: %d" % (start + 2)])
        self.assertEqual([json.loads(b[1][len("data: "):])["data"]["n"] for b in blocks], [1, 2])

    def test_the_stream_as_ndjson(self):
        start = self.append(custom("nd")).last_position
        self.append(custom("nd", 7))
        with Stream(self.service, "?after_position=%d&aggregate_ids=nd" % start,
                    {"Accept": "application/x-ndjson"}) as stream:
            self.assertEqual(stream.reply.headers["Content-Type"], "application/x-ndjson")
            self.assertEqual(json.loads(stream.reply.readline())["event"]["data"], {"n": 7})
            self.assertIn("caught_up", json.loads(stream.reply.readline()))

    def test_a_list_as_ndjson_walks_all_pages(self):
        count = 5300
        for first in range(0, count, 100):
            self.append(*[custom("list", n) for n in range(first, first + 100)])
        done = subprocess.run(
            ["curl", "-s", "-D", "/dev/stderr", self.service.http + "/api/v1/events/aggregate/list?page_size=1000",
             "-H", "Accept: application/x-ndjson"], capture_output=True, text=True, timeout=WAIT_S)
        self.assertEqual(done.returncode, 0)
        self.assertIn("application/x-ndjson", done.stderr)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([e["version"] for e in events], list(range(1, count + 1)))
        self.assertEqual([e["data"]["n"] for e in events], list(range(count)))
        # The default page size and the other direction give the same.
        _, headers, content = self.service.request("GET", "/api/v1/events?aggregate_id=list&direction=BACKWARD", None,
                                                   {"Accept": "application/x-ndjson"})
        backward = [json.loads(line)["version"] for line in content.splitlines()]
        self.assertEqual(backward, list(range(count, 0, -1)))
        _, _, content = self.service.request("GET", "/api/v1/events/type/never_seen", None,
                                             {"Accept": "application/x-ndjson"})
        self.assertEqual(content, b"")
        status, headers, problem = self.service.request("GET", "/api/v1/events/aggregate/nobody", None,
                                                        {"Accept": "application/x-ndjson"})
        self.assertEqual((status, problem["reason"]), (404, "AGGREGATE_UNKNOWN"))
        for path in ("/api/v1/aggregates?type=custom", "/api/v1/snapshots"):
            status, headers, _ = self.service.request("GET", path, None, {"Accept": "application/x-ndjson"})
            self.assertEqual((status, headers["Content-Type"]), (200, "application/x-ndjson"))

    def test_pages_of_json_follow_their_tokens(self):
        self.append(*[custom("paged", n) for n in range(250)])
        versions, token = [], ""
        while True:
            status, _, page = self.service.request(
                "GET", "/api/v1/events/aggregate/paged" + ("?page_token=" + token if token else ""))
            self.assertEqual(status, 200, page)
            versions += [e["version"] for e in page["events"]]
            token = page["next_page_token"]
            if not token:
                break
        self.assertEqual(versions, list(range(1, 251)))


class Shutdown(unittest.TestCase):
    def test_a_clean_stop_ends_the_stream_after_saying_so(self):
        with Service() as s, Client(s) as client, Stream(s, "?after_position=0") as stream:
            client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=[custom("end")]))
            stream.events(1)
            s.process.terminate()
            position, closing = stream.take("closing")
            self.assertEqual((position, closing["reason"]), ("1", "SHUTTING_DOWN"))
            self.assertEqual(stream.reply.read(), b"")
            self.assertEqual(s.process.wait(60), 0, s.log())


if __name__ == "__main__":
    unittest.main()
