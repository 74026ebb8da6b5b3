/* SPDX-License-Identifier: Apache-2.0 */
#include "store/ring.h"

#include <stdlib.h>

#include "store/record.h"

/* What stands before key and value. `bytes` of 0: the rest of the ring is unused. */
struct entry {
    uint32_t bytes; /* with this header, rounded up to 16 */
    uint32_t value_len;
    uint16_t key_len;
    uint16_t kind;
    struct id token;
    uint32_t unused;
};

enum {
    ENTRY_ALIGN = 16,
    ENTRY_MAX = 24 + RECORD_KEY_MAX + RECORD_VALUE_MAX + ENTRY_ALIGN
};
static_assert(sizeof(struct entry) == 24, "counted in ENTRY_MAX");

static uint64_t round_up(uint64_t value)
{
    return (value + (ENTRY_ALIGN - 1)) & ~(uint64_t)(ENTRY_ALIGN - 1);
}

size_t ring_memory(size_t capacity)
{
    size_t size = 1024;

    while (size < capacity || size < (size_t)2 * ENTRY_MAX)
        size *= 2;
    return size;
}

enum err ring_init(struct ring *ring, size_t capacity)
{
    uint64_t size = ring_memory(capacity);

    *ring = (struct ring){.capacity = size};
    ring->data = malloc(size);
    return ring->data != NULL ? OK : ERR_MEMORY;
}

void ring_release(struct ring *ring)
{
    free(ring->data);
    ring->data = NULL;
}

/* Are `bytes` free after `tail`? Looks at the reader's side only when the copy says no. */
static bool has_room(struct ring *ring, uint64_t tail, uint64_t bytes)
{
    if (tail + bytes - ring->head_seen <= ring->capacity)
        return true;
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    return tail + bytes - ring->head_seen <= ring->capacity;
}

enum err ring_push(struct ring *ring, const struct durable_op *op, struct id token)
{
    assert(op->key.len <= RECORD_KEY_MAX && op->value.len <= RECORD_VALUE_MAX);

    uint64_t bytes = round_up(sizeof(struct entry) + op->key.len + op->value.len);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t at = tail & (ring->capacity - 1);
    uint64_t skip = bytes > ring->capacity - at ? ring->capacity - at : 0;
    if (!has_room(ring, tail, skip + bytes))
        return ERR_FULL;

    if (skip > 0) {
        uint32_t none = 0;
        memcpy(ring->data + at, &none, sizeof none);
        at = 0;
    }
    struct entry entry = {.bytes = (uint32_t)bytes,
                          .value_len = (uint32_t)op->value.len,
                          .key_len = (uint16_t)op->key.len,
                          .kind = op->kind,
                          .token = token};
    memcpy(ring->data + at, &entry, sizeof entry);
    if (op->key.len > 0)
        memcpy(ring->data + at + sizeof entry, op->key.data, op->key.len);
    if (op->value.len > 0)
        memcpy(ring->data + at + sizeof entry + op->key.len, op->value.data, op->value.len);
    /* Sequentially consistent: the reader's "I go to sleep" and this must not both go unseen. */
    atomic_store(&ring->tail, tail + skip + bytes);
    return OK;
}

bool ring_peek(struct ring *ring, uint64_t *cursor, struct durable_op *op, struct id *token)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint64_t position = *cursor;
    struct entry entry;

    if (position == tail)
        return false;
    uint64_t at = position & (ring->capacity - 1);
    memcpy(&entry.bytes, ring->data + at, sizeof entry.bytes);
    if (entry.bytes == 0) {
        position += ring->capacity - at;
        at = 0;
    }
    assert(position != tail);
    memcpy(&entry, ring->data + at, sizeof entry);
    const char *key = ring->data + at + sizeof entry;
    *op = (struct durable_op){.kind = entry.kind,
                              .key = {key, entry.key_len},
                              .value = {key + entry.key_len, entry.value_len}};
    *token = entry.token;
    *cursor = position + entry.bytes;
    return true;
}

uint64_t ring_head(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed);
}

void ring_drop(struct ring *ring, uint64_t cursor)
{
    atomic_store_explicit(&ring->head, cursor, memory_order_release);
}

uint64_t ring_used(const struct ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load(&ring->tail);
    return tail >= head ? tail - head : 0;
}
