/* SPDX-License-Identifier: Apache-2.0 */
#include "main/port.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** Inode of a socket bound to `port`, from one of /proc/net/{udp,tcp}{,6}; 0: none. */
static unsigned long inode_in(const char *file, uint16_t port)
{
    char line[512];
    unsigned long found = 0;
    FILE *in = fopen(file, "r");

    if (in == NULL)
        return 0;
    while (found == 0 && fgets(line, sizeof line, in) != NULL) {
        unsigned local_port, state;
        unsigned long inode;
        int fields = sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu",
                            &local_port, &state, &inode);
        bool listens = state == 0x0a || state == 0x07; /* TCP_LISTEN, or an unconnected UDP */
        if (fields == 3 && local_port == port && listens)
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

bool port_holder(const char *transport, uint16_t port, char *out, size_t size)
{
    char file[64];
    snprintf(file, sizeof file, "/proc/net/%s", transport);
    unsigned long inode = inode_in(file, port);
    if (inode == 0) {
        snprintf(file, sizeof file, "/proc/net/%s6", transport);
        inode = inode_in(file, port);
    }
    DIR *dir = inode != 0 ? opendir("/proc") : NULL;
    if (dir == NULL)
        return false;

    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(dir)) != NULL;)
        if (isdigit((unsigned char)entry->d_name[0]) && holds(entry->d_name, inode)) {
            name_of(entry->d_name, out, size);
            found = true;
        }
    closedir(dir);
    return found;
}
