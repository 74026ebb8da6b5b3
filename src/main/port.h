/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/port - who holds a port? As far as /proc tells.
 */
#ifndef MAIN_PORT_H
#define MAIN_PORT_H

#include "base/slice.h"

/** Writes "NAME (process PID)" of a process with a socket on `port`; false: not found or not seen. */
bool port_holder(const char *transport, uint16_t port, char *out, size_t size);

#endif
