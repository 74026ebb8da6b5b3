/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a turn of the loop sends by connections is gathered here, by connection, and written at its
 * end: a connection's messages go down together, as one system call and over TLS as one record.
 */
#include "net/internal.h"

#include <stdlib.h>

enum {
    GATHER_BYTES = 256 * 1024, /* of a turn; more: what there is is written before */
};

/** A message, in the buffer. */
struct gathered {
    struct list node; /* in conn.gathered */
    uint32_t len;
    char bytes[];
};

size_t gather_memory(void)
{
    return GATHER_BYTES + JOIN_BYTES;
}

enum err gather_open(struct net *net)
{
    list_init(&net->gathering);
    net->gather_buffer = malloc(GATHER_BYTES);
    net->join_buffer = malloc(JOIN_BYTES);
    return net->gather_buffer != NULL && net->join_buffer != NULL ? OK : ERR_MEMORY;
}

void gather_close(struct net *net)
{
    free(net->gather_buffer);
    free(net->join_buffer);
}

void gather_add(struct conn *conn, struct slice bytes)
{
    struct net *net = conn->net;
    size_t align = alignof(struct gathered);
    size_t size = (sizeof(struct gathered) + bytes.len + align - 1) / align * align;

    assert(size <= GATHER_BYTES); /* an outbox message is 66,000 bytes at most, a letter, too */
    if (size > GATHER_BYTES - net->gather_used)
        gather_flush(net);
    struct gathered *message = (struct gathered *)(void *)(net->gather_buffer + net->gather_used);
    net->gather_used += size;
    message->len = (uint32_t)bytes.len;
    memcpy(message->bytes, bytes.data, bytes.len);
    if (list_empty(&conn->gathered))
        list_push(&net->gathering, &conn->gathering);
    list_push(&conn->gathered, &message->node);
}

/* As many of a connection's messages as may be written at once, at least one. */
static size_t take_messages(struct conn *conn, struct slice messages[JOIN_MESSAGES])
{
    size_t bytes = 0, count = 0;

    while (count < JOIN_MESSAGES && !list_empty(&conn->gathered)) {
        const struct gathered *next = CONTAINER_OF(conn->gathered.next, struct gathered, node);
        if (count > 0 && next->len > JOIN_BYTES - bytes)
            break;
        messages[count++] = (struct slice){next->bytes, next->len};
        list_pop(&conn->gathered);
        if (next->len > JOIN_BYTES)
            break;
        bytes += next->len;
    }
    return count;
}

void gather_flush(struct net *net)
{
    for (struct list *node = list_pop(&net->gathering); node != NULL;
         node = list_pop(&net->gathering)) {
        struct conn *conn = CONTAINER_OF(node, struct conn, gathering);
        struct slice messages[JOIN_MESSAGES];
        while (!list_empty(&conn->gathered)) {
            size_t count = take_messages(conn, messages);
            conn_send_all(conn, messages, count);
        }
    }
    net->gather_used = 0;
}
