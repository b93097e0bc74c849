"""An independent reading of stored events: header and payload bytes, digests, leaves and the chain (docs/storage-format.md).

It works on the bytes that ReadEvents delivers and uses neither the product's code nor protobuf's parser.
"""

import hashlib
import struct

FIRST_PAYLOAD_FIELD = 30
FIRST_COMPUTED_FIELD = 40


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """(number, value, start, end) of each field; value is an int or bytes."""
    at = 0
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = data[at:at + 8], at + 8
        elif kind == 5:
            value, at = data[at:at + 4], at + 4
        elif kind == 2:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            raise ValueError("wire type %d" % kind)
        if at > len(data):
            raise ValueError("the message is cut")
        yield tag >> 3, value, start, at


class Record:
    """One stored event."""

    __slots__ = ("id", "type", "aggregate_id", "aggregate_type", "version", "position", "timestamp_us", "append_id",
                 "append_index", "append_count", "data", "metadata", "header", "stored")

    def __init__(self, wire):
        known = {}
        header_end = stored_end = len(wire)
        for number, value, start, _ in fields(wire):
            if number >= FIRST_PAYLOAD_FIELD:
                header_end = min(header_end, start)
            if number >= FIRST_COMPUTED_FIELD:
                stored_end = min(stored_end, start)
            known[number] = value
        self.header = wire[:header_end]
        self.stored = wire[:stored_end]
        self.id = known.get(1, b"").decode()
        self.type = known.get(2, b"").decode()
        self.aggregate_id = known.get(3, b"").decode()
        self.aggregate_type = known.get(4, b"").decode()
        self.version = known.get(5, 0)
        self.position = known.get(6, 0)
        time = {number: value for number, value, _, _ in fields(known.get(7, b""))}
        self.timestamp_us = time.get(1, 0) * 1000000 + time.get(2, 0) // 1000
        self.append_id = known.get(16, b"").decode()
        self.append_index = known.get(17, 0)
        self.append_count = known.get(18, 0)
        self.data = known.get(30, b"")
        self.metadata = known.get(31, b"")
        salt = known.get(32, b"")
        digest = hashlib.sha256(salt + struct.pack("<I", len(self.data)) + self.data + self.metadata).digest()
        if digest != known.get(20):
            raise ValueError("the payload of event %s does not have the digest in its header" % self.id)

    def leaf(self):
        return hashlib.sha256(b"\0" + self.header).digest()


class History:
    """Takes records in the order of positions; raises at the first thing that must not be. Keeps the chain."""

    def __init__(self):
        self.records = []
        self.by_id = {}
        self.versions = {}
        self.types = {}
        self.chain = bytes(32)
        self._append = []

    def take(self, record):
        def must(good, what):
            if not good:
                raise ValueError("position %d, event %s: %s" % (record.position, record.id, what))
        must(record.position == len(self.records) + 1, "the position before is %d" % len(self.records))
        must(record.id not in self.by_id, "its id was recorded before")
        before = self.versions.get(record.aggregate_id)
        expected = (0 if record.type == "$aggregate_created" else 1) if before is None else before + 1
        must(record.version == expected, "version %d of %s, after %s" % (record.version, record.aggregate_id, before))
        must(self.types.setdefault(record.aggregate_id, record.aggregate_type) == record.aggregate_type, "another type")
        if self._append:
            first = self._append[0]
            must(record.append_id == first.append_id and record.append_count == first.append_count and
                 record.append_index == len(self._append) and record.timestamp_us == first.timestamp_us,
                 "not the next event of append %s" % first.append_id)
        else:
            must(record.append_index == 0 and record.append_count >= 1, "an append begins at index %d" % record.append_index)
            must(not self.records or record.timestamp_us > self.records[-1].timestamp_us, "the time does not rise")
        self._append.append(record)
        if len(self._append) == record.append_count:
            self.chain = hashlib.sha256(b"\x02" + self.chain + struct.pack("<Q", self._append[0].position) +
                                        b"".join(r.leaf() for r in self._append)).digest()
            self._append = []
        self.records.append(record)
        self.by_id[record.id] = record
        self.versions[record.aggregate_id] = record.version

    def end(self):
        if self._append:
            raise ValueError("the history ends within append %s" % self._append[0].append_id)


def read_records(channel, after_position=0):
    """Record after record of the whole store, over the bare bytes of ReadEvents."""
    read = channel.unary_stream("/strata.v1.EventService/ReadEvents", request_serializer=lambda b: b,
                                response_deserializer=lambda b: b)
    after = b""
    if after_position:
        value = after_position
        after = b"\x10"
        while value >= 0x80:
            after += bytes([value & 0x7F | 0x80])
            value >>= 7
        after += bytes([value])
    for message in read(after, timeout=600):
        for number, value, _, _ in fields(message):
            if number == 1:
                yield Record(value)


def read_history(channel):
    history = History()
    for record in read_records(channel):
        history.take(record)
    history.end()
    return history
