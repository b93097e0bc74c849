#include "rpc/call_internal.h"

/* schema_wire_check refuses what would need more; this makes sure of it. */
struct budget {
    struct arena *arena;
    size_t left_bytes;
};

static void *budget_alloc(void *data, size_t size_bytes)
{
    struct budget *budget = data;
    if (size_bytes > budget->left_bytes)
        return NULL;
    budget->left_bytes -= size_bytes;
    return arena_alloc(budget->arena, size_bytes);
}

static void budget_free(void *data, void *memory)
{
    (void)data; /* goes with the arena */
    (void)memory;
}

struct status request_read(const struct schema_method *method, struct bytes packed, struct arena *arena,
                           const ProtobufCMessage **ret)
{
    const ProtobufCMessageDescriptor *type = method->request_descriptor;
    STATUS_TRY(schema_wire_check(method->request, packed));
    struct budget budget = {.arena = arena, .left_bytes = wire_unpacked_max_bytes(packed.size_bytes)};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    static const uint8_t nothing[1]; /* protobuf-c does arithmetic on the pointer even of an empty message */
    *ret = protobuf_c_message_unpack(type, &allocator, packed.size_bytes,
                                     packed.data != NULL ? packed.data : nothing);
    if (*ret != NULL)
        return status_ok();
    return status_reason(REASON_INVALID_FIELD,
                         "the request's %zu bytes are not a %s; check the client's .proto files",
                         packed.size_bytes, type->name);
}
