/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/problem - one sentence for the operator.
 */
#ifndef STORE_PROBLEM_H
#define STORE_PROBLEM_H

#include "store/store.h"

/** Writes the sentence, cut at STORE_PROBLEM_MAX, and returns `err`. `problem` may be NULL. */
enum err problem_set(struct store_problem *problem, enum err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
