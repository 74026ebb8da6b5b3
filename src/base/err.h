/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err - why a call failed.
 *
 * OK is 0, so `if (err)` reads well; a bool means yes or no, never success.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

enum err {
    OK = 0,
    ERR_SYNTAX,    /* the peer's bytes, or a file's, break a grammar rule */
    ERR_AGAIN,     /* more bytes are needed, or the answer comes later by id */
    ERR_FULL,      /* a configured limit was reached */
    ERR_TOO_BIG,   /* one thing is larger than its limit */
    ERR_MEMORY,    /* memory could not be had */
    ERR_NOT_FOUND, /* no such thing, or it is gone */
    ERR_EXISTS,    /* it is there already */
    ERR_DENIED,    /* not allowed */
    ERR_CONFLICT,  /* the state does not permit it */
    ERR_IO,        /* errno or the library's message was logged where it happened */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/** A short English word for an error, for logs. Never NULL; static. */
static inline const char *err_name(enum err err)
{
    switch (err) {
    case OK:
        return "ok";
    case ERR_SYNTAX:
        return "syntax error";
    case ERR_AGAIN:
        return "not yet";
    case ERR_FULL:
        return "limit reached";
    case ERR_TOO_BIG:
        return "too big";
    case ERR_MEMORY:
        return "out of memory";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_EXISTS:
        return "exists";
    case ERR_DENIED:
        return "denied";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_IO:
        return "input/output error";
    }
    return "unknown";
}

#endif
