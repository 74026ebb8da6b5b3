/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/table - lists: all their pages, as a table or as JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/internal.h"

enum {
    VALUE_MAX = 256,
    COLUMNS_MAX = 16
};

/** Bytes of the character that begins at `text`. */
static size_t character_bytes(const char *text)
{
    size_t len = 1;

    while (((unsigned char)text[len] & 0xc0) == 0x80)
        len++;
    return len;
}

/** A control character: C0, DEL, or C1 (c2 80 to c2 9f in UTF-8)? */
static bool is_control(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = (unsigned char)text[1];
    return first < 0x20 || first == 0x7f || (first == 0xc2 && second >= 0x80 && second < 0xa0);
}

/** Copies as much as fits, whole characters only, with '?' for control characters. */
static size_t copy_safe(const char *text, char *out, size_t size)
{
    size_t len = 0;

    while (*text != '\0') {
        size_t bytes = character_bytes(text);
        if (len + bytes >= size)
            break;
        if (is_control(text))
            out[len++] = '?';
        else
            memcpy(out + len, text, bytes);
        len += is_control(text) ? 0 : bytes;
        text += bytes;
    }
    out[len] = '\0';
    return len;
}

static void list_text(const json_t *list, char *out, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < json_array_size(list) && used + 2 < size; i++) {
        const json_t *item = json_array_get(list, i);
        if (i > 0)
            out[used++] = ',';
        if (json_is_string(item))
            used += copy_safe(json_string_value(item), out + used, size - used);
    }
    out[used] = '\0';
}

void cli_value_text(const json_t *value, char *out, size_t size)
{
    snprintf(out, size, "-");
    if (json_is_string(value))
        copy_safe(json_string_value(value), out, size);
    else if (json_is_integer(value))
        snprintf(out, size, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(out, size, "%g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
    else if (json_array_size(value) > 0)
        list_text(value, out, size);
}

const char *cli_member(const json_t *object, const char *key, char *out, size_t size)
{
    cli_value_text(json_object_get(object, key), out, size);
    return out;
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

/** Adds a page's items; the next cursor, escaped, goes to `*cursor` (NULL: the end; owned). */
static bool add_page(const struct cli_reply *reply, json_t *all, char **cursor)
{
    json_t *page = cli_json(reply);
    const json_t *items = json_object_get(page, "items");
    const char *next = json_string_value(json_object_get(page, "next"));

    bool sound = json_is_array(items) && json_array_extend(all, (json_t *)(uintptr_t)items) == 0;
    if (sound && next != NULL && json_array_size(items) > 0)
        *cursor = cli_escape(next);
    if (!sound)
        fprintf(stderr, "strowger: the server's answer is not a list: is this Strowger?\n");
    json_decref(page);
    return sound;
}

/** Items that are still to come on the next page. */
static size_t page_limit(const struct cli *cli, size_t have)
{
    size_t left = cli->limit_count != 0 ? cli->limit_count - have : CLI_PAGE;
    return left < CLI_PAGE ? left : CLI_PAGE;
}

/** All items, or none when that fails: said already, `*code` is the exit code. */
static json_t *fetch_all(const struct cli *cli, const char *path, int *code)
{
    json_t *all = json_array();
    char *cursor = NULL, url[CLI_PATH_MAX];

    *code = all != NULL ? CLI_DONE : CLI_NO;
    while (*code == CLI_DONE) {
        snprintf(url, sizeof url, "%s%climit=%zu%s%s", path, strchr(path, '?') != NULL ? '&' : '?',
                 page_limit(cli, json_array_size(all)), cursor != NULL ? "&cursor=" : "",
                 cursor != NULL ? cursor : "");
        free(cursor);
        cursor = NULL;
        struct cli_reply reply = cli_request(cli, "GET", url, NULL, NULL, NULL);
        if (reply.status != 200)
            *code = cli_fail(&reply);
        else if (!add_page(&reply, all, &cursor))
            *code = CLI_NO;
        cli_reply_release(&reply);
        if (cursor == NULL || (cli->limit_count != 0 && json_array_size(all) >= cli->limit_count))
            break;
    }
    free(cursor);
    if (*code == CLI_DONE)
        return all;
    json_decref(all);
    return NULL;
}

int cli_list(const struct cli *cli, const char *path, const struct cli_column *columns,
             size_t count)
{
    int code;
    json_t *all = fetch_all(cli, path, &code);

    if (all != NULL && cli->json)
        cli_print_json(all);
    else if (all != NULL)
        cli_print_table(all, columns, count);
    json_decref(all);
    return code;
}
