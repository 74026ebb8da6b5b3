/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One header value through every parser of sip/header.h and sip/digest.h.
 */
#include "sip_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sip_exercise_value((struct slice){(const char *)data, size});
    return 0;
}
