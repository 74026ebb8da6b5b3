/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list - an intrusive, circular, doubly linked list. The head is a node too.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *node)
{
    node->next = node;
    node->prev = node;
}

/** Zeroed memory counts as not linked, too. */
static inline bool list_empty(const struct list *head)
{
    return head->next == head || head->next == NULL;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
}

/** Adds at the end. `head` is initialised. */
static inline void list_push(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

/** Unlinks; a node that is not linked stays as it is. */
static inline void list_remove(struct list *node)
{
    if (node->next == NULL)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = NULL;
    node->prev = NULL;
}

/** Takes the first node off, or gives NULL. */
static inline struct list *list_pop(struct list *head)
{
    if (list_empty(head))
        return NULL;
    struct list *node = head->next;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who frees one takes it off before */
    list_remove(node);
    return node;
}

#endif
