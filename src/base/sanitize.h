/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sanitize - tells AddressSanitizer which bytes nobody may touch. Nothing without it.
 */
#ifndef BASE_SANITIZE_H
#define BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZE_ADDRESS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZE_ADDRESS 1
#endif
#endif

#ifdef SANITIZE_ADDRESS
#include <sanitizer/asan_interface.h>
#else
#define SANITIZE_ADDRESS                        0
#define ASAN_POISON_MEMORY_REGION(addr, size)   ((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

#endif
