/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/calls - call records: lists with filters and pages, and one call.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/internal.h"
#include "base/call_record.h"

/** Fields of the interface that nothing fills yet: null. */
static const char *const empty_fields[] = {
    "node",           "number",        "location",       "department",     "campaign",
    "trunk",          "gateway",       "policy_version", "schedule_state", "first_time_caller",
    "caller_country", "caller_region", "caller_city",    "caller_type",    "source",
    "medium",         "keyword",       "landing_page",   "referrer",       "utm_source",
    "utm_medium",     "utm_campaign",  "utm_term",       "utm_content",    "click_id",
    "visitor",        "lead_status",   "spam",           "spam_reason",    "note",
    "value",          "trunk_cost",
};

static json_t *word_json(const char *word)
{
    return word != NULL && word[0] != '\0' ? json_string(word) : json_null();
}

/** 0 is unknown. */
static json_t *known_number(uint64_t value)
{
    return value != 0 ? json_integer((json_int_t)value) : json_null();
}

/** From one moment to another, if there are both. */
static json_t *span_json(uint64_t from_ms, uint64_t to_ms)
{
    if (from_ms == 0 || to_ms == 0)
        return json_null();
    return json_integer(to_ms > from_ms ? (json_int_t)(to_ms - from_ms) : 0);
}

static json_t *leg_json(const struct call_leg *leg, uint8_t direction)
{
    return json_pack("{s:o, s:o, s:o, s:n, s:n, s:o, s:n, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:n}",
                     "direction", word_json(direction != 0 ? call_direction_name(direction) : NULL),
                     "target", api_string(leg->target), "user", api_string(leg->user), "trunk",
                     "gateway", "address", api_string(leg->address), "sip_call_id", "start_time",
                     api_time(leg->start_ms), "progress_time", api_time(leg->progress_ms),
                     "answer_time", api_time(leg->answer_ms), "end_time", api_time(leg->end_ms),
                     "sip_status", known_number(leg->sip_status), "q850_cause",
                     known_number(leg->q850_cause), "disposition",
                     word_json(call_disposition_name(leg->disposition)), "cost");
}

static void set_parties(json_t *json, const struct call_record *record)
{
    json_object_set_new(json, "sip_call_id", api_string(record->sip_call_id));
    json_object_set_new(json, "direction", word_json(call_direction_name(record->direction)));
    json_object_set_new(json, "calling_uri", api_string(record->calling_uri));
    json_object_set_new(json, "calling_number", api_string(record->calling_number));
    json_object_set_new(json, "calling_name", api_string(record->calling_name));
    json_object_set_new(json, "called_uri", api_string(record->called_uri));
    json_object_set_new(json, "called_number", api_string(record->called_number));
    json_object_set_new(json, "answered_by", api_string(record->answered_by));
    json_object_set_new(json, "source_address", api_string(record->source_address));
    json_object_set_new(json, "transport", word_json(transport_word(record->transport)));
    json_object_set_new(json, "user_agent", api_string(record->user_agent));
}

static void set_times(json_t *json, const struct call_record *record)
{
    uint64_t rang_until = record->answer_ms != 0 ? record->answer_ms : record->end_ms;
    bool rang = record->progress_ms != 0;

    json_object_set_new(json, "start_time", api_time(record->start_ms));
    json_object_set_new(json, "progress_time", api_time(record->progress_ms));
    json_object_set_new(json, "answer_time", api_time(record->answer_ms));
    json_object_set_new(json, "end_time", api_time(record->end_ms));
    json_object_set_new(json, "pdd_ms", span_json(record->start_ms, record->progress_ms));
    json_object_set_new(json, "setup_ms", span_json(record->start_ms, record->answer_ms));
    json_object_set_new(json, "ring_ms", span_json(rang ? record->progress_ms : 0, rang_until));
    json_object_set_new(json, "duration_ms", span_json(record->answer_ms, record->end_ms));
}

/** What a side said of its media; null: nothing. */
static json_t *side_json(const struct call_side *side)
{
    struct addr addr = {.family = side->family, .port = side->port};
    char address[ADDR_TEXT_MAX];

    if (side->kinds == 0)
        return json_null();
    json_t *kinds = json_array(), *codecs = json_array();
    for (unsigned i = 0; i < CALL_KIND_COUNT; i++)
        if ((side->kinds >> i & 1) != 0)
            json_array_append_new(kinds, json_string(call_kind_name(i)));
    for (unsigned i = 0; i < CALL_CODECS_MAX && side->codecs[i] != CODEC_NONE; i++)
        json_array_append_new(codecs, json_string(codec_name(side->codecs[i])));
    memcpy(addr.bytes, side->bytes, sizeof addr.bytes);
    return json_pack("{s:o, s:o, s:o, s:b}", "kinds", kinds, "codecs", codecs, "address",
                     side->family != ADDR_NONE ? json_string(addr_text(&addr, address))
                                               : json_null(),
                     "hold", (int)((side->kinds & CALL_HOLD) != 0));
}

/** How long it was on hold; while it still is, until it is looked at. */
static json_t *hold_json(const struct call_record *record)
{
    uint64_t ms = record->hold_ms;
    struct timespec now;

    if (record->answer_ms == 0)
        return json_null();
    if (record->hold_since_ms != 0) {
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
        ms += now_ms > record->hold_since_ms ? now_ms - record->hold_since_ms : 0;
    }
    return json_integer((json_int_t)ms);
}

static void set_media(json_t *json, const struct call_record *record)
{
    const struct call_side *callee = &record->callee_media;
    bool audio = record->answer_ms != 0 && (callee->kinds & CALL_AUDIO) != 0;

    json_object_set_new(json, "codec", word_json(audio ? codec_name(callee->codecs[0]) : NULL));
    json_object_set_new(json, "hold_ms", hold_json(record));
    json_object_set_new(json, "media",
                        json_pack("{s:o, s:o}", "caller", side_json(&record->caller_media),
                                  "callee", side_json(callee)));
}

static void set_outcome(json_t *json, const struct call_record *record)
{
    json_object_set_new(json, "disposition", word_json(call_disposition_name(record->disposition)));
    json_object_set_new(json, "sip_status", known_number(record->sip_status));
    json_object_set_new(json, "q850_cause", known_number(record->q850_cause));
    json_object_set_new(json, "reason", api_string(record->reason));
    json_object_set_new(json, "release_party", word_json(call_party_name(record->release_party)));
}

static json_t *call_json(const struct call_record *record)
{
    char id[CALL_ID_DIGITS + 1];
    json_t *json = json_object();
    json_t *legs = json_array();

    call_id_text(record->id, id);
    json_object_set_new(json, "id", json_string(id));
    set_parties(json, record);
    set_times(json, record);
    set_outcome(json, record);
    set_media(json, record);
    for (size_t i = 0; i < COUNT_OF(empty_fields); i++)
        json_object_set_new(json, empty_fields[i], json_null());
    json_object_set_new(json, "tags", json_array());
    json_object_set_new(json, "linked_calls", json_array());
    for (uint32_t i = 0; i < record->leg_count; i++)
        json_array_append_new(legs, leg_json(&record->legs[i], record->direction));
    json_object_set_new(json, "legs", legs);
    return json;
}

/* ---- what is asked for ---- */

/** "2h", "90s", "3d": so long ago. */
static bool parse_ago(const char *text, uint64_t now_ms, uint64_t *out)
{
    static const struct {
        char unit;
        uint64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long long count = strtoull(text, &end, 10);
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (end[0] == units[i].unit && end[1] == '\0' && count <= now_ms / units[i].ms) {
            *out = now_ms - count * units[i].ms;
            return true;
        }
    return false;
}

/** RFC 3339, a date alone (UTC), "2h" and the like, "today" (UTC). */
static bool parse_time(const char *text, uint64_t *out)
{
    struct timespec now;
    struct tm tm = {0};

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (strcmp(text, "today") == 0) {
        *out = now_ms - now_ms % 86400000;
        return true;
    }
    if (parse_ago(text, now_ms, out))
        return true;
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (rest == NULL)
        return false;
    if (rest[0] == 'T' || rest[0] == 't')
        rest = strptime(rest + 1, "%H:%M:%S", &tm);
    if (rest == NULL)
        return false;
    uint64_t ms = 0;
    if (rest[0] == '.') {
        unsigned scale = 100;
        for (rest++; rest[0] >= '0' && rest[0] <= '9'; rest++, scale /= 10)
            ms += (uint64_t)(rest[0] - '0') * scale;
    }
    int hours = 0, minutes = 0, used = 0;
    long offset_s = 0;
    if ((rest[0] == '+' || rest[0] == '-') &&
        sscanf(rest + 1, "%2d:%2d%n", &hours, &minutes, &used) == 2 && used == 5) {
        offset_s = (hours * 3600L + minutes * 60L) * (rest[0] == '-' ? -1 : 1);
        rest += 1 + used;
    } else if (rest[0] == 'Z' || rest[0] == 'z') {
        rest++;
    }
    time_t seconds = timegm(&tm) - offset_s;
    if (rest[0] != '\0' || seconds < 0)
        return false;
    *out = (uint64_t)seconds * 1000 + ms;
    return true;
}

static bool take_bound(struct api_request *r, const char *name, uint64_t *ms,
                       struct api_answer *problem)
{
    const char *text = api_query(r, name);

    if (text == NULL || parse_time(text, ms))
        return true;
    *problem = api_problem(400, NULL, name,
                           "%s is a time as 2026-11-01T08:00:00Z, a date, `today`, or so long ago:"
                           " 90s, 30m, 2h, 7d",
                           name);
    return false;
}

static bool take_filter(const char *name, const char *text, struct store_calls_query *query,
                        struct api_answer *problem)
{
    struct store_call_filter *filter = &query->filters[query->filter_count];
    struct slice rest = slice_of(text);

    *filter = (struct store_call_filter){.field = store_call_field(slice_of(name))};
    do {
        size_t comma = slice_find(rest, ',');
        if (filter->count == STORE_CALL_VALUES_MAX) {
            *problem =
                api_problem(400, NULL, name, "%s may have %d values", name, STORE_CALL_VALUES_MAX);
            return false;
        }
        struct slice value = slice_take(&rest, comma == SIZE_MAX ? rest.len : comma);
        for (unsigned i = 0; i < filter->count; i++) /* twice would be given twice */
            if (slice_equal(filter->values[i], value))
                value = SLICE_EMPTY;
        if (value.data != NULL && !store_call_value_fits(filter->field, value)) {
            *problem = api_problem(400, NULL, name, "%s is a number", name);
            return false;
        }
        if (value.data != NULL)
            filter->values[filter->count++] = value;
        if (rest.len > 0)
            slice_take(&rest, 1);
    } while (rest.len > 0);
    query->filter_count++;
    return true;
}

static bool take_filters(struct api_request *r, struct store_calls_query *query,
                         struct api_answer *problem)
{
    struct slice names = slice_of(store_call_fields());
    char name[64];

    while (names.len > 0) {
        size_t space = slice_find(names, ' ');
        struct slice one = slice_take(&names, space == SIZE_MAX ? names.len : space);
        if (names.len > 0)
            slice_take(&names, 1);
        snprintf(name, sizeof name, "%.*s", SLICE_ARG(one));
        const char *text = api_query(r, name);
        if (text != NULL && !take_filter(name, text, query, problem))
            return false;
    }
    return true;
}

/** The ids of the calls that began at `since` or later, and before `until`. */
static bool take_span(struct api_request *r, struct store_calls_query *query,
                      struct api_answer *problem)
{
    const uint64_t last_ms = INT64_MAX >> CALL_ID_TIME_SHIFT; /* the year 2248 */
    uint64_t since_ms = 0, until_ms = 0;

    if (!take_bound(r, "since", &since_ms, problem) || !take_bound(r, "until", &until_ms, problem))
        return false;
    if (since_ms != 0)
        query->above = ((since_ms < last_ms ? since_ms : last_ms) << CALL_ID_TIME_SHIFT) - 1;
    if (until_ms != 0)
        query->below = (until_ms < last_ms ? until_ms : last_ms) << CALL_ID_TIME_SHIFT;
    return true;
}

static bool take_order(struct api_request *r, struct store_calls_query *query,
                       struct api_answer *problem)
{
    const char *sort = api_query(r, "sort");

    query->up = sort != NULL && strcmp(sort, "start_time") == 0;
    if (sort == NULL || query->up || strcmp(sort, "-start_time") == 0)
        return true;
    *problem = api_problem(400, NULL, "sort", "sort is -start_time or start_time");
    return false;
}

static bool take_cursor(const struct api_page *page, struct store_calls_query *query,
                        struct api_answer *problem)
{
    uint64_t id;

    if (page->cursor == NULL)
        return true;
    if (!call_id_parse(slice_of(page->cursor), &id)) {
        *problem = api_cursor_problem();
        return false;
    }
    if (query->up)
        query->above = id;
    else
        query->below = id;
    return true;
}

/* ---- answers ---- */

struct listing {
    json_t *items;
    struct call_record *record;
    size_t limit;
    uint64_t last; /* id */
    bool more;
};

static bool add_call(void *user, struct slice block)
{
    struct listing *listing = user;

    if (json_array_size(listing->items) == listing->limit) {
        listing->more = true;
        return false;
    }
    if (call_record_unpack(block, listing->record) != OK)
        return true;
    listing->last = listing->record->id;
    json_array_append_new(listing->items, call_json(listing->record));
    return true;
}

struct api_answer api_calls_list(struct api_request *r)
{
    struct api_page page = api_page_of(r);
    struct store *store = r->api->config.store;
    struct store_calls_query query = {.limit = (unsigned)page.limit + 1};
    struct listing listing = {.limit = page.limit};
    struct api_answer problem;
    char next[CALL_ID_DIGITS + 1] = "";

    if (page.bad)
        return page.problem;
    if (!api_query_flag(r, "live", &query.live, &problem) || !take_order(r, &query, &problem) ||
        !take_span(r, &query, &problem) || !take_cursor(&page, &query, &problem) ||
        !take_filters(r, &query, &problem))
        return problem;
    listing.items = json_array();
    listing.record = malloc(sizeof *listing.record);
    if (listing.items == NULL || listing.record == NULL) {
        json_decref(listing.items);
        free(listing.record);
        return api_memory_problem();
    }
    (void)!store_flush(store); /* else as far as the database is */
    enum err err = store_calls_walk(store, &query, add_call, &listing);
    free(listing.record);
    if (err) {
        json_decref(listing.items);
        return api_problem(503, NULL, NULL, "the store cannot be read");
    }
    if (listing.more)
        call_id_text(listing.last, next);
    return api_list(listing.items, next);
}

/** The id that the path names; false: none can be so. */
static bool named_id(const struct api_request *r, uint64_t *out)
{
    return call_id_parse((struct slice){r->name, strcspn(r->name, "/")}, out);
}

static struct api_answer no_such_call(const struct api_request *r)
{
    return api_problem(404, NULL, NULL, "there is no call %.*s", (int)strcspn(r->name, "/"),
                       r->name);
}

struct api_answer api_calls_get(struct api_request *r)
{
    struct store *store = r->api->config.store;
    struct listing listing = {.limit = 1};
    uint64_t id;

    if (!named_id(r, &id))
        return no_such_call(r);
    listing.items = json_array();
    listing.record = malloc(sizeof *listing.record);
    enum err err = ERR_MEMORY;
    if (listing.items != NULL && listing.record != NULL) {
        (void)!store_flush(store);
        err = store_call_find(store, id, add_call, &listing);
    }
    json_t *call = json_incref(json_array_get(listing.items, 0));
    json_decref(listing.items);
    free(listing.record);
    if (err == OK && call != NULL)
        return (struct api_answer){.status = 200, .json = call};
    json_decref(call);
    if (err == ERR_MEMORY)
        return api_memory_problem();
    if (err == ERR_NOT_FOUND)
        return no_such_call(r);
    return api_problem(503, NULL, NULL, "the store cannot be read");
}

/* ---- hanging up ---- */

static bool take_record(void *user, struct slice block)
{
    return call_record_unpack(block, user) != OK; /* its slices are of no use afterwards */
}

/** The worker's last word on the call is on its way to the journal: a store that is slow is not
 * waited for longer than a second. */
static void wait_for_end(struct store *store, struct call_record *record)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    uint64_t id = record->id;

    for (int i = 0; i < 100 && record->end_ms == 0; i++) {
        nanosleep(&pause, NULL);
        if (store_flush(store) != OK || store_call_find(store, id, take_record, record) != OK)
            return;
    }
}

static struct api_answer hang_up(struct api_request *r, struct call_record *record)
{
    enum err err;

    if (record->end_ms != 0)
        return api_problem(409, NULL, NULL, "this call is over already");
    if (!r->api->config.hang_up(r->api->config.user, record, &err))
        return api_problem(503, NULL, NULL, "the workers do not answer now; try again");
    if (err == ERR_CONFLICT)
        return api_problem(409, NULL, NULL, "%s",
                           record->answer_ms == 0
                               ? "this call rings yet; only one that is up can be hung up"
                               : "too little is known of this call's dialog to speak in it");
    if (err != OK)
        return api_problem(409, NULL, NULL, "this call is over already");
    wait_for_end(r->api->config.store, record);
    return api_calls_get(r);
}

struct api_answer api_calls_hang_up(struct api_request *r)
{
    struct store *store = r->api->config.store;
    uint64_t id;

    if (!named_id(r, &id))
        return no_such_call(r);
    struct call_record *record = calloc(1, sizeof *record);
    if (record == NULL)
        return api_memory_problem();
    (void)!store_flush(store);
    enum err err = store_call_find(store, id, take_record, record);
    struct api_answer answer;
    if (err == ERR_NOT_FOUND)
        answer = no_such_call(r);
    else if (err != OK || record->id != id)
        answer = api_problem(503, NULL, NULL, "the store cannot be read");
    else
        answer = hang_up(r, record);
    free(record);
    return answer;
}
