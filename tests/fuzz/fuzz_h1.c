/*
 * Any bytes as HTTP/1.1 requests: nothing may crash, and how the bytes are cut into pieces must not matter.
 * Two readings of one input are how requests are smuggled.
 *
 *     build/…/fuzz_h1 -max_total_time=60 <folder for finds> tests/fuzz/corpus_h1
 *
 * The first byte says how large the pieces of the second reading are.
 */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/http/h1_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUESTS_MAX 64U

static const struct request_limits limits = {
    .target_max_bytes = 256, .header_max_bytes = 2048, .header_max_count = 16, .body_max_bytes = 1024};

/* What was understood: methods, targets, headers and bodies of all requests up to the first refusal. */
struct reading {
    struct buffer seen;
    enum h1_step step;
    size_t request_count;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void note(struct buffer *seen, struct bytes bytes)
{
    buffer_printf(seen, "%zu:", bytes.size_bytes);
    buffer_add_bytes(seen, bytes);
}

static void note_message(struct buffer *seen, const struct request_head *message)
{
    note(seen, message->method);
    note(seen, message->path);
    note(seen, message->query);
    for (size_t i = 0; i < message->header_count; i++) {
        note(seen, message->headers[i].name);
        note(seen, message->headers[i].value);
    }
    buffer_printf(seen, "%u%d%d", message->minor_version, message->keep_alive, message->expects_continue);
}

/* Reads one request from data[at…]; returns where the next one begins. */
static size_t read_one(struct reading *reading, struct bytes data, size_t at, size_t piece)
{
    struct arena *arena = arena_new(0);
    struct buffer content = buffer_make(0);
    struct http_refusal refusal;
    struct request_head message;
    struct h1_head head = {0};
    struct h1_body body;
    size_t there = 0, head_bytes = 0;
    const struct bytes rest = {data.data + at, data.size_bytes - at};
    reading->step = H1_MORE;
    while (reading->step == H1_MORE && there < rest.size_bytes) {
        there = rest.size_bytes - there < piece ? rest.size_bytes : there + piece;
        reading->step = h1_head_step(&head, (struct bytes){rest.data, there}, &limits, &head_bytes, &refusal);
    }
    if (reading->step == H1_DONE)
        reading->step =
            h1_head_parse(arena, (struct bytes){rest.data, head_bytes}, &limits, &message, &refusal);
    if (reading->step == H1_DONE) {
        note_message(&reading->seen, &message);
        reading->step = h1_body_begin(&body, &message, &limits, &refusal);
        for (at += head_bytes; reading->step == H1_MORE && at < data.size_bytes;) {
            const size_t left = data.size_bytes - at;
            size_t used = 0;
            reading->step = h1_body_step(&body, (struct bytes){data.data + at, left < piece ? left : piece},
                                         &content, &used, &refusal);
            require(used > 0 || reading->step == H1_REFUSED);
            at += used;
        }
        require(content.size_bytes <= limits.body_max_bytes);
        if (reading->step == H1_DONE)
            note(&reading->seen, buffer_bytes(&content));
    }
    if (reading->step == H1_REFUSED)
        require(refusal.http_status >= 400 && refusal.http_status <= 505 && refusal.status.code != STATUS_OK);
    buffer_done(&content);
    arena_free(arena);
    return at;
}

static struct reading read_all(struct bytes data, size_t piece)
{
    struct reading reading = {.seen = buffer_make(0), .step = H1_DONE};
    size_t at = 0;
    while (reading.step == H1_DONE && at < data.size_bytes && reading.request_count < REQUESTS_MAX) {
        at = read_one(&reading, data, at, piece);
        reading.request_count++;
    }
    return reading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const struct bytes input = {data + 1, size - 1};
    struct reading whole = read_all(input, input.size_bytes);
    struct reading pieces = read_all(input, (size_t)(data[0] % 32) + 1);
    require(whole.step == pieces.step);
    require(whole.request_count == pieces.request_count);
    if (whole.step != H1_REFUSED) /* a refusal may come before or after what else was noted of its request */
        require(bytes_equal(buffer_bytes(&whole.seen), buffer_bytes(&pieces.seen)));
    buffer_done(&whole.seen);
    buffer_done(&pieces.seen);
    return 0;
}
