/*
 * Appends with names of their own on one AppendStream, and retries of them; every answer is compared whole.
 *
 *   keys_client fill   makes appends --first … --first + --count - 1. The first ones may be answered as replays (their
 *                      outcome was unknown); after the first that is new, none may
 *   keys_client retry  repeats --count appends taken at random from the --known that are made: each must be answered
 *                      with its first result. One in --other-every has other content and must be refused as
 *                      EVENT_ID_USED; one in --new-every is a new append, which continues the known ones
 *
 * The answer of an append follows from its number (keys_load.h) but for its time, which --times keeps: 8 bytes an
 * append, 0 = not known yet. Prints one JSON line; `answered` counts the answers, also of a stream that broke off.
 */
#include <argp.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <strata/v1/event_service.pb-c.h>

#include "base/bytes.h"
#include "keys_load.h"
#include "support/grpc_client.h"

#define IN_FLIGHT_MAX 64 /* what a server's window takes */

struct options {
    const char *mode;
    const char *times;
    int64_t port;
    int64_t aggregates;
    int64_t first;
    int64_t count;
    int64_t known;
    int64_t seed;
    int64_t other_every;
    int64_t new_every;
};

struct sent {
    int64_t number;
    enum key_change change;
};

struct run {
    struct options options;
    bool retrying;
    int64_t known;    /* appends that were made, or are on their way */
    int64_t *time_us; /* of each; the file */
    uint64_t random;
    struct sent window[IN_FLIGHT_MAX];
    int64_t sent;
    int64_t answered;
    int64_t replayed;
    int64_t refused;
    int64_t recorded;
    int64_t last_us; /* of the last new one */
    struct buffer request;
    struct buffer answer;
    struct buffer expected;
    char error[1024];
};

/* Steele, Lea and Flood's splitmix64. */
static uint64_t next_random(struct run *run)
{
    uint64_t value = run->random += UINT64_C(0x9E3779B97F4A7C15);
    value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
    return value ^ value >> 31;
}

static bool is_turn(int64_t every, int64_t turn)
{
    return every > 0 && turn % every == every - 1;
}

static struct sent choose(struct run *run)
{
    if (!run->retrying)
        return (struct sent){run->options.first + run->sent, KEY_SAME};
    if (is_turn(run->options.new_every, run->sent))
        return (struct sent){run->known, KEY_SAME};
    const int64_t number = (int64_t)(next_random(run) % (uint64_t)run->known);
    if (!is_turn(run->options.other_every, run->sent))
        return (struct sent){number, KEY_SAME};
    const unsigned ways = keys_brings_ids(number) ? 3 : 2;
    return (struct sent){number, (enum key_change)(KEY_OTHER_DATA + next_random(run) % ways)};
}

static void send_one(struct run *run, struct grpc_stream *stream)
{
    const struct sent sent = choose(run);
    run->known = sent.number < run->known ? run->known : sent.number + 1;
    run->window[run->sent % IN_FLIGHT_MAX] = sent;
    keys_put_request(sent.number, run->options.aggregates, sent.change, &run->request);
    (void)grpc_stream_write(stream,
                            buffer_bytes(&run->request)); /* a broken stream says so when it is read */
    run->sent++;
}

__attribute__((format(printf, 3, 4))) static void fail(struct run *run, int64_t number, const char *format,
                                                       ...)
{
    if (run->error[0] != '\0')
        return;
    const int used = snprintf(run->error, sizeof run->error,
                              "append %" PRId64 " (request %" PRId64 "): ", number, run->answered + 1);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(run->error + used, sizeof run->error - (size_t)used, format, arguments);
    va_end(arguments);
}

static void check_refusal(struct run *run, const struct sent *sent,
                          const Strata__V1__AppendStreamResponse *got)
{
    const bool refused = got->outcome_case == STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_ERROR &&
                         got->error->code == 6 && strcmp(got->error->reason, "EVENT_ID_USED") == 0;
    if (!refused || got->sequence != run->answered + 1)
        fail(run, sent->number, "change %d was not refused as EVENT_ID_USED", (int)sent->change);
    run->refused++;
}

/* Takes the time from the answer when nobody knows it yet, and everything else from the number. */
static void check_result(struct run *run, int64_t number, const Strata__V1__AppendStreamResponse *got)
{
    const Strata__V1__AppendEventsResponse *appended = got->appended;
    const Google__Protobuf__Timestamp *time = appended->timestamp;
    const int64_t time_us = time == NULL ? 0 : time->seconds * 1000000 + time->nanos / 1000;
    const bool may_be_known = run->retrying ? run->time_us[number] != 0 : run->recorded == 0;
    if (run->time_us[number] == 0)
        run->time_us[number] = time_us;
    if (appended->replayed) {
        if (!may_be_known)
            fail(run, number, "a new append is answered as a replay");
        run->replayed++;
    } else {
        if (run->retrying && number < run->options.known)
            fail(run, number, "a retry was recorded again, at position %" PRId64, appended->first_position);
        if (time_us <= run->last_us)
            fail(run, number, "the time does not rise");
        run->last_us = time_us;
        run->recorded++;
    }
    keys_put_answer(number, run->options.aggregates, run->answered + 1, run->time_us[number],
                    appended->replayed != 0, &run->expected);
    if (!bytes_equal(buffer_bytes(&run->expected), buffer_bytes(&run->answer)))
        fail(run, number,
             "not the first result: position %" PRId64 " of %" PRId64 ", time %" PRId64 " of %" PRId64
             ", id %s, append_id %s, replayed %d",
             appended->first_position, keys_events_before(number) + 1, time_us, run->time_us[number],
             appended->n_event_ids > 0 ? appended->event_ids[0] : "none", appended->append_id,
             (int)appended->replayed);
}

static void check_answer(struct run *run)
{
    const struct sent *sent = &run->window[run->answered % IN_FLIGHT_MAX];
    Strata__V1__AppendStreamResponse *got =
        strata__v1__append_stream_response__unpack(NULL, run->answer.size_bytes, run->answer.data);
    if (got == NULL) {
        fail(run, sent->number, "the answer is malformed");
        return;
    }
    if (sent->change != KEY_SAME)
        check_refusal(run, sent, got);
    else if (got->outcome_case == STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_APPENDED)
        check_result(run, sent->number, got);
    else
        fail(run, sent->number, "refused: %s",
             got->outcome_case == STRATA__V1__APPEND_STREAM_RESPONSE__OUTCOME_ERROR ? got->error->message
                                                                                    : "no outcome");
    strata__v1__append_stream_response__free_unpacked(got, NULL);
}

/* Returns false when the stream broke off. */
static bool run_stream(struct run *run, struct grpc_stream *stream)
{
    while (run->answered < run->options.count && run->error[0] == '\0') {
        while (run->sent < run->options.count && run->sent - run->answered < IN_FLIGHT_MAX)
            send_one(run, stream);
        if (!grpc_stream_read(stream, &run->answer))
            return false;
        check_answer(run);
        run->answered++;
    }
    return true;
}

static int64_t *map_times(const struct options *options)
{
    const int64_t most = (options->known > options->first ? options->known : options->first) + options->count;
    const int fd = open(options->times, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const off_t size = (off_t)(most * (int64_t)sizeof(int64_t));
    if (fd < 0 || lseek(fd, 0, SEEK_END) < 0)
        return NULL;
    if (lseek(fd, 0, SEEK_END) < size && ftruncate(fd, size) != 0)
        return NULL;
    int64_t *times = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    return times == MAP_FAILED ? NULL : times;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const char *shown(char *text)
{
    for (char *at = text; *at != '\0'; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < 0x20)
            *at = '\'';
    return text;
}

static void print_result(struct run *run, bool complete, double seconds, struct client_reply *reply)
{
    printf("{\"answered\": %" PRId64 ", \"recorded\": %" PRId64 ", \"replayed\": %" PRId64
           ", \"refused\": %" PRId64 ", \"known\": %" PRId64
           ", \"complete\": %s, \"seconds\": %.3f, \"ended\": \"%d %s\", \"error\": \"%s\"}\n",
           run->answered, run->recorded, run->replayed, run->refused, run->known, complete ? "true" : "false",
           seconds, reply->code, shown(reply->message), shown(run->error));
}

static int64_t *number_option(struct options *options, int key)
{
    switch (key) {
    case 'p':
        return &options->port;
    case 'a':
        return &options->aggregates;
    case 'f':
        return &options->first;
    case 'n':
        return &options->count;
    case 'k':
        return &options->known;
    case 's':
        return &options->seed;
    case 'o':
        return &options->other_every;
    case 'w':
        return &options->new_every;
    default:
        return NULL;
    }
}

static int parse_option(int key, char *text, struct argp_state *state)
{
    struct options *options = state->input;
    if (key == ARGP_KEY_ARG && state->arg_num == 0) {
        options->mode = text;
        return 0;
    }
    if (key == 't') {
        options->times = text;
        return 0;
    }
    int64_t *number = number_option(options, key);
    if (number == NULL)
        return ARGP_ERR_UNKNOWN;
    *number = strtoll(text, NULL, 10);
    return 0;
}

static const struct argp_option option_table[] = {
    {"port", 'p', "PORT", 0, "of the server on loopback (50051)", 0},
    {"times", 't', "FILE", 0, "keeps when each append was recorded", 0},
    {"aggregates", 'a', "N", 0, "aggregates that events go to in turn, 2 or more (1000)", 0},
    {"first", 'f', "N", 0, "fill: number of the first append (0)", 0},
    {"count", 'n', "N", 0, "appends to send (1000)", 0},
    {"known", 'k', "N", 0, "retry: appends that are made", 0},
    {"seed", 's', "N", 0, "retry: which ones (1)", 0},
    {"other-every", 'o', "N", 0, "retry: one of so many has other content; 0 = none", 0},
    {"new-every", 'w', "N", 0, "retry: one of so many is new; 0 = none", 0},
    {0},
};

int main(int argc, char **argv)
{
    static struct run run = {
        .options = {.mode = "", .port = 50051, .aggregates = 1000, .count = 1000, .seed = 1}};
    const struct argp parser = {option_table, parse_option, "fill|retry", "Named appends on one gRPC stream.",
                                NULL,         NULL,         NULL};
    argp_parse(&parser, argc, argv, 0, NULL, &run.options);
    const struct options *options = &run.options;
    run.retrying = strcmp(options->mode, "retry") == 0;
    if ((!run.retrying && strcmp(options->mode, "fill") != 0) || options->times == NULL ||
        options->count < 1 || options->first < 0 || options->aggregates < 2 ||
        (run.retrying && options->known < 1)) {
        (void)fprintf(stderr, "keys_client: say fill or retry, --times and numbers in range; see --help\n");
        return 2;
    }
    run.random = (uint64_t)options->seed;
    run.known = options->known;
    run.time_us = map_times(options);
    if (run.time_us == NULL) {
        perror("keys_client: cannot keep times");
        return 2;
    }
    run.request = buffer_make(0);
    run.answer = buffer_make(0);
    run.expected = buffer_make(0);
    const double begun_s = now_s();
    const struct grpc_client_options patient = {.wait_for_server = true};
    struct grpc_client *client = grpc_client_new((uint16_t)options->port, &patient);
    struct grpc_stream *stream = grpc_stream_open(client, "/strata.v1.EventService/AppendStream", 0);
    const bool complete = run_stream(&run, stream);
    if (complete)
        grpc_stream_half_close(stream);
    struct client_reply reply = {.body = buffer_make(0)};
    if (run.error[0] != '\0')
        grpc_stream_cancel(stream);
    grpc_stream_finish(stream, &reply);
    if (complete && run.error[0] == '\0' && reply.code != 0)
        fail(&run, -1, "the stream ended with %d: %s", reply.code, reply.message);
    print_result(&run, complete, now_s() - begun_s, &reply);
    client_reply_done(&reply);
    grpc_client_free(client);
    buffer_done(&run.request);
    buffer_done(&run.answer);
    buffer_done(&run.expected);
    return run.error[0] == '\0' ? 0 : 1;
}
