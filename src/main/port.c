/* SPDX-License-Identifier: Apache-2.0 */
#include "main/port.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** The address as /proc/net writes it: words of host order in hexadecimal. */
static void kernel_text(const struct addr *addr, char out[static 40])
{
    size_t words = addr->family == ADDR_V6 ? 4 : 1;

    for (size_t i = 0; i < words; i++) {
        uint32_t word;
        memcpy(&word, addr->bytes + 4 * i, sizeof word);
        snprintf(out + 8 * i, 9, "%08X", word);
    }
}

/** Does a socket on `local` stand in the way of one on `wanted`? A wildcard does, and minds all. */
static bool collides(const char *local, const char *wanted)
{
    bool local_any = strspn(local, "0") == strlen(local);
    bool wanted_any = strspn(wanted, "0") == strlen(wanted);
    return local_any || wanted_any || strcmp(local, wanted) == 0;
}

/** Inode of a socket bound to `addr`, from one of /proc/net/{udp,tcp}{,6}; 0: none. */
static unsigned long inode_in(const char *file, const struct addr *addr)
{
    char line[512], wanted[40];
    unsigned long found = 0;
    FILE *in = fopen(file, "r");

    if (in == NULL)
        return 0;
    kernel_text(addr, wanted);
    while (found == 0 && fgets(line, sizeof line, in) != NULL) {
        char local[40];
        unsigned local_port, state;
        unsigned long inode;
        int fields = sscanf(line, " %*d: %39[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu", local,
                            &local_port, &state, &inode);
        bool listens = state == 0x0a || state == 0x07; /* TCP_LISTEN, or an unconnected UDP */
        if (fields == 4 && local_port == addr->port && listens && collides(local, wanted))
            found = inode;
    }
    fclose(in);
    return found;
}

static bool holds(const char *pid, unsigned long inode)
{
    char path[600], target[64], wanted[64];
    bool found = false;

    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        if (len > 0) {
            target[len] = '\0';
            found = strcmp(target, wanted) == 0;
        }
    }
    closedir(dir);
    return found;
}

static void name_of(const char *pid, char *out, size_t size)
{
    char path[300], name[64] = "?";

    snprintf(path, sizeof path, "/proc/%s/comm", pid);
    FILE *in = fopen(path, "r");
    if (in != NULL) {
        if (fgets(name, sizeof name, in) != NULL)
            name[strcspn(name, "\n")] = '\0';
        fclose(in);
    }
    snprintf(out, size, "%s (process %s)", name, pid);
}

bool port_holder(const char *transport, const struct addr *addr, char *out, size_t size)
{
    char file[64];
    snprintf(file, sizeof file, "/proc/net/%s%s", transport, addr->family == ADDR_V6 ? "6" : "");
    unsigned long inode = inode_in(file, addr);
    DIR *dir = inode != 0 ? opendir("/proc") : NULL;
    if (dir == NULL)
        return false;

    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(dir)) != NULL;)
        if (isdigit((unsigned char)entry->d_name[0]) &&
            (pid_t)strtol(entry->d_name, NULL, 10) != getpid() && holds(entry->d_name, inode)) {
            name_of(entry->d_name, out, size);
            found = true;
        }
    closedir(dir);
    return found;
}
