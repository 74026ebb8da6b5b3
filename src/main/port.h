/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/port - who holds a port? As far as /proc tells.
 */
#ifndef MAIN_PORT_H
#define MAIN_PORT_H

#include "base/addr.h"

/** Writes "NAME (process PID)" of another process that holds `addr`; `transport` is udp or tcp.
 * False: not found, or not for us to see. */
bool port_holder(const char *transport, const struct addr *addr, char *out, size_t size);

#endif
