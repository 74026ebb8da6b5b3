/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every pair of state and event of the four machines, against lists that were written from the
 * figures of RFC 3261 §17 and RFC 6026 §8 by hand, one line per arrow. What is not listed must
 * change nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"
#include "txn/ict.h"
#include "txn/ist.h"
#include "txn/nict.h"
#include "txn/nist.h"
#include "txn/timers.h"

struct arrow {
    int from, event, to;
    unsigned actions;
    const char *why;
};

/* The arrow that the figure has, or NULL. */
static const struct arrow *find(const struct arrow *arrows, size_t count, int from, int event)
{
    for (size_t i = 0; i < count; i++)
        if (arrows[i].from == from && arrows[i].event == event)
            return &arrows[i];
    return NULL;
}

static void check(const struct arrow *arrows, size_t count, int state, int event,
                  struct txn_step step)
{
    const struct arrow *arrow = find(arrows, count, state, event);
    int next = arrow != NULL ? arrow->to : state;
    unsigned actions = arrow != NULL ? arrow->actions : 0;

    if (step.next != next || step.actions != actions)
        fail_msg("state %d, event %d: next %d, actions %x, but the figure has %d, %x (%s)", state,
                 event, step.next, step.actions, next, actions,
                 arrow != NULL ? arrow->why : "no arrow");
}

static void the_invite_client_is_figure_5_of_rfc_6026(void **unused)
{
    static const struct arrow arrows[] = {
        {ICT_CALLING, ICT_RX_1XX, ICT_PROCEEDING, CLIENT_STOP | CLIENT_SEND_CANCEL | CLIENT_PASS_UP,
         "1xx to TU; §9.1: now a CANCEL may go"},
        {ICT_CALLING, ICT_RX_2XX, ICT_ACCEPTED, CLIENT_START_M | CLIENT_PASS_UP, "2xx to TU"},
        {ICT_CALLING, ICT_RX_FAILURE, ICT_COMPLETED, CLIENT_ACK | CLIENT_START_D | CLIENT_PASS_UP,
         "ACK sent, resp. to TU"},
        {ICT_CALLING, ICT_TIMER_A, ICT_CALLING, CLIENT_RESEND, "reset A, INVITE sent"},
        {ICT_CALLING, ICT_TIMER_B, ICT_TERMINATED, CLIENT_TELL_TIMEOUT, "inform TU"},
        {ICT_CALLING, ICT_TRANSPORT_ERROR, ICT_TERMINATED, CLIENT_TELL_ERROR, "inform TU"},
        {ICT_CALLING, ICT_CONN_LOST, ICT_TERMINATED, CLIENT_TELL_ERROR, "a transport error, too"},
        {ICT_PROCEEDING, ICT_RX_1XX, ICT_PROCEEDING, CLIENT_PASS_UP, "1xx to TU"},
        {ICT_PROCEEDING, ICT_RX_2XX, ICT_ACCEPTED, CLIENT_START_M | CLIENT_PASS_UP, "2xx to TU"},
        {ICT_PROCEEDING, ICT_RX_FAILURE, ICT_COMPLETED,
         CLIENT_ACK | CLIENT_START_D | CLIENT_PASS_UP, "ACK sent, resp. to TU"},
        {ICT_PROCEEDING, ICT_TIMER_CANCEL, ICT_TERMINATED, CLIENT_TELL_TIMEOUT, "§9.1, last para"},
        {ICT_PROCEEDING, ICT_CONN_LOST, ICT_TERMINATED, CLIENT_TELL_ERROR, "no way for an answer"},
        {ICT_ACCEPTED, ICT_RX_2XX, ICT_ACCEPTED, CLIENT_PASS_UP, "2xx to TU"},
        {ICT_ACCEPTED, ICT_TIMER_M, ICT_TERMINATED, 0, "Timer M"},
        {ICT_COMPLETED, ICT_RX_FAILURE, ICT_COMPLETED, CLIENT_RESEND_ACK, "ACK sent"},
        {ICT_COMPLETED, ICT_TIMER_D, ICT_TERMINATED, 0, "Timer D"},
        {ICT_COMPLETED, ICT_TRANSPORT_ERROR, ICT_TERMINATED, 0,
         "Transport Err.; the TU has its final response and hears of the end"},
    };
    (void)unused;

    for (int state = ICT_CALLING; state < ICT_TERMINATED; state++)
        for (int event = 0; event < ICT_EVENT_COUNT; event++)
            check(arrows, COUNT_OF(arrows), state, event,
                  ict_next((enum ict_state)state, (enum ict_event)event));
}

static void the_other_client_is_figure_6(void **unused)
{
    static const struct arrow arrows[] = {
        {NICT_TRYING, NICT_RX_1XX, NICT_PROCEEDING, CLIENT_PASS_UP, "resp. to TU"},
        {NICT_TRYING, NICT_RX_FINAL, NICT_COMPLETED, CLIENT_START_K | CLIENT_PASS_UP, "to TU"},
        {NICT_TRYING, NICT_TIMER_E, NICT_TRYING, CLIENT_RESEND, "send request"},
        {NICT_TRYING, NICT_TIMER_F, NICT_TERMINATED, CLIENT_TELL_TIMEOUT, "inform TU"},
        {NICT_TRYING, NICT_TRANSPORT_ERROR, NICT_TERMINATED, CLIENT_TELL_ERROR, "inform TU"},
        {NICT_PROCEEDING, NICT_RX_1XX, NICT_PROCEEDING, CLIENT_PASS_UP, "resp. to TU"},
        {NICT_PROCEEDING, NICT_RX_FINAL, NICT_COMPLETED, CLIENT_START_K | CLIENT_PASS_UP, "to TU"},
        {NICT_PROCEEDING, NICT_TIMER_E, NICT_PROCEEDING, CLIENT_RESEND, "send request"},
        {NICT_PROCEEDING, NICT_TIMER_F, NICT_TERMINATED, CLIENT_TELL_TIMEOUT, "inform TU"},
        {NICT_PROCEEDING, NICT_TRANSPORT_ERROR, NICT_TERMINATED, CLIENT_TELL_ERROR, "inform TU"},
        {NICT_COMPLETED, NICT_TIMER_K, NICT_TERMINATED, 0, "Timer K"},
    };
    (void)unused;

    for (int state = NICT_TRYING; state < NICT_TERMINATED; state++)
        for (int event = 0; event < NICT_EVENT_COUNT; event++)
            check(arrows, COUNT_OF(arrows), state, event,
                  nict_next((enum nict_state)state, (enum nict_event)event));
}

static void the_invite_server_is_figure_7_of_rfc_6026(void **unused)
{
    static const struct arrow arrows[] = {
        {IST_PROCEEDING, IST_RX_INVITE, IST_PROCEEDING, SERVER_RESEND, "send response"},
        {IST_PROCEEDING, IST_TX_1XX, IST_PROCEEDING, SERVER_SEND | SERVER_KEEP, "send response"},
        {IST_PROCEEDING, IST_TX_2XX, IST_ACCEPTED,
         SERVER_SEND | SERVER_FORGET | SERVER_ANSWERED | SERVER_START_L, "send response"},
        {IST_PROCEEDING, IST_TX_FAILURE, IST_COMPLETED,
         SERVER_SEND | SERVER_KEEP | SERVER_ANSWERED | SERVER_START_G | SERVER_START_H,
         "send response"},
        {IST_ACCEPTED, IST_RX_ACK, IST_ACCEPTED, SERVER_PASS_ACK, "ACK to TU"},
        {IST_ACCEPTED, IST_TX_2XX, IST_ACCEPTED, SERVER_SEND, "send response"},
        {IST_ACCEPTED, IST_TIMER_L, IST_TERMINATED, 0, "Timer L"},
        {IST_COMPLETED, IST_RX_INVITE, IST_COMPLETED, SERVER_RESEND, "send response"},
        {IST_COMPLETED, IST_RX_ACK, IST_CONFIRMED, SERVER_FORGET | SERVER_START_I, "ACK"},
        {IST_COMPLETED, IST_TIMER_G, IST_COMPLETED, SERVER_RESEND | SERVER_START_G, "Timer G"},
        {IST_COMPLETED, IST_TIMER_H, IST_TERMINATED, 0, "Timer H; the end is told"},
        {IST_CONFIRMED, IST_TIMER_I, IST_TERMINATED, 0, "Timer I"},
    };
    (void)unused;

    for (int state = IST_PROCEEDING; state < IST_TERMINATED; state++)
        for (int event = 0; event < IST_EVENT_COUNT; event++)
            check(arrows, COUNT_OF(arrows), state, event,
                  ist_next((enum ist_state)state, (enum ist_event)event));
}

static void the_other_server_is_figure_8_as_rfc_4320_changed_it(void **unused)
{
    static const struct arrow arrows[] = {
        {NIST_TRYING, NIST_TX_FINAL, NIST_COMPLETED,
         SERVER_SEND | SERVER_KEEP | SERVER_ANSWERED | SERVER_START_J, "send response"},
        {NIST_TRYING, NIST_TX_408, NIST_COMPLETED, SERVER_ANSWERED | SERVER_START_J,
         "RFC 4320 §4.2: never sent"},
        {NIST_TRYING, NIST_TIMER_TRYING, NIST_PROCEEDING, SERVER_TRYING, "RFC 4320 §4.1: a 100"},
        {NIST_PROCEEDING, NIST_RX_REQUEST, NIST_PROCEEDING, SERVER_RESEND, "send response"},
        {NIST_PROCEEDING, NIST_TX_FINAL, NIST_COMPLETED,
         SERVER_SEND | SERVER_KEEP | SERVER_ANSWERED | SERVER_START_J, "send response"},
        {NIST_PROCEEDING, NIST_TX_408, NIST_COMPLETED,
         SERVER_FORGET | SERVER_ANSWERED | SERVER_START_J, "never sent, nor the 100 again"},
        {NIST_COMPLETED, NIST_RX_REQUEST, NIST_COMPLETED, SERVER_RESEND, "send response"},
        {NIST_COMPLETED, NIST_TIMER_J, NIST_TERMINATED, 0, "Timer J"},
    };
    (void)unused;

    for (int state = NIST_TRYING; state < NIST_TERMINATED; state++)
        for (int event = 0; event < NIST_EVENT_COUNT; event++)
            check(arrows, COUNT_OF(arrows), state, event,
                  nist_next((enum nist_state)state, (enum nist_event)event));
}

/* §17.1.1.3: the transaction acknowledges failures; the ACK of a 2xx is the caller's. */
static void an_ack_is_made_for_failures_only(void **unused)
{
    (void)unused;
    for (int state = ICT_CALLING; state < ICT_TERMINATED; state++)
        for (int event = 0; event < ICT_EVENT_COUNT; event++) {
            struct txn_step step = ict_next((enum ict_state)state, (enum ict_event)event);
            if (step.actions & (CLIENT_ACK | CLIENT_RESEND_ACK))
                assert_int_equal(event, ICT_RX_FAILURE);
        }
}

/* What the driver stands on: the user is called last, or the end follows, never both. */
static void nothing_is_passed_up_by_a_step_that_ends(void **unused)
{
    (void)unused;
    for (int state = ICT_CALLING; state < ICT_TERMINATED; state++)
        for (int event = 0; event < ICT_EVENT_COUNT; event++) {
            struct txn_step step = ict_next((enum ict_state)state, (enum ict_event)event);
            if (step.actions & CLIENT_PASS_UP)
                assert_int_not_equal(step.next, ICT_TERMINATED);
            if (step.actions & (CLIENT_TELL_TIMEOUT | CLIENT_TELL_ERROR))
                assert_int_equal(step.next, ICT_TERMINATED);
        }
    for (int state = NICT_TRYING; state < NICT_TERMINATED; state++)
        for (int event = 0; event < NICT_EVENT_COUNT; event++) {
            struct txn_step step = nict_next((enum nict_state)state, (enum nict_event)event);
            if (step.actions & CLIENT_PASS_UP)
                assert_int_not_equal(step.next, NICT_TERMINATED);
        }
}

/* A user hears either a final response or a failure: no failure after Accepted or Completed. */
static void no_failure_is_told_after_a_final_response(void **unused)
{
    (void)unused;
    for (int event = 0; event < ICT_EVENT_COUNT; event++) {
        unsigned tell = CLIENT_TELL_TIMEOUT | CLIENT_TELL_ERROR;
        assert_false(ict_next(ICT_ACCEPTED, (enum ict_event)event).actions & tell);
        assert_false(ict_next(ICT_COMPLETED, (enum ict_event)event).actions & tell);
    }
    for (int event = 0; event < NICT_EVENT_COUNT; event++)
        assert_int_equal(nict_next(NICT_COMPLETED, (enum nict_event)event).actions, 0);
}

/* An INVITE's answer is one failure or 2xx, never both (RFC 6026 §7.1). */
static void a_server_sends_no_other_kind_of_final_response_after_one(void **unused)
{
    (void)unused;
    assert_false(ist_next(IST_ACCEPTED, IST_TX_FAILURE).actions & SERVER_SEND);
    assert_false(ist_next(IST_ACCEPTED, IST_TX_1XX).actions & SERVER_SEND);
    assert_false(ist_next(IST_COMPLETED, IST_TX_2XX).actions & SERVER_SEND);
    assert_false(ist_next(IST_CONFIRMED, IST_TX_2XX).actions & SERVER_SEND);
    assert_false(nist_next(NIST_COMPLETED, NIST_TX_FINAL).actions & SERVER_SEND);
}

static void the_timers_are_those_of_table_4(void **unused)
{
    static const struct {
        const char *name;
        int value_ms, rfc_ms;
    } timers[] = {
        {"T1", T1_MS, 500},
        {"T2", T2_MS, 4000},
        {"T4", T4_MS, 5000},
        {"A: initially T1", TIMER_A_MS, 500},
        {"B: 64*T1", TIMER_B_MS, 32000},
        {"D: > 32 s for UDP", TIMER_D_MS, 32000},
        {"E: initially T1", TIMER_E_MS, 500},
        {"F: 64*T1", TIMER_F_MS, 32000},
        {"G: initially T1", TIMER_G_MS, 500},
        {"H: 64*T1", TIMER_H_MS, 32000},
        {"I: T4 for UDP", TIMER_I_MS, 5000},
        {"J: 64*T1 for UDP", TIMER_J_MS, 32000},
        {"K: T4 for UDP", TIMER_K_MS, 5000},
        {"L: 64*T1 (RFC 6026)", TIMER_L_MS, 32000},
        {"M: 64*T1 (RFC 6026)", TIMER_M_MS, 32000},
        {"after a CANCEL: 64*T1 (§9.1)", TIMER_CANCEL_MS, 32000},
        {"until Timer E is T2: 500 + 1000 + 2000 (RFC 4320)", TIMER_TRYING_MS, 3500},
    };
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(timers); i++)
        if (timers[i].value_ms != timers[i].rfc_ms)
            fail_msg("%s: %d", timers[i].name, timers[i].value_ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_invite_client_is_figure_5_of_rfc_6026),
        cmocka_unit_test(the_other_client_is_figure_6),
        cmocka_unit_test(the_invite_server_is_figure_7_of_rfc_6026),
        cmocka_unit_test(the_other_server_is_figure_8_as_rfc_4320_changed_it),
        cmocka_unit_test(an_ack_is_made_for_failures_only),
        cmocka_unit_test(nothing_is_passed_up_by_a_step_that_ends),
        cmocka_unit_test(no_failure_is_told_after_a_final_response),
        cmocka_unit_test(a_server_sends_no_other_kind_of_final_response_after_one),
        cmocka_unit_test(the_timers_are_those_of_table_4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
