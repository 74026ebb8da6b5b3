/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipe - two lowest filters that are each other's peer, in memory: a stream without sockets, cut
 * and broken as the test wants. It allocates nothing.
 */
#ifndef TESTS_PIPE_H
#define TESTS_PIPE_H

#include "net/filter.h"

enum {
    PIPE_BYTES = 1 << 17 /* on their way in one direction */
};

struct pipe_end {
    struct filter filter;
    struct pipe_end *peer;
    size_t read_budget;  /* bytes that may still be read; then IO_AGAIN */
    size_t write_budget; /* likewise written */
    bool ended;          /* the peer writes no more */
    bool broken;         /* every call fails */
    bool closed;
    size_t len; /* bytes in `bytes`, to be read here */
    char bytes[PIPE_BYTES];
};

/** Both without limits, and empty. */
void pipe_open(struct pipe_end *a, struct pipe_end *b);

#endif
