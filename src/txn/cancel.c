/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CANCEL of an INVITE (RFC 3261 §9.1). It has the INVITE's branch and goes where that went, so
 * its transaction is a part of the INVITE's: a second NICT state, and while the INVITE is in
 * Proceeding, which has no timers of its own, its dues. It ends with the INVITE's final response:
 * from then on a CANCEL has no effect.
 */
#include "txn/ict.h"
#include "txn/nict.h"
#include "txn/table.h"
#include "txn/timers.h"

enum {
    CANCEL_SLACK = 128
}; /* what a CANCEL has and the INVITE had not */

/* Writes the CANCEL where the outbox would take it; an empty builder when it cannot be. */
static struct builder write_cancel(const struct client *client, struct slice fields)
{
    struct outbox *outbox = client->table->config.outbox;
    struct builder b = {0};
    struct sip_msg invite;

    if (!client_parse(client, &invite))
        return b;
    size_t room = invite.head_end + fields.len + CANCEL_SLACK;
    if (room > SIP_MESSAGE_MAX)
        room = SIP_MESSAGE_MAX;
    b = outbox_open(outbox, (uint32_t)room);
    if (sip_cancel_write(&invite, fields, &b) != OK)
        b.len = 0;
    return b;
}

void txn_client_cancel(struct txn_table *table, struct id id, struct slice fields, uint64_t now_ms)
{
    struct client *client = client_get(table, id);

    if (client == NULL || client->method != SIP_INVITE || client->cancel_wanted)
        return;
    if (client->state != ICT_CALLING && client->state != ICT_PROCEEDING)
        return;
    client->cancel_wanted = true;
    struct builder b = write_cancel(client, fields);
    if (b.len > 0) {
        client->cancel = bytes_keep(table, builder_slice(&b));
        client->cancel_len = client->cancel != NULL ? (uint16_t)b.len : 0;
    }
    if (client->state == ICT_PROCEEDING)
        cancel_start(client, now_ms);
}

/* Without memory for a copy it is sent once, without the fields that were asked for. */
static void send_cancel(struct client *client)
{
    struct txn_table *table = client->table;

    if (client->cancel != NULL) {
        struct slice bytes = {client->cancel, client->cancel_len};
        outbox_send(table->config.outbox, bytes, &client->to);
        return;
    }
    table->counters.not_kept++;
    struct builder b = write_cancel(client, SLICE_EMPTY);
    if (b.len > 0)
        outbox_commit(table->config.outbox, &b, &client->to);
}

void cancel_start(struct client *client, uint64_t now_ms)
{
    assert(client->state == ICT_PROCEEDING);

    if (!client->cancel_wanted || client->cancel_state != NICT_NONE)
        return;
    send_cancel(client);
    client->cancel_state = NICT_TRYING;
    client->end_ms = now_ms + TIMER_CANCEL_MS;
    if (client->cancel != NULL && !transport_reliable(client->to.transport)) {
        client->gap_ms = TIMER_E_MS;
        client->resend_ms = now_ms + client->gap_ms;
    }
    client_arm(client);
}

bool cancel_response(struct client *client, unsigned status)
{
    if (client->cancel_state == NICT_NONE)
        return false;
    if (client->cancel_state >= NICT_COMPLETED)
        return true;
    struct txn_step step =
        nict_next(client->cancel_state, status < 200 ? NICT_RX_1XX : NICT_RX_FINAL);
    client->cancel_state = step.next;
    if (client->cancel_state == NICT_COMPLETED) {
        cancel_stop(client);
        client_arm(client);
    }
    return true;
}

void cancel_resend(struct client *client, uint64_t now_ms)
{
    struct txn_step step = nict_next(client->cancel_state, NICT_TIMER_E);

    assert(step.actions & CLIENT_RESEND);
    (void)step;
    send_cancel(client);
    client->table->counters.requests_resent++;
    client->gap_ms =
        client->cancel_state == NICT_PROCEEDING ? (uint16_t)T2_MS : gap_next(client->gap_ms, T2_MS);
    client->resend_ms = now_ms + client->gap_ms;
    client_arm(client);
}

void cancel_stop(struct client *client)
{
    bytes_free(client->table, &client->cancel, &client->cancel_len);
    if (client->cancel_state != NICT_NONE)
        client->cancel_state = NICT_COMPLETED;
    if (client->state == ICT_PROCEEDING)
        client->resend_ms = NEVER;
}
