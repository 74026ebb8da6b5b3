/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/calls - call records as a table, and one call whole.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/internal.h"

static const struct cli_column columns[] = {
    {"ID", "id"},
    {"START", "start_time"},
    {"DIRECTION", "direction"},
    {"FROM", "calling_uri"},
    {"TO", "called_uri"},
    {"ANSWERED BY", "answered_by"},
    {"DISPOSITION", "disposition"},
    {"STATUS", "sip_status"},
    {"RELEASED BY", "release_party"},
    {"PDD MS", "pdd_ms"},
    {"DURATION MS", "duration_ms"},
};

static bool add_parameter(char *path, size_t size, const char *name, const char *value)
{
    char *escaped = cli_escape(value);
    size_t used = strlen(path);

    if (escaped == NULL)
        return false;
    int len = snprintf(path + used, size - used, "%c%s=%s", strchr(path, '?') == NULL ? '?' : '&',
                       name, escaped);
    free(escaped);
    return len >= 0 && (size_t)len < size - used;
}

int cli_calls(const struct cli *cli)
{
    char path[CLI_PATH_MAX] = "/api/v1/calls";
    bool fits = true;

    if (cli->live)
        fits = add_parameter(path, sizeof path, "live", "1");
    if (cli->since != NULL)
        fits = fits && add_parameter(path, sizeof path, "since", cli->since);
    if (cli->until != NULL)
        fits = fits && add_parameter(path, sizeof path, "until", cli->until);
    for (size_t i = 0; i < cli->filter_count; i++)
        fits =
            fits && add_parameter(path, sizeof path, cli->filters[i].name, cli->filters[i].value);
    if (!fits) {
        fprintf(stderr, "strowger: too many or too long filters\n");
        return CLI_USAGE;
    }
    return cli_list(cli, path, columns, COUNT_OF(columns));
}

/* ---- one call ---- */

static const struct cli_column leg_columns[] = {
    {"TARGET", "target"},      {"USER", "user"},
    {"ADDRESS", "address"},    {"START", "start_time"},
    {"RANG", "progress_time"}, {"ANSWERED", "answer_time"},
    {"END", "end_time"},       {"STATUS", "sip_status"},
    {"CAUSE", "q850_cause"},   {"DISPOSITION", "disposition"},
};

/** What a side said of its media: "audio, PCMU, 192.0.2.1:4000". */
static void print_side(const char *title, const json_t *side)
{
    char kinds[128], codecs[128], address[128];

    if (!json_is_object(side))
        return;
    printf("%-16s %s, %s, %s%s\n", title, cli_member(side, "kinds", kinds, sizeof kinds),
           cli_member(side, "codecs", codecs, sizeof codecs),
           cli_member(side, "address", address, sizeof address),
           json_is_true(json_object_get(side, "hold")) ? ", holds" : "");
}

static void print_call(const json_t *call)
{
    const char *key;
    json_t *value;
    char text[512];

    /* jansson's macro wants an object that is not constant */
    json_object_foreach((json_t *)(uintptr_t)call, key, value)
    {
        if (json_is_null(value) || json_is_array(value) || json_is_object(value))
            continue;
        cli_value_text(value, text, sizeof text);
        printf("%-16s %s\n", key, text);
    }
    const json_t *media = json_object_get(call, "media");
    print_side("caller media", json_object_get(media, "caller"));
    print_side("callee media", json_object_get(media, "callee"));
    const json_t *legs = json_object_get(call, "legs");
    if (json_array_size(legs) > 0) {
        printf("\n");
        cli_print_table(legs, leg_columns, COUNT_OF(leg_columns));
    }
}

int cli_call(const struct cli *cli)
{
    bool hang_up = cli->operand_count > 2;
    char path[CLI_PATH_MAX];

    if (hang_up && strcmp(cli->operands[2], "hangup") != 0) {
        fprintf(stderr, "usage: strowger call ID [hangup]\n");
        return CLI_USAGE;
    }
    char *escaped = cli_escape(cli->operands[1]);
    int len = escaped != NULL ? snprintf(path, sizeof path, "/api/v1/calls/%s%s", escaped,
                                         hang_up ? "/hangup" : "")
                              : -1;

    free(escaped);
    if (len < 0 || (size_t)len >= sizeof path)
        return CLI_NO;
    struct cli_reply reply = cli_request(cli, hang_up ? "POST" : "GET", path, NULL, NULL, NULL);
    json_t *call = reply.status == 200 ? cli_json(&reply) : NULL;
    int code = CLI_DONE;
    if (call == NULL)
        code = cli_fail(&reply);
    else if (cli->json)
        cli_print_json(call);
    else
        print_call(call);
    json_decref(call);
    cli_reply_release(&reply);
    return code;
}
