"""Random operations against a running service, each compared with the model.

One world is one service, one model and one sequence of operations that follows from the seed: but for what races make of
their aggregates nothing random depends on what the service answers, so a seed replays. STRATA_TEST_RACES=0 leaves races
out; then it does so exactly. The operations are in the files world_*.py.
"""

import os
import random

from support.strata_rpc import Client, aggregate_service_pb2, event_service_pb2, system_service_pb2
from world_aggregates import Aggregates
from world_appends import Appends
from world_bursts import Bursts
from world_compare import Compare
from world_races import Races
from world_reads import Reads
from world_values import EPOCH_OPERATIONS, Values


class World(Values, Compare, Appends, Bursts, Races, Aggregates, Reads):
    def __init__(self, service, seed, model, auto_snapshots=False, extra_event_types=(), extra_aggregate_types=()):
        self.service, self.model = service, model
        self.auto_snapshots = auto_snapshots
        self.extra_event_types, self.extra_aggregate_types = extra_event_types, extra_aggregate_types
        self.random = random.Random(seed)
        self.client = None
        self.racers = []
        self.operations = 0
        self.outcomes = {}
        self.names = 0
        self.epoch = -1
        self.pools = {}
        self.past = []  # requests that may be sent again: (what, builder of the request)
        self.doing = ""
        self.only = None        # the one aggregate that a hot burst is about
        self.hot = None         # those that a race is about: (id, type)
        self.burst_head = None  # position at which the burst that is being made began
        self.connect()
        self.hub()
        self.choices = [
            (30, self.publish), (25, self.append), (2, self.burst), (2, self.hot_burst), (2, self.loose_burst), (8, self.retry),
            (4, self.overlap), (6, self.create), (14, self.save), (10, self.get), (6, self.get_past),
            (8, self.create_snapshot), (5, self.read_snapshot), (1, self.list_snapshots), (1, self.list_aggregates),
            (3, self.list_events), (1, self.read_events), (3, self.get_event), (4, self.invalid)]
        if os.environ.get("STRATA_TEST_RACES") != "0":
            self.choices.append((2, self.race))
        self.weights = [weight for weight, _ in self.choices]
        self.steps = [step for _, step in self.choices]

    def connect(self):
        if self.client is not None:
            self.client.close()
        self.client = Client(self.service)
        self.connect_racers()

    def close(self):
        for client in [self.client, *self.racers]:
            client.close()

    def run(self, operations):
        while self.operations < operations:
            if self.operations // EPOCH_OPERATIONS != self.epoch:
                self.new_epoch()
            self.random.choices(self.steps, self.weights)[0]()

    # --- the whole ---

    def check_all(self):
        """Every event, every aggregate, every count."""
        model = self.model
        got = [e for m in self.client.events.ReadEvents(event_service_pb2.ReadEventsRequest(), timeout=600) for e in m.events]
        self.same("all events: number", len(model.log), len(got))
        for position, (event, shown) in enumerate(zip(model.log, got), 1):
            self.same("all events: position", (position, position), (event.position, shown.position))
            self.compare_event("all events", event, shown)
        request = aggregate_service_pb2.ListAggregatesRequest(page_size=1000, include_state=True)
        shown = []
        while True:
            page = self.client.aggregates.ListAggregates(request, timeout=600)
            shown += page.aggregates
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        self.same("all aggregates", [a.id for a in model.order], [a.id for a in shown])
        for aggregate, one in zip(model.order, shown):
            self.compare_aggregate("all aggregates", "", aggregate, aggregate.history[-1], one)
        by_type, of_type = {}, {}
        for event in model.log:
            by_type[event.type] = by_type.get(event.type, 0) + 1
        for aggregate in model.order:
            of_type[aggregate.now.type] = of_type.get(aggregate.now.type, 0) + 1
        system = sum(count for name, count in by_type.items() if name.startswith("$"))
        for exact in (False, True):
            stats = self.client.system.GetStats(system_service_pb2.GetStatsRequest(exact=exact), timeout=600)
            self.same("stats exact=%s" % exact,
                      (len(model.log) - system, system, len(model.order), len(model.log), of_type,
                       {name: count for name, count in by_type.items() if not name.startswith("$")}),
                      (stats.event_count, stats.system_event_count, stats.aggregate_count, stats.head_position,
                       dict(stats.aggregates_by_type),
                       {name: count for name, count in stats.events_by_type.items() if not name.startswith("$")}))
