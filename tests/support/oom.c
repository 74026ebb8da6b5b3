// SPDX-License-Identifier: Apache-2.0
/*
 * Lets the n-th allocation of a unit test fail: STROWGER_FAIL_ALLOC=n. The linker sends our code's
 * malloc and its kin here (-Wl,--wrap); what libraries allocate inside is not counted. With
 * STROWGER_COUNT_ALLOC set, the number of allocations is printed at the end. ./dev oom uses both.
 *
 * Thread:  any; the count is the only thing shared.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t most);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t most);

static atomic_ulong allocations;
static unsigned long failing; /* 0: none; written before main() only */

__attribute__((constructor)) static void oom_begin(void)
{
    const char *text = getenv("STROWGER_FAIL_ALLOC");
    failing = text != NULL ? strtoul(text, NULL, 10) : 0;
}

__attribute__((destructor)) static void oom_end(void)
{
    if (getenv("STROWGER_COUNT_ALLOC") != NULL)
        printf("allocations: %lu\n", atomic_load(&allocations));
}

/* Counts one allocation; true when it is the one to fail. */
static bool fails_now(void)
{
    return atomic_fetch_add(&allocations, 1) + 1 == failing;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails_now() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t most)
{
    return fails_now() ? NULL : __real_strndup(text, most);
}
