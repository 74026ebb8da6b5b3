/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

static size_t remembered(const struct world *w)
{
    return w->core->conn_bindings.count;
}

static void a_lost_connection_is_told_to_every_worker_once_each_has_room(void **state)
{
    (void)state;
    static struct world w;
    const struct conn_id conn = {0, {7, 9}};
    struct flow source = world_flow(6000, &conn);
    uint32_t told = 0;

    world_open(&w, 4, NULL, 0);
    world_register(&w, world_own_name(&w), 1, 600, &source);
    assert_int_equal(1, remembered(&w));

    w.deaf = 2; /* worker 2 has no room */
    for (unsigned i = 0; i < 3; i++) {
        assert_false(core_conn_lost(w.core, conn, &told, w.now_ms, w.wall_ms));
        assert_int_equal(1, w.mail_count);
        assert_int_equal(1, w.mail[0].to);
    }
    assert_int_equal(0, remembered(&w)); /* our own part does not wait for that */

    w.deaf = 0;
    assert_true(core_conn_lost(w.core, conn, &told, w.now_ms, w.wall_ms));
    assert_int_equal(3, w.mail_count);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(i + 1, w.mail[i].to);
        assert_int_equal(CORE_MAIL_CONN_LOST, w.mail[i].mail.kind);
        assert_int_equal(9, w.mail[i].mail.flow.conn.id.generation);
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_connection_is_told_to_every_worker_once_each_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
