/* What a batch wants to know, and its decision. */
#include "base/clock.h"
#include "writer_internal.h"

static struct status request_facts(struct writer *writer, struct batch *batch, bool ahead)
{
    const struct event_store_ops *ops = writer->store->ops;
    STATUS_TRY(decide_name(&writer->namer, (const struct append *const *)batch->appends, batch->append_count,
                           batch->arena, &batch->names));
    return (ahead ? ops->facts_ahead : ops->facts)(writer->store, &batch->names.request, batch->arena,
                                                   &batch->facts);
}

struct condition_search {
    const struct event_query *query;
    struct status status;
    int64_t hit; /* 0 = none yet */
};

static bool match_condition(void *context, int64_t position, struct record record)
{
    struct condition_search *search = context;
    struct event_fields fields;
    search->status = record_decode_header(record, &fields);
    if (search->status.code == STATUS_OK && query_matches(search->query, &fields))
        search->hit = position;
    return search->status.code == STATUS_OK && search->hit == 0;
}

/* Looks from where service stopped to the head of the facts; later events are in the overlays. */
static struct status look_for_condition(struct writer *writer, const struct batch *batch,
                                        const struct append_condition *condition, int64_t *ret_hit)
{
    *ret_hit = 0;
    if (condition == NULL)
        return status_ok();
    const int64_t after =
        condition->checked_to > condition->after_position ? condition->checked_to : condition->after_position;
    if (after >= batch->facts.head.position)
        return status_ok();
    struct condition_search search = {&condition->fail_if_match, status_ok(), 0};
    const struct read_query query = {.by = READ_BY_POSITION,
                                     .after_position = after,
                                     .to_position = batch->facts.head.position,
                                     .to_version = INT32_MAX};
    STATUS_TRY(writer->store->ops->read(writer->store, &query, match_condition, &search));
    STATUS_TRY(search.status);
    *ret_hit = search.hit;
    return status_ok();
}

/* What cannot be read refuses the append whose condition must know, and no other of the batch. */
static struct status look_for_conditions(struct writer *writer, struct batch *batch,
                                         struct condition_fact *facts)
{
    for (size_t i = 0; i < batch->append_count; i++) {
        facts[i] = (struct condition_fact){0};
        const struct status status =
            look_for_condition(writer, batch, batch->appends[i]->condition, &facts[i].hit);
        if (status.code == STATUS_OK)
            continue;
        struct status *kept = arena_alloc(batch->arena, sizeof *kept);
        if (kept == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory to look up a batch; retry");
        *kept = status;
        facts[i].unreadable = kept;
    }
    return status_ok();
}

struct status batch_decide(struct writer *writer, struct batch *batch, const struct batch *in_flight,
                           bool ahead)
{
    struct condition_fact conditions[BATCH_APPENDS_MAX];
    STATUS_TRY(request_facts(writer, batch, ahead));
    STATUS_TRY(look_for_conditions(writer, batch, conditions));
    const struct decide_input input = {
        .appends = (const struct append *const *)batch->appends,
        .append_count = batch->append_count,
        .names = &batch->names,
        .facts = &batch->facts,
        .conditions = conditions,
        .in_flight = in_flight == NULL ? NULL : in_flight->decision.overlay,
        .now_us = batch->facts.now_us != 0 ? batch->facts.now_us : clock_now_us(writer->clock),
        .limits = &writer->options.limits,
        .entropy = writer->entropy,
    };
    STATUS_TRY(decide(&input, batch->arena, &batch->decision));
    batch->decision.batch.ahead = ahead;
    return status_ok();
}

void batch_reuse(struct batch *batch)
{
    overlay_free(batch->decision.overlay);
    batch->decision = (struct decision){0};
    batch->facts = (struct facts){0};
    arena_reset(batch->arena);
}
