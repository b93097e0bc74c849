"""Concurrent transfers between 100 accounts, each one append of two aggregates, with SIGKILL in between.

Half are guarded by the versions of both accounts, half by a condition on what happened to either since they were read; every
transfer has a key or ids of its own, so that one whose outcome is unknown is settled by sending it again. Afterwards the log
is replayed independently: money is conserved after every append, no balance is ever below its account's limit, each answered
transfer is there once and as answered, and nothing else is.

STRATA_TEST_TRANSFERS       how many (default 1,000; the full share is 10,000)
STRATA_TEST_TRANSFER_KILLS  how often the service is killed meanwhile (default 2, and 1 more for each 2,000 transfers)
STRATA_TEST_SEED            what is transferred; how it interleaves is chance
"""

import asyncio
import collections
import json
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, __file__.rsplit("/tests/", 1)[0] + "/tests")
from support.strata_aio import AioClient, answer  # noqa: E402
from support.strata_records import read_history  # noqa: E402
from support.strata_rpc import Client, Failure, aggregate_service_pb2, event_pb2, event_service_pb2  # noqa: E402
from support.strata_service import BINARY, Service, environment, scaled  # noqa: E402

TRANSFERS = int(os.environ.get("STRATA_TEST_TRANSFERS", scaled(1000, 150)))
KILLS = int(os.environ.get("STRATA_TEST_TRANSFER_KILLS", 2 + TRANSFERS // 2000))
SEED = os.environ.get("STRATA_TEST_SEED") or str(random.randrange(1 << 32))
WORKERS = 32
ACCOUNTS = ["account-%02d" % n for n in range(100)]
HOT = ACCOUNTS[:6]  # where they meet more often
OPENING = 100
FAR = 1 << 60  # a position beyond every head
TYPES = {"STRATA_SUPPORTED_EVENT_TYPES": '["custom","funds_*"]', "STRATA_SUPPORTED_AGGREGATE_TYPES": '["custom","account"]'}


def limit_of(account):
    """No balance may be below it: some accounts may be overdrawn."""
    return -40 * (int(account[-2:]) % 3)


def event_of(account, event_type, amount, balance, name, event_id=""):
    data = {"amount": amount, "balance": balance, "transfer": name}
    return event_pb2.NewEvent(id=event_id, type=event_type, aggregate_id=account, aggregate_type="account",
                              data=json.dumps(data, separators=(",", ":")).encode())


class Transfer:
    """`reply` is set when it was answered; `seen` is what its last attempt was decided on: account → (version, balance)."""

    def __init__(self, number, source):
        self.name = "transfer-%d" % number
        self.keyed = source.random() < 0.5
        self.conditional = number % 2 == 0
        self.random = random.Random(source.random())
        self.reply = self.request = self.seen = self.position = None
        self.choose()

    def choose(self):
        pool = HOT if self.random.random() < 0.3 else ACCOUNTS
        self.pair = self.random.sample(pool, 2)
        self.amount = self.random.randrange(1, 60)

    def build(self):
        (out, into), (taken, given) = self.pair, (self.seen[account][1] for account in self.pair)
        ids = ("", "") if self.keyed else (self.name + "/out", self.name + "/in")
        self.request = event_service_pb2.AppendEventsRequest(append_id=self.name if self.keyed else "", events=[
            event_of(out, "funds_withdrawn", -self.amount, taken - self.amount, self.name, ids[0]),
            event_of(into, "funds_deposited", self.amount, given + self.amount, self.name, ids[1])])
        if self.conditional:
            self.request.condition.CopyFrom(event_pb2.AppendCondition(
                fail_if_match=event_pb2.EventQuery(items=[event_pb2.QueryItem(aggregate_ids=self.pair)]),
                after_position=self.position))
        else:
            self.request.expectations.extend(event_pb2.Expectation(aggregate_id=account, be_at_version=self.seen[account][0])
                                             for account in self.pair)


class Bank:
    """Clients that transfer, and who kills the service now and then."""

    def __init__(self, service, transfers, kills):
        self.service = service
        source = random.Random(SEED)
        self.transfers = [Transfer(number, source) for number in range(transfers)]
        self.waiting = iter(self.transfers)
        self.recorded = 0
        self.kill_at = [transfers * (n + 1) // (kills + 1) for n in range(kills)]
        self.counts = collections.Counter()
        self.matched = []  # (position that a refusal named, transfer's pair)
        self.current = []  # (account, version that a refusal named)

    def open(self):
        with Client(self.service) as client:
            client.events.AppendEvents(event_service_pb2.AppendEventsRequest(
                append_id="opening", events=[event_of(a, "funds_deposited", OPENING, OPENING, "opening") for a in ACCOUNTS],
                expectations=[event_pb2.Expectation(aggregate_id=a, not_exist=True) for a in ACCOUNTS]))

    async def run(self):
        self.up, self.kill_now = asyncio.Event(), asyncio.Event()
        await self.connect()
        killer = asyncio.create_task(self.kill())
        try:
            await asyncio.gather(*(self.work(worker) for worker in range(WORKERS)))
        finally:
            killer.cancel()
        await asyncio.gather(*(client.close() for client in self.clients))

    async def connect(self):
        self.clients = [AioClient(self.service) for _ in range(WORKERS)]
        self.up.set()

    async def kill(self):
        """In the midst of whatever the others do; the service comes back at other ports."""
        while True:
            await self.kill_now.wait()
            self.kill_now.clear()
            self.up.clear()
            gone = self.clients
            await asyncio.to_thread(self.service.kill)
            await asyncio.to_thread(self.service.start)
            self.counts["kills"] += 1
            await self.connect()
            await asyncio.gather(*(client.close() for client in gone))

    # --- one worker ---

    async def work(self, worker):
        for transfer in self.waiting:
            while transfer.reply is None:
                await self.read(worker, transfer)
                if transfer.seen[transfer.pair[0]][1] - transfer.amount < limit_of(transfer.pair[0]):
                    self.counts["declined for want of money"] += 1
                    transfer.choose()
                    continue
                transfer.build()
                got = await self.ask(worker, lambda client: client.events.AppendEvents, transfer.request)
                if isinstance(got, Failure):
                    self.take_refusal(transfer, got)
                else:
                    transfer.reply = got
            self.recorded += 1
            if self.recorded in self.kill_at:
                self.kill_now.set()

    async def ask(self, worker, method, request):
        """The answer; a service that is gone is waited for and asked the same again."""
        again = False
        while True:
            await self.up.wait()
            client = self.clients[worker]
            got = await answer(method(client), request)
            if isinstance(got, Failure) and got.code == "UNAVAILABLE" and not got.reason:
                again = True
                if client is self.clients[worker]:
                    await asyncio.sleep(0.01)  # it is being killed
                continue
            if again and not isinstance(request, aggregate_service_pb2.GetAggregateRequest):
                self.counts["unknown outcomes: " + ("refused" if isinstance(got, Failure) else
                                                    "had been recorded" if got.replayed else "recorded now")] += 1
            elif not isinstance(got, Failure):
                assert not getattr(got, "replayed", False), "a first answer is none of a repetition: %s" % got
            return got

    async def read(self, worker, transfer):
        """Both accounts: as they are now, one after the other, or, for a condition, both as of one position."""
        transfer.seen, transfer.position = {}, None
        for account in transfer.pair:
            request = aggregate_service_pb2.GetAggregateRequest(id=account)
            if transfer.conditional:
                request.as_of_position = transfer.position or FAR
            got = await self.ask(worker, lambda client: client.aggregates.GetAggregate, request)
            assert not isinstance(got, Failure), got
            transfer.position = got.as_of_position
            transfer.seen[account] = (got.version, json.loads(got.state)["balance"])

    def take_refusal(self, transfer, failure):
        """It must say what failed, so that the client knows what to read again."""
        told = (transfer.request, failure)
        if transfer.conditional:
            assert (failure.code, failure.reason) == ("ABORTED", "CONDITION_FAILED"), told
            position = int(failure.facts["position"])
            assert position > transfer.position, told
            self.matched.append((position, transfer.pair))
        else:
            assert (failure.code, failure.reason) == ("ABORTED", "VERSION_CONFLICT"), told
            account = failure.facts["aggregate_id"]
            expected, current = (int(failure.facts[name]) for name in ("expected_version", "current_version"))
            assert account in transfer.pair and expected == transfer.seen[account][0] < current, told
            self.current.append((account, current))
        self.counts["refused " + failure.reason] += 1


class Transfers(unittest.TestCase):
    def setUp(self):
        print("STRATA_TEST_SEED=%s STRATA_TEST_TRANSFERS=%d STRATA_TEST_TRANSFER_KILLS=%d" % (SEED, TRANSFERS, KILLS), flush=True)

    def run_bank(self, engine, transfers, kills):
        service = Service(config={**TYPES, "STRATA_DATABASE_EVENT_STORE": engine}).start()
        self.addCleanup(service.remove)
        self.addCleanup(service.stop)
        bank = Bank(service, transfers, kills)
        bank.open()
        asyncio.run(bank.run())
        with Client(service) as client:
            history = read_history(client.channel)
            self.check(bank, history)
            self.check_states(client)
        service.stop()
        if engine == "embedded":
            self.verify(service, history)
        self.assertGreaterEqual(bank.counts["kills"], kills)
        print("%s: %d transfers; %s" % (engine, transfers, ", ".join("%d %s" % (n, what) for what, n in sorted(
            bank.counts.items()))), flush=True)
        return bank

    def check(self, bank, history):
        """From the log alone: what every append made of the accounts."""
        balances, found = {}, {}
        for record in history.records:
            data = json.loads(record.data)
            account = record.aggregate_id
            self.assertEqual(balances.get(account, 0) + data["amount"], data["balance"], "position %d" % record.position)
            self.assertGreaterEqual(data["balance"], limit_of(account), "position %d" % record.position)
            balances[account] = data["balance"]
            found.setdefault(data["transfer"], []).append(record)
            if record.append_index == record.append_count - 1:
                self.assertEqual(sum(balances.values()), OPENING * len(ACCOUNTS), "after position %d" % record.position)
        self.balances = balances
        opening = found.pop("opening")
        self.assertEqual([(r.append_id, r.aggregate_id, r.version) for r in opening], [("opening", a, 1) for a in ACCOUNTS])
        self.assertEqual(set(found), {transfer.name for transfer in bank.transfers})
        for transfer in bank.transfers:
            self.check_transfer(transfer, found[transfer.name])
        for position, pair in bank.matched:
            self.assertIn(history.records[position - 1].aggregate_id, pair)
        for account, version in bank.current:
            self.assertLessEqual(version, history.versions[account])

    def check_transfer(self, transfer, records):
        """Recorded once, as asked and as answered."""
        reply = transfer.reply
        self.assertEqual([(r.append_id, r.append_count, r.type, r.aggregate_id) for r in records], [
            (reply.append_id, 2, kind, account) for kind, account in zip(("funds_withdrawn", "funds_deposited"), transfer.pair)])
        self.assertEqual([r.data for r in records], [event.data for event in transfer.request.events])
        self.assertEqual([r.position for r in records], [reply.first_position, reply.last_position])
        self.assertEqual([(r.aggregate_id, r.version, r.position) for r in records],
                         [(h.aggregate_id, h.version, h.position) for h in reply.heads])
        self.assertEqual([r.id for r in records], list(reply.event_ids))
        self.assertEqual([r.version for r in records], [transfer.seen[account][0] + 1 for account in transfer.pair])

    def check_states(self, client):
        for account in ACCOUNTS:
            got = client.aggregates.GetAggregate(aggregate_service_pb2.GetAggregateRequest(id=account))
            self.assertEqual(json.loads(got.state)["balance"], self.balances[account])

    def verify(self, service, history):
        verified = subprocess.run([str(BINARY), "verify", "--quiet", str(service.data)], capture_output=True, text=True,
                                  timeout=600, env=environment())
        self.assertEqual(verified.returncode, 0, verified.stderr)
        self.assertIn("good: %d events of %d aggregates" % (len(history.records), len(ACCOUNTS)), verified.stdout)
        self.assertIn("chain: %s\n" % history.chain.hex(), verified.stdout)

    def test_money_is_conserved_while_the_service_is_killed(self):
        bank = self.run_bank("embedded", TRANSFERS, KILLS)
        self.assertGreater(bank.counts["refused CONDITION_FAILED"], 0)  # they did meet
        self.assertGreater(bank.counts["refused VERSION_CONFLICT"], 0)

    def test_money_is_conserved_in_memory(self):
        self.run_bank("memory", TRANSFERS, 0)

    def test_money_is_conserved_without_an_accident(self):
        self.run_bank("embedded", max(100, TRANSFERS // 3), 0)


if __name__ == "__main__":
    unittest.main()
