/*
 * A handler of which one runs however many of these programs do: each event of the store on MySQL or MariaDB that it is
 * given is printed by the one that has the lease. Killed, the next one goes on at the checkpoint.
 *
 *   cluster_handler PORT DATABASE STORE_ID NAME     until it is ended; user root without a password on 127.0.0.1
 *
 * Lines: "ready", and for each event its position and the epoch of the lease.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/entropy.h"
#include "base/log.h"
#include "bus/subscribers.h"
#include "store/mysql/mysql_store.h"

static void must(struct status status)
{
    if (status_is_ok(&status))
        return;
    fprintf(stderr, "cluster_handler: %s\n", status.message);
    exit(1);
}

static enum bus_answer print_event(void *context, const struct bus_delivery *delivery)
{
    (void)context;
    printf("%lld %lld\n", (long long)delivery->position, (long long)delivery->epoch);
    (void)fflush(stdout); /* whoever reads it sees its end as a failure */
    return BUS_HANDLED;
}

static void run(struct bus *bus, const char *name, const sigset_t *signals)
{
    char holder[UUID_TEXT_BYTES]; /* new with each start, as leases want it */
    uuid_v7(clock_now_us(&system_clock), &system_entropy, holder);
    must(bus_set_holder(bus, bytes_of_text(holder)));
    const struct bus_subscribe_options options = {
        .name = name, .scope = BUS_SCOPE_CLUSTER, .handler = print_event};
    int64_t id = 0;
    must(bus_subscribe(bus, &options, &id));
    must(bus_start(bus));
    printf("ready\n");
    (void)fflush(stdout);
    int number = 0;
    while (sigwait(signals, &number) != 0)
        continue;
    must(bus_unsubscribe(bus, id)); /* saves the checkpoint and gives the lease back */
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "cluster_handler: give PORT DATABASE STORE_ID NAME\n");
        return 2;
    }
    sigset_t signals;
    (void)sigemptyset(&signals); /* a set and valid signals cannot fail */
    (void)sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread, so that all inherit it */
    CLEANUP(event_store_close_at) struct event_store *store = NULL;
    CLEANUP(bus_free_at) struct bus *bus = NULL;
    const struct mysql_store_options options = {
        .host = "127.0.0.1",
        .port = (uint16_t)atoi(arguments[1]),
        .username = "root",
        .password = "",
        .database = arguments[2],
        .store_id = arguments[3],
    };
    must(mysql_store_open(&options, &system_clock, NULL, &store));
    must(bus_new(store, &system_clock, NULL, &bus));
    run(bus, arguments[4], &signals);
    return 0;
}
