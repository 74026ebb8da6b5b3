// SPDX-License-Identifier: Apache-2.0
/*
 * flood - packets from one or many source addresses, forged through a packet socket.
 *
 *   flood -i INTERFACE -m MAC_OF_THE_NEXT_HOP -d ADDRESS:PORT -s FIRST_SOURCE [-n SOURCES=1]
 *         [-r PACKETS_PER_SECOND=100000] [-t SECONDS=10] [-k garbage|invite|both]
 *
 * It shares its core with the good phones, so it is made to cost little: the frames are made
 * before, at least one of each kind for each source, and differ from one time to the next in an
 * id (of an INVITE, its branch, tag and Call-ID) and the source port; they go past the routing
 * and the queues of their own side.
 *
 * For a network namespace of one's own: it refuses every destination but 198.18.0.0/15, the
 * addresses kept for benchmarks (RFC 2544). At most a minute, and 200,000 packets a second.
 * Prints what it sent as JSON. `bench/flood.py` is who calls it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH       32
#define FRAME_MAX   1024
#define HEADERS     (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr))
#define FRAMES_MIN  8192
#define SOURCES_MAX 20000
#define RATE_MAX    200000
#define SECONDS_MAX 60
#define IDS         4 /* in an INVITE */

enum kind {
    GARBAGE,
    INVITE,
    BOTH
};

struct frame {
    char bytes[FRAME_MAX];
    size_t len;
    size_t id_at[IDS]; /* where 8 hex digits go that are new each time; 0: none */
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

static void garbage(struct frame *frame)
{
    size_t len = 20 + next_random() % 480;
    for (size_t i = 0; i < len; i++)
        frame->bytes[HEADERS + i] = (char)next_random();
    frame->len = HEADERS + len;
    frame->id_at[0] = HEADERS;
}

/* An INVITE with \1 where an id goes, which becomes eight digits */
static void invite(struct frame *frame, const char *source, const char *target)
{
    char text[FRAME_MAX];
    unsigned caller = 1000000 + next_random() % 100000, callee = 1000000 + next_random() % 100000;
    int len = snprintf(text, sizeof text,
                       "INVITE sip:%u@%s SIP/2.0\r\n"
                       "Via: SIP/2.0/UDP %s:5060;branch=z9hG4bK\1;rport\r\n"
                       "Max-Forwards: 70\r\nFrom: <sip:%u@%s>;tag=\1\r\nTo: <sip:%u@%s>\r\n"
                       "Call-ID: \1@%s\r\nCSeq: 1 INVITE\r\nContact: <sip:x@%s:5060>\r\n"
                       "User-Agent: flood/1.0\r\nContent-Length: 0\r\n\r\n",
                       callee, target, source, caller, target, callee, target, source, source);
    int ids = 0;
    frame->len = HEADERS;
    for (int i = 0; i < len; i++) {
        if (text[i] != 1) {
            frame->bytes[frame->len++] = text[i];
            continue;
        }
        frame->id_at[ids++] = frame->len;
        frame->len += 8;
    }
}

/* The headers of Ethernet, IP and UDP; a UDP checksum of 0 is none */
static void wrap(struct frame *frame, const unsigned char *to_mac, uint32_t source,
                 const struct sockaddr_in *target)
{
    size_t len = frame->len - ETH_HLEN;
    struct ether_header ether = {.ether_shost = {2, 0, 0, 0, 0, 9},
                                 .ether_type = htons(ETHERTYPE_IP)};
    struct iphdr ip = {.version = 4,
                       .ihl = 5,
                       .tot_len = htons((uint16_t)len),
                       .ttl = 64,
                       .protocol = IPPROTO_UDP,
                       .saddr = htonl(source),
                       .daddr = target->sin_addr.s_addr};
    struct udphdr udp = {.dest = target->sin_port, .len = htons((uint16_t)(len - sizeof ip))};
    uint16_t words[sizeof ip / 2];
    uint32_t sum = 0;

    memcpy(words, &ip, sizeof ip);
    for (size_t i = 0; i < sizeof ip / 2; i++)
        sum += words[i];
    sum = (sum & 0xffff) + (sum >> 16);
    ip.check = (uint16_t) ~(sum + (sum >> 16));
    memcpy(ether.ether_dhost, to_mac, ETH_ALEN);
    memcpy(frame->bytes, &ether, ETH_HLEN);
    memcpy(frame->bytes + ETH_HLEN, &ip, sizeof ip);
    memcpy(frame->bytes + ETH_HLEN + sizeof ip, &udp, sizeof udp);
}

/* Makes it another packet than the last time it was sent. */
static void renew(struct frame *frame)
{
    uint16_t port = htons((uint16_t)(1024 + next_random() % 60000));
    uint32_t id = next_random();
    char digits[8];

    memcpy(frame->bytes + ETH_HLEN + sizeof(struct iphdr), &port, sizeof port);
    for (int i = 0; i < 8; i++)
        digits[i] = "0123456789abcdef"[id >> 4 * i & 15];
    for (int i = 0; i < IDS && frame->id_at[i]; i++)
        memcpy(frame->bytes + frame->id_at[i], digits, sizeof digits);
}

static int packet_socket(const char *interface)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_ifindex = (int)if_nametoindex(interface)};
    int fd = socket(AF_PACKET, SOCK_RAW, 0), size = 4 << 20, one = 1;

    if (fd < 0 || bind(fd, (const void *)&at, sizeof at) ||
        setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one)) {
        perror("packet socket");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    return fd;
}

static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
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
    const char *interface = NULL;
    unsigned char mac[ETH_ALEN];
    int option, has_mac = 0;

    while ((option = getopt(argc, argv, "i:m:d:s:n:r:t:k:")) != -1)
        switch (option) {
        case 'i':
            interface = optarg;
            break;
        case 'm':
            has_mac = sscanf(optarg, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
                             &mac[3], &mac[4], &mac[5]) == ETH_ALEN;
            break;
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
        sources > SOURCES_MAX || !rate || rate > RATE_MAX || !(lasts > 0 && lasts <= SECONDS_MAX) ||
        !interface || !has_mac)
        return usage();

    uint32_t frames_n = 2 * sources > FRAMES_MIN ? 2 * sources : FRAMES_MIN;
    struct frame *frames = calloc(frames_n, sizeof *frames);
    if (!frames)
        return 1;
    for (uint32_t i = 0; i < frames_n; i++) {
        uint32_t source = ntohl(first.s_addr) + i / 2 % sources;
        char text[INET_ADDRSTRLEN];
        struct in_addr address = {htonl(source)};
        if (kind == GARBAGE || (kind == BOTH && i % 2))
            garbage(&frames[i]);
        else
            invite(&frames[i], inet_ntop(AF_INET, &address, text, sizeof text), name);
        wrap(&frames[i], mac, source, &target);
    }

    int fd = packet_socket(interface);
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    uint64_t sent = 0, made = 0, refused = 0;
    double begin = seconds(), now = begin;
    while ((now = seconds()) < begin + lasts) {
        if ((double)made > (now - begin) * rate) {
            usleep(100);
            continue;
        }
        for (int i = 0; i < BATCH; i++, made++) {
            struct frame *frame = &frames[made % frames_n];
            renew(frame);
            vectors[i] = (struct iovec){frame->bytes, frame->len};
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
    printf("{\"sent\":%llu,\"refused\":%llu,\"secs\":%.3f,\"rate\":%.0f,\"cpu\":%.3f}\n",
           (unsigned long long)sent, (unsigned long long)refused, now - begin,
           (double)sent / (now - begin), cpu_seconds());
    return 0;
}
