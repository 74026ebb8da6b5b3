/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/internal.h"

enum { VALUE_MAX = 256, COLUMNS_MAX = 16 };

void cli_value_text(const json_t *value, char *out, size_t size)
{
    size_t used = 0;

    snprintf(out, size, "-");
    if (json_is_string(value)) {
        snprintf(out, size, "%s", json_string_value(value));
    } else if (json_is_integer(value)) {
        snprintf(out, size, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(out, size, "%g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value) && used < size; i++) {
            char item[VALUE_MAX];
            cli_value_text(json_array_get(value, i), item, sizeof item);
            int len = snprintf(out + used, size - used, "%s%s", i > 0 ? "," : "", item);
            used += len > 0 ? (size_t)len : 0;
        }
    }
}

/** Characters, not bytes: names are UTF-8. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void cli_print_table(const json_t *items, const struct cli_column *columns, size_t count)
{
    int widths[COLUMNS_MAX];
    char text[VALUE_MAX];

    for (size_t c = 0; c < count; c++) {
        widths[c] = width_of(columns[c].title);
        for (size_t i = 0; i < json_array_size(items); i++) {
            cli_value_text(json_object_get(json_array_get(items, i), columns[c].field), text,
                           sizeof text);
            if (width_of(text) > widths[c])
                widths[c] = width_of(text);
        }
    }
    for (size_t row = 0; row <= json_array_size(items); row++) {
        for (size_t c = 0; c < count; c++) {
            if (row == 0)
                snprintf(text, sizeof text, "%s", columns[c].title);
            else
                cli_value_text(json_object_get(json_array_get(items, row - 1), columns[c].field),
                               text, sizeof text);
            bool last = c + 1 == count;
            printf("%s%*s", text, last ? 0 : widths[c] - width_of(text) + 2, "");
        }
        printf("\n");
    }
}

/** Adds a page's items; gives the next cursor in `cursor` (empty: the end). */
static bool add_page(const char *body, json_t *all, char *cursor, size_t size)
{
    json_t *page = json_loads(body != NULL ? body : "", 0, NULL);
    json_t *items = json_object_get(page, "items");
    const char *next = json_string_value(json_object_get(page, "next"));

    cursor[0] = '\0';
    bool sound = json_is_array(items);
    if (sound)
        json_array_extend(all, items);
    if (next != NULL)
        snprintf(cursor, size, "%s", next);
    json_decref(page);
    return sound;
}

int cli_list(const struct cli *cli, const char *path, const struct cli_column *columns,
             size_t count)
{
    json_t *all = json_array();
    char cursor[64] = "", url[CLI_PATH_MAX];
    int code = CLI_DONE;
    const char *limit = cli->limit != NULL ? cli->limit : "1000";

    do {
        snprintf(url, sizeof url, "%s%climit=%s%s%s", path, strchr(path, '?') != NULL ? '&' : '?',
                 limit, cursor[0] != '\0' ? "&cursor=" : "", cursor);
        struct cli_reply reply = cli_request(cli, "GET", url, NULL, NULL, NULL);
        cursor[0] = '\0';
        if (reply.status != 200) {
            code = cli_fail(&reply);
        } else if (!add_page(reply.body, all, cursor, sizeof cursor)) {
            fprintf(stderr, "strowger: the server's answer is not a list\n");
            code = CLI_NO;
        }
        cli_reply_release(&reply);
    } while (code == CLI_DONE && cursor[0] != '\0' && cli->limit == NULL);

    if (code == CLI_DONE && cli->json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (code == CLI_DONE) {
        cli_print_table(all, columns, count);
    }
    json_decref(all);
    return code;
}
