// SPDX-License-Identifier: Apache-2.0
/*
 * flood - packets from one or many source addresses, forged through a raw socket.
 *
 *   flood -d ADDRESS:PORT -s FIRST_SOURCE [-n SOURCES=1] [-r PACKETS_PER_SECOND=100000]
 *         [-t SECONDS=10] [-k garbage|invite|both]
 *
 * For a network namespace of one's own: it refuses every destination but 198.18.0.0/15, the
 * addresses kept for benchmarks (RFC 2544). At most a minute, and 200,000 packets a second.
 * Prints what it sent as JSON. `bench/flood.py` is who calls it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH       32
#define PACKET_MAX  1024
#define RATE_MAX    200000
#define SECONDS_MAX 60

enum kind {
    GARBAGE,
    INVITE,
    BOTH
};

static uint64_t random_state = 88172645463325252u;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t garbage(char *out)
{
    size_t len = 20 + next_random() % 480;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)next_random();
    return len;
}

static size_t invite(char *out, size_t size, const char *source, const char *target)
{
    uint32_t id = next_random();
    int len = snprintf(out, size,
                       "INVITE sip:%u@%s SIP/2.0\r\n"
                       "Via: SIP/2.0/UDP %s:5060;branch=z9hG4bK%08x%08x;rport\r\n"
                       "Max-Forwards: 70\r\nFrom: <sip:%u@%s>;tag=%08x\r\nTo: <sip:%u@%s>\r\n"
                       "Call-ID: %08x@%s\r\nCSeq: 1 INVITE\r\nContact: <sip:x@%s:5060>\r\n"
                       "User-Agent: flood/1.0\r\nContent-Length: 0\r\n\r\n",
                       1000000 + id % 100000, target, source, id, next_random(),
                       1000000 + next_random() % 100000, target, next_random(),
                       1000000 + id % 100000, target, id, source, source);
    return (size_t)len;
}

/* Headers of IP and UDP in front of what is at PACKET + 28; a UDP checksum of 0 is none */
static size_t wrap(char *packet, size_t len, uint32_t source, const struct sockaddr_in *target)
{
    struct iphdr ip = {.version = 4,
                       .ihl = 5,
                       .tot_len = htons((uint16_t)(len + 28)),
                       .ttl = 64,
                       .protocol = IPPROTO_UDP,
                       .saddr = htonl(source),
                       .daddr = target->sin_addr.s_addr};
    struct udphdr udp = {.source = htons((uint16_t)(1024 + next_random() % 60000)),
                         .dest = target->sin_port,
                         .len = htons((uint16_t)(len + 8))};
    memcpy(packet, &ip, sizeof ip);
    memcpy(packet + sizeof ip, &udp, sizeof udp);
    return len + 28;
}

static int usage(void)
{
    fprintf(stderr, "see the head of flood.c\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct sockaddr_in target = {.sin_family = AF_INET};
    struct in_addr first = {0};
    uint32_t sources = 1, rate = 100000;
    double lasts = 10;
    enum kind kind = BOTH;
    char name[64] = "";
    int option;

    while ((option = getopt(argc, argv, "d:s:n:r:t:k:")) != -1)
        switch (option) {
        case 'd': {
            unsigned port;
            if (sscanf(optarg, "%63[0-9.]:%u", name, &port) != 2 || port > 65535 ||
                inet_pton(AF_INET, name, &target.sin_addr) != 1)
                return usage();
            target.sin_port = htons((uint16_t)port);
            break;
        }
        case 's':
            if (inet_pton(AF_INET, optarg, &first) != 1)
                return usage();
            break;
        case 'n':
            sources = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            rate = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            lasts = strtod(optarg, NULL);
            break;
        case 'k':
            kind = !strcmp(optarg, "garbage") ? GARBAGE : !strcmp(optarg, "invite") ? INVITE : BOTH;
            break;
        default:
            return usage();
        }
    if ((ntohl(target.sin_addr.s_addr) & 0xfffe0000) != 0xc6120000 || !first.s_addr || !sources ||
        !rate || rate > RATE_MAX || !(lasts > 0 && lasts <= SECONDS_MAX))
        return usage();

    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), size = 4 << 20;
    if (fd < 0) {
        perror("raw socket");
        return 1;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);

    static char packets[BATCH][PACKET_MAX];
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vectors[i].iov_base = packets[i];
        messages[i].msg_hdr = (struct msghdr){.msg_name = &target,
                                              .msg_namelen = sizeof target,
                                              .msg_iov = &vectors[i],
                                              .msg_iovlen = 1};
    }
    uint64_t sent = 0, made = 0, refused = 0;
    double begin = seconds(), now = begin;
    while ((now = seconds()) < begin + lasts) {
        if ((double)made > (now - begin) * rate) {
            usleep(100);
            continue;
        }
        for (int i = 0; i < BATCH; i++, made++) {
            uint32_t source = ntohl(first.s_addr) + next_random() % sources;
            char text[INET_ADDRSTRLEN];
            struct in_addr address = {htonl(source)};
            size_t len;
            if (kind == GARBAGE || (kind == BOTH && made % 2))
                len = garbage(packets[i] + 28);
            else
                len = invite(packets[i] + 28, PACKET_MAX - 28,
                             inet_ntop(AF_INET, &address, text, sizeof text), name);
            vectors[i].iov_len = wrap(packets[i], len, source, &target);
        }
        for (int i = 0; i < BATCH;) {
            int count = sendmmsg(fd, messages + i, (unsigned)(BATCH - i), 0);
            if (count > 0) {
                i += count;
                sent += (uint64_t)count;
            } else if (errno != EINTR) {
                refused++;
                i++;
            }
        }
    }
    printf("{\"sent\":%llu,\"refused\":%llu,\"secs\":%.3f,\"rate\":%.0f}\n",
           (unsigned long long)sent, (unsigned long long)refused, now - begin,
           (double)sent / (now - begin));
    return 0;
}
