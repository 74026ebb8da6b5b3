/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters by which a phone is woken, found in a URI and taken off (RFC 8599 §8.7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/push.h"

static const struct {
    const char *uri, *provider, *param, *prid; /* NULL: not there */
    const char *stripped;
} cases[] = {
    {"sip:a@h", NULL, NULL, NULL, "sip:a@h"},
    {"sip:a@h;transport=tcp?s=;pn-prid=x", NULL, NULL, NULL, "sip:a@h;transport=tcp?s=;pn-prid=x"},
    {"sip:a@h;pn-provider=acme;pn-param=p;pn-prid=Z%40", "acme", "p", "Z%40", "sip:a@h"},
    {"sip:a@h:5060;ob;PN-Prid=x;lr;pn-Provider=fcm;x=y?s=1", "fcm", NULL, "x",
     "sip:a@h:5060;ob;lr;x=y?s=1"},
    {"sip:h;pn-provider", "", NULL, NULL, "sip:h"},
    {"sip:a;pn-prid=x@h;pn-provider=acme", "acme", NULL, NULL, "sip:a;pn-prid=x@h"},
    {"sip:a@[::1]:5060;pn-prid=", NULL, NULL, "", "sip:a@[::1]:5060"},
    {"sip:a@h;pn-purr=p;pn-pridx=1;xpn-prid=2", NULL, NULL, NULL,
     "sip:a@h;pn-purr=p;pn-pridx=1;xpn-prid=2"},
    {"sip:a@h?pn-prid=x", NULL, NULL, NULL, "sip:a@h?pn-prid=x"},
    {"", NULL, NULL, NULL, ""},
    {";", NULL, NULL, NULL, ";"},
};

static void same(const char *wanted, bool has, struct slice value)
{
    assert_int_equal(wanted != NULL, has);
    if (wanted != NULL)
        assert_true(slice_equal(slice_of(wanted), value));
}

static void parameters_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct push_params push;
        bool any = cases[i].provider != NULL || cases[i].param != NULL || cases[i].prid != NULL;
        assert_int_equal(any, push_params_find(slice_of(cases[i].uri), &push));
        same(cases[i].provider, push.has_provider, push.provider);
        same(cases[i].param, push.has_param, push.param);
        same(cases[i].prid, push.has_prid, push.prid);
    }
}

static void parameters_are_taken_off_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[128];
        struct builder b = builder_over(text, strlen(cases[i].uri));
        push_params_strip(slice_of(cases[i].uri), &b);
        assert_false(b.overflow);
        assert_int_equal(strlen(cases[i].stripped), b.len);
        assert_memory_equal(cases[i].stripped, text, b.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_found),
        cmocka_unit_test(parameters_are_taken_off_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
