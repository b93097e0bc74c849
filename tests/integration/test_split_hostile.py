"""The gateway in front of a core that misbehaves: a small HTTP/2 server that does what each test says."""

import concurrent.futures
import json
import socket
import struct
import sys
import threading
import time
import unittest
import urllib.request

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame, PingFrame, SettingsFrame, WindowUpdateFrame

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_service import Service, stubs  # noqa: E402

stubs()
from strata.v1 import event_pb2, event_service_pb2, subscription_service_pb2  # noqa: E402

WAIT_S = 60
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
EVENT = {"type": "custom", "aggregate_id": "a", "aggregate_type": "custom", "data": {"n": 1}}
UNKNOWN = (500, "OUTCOME_UNKNOWN")
UNREACHABLE = (503, "STORE_UNREACHABLE")


def framed(message, compressed=0):
    return struct.pack(">BI", compressed, len(message)) + message


def recorded(text=""):
    made = event_pb2.Event(id="e-1", type="custom", aggregate_id="a", aggregate_type="custom", version=1, position=7)
    made.metadata = json.dumps({"text": text}).encode()
    return event_service_pb2.PublishEventResponse(event=made).SerializeToString()


class Peer:
    """A connection from the gateway, on a thread of its own. What a script does to it, it does on that thread; who says more to
    it later takes `lock`."""

    def __init__(self, core, connection, number):
        self.core, self.socket, self.number, self.window = core, connection, number, 1 << 30
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False))
        self.state.local_settings = h2.settings.Settings(client=False, initial_values=core.settings)
        self.paths = {}
        self.lock = threading.Lock()

    def run(self):
        try:
            self.state.initiate_connection()
            self.socket.sendall(self.state.data_to_send())
            while data := self.socket.recv(65536):
                with self.lock:
                    for event in self.state.receive_data(data):
                        self.take(event)
                    self.flush()
        except (OSError, h2.exceptions.ProtocolError):
            pass  # the gateway, or the script, has closed it
        finally:
            self.socket.close()

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.paths[event.stream_id] = dict(event.headers)[":path"].rsplit("/", 1)[1]
        elif isinstance(event, h2.events.SettingsAcknowledged):
            self.core.greeted.set()
        elif isinstance(event, h2.events.DataReceived) and event.flow_controlled_length and self.core.acknowledge:
            self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            method = self.paths[event.stream_id]
            with self.core.lock:
                self.core.calls.append((self.number, method))
                count = sum(1 for _, other in self.core.calls if other == method)
            self.core.script(self, event.stream_id, method, count)

    def flush(self):
        self.socket.sendall(self.state.data_to_send())

    def reply(self, stream, message, trailers=(("grpc-status", "0"),)):
        self.state.send_headers(stream, HEAD)
        self.data(stream, framed(message))
        self.state.send_headers(stream, trailers, end_stream=True)

    def data(self, stream, data, part=16384):
        """As far as the windows allow; the rest when the gateway has opened them."""
        while data:
            room = min(part, self.state.local_flow_control_window(stream), len(data))
            if room == 0:
                self.flush()
                received = self.socket.recv(65536)
                if not received:
                    raise OSError("closed")
                for event in self.state.receive_data(received):
                    self.take(event)
                continue
            self.state.send_data(stream, data[:room])
            data = data[room:]

    def reset(self, stream, code):
        self.state.reset_stream(stream, code)

    def cut(self):
        """What was said so far, then a TCP reset."""
        self.flush()
        time.sleep(0.1)  # a reset would overtake it
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        raise OSError("cut")


class Core:
    def __init__(self, script, settings=None, acknowledge=True):
        self.script, self.acknowledge, self.calls, self.lock = script, acknowledge, [], threading.Lock()
        self.settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 100, **(settings or {})}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections = 0
        self.greeted = threading.Event()  # a gateway has its connection
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.serve(connection)

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Peer(self, connection, self.connections).run, daemon=True).start()

    def close(self):
        self.listener.close()

    def count(self, method):
        with self.lock:
            return sum(1 for _, other in self.calls if other == method)


class Closer(Core):
    """A proxy whose core is away: takes connections and closes them."""

    def serve(self, connection):
        connection.close()


class Mute(Core):
    def serve(self, connection):
        self.kept = [*getattr(self, "kept", ()), connection]


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateways = []

    def behind(self, script, kind=Core, **options):
        """A gateway whose core does `script`."""
        self.core = kind(script, **options)
        self.addCleanup(self.core.close)
        self.gateway = Service(arguments=["--only", "gateway", "--upstream", self.core.address])
        self.addCleanup(self.gateway.remove)
        self.gateway.start()
        self.addCleanup(self.gateway.stop)
        if kind not in (Closer, Mute):
            self.assertTrue(self.core.greeted.wait(WAIT_S), self.gateway.log())  # a call waits only a second for it
        return self.gateway

    def publish(self):
        status, headers, body = self.gateway.request("POST", "/api/v1/events/publish", EVENT, timeout=WAIT_S)
        return status, body.get("reason") or body

    def read(self, path="/api/v1/aggregates/a"):
        status, headers, body = self.gateway.request("GET", path, timeout=WAIT_S)
        return status, body.get("reason") or body

    def expect(self, script, publish=None, published=1, read=None, was_read=None, **options):
        """What a script makes of a write and of a read, and how often the core saw each."""
        self.behind(script, **options)
        if publish is not None:
            self.assertEqual(self.publish()[:2], publish)
            self.assertEqual(self.core.count("PublishEvent"), published)
        if read is not None:
            self.assertEqual(self.read()[:2], read)
            if was_read is not None:
                self.assertEqual(self.core.count("GetAggregate"), was_read)

    # --- streams that end too early ---

    def test_what_was_refused_is_repeated_once_and_then_not_called_unknown(self):
        self.expect(lambda peer, stream, method, n: peer.reset(stream, 7), UNREACHABLE, 2, UNREACHABLE, 2)

    def test_what_was_refused_once_succeeds(self):
        self.behind(lambda peer, stream, method, n: peer.reset(stream, 7) if n == 1 else peer.reply(stream, recorded()))
        status, body = self.publish()
        self.assertEqual((status, body["position"]), (201, "7"), body)
        self.assertEqual(self.core.count("PublishEvent"), 2)

    def test_a_reset_before_the_answer_leaves_a_write_unknown_and_repeats_a_read(self):
        self.expect(lambda peer, stream, method, n: peer.reset(stream, 2), UNKNOWN, 1, UNREACHABLE, 2)

    def test_a_reset_within_the_answer_leaves_a_write_unknown(self):
        def script(peer, stream, method, n):
            peer.state.send_headers(stream, HEAD)
            peer.state.send_data(stream, framed(recorded())[:20])
            peer.reset(stream, 8)
        self.expect(script, UNKNOWN, 1, UNREACHABLE, 2)

    def test_a_connection_reset_within_the_answer(self):
        def script(peer, stream, method, n):
            peer.state.send_headers(stream, HEAD)
            peer.state.send_data(stream, framed(recorded())[:20])
            peer.cut()
        self.expect(script, UNKNOWN, 1, UNREACHABLE, 2)

    def test_a_verdict_that_comes_before_the_end_is_none(self):
        def script(peer, stream, method, n):
            peer.state.send_headers(stream, [*HEAD, ("grpc-status", "0")])
            peer.state.send_data(stream, framed(recorded()))
            peer.cut()
        self.expect(script, UNKNOWN, 1)

    def test_an_end_without_trailers(self):
        def script(peer, stream, method, n):
            peer.state.send_headers(stream, HEAD)
            peer.state.send_data(stream, framed(recorded()), end_stream=True)
        self.expect(script, UNKNOWN, 1, UNREACHABLE, 2)

    def test_a_request_that_could_not_be_sent_was_not_executed(self):
        """A window that never opens, and then the connection is gone."""
        def closing(peer):
            time.sleep(0.3)
            peer.socket.shutdown(socket.SHUT_RDWR)

        class Stalling(Peer):
            def take(self, event):
                super().take(event)
                if isinstance(event, h2.events.RequestReceived):
                    threading.Thread(target=closing, args=(self,), daemon=True).start()

        class StallingCore(Core):
            def serve(self, connection):
                threading.Thread(target=Stalling(self, connection, self.connections).run, daemon=True).start()
        self.expect(lambda *_: None, UNREACHABLE, 0, kind=StallingCore, acknowledge=False,
                    settings={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 8})

    # --- answers ---

    def test_a_refusal_in_trailers_only(self):
        def script(peer, stream, method, n):
            peer.state.send_headers(stream, [*HEAD, ("grpc-status", "5"), ("grpc-message", "no%20such%2")], end_stream=True)
        self.behind(script)
        status, _, problem = self.gateway.request("GET", "/api/v1/aggregates/a")
        self.assertEqual((status, problem["detail"]), (404, "no such%2"))
        self.assertEqual(self.publish()[0], 404)

    def test_a_failure_that_no_core_has_made_leaves_a_write_unknown(self):
        def script(peer, stream, method, n):
            peer.state.send_headers(stream, [*HEAD, ("grpc-status", "14"), ("grpc-message", "upstream reset")], end_stream=True)
        self.expect(script, UNKNOWN, 1)
        self.assertEqual(self.read()[0], 503)

    def test_a_proxy_that_answers_itself(self):
        for answered, expected in ((404, UNREACHABLE), (504, UNKNOWN)):
            with self.subTest(answered):
                self.expect(lambda peer, stream, method, n: peer.state.send_headers(
                    stream, [(":status", str(answered))], end_stream=True), expected, 1, UNREACHABLE, 1)

    def test_a_message_in_many_frames_and_one_larger_than_the_window(self):
        text = "z" * 700000

        def script(peer, stream, method, n):
            peer.state.send_headers(stream, HEAD)
            peer.data(stream, framed(recorded() if n == 1 else recorded(text)), 1 if n == 1 else 16384)
            peer.state.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        self.behind(script)
        self.assertEqual(self.publish()[0], 201)
        status, body = self.publish()
        self.assertEqual((status, body["metadata"]["text"]), (201, text))

    def test_answers_that_are_no_message(self):
        def compressed(peer, stream, method, n):
            peer.state.send_headers(stream, HEAD)
            peer.state.send_data(stream, framed(recorded(), 1))
            peer.state.send_headers(stream, [("grpc-status", "0")], end_stream=True)

        def cut_short(peer, stream, method, n):
            peer.state.send_headers(stream, HEAD)
            peer.state.send_data(stream, framed(recorded())[:-1])
            peer.state.send_headers(stream, [("grpc-status", "0")], end_stream=True)

        def empty(peer, stream, method, n):
            peer.state.send_headers(stream, [*HEAD, ("grpc-status", "0")], end_stream=True)
        for script in (compressed, cut_short, empty):
            with self.subTest(script.__name__):
                self.expect(script, UNKNOWN, 1)
                self.assertEqual(self.read()[0], 500)

    def test_an_answer_without_end_is_cut(self):
        def script(peer, stream, method, n):
            peer.state.send_headers(stream, HEAD)
            peer.data(stream, struct.pack(">BI", 0, 0xffffffff) + bytes(20 << 20))
        self.expect(script, UNKNOWN, 1)

    def test_fields_without_measure(self):
        """The same long text again and again costs its sender a byte each time."""
        long = "m" * 4000

        def script(peer, stream, method, n):
            fields = [("grpc-status", "9"), *[("grpc-message", long)] * 10000, ("strata-http-status", "99999")]
            peer.state.send_headers(stream, [*HEAD, *fields], end_stream=True)
        self.behind(script)
        before = self.resident()
        for _ in range(20):
            self.assertEqual(self.read()[0], 400)
        self.assertLess(self.resident() - before, 64 << 20)

    def resident(self):
        with open("/proc/%d/statm" % self.gateway.process.pid) as memory:
            return int(memory.read().split()[1]) * 4096

    def test_a_status_that_is_none_is_left_out(self):
        for shown in ("0", "99", "1000", "999999999", "-5", "x"):
            self.behind(lambda peer, stream, method, n: peer.reply(
                stream, recorded(), [("grpc-status", "0"), ("strata-http-status", shown)]))
            self.assertEqual(self.publish()[0], 201)

    # --- connections ---

    def test_who_takes_connections_and_closes_them_is_no_core(self):
        self.behind(None, kind=Closer)
        self.assertEqual(self.publish(), UNREACHABLE)
        self.assertLess(self.core.connections, 20)

    def test_who_takes_connections_and_says_nothing_is_no_core(self):
        self.behind(None, kind=Mute)
        self.assertEqual(self.publish(), UNREACHABLE)

    def subscribe(self):
        stream = urllib.request.urlopen(self.gateway.http + "/api/v1/events/subscribe?after_position=0", timeout=WAIT_S)
        self.addCleanup(stream.close)
        return stream

    @staticmethod
    def caught_up(position):
        response = subscription_service_pb2.SubscribeResponse()
        response.caught_up.position = position
        return framed(response.SerializeToString())

    def begin_stream(self, peer, stream):
        peer.state.send_headers(stream, HEAD)
        peer.data(stream, self.caught_up(41))

    @staticmethod
    def told(stream, kind):
        while stream.readline().strip() != b"event: " + kind:
            pass
        return int(stream.readline().split()[1]), json.loads(stream.readline()[6:])

    def test_a_core_that_asks_to_go_elsewhere_keeps_its_subscriptions_and_gets_no_calls(self):
        going = []

        def script(peer, stream, method, n):
            if method == "Subscribe":
                # Before the stream's first frame, so that who was told of that knows of this.
                peer.flush()
                peer.socket.sendall(GoAwayFrame(0, last_stream_id=stream).serialize())
                self.begin_stream(peer, stream)
                going.append((peer, stream))
            else:
                peer.reply(stream, recorded())
        self.behind(script)
        stream = self.subscribe()
        self.assertEqual(self.told(stream, b"caught_up")[0], 41)
        for _ in range(5):
            self.assertEqual(self.publish()[0], 201)
        with self.core.lock:
            self.assertEqual({number for number, method in self.core.calls if method == "PublishEvent"}, {2})
        peer, number = going[0]
        with peer.lock:
            peer.data(number, self.caught_up(43))
            peer.flush()
        self.assertEqual(self.told(stream, b"caught_up")[0], 43)
        stream.close()

    def test_a_core_that_takes_few_calls_of_a_connection_gets_more_connections(self):
        def script(peer, stream, method, n):
            if method == "Subscribe":
                self.begin_stream(peer, stream)
            else:
                peer.reply(stream, recorded())
        self.behind(script, settings={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        streams = [self.subscribe() for _ in range(7)]
        for stream in streams:
            self.assertEqual(self.told(stream, b"caught_up")[0], 41)
        self.assertEqual(self.publish()[0], 201)
        self.assertEqual(self.core.connections, 4)
        for stream in streams:
            stream.close()

    def test_a_core_that_breaks_the_protocol_loses_the_connection(self):
        def overflow(peer, stream):
            return WindowUpdateFrame(stream, 0x7fffffff).serialize() * 2

        def nonsense(peer, stream):
            return b"\xff" * 4096

        def settings(peer, stream):
            return SettingsFrame(0, {5: 3}).serialize()
        for frames in (overflow, nonsense, settings):
            with self.subTest(frames.__name__):
                def script(peer, stream, method, n):
                    peer.flush()
                    peer.socket.sendall(frames(peer, stream))
                self.expect(script, UNKNOWN, 1)
                self.assertEqual(self.read(), UNREACHABLE)

    def test_floods_are_survived(self):
        def script(peer, stream, method, n):
            peer.flush()
            peer.socket.sendall(PingFrame(0, b"12345678").serialize() * 3000 + SettingsFrame(0).serialize() * 3000)
            peer.reply(stream, recorded())
        self.behind(script)
        for _ in range(3):
            self.assertIn(self.publish()[0], (201, 500))
        self.assertEqual(self.gateway.request("GET", "/livez")[0], 200)

    # --- the gateway stops ---

    def test_a_stop_does_not_wait_for_a_core_that_does_not_answer(self):
        def script(peer, stream, method, n):
            if method == "Subscribe":
                self.begin_stream(peer, stream)
        self.behind(script)
        stream = self.subscribe()
        self.told(stream, b"caught_up")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            writing = pool.submit(self.publish)
            while self.core.count("PublishEvent") == 0:
                time.sleep(0.02)
            self.gateway.terminate()
            self.assertEqual(self.told(stream, b"closing"), (41, {"reason": "SHUTTING_DOWN", "position": "41"}))
            self.assertEqual(stream.read(), b"\n")
            with self.assertRaises(OSError):
                writing.result()
        self.gateway.stop()


if __name__ == "__main__":
    unittest.main()
