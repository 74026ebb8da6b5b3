/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node names it keeps in slots side by side, in the order of their first digits: the edge,
 * and what it leads to, another node or, where no longer key follows, the value itself. So most
 * keys have no node of their own, and a lookup touches few cache lines:
 *
 *     root "1" ─> node  slots {4, 5}
 *                   ├─ "4930" ─> node  value, slots {2}     a prefix with a longer one below it
 *                   │               └─ "2" = value
 *                   └─ "510555" ─> node  slots {0, 1}
 *                                   ├─ "0101" = value       +1 510 555 0101
 *                                   └─ "1234" = value
 *
 * An edge is one word: its digits as nibbles from the top, and in the lowest nibble how many, so
 * that it is compared by an XOR and a shift. A node has two slots at least, or a value and one.
 *
 * A change goes down to where it happens and comes back up with what stands in each slot from now
 * on. `ours`: nobody else names what holds the slot, nor anything above: then it is written in
 * place, and what stood in it is moved. Else what holds it is copied, and all that the copy names
 * is named once more. Memory that cannot be had is always found out before anything is moved.
 */
#include "routing/prefix_map.h"

#include <stdlib.h>
#include <string.h>

enum {
    DIGIT_BITS = 4,
    KEY_BITS = 64,
    NO_DIGIT = 10
};

/** What a slot holds; the digits of its edge say where it stands. */
struct slot {
    uint64_t edge;
    union {
        struct node *node;
        uint64_t value;
    } to;
};

struct node {
    uint32_t names;  /* by how many slots, and maps */
    uint16_t slots;  /* a bit for each digit */
    uint16_t leaves; /* of them those that hold a value; and HAS_VALUE */
    uint64_t value;
    struct slot slot[];
};

enum {
    HAS_VALUE = 1 << NO_DIGIT /* the node's own */
};

/** A slot on its way. */
struct ref {
    struct slot slot;
    enum ref_kind {
        REF_EMPTY = 0,
        REF_NODE,
        REF_LEAF
    } kind;
};

struct prefix_map {
    struct prefix_map_values values;
    struct ref root;
    size_t count;
};

/** Digits at the top of a word; below them zeros. */
struct key {
    uint64_t bits;
    unsigned len;
};

/* ---- keys ---- */

/* Digits up to the first that is none. */
static struct key key_of(struct slice text)
{
    struct key key = {0, 0};

    while (key.len < text.len && key.len < PREFIX_MAP_DIGITS_MAX) {
        unsigned digit = (unsigned)(unsigned char)text.data[key.len] - '0';
        if (digit > 9)
            break;
        key.len++;
        key.bits |= (uint64_t)digit << (KEY_BITS - DIGIT_BITS * key.len);
    }
    return key;
}

static unsigned first_digit(uint64_t bits)
{
    return (unsigned)(bits >> (KEY_BITS - DIGIT_BITS));
}

/* Without its first `count` digits. */
static struct key key_from(struct key key, unsigned count)
{
    return (struct key){key.bits << (DIGIT_BITS * count), key.len - count};
}

/* Only its first `count` digits. */
static struct key key_start(struct key key, unsigned count)
{
    uint64_t mask = count == 0 ? 0 : UINT64_MAX << (KEY_BITS - DIGIT_BITS * count);
    return (struct key){key.bits & mask, count};
}

static struct key key_join(struct key a, struct key b)
{
    return (struct key){a.bits | b.bits >> (DIGIT_BITS * a.len), a.len + b.len};
}

static unsigned key_common(struct key a, struct key b)
{
    unsigned most = a.len < b.len ? a.len : b.len;
    uint64_t differ = a.bits ^ b.bits;
    unsigned same = differ == 0 ? most : (unsigned)__builtin_clzll(differ) / DIGIT_BITS;

    return same < most ? same : most;
}

static struct key edge_key(uint64_t edge)
{
    unsigned len = edge & 0xf;
    return (struct key){edge & ~(uint64_t)0xf, len};
}

static uint64_t edge_word(struct key key)
{
    return key.bits | key.len;
}

/* ---- nodes and what they name ---- */

static unsigned bits_below(uint16_t bits, unsigned digit)
{
    return (unsigned)__builtin_popcount(bits & ((1u << digit) - 1));
}

static unsigned slot_count(const struct node *node)
{
    return (unsigned)__builtin_popcount(node->slots);
}

static bool has_slot(const struct node *node, unsigned digit)
{
    return (node->slots >> digit & 1) != 0;
}

static bool is_leaf(const struct node *node, unsigned digit)
{
    return (node->leaves >> digit & 1) != 0;
}

static bool has_value(const struct node *node)
{
    return (node->leaves & HAS_VALUE) != 0;
}

static size_t node_bytes(unsigned slots)
{
    return sizeof(struct node) + slots * sizeof(struct slot);
}

static void value_keep(const struct prefix_map *map, uint64_t value)
{
    if (map->values.keep != NULL)
        map->values.keep(map->values.user, value);
}

static void value_drop(const struct prefix_map *map, uint64_t value)
{
    if (map->values.drop != NULL)
        map->values.drop(map->values.user, value);
}

static struct ref ref_at(const struct node *node, unsigned digit)
{
    if (digit > 9 || !has_slot(node, digit))
        return (struct ref){0};
    return (struct ref){node->slot[bits_below(node->slots, digit)],
                        is_leaf(node, digit) ? REF_LEAF : REF_NODE};
}

static struct ref leaf_ref(struct key edge, uint64_t value)
{
    return (struct ref){{edge_word(edge), {.value = value}}, REF_LEAF};
}

static struct ref node_ref(struct key edge, struct node *node)
{
    return (struct ref){{edge_word(edge), {.node = node}}, REF_NODE};
}

/* Named once more: the original stays. */
static void ref_keep(const struct prefix_map *map, struct ref ref)
{
    if (ref.kind == REF_LEAF)
        value_keep(map, ref.slot.to.value);
    else if (ref.kind == REF_NODE)
        ref.slot.to.node->names++;
}

/* As deep as a key has digits at most. */
static void ref_drop(const struct prefix_map *map, struct ref ref)
{
    if (ref.kind == REF_LEAF)
        value_drop(map, ref.slot.to.value);
    if (ref.kind != REF_NODE || --ref.slot.to.node->names > 0)
        return;
    struct node *node = ref.slot.to.node;
    for (unsigned digit = 0; digit < 10; digit++)
        ref_drop(map, ref_at(node, digit));
    if (has_value(node))
        value_drop(map, node->value);
    free(node);
}

/* Appends to a node whose slots have lower digits. There is room. */
static void slot_append(struct node *node, struct ref ref)
{
    if (ref.kind == REF_EMPTY)
        return;
    unsigned digit = first_digit(ref.slot.edge);
    node->slot[slot_count(node)] = ref.slot;
    node->slots |= (uint16_t)(1u << digit);
    if (ref.kind == REF_LEAF)
        node->leaves |= (uint16_t)(1u << digit);
}

/* Named once, with nothing in it; room for so many slots. */
static struct node *node_new(unsigned slots)
{
    struct node *node = malloc(node_bytes(slots));
    if (node != NULL)
        *node = (struct node){.names = 1};
    return node;
}

static void node_take_value(struct node *node, uint64_t value)
{
    node->value = value;
    node->leaves |= HAS_VALUE;
}

/* A node with what this one has, but for one digit, for which `ref` stands. NULL: no memory. */
static struct node *node_with(const struct node *old, unsigned digit, struct ref ref)
{
    bool one_more = ref.kind != REF_EMPTY && !has_slot(old, digit);
    struct node *fresh = node_new(slot_count(old) + one_more);
    if (fresh == NULL)
        return NULL;
    for (unsigned at = 0; at < 10; at++)
        slot_append(fresh, at == digit ? ref : ref_at(old, at));
    if (has_value(old))
        node_take_value(fresh, old->value);
    return fresh;
}

/* As node_with(), of a node that others name, too. `ours`: what names it here does so no more. */
static struct node *node_copy(const struct prefix_map *map, struct node *old, unsigned digit,
                              struct ref ref, bool ours)
{
    struct node *fresh = node_with(old, digit, ref);
    if (fresh == NULL)
        return NULL;
    for (unsigned at = 0; at < 10; at++)
        if (at != digit)
            ref_keep(map, ref_at(old, at));
    if (has_value(old))
        value_keep(map, old->value);
    if (ours)
        old->names--;
    return fresh;
}

/* In place, with one slot less; never fails. */
static void slot_remove(struct node *node, unsigned digit)
{
    unsigned at = bits_below(node->slots, digit);

    memmove(&node->slot[at], &node->slot[at + 1],
            (slot_count(node) - at - 1) * sizeof node->slot[0]);
    node->slots &= (uint16_t) ~(1u << digit);
    node->leaves &= (uint16_t) ~(1u << digit);
}

static void slot_replace(struct node *node, unsigned digit, struct ref ref)
{
    node->slot[bits_below(node->slots, digit)] = ref.slot;
    node->leaves &= (uint16_t) ~(1u << digit);
    if (ref.kind == REF_LEAF)
        node->leaves |= (uint16_t)(1u << digit);
}

/*
 * A slot of a node stands for something else now. `ours`: so is the slot that names the node. NULL:
 * no memory, `ref` is dropped, and nothing changed: never where the node is ours and has the slot.
 */
static struct node *put(const struct prefix_map *map, struct node *node, bool ours, unsigned digit,
                        struct ref ref)
{
    bool mine = ours && node->names == 1;

    if (mine && has_slot(node, digit)) {
        if (ref.kind == REF_EMPTY)
            slot_remove(node, digit);
        else
            slot_replace(node, digit, ref);
        return node;
    }
    struct node *fresh =
        mine ? node_with(node, digit, ref) : node_copy(map, node, digit, ref, ours);
    if (fresh == NULL)
        ref_drop(map, ref);
    else if (mine)
        free(node);
    return fresh;
}

/* ---- setting ---- */

/* The edge of a slot is cut: a new node stands between. */
static enum err set_between(const struct prefix_map *map, struct ref *at, bool ours, struct key key,
                            unsigned common, uint64_t value)
{
    struct key edge = edge_key(at->slot.edge);
    struct key rest = key_from(key, common);
    struct ref lower = *at, leaf = leaf_ref(rest, value);
    struct node *node = node_new(2);

    if (node == NULL)
        return ERR_MEMORY;
    lower.slot.edge = edge_word(key_from(edge, common));
    if (!ours)
        ref_keep(map, lower);
    value_keep(map, value);
    if (rest.len == 0) {
        node_take_value(node, value);
        slot_append(node, lower);
    } else {
        bool first = first_digit(rest.bits) < first_digit(lower.slot.edge);
        slot_append(node, first ? leaf : lower);
        slot_append(node, first ? lower : leaf);
    }
    *at = node_ref(key_start(key, common), node);
    return OK;
}

/* A key ended here, and a longer one follows now. */
static enum err set_below_leaf(const struct prefix_map *map, struct ref *at, bool ours,
                               struct key rest, uint64_t value)
{
    struct node *node = node_new(1);

    if (node == NULL)
        return ERR_MEMORY;
    if (!ours)
        ref_keep(map, *at);
    value_keep(map, value);
    node_take_value(node, at->slot.to.value);
    slot_append(node, leaf_ref(rest, value));
    *at = node_ref(edge_key(at->slot.edge), node);
    return OK;
}

static enum err set_leaf(const struct prefix_map *map, struct ref *at, bool ours, struct key rest,
                         uint64_t value)
{
    if (rest.len > 0)
        return set_below_leaf(map, at, ours, rest, value);
    value_keep(map, value);
    if (ours)
        value_drop(map, at->slot.to.value);
    at->slot.to.value = value;
    return OK;
}

static enum err set_value_of_node(const struct prefix_map *map, struct ref *at, bool ours,
                                  uint64_t value)
{
    struct node *node = at->slot.to.node;

    if (!ours || node->names > 1)
        node = node_copy(map, node, NO_DIGIT, (struct ref){0}, ours);
    if (node == NULL)
        return ERR_MEMORY;
    value_keep(map, value);
    if (has_value(node))
        value_drop(map, node->value);
    node_take_value(node, value);
    at->slot.to.node = node;
    return OK;
}

/* `at`: what stands in a slot, and what shall. `ours`: the slot is. */
static enum err set(const struct prefix_map *map, struct ref *at, bool ours, struct key key,
                    uint64_t value)
{
    if (at->kind == REF_EMPTY) {
        *at = leaf_ref(key, value);
        value_keep(map, value);
        return OK;
    }
    struct key edge = edge_key(at->slot.edge);
    unsigned common = key_common(key, edge);
    if (common < edge.len)
        return set_between(map, at, ours, key, common, value);
    struct key rest = key_from(key, common);
    if (at->kind == REF_LEAF)
        return set_leaf(map, at, ours, rest, value);
    if (rest.len == 0)
        return set_value_of_node(map, at, ours, value);

    struct node *node = at->slot.to.node;
    unsigned digit = first_digit(rest.bits);
    struct ref child = ref_at(node, digit);
    enum err err = set(map, &child, ours && node->names == 1, rest, value);
    if (err)
        return err;
    node = put(map, node, ours, digit, child);
    if (node == NULL)
        return ERR_MEMORY;
    at->slot.to.node = node;
    return OK;
}

enum err prefix_map_set(struct prefix_map *map, struct slice text, uint64_t value)
{
    struct key key = key_of(text);
    uint64_t before;

    if (key.len != text.len)
        return ERR_SYNTAX;
    bool is_new = !prefix_map_get(map, text, &before);
    enum err err = set(map, &map->root, true, key, value);
    if (err == OK)
        map->count += is_new;
    return err;
}

/* ---- removing ---- */

/* What a node comes to that has one slot left and no value: that slot, with both edges. */
static struct ref joined(const struct prefix_map *map, const struct ref *at, bool ours,
                         unsigned digit)
{
    struct node *node = at->slot.to.node;
    struct ref only = ref_at(node, digit);
    struct key edge = edge_key(only.slot.edge);

    only.slot.edge = edge_word(key_join(edge_key(at->slot.edge), edge));
    if (ours && node->names == 1) {
        free(node);
        return only;
    }
    ref_keep(map, only);
    if (ours)
        node->names--;
    return only;
}

/* What a node comes to that has a value and no slot left: a leaf. */
static struct ref leaf_left(const struct prefix_map *map, const struct ref *at, bool ours)
{
    struct node *node = at->slot.to.node;
    struct ref leaf = leaf_ref(edge_key(at->slot.edge), node->value);

    if (ours && node->names == 1) {
        free(node);
        return leaf;
    }
    value_keep(map, leaf.slot.to.value);
    if (ours)
        node->names--;
    return leaf;
}

static unsigned other_digit(const struct node *node, unsigned digit)
{
    return (unsigned)__builtin_ctz(node->slots & ~(1u << digit));
}

static enum err remove_value_of_node(const struct prefix_map *map, struct ref *at, bool ours)
{
    struct node *node = at->slot.to.node;
    bool mine = ours && node->names == 1;
    uint64_t value = node->value;

    if (slot_count(node) == 1) {
        *at = joined(map, at, ours, other_digit(node, NO_DIGIT));
        if (mine)
            value_drop(map, value);
        return OK;
    }
    if (!mine)
        node = node_copy(map, node, NO_DIGIT, (struct ref){0}, ours);
    if (node == NULL)
        return ERR_MEMORY;
    value_drop(map, value);
    node->leaves &= (uint16_t)~HAS_VALUE;
    at->slot.to.node = node;
    return OK;
}

/* The key is there. */
static enum err take_out(const struct prefix_map *map, struct ref *at, bool ours, struct key key)
{
    if (at->kind == REF_LEAF) {
        if (ours)
            value_drop(map, at->slot.to.value);
        *at = (struct ref){0};
        return OK;
    }
    struct node *node = at->slot.to.node;
    struct key rest = key_from(key, edge_key(at->slot.edge).len);
    if (rest.len == 0)
        return remove_value_of_node(map, at, ours);

    unsigned digit = first_digit(rest.bits);
    struct ref child = ref_at(node, digit);
    enum err err = take_out(map, &child, ours && node->names == 1, rest);
    if (err)
        return err;
    unsigned left = slot_count(node) - (child.kind == REF_EMPTY);
    if (left == 0) {
        *at = leaf_left(map, at, ours);
        return OK;
    }
    if (left == 1 && child.kind == REF_EMPTY && !has_value(node)) {
        *at = joined(map, at, ours, other_digit(node, digit));
        return OK;
    }
    node = put(map, node, ours, digit, child);
    if (node == NULL)
        return ERR_MEMORY;
    at->slot.to.node = node;
    return OK;
}

enum err prefix_map_remove(struct prefix_map *map, struct slice text)
{
    uint64_t before;

    if (!prefix_map_get(map, text, &before))
        return ERR_NOT_FOUND;
    enum err err = take_out(map, &map->root, true, key_of(text));
    if (err == OK)
        map->count--;
    return err;
}

/* ---- looking up ---- */

/* What stands in the slot of a key's next digit; empty: nothing does. */
static struct ref next_ref(const struct node *node, struct key key)
{
    return ref_at(node, key.len > 0 ? first_digit(key.bits) : NO_DIGIT);
}

static bool is_on(struct key key, uint64_t edge)
{
    struct key its = edge_key(edge);
    return key_common(key, its) == its.len;
}

bool prefix_map_get(const struct prefix_map *map, struct slice text, uint64_t *value)
{
    struct key key = key_of(text);
    struct ref at = map->root;

    if (key.len != text.len)
        return false;
    while (at.kind != REF_EMPTY && is_on(key, at.slot.edge)) {
        key = key_from(key, edge_key(at.slot.edge).len);
        bool is_here = key.len == 0 && (at.kind == REF_LEAF || has_value(at.slot.to.node));
        if (is_here)
            *value = at.kind == REF_LEAF ? at.slot.to.value : at.slot.to.node->value;
        if (at.kind == REF_LEAF || key.len == 0)
            return is_here;
        at = next_ref(at.slot.to.node, key);
    }
    return false;
}

bool prefix_map_find(const struct prefix_map *map, struct slice digits, uint64_t *value,
                     unsigned *matched)
{
    struct key key = key_of(digits);
    unsigned all = key.len;
    struct ref at = map->root;
    bool found = false;

    while (at.kind != REF_EMPTY && is_on(key, at.slot.edge)) {
        key = key_from(key, edge_key(at.slot.edge).len);
        const struct node *node = at.kind == REF_NODE ? at.slot.to.node : NULL;
        if (node == NULL || has_value(node)) {
            *value = node == NULL ? at.slot.to.value : node->value;
            *matched = all - key.len;
            found = true;
        }
        if (node == NULL)
            break;
        at = next_ref(node, key);
    }
    return found;
}

/* ---- the whole ---- */

enum err prefix_map_open(const struct prefix_map_values *values, struct prefix_map **out)
{
    struct prefix_map *map = malloc(sizeof *map);
    if (map == NULL)
        return ERR_MEMORY;
    *map = (struct prefix_map){.values = *values};
    *out = map;
    return OK;
}

enum err prefix_map_share(const struct prefix_map *map, struct prefix_map **out)
{
    struct prefix_map *other = malloc(sizeof *other);
    if (other == NULL)
        return ERR_MEMORY;
    *other = *map;
    ref_keep(other, other->root);
    *out = other;
    return OK;
}

void prefix_map_free(struct prefix_map *map)
{
    if (map == NULL)
        return;
    ref_drop(map, map->root);
    free(map);
}

size_t prefix_map_count(const struct prefix_map *map)
{
    return map->count;
}

static size_t ref_memory(struct ref ref)
{
    if (ref.kind != REF_NODE)
        return 0;
    const struct node *node = ref.slot.to.node;
    size_t bytes = node_bytes(slot_count(node));
    for (unsigned digit = 0; digit < 10; digit++)
        bytes += ref_memory(ref_at(node, digit));
    return bytes;
}

size_t prefix_map_memory(const struct prefix_map *map)
{
    return sizeof *map + ref_memory(map->root);
}

struct walk {
    bool (*each)(void *user, struct slice key, uint64_t value);
    void *user;
    char key[PREFIX_MAP_DIGITS_MAX];
};

static bool walk_ref(struct walk *walk, struct ref ref, size_t len)
{
    struct key edge = edge_key(ref.slot.edge);

    if (ref.kind == REF_EMPTY)
        return true;
    for (unsigned i = 0; i < edge.len; i++)
        walk->key[len++] = (char)('0' + first_digit(key_from(edge, i).bits));
    const struct slice key = {walk->key, len};
    if (ref.kind == REF_LEAF)
        return walk->each(walk->user, key, ref.slot.to.value);
    const struct node *node = ref.slot.to.node;
    if (has_value(node) && !walk->each(walk->user, key, node->value))
        return false;
    for (unsigned digit = 0; digit < 10; digit++)
        if (!walk_ref(walk, ref_at(node, digit), len))
            return false;
    return true;
}

void prefix_map_walk(const struct prefix_map *map,
                     bool (*each)(void *user, struct slice key, uint64_t value), void *user)
{
    struct walk walk = {.each = each, .user = user};

    walk_ref(&walk, map->root, 0);
}
