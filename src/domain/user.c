#include "domain/domain_internal.h"

/* A user is deleted when the state's status says so, however it came to: then a fold from a snapshot knows as
 * much as one from the start. */
#define DELETED "deleted"

static struct status refuse_deleted(const struct check *check, const char *what)
{
    return status_reason(REASON_TRANSITION_REFUSED,
                         "user \"%.*s\" is deleted and %s; only custom events may follow",
                         BYTES_FORMAT(check->id), what);
}

static struct status check_deleted(const struct check *check)
{
    bool stays = false;
    const struct view_member *status;
    switch (check->event) {
    case EVENT_USER_CREATED:
        return refuse_deleted(check, "cannot be created again");
    case EVENT_USER_UPDATED:
        return refuse_deleted(check, "cannot be updated");
    case EVENT_USER_DELETED:
        return refuse_deleted(check, "cannot be deleted again");
    case EVENT_STATE_REPLACED:
        status = view_find(check->data, "status");
        if (status != NULL)
            STATUS_TRY(raw_is_text(check->scratch, status->raw, DELETED, &stays));
        if (stays)
            return status_ok();
        return status_reason(
            REASON_TRANSITION_REFUSED,
            "user \"%.*s\" is deleted and stays so; keep \"status\":\"deleted\" in the new state",
            BYTES_FORMAT(check->id));
    default:
        return status_ok();
    }
}

struct status user_check(const struct check *check)
{
    const struct fold *fold = check->fold;
    bool deleted = false;
    STATUS_TRY(raw_is_text(check->scratch, tree_find(fold->state, "status"), DELETED, &deleted));
    if (deleted)
        return check_deleted(check);
    /* An initial state may name the user before the event that creates it; only then is the version 0. */
    if (check->event == EVENT_USER_CREATED && fold->version >= 1 &&
        tree_find(fold->state, "user_id").size_bytes > 0)
        return status_reason(
            REASON_TRANSITION_REFUSED,
            "user \"%.*s\" was created already and is at version %d; send user_updated to change it",
            BYTES_FORMAT(check->id), fold->version);
    return status_ok();
}

/* A change sets one member as a whole; without a new value it removes it. */
static struct status fold_change(struct fold *fold, struct arena *scratch, const struct view *change)
{
    static const struct view_member nothing = {.raw = {(const uint8_t *)"null", 4}};
    const struct view_member *field = view_find(change, "field");
    const struct view_member *value = view_find(change, "new_value");
    if (field == NULL || !raw_is_string(field->raw))
        return status_ok();
    struct bytes name = BYTES_NONE;
    STATUS_TRY(raw_text(scratch, field->raw, &name));
    tree_replace(&fold->tree, fold->state, name, field->raw, value == NULL ? &nothing : value);
    return status_ok();
}

static struct status fold_updated(struct fold *fold, struct arena *scratch, const struct view *data)
{
    struct view *changes = NULL;
    /* The list is an instruction, not a member of the user: taken out of a copy of the chain of members. */
    struct view direct = {0};
    struct view_member **link = &direct.first;
    for (const struct view_member *member = data->first; member != NULL; member = member->next) {
        if (bytes_equal(member->name, BYTES_LITERAL("changes"))) {
            STATUS_TRY(view_parse_list(scratch, member->raw, &changes));
            continue;
        }
        struct view_member *copy = arena_alloc(scratch, sizeof *copy);
        if (copy == NULL)
            return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for folding an event");
        *copy = *member;
        copy->next = NULL;
        *link = copy;
        link = &copy->next;
    }
    tree_merge(&fold->tree, fold->state, &direct);
    for (const struct view *change = changes; change != NULL; change = change->next)
        STATUS_TRY(fold_change(fold, scratch, change));
    return status_ok();
}

struct status user_fold(struct fold *fold, struct arena *scratch, enum event_kind event,
                        const struct view *data)
{
    switch (event) {
    case EVENT_USER_CREATED:
        tree_merge(&fold->tree, fold->state, data);
        return status_ok();
    case EVENT_USER_UPDATED:
        return fold_updated(fold, scratch, data);
    case EVENT_USER_DELETED:
        tree_set(&fold->tree, fold->state, "status", "\"" DELETED "\"");
        return status_ok();
    default:
        return status_ok();
    }
}
