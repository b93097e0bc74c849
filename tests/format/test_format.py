"""docs/storage-format.md suffices: a reader that knows only that page (read_store.py) reads what the real service wrote,
agrees with its API and with `strata verify`, and notices every byte that changes. The page's own example decodes, too.
"""

import pathlib
import random
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests" / "format"))
from read_store import (FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, Bad, Store, crc32c, read_identity,  # noqa: E402
                        read_state, read_store)
from support.strata_records import read_records  # noqa: E402
from support.strata_rpc import Client, event_pb2, event_service_pb2, snapshot_service_pb2  # noqa: E402
from support.strata_service import BINARY, Service, environment, scaled  # noqa: E402

SEGMENT_BYTES = 1 << 20  # the smallest that can be configured
SEGMENTS = 4
TEXTS = ("", "plain", "größer", "名前", "\\u00e9", "x" * 3000)


def verify(data):
    done = subprocess.run([str(BINARY), "verify", "--quiet", str(data)], capture_output=True, text=True, timeout=300,
                          env=environment())
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout


def fill(client, source):
    """Appends of all shapes, until `SEGMENTS` segments are begun."""
    written = 0
    number = 0
    while written < SEGMENT_BYTES * (SEGMENTS - 1) + SEGMENT_BYTES // 4:
        events = []
        for _ in range(source.choice((1, 1, 2, 7))):
            number += 1
            data = '{"n":%d.%d0,"text":"%s","filler":"%s"}' % (number, number, source.choice(TEXTS), "f" * source.randrange(9000))
            event = event_pb2.NewEvent(type="custom", aggregate_id="fmt-%d" % source.randrange(9), aggregate_type="custom",
                                       data=data.encode(), tags=["t:%d" % t for t in range(source.randrange(4))])
            if source.random() < 0.5:
                event.metadata = b'{"correlation_id":"c-%d","user":"u"}' % number
            if source.random() < 0.3:
                event.occurred_at.FromMicroseconds(1600000000000000 + number)
            if source.random() < 0.1:
                event.content_type = "application/octet-stream"
                event.data = bytes(source.randrange(256) for _ in range(source.randrange(200)))
            events.append(event)
            written += len(data)
        client.events.AppendEvents(event_service_pb2.AppendEventsRequest(events=events), timeout=60)
    for version in range(1, 5):
        client.snapshots.CreateSnapshot(snapshot_service_pb2.CreateSnapshotRequest(aggregate_id="fmt-1", version=version))


class RealStore(unittest.TestCase):
    """One store for all tests, never changed by them."""

    @classmethod
    def setUpClass(cls):
        cls.service = Service(config={"STRATA_DATABASE_EMBEDDED_SEGMENT_SIZE": str(SEGMENT_BYTES)})
        cls.addClassCleanup(Service.remove, cls.service)
        cls.service.start()
        try:
            with Client(cls.service) as client:
                fill(client, random.Random(4711))
                cls.service.stop()
                cls.service.start()  # a second writer epoch, in a segment that is begun
                for number in range(20):
                    status, _, body = cls.service.request("POST", "/api/v1/events/publish", {
                        "type": "user_created", "aggregate_id": "user-%d" % number, "aggregate_type": "user", "version": 1,
                        "data": {"user_id": "user-%d" % number, "email": "a@example.com"}})
                    assert status == 201, body
            with Client(cls.service) as client:
                cls.served = list(read_records(client.channel))
            cls.service.stop()
        finally:
            if cls.service.process.poll() is None:
                cls.service.kill()
        cls.folder = cls.service.data / "main"
        cls.store = read_store(cls.folder)

    def test_the_reader_agrees_with_the_api(self):
        self.assertGreaterEqual(len(self.store.segments), SEGMENTS)
        self.assertTrue(self.store.clean)
        self.assertEqual(self.store.snapshots, 4)
        self.assertEqual([e.header + e.payload for e in self.store.events], [r.stored for r in self.served])
        for event, record in zip(self.store.events, self.served):
            self.assertEqual((event.id, event.position, event.version, event.timestamp_us, event.data, event.metadata),
                             (record.id, record.position, record.version, record.timestamp_us, record.data, record.metadata))

    def test_the_reader_agrees_with_verify(self):
        said = verify(self.service.data)
        self.assertIn("good: %d events of %d aggregates in %d segments, clean stop" %
                      (len(self.store.events), len(self.store.versions), len(self.store.segments)), said)
        self.assertIn("chain: %s\n" % self.store.chain.hex(), said)

    def test_lock_names_a_process_and_nothing_unknown_lies_about(self):
        self.assertRegex((self.folder / "LOCK").read_text(), r"\Aprocess [0-9]+ on host \S+\n\Z")
        for path in (self.folder / "log").iterdir():
            self.assertRegex(path.name, r"\A[0-9]{20}\.seg\Z")
        for path in sorted((self.folder / "log").iterdir()):  # all are cut to their ends, the last by the clean stop
            self.assertFalse(path.read_bytes().endswith(bytes(4096)), path)

    def test_a_store_that_was_killed_reads_the_same(self):
        """kill -9 leaves zeros ahead of the frames, a pool and no clean stop; the events are the same."""
        copy = self.service.data.parent / (self.service.data.name + "-copy")
        shutil.copytree(self.service.data, copy)
        killed = Service(data=copy, config=self.service.config)
        try:
            killed.start()
            killed.request("POST", "/api/v1/events/publish", {
                "type": "user_created", "aggregate_id": "user-k", "aggregate_type": "user", "version": 1,
                "data": {"user_id": "user-k", "email": "a@example.com"}})
            killed.kill()
            store = read_store(copy / "main", with_state=False)
            self.assertEqual([e.header for e in store.events[:-1]], [e.header for e in self.store.events])
            self.assertEqual(store.events[-1].aggregate_id, "user-k")
        finally:
            if killed.process is not None and killed.process.poll() is None:
                killed.kill()
            shutil.rmtree(copy)
            killed.log_path.unlink(missing_ok=True)

    def test_a_segment_that_is_begun_reads_the_same(self):
        """As a crash leaves it between its first frame and its name; the next start gives it both."""
        copy = self.service.data.parent / (self.service.data.name + "-begun")
        for first_page in ("prepared", "half written"):
            shutil.copytree(self.service.data, copy)
            begun = Service(data=copy, config=self.service.config)
            try:
                last = sorted((copy / "main/log").iterdir())[-1]
                image = bytearray(last.read_bytes())
                header = bytes(image[:SEGMENT_HEADER_BYTES])
                image[32:40], image[56:96] = bytes(8), bytes(40)
                if first_page == "prepared":
                    image[4092:4096] = crc32c(bytes(image[:4092])).to_bytes(4, "little")
                pool = last.with_name("next.7.pool")
                last.unlink()
                pool.write_bytes(image + bytes(100000))
                store = read_store(copy / "main")
                self.assertEqual([e.header for e in store.events], [e.header for e in self.store.events])
                self.assertEqual((store.segments, store.end), (self.store.segments, self.store.end))
                self.assertIn("good: %d events" % len(store.events), verify(copy))
                begun.start()
                begun.stop()
                self.assertFalse(pool.exists())
                named = last.read_bytes()
                self.assertEqual((named[:48], named[56:4092]), (header[:48], header[56:4092]))  # made at another time
                self.assertEqual(read_store(copy / "main").chain, store.chain)
            finally:
                if begun.process is not None and begun.process.poll() is None:
                    begun.kill()
                shutil.rmtree(copy)
                copy.with_name(copy.name + ".log").unlink(missing_ok=True)

    # --- the reader notices ---

    def reread(self, segments, identity=None):
        """As read_store, from the bytes of the segments by name."""
        store = Store()
        read_identity(store, "main", identity or (self.folder / "STORE").read_bytes())
        for name in sorted(segments):
            store.take_segment(name, segments[name])
        read_state(store, self.folder / "state" / "state.db")
        return store

    def test_flipped_bytes_of_a_large_log_are_noticed(self):
        source = random.Random(7)
        names = sorted(path.name for path in (self.folder / "log").iterdir())
        for _ in range(scaled(20, 3)):
            name = source.choice(names)
            segments = {n: (self.folder / "log" / n).read_bytes() for n in names}
            at = source.randrange(len(segments[name]))
            changed = bytearray(segments[name])
            changed[at] ^= 1 << source.randrange(8)
            with self.assertRaises(Bad, msg="%s, byte %d" % (name, at)):
                self.reread({**segments, name: bytes(changed)})

    def test_a_missing_or_cut_segment_is_noticed(self):
        names = sorted(path.name for path in (self.folder / "log").iterdir())
        segments = {n: (self.folder / "log" / n).read_bytes() for n in names}
        for name in (names[0], names[-2], names[-1]):
            with self.assertRaises(Bad, msg=name):
                self.reread({n: b for n, b in segments.items() if n != name})
        for cut in (1, FRAME_HEADER_BYTES, 5000):  # a cut by the seal alone leaves a log that is whole in itself
            with self.assertRaises(Bad, msg=str(cut)):
                self.reread({**segments, names[-1]: segments[names[-1]][:-cut]})

    def test_every_flipped_byte_of_store_is_noticed(self):
        identity = (self.folder / "STORE").read_bytes()
        for at in range(len(identity)):
            changed = bytearray(identity)
            changed[at] ^= 1 << at % 8
            with self.assertRaises(Bad, msg="byte %d" % at):
                read_identity(Store(), "main", bytes(changed))


class Page(unittest.TestCase):
    """The hex dump in the page."""

    @classmethod
    def setUpClass(cls):
        page = (ROOT / "docs" / "storage-format.md").read_text()
        example = page.split("\n## An example\n")[1].split("\n## ")[0]
        rows = re.findall(r"^([0-9a-f]{8}): ([0-9a-f ]{39})  (.{1,16})", example, re.M)
        assert len(rows) > 30, "the page has lost its example"
        cls.image = bytearray()
        for offset, digits, text in rows:
            row = bytes.fromhex(digits.replace(" ", ""))
            assert int(offset, 16) >= len(cls.image), "the rows of the dump overlap at %s" % offset
            cls.image += bytes(int(offset, 16) - len(cls.image)) + row
            shown = "".join(chr(b) if 32 <= b < 127 else "." for b in row)
            assert shown.rstrip() == text.rstrip(), "the row at %s shows %r for %r" % (offset, text, shown)
        cls.image = bytes(cls.image)

    def read(self, image):
        store = Store()
        store.uuid = image[16:32]
        store.take_segment("00000000000000000001.seg", image)
        return store

    def test_the_example_decodes_by_the_rules_of_the_page(self):
        store = self.read(self.image)
        self.assertTrue(store.sealed)
        self.assertEqual(store.end, (1, len(self.image)))
        event, = store.events
        self.assertEqual((event.type, event.aggregate_id, event.aggregate_type, event.version, event.position),
                         ("user_created", "user-123", "user", 1, 1))
        self.assertEqual(event.data, b'{"user_id":"user-123","role":"user"}')
        self.assertEqual(self.read(self.image + bytes(8192)).chain, store.chain)  # zeros may follow

    def test_every_flipped_byte_of_the_example_is_noticed(self):
        for at in list(range(0, SEGMENT_HEADER_BYTES, 16 if scaled(100) < 100 else 1)) + list(range(SEGMENT_HEADER_BYTES, len(self.image))):
            if 16 <= at < 32:
                continue  # the uuid of the store; its CRC is checked below
            changed = bytearray(self.image)
            changed[at] ^= 1 << at % 8
            with self.assertRaises(Bad, msg="byte %d" % at):
                self.read(bytes(changed))
        changed = bytearray(self.image)
        changed[20] ^= 1
        with self.assertRaisesRegex(Bad, "CRC of the segment header"):
            self.read(bytes(changed))

    def test_a_frame_whose_checksums_fit_is_still_checked(self):
        """What only the rules behind the checksums tell: each change is made with the CRC that fits it."""
        frame, seal = SEGMENT_HEADER_BYTES, len(self.image) - FRAME_HEADER_BYTES
        for at, what in ((frame + 5, "flags"), (frame + 6, "kept zero"), (frame + 16, "first position"), (frame + 24, "epoch"),
                         (frame + 40, "commit time"), (frame + 48, "chain before"), (frame + 80, "chain after"),
                         (seal + 4, "kind"), (seal + 16, "first position"), (seal + 40, "seals another head"),
                         (seal + 80, "seals another head"), (seal + 116, "kept zero")):
            changed = bytearray(self.image)
            changed[at] ^= 0x10
            begin = frame if at < seal else seal
            changed[begin + 124:begin + 128] = crc32c(bytes(changed[begin:begin + 124])).to_bytes(4, "little")
            with self.assertRaisesRegex(Bad, what):
                self.read(bytes(changed))


if __name__ == "__main__":
    unittest.main()
