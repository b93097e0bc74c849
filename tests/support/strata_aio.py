"""Many clients at once on asyncio: each a connection of its own, and failures as values."""

import grpc

from support.strata_rpc import OPTIONS, Failure, aggregate_service_pb2_grpc, event_service_pb2_grpc


class AioClient:
    """Made and closed on the running loop."""

    def __init__(self, service):
        self.channel = grpc.aio.insecure_channel(service.grpc, OPTIONS)
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.aggregates = aggregate_service_pb2_grpc.AggregateServiceStub(self.channel)

    async def close(self):
        await self.channel.close()


async def answer(call, request, timeout=120):
    """The reply, or the Failure."""
    try:
        return await call(request, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        return Failure(error)
