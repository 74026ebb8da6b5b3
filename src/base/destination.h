/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination - where calls are sent, as plain data: what config/ reads and routing/ follows.
 *
 * This is one of them, as it stands in a scalar; lists of them are their owner's.
 */
#ifndef BASE_DESTINATION_H
#define BASE_DESTINATION_H

#include "base/builder.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    DESTINATION_NAME_MAX = 64, /* bytes of a resource's name */
    DESTINATION_URI_MAX = 256, /* bytes of a SIP URI */
    DESTINATION_REPLY_MIN = 300,
    DESTINATION_REPLY_MAX = 699,
};

enum destination_kind {
    DESTINATION_USER = 1,
    DESTINATION_DEPARTMENT,
    DESTINATION_LOCATION, /* its `to` */
    DESTINATION_NEAREST,  /* of the locations, by the caller's region */
    DESTINATION_NUMBER,   /* ours: its `to`; others by the routes */
    DESTINATION_TRUNK,
    DESTINATION_URI,
    DESTINATION_REPLY,
};

struct destination {
    enum destination_kind kind;
    uint16_t reply;    /* 300 to 699 */
    struct slice name; /* of the resource; a number with +; a whole URI; else empty. Borrowed */
};

/** What is wrong with a text, as the end of a sentence; static. `nearest`: of the words before the
 * colon the one that was meant, perhaps; empty: none is near. */
struct destination_problem {
    const char *what;
    struct slice nearest;
};

/**
 * "user:alice", "department:sales", "location:oakland", "location:nearest", "number:+15105550101",
 * "trunk:carrier-a", "sip:ivr@192.0.2.5", "reply:480". Whether there is such a resource, or such a
 * host, is not asked. ERR_SYNTAX with *problem.
 */
MUST_CHECK enum err destination_parse(struct slice text, struct destination *out,
                                      struct destination_problem *problem);

/** Writes it as destination_parse() reads it. */
void destination_write(struct builder *b, const struct destination *destination);

bool destination_equal(const struct destination *a, const struct destination *b);

#endif
