/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy - the immutable snapshot of what the business has said: users and our domains.
 *
 * Built whole from plain data when something changed, then swapped into each
 * worker. A request uses one snapshot from beginning to end.
 *
 * Thread:  built by one thread, off the packet path; then read by all without a lock.
 * Memory:  one malloc per snapshot, text included: the source may go after the build.
 * Limit:   POLICY_USERS_MAX, POLICY_DOMAINS_MAX; then ERR_FULL.
 * Public headers: policy.h
 */
#ifndef ROUTING_POLICY_H
#define ROUTING_POLICY_H

#include "base/err.h"
#include "base/slice.h"
#include "base/user.h"

struct policy; /* private to policy.c */

enum {
    POLICY_USERS_MAX = 10000000,
    POLICY_DOMAINS_MAX = 100000,
    POLICY_DOMAIN_LENGTH_MAX = 255, /* bytes, without a trailing dot (RFC 1035 §3.1) */
};

/** What a snapshot is made of. Borrowed during the build only. */
struct policy_source {
    const struct user *users;
    size_t user_count;
    const struct slice *domains; /* ours; the first is the default. At least one */
    size_t domain_count;
    uint64_t seed; /* of the hash tables: random */
};

enum policy_problem {
    POLICY_NAME_LENGTH = 1,   /* a user's name is empty or longer than USER_NAME_MAX */
    POLICY_NAME_TWICE,        /* users `index` and `other` have one name */
    POLICY_EXTENSION_TWICE,   /* users `index` and `other` have one extension */
    POLICY_EXTENSION_IS_NAME, /* the extension of user `index` is the name of user `other` */
    POLICY_DOMAIN_LENGTH,     /* a domain is empty or longer than its limit */
    POLICY_DOMAIN_TWICE,      /* domains `index` and `other` are the same */
};

/** Why there is no snapshot: indices into the source's users, or domains. */
struct policy_error {
    enum policy_problem problem;
    size_t index, other;
};

/**
 * Builds a snapshot. ERR_CONFLICT: `*error` says what is wrong; ERR_FULL: over a limit, or no
 * domain; ERR_MEMORY. Users who share a caller_number are no error: a company may show one for all.
 */
MUST_CHECK enum err policy_build(const struct policy_source *source, struct policy_error *error,
                                 struct policy **out);

/** Frees it; all readers must have let go. NULL is fine. */
void policy_free(struct policy *policy);

/* What these return belongs to the snapshot; NULL when there is none. Disabled users are found,
 * too. */

/** Names compare by case, as user parts do (RFC 3261 §19.1.4). */
const struct user *policy_user_by_name(const struct policy *policy, struct slice name);
const struct user *policy_user_by_extension(const struct policy *policy, struct slice extension);
/** By caller_number, E.164 with +; of several users with it the first of the source. */
const struct user *policy_user_by_number(const struct policy *policy, struct slice number);

/** Users in the order of the source. Requires index < policy_user_count(). */
size_t policy_user_count(const struct policy *policy);
const struct user *policy_user_at(const struct policy *policy, size_t index);

/** Is this host one of our domains? Without case; one trailing dot does not count. */
bool policy_is_our_domain(const struct policy *policy, struct slice host);

/** Our domains in lower case, without trailing dot, in the order of the source. 0 is the default.
 */
size_t policy_domain_count(const struct policy *policy);
struct slice policy_domain_at(const struct policy *policy, size_t index);

#endif
