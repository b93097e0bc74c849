#include "domain/lifecycle_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define SHORTENED_BYTES 48U

struct bytes shortened(struct bytes raw)
{
    if (raw.size_bytes <= SHORTENED_BYTES)
        return raw;
    size_t end = 0;
    for (;;) { /* never half a character */
        uint32_t point = 0;
        const size_t step = utf8_sequence(raw, end, &point);
        if (step == 0 || end + step > SHORTENED_BYTES)
            return bytes_of(raw.data, end);
        end += step;
    }
}

uint32_t lifecycle_all(const struct lifecycle *lifecycle)
{
    return (1U << lifecycle->stage_count) - 1;
}

const char *lifecycle_list(const struct lifecycle *lifecycle, uint32_t mask, char text[LIFECYCLE_LIST_BYTES])
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < lifecycle->stage_count && used < LIFECYCLE_LIST_BYTES; i++) {
        const uint32_t rest = mask >> i;
        if ((rest & 1) == 0)
            continue;
        const char *before = used == 0 ? "" : rest == 1 ? " or " : ", ";
        used += (size_t)snprintf(text + used, LIFECYCLE_LIST_BYTES - used, "%s%s", before,
                                 lifecycle->stages[i].name);
    }
    return text;
}

static struct status lifecycle_read(const struct lifecycle *lifecycle, struct arena *scratch,
                                    struct bytes raw, struct stage_value *ret)
{
    const bool object = raw.size_bytes > 0 && raw.data[0] == '{';
    *ret = (struct stage_value){STAGE_FOREIGN, 0, object ? BYTES_LITERAL("an object") : raw};
    if (raw.size_bytes == 0 || raw_is_null(raw)) {
        ret->kind = STAGE_ABSENT;
        return status_ok();
    }
    if (!raw_is_string(raw))
        return status_ok();
    struct bytes name = BYTES_NONE;
    STATUS_TRY(raw_text(scratch, raw, &name));
    for (size_t i = 0; i < lifecycle->stage_count; i++)
        if (bytes_equal(name, bytes_of_text(lifecycle->stages[i].name))) {
            ret->kind = STAGE_KNOWN;
            ret->stage = i;
        }
    return status_ok();
}

struct status lifecycle_of_state(const struct lifecycle *lifecycle, const struct check *check,
                                 struct stage_value *ret)
{
    return lifecycle_read(lifecycle, check->scratch, tree_find(check->fold->state, "status"), ret);
}

struct status lifecycle_of_data(const struct lifecycle *lifecycle, const struct check *check,
                                const char *member, struct stage_value *ret)
{
    const struct view_member *found = view_find(check->data, member);
    struct bytes raw = BYTES_NONE;
    if (found != NULL)
        raw = found->object != NULL ? BYTES_LITERAL("{") : found->raw;
    return lifecycle_read(lifecycle, check->scratch, raw, ret);
}

struct status lifecycle_refuse_foreign(const struct lifecycle *lifecycle, const char *member,
                                       struct bytes raw)
{
    char all[LIFECYCLE_LIST_BYTES];
    const struct bytes shown = shortened(raw);
    return status_reason(REASON_TRANSITION_REFUSED,
                         "%s is %.*s%s, which is no status of %s aggregates; choose %s", member,
                         BYTES_FORMAT(shown), shown.size_bytes < raw.size_bytes ? "…" : "", lifecycle->noun,
                         lifecycle_list(lifecycle, lifecycle_all(lifecycle), all));
}

struct status lifecycle_check_move(const struct lifecycle *lifecycle, const struct check *check,
                                   struct stage_value now, struct stage_value next)
{
    if (now.kind != STAGE_KNOWN)
        return status_ok();
    const struct lifecycle_stage *stage = &lifecycle->stages[now.stage];
    if ((stage->next & LIFECYCLE_TO(next.stage)) != 0)
        return status_ok();
    char allowed[LIFECYCLE_LIST_BYTES];
    char advice[LIFECYCLE_LIST_BYTES + 64];
    const uint32_t others = stage->next & ~LIFECYCLE_TO(now.stage);
    if (others == 0)
        snprintf(advice, sizeof advice, "%s is final", stage->name);
    else
        snprintf(advice, sizeof advice, "from %s it may become %s", stage->name,
                 lifecycle_list(lifecycle, others, allowed));
    if (now.stage == next.stage)
        return status_reason(REASON_TRANSITION_REFUSED, "%s \"%.*s\" is %s already; %s", lifecycle->noun,
                             BYTES_FORMAT(check->id), stage->name, advice);
    return status_reason(REASON_TRANSITION_REFUSED, "%s \"%.*s\" is %s and cannot become %s; %s",
                         lifecycle->noun, BYTES_FORMAT(check->id), stage->name,
                         lifecycle->stages[next.stage].name, advice);
}

struct status lifecycle_check_state(const struct lifecycle *lifecycle, const struct check *check)
{
    struct stage_value now;
    struct stage_value next;
    STATUS_TRY(lifecycle_of_state(lifecycle, check, &now));
    STATUS_TRY(lifecycle_of_data(lifecycle, check, "status", &next));
    if (next.kind == STAGE_FOREIGN)
        return lifecycle_refuse_foreign(lifecycle, "status", next.raw);
    if (now.kind != STAGE_KNOWN || (next.kind == STAGE_KNOWN && next.stage == now.stage))
        return status_ok();
    const char *name = lifecycle->stages[now.stage].name;
    if (next.kind == STAGE_ABSENT)
        return status_reason(
            REASON_TRANSITION_REFUSED,
            "%s \"%.*s\" is %s and the new state has no status; keep \"status\":\"%s\" in it",
            lifecycle->noun, BYTES_FORMAT(check->id), name, name);
    return lifecycle_check_move(lifecycle, check, now, next);
}
