/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/crowd - very many phones on streams, apart from the seeds: see crowd.c.
 */
#ifndef SIM_CROWD_H
#define SIM_CROWD_H

#include "core/core.h"

/** Registers so many phones, and lets them come back after a restart. False: said on stdout why. */
bool crowd_run(uint64_t seed, uint32_t count);

#endif
