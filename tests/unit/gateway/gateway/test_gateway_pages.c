/* NDJSON of lists: the gateway walks the pages. */
#include <pthread.h>

#include "strata/v1/event_service.pb-c.h"
#include "unit/gateway/gateway/gateway_fixture.h"

/* What the pages of a test are like; the token is the number of the page. */
static struct {
    unsigned page_count;
    size_t events_a_page, padding_bytes;
    unsigned fails_at; /* 0: never */
    bool later;        /* every page, or every other one, answers on the worker's thread */
    bool alternating;
    char seen[4096]; /* page tokens asked for, in order */
    pthread_mutex_t lock;
    unsigned asked;
    struct gate *pending, *cancelled; /* with `holds`: the page stays unanswered until cancelled */
    unsigned holds;
    struct gate *asked_gate;       /* raised for every page asked for */
    size_t made_bytes, read_bytes; /* by handler and client, to see how far they are apart */
    size_t apart_most_bytes;
} list = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct page {
    struct call *call;
    unsigned number;
};

static void answer_now(void *context)
{
    struct page *page = context;
    struct buffer reply = buffer_make(0);
    char *padding = malloc(list.padding_bytes + 32);
    const int size = sprintf(padding, "{\"p\":\"%0*d\"}", (int)list.padding_bytes, 0);
    if (page->number == list.fails_at) {
        const struct status status = status_reason(REASON_STORE_FAILED, "as the test wants");
        call_finish(page->call, &status);
    } else {
        char token[16];
        for (size_t i = 0; i < list.events_a_page; i++) {
            struct buffer event = buffer_make(0);
            wire_put_uint(&event, 6, (page->number - 1) * list.events_a_page + i + 1);
            wire_put_bytes(&event, 30, bytes_of(padding, (size_t)size));
            wire_put_bytes(&reply, 1, buffer_bytes(&event));
            buffer_done(&event);
        }
        snprintf(token, sizeof token, "%u", page->number + 1);
        if (page->number < list.page_count)
            wire_put_bytes(&reply, 2, bytes_of_text(token));
        wire_put_uint(&reply, 3, 99);
        call_reply_bytes(page->call, buffer_bytes(&reply));
    }
    buffer_done(&reply);
    free(padding);
    free(page);
}

static void hold_cancelled(void *context)
{
    const struct status status = status_error(STATUS_CANCELLED, "gone");
    call_finish(context, &status);
    gate_raise(list.cancelled);
}

static void list_events(struct call *call, const ProtobufCMessage *request)
{
    const Strata__V1__ListEventsRequest *given = (const Strata__V1__ListEventsRequest *)request;
    struct page *page = malloc(sizeof *page);
    pthread_mutex_lock(&list.lock);
    *page = (struct page){call, given->page_token[0] == '\0' ? 1 : (unsigned)atoi(given->page_token)};
    const size_t used = strlen(list.seen);
    if (used < sizeof list.seen - 32)
        snprintf(list.seen + used, sizeof list.seen - used, "%s/%s ", given->type, given->page_token);
    list.asked++;
    list.made_bytes += list.events_a_page * list.padding_bytes;
    if (list.made_bytes > list.read_bytes + list.apart_most_bytes)
        list.apart_most_bytes = list.made_bytes - list.read_bytes;
    pthread_mutex_unlock(&list.lock);
    gate_raise(list.asked_gate);
    if (page->number == list.holds) {
        free(page);
        call_on_cancel(call, hold_cancelled, call);
        gate_raise(list.pending);
    } else if (list.later && (!list.alternating || page->number % 2 == 0)) {
        fixture_later(answer_now, page);
    } else {
        answer_now(page);
    }
}

static int start(void **state)
{
    (void)state;
    fixture_start(NULL);
    fixture_handle(METHOD_EVENT_SERVICE_LIST_EVENTS, list_events);
    list.seen[0] = '\0';
    list.asked = 0;
    list.page_count = 3;
    list.events_a_page = 2;
    list.padding_bytes = 1;
    list.fails_at = 0;
    list.later = false;
    list.alternating = false;
    list.holds = 0;
    list.made_bytes = 0;
    list.read_bytes = 0;
    list.apart_most_bytes = 0;
    list.asked_gate = gate_new();
    list.pending = gate_new();
    list.cancelled = gate_new();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fixture_stop();
    gate_free(list.asked_gate);
    gate_free(list.pending);
    gate_free(list.cancelled);
    return 0;
}

/* No library search, which a sanitizer makes quadratic. */
static size_t count_parts(const char *text, const char *part)
{
    const size_t size = strlen(part);
    size_t count = 0;
    for (const char *at = text; *at != '\0'; at++)
        count += *at == *part && strncmp(at, part, size) == 0;
    return count;
}

#define LINES "Accept: application/x-ndjson\r\n"

static void check_three_pages(void)
{
    struct answer answer = ask("GET", "/api/v1/events?type=t", LINES, NULL);
    assert_int_equal(answer.http_status, 200);
    answer_has(&answer, "Content-Type: application/x-ndjson\r\n");
    answer_has(&answer, "Strata-Position: 99\r\n");
    answer_has(&answer, "\r\n0\r\n\r\n");
    assert_int_equal(count_parts(answer.text, "{\"id\":\"\""), 6);
    answer_has(&answer, "\"position\":\"6\"");
    answer_lacks(&answer, "next_page_token");
    assert_string_equal(list.seen, "t/ t/2 t/3 ");
    answer_done(&answer);
}

static void test_three_pages_answered_at_once(void **state)
{
    (void)state;
    check_three_pages();
}

static void test_three_pages_answered_later(void **state)
{
    (void)state;
    list.later = true;
    check_three_pages();
}

static void test_three_pages_answered_in_both_ways(void **state)
{
    (void)state;
    list.later = true;
    list.alternating = true;
    check_three_pages();
}

static void test_a_list_as_json_is_one_page(void **state)
{
    (void)state;
    struct answer answer = ask("GET", "/api/v1/events", "", NULL);
    assert_int_equal(answer.http_status, 200);
    answer_has(&answer, "Strata-Position: 99\r\n");
    answer_has(&answer, "{\"events\":[{");
    answer_has(&answer, "\"next_page_token\":\"2\"");
    answer_done(&answer);
    assert_int_equal(list.asked, 1);
}

static void test_an_empty_list_is_an_empty_body(void **state)
{
    (void)state;
    list.events_a_page = 0;
    list.page_count = 1;
    struct answer answer = ask("GET", "/api/v1/events", LINES, NULL);
    assert_int_equal(answer.http_status, 200);
    assert_string_equal(answer.body, "0\r\n\r\n");
    answer_done(&answer);
}

static void test_a_page_token_of_the_client_begins_there(void **state)
{
    (void)state;
    struct answer answer = ask("GET", "/api/v1/events?page_token=2", LINES, NULL);
    assert_int_equal(count_parts(answer.text, "{\"id\":\"\""), 4);
    assert_string_equal(list.seen, "/2 /3 ");
    answer_done(&answer);
}

static void test_a_first_page_that_fails_has_its_status(void **state)
{
    (void)state;
    list.fails_at = 1;
    struct answer answer = ask("GET", "/api/v1/events", LINES, NULL);
    assert_int_equal(answer.http_status, 503);
    answer_has(&answer, "\"reason\":\"STORE_FAILED\"");
    answer_done(&answer);
}

static void check_late_failure(bool later)
{
    list.fails_at = 3;
    list.later = later;
    struct answer answer = ask("GET", "/api/v1/events", LINES, NULL);
    assert_true(answer.http_status == 200 || answer.http_status == 0); /* a reset may overtake the head */
    answer_lacks(&answer, "\r\n0\r\n\r\n");
    answer_done(&answer);
}

static void test_a_later_page_that_fails_cuts_the_answer_off(void **state)
{
    (void)state;
    check_late_failure(false);
}

static void test_a_later_page_that_fails_later_cuts_the_answer_off(void **state)
{
    (void)state;
    check_late_failure(true);
}

/* Thousands of pages that are answered while they are asked for must not pile up on the stack. */
static void test_very_many_pages_need_no_more_stack(void **state)
{
    (void)state;
    list.page_count = 20000;
    list.events_a_page = 1;
    struct answer answer = ask("GET", "/api/v1/events", LINES, NULL);
    assert_int_equal(count_parts(answer.text, "\n{\"id\""), 20000);
    answer_has(&answer, "\"position\":\"20000\"");
    answer_has(&answer, "\r\n0\r\n\r\n");
    answer_done(&answer);
}

#define LARGE_PAGE_BYTES  2500000
#define LARGE_PAGES       16
#define SOCKETS_MAX_BYTES 20000000 /* what the kernel may hold of a connection, and two pages */

/* Pages as large as they come: the next is asked for only when the client has taken the former. */
static void check_slow_reader(bool later)
{
    struct buffer in = buffer_make(0);
    list.page_count = LARGE_PAGES;
    list.events_a_page = 10;
    list.padding_bytes = LARGE_PAGE_BYTES / 10;
    list.later = later;
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" LINES "\r\n");
    for (size_t size = raw_receive(fd, &in); size > 0; size = raw_receive(fd, &in)) {
        pthread_mutex_lock(&list.lock);
        list.read_bytes += size;
        pthread_mutex_unlock(&list.lock);
    }
    buffer_add_byte(&in, 0);
    assert_int_equal(list.asked, LARGE_PAGES);
    assert_true(list.apart_most_bytes < SOCKETS_MAX_BYTES);
    assert_non_null(strstr((const char *)in.data, "\"position\":\"160\""));
    assert_non_null(memmem(in.data + in.size_bytes - 8, 8, "\r\n0\r\n\r\n", 7));
    buffer_done(&in);
    close(fd);
}

static void test_a_slow_reader_is_waited_for_when_pages_come_at_once(void **state)
{
    (void)state;
    check_slow_reader(false);
}

static void test_a_slow_reader_is_waited_for_when_pages_come_later(void **state)
{
    (void)state;
    check_slow_reader(true);
}

static void check_reader_that_goes(bool later)
{
    static const char *const read_until[] = {NULL, "\"position\":\"11\"", "\"position\":\"21\""};
    list.page_count = 1000000;
    list.events_a_page = 10;
    list.padding_bytes = LARGE_PAGE_BYTES / 10;
    list.later = later;
    for (size_t i = 0; i < ARRAY_SIZE(read_until); i++) {
        struct buffer in = buffer_make(0);
        const int fd = raw_connect(fixture_port());
        const unsigned asked = gate_count(list.asked_gate);
        raw_send_text(fd, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n" LINES "\r\n");
        if (read_until[i] != NULL)
            (void)raw_receive_until(fd, &in, read_until[i]);
        else
            gate_wait(list.asked_gate, asked + 1);
        raw_reset(fd); /* the page waits for its reader, or will */
        buffer_done(&in);
    } /* stopping finds nothing under way */
}

static void test_a_reader_that_goes_between_pages_ends_the_walk(void **state)
{
    (void)state;
    check_reader_that_goes(false);
}

static void test_a_reader_that_goes_between_later_pages_ends_the_walk(void **state)
{
    (void)state;
    check_reader_that_goes(true);
}

static void test_a_reader_that_goes_within_a_page_cancels_it(void **state)
{
    (void)state;
    struct buffer in = buffer_make(0);
    list.holds = 2;
    const int fd = raw_connect(fixture_port());
    raw_send_text(fd, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n" LINES "\r\n");
    (void)raw_receive_until(fd, &in, "\"position\":\"2\"");
    gate_wait(list.pending, 1);
    raw_reset(fd);
    gate_wait(list.cancelled, 1);
    buffer_done(&in);
}

/* Readers that go at any moment of a walk that never waits for long. */
static void test_readers_that_go_at_any_time_leave_nothing_behind(void **state)
{
    (void)state;
    list.page_count = 1000000;
    list.padding_bytes = 300;
    list.later = true;
    list.alternating = true;
    for (unsigned i = 0; i < 100; i++) {
        struct buffer in = buffer_make(0);
        const int fd = raw_connect(fixture_port());
        raw_send_text(fd, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n" LINES "\r\n");
        if (i % 3 != 0)
            (void)raw_receive_until(fd, &in, i % 3 == 1 ? "\"position\":\"1\"" : "\"position\":\"200\"");
        raw_reset(fd);
        buffer_done(&in);
    }
}

static void test_head_of_a_list_ends_at_once(void **state)
{
    (void)state;
    list.page_count = 1000000;
    struct answer answer = ask("HEAD", "/api/v1/events", LINES, NULL);
    assert_int_equal(answer.http_status, 200);
    assert_string_equal(answer.body, "");
    answer_done(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_three_pages_answered_at_once, start, stop),
        cmocka_unit_test_setup_teardown(test_three_pages_answered_later, start, stop),
        cmocka_unit_test_setup_teardown(test_three_pages_answered_in_both_ways, start, stop),
        cmocka_unit_test_setup_teardown(test_a_list_as_json_is_one_page, start, stop),
        cmocka_unit_test_setup_teardown(test_an_empty_list_is_an_empty_body, start, stop),
        cmocka_unit_test_setup_teardown(test_a_page_token_of_the_client_begins_there, start, stop),
        cmocka_unit_test_setup_teardown(test_a_first_page_that_fails_has_its_status, start, stop),
        cmocka_unit_test_setup_teardown(test_a_later_page_that_fails_cuts_the_answer_off, start, stop),
        cmocka_unit_test_setup_teardown(test_a_later_page_that_fails_later_cuts_the_answer_off, start, stop),
        cmocka_unit_test_setup_teardown(test_very_many_pages_need_no_more_stack, start, stop),
        cmocka_unit_test_setup_teardown(test_a_slow_reader_is_waited_for_when_pages_come_at_once, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_a_slow_reader_is_waited_for_when_pages_come_later, start, stop),
        cmocka_unit_test_setup_teardown(test_a_reader_that_goes_between_pages_ends_the_walk, start, stop),
        cmocka_unit_test_setup_teardown(test_a_reader_that_goes_between_later_pages_ends_the_walk, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_a_reader_that_goes_within_a_page_cancels_it, start, stop),
        cmocka_unit_test_setup_teardown(test_readers_that_go_at_any_time_leave_nothing_behind, start, stop),
        cmocka_unit_test_setup_teardown(test_head_of_a_list_ends_at_once, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
