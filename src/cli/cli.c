#include "cli/cli_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "gateway/transcode/transcode.h"

int cli_fail(const struct status *status)
{
    (void)fprintf(stderr, "strata: %s%s%s\n", status->message,
                  status->reason != STATUS_REASON_NONE ? " — " : "", status_reason_name(status->reason));
    for (size_t i = 0; status->faults != NULL && i < status->faults->count; i++)
        (void)fprintf(stderr, "  %s: %s\n", status->faults->items[i].field, status->faults->items[i].message);
    return CLI_FAILED;
}

struct status cli_print(const struct schema_message *message, struct bytes wire)
{
    struct buffer json = buffer_make(0);
    struct status status = transcode_to_json(message, wire, &json);
    buffer_add_byte(&json, '\n');
    if (status.code == STATUS_OK)
        status = buffer_status(&json);
    if (status.code == STATUS_OK && fwrite(json.data, 1, json.size_bytes, stdout) != json.size_bytes)
        status = status_error(STATUS_UNAVAILABLE, "cannot write to the standard output");
    buffer_done(&json);
    return status;
}

void cli_print_hex(const struct sha256 *hash)
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)printf("%02x", hash->bytes[i]);
    (void)printf("\n");
}

void cli_print_chain(const struct sha256 *chain)
{
    (void)printf("chain: ");
    cli_print_hex(chain);
}

struct bytes cli_pack(struct arena *arena, const ProtobufCMessage *message)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = arena_alloc(arena, size);
    if (packed == NULL)
        return BYTES_NONE;
    (void)protobuf_c_message_pack(message, packed); /* writes exactly the size asked for above */
    return bytes_of(packed, size);
}

int64_t cli_number(struct argp_state *state, const char *option, const char *text, int64_t least,
                   int64_t most)
{
    char *end = NULL;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < least || number > most)
        argp_error(state, "%s is \"%s\"; give a whole number between %lld and %lld", option, text,
                   (long long)least, (long long)most);
    return number;
}
