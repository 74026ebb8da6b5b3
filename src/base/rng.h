/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rng - random numbers from a seed (xoshiro256**), one per worker.
 *
 * The seed comes from outside: from the kernel in the real program, from the
 * run's number in the simulator. Not for keys: those come from the kernel.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_u64(struct rng *rng);

/** Even over 0..bound-1; bound > 0. */
uint64_t rng_below(struct rng *rng, uint64_t bound);

#endif
