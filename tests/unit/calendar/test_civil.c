/* SPDX-License-Identifier: Apache-2.0 */
/* Dates and days, against counting them one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "calendar/calendar.h"

static void each_day_of_four_centuries_has_its_number_and_weekday(void **state)
{
    struct civil day = {1600, 1, 1};
    int32_t days = civil_days(1600, 1, 1);
    enum weekday weekday = SATURDAY; /* it was one */
    (void)state;

    for (; day.year < 2101; days++) {
        struct civil got = civil_of_days(days);
        assert_int_equal(days, civil_days(day.year, day.month, day.day));
        assert_int_equal(day.year, got.year);
        assert_int_equal(day.month, got.month);
        assert_int_equal(day.day, got.day);
        assert_int_equal(weekday, civil_weekday(days));
        weekday = (enum weekday)((weekday + 1) % 7);
        if (civil_is_date(day.year, day.month, day.day + 1u)) {
            day.day++;
            continue;
        }
        day.day = 1;
        day.month = (uint8_t)(day.month % 12 + 1);
        day.year += day.month == 1;
    }
}

static void the_epoch_is_a_thursday_and_days_end_at_midnight(void **state)
{
    (void)state;

    assert_int_equal(0, civil_days(1970, 1, 1));
    assert_int_equal(THURSDAY, civil_weekday(0));
    assert_int_equal(0, civil_day_of(0));
    assert_int_equal(0, civil_day_of(DAY_S - 1));
    assert_int_equal(1, civil_day_of(DAY_S));
    assert_int_equal(-1, civil_day_of(-1));
    assert_int_equal(-1, civil_day_of(-DAY_S));
    assert_int_equal(-2, civil_day_of(-DAY_S - 1));
    assert_int_equal(19723, civil_days(2024, 1, 1));
}

static void days_that_do_not_exist_are_told(void **state)
{
    (void)state;

    assert_true(civil_is_date(2024, 2, 29));
    assert_true(civil_is_date(2000, 2, 29));
    assert_true(civil_is_date(0, 1, 1));
    assert_true(civil_is_date(CIVIL_YEAR_MAX, 12, 31));
    assert_false(civil_is_date(2023, 2, 29));
    assert_false(civil_is_date(1900, 2, 29));
    assert_false(civil_is_date(2024, 4, 31));
    assert_false(civil_is_date(2024, 13, 1));
    assert_false(civil_is_date(2024, 0, 1));
    assert_false(civil_is_date(2024, 1, 0));
    assert_false(civil_is_date(2024, 1, 32));
    assert_false(civil_is_date(-1, 1, 1));
    assert_false(civil_is_date(CIVIL_YEAR_MAX + 1, 1, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_day_of_four_centuries_has_its_number_and_weekday),
        cmocka_unit_test(the_epoch_is_a_thursday_and_days_end_at_midnight),
        cmocka_unit_test(days_that_do_not_exist_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
