/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct world_entry *entry_of(struct world *w, uint64_t hash)
{
    for (size_t i = 0; i < COUNT_OF(w->entries); i++)
        if (w->entries[i].block_len > 0 && w->entries[i].hash == hash)
            return &w->entries[i];
    return NULL;
}

static struct slice block_of(const struct world_entry *entry)
{
    return entry != NULL ? (struct slice){entry->block, entry->block_len} : SLICE_EMPTY;
}

static struct slice table_find(void *user, struct slice key, uint64_t hash)
{
    (void)key;
    return block_of(entry_of(user, hash));
}

static struct slice table_find_hash(void *user, uint64_t hash, struct slice *key)
{
    const struct world_entry *entry = entry_of(user, hash);
    if (entry != NULL)
        *key = (struct slice){entry->key, entry->key_len};
    return block_of(entry);
}

static enum err table_put(void *user, struct slice key, uint64_t hash, struct slice block,
                          uint32_t note)
{
    struct world *w = user;
    struct world_entry *entry = entry_of(w, hash);

    for (size_t i = 0; entry == NULL && i < COUNT_OF(w->entries); i++)
        if (w->entries[i].block_len == 0)
            entry = &w->entries[i];
    assert_non_null(entry);
    assert_in_range(key.len, 1, sizeof entry->key);
    assert_in_range(block.len, 1, sizeof entry->block);
    entry->hash = hash;
    entry->note = note;
    memmove(entry->key, key.data, key.len);
    memmove(entry->block, block.data, block.len);
    entry->key_len = key.len;
    entry->block_len = block.len;
    return OK;
}

static void table_remove(void *user, struct slice key, uint64_t hash)
{
    struct world_entry *entry = entry_of(user, hash);
    (void)key;
    if (entry != NULL)
        entry->block_len = 0;
}

static uint64_t table_places(void *user, unsigned worker)
{
    (void)user;
    (void)worker;
    return WORLD_AORS;
}

static struct slice table_next(void *user, struct table_search *search, struct slice *key,
                               uint64_t *hash)
{
    const struct world *w = user;

    while (search->place < search->end) {
        const struct world_entry *entry = &w->entries[search->place++];
        uint32_t note = entry->note & search->mask;
        if (entry->block_len == 0 || note == 0 || note > search->max)
            continue;
        *key = (struct slice){entry->key, entry->key_len};
        *hash = entry->hash;
        return block_of(entry);
    }
    return SLICE_EMPTY;
}

static bool post(void *user, unsigned to, const struct core_mail *mail)
{
    struct world *w = user;
    if (to == w->deaf)
        return false;
    if (w->mail_count < WORLD_MAIL_MAX) {
        struct world_mail *kept = &w->mail[w->mail_count];
        assert_true(mail->bytes.len < WORLD_TEXT_MAX);
        kept->to = to;
        kept->mail = *mail;
        if (mail->bytes.len > 0)
            memcpy(kept->text, mail->bytes.data, mail->bytes.len);
        kept->mail.bytes.data = kept->text;
    }
    w->mail_count++;
    return true;
}

static void flush(struct outbox *outbox, void *user)
{
    struct world *w = user;

    for (uint32_t i = 0; i < outbox->count; i++, w->sent_count++) {
        const struct outbox_item *item = &outbox->items[i];
        if (w->sent_count >= WORLD_SENT_MAX)
            continue;
        assert_true(item->len < WORLD_TEXT_MAX);
        memcpy(w->sent[w->sent_count].text, outbox->buffer + item->offset, item->len);
        w->sent[w->sent_count].text[item->len] = '\0';
        w->sent[w->sent_count].to = item->to;
    }
    outbox->count = 0;
    outbox->used = 0;
}

void world_open(struct world *w, unsigned workers, const struct user *users, size_t user_count)
{
    static const struct slice domain = {"example.com", 11};
    struct policy_source source = {
        .users = users, .user_count = user_count, .domains = &domain, .domain_count = 1, .seed = 1};
    struct policy_error error;

    *w = (struct world){.now_ms = 1000000, .wall_ms = UINT64_C(1700000000000)};
    w->listener = (struct listener){
        .transport = TRANSPORT_UDP,
        .bound = {.family = ADDR_V4, .port = 5060, .bytes = {192, 0, 2, 9}},
    };
    assert_int_equal(OK, policy_build(&source, &error, &w->policy));
    w->outbox.buffer = malloc(OUTBOX_BYTES);
    assert_non_null(w->outbox.buffer);
    w->outbox.flush = flush;
    w->outbox.user = w;
    w->config = (struct core_config){
        .workers = workers,
        .boot = 1,
        .seed = 1,
        .hash_seed = 1,
        .memory_max = 64 << 20,
        .transactions_max = 1000,
        .registrations_max = 100,
        .nonce_windows_max = 100,
        .listeners = &w->listener,
        .listener_count = 1,
        .realm = domain,
        .algorithms = {SIP_MD5},
        .nonce_lifetime_ms = 300000,
        .registrar = {.default_expires = 3600,
                      .min_expires = 60,
                      .max_expires = 7200,
                      .max_contacts = 10},
        .timer_c_ms = 180000,
        .outbox = &w->outbox,
        .location = {w, table_find, table_find_hash, table_put, table_remove, table_places,
                     table_next},
        .ops = {.user = w, .post = post},
        .policy = w->policy,
    };
    assert_int_equal(OK, core_open(&w->config, w->now_ms, w->wall_ms, &w->core));
}

void world_reopen(struct world *w)
{
    core_close(w->core);
    w->core = NULL; /* world_close() may come before there is another */
    assert_int_equal(OK, core_open(&w->config, w->now_ms, w->wall_ms, &w->core));
}

void world_close(struct world *w)
{
    core_close(w->core);
    policy_free(w->policy);
    free(w->outbox.buffer);
}

struct flow world_flow(uint16_t port, const struct conn_id *conn)
{
    struct flow flow = {
        .transport = conn != NULL ? TRANSPORT_TCP : TRANSPORT_UDP,
        .remote = {.family = ADDR_V4, .port = port, .bytes = {192, 0, 2, 1}},
        .local = {.family = ADDR_V4, .port = 5060, .bytes = {192, 0, 2, 9}},
    };
    if (conn != NULL)
        flow.conn = *conn;
    return flow;
}

void world_feed_bytes(struct world *w, struct slice bytes, const struct flow *source)
{
    w->sent_count = 0;
    core_receive(w->core, bytes, SIP_DATAGRAM, source, w->now_ms, w->wall_ms);
    flush(&w->outbox, w);
}

void world_feed(struct world *w, const char *text, const struct flow *source)
{
    world_feed_bytes(w, slice_of(text), source);
}

void world_pass(struct world *w, uint64_t ms)
{
    uint64_t end_ms = w->now_ms + ms;

    while (w->now_ms < end_ms) {
        uint64_t step_ms = end_ms - w->now_ms < 1000 ? end_ms - w->now_ms : 1000;
        w->now_ms += step_ms;
        w->wall_ms += step_ms;
        while (core_run(w->core, w->now_ms, w->wall_ms, 256))
            ;
        flush(&w->outbox, w);
    }
}

void world_register(struct world *w, const char *name, unsigned cseq, unsigned expires,
                    const struct flow *source)
{
    char text[WORLD_TEXT_MAX];

    snprintf(text, sizeof text,
             "REGISTER sip:example.com SIP/2.0\r\n"
             "Via: SIP/2.0/%s 192.0.2.1:%u;branch=z9hG4bK%s%u;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:%s@example.com>;tag=f\r\nTo: <sip:%s@example.com>\r\n"
             "Call-ID: reg-%s\r\nCSeq: %u REGISTER\r\n"
             "Contact: <sip:%s@192.0.2.1:%u>;expires=%u\r\nContent-Length: 0\r\n\r\n",
             flow_has_conn(source) ? "TCP" : "UDP", source->remote.port, name, cseq, name, name,
             name, cseq, name, source->remote.port, expires);
    world_feed(w, text, source);
    assert_int_equal(1, w->sent_count);
    assert_memory_equal("SIP/2.0 200", w->sent[0].text, 11);
}

const char *world_own_name(const struct world *w)
{
    static char name[16];

    for (unsigned i = 0;; i++) {
        snprintf(name, sizeof name, "u%u", i);
        if (table_owner(core_aor_hash(&w->config, slice_of(name)), w->config.workers) == 0)
            return name;
    }
}

unsigned world_aors(const struct world *w)
{
    unsigned count = 0;
    for (size_t i = 0; i < COUNT_OF(w->entries); i++)
        count += w->entries[i].block_len > 0;
    return count;
}
