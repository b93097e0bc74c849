/* The gRPC upstream's thread: what other threads ask of it, calls that wait for a connection, and deadlines. */
#include "gateway/upstream/upstream_grpc.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/upstream/grpc_internal.h"

#define TICK_MS   20 /* while calls have deadlines or wait for a connection */
#define IDLE_MS   1000
#define QUIET_US  INT64_C(5000000)
#define ANSWER_US INT64_C(10000000)

/* The upstream whose thread this is: what is asked from inside needs no wake-up. */
static _Thread_local const struct remote *running;

/* --- asking, any thread --- */

static void ask(struct remote_call *call, unsigned what)
{
    struct remote *remote = call->remote;
    bool wake = false;
    pthread_mutex_lock(&remote->lock);
    call->asked |= what;
    if (!call->posted) {
        call->posted = true;
        call->next_posted = NULL;
        atomic_fetch_add(&call->references, 1); /* the post's */
        wake = remote->first_posted == NULL;
        if (wake)
            remote->first_posted = call;
        else
            remote->last_posted->next_posted = call;
        remote->last_posted = call;
    }
    pthread_mutex_unlock(&remote->lock);
    const uint64_t one = 1;
    if (wake && running != remote)
        (void)!write(remote->wake_fd, &one, sizeof one); /* EAGAIN means that it is awake anyway */
}

static struct bytes keep(uint8_t **at, struct bytes text)
{
    if (text.size_bytes == 0)
        return BYTES_NONE;
    const struct bytes kept = {*at, text.size_bytes};
    *at = mempcpy(*at, text.data, text.size_bytes);
    return kept;
}

/* False: no memory. */
static bool texts_keep(struct remote_call *call, const struct upstream_request *request)
{
    const struct bytes peer = call->method->server_stream ? request->peer : BYTES_NONE;
    const size_t size_bytes = request->authorization.size_bytes + request->traceparent.size_bytes +
                              request->request_id.size_bytes + peer.size_bytes;
    buffer_reserve(&call->texts, size_bytes + 1);
    uint8_t *at = buffer_extend(&call->texts, size_bytes + 1);
    if (at == NULL)
        return false;
    call->authorization = keep(&at, request->authorization);
    call->traceparent = keep(&at, request->traceparent);
    call->request_id = keep(&at, request->request_id);
    call->transport = request->transport;
    call->peer = keep(&at, peer);
    return true;
}

static struct upstream_call *remote_make(struct upstream *upstream, const struct upstream_request *request,
                                         const struct upstream_events *events, void *context)
{
    struct remote_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->base.ops = upstream->ops;
    atomic_init(&call->references, 1);
    call->remote = (struct remote *)upstream;
    call->method = schema_method(request->method);
    call->events = events;
    call->context = context;
    call->deadline_us = request->deadline_us;
    call->grpc_status = -1;
    call->texts = buffer_make(0);
    call->request = buffer_make(0);
    call->text = buffer_make(0);
    call->detail = buffer_make(0);
    call->in = buffer_make(0);
    link_init(&call->all);
    if (!texts_keep(call, request)) {
        remote_call_release(call);
        return NULL;
    }
    return &call->base;
}

static void remote_begin(struct upstream_call *base, struct bytes message)
{
    struct remote_call *call = (struct remote_call *)base;
    atomic_fetch_add(&call->references, 1); /* until its end */
    buffer_reserve(&call->request, GRPC_FRAME_HEAD_BYTES + message.size_bytes);
    grpc_frame_add(&call->request, message);
    ask(call, ASKED_BEGIN);
}

static void remote_writable(struct upstream_call *call)
{
    ask((struct remote_call *)call, ASKED_ROOM);
}

static void remote_cancel(struct upstream_call *call)
{
    ask((struct remote_call *)call, ASKED_CANCEL);
}

static void remote_ref(struct upstream_call *call)
{
    atomic_fetch_add(&((struct remote_call *)call)->references, 1);
}

static void remote_release(struct upstream_call *call)
{
    remote_call_release((struct remote_call *)call);
}

static const struct upstream_ops remote_ops = {remote_make,   remote_begin, remote_writable,
                                               remote_cancel, remote_ref,   remote_release};

/* --- placing --- */

static bool place_now(struct remote *remote, struct remote_call *call)
{
    for (size_t i = 0; i < remote->link_count; i++) {
        struct grpc_link *link = remote->links[(remote->next_link + i) % remote->link_count];
        if (!grpc_link_takes_calls(link))
            continue;
        remote->next_link = (remote->next_link + i + 1) % remote->link_count;
        grpc_link_send(link, call);
        return true;
    }
    for (struct link *at = remote->aside.next; at != &remote->aside; at = at->next) {
        struct grpc_link *link = LINK_OWNER(at, struct grpc_link, all);
        if (!grpc_link_takes_calls(link))
            continue;
        grpc_link_send(link, call);
        return true;
    }
    return false;
}

void remote_place(struct remote *remote, struct remote_call *call)
{
    assert(call->state == CALL_WAITING);
    if (place_now(remote, call))
        return;
    call->wait_until_us = remote->now_us + CONNECT_WAIT_US;
    link_append(&remote->waiting, &call->all);
}

/* Sending takes the call out of the ring, so one that finds no place keeps its own. */
static void place_waiting(struct remote *remote)
{
    while (!link_is_alone(&remote->waiting))
        if (!place_now(remote, LINK_OWNER(remote->waiting.next, struct remote_call, all)))
            return;
}

static void begin(struct remote *remote, struct remote_call *call)
{
    call->state = CALL_WAITING;
    remote->timed_count += call->deadline_us != 0;
    if (call->request.failed) {
        const struct status status =
            status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the call; try later");
        remote_call_fail(call, &status);
        return;
    }
    remote_place(remote, call);
}

/* --- what was asked --- */

static void answer(struct remote *remote, struct remote_call *call, unsigned asked)
{
    if (asked & ASKED_BEGIN)
        begin(remote, call);
    if (asked & ASKED_ROOM)
        remote_call_room(call);
    if ((asked & ASKED_CANCEL) && (call->state == CALL_WAITING || call->state == CALL_SENT)) {
        const struct status status = status_error(STATUS_CANCELLED, "the caller gave up");
        remote_call_fail(call, &status);
    }
}

static void inbox_process(struct remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    struct remote_call *at = remote->first_posted;
    remote->first_posted = NULL;
    remote->last_posted = NULL;
    pthread_mutex_unlock(&remote->lock);
    while (at != NULL) {
        pthread_mutex_lock(&remote->lock);
        struct remote_call *next = at->next_posted;
        const unsigned asked = at->asked;
        at->asked = 0;
        at->posted = false;
        pthread_mutex_unlock(&remote->lock);
        answer(remote, at, asked);
        remote_call_release(at);
        at = next;
    }
}

/* --- time --- */

static void overdue_fail(struct remote *remote, struct link *list)
{
    struct link *next;
    for (struct link *at = list->next; at != list; at = next) {
        next = at->next;
        struct remote_call *call = LINK_OWNER(at, struct remote_call, all);
        if (call->deadline_us == 0 || remote->now_us < call->deadline_us)
            continue;
        const struct status status =
            status_error(STATUS_DEADLINE_EXCEEDED, "the core did not answer in time; %s",
                         remote_call_in_doubt(call) ? "what it did is not known" : "nothing was done");
        remote_call_fail(call, &status);
    }
}

static void waiting_fail(struct remote *remote)
{
    while (!link_is_alone(&remote->waiting)) { /* all wait equally long: the first one is the next */
        struct remote_call *call = LINK_OWNER(remote->waiting.next, struct remote_call, all);
        if (remote->now_us < call->wait_until_us)
            return;
        const struct grpc_link *link = remote->links[remote->next_link % remote->link_count];
        const struct status status =
            status_reason(REASON_STORE_UNREACHABLE, "the core at %s cannot be reached (%s); try again",
                          link->authority, link->state == LINK_UP ? "it takes no more calls" : link->trouble);
        remote_call_give_up(call, &status);
    }
}

/* --- links set aside --- */

/*
 * Calls may go on for days, so a connection that takes no more of them gets a successor at once, and stays beside it
 * for as long as it has calls.
 */
static void spent_replace(struct remote *remote)
{
    for (size_t i = 0; i < remote->link_count; i++) {
        struct grpc_link *link = remote->links[i];
        const bool wanted = link->leaving || !link_is_alone(&remote->waiting);
        struct grpc_link *another = wanted && grpc_link_is_spent(link) ? grpc_link_another(link) : NULL;
        if (another == NULL)
            continue;
        remote->links[i] = another; /* connects in the next round */
        link->aside = true;
        link_append(&remote->aside, &link->all);
    }
}

static void aside_flush(struct remote *remote)
{
    struct link *next;
    for (struct link *at = remote->aside.next; at != &remote->aside; at = next) {
        next = at->next;
        struct grpc_link *link = LINK_OWNER(at, struct grpc_link, all);
        if (link->state == LINK_UP) /* only what is up: it is not connected again */
            grpc_link_tick(link);
        grpc_link_flush(link);
        if (link->state != LINK_DOWN || !link_is_alone(&link->calls))
            continue;
        link_remove(&link->all);
        grpc_link_free(link);
    }
}

static void time_pass(struct remote *remote)
{
    place_waiting(remote);
    waiting_fail(remote);
    if (remote->timed_count > 0) {
        overdue_fail(remote, &remote->waiting);
        for (size_t i = 0; i < remote->link_count; i++)
            overdue_fail(remote, &remote->links[i]->calls);
        for (struct link *at = remote->aside.next; at != &remote->aside; at = at->next)
            overdue_fail(remote, &LINK_OWNER(at, struct grpc_link, all)->calls);
    }
    for (size_t i = 0; i < remote->link_count; i++)
        grpc_link_tick(remote->links[i]);
}

static void list_end(struct link *list)
{
    while (!link_is_alone(list)) {
        const struct status status = status_error(STATUS_CANCELLED, "the gateway has stopped");
        remote_call_give_up(LINK_OWNER(list->next, struct remote_call, all), &status);
    }
}

static int sleep_ms(struct remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    const bool asked = remote->first_posted != NULL; /* by an end of this round: without a wake-up */
    pthread_mutex_unlock(&remote->lock);
    if (asked)
        return 0;
    if (remote->timed_count > 0 || !link_is_alone(&remote->waiting))
        return TICK_MS;
    for (size_t i = 0; i < remote->link_count; i++)
        if (remote->links[i]->state != LINK_UP)
            return TICK_MS;
    return IDLE_MS;
}

/* Stopping: whoever made a call gets its end. What the ends ask for, such as cancelling, is looked at too. */
static void calls_end(struct remote *remote)
{
    for (int round = 0; round < 2; round++) {
        inbox_process(remote);
        list_end(&remote->waiting);
        for (size_t i = 0; i < remote->link_count; i++)
            list_end(&remote->links[i]->calls);
        for (struct link *at = remote->aside.next; at != &remote->aside; at = at->next)
            list_end(&LINK_OWNER(at, struct grpc_link, all)->calls);
    }
}

/* --- the thread --- */

static bool is_stopping(struct remote *remote)
{
    pthread_mutex_lock(&remote->lock);
    const bool stopping = remote->stopping;
    pthread_mutex_unlock(&remote->lock);
    return stopping;
}

static void *run(void *context)
{
    struct remote *remote = context;
    running = remote;
    struct epoll_event events[UPSTREAM_ADDRESSES_MAX + 1];
    while (!is_stopping(remote)) {
        const int count = epoll_wait(remote->epoll_fd, events, ARRAY_COUNT(events), sleep_ms(remote));
        remote->now_us = clock_monotonic_us(remote->clock);
        for (int i = 0; i < count; i++) {
            uint64_t wakes;
            if (events[i].data.ptr == NULL)
                (void)!read(remote->wake_fd, &wakes, sizeof wakes); /* only empties it */
            else
                grpc_link_event(events[i].data.ptr, events[i].events);
        }
        inbox_process(remote);
        time_pass(remote);
        for (size_t i = 0; i < remote->link_count; i++)
            grpc_link_flush(remote->links[i]);
        aside_flush(remote);
        spent_replace(remote);
    }
    calls_end(remote);
    return NULL;
}

/* --- making --- */

static struct status links_make(struct remote *remote, const struct upstream_grpc_options *options)
{
    if (options->address_count == 0 || options->address_count > UPSTREAM_ADDRESSES_MAX)
        return status_error(STATUS_INVALID_ARGUMENT, "%zu upstream addresses are given; give 1 to %u",
                            options->address_count, UPSTREAM_ADDRESSES_MAX);
    for (size_t i = 0; i < options->address_count; i++) {
        STATUS_TRY(grpc_link_new(remote, options->addresses[i], &remote->links[i]));
        remote->link_count++;
    }
    return status_ok();
}

static struct status thread_start(struct remote *remote)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (remote->epoll_fd < 0 || remote->wake_fd < 0 ||
        epoll_ctl(remote->epoll_fd, EPOLL_CTL_ADD, remote->wake_fd, &event) < 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no descriptors for the upstream: %s",
                            strerror(errno));
    const int error = pthread_create(&remote->thread, NULL, run, remote);
    if (error != 0)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no thread for the upstream: %s", strerror(error));
    remote->thread_runs = true;
    return status_ok();
}

struct status upstream_grpc_new(const struct upstream_grpc_options *options, struct upstream **ret)
{
    struct remote *remote = calloc(1, sizeof *remote);
    if (remote == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory for the upstream");
    remote->upstream.ops = &remote_ops;
    remote->clock = options->clock;
    remote->entropy = options->entropy;
    remote->log = options->log;
    remote->resolver = options->resolver;
    remote->quiet_us = options->quiet_ms > 0 ? options->quiet_ms * 1000 : QUIET_US;
    remote->answer_us = options->answer_ms > 0 ? options->answer_ms * 1000 : ANSWER_US;
    remote->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    remote->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    remote->now_us = clock_monotonic_us(options->clock);
    pthread_mutex_init(&remote->lock, NULL);
    link_init(&remote->waiting);
    link_init(&remote->aside);
    struct status status = links_make(remote, options);
    if (status_is_ok(&status))
        status = thread_start(remote);
    if (!status_is_ok(&status)) {
        upstream_grpc_free(&remote->upstream);
        return status;
    }
    *ret = &remote->upstream;
    return status_ok();
}

void upstream_grpc_free(struct upstream *upstream)
{
    struct remote *remote = (struct remote *)upstream;
    if (remote == NULL)
        return;
    pthread_mutex_lock(&remote->lock);
    remote->stopping = true;
    pthread_mutex_unlock(&remote->lock);
    const uint64_t one = 1;
    (void)!write(remote->wake_fd, &one, sizeof one); /* as in ask */
    if (remote->thread_runs)
        pthread_join(remote->thread, NULL);
    for (size_t i = 0; i < remote->link_count; i++)
        grpc_link_free(remote->links[i]);
    while (!link_is_alone(&remote->aside)) {
        struct grpc_link *link = LINK_OWNER(remote->aside.next, struct grpc_link, all);
        link_remove(&link->all);
        grpc_link_free(link);
    }
    if (remote->epoll_fd >= 0)
        close(remote->epoll_fd);
    if (remote->wake_fd >= 0)
        close(remote->wake_fd);
    pthread_mutex_destroy(&remote->lock);
    free(remote);
}
