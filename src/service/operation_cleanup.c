/*
 * Cleaning up: what the timer of the cleanup removes, now, and only what was stored before a moment if one is given.
 * Nothing is remembered of a place: a run after a restart finds what is left.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bus/subscribers.h"
#include "service/operation_internal.h"
#include "service/snapshots_internal.h"

static struct status before_of(const Strata__V1__Cleanup *cleanup, int64_t *ret_us)
{
    *ret_us = INT64_MAX;
    return cleanup->before == NULL ? status_ok() : time_check("cleanup.before", cleanup->before, ret_us);
}

struct wanted {
    bool snapshots;
    bool subscriptions;
};

/* False for what cannot be cleaned up. */
static bool what_add(Strata__V1__Cleanup__What what, struct wanted *wanted)
{
    wanted->snapshots |= what == STRATA__V1__CLEANUP__WHAT__SNAPSHOTS;
    wanted->subscriptions |= what == STRATA__V1__CLEANUP__WHAT__SUBSCRIPTIONS;
    return what == STRATA__V1__CLEANUP__WHAT__SNAPSHOTS || what == STRATA__V1__CLEANUP__WHAT__SUBSCRIPTIONS;
}

static struct status wanted_of(const Strata__V1__Cleanup *cleanup, struct wanted *ret)
{
    *ret = (struct wanted){false, false};
    if (cleanup->n_what == 0)
        return status_reason(REASON_INVALID_FIELD,
                             "cleanup.what is missing; give [\"SNAPSHOTS\"], [\"SUBSCRIPTIONS\"] or both");
    for (size_t i = 0; i < cleanup->n_what; i++)
        if (!what_add(cleanup->what[i], ret))
            return status_reason(
                REASON_INVALID_FIELD,
                "cleanup.what has the value %d, which cannot be cleaned up; give SNAPSHOTS (1) or SUBSCRIPTIONS (3)",
                (int)cleanup->what[i]);
    return status_ok();
}

static int64_t ended_subscriptions(struct service *service)
{
    struct bus_stats stats;
    bus_stats(service->parts.bus, &stats);
    return stats.ended;
}

static struct status cleanup_plan(struct service *service, const Strata__V1__StartOperationRequest *request,
                                  bool exactly, struct faults *faults, struct operation_plan *ret)
{
    struct superseded_sweep sweep = {.only_count = true};
    struct wanted wanted;
    faults_add(faults, "cleanup.before", before_of(request->cleanup, &sweep.before_us));
    faults_add(faults, "cleanup.what", wanted_of(request->cleanup, &wanted));
    if (faults->count > 0)
        return status_ok();
    if (exactly && wanted.snapshots)
        STATUS_TRY(snapshots_sweep_superseded(service, &sweep, &ret->total));
    if (exactly && wanted.subscriptions)
        ret->total += ended_subscriptions(service);
    (void)snprintf(ret->message, sizeof ret->message, "removes %s%s%s",
                   wanted.snapshots ? "superseded snapshots" : "",
                   wanted.snapshots && wanted.subscriptions ? " and " : "",
                   wanted.subscriptions ? "ended subscriptions" : ""); /* fits */
    return status_ok();
}

static bool goes_on(void *context, int64_t count)
{
    (void)count;
    return operation_goes_on(context);
}

static bool removed_some(void *context, int64_t count)
{
    operation_moved(context, count, BYTES_NONE);
    return operation_goes_on(context);
}

static struct status remove_snapshots(struct operation_task *task, int64_t *ret_removed)
{
    struct service *service = operation_service(task);
    struct superseded_sweep sweep = {.only_count = true, .goes_on = goes_on, .context = task};
    int64_t total = 0;
    STATUS_TRY(before_of(operation_request(task)->cleanup, &sweep.before_us));
    STATUS_TRY(snapshots_sweep_superseded(service, &sweep, &total));
    operation_set_total(task, total);
    sweep.only_count = false;
    sweep.goes_on = removed_some;
    if (operation_goes_on(task))
        STATUS_TRY(snapshots_sweep_superseded(service, &sweep, ret_removed));
    if (!operation_goes_on(task))
        return operation_stopped();
    operation_set_result(task, "snapshots", "%" PRId64, *ret_removed);
    return status_ok();
}

static struct status cleanup_run(struct operation_task *task)
{
    struct wanted wanted;
    int64_t removed = 0;
    STATUS_TRY(wanted_of(operation_request(task)->cleanup, &wanted));
    if (wanted.snapshots)
        STATUS_TRY(remove_snapshots(task, &removed));
    if (wanted.subscriptions) {
        const size_t forgotten = bus_cleanup(operation_service(task)->parts.bus);
        operation_set_result(task, "subscriptions", "%zu", forgotten);
        removed += (int64_t)forgotten;
    }
    operation_set_total(task, removed); /* others may have come, or gone, meanwhile */
    operation_moved(task, removed, BYTES_NONE);
    return status_ok();
}

const struct operation_kind_ops operation_cleanup = {.plan = cleanup_plan, .run = cleanup_run};
