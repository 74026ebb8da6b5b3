/* SPDX-License-Identifier: Apache-2.0 */
#include "store/problem.h"

#include <stdarg.h>
#include <stdio.h>

enum err problem_set(struct store_problem *problem, enum err err, const char *format, ...)
{
    if (problem == NULL)
        return err;

    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    return err;
}
