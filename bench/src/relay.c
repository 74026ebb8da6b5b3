// SPDX-License-Identifier: Apache-2.0
/*
 * relay - bare UDP relay on one socket: the physical floor of workload D.
 * Packets from the UAS address go to the UAC address, all others to the UAS.
 * SIP is not parsed (with -t, a fixed-size answer is sent for each packet
 * that starts with "INVITE", in place of the proxy's own 100 Trying).
 *
 *   relay [-m plain|poll|mmsg] [-t] [-l 127.0.0.1:5060] [-u 127.0.0.1:7070]
 *
 * plain: blocking recvfrom + sendto       (Kamailio's way)
 * poll:  epoll_wait + recvfrom + sendto   (OpenSIPS' way)
 * mmsg:  recvmmsg (blocks for the first) + sendmmsg
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#define B  64
#define SZ 4096
static struct sockaddr_in A(const char *s) {
    char h[64];
    int p;
    struct sockaddr_in a = {.sin_family = AF_INET};
    if (sscanf(s, "%63[^:]:%d", h, &p) != 2 || inet_pton(AF_INET, h, &a.sin_addr) != 1)
        exit(2);
    a.sin_port = htons(p);
    return a;
} int main(int ac, char **av)
{
    const char *mode = "mmsg", *l = "127.0.0.1:5060", *u = "127.0.0.1:7070";
    int o, trying = 0;
    while ((o = getopt(ac, av, "m:l:u:t")) != -1)
        switch (o) {
        case 'm':
            mode = optarg;
            break;
        case 'l':
            l = optarg;
            break;
        case 'u':
            u = optarg;
            break;
        case 't':
            trying = 1;
            break;
        default:
            return 2;
        }
    struct sockaddr_in la = A(l), uas = A(u), uac = A("127.0.0.1:7060");
    int fd = socket(AF_INET, SOCK_DGRAM, 0), v = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &v, sizeof v);
    if (bind(fd, (void *)&la, sizeof la)) {
        perror("bind");
        return 1;
    }
    static char rb[B][SZ], try[360];
    memset(try, 'x', sizeof try);
    memcpy(try, "SIP/2.0 100 trying\r\n", 20);
    static struct sockaddr_in from[B], to[2 * B];
    static struct iovec ri[B], si[2 * B];
    static struct mmsghdr rm[B], sm[2 * B];
    if (!strcmp(mode, "mmsg")) {
        for (int i = 0; i < B; i++) {
            ri[i] = (struct iovec){rb[i], SZ};
            rm[i].msg_hdr =
                (struct msghdr){.msg_name = &from[i], .msg_iov = &ri[i], .msg_iovlen = 1};
        }
        for (int i = 0; i < 2 * B; i++)
            sm[i].msg_hdr = (struct msghdr){.msg_name = &to[i],
                                            .msg_namelen = sizeof to[i],
                                            .msg_iov = &si[i],
                                            .msg_iovlen = 1};
        for (;;) {
            for (int i = 0; i < B; i++)
                rm[i].msg_hdr.msg_namelen = sizeof from[i];
            int n = recvmmsg(fd, rm, B, MSG_WAITFORONE, NULL), k = 0;
            if (n < 0)
                continue;
            for (int i = 0; i < n; i++) {
                int back = from[i].sin_port == uas.sin_port;
                if (trying && !back && !memcmp(rb[i], "INVITE", 6)) {
                    si[k] = (struct iovec){try, sizeof try};
                    to[k++] = from[i];
                }
                si[k] = (struct iovec){rb[i], rm[i].msg_len};
                if (!back)
                    uac = from[i];
                to[k++] = back ? uac : uas;
            }
            for (int i = 0; i < k;) {
                int r = sendmmsg(fd, sm + i, k - i, 0);
                i += r > 0 ? r : 1;
            }
        }
    }
    int ep = -1;
    struct epoll_event ev = {.events = EPOLLIN};
    if (!strcmp(mode, "poll")) {
        ep = epoll_create1(0);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    }
    for (;;) {
        socklen_t sl = sizeof from[0];
        if (ep >= 0)
            epoll_wait(ep, &ev, 1, -1);
        int n = recvfrom(fd, rb[0], SZ, ep >= 0 ? MSG_DONTWAIT : 0, (void *)&from[0], &sl);
        if (n < 0)
            continue;
        int back = from[0].sin_port == uas.sin_port;
        if (trying && !back && !memcmp(rb[0], "INVITE", 6))
            sendto(fd, try, sizeof try, 0, (void *)&from[0], sl);
        if (!back)
            uac = from[0];
        sendto(fd, rb[0], n, 0, (void *)(back ? &uac : &uas), sizeof uas);
    }
}
