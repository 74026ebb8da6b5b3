/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that speaks to the gateway.
 *
 * What is to be sent comes by a stack that any thread pushes on with one compare-and-swap, so that
 * no worker waits here, and is taken off as a whole. Then it is under way (a transfer of libcurl),
 * or waits for its next try, in a list by time: it is short, as queue_max bounds it.
 */
#include <curl/curl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "push/push.h"

enum {
    BACKOFF_MS = 250, /* before the second try; twice as long before each further one */
    BACKOFF_MAX_MS = 8000,
    IDLE_MS = 60000,
    ID_MAX = 40,
    FACE_MAX = 1024 /* bytes of a header line */
};

/** A request on its way. */
struct item {
    struct item *next;
    struct push_request request; /* its texts stand in `texts` */
    char id[ID_MAX];
    uint64_t begin_ms;
    uint64_t due_ms; /* of the next try */
    uint32_t tries;
    char *body; /* owned; made for the first try */
    CURL *curl; /* owned; under way */
    struct curl_slist *headers;
    size_t answer_len;
    char answer[PUSH_ANSWER_MAX];
    char problem[CURL_ERROR_SIZE];
    char texts[];
};

struct push_gateway {
    struct push_options options;
    char *url, *ca, *secret; /* owned */
    CURLM *multi;
    pthread_t thread;
    bool thread_runs;
    _Atomic bool ending;
    _Atomic(struct item *) incoming;
    _Atomic uint32_t waiting;
    uint64_t boot; /* random: ids of another run are others */
    _Atomic uint64_t numbers;
    struct item *later; /* waits for `due_ms`; earliest first */
    struct item *active;
    uint32_t active_count;
    struct {
        _Atomic uint64_t sent, retries, accepted, gone, refused, no_answer, full;
    } counters;
    _Atomic uint32_t unanswered;
};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const char *push_outcome_word(enum push_outcome outcome)
{
    switch (outcome) {
    case PUSH_ACCEPTED:
        return "accepted";
    case PUSH_GONE:
        return "gone";
    case PUSH_REFUSED:
        return "refused";
    case PUSH_NO_ANSWER:
        return "no answer";
    case PUSH_ENDING:
        return "ending";
    }
    return "unknown";
}

size_t push_memory_max(uint32_t queue_max)
{
    /* the document is at most six times its texts: \u0001 for one byte */
    return (size_t)queue_max * (sizeof(struct item) + 7 * (size_t)PUSH_TEXTS_MAX);
}

/* ---- into the queue ---- */

static struct slice keep(char **at, struct slice s)
{
    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    struct slice kept = {*at, s.len};
    *at += s.len;
    return kept;
}

static struct item *item_new(struct push_gateway *gateway, const struct push_request *request)
{
    size_t len = request->user.len + request->provider.len + request->param.len +
                 request->prid.len + request->call_id.len + request->caller.len;
    struct item *item = len <= PUSH_TEXTS_MAX ? calloc(1, sizeof *item + len) : NULL;

    if (item == NULL)
        return NULL;
    char *at = item->texts;
    item->request = *request;
    item->request.user = keep(&at, request->user);
    item->request.provider = keep(&at, request->provider);
    item->request.param = keep(&at, request->param);
    item->request.prid = keep(&at, request->prid);
    item->request.call_id = keep(&at, request->call_id);
    item->request.caller = keep(&at, request->caller);
    item->begin_ms = item->due_ms = clock_ms(CLOCK_MONOTONIC);
    snprintf(item->id, sizeof item->id, "%016" PRIx64 "-%" PRIu64, gateway->boot,
             atomic_fetch_add(&gateway->numbers, 1));
    return item;
}

/** Calls are never kept out by refreshes. */
static bool take_place(struct push_gateway *gateway, enum push_event event)
{
    uint32_t most =
        event == PUSH_REFRESH ? gateway->options.queue_max / 2 : gateway->options.queue_max;
    uint32_t waiting = atomic_load(&gateway->waiting);

    while (waiting < most)
        if (atomic_compare_exchange_weak(&gateway->waiting, &waiting, waiting + 1))
            return true;
    return false;
}

bool push_send(struct push_gateway *gateway, const struct push_request *request)
{
    if (atomic_load(&gateway->ending) || !take_place(gateway, request->event)) {
        atomic_fetch_add(&gateway->counters.full, 1);
        return false;
    }
    struct item *item = item_new(gateway, request);
    if (item == NULL) {
        atomic_fetch_sub(&gateway->waiting, 1);
        atomic_fetch_add(&gateway->counters.full, 1);
        return false;
    }
    struct item *head = atomic_load(&gateway->incoming);
    do
        item->next = head;
    while (!atomic_compare_exchange_weak(&gateway->incoming, &head, item));
    if (head == NULL) /* else the thread has not yet taken what woke it */
        curl_multi_wakeup(gateway->multi);
    return true;
}

/** In order of their time. */
static void put_later(struct push_gateway *gateway, struct item *item)
{
    struct item **at = &gateway->later;

    while (*at != NULL && (*at)->due_ms <= item->due_ms)
        at = &(*at)->next;
    item->next = *at;
    *at = item;
}

static void take_incoming(struct push_gateway *gateway)
{
    struct item *item = atomic_exchange(&gateway->incoming, NULL);
    struct item *in_order = NULL;

    while (item != NULL) {
        struct item *next = item->next;
        item->next = in_order;
        in_order = item;
        item = next;
    }
    while (in_order != NULL) {
        item = in_order;
        in_order = item->next;
        put_later(gateway, item);
    }
}

/* ---- out of it ---- */

static void item_free(struct item *item)
{
    curl_slist_free_all(item->headers);
    free(item->body);
    free(item);
}

static void count_outcome(struct push_gateway *gateway, enum push_outcome outcome)
{
    if (outcome == PUSH_NO_ANSWER)
        atomic_fetch_add(&gateway->unanswered, 1);
    else if (outcome != PUSH_ENDING)
        atomic_store(&gateway->unanswered, 0);
    switch (outcome) {
    case PUSH_ACCEPTED:
        atomic_fetch_add(&gateway->counters.accepted, 1);
        return;
    case PUSH_GONE:
        atomic_fetch_add(&gateway->counters.gone, 1);
        return;
    case PUSH_REFUSED:
        atomic_fetch_add(&gateway->counters.refused, 1);
        return;
    case PUSH_NO_ANSWER:
    case PUSH_ENDING:
        atomic_fetch_add(&gateway->counters.no_answer, 1);
        return;
    }
}

static void finish(struct push_gateway *gateway, struct item *item, enum push_outcome outcome,
                   long status)
{
    struct push_result result = {
        .outcome = outcome,
        .status = status,
        .tries = item->tries,
        .ms = (uint32_t)(clock_ms(CLOCK_MONOTONIC) - item->begin_ms),
        .problem = item->problem,
        .answer = {item->answer, item->answer_len},
    };

    count_outcome(gateway, outcome);
    atomic_fetch_sub(&gateway->waiting, 1);
    item->request.done(item->request.done_user, &item->request, &result);
    item_free(item);
}

/* ---- one try ---- */

static size_t take_answer(char *data, size_t size, size_t count, void *user)
{
    struct item *item = user;
    size_t len = size * count, room = sizeof item->answer - item->answer_len;

    memcpy(item->answer + item->answer_len, data, len < room ? len : room);
    item->answer_len += len < room ? len : room;
    return len;
}

static bool add_header(struct item *item, const char *name, const char *value)
{
    char line[FACE_MAX];

    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(item->headers, line);
    if (longer != NULL)
        item->headers = longer;
    return longer != NULL;
}

/** Each try is signed anew: what is old is not taken. */
static bool prepare(struct push_gateway *gateway, struct item *item)
{
    char signature[PUSH_SIGNATURE_MAX];
    uint64_t wall_ms = clock_ms(CLOCK_REALTIME);

    if (item->body == NULL)
        item->body = push_document(&item->request, item->id, wall_ms);
    curl_slist_free_all(item->headers);
    item->headers = NULL;
    item->answer_len = 0;
    item->problem[0] = '\0';
    return item->body != NULL &&
           push_sign(gateway->options.secret, wall_ms / 1000, slice_of(item->body), signature) ==
               OK &&
           add_header(item, "Content-Type", "application/json") &&
           add_header(item, "X-Strowger-Id", item->id) &&
           add_header(item, "X-Strowger-Signature", signature) && add_header(item, "Expect", "");
}

static void set_options(const struct push_gateway *gateway, struct item *item)
{
    CURL *curl = item->curl;

    curl_easy_setopt(curl, CURLOPT_URL, gateway->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (gateway->ca != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, gateway->ca);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "strowger/" STROWGER_VERSION);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)gateway->options.timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)gateway->options.timeout_ms);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, item->headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(item->body));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, item->body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, item);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, item->problem);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, item);
}

static void begin(struct push_gateway *gateway, struct item *item)
{
    item->tries++;
    item->curl = prepare(gateway, item) ? curl_easy_init() : NULL;
    if (item->curl != NULL)
        set_options(gateway, item);
    if (item->curl == NULL || curl_multi_add_handle(gateway->multi, item->curl) != CURLM_OK) {
        curl_easy_cleanup(item->curl);
        snprintf(item->problem, sizeof item->problem, "no memory for a request");
        finish(gateway, item, PUSH_NO_ANSWER, 0);
        return;
    }
    atomic_fetch_add(&gateway->counters.sent, 1);
    atomic_fetch_add(&gateway->counters.retries, item->tries > 1);
    item->next = gateway->active;
    gateway->active = item;
    gateway->active_count++;
}

static void begin_due(struct push_gateway *gateway)
{
    uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);

    while (gateway->later != NULL && gateway->later->due_ms <= now_ms &&
           gateway->active_count < PUSH_AT_ONCE) {
        struct item *item = gateway->later;
        gateway->later = item->next;
        begin(gateway, item);
    }
}

/** Twice as long each time, and a quarter of it more or less, so that many do not come at once. */
static uint64_t backoff_ms(const struct item *item)
{
    uint64_t ms = BACKOFF_MS;
    uint8_t random = 0;

    for (uint32_t i = 1; i < item->tries && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != 1)
        random = 0;
    return ms * 3 / 4 + ms / 2 * random / 255;
}

static enum push_outcome outcome_of(long status)
{
    if (status >= 200 && status < 300)
        return PUSH_ACCEPTED;
    if (status == 404 || status == 410)
        return PUSH_GONE;
    if (status == 0 || status == 408 || status == 425 || status == 429 || status >= 500)
        return PUSH_NO_ANSWER;
    return PUSH_REFUSED;
}

static void unlink_active(struct push_gateway *gateway, struct item *item)
{
    struct item **at = &gateway->active;

    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    gateway->active_count--;
    curl_multi_remove_handle(gateway->multi, item->curl);
    curl_easy_cleanup(item->curl);
    item->curl = NULL;
}

static void ended(struct push_gateway *gateway, CURL *curl, CURLcode code)
{
    struct item *item = NULL;
    long status = 0;

    curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&item);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    else if (item->problem[0] == '\0')
        snprintf(item->problem, sizeof item->problem, "%s", curl_easy_strerror(code));
    unlink_active(gateway, item);
    enum push_outcome outcome = outcome_of(status);
    item->due_ms = clock_ms(CLOCK_MONOTONIC) + backoff_ms(item);
    if (outcome != PUSH_NO_ANSWER || item->tries >= gateway->options.tries ||
        item->due_ms >= item->begin_ms + item->request.for_ms)
        finish(gateway, item, outcome, status);
    else
        put_later(gateway, item);
}

static int wait_ms(const struct push_gateway *gateway)
{
    uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
    uint64_t due_ms = gateway->later != NULL ? gateway->later->due_ms : now_ms + IDLE_MS;

    if (gateway->active_count == PUSH_AT_ONCE)
        return IDLE_MS; /* until one of those has ended */
    return due_ms <= now_ms ? 0 : (int)(due_ms - now_ms < IDLE_MS ? due_ms - now_ms : IDLE_MS);
}

static void end_all(struct push_gateway *gateway)
{
    take_incoming(gateway);
    while (gateway->active != NULL) {
        struct item *item = gateway->active;
        unlink_active(gateway, item);
        finish(gateway, item, PUSH_ENDING, 0);
    }
    while (gateway->later != NULL) {
        struct item *item = gateway->later;
        gateway->later = item->next;
        finish(gateway, item, PUSH_ENDING, 0);
    }
}

static void *run(void *user)
{
    struct push_gateway *gateway = user;

    while (!atomic_load(&gateway->ending)) {
        int left = 0;
        CURLMsg *message;
        take_incoming(gateway);
        begin_due(gateway);
        curl_multi_perform(gateway->multi, &left);
        while ((message = curl_multi_info_read(gateway->multi, &left)) != NULL)
            if (message->msg == CURLMSG_DONE)
                ended(gateway, message->easy_handle, message->data.result);
        curl_multi_poll(gateway->multi, NULL, 0, wait_ms(gateway), NULL);
    }
    end_all(gateway);
    return NULL;
}

/* ---- open and close ---- */

static bool copy_options(struct push_gateway *gateway, const struct push_options *options)
{
    gateway->options = *options;
    gateway->secret = malloc(options->secret.len);
    gateway->url = strdup(options->url);
    gateway->ca = options->ca != NULL ? strdup(options->ca) : NULL;
    if (gateway->secret == NULL)
        return false;
    memcpy(gateway->secret, options->secret.data, options->secret.len);
    gateway->options.secret.data = gateway->secret;
    return gateway->url != NULL && (options->ca == NULL || gateway->ca != NULL);
}

static enum err start(struct push_gateway *gateway, const struct push_options *options,
                      char problem[static PUSH_PROBLEM_MAX])
{
    if (!copy_options(gateway, options) ||
        getrandom(&gateway->boot, sizeof gateway->boot, 0) != (ssize_t)sizeof gateway->boot ||
        (gateway->multi = curl_multi_init()) == NULL) {
        snprintf(problem, PUSH_PROBLEM_MAX, "out of memory");
        return ERR_MEMORY;
    }
    if (gateway->ca != NULL && access(gateway->ca, R_OK) != 0) {
        snprintf(problem, PUSH_PROBLEM_MAX, "the file of push.ca cannot be read");
        return ERR_IO;
    }
    if (pthread_create(&gateway->thread, NULL, run, gateway) != 0) {
        snprintf(problem, PUSH_PROBLEM_MAX, "no thread for the push gateway");
        return ERR_IO;
    }
    gateway->thread_runs = true;
    return OK;
}

enum err push_open(const struct push_options *options, char problem[static PUSH_PROBLEM_MAX],
                   struct push_gateway **out)
{
    assert(options->secret.len >= PUSH_SECRET_MIN);

    struct push_gateway *gateway = calloc(1, sizeof *gateway);
    if (gateway == NULL) {
        snprintf(problem, PUSH_PROBLEM_MAX, "out of memory");
        return ERR_MEMORY;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum err err = start(gateway, options, problem);
    if (err) {
        push_close(gateway);
        return err;
    }
    *out = gateway;
    return OK;
}

void push_close(struct push_gateway *gateway)
{
    if (gateway == NULL)
        return;
    if (gateway->thread_runs) {
        atomic_store(&gateway->ending, true);
        curl_multi_wakeup(gateway->multi);
        pthread_join(gateway->thread, NULL);
    }
    end_all(gateway); /* what came while it ended */
    curl_multi_cleanup(gateway->multi);
    if (gateway->secret != NULL)
        explicit_bzero(gateway->secret, gateway->options.secret.len);
    free(gateway->secret);
    free(gateway->url);
    free(gateway->ca);
    free(gateway);
    curl_global_cleanup();
}

void push_counters(const struct push_gateway *gateway, struct push_counters *out)
{
    *out = (struct push_counters){
        .sent = atomic_load(&gateway->counters.sent),
        .retries = atomic_load(&gateway->counters.retries),
        .accepted = atomic_load(&gateway->counters.accepted),
        .gone = atomic_load(&gateway->counters.gone),
        .refused = atomic_load(&gateway->counters.refused),
        .no_answer = atomic_load(&gateway->counters.no_answer),
        .full = atomic_load(&gateway->counters.full),
        .waiting = atomic_load(&gateway->waiting),
        .unanswered = atomic_load(&gateway->unanswered),
    };
}
