"""Subscribers that are cut off at random and come back at the last position that they have seen whole, while appends run
at full rate: every event once and in order, over each transport, with and without filters.

STRATA_TEST_RESUMES sets how often each transport is cut, STRATA_TEST_SEED the seed.
"""

import array
import collections
import contextlib
import multiprocessing
import os
import pathlib
import random
import sys
import time
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.cut_streams import TRANSPORTS, WAIT_S  # noqa: E402
from support.strata_rpc import Client, event_pb2, event_service_pb2  # noqa: E402
from support.strata_service import Service, scaled  # noqa: E402

RESUMES = int(os.environ.get("STRATA_TEST_RESUMES", scaled(60, 12)))
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))
WINDOW = 16  # appends without an answer
EVENTS_MAX = 4000000  # where the writer pauses for good; nobody is to wait for a machine that is too slow to read them

# --- which event is which: everything follows from its number ---

AGGREGATES = 40


def aggregate_of(number):
    return "%s-%d" % ("odd" if number % 3 else "even", number % AGGREGATES)


def type_of(number):
    return "custom" if number * 7919 % 50 else "audit"


def tags_of(number):
    return ["n:%d" % (number % 30)] + ["rare"] * (number % 128 == 0) + ["seldom"] * (number % 9973 == 0)


FILTERS = [
    ("everything", [], lambda number: True),
    ("types", [("types", "audit")], lambda number: number * 7919 % 50 == 0),
    ("tags", [("tags", "rare")], lambda number: number % 128 == 0),
    ("a prefix", [("aggregate_id_prefixes", "even-3")], lambda number: aggregate_of(number).startswith("even-3")),
    # So few that there are checkpoints between them, from which it is resumed.
    ("seldom", [("tags", "seldom")], lambda number: number % 9973 == 0),
]


# --- the writer: a process, so that it shares no interpreter with the readers ---

def new_event(number):
    return event_pb2.NewEvent(type=type_of(number), aggregate_id=aggregate_of(number), aggregate_type="custom",
                              tags=tags_of(number), data=b'{"n":%d}' % number)


class Address:
    """What Client needs of a service that another process has started."""

    def __init__(self, ports):
        self.grpc = "127.0.0.1:%d" % ports["grpc"]


def write(ports, seed, stop, result):
    """Appends without pause, WINDOW at a time, until `stop`; puts the seconds and [number of the event at position 1, …]."""
    source = random.Random(seed)
    waiting = collections.deque()
    numbers = array.array("q")
    room = multiprocessing.get_context("spawn").Semaphore(WINDOW)

    def requests():
        number = 0
        while not stop.is_set() and number < EVENTS_MAX:
            count = source.choice((1, 1, 1, 2, 5, 20))
            room.acquire()
            waiting.append((number, count))
            yield event_service_pb2.AppendStreamRequest(append=event_service_pb2.AppendEventsRequest(
                events=[new_event(n) for n in range(number, number + count)]))
            number += count

    begin = time.monotonic()
    with Client(Address(ports)) as client:
        for answer in client.events.AppendStream(requests(), timeout=3600):
            first, count = waiting.popleft()
            done = answer.appended
            assert done.last_position - done.first_position + 1 == count, answer
            assert done.first_position == len(numbers) + 1, answer  # nobody else appends
            numbers.extend(range(first, first + count))
            room.release()
    result.put((time.monotonic() - begin, numbers))


# --- a reader ---

class Chain:
    """One subscription that is cut again and again: everything it has seen."""

    def __init__(self, transport, name, filters, ports, source):
        self.transport, self.name, self.filters, self.ports, self.source = transport, name, filters, ports, source
        self.last = 0
        self.positions, self.numbers = array.array("q"), array.array("q")
        self.cuts = collections.Counter()

    def take(self, parts):
        for kind, position, number in parts:
            if kind == "event":
                assert position > self.last, "position %d after %d" % (position, self.last)
                self.positions.append(position)
                self.numbers.append(number)
            else:
                assert position >= self.last, "%s at %d after %d" % (kind, position, self.last)
            self.last = position

    def round(self):
        """Connects, reads for a while, and is cut."""
        way = self.source.choice(("bytes", "bytes", "bytes", "at once", "events", "caught_up", "live", "live", "checkpoint",
                                  "checkpoint"))
        stream = TRANSPORTS[self.transport](self.ports, self.last, self.filters)
        self.cuts["resumed behind no event"] += self.last > (self.positions[-1] if self.positions else 0)
        seen, events, deadline = 0, 0, time.monotonic() + (0.3 if way != "bytes" else 1)
        bytes_wanted = int(self.source.expovariate(1 / 20000)) if way == "bytes" else 1 << 40
        events_wanted = {"events": self.source.randrange(1, 400), "live": self.source.randrange(1, 60)}.get(way, 1 << 40)
        caught_up = reached = way == "at once"
        while not reached and time.monotonic() < deadline and events < 10000:
            data = stream.receive(min(self.source.choice((100, 3000, 70000)), bytes_wanted - seen or 1))
            seen += len(data)
            parts = stream.feed(data)
            self.take(parts)
            kinds = [kind for kind, _, _ in parts]
            events += kinds.count("event") if way != "live" or caught_up else 0
            caught_up = caught_up or "caught_up" in kinds
            reached = seen >= bytes_wanted or events >= events_wanted or (
                way in kinds if way in ("caught_up", "checkpoint") else False)
        self.cut(stream, way if reached else "time", caught_up)

    def cut(self, stream, way, caught_up):
        end = "reset" if way == "bytes" else self.source.choice(("reset", "close", "farewell"))
        self.cuts[way] += 1
        self.cuts[end] += 1
        self.cuts["inside a part"] += stream.inside
        self.cuts["live" if caught_up else "catching up"] += way != "at once"
        getattr(stream, end)()

    def finish(self, end):
        """Reads up to the end of the store without being cut."""
        stream = TRANSPORTS[self.transport](self.ports, self.last, self.filters)
        while self.last < end:
            self.take(stream.feed(stream.receive(1 << 17)))
        stream.close()


def read(transport, ports, seed, resumes, end, result):
    """A chain for each filter; puts what each has seen once the store has its end. Faults are put as text."""
    source = random.Random(seed + transport)
    chains = [Chain(transport, name, filters, ports, source) for name, filters, _ in FILTERS]
    try:
        for number in range(resumes):
            chains[number % len(chains)].round()
        result.put((transport, "cut", None))
        while end.value == 0:
            time.sleep(0.01)
        for chain in chains:
            chain.finish(end.value)
        result.put((transport, "done", [(c.name, c.positions, c.numbers, c.cuts) for c in chains]))
    except Exception as error:
        result.put((transport, "failed", "%s, %s: %r" % (transport, seed, error)))
        raise


def open_sockets(service):
    """Of the processes that serve: a connection that was cut must not stay."""
    count = 0
    for process in [service.process] + ([service.gateway.process] if hasattr(service, "gateway") else []):
        for file in pathlib.Path("/proc/%d/fd" % process.pid).iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(file).startswith("socket:")
    return count


class Resume(unittest.TestCase):
    def setUp(self):
        self.processes = []
        self.addCleanup(lambda: [process.kill() for process in self.processes if process.is_alive()])

    def start(self, context, target, *arguments):
        self.processes.append(context.Process(target=target, args=arguments))
        self.processes[-1].start()
        return self.processes[-1]

    def wait_for(self, result, what, count):
        found = {}
        while len(found) < count:
            transport, said, content = result.get(timeout=300 + RESUMES * 3)
            self.assertEqual(said, what, content)
            found[transport] = content
        return found

    def test_every_event_once_and_in_order_over_each_transport(self):
        context = multiprocessing.get_context("spawn")
        with Service(config={"STRATA_SUPPORTED_EVENT_TYPES": '["custom","audit"]'}) as service:
            ports = {"http": service.http_port, "grpc": int(service.grpc.rsplit(":", 1)[1])}
            stop, end = context.Event(), context.Value("q", 0)
            written, result = context.Queue(), context.Queue()
            self.assertEqual(service.request("GET", "/readyz")[0], 200)  # a gateway has, and keeps, its connection now
            before = open_sockets(service)
            self.start(context, write, ports, SEED, stop, written)
            for transport in TRANSPORTS:
                self.start(context, read, transport, ports, SEED, RESUMES, end, result)
            self.wait_for(result, "cut", len(TRANSPORTS))
            stop.set()
            seconds, numbers = written.get(timeout=WAIT_S)
            end.value = len(numbers)
            found = self.wait_for(result, "done", len(TRANSPORTS))
            for process in self.processes:
                process.join()
            deadline = time.monotonic() + WAIT_S
            while open_sockets(service) > before and time.monotonic() < deadline:
                time.sleep(0.05)
            self.assertLessEqual(open_sockets(service), before)
        sys.stderr.write("\nseed %s: %d events in %.1f s\n" % (SEED, len(numbers), seconds))
        for transport, chains in found.items():
            self.judge(transport, chains, numbers)

    def judge(self, transport, chains, numbers):
        total = collections.Counter()
        for (name, _, matches), (said, positions, seen, cuts) in zip(FILTERS, chains):
            self.assertEqual(name, said)
            wanted = [(position, number) for position, number in enumerate(numbers, 1) if matches(number)]
            got = list(zip(positions, seen))
            if got != wanted:
                at = next((n for n, pair in enumerate(zip(got, wanted)) if pair[0] != pair[1]), min(len(got), len(wanted)))
                self.fail("%s, %s, seed %s: %d events instead of %d; from the %d. on %r instead of %r" %
                          (transport, name, SEED, len(got), len(wanted), at, got[at:at + 3], wanted[at:at + 3]))
            total += cuts
        self.assertEqual(sum(total[end] for end in ("reset", "close", "farewell")), RESUMES)
        sys.stderr.write("%s: %s\n" % (transport, ", ".join("%s %d" % pair for pair in sorted(total.items()))))


if __name__ == "__main__":
    unittest.main()
