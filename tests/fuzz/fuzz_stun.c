/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A datagram that may be STUN: reading must stay inside, and the answer to what is read must fit,
 * be a sound message, and say what was asked.
 */
#include <stdlib.h>

#include "stun/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void put_length(uint8_t *bytes, size_t length)
{
    bytes[2] = (uint8_t)(length >> 8);
    bytes[3] = (uint8_t)length;
}

/* A message that is sound without a fingerprint is so with one that is right behind it. */
static void read_signed(const uint8_t *data, size_t size)
{
    uint8_t bytes[512];
    struct stun_request request;

    if (size < 20 || size + 8 > sizeof bytes || size % 4 != 0)
        return;
    memcpy(bytes, data, size);
    put_length(bytes, size - 20);
    if (stun_read((struct slice){(const char *)bytes, size}, &request) != OK || request.fingerprint)
        return;
    put_length(bytes, size - 12);
    uint32_t crc = stun_crc32((struct slice){(const char *)bytes, size}) ^ 0x5354554e;
    const uint8_t attribute[8] = {
        0x80,        0x28, 0, 4, (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
        (uint8_t)crc};
    memcpy(bytes + size, attribute, sizeof attribute);
    require(stun_read((struct slice){(const char *)bytes, size + 8}, &request) == OK);
    require(request.fingerprint);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = {(const char *)data, size};
    struct stun_request request;
    struct addr source = {.family = size % 2 ? ADDR_V4 : ADDR_V6, .port = (uint16_t)(size + 1)};

    read_signed(data, size);
    if (stun_read(bytes, &request) != OK)
        return 0;
    require(size >= 20 && size % 4 == 0);
    require(request.unknown_count <= STUN_UNKNOWN_MAX);

    char room[STUN_ANSWER_MAX];
    struct builder b = builder_over(room, sizeof room);
    require(stun_answer(&request, &source, &b) == OK);
    struct stun_request back;
    require(stun_read(builder_slice(&b), &back) == ERR_NOT_FOUND);
    require(memcmp(room + 8, data + 8, STUN_TRANSACTION_BYTES) == 0);
    return 0;
}
