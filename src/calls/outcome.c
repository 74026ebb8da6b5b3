/* SPDX-License-Identifier: Apache-2.0 */
#include "calls/outcome.h"

enum call_disposition outcome_disposition(uint16_t status, bool cancelled_by_caller)
{
    if (status >= 200 && status < 300)
        return CALL_D_ANSWERED;
    if (cancelled_by_caller)
        return CALL_D_CANCELLED;
    switch (status) {
    case 486:
    case 600:
        return CALL_D_BUSY;
    case 408:
    case 480:
        return CALL_D_NO_ANSWER;
    case 403:
    case 603:
    case 607:
        return CALL_D_REJECTED;
    default:
        return CALL_D_FAILED;
    }
}

struct cause_row {
    uint16_t status;
    uint8_t cause;
};

/* RFC 3398 §8.2.6.1; 607 (RFC 8197) and 608 (RFC 8688) as 21, call rejected. */
static const struct cause_row causes[] = {
    {400, 41},  {401, 21}, {402, 21},  {403, 21},  {404, 1},   {405, 63},  {406, 79},  {407, 21},
    {408, 102}, {410, 22}, {413, 127}, {414, 127}, {415, 79},  {416, 127}, {420, 127}, {421, 127},
    {423, 127}, {480, 18}, {481, 41},  {482, 25},  {483, 25},  {484, 28},  {485, 1},   {486, 17},
    {500, 41},  {501, 79}, {502, 38},  {503, 41},  {504, 102}, {505, 127}, {513, 127}, {600, 17},
    {603, 21},  {604, 1},  {607, 21},  {608, 21},
};

uint8_t outcome_q850(uint16_t status)
{
    if (status >= 200 && status < 300)
        return Q850_NORMAL_CLEARING;
    for (size_t i = 0; i < COUNT_OF(causes); i++)
        if (causes[i].status == status)
            return causes[i].cause;
    if (status < 300 || status == 487)
        return 0;
    return status < 400 ? 23 : status < 500 ? 127 : status < 600 ? 41 : 31; /* 31: unspecified */
}

/** One value: "Q.850 ;cause=16 ;text=\"Terminated\"". */
static bool read_value(struct slice value, bool *is_q850, uint32_t *cause, struct slice *text)
{
    size_t end = 0;
    struct sip_param param;

    while (end < value.len && value.data[end] != ';' && value.data[end] != ' ' &&
           value.data[end] != '\t')
        end++;
    struct slice protocol = {value.data, end};
    struct slice params = slice_trim(slice_from(value, end));
    *is_q850 = slice_equal_nocase(protocol, SLICE("Q.850"));
    *cause = 0;
    *text = SLICE_EMPTY;
    if (!sip_is_token(protocol))
        return false;
    for (enum err err; (err = sip_param_next(&params, &param)) != ERR_NOT_FOUND;) {
        if (err)
            return false;
        if (slice_equal_nocase(param.name, SLICE("cause")) &&
            sip_number_parse(param.value, cause) != OK)
            return false;
        if (slice_equal_nocase(param.name, SLICE("text")))
            *text = sip_unquote(param.value);
    }
    return true;
}

struct outcome_reason outcome_reason(const struct sip_msg *msg)
{
    struct outcome_reason out = {0};
    struct sip_values values = sip_values(msg, SIP_F_REASON);
    struct slice value, text;
    uint32_t cause;
    bool is_q850;

    if (msg->first[SIP_F_REASON] == 0)
        return out;
    while (sip_values_next(&values, &value)) {
        if (!read_value(value, &is_q850, &cause, &text))
            continue;
        if (is_q850 && cause > 0 && cause <= 127) {
            out.q850_cause = (uint8_t)cause;
            if (text.len > 0)
                out.text = text;
            return out;
        }
        if (out.text.len == 0)
            out.text = text;
    }
    return out;
}
