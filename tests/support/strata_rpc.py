"""A Python gRPC client of the service: stubs, and failures read from grpc-status-details-bin."""

import grpc

from support.strata_service import stubs

stubs()
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from strata.v1 import (aggregate_service_pb2, aggregate_service_pb2_grpc, event_pb2, event_service_pb2,  # noqa: E402
                       event_service_pb2_grpc, snapshot_service_pb2, snapshot_service_pb2_grpc,
                       subscription_service_pb2, subscription_service_pb2_grpc, system_service_pb2,
                       system_service_pb2_grpc)

OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.use_local_subchannel_pool", 1),  # each Client is a connection of its own
]


class Client:
    """`with Client(service) as c: c.events.PublishEvent(…)`."""

    def __init__(self, service, options=()):
        self.channel = grpc.insecure_channel(service.grpc, OPTIONS + list(options))
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.aggregates = aggregate_service_pb2_grpc.AggregateServiceStub(self.channel)
        self.snapshots = snapshot_service_pb2_grpc.SnapshotServiceStub(self.channel)
        self.subscriptions = subscription_service_pb2_grpc.SubscriptionServiceStub(self.channel)
        self.system = system_service_pb2_grpc.SystemServiceStub(self.channel)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Failure:
    """What a grpc.RpcError says: code ("ABORTED"), reason, versions and other facts, faulty fields, the limit that was
    reached, message."""

    def __init__(self, error):
        self.code = error.code().name
        self.message = error.details()
        self.reason = ""
        self.facts = {}
        self.faults = {}
        self.quota = None
        self.retry_after_s = None
        self.details = []
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                self._read(status_pb2.Status.FromString(value), error)

    def _read(self, status, error):
        assert status.code == error.code().value[0], (status, error)
        assert status.message == error.details(), (status, error)
        for detail in status.details:
            self.details.append(detail.type_url.rsplit(".", 1)[1])
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.QuotaFailure,
                         error_details_pb2.RetryInfo):
                message = kind()
                if not detail.Unpack(message):
                    continue
                if kind is error_details_pb2.ErrorInfo:
                    assert message.domain == "strata", message
                    self.reason = message.reason
                    self.facts = dict(message.metadata)
                elif kind is error_details_pb2.BadRequest:
                    self.faults = {v.field: v.description for v in message.field_violations}
                elif kind is error_details_pb2.QuotaFailure:
                    self.quota = message.violations[0].subject
                else:
                    self.retry_after_s = message.retry_delay.seconds + message.retry_delay.nanos / 1e9

    def __repr__(self):
        return "%s/%s %s %r %r" % (self.code, self.reason, self.message, self.facts, self.faults)


def failure_of(call, *arguments, **named):
    """The Failure of a call that must fail; a stream is read to its end."""
    try:
        answer = call(*arguments, **named)
        if hasattr(answer, "cancel"):
            list(answer)
    except grpc.RpcError as error:
        return Failure(error)
    raise AssertionError("the call succeeded: %s" % answer)


def microseconds(timestamp):
    return timestamp.seconds * 1000000 + timestamp.nanos // 1000
