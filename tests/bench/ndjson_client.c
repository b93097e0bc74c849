/*
 * Reads one NDJSON answer over HTTP/1.1 as fast as it comes, or at a rate: are all events there, once and in order?
 *
 * Of each line it looks at the position of the event in it. It is done when the body ends, or at a line that begins with
 * {"caught_up": (a subscription has then told all there is), or after --seconds. The memory of --pid, without page cache
 * (RssAnon and RssShmem), is looked at each tenth of a second.
 *
 * Prints one JSON line.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "load_socket.h"
#include "measure.h"

#define READ_BYTES      (512U * 1024U)
#define SLOW_READ_BYTES 16384U
#define SLOW_RECEIVE    65536 /* so that the server, and not the kernel, has to wait */
#define SAMPLE_NS       INT64_C(100000000)
#define SILENCE_MAX_MS  60000

struct options {
    const char *target;
    const char *path;
    double bytes_per_s; /* 0 = as they come */
    double seconds;     /* 0 = to the end */
    long pid;
};

struct reading {
    struct options options;
    int fd;
    struct load_bytes raw;  /* not a whole head or chunk line */
    struct load_bytes text; /* a line that is not whole */
    bool has_head;
    size_t chunk_bytes; /* left of the chunk, its line end included */
    bool ended;         /* the body, or all there is */
    int64_t events, first, last, bytes;
    long rss_begin_kib, rss_max_kib;
    int64_t sampled_ns;
    const char *error; /* NULL, or constant text */
};

static long resident_kib(long pid)
{
    char line[128];
    long sum = 0;
    (void)snprintf(line, sizeof line, "/proc/%ld/status", pid);
    FILE *status = fopen(line, "r");
    if (status == NULL)
        return -1;
    while (fgets(line, sizeof line, status) != NULL) {
        long kib = 0;
        if (sscanf(line, "RssAnon: %ld", &kib) == 1 || sscanf(line, "RssShmem: %ld", &kib) == 1)
            sum += kib;
    }
    (void)fclose(status);
    return sum;
}

static void sample(struct reading *reading)
{
    const int64_t now_ns = measure_now_ns();
    if (reading->options.pid == 0 || now_ns - reading->sampled_ns < SAMPLE_NS)
        return;
    reading->sampled_ns = now_ns;
    const long kib = resident_kib(reading->options.pid);
    if (kib > reading->rss_max_kib)
        reading->rss_max_kib = kib;
}

/* --- lines --- */

static bool begins(const uint8_t *line, size_t size, const char *with)
{
    return size >= strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

static void take_line(struct reading *reading, const uint8_t *line, size_t size)
{
    static const char name[] = "\"position\":\"";
    if (begins(line, size, "{\"caught_up\":")) {
        reading->ended = true;
        return;
    }
    if (begins(line, size, "{\"checkpoint\":"))
        return;
    const uint8_t *at = memmem(line, size, name, sizeof name - 1);
    const int64_t position = at == NULL ? 0 : strtoll((const char *)at + sizeof name - 1, NULL, 10);
    if (reading->events == 0)
        reading->first = position;
    else if (position != reading->last + 1)
        reading->error = "an event is missing, doubled or out of order";
    reading->last = position;
    reading->events++;
}

/* Lines that are whole are taken where they are; only the rest is kept. */
static void take_text(struct reading *reading, const uint8_t *at, size_t size)
{
    struct load_bytes *kept = &reading->text;
    while (size > 0 && !reading->ended && reading->error == NULL) {
        const uint8_t *end = memchr(at, '\n', size);
        const size_t part = end == NULL ? size : (size_t)(end - at) + 1;
        if (end == NULL || load_bytes_left(kept) > 0)
            load_bytes_add(kept, at, part);
        if (end != NULL && load_bytes_left(kept) > 0) {
            take_line(reading, load_bytes_at(kept), load_bytes_left(kept) - 1);
            load_bytes_take(kept, load_bytes_left(kept));
        } else if (end != NULL) {
            take_line(reading, at, part - 1);
        }
        at += part;
        size -= part;
    }
}

/* --- HTTP --- */

/* Takes what ends with `mark`. False: it is not there whole. */
static bool take_until(struct load_bytes *raw, const char *mark, char *ret, size_t ret_bytes)
{
    const uint8_t *at = load_bytes_at(raw);
    const uint8_t *end =
        load_bytes_left(raw) == 0 ? NULL : memmem(at, load_bytes_left(raw), mark, strlen(mark));
    if (end == NULL)
        return false;
    (void)snprintf(ret, ret_bytes, "%.*s", (int)(end - at), (const char *)at);
    load_bytes_take(raw, (size_t)(end - at) + strlen(mark));
    return true;
}

static void take_chunks(struct reading *reading)
{
    struct load_bytes *raw = &reading->raw;
    char line[64];
    while (reading->error == NULL && !reading->ended) {
        if (reading->chunk_bytes == 0) {
            if (!take_until(raw, "\r\n", line, sizeof line))
                return;
            reading->chunk_bytes = strtoul(line, NULL, 16) + 2;
            reading->ended = reading->chunk_bytes == 2;
            continue;
        }
        const size_t left = load_bytes_left(raw);
        const size_t size = left < reading->chunk_bytes ? left : reading->chunk_bytes;
        const size_t content = reading->chunk_bytes > 2 ? reading->chunk_bytes - 2 : 0;
        if (size == 0)
            return;
        take_text(reading, load_bytes_at(raw), size < content ? size : content);
        load_bytes_take(raw, size);
        reading->chunk_bytes -= size;
    }
}

static void take(struct reading *reading, const uint8_t *data, size_t size)
{
    char head[64];
    reading->bytes += (int64_t)size;
    load_bytes_add(&reading->raw, data, size);
    if (!reading->has_head) {
        if (!take_until(&reading->raw, "\r\n\r\n", head, sizeof head))
            return;
        reading->has_head = true;
        if (strncmp(head, "HTTP/1.1 200 ", 13) != 0)
            reading->error = "the answer's status is another one than 200";
    }
    take_chunks(reading);
}

/* --- running --- */

static void read_some(struct reading *reading)
{
    static uint8_t memory[READ_BYTES];
    const size_t most = reading->options.bytes_per_s > 0 ? SLOW_READ_BYTES : READ_BYTES;
    struct pollfd socket = {.fd = reading->fd, .events = POLLIN};
    if (poll(&socket, 1, SILENCE_MAX_MS) == 0) {
        reading->error = "nothing comes any more";
        return;
    }
    const ssize_t size = recv(reading->fd, memory, most, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0)
        reading->error = "the connection broke";
    else
        take(reading, memory, (size_t)size);
}

static void read_all(struct reading *reading)
{
    const struct options *options = &reading->options;
    const int64_t begun_ns = measure_now_ns();
    while (!reading->ended && reading->error == NULL) {
        read_some(reading);
        sample(reading);
        if (options->seconds > 0 && measure_now_ns() - begun_ns > (int64_t)(options->seconds * 1e9))
            return;
        if (options->bytes_per_s > 0)
            measure_sleep_until(begun_ns + (int64_t)((double)reading->bytes / options->bytes_per_s * 1e9));
    }
}

static void ask(struct reading *reading)
{
    char host[64];
    char request[1024];
    uint16_t port = 0;
    struct load_bytes bytes = {0};
    if (reading->options.target == NULL || !load_target_parse(reading->options.target, host, &port)) {
        reading->error = "say --target HOST:PORT";
        return;
    }
    reading->fd = load_socket_open(host, port, reading->options.bytes_per_s > 0 ? SLOW_RECEIVE : 0);
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n",
                   reading->options.path);
    load_bytes_add(&bytes, request, strlen(request));
    if (reading->fd < 0 || !load_socket_send(reading->fd, &bytes) || load_bytes_left(&bytes) > 0)
        reading->error = "cannot connect";
    load_bytes_done(&bytes);
}

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 't':
        options->target = text;
        return 0;
    case 'p':
        options->path = text;
        return 0;
    case 'b':
        options->bytes_per_s = atof(text);
        return 0;
    case 's':
        options->seconds = atof(text);
        return 0;
    case 'P':
        options->pid = atol(text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option option_table[] = {
    {"target", 't', "HOST:PORT", 0, "the HTTP port", 0},
    {"path", 'p', "PATH", 0, "with its query (/api/v1/events/)", 0},
    {"bytes-per-s", 'b', "N", 0, "read no faster; 0 = as they come", 0},
    {"seconds", 's', "S", 0, "stop then; 0 = at the end", 0},
    {"pid", 'P', "PID", 0, "the process whose memory is looked at", 0},
    {0},
};

int main(int argc, char **argv)
{
    static struct reading reading = {.options = {.path = "/api/v1/events/"}, .fd = -1};
    const struct argp parser = {.options = option_table, .parser = parse_option};
    if (argp_parse(&parser, argc, argv, 0, NULL, &reading.options) != 0)
        return 2;
    reading.rss_begin_kib = resident_kib(reading.options.pid);
    const int64_t begun_ns = measure_now_ns();
    ask(&reading);
    if (reading.error == NULL)
        read_all(&reading);
    const double seconds = (double)(measure_now_ns() - begun_ns) / 1e9;
    printf("{\"events\": %" PRId64 ", \"first\": %" PRId64 ", \"last\": %" PRId64 ", \"bytes\": %" PRId64
           ", \"seconds\": %.3f, \"events_per_s\": %.0f, \"rss_begin_kib\": %ld, \"rss_max_kib\": %ld, "
           "\"error\": \"%s\"}\n",
           reading.events, reading.first, reading.last, reading.bytes, seconds,
           (double)reading.events / seconds, reading.rss_begin_kib, reading.rss_max_kib,
           reading.error == NULL ? "" : reading.error);
    return reading.error == NULL ? 0 : 1; /* its memory and socket go with it */
}
