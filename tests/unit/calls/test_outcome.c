/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "calls/outcome.h"

static void every_status_has_its_disposition(void **state)
{
    static const struct {
        uint16_t status;
        bool cancelled;
        enum call_disposition wanted;
    } rows[] = {
        {200, false, CALL_D_ANSWERED},  {202, true, CALL_D_ANSWERED},
        {486, false, CALL_D_BUSY},      {600, false, CALL_D_BUSY},
        {408, false, CALL_D_NO_ANSWER}, {480, false, CALL_D_NO_ANSWER},
        {403, false, CALL_D_REJECTED},  {603, false, CALL_D_REJECTED},
        {607, false, CALL_D_REJECTED},  {404, false, CALL_D_FAILED},
        {302, false, CALL_D_FAILED},    {487, false, CALL_D_FAILED},
        {487, true, CALL_D_CANCELLED},  {503, false, CALL_D_FAILED},
        {0, false, CALL_D_FAILED},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (outcome_disposition(rows[i].status, rows[i].cancelled) != rows[i].wanted)
            fail_msg("%u gives %d", rows[i].status,
                     outcome_disposition(rows[i].status, rows[i].cancelled));
}

static void statuses_map_to_causes_as_rfc_3398_says(void **state)
{
    static const struct {
        uint16_t status;
        uint8_t cause;
    } rows[] = {{200, 16}, {404, 1},   {410, 22}, {480, 18}, {484, 28}, {486, 17},  {487, 0},
                {500, 41}, {504, 102}, {600, 17}, {603, 21}, {604, 1},  {499, 127}, {0, 0}};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(rows[i].cause, outcome_q850(rows[i].status));
}

static void reason_fields_are_read(void **state)
{
    static const struct {
        const char *lines;
        uint8_t cause;
        const char *text;
    } rows[] = {
        {"", 0, ""},
        {"Reason: Q.850;cause=16;text=\"Terminated\"\r\n", 16, "Terminated"},
        {"Reason: q.850 ; cause = 31\r\n", 31, ""},
        {"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n", 0,
         "Call completed elsewhere"},
        {"Reason: SIP;cause=600;text=\"Busy\", Q.850;cause=17\r\n", 17, "Busy"},
        {"Reason: SIP;cause=600\r\nReason: Q.850;cause=17;text=\"x\"\r\n", 17, "x"},
        {"Reason: Q.850;cause=200\r\n", 0, ""},
        {"Reason: Q.850;cause=0\r\n", 0, ""},
        {"Reason: Q.850;cause=x\r\nReason: Q.850;cause=3\r\n", 3, ""},
        {"Reason: ;;;\r\n", 0, ""},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[1024];
        struct sip_msg msg;
        int len = snprintf(text, sizeof text,
                           "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
                           "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\n"
                           "CSeq: 2 BYE\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n",
                           rows[i].lines);
        assert_int_equal(OK, sip_parse((struct slice){text, (size_t)len}, SIP_DATAGRAM, &msg));
        struct outcome_reason reason = outcome_reason(&msg);
        if (reason.q850_cause != rows[i].cause || !slice_equal(reason.text, slice_of(rows[i].text)))
            fail_msg("%s gives %u and '%.*s'", rows[i].lines, reason.q850_cause,
                     SLICE_ARG(reason.text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_disposition),
        cmocka_unit_test(statuses_map_to_causes_as_rfc_3398_says),
        cmocka_unit_test(reason_fields_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
