/*
 * The gateway's front alone, for the differential fuzzing of HTTP/1.1: says of each request what it was read as. Prints its
 * port and serves until its standard input ends.
 *
 * The answer is 200 with what was read in headers, since an answer to HEAD has no body: Read-Method and Read-Target as
 * they came; Read-Headers, "name:value" and LF each, and Read-Body, both hexadecimal. Everything else, also each refusal,
 * is the front's own.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/entropy.h"
#include "gateway/http/front.h"

/* Small, so that the limits are met too. */
static const struct front_limits limits = {
    .target_max_bytes = 1024, .header_max_bytes = 4096, .header_max_count = 20, .body_max_bytes = 2048};

static void add_hex(struct buffer *to, struct bytes from)
{
    for (size_t i = 0; i < from.size_bytes; i++)
        buffer_printf(to, "%02x", from.data[i]);
}

static void on_request(void *context, struct http_exchange *exchange)
{
    (void)context;
    const struct http_request *request = exchange_request(exchange);
    struct buffer headers = buffer_make(0), body = buffer_make(0);
    for (size_t i = 0; i < request->header_count; i++) {
        add_hex(&headers, request->headers[i].name);
        add_hex(&headers, BYTES_LITERAL(":"));
        add_hex(&headers, request->headers[i].value);
        add_hex(&headers, BYTES_LITERAL("\n"));
    }
    add_hex(&body, request->body);
    const struct http_header read[] = {
        {BYTES_LITERAL("Read-Method"), request->method},
        {BYTES_LITERAL("Read-Target"), request->target},
        {BYTES_LITERAL("Read-Headers"), buffer_bytes(&headers)},
        {BYTES_LITERAL("Read-Body"), buffer_bytes(&body)},
    };
    exchange_respond(exchange, 200, read, ARRAY_COUNT(read), BYTES_NONE);
    buffer_done(&headers);
    buffer_done(&body);
}

static const struct front_handler_ops handler = {.on_request = on_request};

int main(void)
{
    const struct front_options options = {.limits = limits, .handler = &handler};
    struct front *front = NULL;
    const struct status status = front_start(&options, NULL, &system_clock, &system_entropy, &front);
    if (status_is_ok(&status)) {
        char byte;
        printf("%d\n", front_port(front));
        fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
            continue;
    } else {
        fprintf(stderr, "%s\n", status.message);
    }
    front_stop(front, 1000);
    return status_is_ok(&status) ? 0 : 1;
}
