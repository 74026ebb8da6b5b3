/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One block holds all: struct policy, users, domains, index slots, text. The
 * indices are open-addressed tables of (32 bits of hash, position + 1) pairs, at most half
 * full, so a lookup reads one cache line of the table and one of the user.
 *
 * malloc is right here: this is never called for a packet.
 */
#include "routing/policy.h"

#include <stdlib.h>

#include "base/hash.h"

struct slot {
    uint32_t hash;
    uint32_t position; /* + 1; 0: free */
};

/* Finds things by one of their keys. */
struct index {
    struct slot *slots;
    uint32_t mask;
};

enum user_key {
    KEY_NAME,
    KEY_EXTENSION,
    KEY_NUMBER,
    USER_KEYS
};

struct policy {
    uint64_t seed;
    size_t user_count;
    size_t domain_count;
    struct user *users;
    struct slice *domains;
    struct index by[USER_KEYS];
    struct index by_domain;
    char *text; /* where the next copied byte goes, while it is built */
};

static struct slice user_key(const struct user *user, enum user_key key)
{
    switch (key) {
    case KEY_NAME:
        return user->name;
    case KEY_EXTENSION:
        return user->extension;
    case KEY_NUMBER:
        return user->caller_number;
    case USER_KEYS:
        break;
    }
    assert(false);
    return SLICE_EMPTY;
}

/* A host as it is compared: without its trailing dot. */
static struct slice domain_trim(struct slice host)
{
    if (host.len > 0 && host.data[host.len - 1] == '.')
        host.len--;
    return host;
}

static uint32_t key_hash(const struct policy *policy, struct slice key)
{
    return (uint32_t)hash_bytes(policy->seed, key);
}

/* The user at the first slot that has this key, or NULL; `*at` is then a free slot. */
static const struct user *user_find(const struct policy *policy, enum user_key key,
                                    struct slice text, uint32_t hash, uint32_t *at)
{
    const struct index *index = &policy->by[key];
    for (*at = hash & index->mask; index->slots[*at].position != 0; *at = (*at + 1) & index->mask) {
        if (index->slots[*at].hash != hash)
            continue;
        const struct user *user = &policy->users[index->slots[*at].position - 1];
        if (slice_equal(user_key(user, key), text))
            return user;
    }
    return NULL;
}

static const struct user *user_by(const struct policy *policy, enum user_key key, struct slice text)
{
    uint32_t at;
    return user_find(policy, key, text, key_hash(policy, text), &at);
}

/* The position + 1 of a domain in lower case, or 0; `*at` is then a free slot. */
static uint32_t domain_find(const struct policy *policy, struct slice domain, uint32_t hash,
                            uint32_t *at)
{
    const struct index *index = &policy->by_domain;
    for (*at = hash & index->mask; index->slots[*at].position != 0; *at = (*at + 1) & index->mask) {
        uint32_t position = index->slots[*at].position;
        if (index->slots[*at].hash == hash && slice_equal(policy->domains[position - 1], domain))
            return position;
    }
    return 0;
}

/* --- Building ----------------------------------------------------------------------------- */

/* Slots of an index over `count` keys: a power of two, at least twice as many. */
static size_t slots_for(size_t count)
{
    size_t slots = 2;
    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

static size_t forward_text_bytes(const struct user *user)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < USER_FORWARDS; i++)
        bytes += user->forward[i].len;
    return bytes;
}

static size_t user_text_bytes(const struct user *user)
{
    return user->name.len + user->display_name.len + user->extension.len + user->email.len +
           user->role.len + user->caller_number.len + user->realm.len + forward_text_bytes(user);
}

static struct slice text_copy(struct policy *policy, struct slice s)
{
    struct slice copy = {policy->text, s.len};
    if (s.len > 0)
        memcpy(policy->text, s.data, s.len);
    policy->text += s.len;
    return copy;
}

static void user_copy(struct policy *policy, const struct user *from, struct user *to)
{
    *to = *from;
    to->name = text_copy(policy, from->name);
    to->display_name = text_copy(policy, from->display_name);
    to->extension = text_copy(policy, from->extension);
    to->email = text_copy(policy, from->email);
    to->role = text_copy(policy, from->role);
    to->caller_number = text_copy(policy, from->caller_number);
    to->realm = text_copy(policy, from->realm);
    for (unsigned i = 0; i < USER_FORWARDS; i++)
        to->forward[i] = text_copy(policy, from->forward[i]);
    to->title = SLICE_EMPTY; /* nobody who routes asks for these */
    to->languages = SLICE_EMPTY;
}

static struct slice domain_copy(struct policy *policy, struct slice domain)
{
    char *text = policy->text;
    struct slice copy = text_copy(policy, domain_trim(domain));
    for (size_t i = 0; i < copy.len; i++)
        text[i] = ascii_lower(text[i]);
    return copy;
}

/* One block for everything, tables zeroed. NULL: no memory. */
static struct policy *policy_alloc(const struct policy_source *source)
{
    size_t user_slots = slots_for(source->user_count);
    size_t domain_slots = slots_for(source->domain_count);
    size_t users_bytes = source->user_count * sizeof(struct user);
    size_t domains_bytes = source->domain_count * sizeof(struct slice);
    size_t slots_bytes = (USER_KEYS * user_slots + domain_slots) * sizeof(struct slot);
    size_t text_bytes = 0;
    for (size_t i = 0; i < source->user_count; i++)
        text_bytes += user_text_bytes(&source->users[i]);
    for (size_t i = 0; i < source->domain_count; i++)
        text_bytes += source->domains[i].len;

    struct policy *policy =
        calloc(1, sizeof *policy + users_bytes + domains_bytes + slots_bytes + text_bytes);
    if (policy == NULL)
        return NULL;
    policy->seed = source->seed;
    policy->users = (struct user *)(void *)(policy + 1);
    policy->domains = (struct slice *)(void *)(policy->users + source->user_count);
    struct slot *slots = (struct slot *)(void *)(policy->domains + source->domain_count);
    for (size_t key = 0; key < USER_KEYS; key++)
        policy->by[key] = (struct index){slots + key * user_slots, (uint32_t)user_slots - 1};
    slots += USER_KEYS * user_slots;
    policy->by_domain = (struct index){slots, (uint32_t)domain_slots - 1};
    policy->text = (char *)(slots + domain_slots);
    return policy;
}

static enum err conflict(struct policy_error *error, enum policy_problem problem, size_t index,
                         size_t other)
{
    *error = (struct policy_error){problem, index, other};
    return ERR_CONFLICT;
}

/* Adds user `i` under one of his keys; another's with the same key is returned and left. */
static const struct user *index_user(struct policy *policy, enum user_key key, size_t i)
{
    struct slice text = user_key(&policy->users[i], key);
    if (text.len == 0)
        return NULL;
    uint32_t hash = key_hash(policy, text);
    uint32_t at;
    const struct user *other = user_find(policy, key, text, hash, &at);
    if (other == NULL)
        policy->by[key].slots[at] = (struct slot){hash, (uint32_t)i + 1};
    return other;
}

static enum err add_user(struct policy *policy, const struct user *user, struct policy_error *error)
{
    size_t i = policy->user_count;
    if (user->name.len == 0 || user->name.len > USER_NAME_MAX)
        return conflict(error, POLICY_NAME_LENGTH, i, i);
    user_copy(policy, user, &policy->users[i]);
    policy->user_count++;

    const struct user *other = index_user(policy, KEY_NAME, i);
    if (other != NULL)
        return conflict(error, POLICY_NAME_TWICE, i, (size_t)(other - policy->users));
    other = index_user(policy, KEY_EXTENSION, i);
    if (other != NULL)
        return conflict(error, POLICY_EXTENSION_TWICE, i, (size_t)(other - policy->users));
    (void)index_user(policy, KEY_NUMBER, i);
    return OK;
}

/* A name wins over an extension when it is dialled: the second could never be reached. */
static enum err check_extensions(const struct policy *policy, struct policy_error *error)
{
    for (size_t i = 0; i < policy->user_count; i++) {
        struct slice extension = policy->users[i].extension;
        const struct user *other = extension.len > 0 ? user_by(policy, KEY_NAME, extension) : NULL;
        if (other != NULL && other != &policy->users[i])
            return conflict(error, POLICY_EXTENSION_IS_NAME, i, (size_t)(other - policy->users));
    }
    return OK;
}

static enum err add_domain(struct policy *policy, struct slice domain, struct policy_error *error)
{
    size_t i = policy->domain_count;
    size_t length = domain_trim(domain).len;
    if (length == 0 || length > POLICY_DOMAIN_LENGTH_MAX)
        return conflict(error, POLICY_DOMAIN_LENGTH, i, i);
    policy->domains[i] = domain_copy(policy, domain);
    policy->domain_count++;

    uint32_t hash = key_hash(policy, policy->domains[i]);
    uint32_t at;
    uint32_t other = domain_find(policy, policy->domains[i], hash, &at);
    if (other != 0)
        return conflict(error, POLICY_DOMAIN_TWICE, i, other - 1);
    policy->by_domain.slots[at] = (struct slot){hash, (uint32_t)i + 1};
    return OK;
}

static enum err fill(struct policy *policy, const struct policy_source *source,
                     struct policy_error *error)
{
    for (size_t i = 0; i < source->domain_count; i++) {
        enum err err = add_domain(policy, source->domains[i], error);
        if (err)
            return err;
    }
    for (size_t i = 0; i < source->user_count; i++) {
        enum err err = add_user(policy, &source->users[i], error);
        if (err)
            return err;
    }
    return check_extensions(policy, error);
}

enum err policy_build(const struct policy_source *source, struct policy_error *error,
                      struct policy **out)
{
    if (source->user_count > POLICY_USERS_MAX || source->domain_count > POLICY_DOMAINS_MAX ||
        source->domain_count == 0)
        return ERR_FULL;

    struct policy *policy = policy_alloc(source);
    if (policy == NULL)
        return ERR_MEMORY;
    enum err err = fill(policy, source, error);
    if (err) {
        policy_free(policy);
        return err;
    }
    *out = policy;
    return OK;
}

void policy_free(struct policy *policy)
{
    free(policy);
}

/* --- Reading ------------------------------------------------------------------------------ */

const struct user *policy_user_by_name(const struct policy *policy, struct slice name)
{
    return user_by(policy, KEY_NAME, name);
}

const struct user *policy_user_by_extension(const struct policy *policy, struct slice extension)
{
    return user_by(policy, KEY_EXTENSION, extension);
}

const struct user *policy_user_by_number(const struct policy *policy, struct slice number)
{
    return user_by(policy, KEY_NUMBER, number);
}

size_t policy_user_count(const struct policy *policy)
{
    return policy->user_count;
}

const struct user *policy_user_at(const struct policy *policy, size_t index)
{
    assert(index < policy->user_count);

    return &policy->users[index];
}

bool policy_is_our_domain(const struct policy *policy, struct slice host)
{
    struct slice trimmed = domain_trim(host);
    if (trimmed.len == 0 || trimmed.len > POLICY_DOMAIN_LENGTH_MAX)
        return false;

    char lower[POLICY_DOMAIN_LENGTH_MAX];
    for (size_t i = 0; i < trimmed.len; i++)
        lower[i] = ascii_lower(trimmed.data[i]);
    struct slice domain = {lower, trimmed.len};
    uint32_t at;
    return domain_find(policy, domain, key_hash(policy, domain), &at) != 0;
}

size_t policy_domain_count(const struct policy *policy)
{
    return policy->domain_count;
}

struct slice policy_domain_at(const struct policy *policy, size_t index)
{
    assert(index < policy->domain_count);

    return policy->domains[index];
}
