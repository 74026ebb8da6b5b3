/* SPDX-License-Identifier: Apache-2.0 */
#include "net/names.h"

enum {
    NAMES_INITIAL = 16 /* buckets */
};

struct name {
    struct map_node node; /* its hash is the name's number */
    struct list by_age;
    uint32_t len;
    char host[];
};

static struct name *find(const struct names *names, uint64_t number)
{
    struct map_node *node = map_first(&names->map, number);
    return node != NULL ? CONTAINER_OF(node, struct name, node) : NULL;
}

static void forget(struct names *names, struct name *name)
{
    map_remove(&names->map, &name->node);
    list_remove(&name->by_age);
    mem_free(names->mem, name, sizeof *name + name->len);
}

static void forget_oldest(struct names *names)
{
    forget(names, CONTAINER_OF(names->by_age.next, struct name, by_age));
}

enum err names_open(struct names *names, struct mem *mem, uint32_t max)
{
    assert(max > 0);

    *names = (struct names){.mem = mem, .max = max};
    list_init(&names->by_age);
    return map_init(&names->map, NAMES_INITIAL);
}

void names_close(struct names *names)
{
    if (names->mem == NULL)
        return;
    while (!list_empty(&names->by_age))
        forget_oldest(names);
    map_release(&names->map);
}

void names_learn(struct names *names, uint64_t number, struct slice host)
{
    assert(number != 0);

    if (host.len > 0 && host.data[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.len > NAMES_HOST_MAX)
        return;
    struct name *name = find(names, number);
    if (name != NULL) {
        list_remove(&name->by_age);
        list_push(&names->by_age, &name->by_age);
        return;
    }
    if (names->map.count == names->max)
        forget_oldest(names);
    name = mem_alloc(names->mem, sizeof *name + host.len);
    if (name == NULL)
        return;
    *name = (struct name){.len = (uint32_t)host.len};
    memcpy(name->host, host.data, host.len);
    map_add(&names->map, &name->node, number);
    list_push(&names->by_age, &name->by_age);
}

struct slice names_find(const struct names *names, uint64_t number)
{
    const struct name *name = number != 0 ? find(names, number) : NULL;
    return name != NULL ? (struct slice){name->host, name->len} : SLICE_EMPTY;
}
