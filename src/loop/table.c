/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/table.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    SLOTS_MIN = 64,
    FULL_TENTHS = 8,      /* an array with more than 8/10 of its slots used is replaced */
    MOVES_PER_CHANGE = 8, /* slots of the old array that a change looks at */
    RETIRED_PER_BATCH = 60,
    NOTES_AT_ONCE = 16, /* compared without a branch between them */
    TAG_SHIFT = 48,
};

/* Slots: 0 never used, SLOT_GONE used before (a search goes on there), else tag and address. */
static const uint64_t SLOT_GONE = 1;

struct entry {
    uint64_t hash;
    _Atomic uint16_t key_len; /* ENTRY_GONE set: removed, but not retired for lack of memory */
    uint16_t block_len;
    char bytes[]; /* key, block */
};

enum {
    ENTRY_HEAD = offsetof(struct entry, bytes),
    ENTRY_GONE = 0x8000,
    KEY_MAX = 0x7fff,
};

struct array {
    uint64_t mask;   /* slots - 1 */
    uint32_t *notes; /* one for each slot, behind the slots; 0: no entry. The owner's alone */
    _Atomic uint64_t slots[];
};

/* Unlinked things, freed together. */
struct retired {
    void *ptr;
    size_t bytes; /* 0: an array, from calloc */
};

struct batch {
    struct batch *next;
    uint64_t stamp;
    uint32_t count;
    struct retired items[RETIRED_PER_BATCH];
};

struct shard {
    alignas(64) _Atomic(struct array *) array; /* new entries go here */
    _Atomic(struct array *) old;               /* being emptied into `array`, or NULL */
    _Atomic uint64_t version;                  /* bumped when the arrays change */
    _Atomic uint64_t entries;
    _Atomic uint64_t entry_bytes;
    _Atomic uint64_t array_bytes;
    _Atomic uint64_t waiting;
    /* The owner's alone from here. */
    uint64_t used;       /* slots of `array` that are not 0 */
    uint64_t move_at;    /* slots of `old` before this are done */
    struct batch *open;  /* takes what is retired now */
    struct batch *first; /* closed, oldest first */
    struct batch **last;
    struct batch *spare;     /* for removing when there is no memory */
    uint64_t gone;           /* entries marked ENTRY_GONE: swept in the next turn */
    struct batch *unstamped; /* the first of those that were closed in this turn */
    size_t arrays_max;       /* bytes of both arrays */
    struct mem mem;
};

struct table {
    struct quiesce *quiesce;
    unsigned workers;
    struct shard *shards;
};

static struct shard *shard_of(const struct table *table, uint64_t hash)
{
    return &table->shards[table_owner(hash, table->workers)];
}

static void count_set(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_relaxed);
}

static void count_add(_Atomic uint64_t *counter, uint64_t more)
{
    count_set(counter, atomic_load_explicit(counter, memory_order_relaxed) + more);
}

static uint64_t slot_make(const struct entry *entry)
{
    uint64_t address = (uint64_t)(uintptr_t)entry;
    assert(address >> TAG_SHIFT == 0);
    return address | (entry->hash & 0xffff) << TAG_SHIFT;
}

static struct entry *slot_entry(uint64_t slot)
{
    return (struct entry *)(uintptr_t)(slot & ((UINT64_C(1) << TAG_SHIFT) - 1));
}

static bool slot_holds(uint64_t slot)
{
    return slot > SLOT_GONE;
}

/* The tag is the lowest bits, the shard the highest: places go by those between. */
static uint64_t place_of(uint64_t hash)
{
    return hash >> 16;
}

static uint16_t entry_key_len(const struct entry *entry)
{
    return atomic_load_explicit(&entry->key_len, memory_order_relaxed) & KEY_MAX;
}

static bool entry_gone(const struct entry *entry)
{
    return (atomic_load_explicit(&entry->key_len, memory_order_relaxed) & ENTRY_GONE) != 0;
}

static struct slice entry_key(const struct entry *entry)
{
    return (struct slice){entry->bytes, entry_key_len(entry)};
}

/* Empty when the entry is as good as removed. */
static struct slice entry_block(const struct entry *entry)
{
    if (entry_gone(entry))
        return SLICE_EMPTY;
    return (struct slice){entry->bytes + entry_key_len(entry), entry->block_len};
}

static size_t entry_bytes(const struct entry *entry)
{
    return ENTRY_HEAD + (size_t)entry_key_len(entry) + entry->block_len;
}

static size_t array_size(uint64_t slots)
{
    return sizeof(struct array) + slots * (sizeof(uint64_t) + sizeof(uint32_t));
}

static struct array *array_new(uint64_t slots)
{
    struct array *array = calloc(1, array_size(slots));
    if (array == NULL)
        return NULL;
    array->mask = slots - 1;
    void *behind = (char *)array + sizeof *array + slots * sizeof array->slots[0];
    array->notes = behind;
    return array;
}

static uint64_t array_bytes(const struct array *array)
{
    return array != NULL ? array_size(array->mask + 1) : 0;
}

/* The slot of a key (or, with `key` NULL, of the hash alone); NULL: not in this array. */
static _Atomic uint64_t *array_find(struct array *array, const struct slice *key, uint64_t hash,
                                    struct entry **out)
{
    uint64_t tag = hash & 0xffff;

    for (uint64_t n = 0; n <= array->mask; n++) {
        _Atomic uint64_t *at = &array->slots[(place_of(hash) + n) & array->mask];
        uint64_t slot = atomic_load_explicit(at, memory_order_acquire);
        if (slot == 0)
            return NULL;
        if (slot >> TAG_SHIFT != tag || !slot_holds(slot))
            continue;
        struct entry *entry = slot_entry(slot);
        if (entry->hash != hash || (key != NULL && !slice_equal(entry_key(entry), *key)))
            continue;
        *out = entry;
        return at;
    }
    return NULL;
}

/*
 * The old array first: an entry that moves is in the new one before it leaves the old one. What
 * was `array` may have become `old` between the two looks: then the version is another.
 */
static struct entry *shard_find(struct shard *shard, const struct slice *key, uint64_t hash)
{
    for (;;) {
        struct entry *entry;
        uint64_t version = atomic_load_explicit(&shard->version, memory_order_acquire);
        struct array *old = atomic_load_explicit(&shard->old, memory_order_acquire);
        if (old != NULL && array_find(old, key, hash, &entry) != NULL)
            return entry;
        struct array *array = atomic_load_explicit(&shard->array, memory_order_acquire);
        if (array_find(array, key, hash, &entry) != NULL)
            return entry;
        if (atomic_load_explicit(&shard->version, memory_order_acquire) == version)
            return NULL;
    }
}

struct slice table_find(struct table *table, struct slice key, uint64_t hash)
{
    const struct entry *entry = shard_find(shard_of(table, hash), &key, hash);
    return entry != NULL ? entry_block(entry) : SLICE_EMPTY;
}

struct slice table_find_hash(struct table *table, uint64_t hash, struct slice *key)
{
    const struct entry *entry = shard_find(shard_of(table, hash), NULL, hash);
    if (entry == NULL)
        return SLICE_EMPTY;
    *key = entry_key(entry);
    return entry_block(entry);
}

/* --- Retiring ------------------------------------------------------------------------------- */

/* The open batch takes no more; it is stamped when the turn ends. */
static void shard_close_batch(struct shard *shard)
{
    if (shard->unstamped == NULL)
        shard->unstamped = shard->open;
    shard->open->stamp = UINT64_MAX;
    *shard->last = shard->open;
    shard->last = &shard->open->next;
    shard->open = NULL;
}

/*
 * Room to retire two things (an entry and an array). False: no memory. The spare batch is for
 * `removing`: that gives memory back, and cannot fail.
 */
static bool shard_can_retire(struct shard *shard, bool removing)
{
    if (shard->open != NULL && shard->open->count + 2 <= RETIRED_PER_BATCH)
        return true;

    struct batch *batch = mem_alloc(&shard->mem, sizeof *batch);
    if (batch == NULL && removing) {
        batch = shard->spare;
        shard->spare = NULL;
    }
    if (batch == NULL)
        return false;
    batch->next = NULL;
    batch->count = 0;
    if (shard->open != NULL)
        shard_close_batch(shard);
    shard->open = batch;
    return true;
}

static void shard_retire(struct shard *shard, void *ptr, size_t bytes)
{
    assert(shard->open != NULL);
    assert(shard->open->count < RETIRED_PER_BATCH);
    shard->open->items[shard->open->count++] = (struct retired){ptr, bytes};
    count_add(&shard->waiting, 1);
}

static void batch_free(struct shard *shard, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->items[i].bytes == 0)
            free(batch->items[i].ptr);
        else
            mem_free(&shard->mem, batch->items[i].ptr, batch->items[i].bytes);
    }
    count_add(&shard->waiting, 0 - (uint64_t)batch->count);
    if (shard->spare == NULL)
        shard->spare = batch;
    else
        mem_free(&shard->mem, batch, sizeof *batch);
}

/* One stamp for all that was retired in this turn. */
static void shard_stamp(struct shard *shard, struct quiesce *quiesce)
{
    if (shard->open != NULL && shard->open->count > 0)
        shard_close_batch(shard);
    if (shard->unstamped == NULL)
        return;
    uint64_t stamp = quiesce_stamp(quiesce);
    for (struct batch *batch = shard->unstamped; batch != NULL; batch = batch->next)
        batch->stamp = stamp;
    shard->unstamped = NULL;
}

/* --- Changing ------------------------------------------------------------------------------- */

/* Puts an entry into the first slot of the array that holds none. There is one. */
static void array_insert(struct shard *shard, struct array *array, const struct entry *entry,
                         uint32_t note)
{
    for (uint64_t n = 0;; n++) {
        assert(n <= array->mask);
        uint64_t place = (place_of(entry->hash) + n) & array->mask;
        _Atomic uint64_t *at = &array->slots[place];
        uint64_t slot = atomic_load_explicit(at, memory_order_relaxed);
        if (slot_holds(slot))
            continue;
        if (slot == 0)
            shard->used++;
        array->notes[place] = note;
        atomic_store_explicit(at, slot_make(entry), memory_order_release);
        return;
    }
}

/* Empties a slot. Who searches goes on behind it. */
static void array_clear(struct array *array, _Atomic uint64_t *at)
{
    array->notes[at - array->slots] = 0;
    atomic_store_explicit(at, SLOT_GONE, memory_order_release);
}

/* Moves a few entries on; retires the old array when it is empty. Needs room to retire. */
static void shard_move(struct shard *shard, unsigned slots)
{
    struct array *old = atomic_load_explicit(&shard->old, memory_order_relaxed);
    if (old == NULL)
        return;
    struct array *array = atomic_load_explicit(&shard->array, memory_order_relaxed);

    for (unsigned n = 0; n < slots && shard->move_at <= old->mask; n++, shard->move_at++) {
        _Atomic uint64_t *at = &old->slots[shard->move_at];
        uint64_t slot = atomic_load_explicit(at, memory_order_relaxed);
        if (!slot_holds(slot))
            continue;
        array_insert(shard, array, slot_entry(slot), old->notes[shard->move_at]);
        array_clear(old, at);
    }
    if (shard->move_at > old->mask) {
        atomic_store_explicit(&shard->old, NULL, memory_order_release);
        count_set(&shard->array_bytes, array_bytes(array));
        shard_retire(shard, old, 0);
    }
}

/*
 * Publishes a new array when the present one is too full of entries and of slots that were used.
 * As one move looks at 8 slots and each change takes one slot, the old array is empty long
 * before the new one is full. Without memory the present one goes on until it is full.
 */
static enum err shard_make_room(struct shard *shard)
{
    struct array *array = atomic_load_explicit(&shard->array, memory_order_relaxed);
    uint64_t slots = array->mask + 1;
    if (shard->used < slots / 10 * FULL_TENTHS)
        return OK;
    if (atomic_load_explicit(&shard->old, memory_order_relaxed) != NULL)
        shard_move(shard, UINT32_MAX); /* not before a table has changed size twice at once */

    uint64_t entries = atomic_load_explicit(&shard->entries, memory_order_relaxed);
    uint64_t wanted = SLOTS_MIN;
    while (wanted * 5 / 10 <= entries)
        wanted *= 2;
    bool fits = array_bytes(array) + array_size(wanted) <= shard->arrays_max;
    struct array *fresh = fits ? array_new(wanted) : NULL;
    if (fresh == NULL)
        return shard->used < slots - 1 ? OK : ERR_MEMORY; /* one free slot ends every search */

    shard->used = 0;
    shard->move_at = 0;
    count_set(&shard->array_bytes, array_bytes(array) + array_bytes(fresh));
    /* In this order: who sees the new array and finds nothing also sees the new version. */
    uint64_t version = atomic_load_explicit(&shard->version, memory_order_relaxed);
    atomic_store_explicit(&shard->old, array, memory_order_release);
    atomic_store_explicit(&shard->version, version + 1, memory_order_release);
    atomic_store_explicit(&shard->array, fresh, memory_order_release);
    return OK;
}

/* Where the owner finds a key: the slot, and in which of the two arrays. */
static _Atomic uint64_t *shard_slot(struct shard *shard, struct slice key, uint64_t hash,
                                    struct entry **entry, struct array **array)
{
    *array = atomic_load_explicit(&shard->old, memory_order_relaxed);
    _Atomic uint64_t *at = *array != NULL ? array_find(*array, &key, hash, entry) : NULL;
    if (at != NULL)
        return at;
    *array = atomic_load_explicit(&shard->array, memory_order_relaxed);
    return array_find(*array, &key, hash, entry);
}

enum err table_put(struct table *table, struct slice key, uint64_t hash, struct slice block,
                   uint32_t note)
{
    struct shard *shard = shard_of(table, hash);
    assert(block.len > 0);
    assert(note != 0);

    if (key.len > KEY_MAX || block.len > UINT16_MAX ||
        ENTRY_HEAD + key.len + block.len > MEM_MAX_ALLOC)
        return ERR_TOO_BIG;
    if (!shard_can_retire(shard, false))
        return ERR_MEMORY;
    shard_move(shard, MOVES_PER_CHANGE);
    if (!shard_can_retire(shard, false) || shard_make_room(shard) != OK ||
        !shard_can_retire(shard, false))
        return ERR_MEMORY;

    struct entry *fresh = mem_alloc(&shard->mem, ENTRY_HEAD + key.len + block.len);
    if (fresh == NULL)
        return ERR_MEMORY;
    fresh->hash = hash;
    atomic_init(&fresh->key_len, (uint16_t)key.len);
    fresh->block_len = (uint16_t)block.len;
    if (key.len > 0)
        memcpy(fresh->bytes, key.data, key.len);
    memcpy(fresh->bytes + key.len, block.data, block.len);

    struct entry *before;
    struct array *array;
    _Atomic uint64_t *at = shard_slot(shard, key, hash, &before, &array);
    if (at == NULL) {
        array_insert(shard, array, fresh, note);
        count_add(&shard->entries, 1);
    } else {
        if (entry_gone(before)) {
            count_add(&shard->entries, 1);
            shard->gone--;
        }
        array->notes[at - array->slots] = note;
        atomic_store_explicit(at, slot_make(fresh), memory_order_release);
        shard_retire(shard, before, entry_bytes(before));
    }
    return OK;
}

void table_remove(struct table *table, struct slice key, uint64_t hash)
{
    struct shard *shard = shard_of(table, hash);
    bool can_retire = shard_can_retire(shard, true);
    struct entry *entry;

    if (can_retire) {
        shard_move(shard, MOVES_PER_CHANGE);
        can_retire = shard_can_retire(shard, true);
    }
    struct array *array;
    _Atomic uint64_t *at = shard_slot(shard, key, hash, &entry, &array);
    if (at == NULL || entry_gone(entry))
        return;
    count_add(&shard->entries, UINT64_MAX);
    if (!can_retire) {
        array->notes[at - array->slots] = 0;
        atomic_store_explicit(&entry->key_len, entry_key_len(entry) | ENTRY_GONE,
                              memory_order_relaxed);
        shard->gone++;
        return;
    }
    array_clear(array, at);
    shard_retire(shard, entry, entry_bytes(entry));
}

/* Retires what was only marked as gone, as far as there is room again. Seldom: looks at all. */
static void shard_sweep(struct shard *shard, struct array *array)
{
    for (uint64_t i = 0; array != NULL && shard->gone > 0 && i <= array->mask; i++) {
        uint64_t slot = atomic_load_explicit(&array->slots[i], memory_order_relaxed);
        if (!slot_holds(slot) || !entry_gone(slot_entry(slot)))
            continue;
        if (!shard_can_retire(shard, true))
            return;
        array_clear(array, &array->slots[i]);
        shard_retire(shard, slot_entry(slot), entry_bytes(slot_entry(slot)));
        shard->gone--;
    }
}

void table_turn(struct table *table, unsigned worker)
{
    assert(worker < table->workers);
    struct shard *shard = &table->shards[worker];

    if (shard->gone > 0) {
        shard_sweep(shard, atomic_load_explicit(&shard->old, memory_order_relaxed));
        shard_sweep(shard, atomic_load_explicit(&shard->array, memory_order_relaxed));
    }
    shard_stamp(shard, table->quiesce);
    while (shard->first != NULL && quiesce_passed(table->quiesce, shard->first->stamp)) {
        struct batch *batch = shard->first;
        shard->first = batch->next;
        if (shard->first == NULL)
            shard->last = &shard->first;
        batch_free(shard, batch);
    }
    count_set(&shard->entry_bytes, shard->mem.used_bytes);
}

/* --- The whole ------------------------------------------------------------------------------ */

static void shard_free_array(struct shard *shard, struct array *array)
{
    if (array == NULL)
        return;
    for (uint64_t i = 0; i <= array->mask; i++) {
        uint64_t slot = atomic_load_explicit(&array->slots[i], memory_order_relaxed);
        if (!slot_holds(slot))
            continue;
        struct entry *entry = slot_entry(slot);
        mem_free(&shard->mem, entry, entry_bytes(entry));
    }
    free(array);
}

static void shard_release(struct shard *shard)
{
    while (shard->first != NULL) {
        struct batch *batch = shard->first;
        shard->first = batch->next;
        batch_free(shard, batch);
    }
    if (shard->open != NULL)
        batch_free(shard, shard->open);
    if (shard->spare != NULL)
        mem_free(&shard->mem, shard->spare, sizeof *shard->spare);
    shard_free_array(shard, atomic_load_explicit(&shard->old, memory_order_relaxed));
    shard_free_array(shard, atomic_load_explicit(&shard->array, memory_order_relaxed));
    mem_release(&shard->mem);
}

/* Entries that matter are several times as large as their slots. */
static size_t arrays_max(const struct table_config *config)
{
    return config->memory_max / 2 + array_size(SLOTS_MIN);
}

size_t table_memory_max(const struct table_config *config)
{
    return sizeof(struct table) +
           config->workers * (sizeof(struct shard) + config->memory_max + arrays_max(config));
}

enum err table_open(const struct table_config *config, struct table **out)
{
    assert(config->workers >= 1);

    struct table *table = malloc(sizeof *table);
    if (table == NULL)
        return ERR_MEMORY;
    *table = (struct table){.quiesce = config->quiesce, .workers = config->workers};
    table->shards = aligned_alloc(alignof(struct shard), config->workers * sizeof(struct shard));
    if (table->shards == NULL) {
        free(table);
        return ERR_MEMORY;
    }
    memset((void *)table->shards, 0, config->workers * sizeof(struct shard));
    for (unsigned i = 0; i < config->workers; i++) {
        struct shard *shard = &table->shards[i];
        mem_init(&shard->mem, config->memory_max);
        shard->arrays_max = arrays_max(config);
        shard->last = &shard->first;
        shard->spare = mem_alloc(&shard->mem, sizeof *shard->spare);
        struct array *array = array_new(SLOTS_MIN);
        if (array == NULL || shard->spare == NULL) {
            free(array);
            table->workers = i + 1;
            table_close(table);
            return ERR_MEMORY;
        }
        atomic_store(&shard->array, array);
        count_set(&shard->array_bytes, array_bytes(array));
    }
    *out = table;
    return OK;
}

void table_close(struct table *table)
{
    if (table == NULL)
        return;
    for (unsigned i = 0; i < table->workers; i++)
        shard_release(&table->shards[i]);
    free(table->shards);
    free(table);
}

/* Slot number `n` of the old array followed by the new one. False: past both. */
static bool shard_nth(struct shard *shard, uint64_t n, uint64_t *slot)
{
    struct array *old = atomic_load_explicit(&shard->old, memory_order_acquire);
    struct array *array = atomic_load_explicit(&shard->array, memory_order_acquire);
    uint64_t before = old != NULL ? old->mask + 1 : 0;

    if (n < before)
        *slot = atomic_load_explicit(&old->slots[n], memory_order_acquire);
    else if (n - before <= array->mask)
        *slot = atomic_load_explicit(&array->slots[n - before], memory_order_acquire);
    else
        return false;
    return true;
}

/* Another number whenever positions mean something else: a new array came or the old one went. */
static uint64_t shard_layout(const struct shard *shard)
{
    bool has_old = atomic_load_explicit(&shard->old, memory_order_acquire) != NULL;
    return atomic_load_explicit(&shard->version, memory_order_acquire) * 2 + (has_old ? 1 : 0);
}

/* The next entry of one shard; false at its end. */
static bool shard_walk(struct shard *shard, struct table_cursor *cursor, const struct entry **entry,
                       bool *restarted)
{
    for (;;) {
        uint64_t layout = shard_layout(shard);
        if (cursor->slot > 0 && cursor->version != layout) {
            cursor->slot = 0;
            *restarted = true;
        }
        cursor->version = layout;
        uint64_t slot = 0;
        bool more = shard_nth(shard, cursor->slot, &slot);
        if (shard_layout(shard) != layout) {
            cursor->slot++; /* not 0: the next round notices */
            continue;
        }
        if (!more)
            return false;
        cursor->slot++;
        if (slot_holds(slot)) {
            *entry = slot_entry(slot);
            return true;
        }
    }
}

bool table_walk(struct table *table, struct table_cursor *cursor, struct slice *key,
                struct slice *block, bool *restarted)
{
    for (; cursor->shard < table->workers; cursor->shard++, cursor->slot = 0) {
        const struct entry *entry;
        while (shard_walk(&table->shards[cursor->shard], cursor, &entry, restarted)) {
            *key = entry_key(entry);
            *block = entry_block(entry);
            if (block->len > 0)
                return true;
        }
    }
    return false;
}

void table_status(const struct table *table, struct table_status *out)
{
    struct table_status sum = {0};
    for (unsigned i = 0; i < table->workers; i++) {
        const struct shard *shard = &table->shards[i];
        sum.entries += atomic_load_explicit(&shard->entries, memory_order_relaxed);
        sum.entry_bytes += atomic_load_explicit(&shard->entry_bytes, memory_order_relaxed);
        sum.array_bytes += atomic_load_explicit(&shard->array_bytes, memory_order_relaxed);
        sum.waiting += atomic_load_explicit(&shard->waiting, memory_order_relaxed);
    }
    *out = sum;
}

uint64_t table_places(const struct table *table, unsigned worker)
{
    assert(worker < table->workers);
    const struct shard *shard = &table->shards[worker];
    const struct array *old = atomic_load_explicit(&shard->old, memory_order_relaxed);
    const struct array *array = atomic_load_explicit(&shard->array, memory_order_relaxed);
    return (old != NULL ? old->mask + 1 : 0) + array->mask + 1;
}

static bool is_wanted(uint32_t note, const struct table_search *search)
{
    return (note & search->mask) - 1 < search->max; /* 0 becomes the largest */
}

/* The first place from `from` on and before `end` with a note that is wanted; `end`: none. */
static uint64_t notes_find(const uint32_t *notes, uint64_t from, uint64_t end,
                           const struct table_search *search)
{
    for (; from + NOTES_AT_ONCE <= end; from += NOTES_AT_ONCE) {
        unsigned any = 0;
        for (unsigned i = 0; i < NOTES_AT_ONCE; i++)
            any |= is_wanted(notes[from + i], search);
        if (any != 0)
            break;
    }
    while (from < end && !is_wanted(notes[from], search))
        from++;
    return from;
}

/* The same over both arrays. */
static const struct entry *shard_next(const struct shard *shard, struct table_search *search)
{
    const struct array *old = atomic_load_explicit(&shard->old, memory_order_relaxed);
    const struct array *array = atomic_load_explicit(&shard->array, memory_order_relaxed);
    const struct array *both[] = {old, array};
    uint64_t begin = 0; /* of the array at hand */

    for (unsigned i = 0; i < COUNT_OF(both); i++) {
        uint64_t slots = both[i] != NULL ? both[i]->mask + 1 : 0;
        uint64_t end = search->end < begin + slots ? search->end : begin + slots;
        if (search->place < end) {
            uint64_t n = notes_find(both[i]->notes, search->place - begin, end - begin, search);
            search->place = begin + n;
            if (search->place < end) {
                search->place++;
                return slot_entry(atomic_load_explicit(&both[i]->slots[n], memory_order_relaxed));
            }
        }
        begin += slots;
    }
    if (search->place < search->end)
        search->place = search->end; /* the arrays are smaller than they were */
    return NULL;
}

struct slice table_next(const struct table *table, struct table_search *search, struct slice *key,
                        uint64_t *hash)
{
    assert(search->worker < table->workers);
    const struct entry *entry = shard_next(&table->shards[search->worker], search);
    if (entry == NULL)
        return SLICE_EMPTY;
    *key = entry_key(entry);
    *hash = entry->hash;
    return entry_block(entry);
}

static struct slice op_find(void *user, struct slice key, uint64_t hash)
{
    return table_find(user, key, hash);
}

static struct slice op_find_hash(void *user, uint64_t hash, struct slice *key)
{
    return table_find_hash(user, hash, key);
}

static enum err op_put(void *user, struct slice key, uint64_t hash, struct slice block,
                       uint32_t note)
{
    return table_put(user, key, hash, block, note);
}

static void op_remove(void *user, struct slice key, uint64_t hash)
{
    table_remove(user, key, hash);
}

static uint64_t op_places(void *user, unsigned worker)
{
    return table_places(user, worker);
}

static struct slice op_next(void *user, struct table_search *search, struct slice *key,
                            uint64_t *hash)
{
    return table_next(user, search, key, hash);
}

struct table_ops table_interface(struct table *table)
{
    return (struct table_ops){
        .user = table,
        .find = op_find,
        .find_hash = op_find_hash,
        .put = op_put,
        .remove = op_remove,
        .places = op_places,
        .next = op_next,
    };
}
