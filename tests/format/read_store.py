#!/usr/bin/env python3
"""Reads an embedded store by docs/storage-format.md alone, and checks every rule of that page.

It shares nothing with the product: no code, no protobuf library. `read_store(folder)` returns a Store or raises Bad, which
names file and offset. As a program it prints what it found:

    tests/format/read_store.py data/main
"""

import hashlib
import pathlib
import sqlite3
import struct
import sys

STORE_BYTES = 128
SEGMENT_HEADER_BYTES = 4096
FRAME_HEADER_BYTES = 128
FRAME_ALIGN_BYTES = 8
ENTRIES_BYTES_MAX = 64 << 20
EVENTS, SEAL = 1, 2
RESERVED_KINDS = {3: "audit", 4: "tree head"}


class Bad(Exception):
    """The store is not as the page says."""


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    table = _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # the page's own example


def must(good, where, what):
    if not good:
        raise Bad("%s: %s" % (where, what))


def zeros(data):
    return not any(data)


# --- the wire format of protobuf, as far as a stored event needs it ---

def _varint(data, at, where):
    value = shift = 0
    while True:
        must(at < len(data) and shift < 70, where, "a varint is cut")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def wire_fields(data, where):
    """[(number, value)] with value an int or bytes."""
    found = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at, where)
        kind, size = tag & 7, 0
        if kind == 0:
            value, at = _varint(data, at, where)
        else:
            if kind == 2:
                size, at = _varint(data, at, where)
            else:
                must(kind in (1, 5), where, "wire type %d" % kind)
                size = 8 if kind == 1 else 4
            must(at + size <= len(data), where, "field %d is cut" % (tag >> 3))
            value, at = data[at:at + size], at + size
        found.append((tag >> 3, value))
    return found


class Event:
    """One stored event: `header` and `payload` are its bytes."""

    def __init__(self, header, payload, where):
        self.header, self.payload = header, payload
        in_header, in_payload = wire_fields(header, where), wire_fields(payload, where)
        numbers = [number for number, _ in in_header + in_payload]
        must(all(1 <= number <= 29 for number, _ in in_header), where, "a header field is not of 1-29")
        must(all(30 <= number <= 39 for number, _ in in_payload), where, "a payload field is not of 30-39")
        must(numbers == sorted(numbers), where, "the fields are not in their order")
        field = dict(in_header + in_payload)
        self.id = field.get(1, b"").decode()
        self.type = field.get(2, b"").decode()
        self.aggregate_id = field.get(3, b"").decode()
        self.aggregate_type = field.get(4, b"").decode()
        self.version = field.get(5, 0)
        self.position = field.get(6, 0)
        time = dict(wire_fields(field.get(7, b""), where))
        must(time.get(2, 0) % 1000 == 0, where, "the timestamp is finer than a microsecond")
        self.timestamp_us = time.get(1, 0) * 1000000 + time.get(2, 0) // 1000
        self.append_id = field.get(16, b"").decode()
        self.append_index = field.get(17, 0)
        self.append_count = field.get(18, 0)
        self.data = field.get(30, b"")
        self.metadata = field.get(31, b"")
        salt = field.get(32, b"")
        must(len(salt) == 16, where, "the salt has %d bytes" % len(salt))
        digest = hashlib.sha256(salt + struct.pack("<I", len(self.data)) + self.data + self.metadata).digest()
        must(digest == field.get(20), where, "the payload does not have the digest of its header")
        self.leaf = hashlib.sha256(b"\0" + header).digest()


class Store:
    """What a folder holds, all of it checked."""

    def __init__(self):
        self.uuid = b""
        self.created_us = 0
        self.events = []
        self.segments = []  # (first position, events in it)
        self.chain = bytes(32)
        self.timestamp_us = 0
        self.writer_epoch = 0
        self.sealed = False
        self.end = (0, 0)  # first position of the last segment, offset behind the last frame
        self.versions = {}
        self.ids = set()
        self.clean = None  # as state.db remembers it; None = not looked at
        self.snapshots = 0
        self._append = []  # the events of the append that a frame is in

    # --- events ---

    def _take_event(self, event, where):
        must(event.position == len(self.events) + 1, where, "position %d after %d" % (event.position, len(self.events)))
        must(event.id and event.id not in self.ids, where, "the id %r came before" % event.id)
        before = self.versions.get(event.aggregate_id)
        first = 0 if event.type == "$aggregate_created" else 1
        must(event.version == (first if before is None else before + 1), where,
             "version %d of %s after %s" % (event.version, event.aggregate_id, before))
        if self._append:
            head = self._append[0]
            must((event.append_id, event.append_count, event.append_index, event.timestamp_us) ==
                 (head.append_id, head.append_count, len(self._append), head.timestamp_us), where,
                 "this is not event %d of append %s" % (len(self._append), head.append_id))
        else:
            must(event.append_index == 0 and event.append_count >= 1, where, "an append begins with index %d" %
                 event.append_index)
            must(event.timestamp_us > self.timestamp_us, where, "the time does not rise")
        self.events.append(event)
        self.ids.add(event.id)
        self.versions[event.aggregate_id] = event.version
        self.timestamp_us = event.timestamp_us
        self._append.append(event)
        if len(self._append) == event.append_count:
            self.chain = hashlib.sha256(b"\2" + self.chain + struct.pack("<Q", self._append[0].position) +
                                        b"".join(e.leaf for e in self._append)).digest()
            self._append = []

    # --- frames ---

    def _take_entries(self, entries, count, headers_crc, where):
        found = []
        at = crc = 0
        for number in range(count):
            place = "%s, entry %d" % (where, number)
            must(at + 12 <= len(entries), place, "it begins outside the frame")
            header_bytes, payload_bytes, payload_crc = struct.unpack_from("<III", entries, at)
            header_at, payload_at = at + 12, at + 12 + header_bytes
            end = payload_at + payload_bytes
            must(end <= len(entries), place, "it ends outside the frame")
            payload = entries[payload_at:end]
            must(crc32c(payload) == payload_crc, place, "the CRC of its payload is wrong")
            crc = crc32c(entries[at:payload_at], crc)
            found.append((entries[header_at:payload_at], payload, place))
            at = end
        must(at == len(entries), where, "%d bytes follow the last entry" % (len(entries) - at))
        must(crc == headers_crc, where, "the CRC of headers is wrong")
        for header, payload, place in found:
            self._take_event(Event(header, payload, place), place)

    def _take_frame(self, data, at, epoch, where):
        """The offset behind the frame at `at`."""
        must(at + FRAME_HEADER_BYTES <= len(data), where, "the file ends inside a frame header")
        header = data[at:at + FRAME_HEADER_BYTES]
        must(header[:4] == b"STFR", where, "no frame begins here")
        must(crc32c(header[:124]) == struct.unpack_from("<I", header, 124)[0], where, "the CRC of the frame header is wrong")
        kind, flags = header[4], header[5]
        must(kind in (EVENTS, SEAL), where, "a frame of kind %d (%s)" % (kind, RESERVED_KINDS.get(kind, "unknown")))
        must(flags == 0, where, "the flags are %d" % flags)
        must(zeros(header[6:8]) and zeros(header[116:124]), where, "a byte that is kept zero is not")
        entries_bytes, count, position, of_segment, writer_epoch, time_us = struct.unpack_from("<IIQQQq", header, 8)
        before, after = header[48:80], header[80:112]
        headers_crc = struct.unpack_from("<I", header, 112)[0]
        must(entries_bytes <= ENTRIES_BYTES_MAX, where, "%d bytes of entries" % entries_bytes)
        must(of_segment == epoch, where, "the segment epoch is that of another segment")
        must(writer_epoch >= max(self.writer_epoch, 1), where, "the writer epoch falls to %d" % writer_epoch)
        must(position == len(self.events) + 1, where, "its first position is %d after %d" % (position, len(self.events)))
        must(before == self.chain, where, "the chain before it is another")
        if kind == SEAL:
            must(entries_bytes == 0 and count == 0 and headers_crc == 0, where, "a seal with entries")
            must(after == before and time_us == self.timestamp_us, where, "a seal that seals another head")
        else:
            must(count > 0, where, "a frame of events without any")
        start = at + FRAME_HEADER_BYTES
        end = start + entries_bytes
        padded = at + -(-(end - at) // FRAME_ALIGN_BYTES) * FRAME_ALIGN_BYTES
        must(padded <= len(data), where, "the file ends inside the frame")
        self._take_entries(data[start:end], count, headers_crc, where)
        must(not self._append, where, "it ends within an append")
        must(zeros(data[end:padded]), where, "the padding is not zero")
        must(after == self.chain, where, "the chain after it is another")
        must(time_us == self.timestamp_us, where, "the commit time is not that of its last event")
        self.writer_epoch = writer_epoch
        self.sealed = kind == SEAL
        return padded

    # --- segments ---

    def _take_frames(self, name, data, first, epoch):
        at = SEGMENT_HEADER_BYTES
        while at < len(data) and not zeros(data[at:at + FRAME_HEADER_BYTES]):
            at = self._take_frame(data, at, epoch, "%s, offset %d" % (name, at))
        must(zeros(data[at:]), "%s, offset %d" % (name, at), "bytes follow the last frame")
        self.segments.append((first, len(self.events) + 1 - first))
        self.end = (first, at)

    def take_begun(self, name, data):
        """A next.N.pool, behind all that have names: True when it is the last segment."""
        page, rest = data[:SEGMENT_HEADER_BYTES], data[SEGMENT_HEADER_BYTES:]
        frame = rest[:FRAME_HEADER_BYTES]
        if len(frame) < FRAME_HEADER_BYTES:
            return False
        whole = page[:8] == b"STRATASG" and crc32c(page[:4092]) == struct.unpack_from("<I", page, 4092)[0]
        valid = frame[:4] == b"STFR" and crc32c(frame[:124]) == struct.unpack_from("<I", frame, 124)[0]
        if not (whole and not zeros(rest)) and not (not whole and valid):
            return False
        if whole:
            must(struct.unpack_from("<H", page, 8)[0] == 1, name, "another format")
            must(page[16:32] == self.uuid, name, "it belongs to another store")
        self._take_frames(name, data, len(self.events) + 1,
                          struct.unpack_from("<Q", page, 40)[0] if whole else struct.unpack_from("<Q", frame, 24)[0])
        return True

    def take_segment(self, name, data):
        """A whole file of log/ with the name of a segment."""
        must(len(data) >= SEGMENT_HEADER_BYTES, name, "the file ends inside the segment header")
        header = data[:SEGMENT_HEADER_BYTES]
        must(header[:8] == b"STRATASG", name, "the magic word is another")
        must(crc32c(header[:4092]) == struct.unpack_from("<I", header, 4092)[0], name, "the CRC of the segment header is wrong")
        major, _, size = struct.unpack_from("<HHI", header, 8)
        must(major == 1, name, "format %d" % major)
        must(size == SEGMENT_HEADER_BYTES, name, "a header of %d bytes" % size)
        must(header[16:32] == self.uuid, name, "it belongs to another store")
        first, epoch, _ = struct.unpack_from("<QQq", header, 32)
        must(name == "%020d.seg" % first, name, "it begins at position %d" % first)
        must(first == len(self.events) + 1, name, "it follows position %d" % len(self.events))
        must(epoch != 0, name, "the segment epoch is 0")
        must(header[56:88] == self.chain, name, "it continues another chain")
        must(struct.unpack_from("<q", header, 88)[0] == self.timestamp_us, name, "it continues another time")
        must(zeros(header[96:4092]), name, "a byte that is kept zero is not")
        self._take_frames(name, data, first, epoch)


def read_identity(store, name, data):
    must(len(data) == STORE_BYTES, "STORE", "%d bytes" % len(data))
    must(data[:8] == b"STRATAST", "STORE", "the magic word is another")
    must(crc32c(data[:124]) == struct.unpack_from("<I", data, 124)[0], "STORE", "the CRC is wrong")
    major, _, kept = struct.unpack_from("<HHI", data, 8)
    must(major == 1, "STORE", "format %d" % major)
    created_us, id_bytes = struct.unpack_from("<qI", data, 32)
    must(1 <= id_bytes <= 64, "STORE", "an id of %d bytes" % id_bytes)
    must(kept == 0 and zeros(data[44 + id_bytes:124]), "STORE", "a byte that is kept zero is not")
    must(data[44:44 + id_bytes] == name.encode(), "STORE", "it is the store %r" % data[44:44 + id_bytes])
    store.uuid, store.created_us = data[16:32], created_us


def snapshot_crc(row):
    version, state, reducer, created_us, position = row[:5]
    crc = crc32c(struct.pack("<IIIQQ", version, state, reducer, created_us, position))
    for value in row[5:11]:
        crc = crc32c(value, crc32c(struct.pack("<Q", len(value)), crc))
    return crc


# The tables but `snapshot`, with the columns that their crc covers, in that order.
CHECKED_TABLES = {
    "head": "position, chain, segment, end_offset, writer_epoch, clean",
    "value": "key, value",
    "lease": "name, holder, epoch, ttl_us, ends_at_us",
    "checkpoint": "name, position, epoch, put_at_us",
}


def row_crc(row):
    crc = 0
    for value in row:
        if isinstance(value, int):
            crc = crc32c(struct.pack("<Bq", 1, value), crc)
        else:
            crc = crc32c(value, crc32c(struct.pack("<BQ", 2, len(value)), crc))
    return crc


def read_state(store, path):
    """state.db of a store that was stopped: the remembered head against the log, and the CRC of every row."""
    database = sqlite3.connect("file:%s?mode=ro&immutable=1" % path, uri=True)
    try:
        must(database.execute("PRAGMA application_id").fetchone()[0] == 0x53747261, "state.db", "another application id")
        must(database.execute("PRAGMA user_version").fetchone()[0] == 2, "state.db", "another version")
        must([bytes(r[0]) for r in database.execute("SELECT uuid FROM store")] == [store.uuid], "state.db", "of another store")
        for table, columns in CHECKED_TABLES.items():
            for row in database.execute("SELECT %s, crc FROM %s" % (columns, table)):
                must(row_crc(row[:-1]) == row[-1], "state.db", "the CRC of a row of %s is wrong: %r" % (table, row))
        head = database.execute("SELECT position, chain, segment, end_offset, writer_epoch, clean FROM head").fetchone()
        must(head is not None, "state.db", "no head is remembered")
        position, chain, segment, end_offset, writer_epoch, clean = head
        must(position <= len(store.events) and (segment, end_offset) <= store.end, "state.db",
             "history ends at position %d, %s; it was at %d, %s" % (len(store.events), store.end, position, (segment, end_offset)))
        must(writer_epoch >= store.writer_epoch, "state.db", "the writer epoch is behind the log's")
        store.clean = bool(clean)
        if clean:
            must(position == len(store.events) and (segment, end_offset) == store.end and bytes(chain) == store.chain, "state.db",
                 "the clean stop was elsewhere")
            must(store.sealed or not store.events, "state.db", "a clean stop without a seal")
        for row in database.execute("SELECT version, state, reducer_version, created_at_us, position, aggregate_id, "
                                    "aggregate_type, event_digest, data, metadata, folded, size_bytes, crc FROM snapshot"):
            must(snapshot_crc(row) == row[12], "state.db", "the CRC of a snapshot of %r is wrong" % row[5])
            must(sum(len(value) for value in row[5:11]) == row[11], "state.db", "a size_bytes is wrong")
            store.snapshots += 1
    finally:
        database.close()


def read_store(folder, with_state=True):
    """Everything in the folder of a store. `with_state`: it was stopped, so state.db is whole."""
    folder = pathlib.Path(folder)
    store = Store()
    read_identity(store, folder.name, (folder / "STORE").read_bytes())
    for path in sorted((folder / "log").glob("*.seg")):
        store.take_segment(path.name, path.read_bytes())
    begun = [path.name for path in (folder / "log").glob("*.pool") if store.take_begun(path.name, path.read_bytes())]
    must(len(begun) <= 1, "log", "several segments are begun: %s" % begun)
    if with_state:
        read_state(store, folder / "state" / "state.db")
    return store


def main():
    if len(sys.argv) != 2 or sys.argv[1] == "--help":
        print(__doc__.strip())
        return 0 if "--help" in sys.argv else 2
    try:
        store = read_store(sys.argv[1])
    except (Bad, OSError) as error:
        print("bad: %s" % error, file=sys.stderr)
        return 1
    print("good: %d events of %d aggregates in %d segments, %d snapshots, %s\nchain: %s" %
          (len(store.events), len(store.versions), len(store.segments), store.snapshots,
           "clean stop" if store.clean else "not stopped cleanly", store.chain.hex()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
