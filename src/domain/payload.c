#include "domain/domain_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "domain/lifecycle_internal.h"

/* --- what the payloads look like: the messages of proto/strata/v1/payload.proto --- */

enum member_kind {
    MEMBER_STRING,
    MEMBER_DECIMAL,  /* a number, or a string that holds one */
    MEMBER_INT32,    /* a whole number, written as one */
    MEMBER_STATUS,   /* a name of the lifecycle */
    MEMBER_CURRENCY, /* ISO 4217: three capital letters */
    MEMBER_LIST,     /* of objects of the shape `of` */
    MEMBER_JSON,     /* anything */
};

struct shape;
struct member_rule {
    const char *name;
    enum member_kind kind;
    bool required; /* present, not null, and not empty when it is a string */
    bool own_id;   /* the id of the aggregate that the event belongs to */
    const struct shape *of;
    const struct lifecycle *lifecycle;
};
struct shape {
    const char *noun; /* what the members belong to */
    const struct member_rule *members;
    size_t member_count;
};

#define MEMBERS_MAX 32U /* a bit each marks those that were seen */
#define SHAPE(noun, members)                                                                                 \
    {                                                                                                        \
        noun, members, ARRAY_COUNT(members)                                                                  \
    }

static const struct member_rule change_members[] = {
    {.name = "field", .kind = MEMBER_STRING, .required = true},
    {.name = "old_value", .kind = MEMBER_JSON},
    {.name = "new_value", .kind = MEMBER_JSON},
};
static const struct shape change_shape = SHAPE("a change", change_members);

static const struct member_rule item_members[] = {
    {.name = "product_id", .kind = MEMBER_STRING},
    {.name = "name", .kind = MEMBER_STRING},
    {.name = "quantity", .kind = MEMBER_INT32},
    {.name = "unit_price", .kind = MEMBER_DECIMAL},
};
static const struct shape item_shape = SHAPE("an order item", item_members);

static const struct member_rule user_created_members[] = {
    {.name = "user_id", .kind = MEMBER_STRING, .required = true, .own_id = true},
    {.name = "email", .kind = MEMBER_STRING},
    {.name = "name", .kind = MEMBER_STRING},
    {.name = "first_name", .kind = MEMBER_STRING},
    {.name = "last_name", .kind = MEMBER_STRING},
    {.name = "role", .kind = MEMBER_STRING},
};
static const struct member_rule user_updated_members[] = {
    {.name = "user_id", .kind = MEMBER_STRING, .own_id = true},
    {.name = "changes", .kind = MEMBER_LIST, .of = &change_shape},
    {.name = "email", .kind = MEMBER_STRING},
    {.name = "name", .kind = MEMBER_STRING},
    {.name = "first_name", .kind = MEMBER_STRING},
    {.name = "last_name", .kind = MEMBER_STRING},
    {.name = "role", .kind = MEMBER_STRING},
};
static const struct member_rule user_deleted_members[] = {
    {.name = "user_id", .kind = MEMBER_STRING, .own_id = true},
    {.name = "reason", .kind = MEMBER_STRING},
    {.name = "deleted_by", .kind = MEMBER_STRING},
};
static const struct member_rule order_created_members[] = {
    {.name = "order_id", .kind = MEMBER_STRING, .required = true, .own_id = true},
    {.name = "user_id", .kind = MEMBER_STRING},
    {.name = "items", .kind = MEMBER_LIST, .of = &item_shape},
    {.name = "total_amount", .kind = MEMBER_DECIMAL},
    {.name = "currency", .kind = MEMBER_CURRENCY},
    {.name = "status", .kind = MEMBER_STATUS, .lifecycle = &order_lifecycle},
};
static const struct member_rule order_status_changed_members[] = {
    {.name = "order_id", .kind = MEMBER_STRING, .own_id = true},
    {.name = "old_status", .kind = MEMBER_STRING},
    {.name = "new_status", .kind = MEMBER_STATUS, .required = true, .lifecycle = &order_lifecycle},
    {.name = "reason", .kind = MEMBER_STRING},
    {.name = "changed_by", .kind = MEMBER_STRING},
};
static const struct member_rule payment_processed_members[] = {
    {.name = "payment_id", .kind = MEMBER_STRING, .required = true, .own_id = true},
    {.name = "order_id", .kind = MEMBER_STRING},
    {.name = "user_id", .kind = MEMBER_STRING},
    {.name = "amount", .kind = MEMBER_DECIMAL},
    {.name = "currency", .kind = MEMBER_CURRENCY},
    {.name = "method", .kind = MEMBER_STRING},
    {.name = "status", .kind = MEMBER_STATUS, .lifecycle = &payment_lifecycle},
    {.name = "transaction_id", .kind = MEMBER_STRING},
    {.name = "processor", .kind = MEMBER_STRING},
};

static const struct shape event_shapes[EVENT_KIND_COUNT] = {
    [EVENT_USER_CREATED] = SHAPE("user_created", user_created_members),
    [EVENT_USER_UPDATED] = SHAPE("user_updated", user_updated_members),
    [EVENT_USER_DELETED] = SHAPE("user_deleted", user_deleted_members),
    [EVENT_ORDER_CREATED] = SHAPE("order_created", order_created_members),
    [EVENT_ORDER_STATUS_CHANGED] = SHAPE("order_status_changed", order_status_changed_members),
    [EVENT_PAYMENT_PROCESSED] = SHAPE("payment_processed", payment_processed_members),
};

/* A state begins with what its creating event carries. */
static const struct shape state_shapes[AGGREGATE_KIND_COUNT] = {
    [AGGREGATE_USER] = SHAPE("user", user_created_members),
    [AGGREGATE_ORDER] = SHAPE("order", order_created_members),
    [AGGREGATE_PAYMENT] = SHAPE("payment", payment_processed_members),
};

/* --- what is wrong with one --- */

#define FAULTS_MAX    100U /* named; the rest is only counted */
#define PATH_NAME_MAX 64U  /* bytes of an unknown member's name that are shown */

/* Where a value stands: a chain towards the root, written out only when something is wrong. */
struct path {
    const struct path *parent;
    struct bytes name; /* empty = an element of a list */
    size_t index;
};

struct inspection {
    struct arena *arena;
    struct json_reader *reader;
    const char *root;          /* the caller's name of the payload */
    struct bytes aggregate_id; /* empty = not compared */
    bool strict;
    bool state; /* not a payload but a state: nothing is required of it */
    bool exhausted;
    size_t fault_count;
    size_t unknown_count; /* of the faults: members that no shape names */
    struct field_fault *faults;
};

static void add_path(struct buffer *to, const struct path *path, const char *root)
{
    if (path == NULL) {
        buffer_add_text(to, root);
        return;
    }
    add_path(to, path->parent, root);
    if (path->name.data == NULL)
        buffer_printf(to, "[%zu]", path->index);
    else
        buffer_printf(to, ".%.*s", BYTES_FORMAT(path->name));
}

__attribute__((format(printf, 3, 4))) static void fault(struct inspection *inspection,
                                                        const struct path *path, const char *format, ...)
{
    if (inspection->fault_count++ >= FAULTS_MAX || inspection->exhausted)
        return;
    if (inspection->faults == NULL)
        inspection->faults = arena_array(inspection->arena, FAULTS_MAX, sizeof *inspection->faults);
    char message[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct buffer field = buffer_in(inspection->arena, 0);
    add_path(&field, path, inspection->root);
    buffer_add_byte(&field, '\0');
    const char *kept = arena_text(inspection->arena, bytes_of_text(message));
    inspection->exhausted = inspection->faults == NULL || kept == NULL || field.failed;
    if (!inspection->exhausted)
        inspection->faults[inspection->fault_count - 1] =
            (struct field_fault){(const char *)field.data, kept};
}

static const char *kind_name(enum json_kind kind)
{
    switch (kind) {
    case JSON_OBJECT_BEGIN:
        return "an object";
    case JSON_ARRAY_BEGIN:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_NUMBER:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "a boolean";
    }
}

/* --- values; but for an aggregate's id none of these shows what was sent: a payload is nobody else's --- */

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static size_t skip_digits(struct bytes text, size_t at)
{
    while (at < text.size_bytes && is_digit(text.data[at]))
        at++;
    return at;
}

/* The number grammar of JSON (RFC 8259 6). */
static bool is_decimal(struct bytes text)
{
    if (text.size_bytes == 0 || text.size_bytes > JSON_NUMBER_MAX_BYTES)
        return false;
    size_t at = text.data[0] == '-' ? 1 : 0;
    size_t end = skip_digits(text, at);
    if (end == at || (text.data[at] == '0' && end > at + 1))
        return false;
    if (end < text.size_bytes && text.data[end] == '.') {
        at = end + 1;
        end = skip_digits(text, at);
        if (end == at)
            return false;
    }
    if (end < text.size_bytes && (text.data[end] == 'e' || text.data[end] == 'E')) {
        at = end + 1;
        if (at < text.size_bytes && (text.data[at] == '+' || text.data[at] == '-'))
            at++;
        end = skip_digits(text, at);
        if (end == at)
            return false;
    }
    return end == text.size_bytes;
}

static bool is_int32(struct bytes number)
{
    const size_t first = number.data[0] == '-' ? 1 : 0;
    if (skip_digits(number, first) != number.size_bytes || number.size_bytes - first > 10)
        return false;
    int64_t value = 0;
    for (size_t i = first; i < number.size_bytes; i++)
        value = value * 10 + (number.data[i] - '0');
    return first == 1 ? -value >= INT32_MIN : value <= INT32_MAX;
}

static bool is_currency(struct bytes text)
{
    if (text.size_bytes != 3)
        return false;
    for (size_t i = 0; i < 3; i++)
        if (text.data[i] < 'A' || text.data[i] > 'Z')
            return false;
    return true;
}

static const char *ellipsis(struct bytes whole)
{
    return shortened(whole).size_bytes < whole.size_bytes ? "…" : "";
}

static void check_own_id(struct inspection *inspection, const struct path *path, struct bytes content)
{
    const struct bytes own = inspection->aggregate_id;
    if (own.size_bytes == 0 || bytes_equal(content, own))
        return;
    fault(
        inspection, path,
        "is \"%.*s%s\" and the event belongs to aggregate \"%.*s%s\"; give that id, or correct aggregate_id",
        BYTES_FORMAT(shortened(content)), ellipsis(content), BYTES_FORMAT(shortened(own)), ellipsis(own));
}

static void check_string(struct inspection *inspection, const struct path *path,
                         const struct member_rule *rule, struct bytes content)
{
    if (rule->required && !inspection->state && content.size_bytes == 0)
        fault(inspection, path, "is empty; it is required");
    else if (rule->own_id)
        check_own_id(inspection, path, content);
    else if (rule->kind == MEMBER_DECIMAL && !is_decimal(content))
        fault(inspection, path, "is a string that holds no decimal; write it like \"12.50\"");
    else if (rule->kind == MEMBER_CURRENCY && !is_currency(content))
        fault(inspection, path, "is no currency code; give three capital letters such as EUR (ISO 4217)");
    else if (rule->kind == MEMBER_STATUS) {
        char all[LIFECYCLE_LIST_BYTES];
        for (size_t i = 0; i < rule->lifecycle->stage_count; i++)
            if (bytes_equal(content, bytes_of_text(rule->lifecycle->stages[i].name)))
                return;
        fault(inspection, path, "is no status of %s aggregates; choose %s", rule->lifecycle->noun,
              lifecycle_list(rule->lifecycle, lifecycle_all(rule->lifecycle), all));
    }
}

static bool kind_fits(enum member_kind wanted, enum json_kind found)
{
    switch (wanted) {
    case MEMBER_JSON:
        return true;
    case MEMBER_LIST:
        return found == JSON_ARRAY_BEGIN;
    case MEMBER_INT32:
        return found == JSON_NUMBER;
    case MEMBER_DECIMAL:
        return found == JSON_NUMBER || found == JSON_STRING;
    default:
        return found == JSON_STRING;
    }
}

static const char *wanted_name(enum member_kind wanted)
{
    switch (wanted) {
    case MEMBER_LIST:
        return "a list of objects";
    case MEMBER_INT32:
        return "a whole number";
    case MEMBER_DECIMAL:
        return "a number, or a string that holds a decimal";
    default:
        return "a string";
    }
}

static struct status check_object(struct inspection *inspection, const struct path *path,
                                  const struct shape *shape);

static struct status check_list(struct inspection *inspection, const struct path *path,
                                const struct shape *of)
{
    struct path element = {.parent = path};
    struct json_token token;
    struct bytes skipped;
    for (;; element.index++) {
        STATUS_TRY(json_next(inspection->reader, &token));
        if (token.kind == JSON_ARRAY_END)
            return status_ok();
        if (token.kind == JSON_OBJECT_BEGIN) {
            STATUS_TRY(check_object(inspection, &element, of));
            continue;
        }
        fault(inspection, &element, "is %s; give an object, %s", kind_name(token.kind), of->noun);
        STATUS_TRY(json_skip_value(inspection->reader, &token, &skipped));
    }
}

static struct status check_value(struct inspection *inspection, const struct path *path,
                                 const struct member_rule *rule, const struct json_token *first)
{
    struct bytes content = BYTES_NONE;
    if (!kind_fits(rule->kind, first->kind))
        fault(inspection, path, "is %s; give %s", kind_name(first->kind), wanted_name(rule->kind));
    else if (rule->kind == MEMBER_LIST)
        return check_list(inspection, path, rule->of);
    else if (rule->kind == MEMBER_INT32 && !is_int32(first->text))
        fault(inspection, path,
              "is no whole number from -2147483648 to 2147483647, written without point or exponent");
    else if (first->kind == JSON_STRING && rule->kind != MEMBER_JSON) {
        STATUS_TRY(json_unescape(inspection->arena, first, &content));
        check_string(inspection, path, rule, content);
    }
    return json_skip_value(inspection->reader, first, &content);
}

static const struct member_rule *rule_of(const struct shape *shape, struct bytes name)
{
    for (size_t i = 0; i < shape->member_count; i++)
        if (bytes_equal(name, bytes_of_text(shape->members[i].name)))
            return &shape->members[i];
    return NULL;
}

static void fault_unknown(struct inspection *inspection, const struct path *parent, const struct shape *shape,
                          const struct json_token *name)
{
    /* As written without its quotes: escapes keep control characters out of the path. */
    struct bytes shown = bytes_of(name->text.data + 1, name->text.size_bytes - 2);
    if (shown.size_bytes > PATH_NAME_MAX)
        shown = shortened(shown);
    const struct path path = {.parent = parent, .name = shown};
    inspection->unknown_count++;
    fault(inspection, &path, "is not a member of %s and validation_rules.strict is true; leave it out",
          shape->noun);
}

/* After '{'. */
static struct status check_object(struct inspection *inspection, const struct path *path,
                                  const struct shape *shape)
{
    uint32_t seen = 0;
    struct json_token token;
    struct bytes skipped;
    assert(shape->member_count <= MEMBERS_MAX);
    for (;;) {
        struct bytes name = BYTES_NONE;
        STATUS_TRY(json_next(inspection->reader, &token));
        if (token.kind == JSON_OBJECT_END)
            break;
        STATUS_TRY(json_unescape(inspection->arena, &token, &name));
        const struct member_rule *rule = rule_of(shape, name);
        if (rule == NULL) {
            if (inspection->strict)
                fault_unknown(inspection, path, shape, &token);
            STATUS_TRY(json_skip_value(inspection->reader, NULL, &skipped));
            continue;
        }
        STATUS_TRY(json_next(inspection->reader, &token));
        if (token.kind == JSON_NULL)
            continue; /* counts as absent */
        seen |= 1U << (rule - shape->members);
        const struct path member = {.parent = path, .name = bytes_of_text(rule->name)};
        STATUS_TRY(check_value(inspection, &member, rule, &token));
    }
    for (size_t i = 0; i < shape->member_count; i++) {
        const struct path member = {.parent = path, .name = bytes_of_text(shape->members[i].name)};
        if (shape->members[i].required && !inspection->state && (seen & (1U << i)) == 0)
            fault(inspection, &member, "is missing; it is required in %s", shape->noun);
    }
    return status_ok();
}

static struct status inspect(struct inspection *inspection, const struct shape *shape)
{
    struct json_token token;
    struct bytes skipped;
    STATUS_TRY(json_next(inspection->reader, &token));
    if (token.kind == JSON_OBJECT_BEGIN) {
        STATUS_TRY(check_object(inspection, NULL, shape));
    } else {
        fault(inspection, NULL, "is %s; give an object", kind_name(token.kind));
        STATUS_TRY(json_skip_value(inspection->reader, &token, &skipped));
    }
    return json_next(inspection->reader, &token); /* nothing may follow */
}

static struct status outcome(const struct inspection *inspection, const struct shape *shape)
{
    if (inspection->fault_count == 0)
        return status_ok();
    struct field_faults *faults = arena_alloc(inspection->arena, sizeof *faults);
    if (faults == NULL || inspection->exhausted)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for checking a payload");
    faults->items = inspection->faults;
    faults->count = inspection->fault_count < FAULTS_MAX ? inspection->fault_count : FAULTS_MAX;
    const enum status_reason reason =
        inspection->unknown_count == inspection->fault_count ? REASON_UNKNOWN_FIELD : REASON_INVALID_FIELD;
    const struct field_fault *first = &faults->items[0];
    struct status status =
        inspection->fault_count == 1
            ? status_reason(reason, "%s %s", first->field, first->message)
            : status_reason(reason,
                            inspection->state ? "%zu members of the %s's state are wrong; the first: %s %s"
                                              : "%zu fields of the %s payload are wrong; the first: %s %s",
                            inspection->fault_count, shape->noun, first->field, first->message);
    status.faults = faults;
    return status;
}

static struct status check_shape(struct inspection *inspection, const struct shape *shape, struct bytes json)
{
    inspection->reader =
        json_reader_new(inspection->arena, json.size_bytes == 0 ? BYTES_LITERAL("{}") : json);
    if (inspection->reader == NULL)
        return status_error(STATUS_RESOURCE_EXHAUSTED, "no memory left for checking a payload");
    const struct status status = inspect(inspection, shape);
    if (!status_is_ok(&status))
        return status_prefix(status, "%s", inspection->root);
    return outcome(inspection, shape);
}

struct status domain_check_payload(const struct domain *domain, struct arena *arena, const char *field,
                                   struct bytes event_type, struct bytes aggregate_id, struct bytes data)
{
    const enum event_kind kind = event_kind_of(event_type, aggregate_kind_of_event(event_type));
    const struct shape *shape = &event_shapes[kind];
    if (!domain->validation_enabled || shape->noun == NULL)
        return status_ok();
    struct inspection inspection = {
        .arena = arena,
        .root = field,
        .aggregate_id = aggregate_id,
        .strict = domain->strict,
    };
    return check_shape(&inspection, shape, data);
}

struct status domain_check_state(const struct domain *domain, struct arena *arena, const char *field,
                                 struct bytes aggregate_type, struct bytes state)
{
    const struct shape *shape = &state_shapes[aggregate_kind_of(aggregate_type)];
    if (!domain->validation_enabled || shape->noun == NULL)
        return status_ok();
    struct inspection inspection = {.arena = arena, .root = field, .state = true};
    return check_shape(&inspection, shape, state);
}
