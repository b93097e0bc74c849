"""A client of Strata in Python: appends, reads, follows and comes back. `python client.py HOST:PORT` prints what it met.

Generated code: python -m grpc_tools.protoc (docs/clients.md). What it does: tests/clients/README.md.
"""

import hashlib
import json
import sys
import threading

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from strata.v1 import aggregate_service_pb2 as aggregates
from strata.v1 import event_pb2, event_service_pb2 as events, subscription_service_pb2 as subscriptions
from strata.v1 import aggregate_service_pb2_grpc, event_service_pb2_grpc, subscription_service_pb2_grpc

STATE = '{"owner":"zoë","balance":10.10,"limit":9007199254740993}'.encode()
FAR = 2**53 + 1
DEADLINE_S = 0.3


def refusal(error):
    """What a failed call says, from google.rpc.Status in its trailing metadata."""
    told = {"code": error.code().value[0], "message": error.details()}
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            told.update(domain=info.domain, reason=info.reason, facts=dict(info.metadata))
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            request = error_details_pb2.BadRequest.FromString(detail.value)
            told["fields"] = [violation.field for violation in request.field_violations]
    return told


def refused(call, *arguments, **named):
    try:
        answer = call(*arguments, **named)
        list(answer) if hasattr(answer, "cancel") else None
    except grpc.RpcError as error:
        return refusal(error)
    raise AssertionError("the call was not refused")


def custom(aggregate_id, data):
    return event_pb2.NewEvent(type="custom", aggregate_id=aggregate_id, aggregate_type="custom", data=data)


def at_version(append_id, aggregate_id, version, *new_events):
    expectation = event_pb2.Expectation(aggregate_id=aggregate_id, be_at_version=version)
    return events.AppendEventsRequest(append_id=append_id, events=new_events, expectations=[expectation])


class Followed:
    """Every event once, in the order of positions: what a subscriber must see, however often it comes back."""

    def __init__(self):
        self.position = 0
        self.digest = hashlib.sha256()

    def take(self, event):
        if event.position != self.position + 1:
            raise AssertionError("position %d follows %d" % (event.position, self.position))
        self.position = event.position
        self.digest.update(b"%d %s %s\n" % (event.position, event.id.encode(), event.data))


class Client:
    def __init__(self, target):
        self.channel = grpc.insecure_channel(target)
        self.aggregates = aggregate_service_pb2_grpc.AggregateServiceStub(self.channel)
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.subscriptions = subscription_service_pb2_grpc.SubscriptionServiceStub(self.channel)
        self.facts = {}

    def create(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        self.facts["health"] = health.Check(health_pb2.HealthCheckRequest()).status
        request = aggregates.CreateAggregateRequest(id="account", type="custom", initial_state=STATE)
        made = self.aggregates.CreateAggregate(request)
        self.facts["created"] = {"version": made.version, "etag": made.etag, "position": str(made.position),
                                 "state": made.state.decode()}
        self.facts["create_again"] = refused(self.aggregates.CreateAggregate, request)

    def append(self):
        request = at_version("first", "account", 0, custom("account", b'{"balance": 9.90}'),
                             custom("account", b'{"note":"\\u00e9","limit":1e400}'))
        for name in ("appended", "appended_again"):
            reply = self.events.AppendEvents(request)
            self.facts[name] = {"first": str(reply.first_position), "last": str(reply.last_position),
                                "version": reply.heads[0].version, "ids": list(reply.event_ids),
                                "replayed": reply.replayed}
            if name == "appended":
                self.facts["conflict"] = refused(self.events.AppendEvents,
                                                 at_version("second", "account", 0, custom("account", b"{}")))
        self.facts["invalid"] = refused(self.events.AppendEvents, events.AppendEventsRequest(
            events=[event_pb2.NewEvent(aggregate_id="account", data=b"{}")]))
        self.facts["hopeless"] = refused(self.events.AppendEvents, events.AppendEventsRequest(
            events=1000 * [event_pb2.NewEvent(aggregate_id=100 * "€")]))

    def read(self):
        get = aggregates.GetAggregateRequest
        for name, request in (("aggregate", get(id="account")), ("past", get(id="account", as_of_version=1))):
            found = self.aggregates.GetAggregate(request)
            self.facts[name] = {"version": found.version, "state": found.state.decode()}
        self.facts["unknown"] = refused(self.aggregates.GetAggregate, get(id="nobody-€-100%"))

        versions, token = [], ""
        while True:
            page = self.events.ListEvents(events.ListEventsRequest(aggregate_id="account", page_size=2, page_token=token))
            versions.append([event.version for event in page.events])
            token = page.next_page_token
            if not token:
                break
        self.facts["listed"] = versions
        self.facts["read"] = [[str(event.position), event.data.decode()]
                              for message in self.events.ReadEvents(events.ReadEventsRequest())
                              for event in message.events]

    def stream(self):
        def requests():
            version = 0
            for number in range(1, 51):
                append = at_version("stream-%d" % number, "live", 1000 if number == 7 else version,
                                    custom("live", b'{"n":%d}' % number))
                version += number != 7
                yield events.AppendStreamRequest(append=append)
        self.facts["streamed"] = [
            "%d: %s" % (reply.sequence, reply.error.reason if reply.WhichOneof("outcome") == "error"
                        else "version %d" % reply.appended.heads[0].version)
            for reply in self.events.AppendStream(requests())]

    def refuse_and_wait(self):
        far = subscriptions.SubscribeRequest(after_position=FAR)
        self.facts["far_position"] = refused(self.subscriptions.Subscribe, far)
        later = aggregates.GetAggregateRequest(id="account", min_position=FAR)
        self.facts["deadline"] = [
            refused(self.aggregates.GetAggregate, later, timeout=DEADLINE_S)["code"],
            refused(self.subscriptions.Subscribe, subscriptions.SubscribeRequest(from_end=True), timeout=DEADLINE_S)["code"]]

    def follow(self):
        self.aggregates.CreateAggregate(aggregates.CreateAggregateRequest(id="rival", type="custom"))
        followed = Followed()
        writer = threading.Thread(target=self.write_live)
        call = self.subscriptions.Subscribe(subscriptions.SubscribeRequest(from_start=True))
        for event in self.events_of(call, on_caught_up=writer.start, followed=followed):
            if event.aggregate_id == "live" and event.version == 100:
                break
        call.cancel()
        self.facts["cut_off"] = refused(lambda: call)["code"]

        call = self.subscriptions.Subscribe(subscriptions.SubscribeRequest(after_position=followed.position))
        for event in self.events_of(call, on_caught_up=lambda: None, followed=followed):
            if event.aggregate_id == "live" and event.version == 249:
                break
        call.cancel()
        writer.join()
        self.facts["followed"] = {"count": str(followed.position), "sha256": followed.digest.hexdigest()}

    def events_of(self, call, on_caught_up, followed):
        for message in call:
            kind = message.WhichOneof("message")
            if kind == "caught_up":
                self.facts.setdefault("before_caught_up", str(followed.position))
                on_caught_up()
            elif kind == "closing":
                raise AssertionError("the server ended the stream: %s" % message.closing.reason)
            for event in message.batch.events:
                followed.take(event)
                yield event

    def write_live(self):
        for number in range(50, 250):
            self.events.AppendEvents(events.AppendEventsRequest(
                append_id="live-%d" % number, events=[custom("live", b'{"n":%d}' % number)]))


def main():
    client = Client(sys.argv[1])
    for part in (client.create, client.append, client.read, client.stream, client.refuse_and_wait, client.follow):
        part()
    print(json.dumps(client.facts))


main()
