/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes -> binding_set_unpack(). What it accepts must pack back to the same bytes, and
 * binding_next() must walk it to the end.
 */
#include "base/binding.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct binding_set set;
static char memory[BINDING_SET_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice block = {(const char *)data, size};
    if (binding_set_unpack(block, &set) != OK)
        return 0;

    struct builder b = builder_over(memory, sizeof memory);
    if (binding_set_pack(&set, &b) != OK || !slice_equal(block, builder_slice(&b)))
        abort();

    uint32_t cursor = 0, count = 0;
    struct binding binding;
    while (binding_next(block, &cursor, &binding))
        count++;
    if (count != set.count)
        abort();
    return 0;
}
