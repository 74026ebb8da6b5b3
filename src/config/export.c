/* SPDX-License-Identifier: Apache-2.0 */
#include "config/file.h"
#include "config/resources_internal.h"

enum {
    MD5_BYTES = 16,
    SHA_BYTES = 32
};

/* Needs no quotes: reads back as the same text, not as null, a list or a comment. */
static bool is_plain(struct slice text)
{
    if (text.len == 0 || slice_equal_nocase(text, SLICE("null")) ||
        (!ascii_is_letter(text.data[0]) && !ascii_is_digit(text.data[0]) && text.data[0] != '+'))
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!ascii_is_letter(text.data[i]) && !ascii_is_digit(text.data[i]) &&
            slice_find(SLICE("._+-@"), text.data[i]) == SIZE_MAX)
            return false;
    return true;
}

static void write_text(struct builder *b, struct slice text)
{
    if (is_plain(text)) {
        builder_add(b, text);
        return;
    }
    builder_char(b, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            builder_char(b, '\\');
        if (c < ' ' || c == 0x7f) {
            builder_text(b, "\\x");
            builder_hex(b, c, 2);
        } else {
            builder_char(b, (char)c);
        }
    }
    builder_char(b, '"');
}

static void write_field(struct builder *b, struct slice name, struct slice text)
{
    if (text.len == 0)
        return;
    builder_text(b, "    ");
    builder_add(b, name);
    builder_text(b, ": ");
    write_text(b, text);
    builder_text(b, "\n");
}

static void write_languages(struct builder *b, struct slice languages)
{
    if (languages.len == 0)
        return;
    builder_text(b, "    language: [");
    for (struct slice rest = languages; rest.len > 0;) {
        write_text(b, slice_take_until(&rest, ','));
        rest = slice_from(rest, 1);
        if (rest.len > 0)
            builder_text(b, ", ");
    }
    builder_text(b, "]\n");
}

static void write_algorithms(struct builder *b, const uint8_t algorithms[USER_ALGORITHMS_MAX])
{
    if (algorithms[0] == 0)
        return;
    builder_text(b, "    algorithms: [");
    for (size_t i = 0; i < USER_ALGORITHMS_MAX && algorithms[i] != 0; i++) {
        if (i > 0)
            builder_text(b, ", ");
        builder_add(b, config_algorithm_name(algorithms[i]));
    }
    builder_text(b, "]\n");
}

static void write_digest(struct builder *b, struct slice name, const uint8_t *digest, size_t len)
{
    builder_text(b, ", ");
    builder_add(b, name);
    builder_text(b, ": ");
    for (size_t i = 0; i < len; i++)
        builder_hex(b, digest[i], 2);
}

/* {busy: user:alice, no_answer: {to: user:bob, after: 15s}} */
static void write_forwards(struct builder *b, const struct user *user)
{
    bool first = true;

    for (unsigned i = 0; i < USER_FORWARDS; i++) {
        bool timed = i == USER_FORWARD_NO_ANSWER && user->forward_after_ms != 0;
        if (user->forward[i].len == 0)
            continue;
        builder_add(b, first ? SLICE("    forward: {") : SLICE(", "));
        first = false;
        builder_add(b, resources_forward_name((enum user_forward)i));
        builder_add(b, timed ? SLICE(": {to: ") : SLICE(": "));
        write_text(b, user->forward[i]);
        if (!timed)
            continue;
        builder_text(b, ", after: ");
        resources_forward_after(b, user);
        builder_char(b, '}');
    }
    if (!first)
        builder_text(b, "}\n");
}

static void write_user(struct builder *b, const struct user *user)
{
    builder_text(b, "  - name: ");
    write_text(b, user->name);
    builder_text(b, "\n");
    write_field(b, SLICE("display_name"), user->display_name);
    write_field(b, SLICE("title"), user->title);
    write_field(b, SLICE("extension"), user->extension);
    write_field(b, SLICE("caller_number"), user->caller_number);
    write_field(b, SLICE("role"), user->role);
    write_field(b, SLICE("email"), user->email);
    write_languages(b, user->languages);
    write_forwards(b, user);
    if (user->do_not_disturb)
        builder_text(b, "    do_not_disturb: yes\n");
    if (user->disabled)
        builder_text(b, "    disabled: yes\n");
    write_algorithms(b, user->algorithms);
    if (!user->has_digest)
        return;
    builder_text(b, "    digests: {realm: ");
    write_text(b, user->realm);
    write_digest(b, SLICE("md5"), user->digests[1], MD5_BYTES);
    write_digest(b, SLICE("sha_256"), user->digests[2], SHA_BYTES);
    write_digest(b, SLICE("sha_512_256"), user->digests[3], SHA_BYTES);
    builder_text(b, "}\n");
}

void resources_export_users(const struct user *users, size_t count, struct builder *b)
{
    builder_text(b, "users:");
    builder_add(b, count > 0 ? SLICE("\n") : SLICE(" []\n"));
    for (size_t i = 0; i < count; i++)
        write_user(b, &users[i]);
}
