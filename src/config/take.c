/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values by the type of their row in the table, from YAML to struct config.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/push.h"
#include "base/text.h"
#include "config/file.h"
#include "config/internal.h"

/* Memory of the result; without it the whole fails. */
static void *result_alloc(struct parser *parser, size_t size)
{
    void *piece = memory_alloc(parser->memory, size);
    if (piece == NULL)
        parser_wrong(parser, NULL, SLICE_EMPTY, "out of memory");
    return piece;
}

/* "path" as it is to be opened: relative ones start at the file's folder. */
static struct slice keep_path(struct parser *parser, struct slice path)
{
    if (path.len > 0 && path.data[0] == '/')
        return parser_keep(parser, path);
    char *joined = result_alloc(parser, parser->folder.len + path.len + 1);
    if (joined == NULL)
        return SLICE_EMPTY;
    if (parser->folder.len > 0)
        memcpy(joined, parser->folder.data, parser->folder.len);
    if (path.len > 0)
        memcpy(joined + parser->folder.len, path.data, path.len);
    return (struct slice){joined, parser->folder.len + path.len};
}

/* --- Values by type ------------------------------------------------------------------------- */

static void wrong_value(struct parser *parser, const struct yaml_node *node,
                        const struct setting *setting, const char *wanted)
{
    char shown[YAML_SHOWN_MAX];
    parser_wrong(parser, node, setting->key, "%s is not %s", yaml_show(node, shown), wanted);
}

static bool is_scalar(const struct yaml_node *node)
{
    return node->type == YAML_SCALAR && !yaml_is_null(node);
}

static void set_number(struct parser *parser, const struct yaml_node *node,
                       const struct setting *setting, void *field)
{
    char range[128];
    struct builder b = builder_over(range, sizeof range - 1);
    uint64_t value = 0;
    uint64_t unit = setting->type == SETTING_SECONDS ? 1000 : 1;
    bool count = setting->type == SETTING_COUNT;
    bool size = setting->type == SETTING_SIZE;
    void (*write)(struct builder *, uint64_t) = count  ? builder_u64
                                                : size ? value_write_size
                                                       : value_write_duration;

    bool good = is_scalar(node) && (count  ? value_u64(node->text, &value)
                                    : size ? value_size(node->text, &value)
                                           : value_duration_ms(node->text, &value));
    if (good && value % unit == 0 && value / unit >= setting->min && value / unit <= setting->max) {
        if (size) {
            memcpy(field, &value, sizeof value);
            return;
        }
        uint32_t small = (uint32_t)(value / unit);
        memcpy(field, &small, sizeof small);
        return;
    }
    builder_add(&b, slice_of(count  ? "a whole number"
                             : size ? "a size such as 64MiB"
                                    : "a duration such as 20s, 5m, 1h or 90d"));
    builder_text(&b, "; give one from ");
    write(&b, setting->min * unit);
    builder_text(&b, " to ");
    write(&b, setting->max * unit);
    range[b.len] = '\0';
    char shown[YAML_SHOWN_MAX];
    if (!good)
        parser_wrong(parser, node, setting->key, "%s is not %s", yaml_show(node, shown), range);
    else
        parser_wrong(parser, node, setting->key, "%s is out of range; %s", yaml_show(node, shown),
                     strstr(range, "; ") + 2);
}

static void set_bool(struct parser *parser, const struct yaml_node *node,
                     const struct setting *setting, bool *field)
{
    if (!is_scalar(node) || !value_bool(node->text, field))
        wrong_value(parser, node, setting, "yes or no; write one of them");
}

static void set_zone(struct parser *parser, const struct yaml_node *node,
                     const struct setting *setting, struct slice *field)
{
    char path[512];

    bool good = is_scalar(node) && node->text.len < 128 && value_text(node->text) &&
                node->text.data[0] != '/' && strstr(node->text.data, "..") == NULL;
    if (good) {
        snprintf(path, sizeof path, "/usr/share/zoneinfo/%.*s", SLICE_ARG(node->text));
        good = access("/usr/share/zoneinfo", R_OK) != 0 || access(path, R_OK) == 0;
    }
    if (!good) {
        wrong_value(parser, node, setting,
                    "a known time zone; give an IANA name such as America/New_York");
        return;
    }
    *field = parser_keep(parser, node->text);
}

static void set_address(struct parser *parser, const struct yaml_node *node,
                        const struct setting *setting, struct addr *field)
{
    bool value = true;

    if (is_scalar(node) && addr_parse_with_port(node->text, field) == OK)
        return;
    if (is_scalar(node) && value_bool(node->text, &value) && !value) {
        *field = (struct addr){0};
        return;
    }
    wrong_value(parser, node, setting, "address:port; write one such as 127.0.0.1:8080, or off");
}

static void set_choice(struct parser *parser, const struct yaml_node *node,
                       const struct setting *setting, const char *const *words, size_t count,
                       const char *wanted, int *field)
{
    for (size_t i = 0; is_scalar(node) && i < count; i++)
        if (slice_equal(slice_of(words[i]), node->text)) {
            *field = (int)i;
            return;
        }
    wrong_value(parser, node, setting, wanted);
}

/* The items of a list; one alone needs no brackets. False: there is no list. */
static bool items_of(struct parser *parser, const struct yaml_node *node,
                     const struct setting *setting, const char *wanted,
                     const struct yaml_node **first, uint32_t *count)
{
    if (node->type == YAML_SEQUENCE) {
        *first = node->first;
        *count = node->count;
    } else if (is_scalar(node)) {
        *first = node;
        *count = 1;
    } else {
        wrong_value(parser, node, setting, wanted);
        return false;
    }
    if (*count < setting->min || *count > setting->max) {
        parser_wrong(parser, node, setting->key, "has %u items; give %llu to %llu", *count,
                     (unsigned long long)setting->min, (unsigned long long)setting->max);
        return false;
    }
    return true;
}

static void set_networks(struct parser *parser, const struct yaml_node *node,
                         const struct setting *setting, struct config_networks *field)
{
    const struct yaml_node *item;
    uint32_t count;

    if (!items_of(parser, node, setting, "a list of networks", &item, &count))
        return;
    struct addr_net *items = result_alloc(parser, (count + 1) * sizeof *items);
    if (items == NULL)
        return;
    for (uint32_t i = 0; i < count; i++, item = item->next)
        if (!is_scalar(item) || addr_net_parse(item->text, &items[i]) != OK)
            wrong_value(parser, item, setting, "a network; write one such as 192.0.2.0/24");
    *field = (struct config_networks){items, count};
}

static void set_servers(struct parser *parser, const struct yaml_node *node,
                        const struct setting *setting, struct config_addresses *field)
{
    enum {
        DNS_PORT = 53
    };
    const struct yaml_node *item;
    uint32_t count;

    if (!items_of(parser, node, setting, "a list of DNS servers", &item, &count))
        return;
    struct addr *items = result_alloc(parser, (count + 1) * sizeof *items);
    if (items == NULL)
        return;
    for (uint32_t i = 0; i < count; i++, item = item->next)
        if (!is_scalar(item) || (addr_parse(item->text, DNS_PORT, &items[i]) != OK &&
                                 addr_parse_with_port(item->text, &items[i]) != OK))
            wrong_value(parser, item, setting,
                        "a DNS server's address; write one such as 192.0.2.53");
    *field = (struct config_addresses){items, count};
}

static void set_paths(struct parser *parser, const struct yaml_node *node,
                      const struct setting *setting, struct config_paths *field)
{
    const struct yaml_node *item;
    uint32_t count;

    if (!items_of(parser, node, setting, "a file", &item, &count))
        return;
    struct config_path *items = result_alloc(parser, count * sizeof *items);
    if (items == NULL)
        return;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        if (!is_scalar(item) || item->text.len == 0 ||
            memchr(item->text.data, '\0', item->text.len) != NULL) {
            wrong_value(parser, item, setting, "the path of a file");
            continue;
        }
        items[i] = (struct config_path){keep_path(parser, item->text), item->line, item->column};
        if (items[i].path.len >= TLS_PATH_MAX)
            parser_wrong(parser, item, setting->key,
                         "the path has %zu bytes; at most %d are possible", items[i].path.len,
                         TLS_PATH_MAX - 1);
    }
    *field = (struct config_paths){items, count};
}

static void set_algorithms(struct parser *parser, const struct yaml_node *node,
                           const struct setting *setting, uint8_t *field)
{
    const struct yaml_node *item;
    uint32_t count;
    uint8_t algorithms[USER_ALGORITHMS_MAX] = {0};

    if (!items_of(parser, node, setting, "a list of algorithms", &item, &count))
        return;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        uint8_t algorithm = is_scalar(item) ? config_algorithm(item->text) : 0;
        if (algorithm == 0)
            wrong_value(parser, item, setting,
                        "a digest algorithm; use MD5, SHA-256 or SHA-512-256");
        for (uint32_t j = 0; j < i; j++)
            if (algorithm != 0 && algorithms[j] == algorithm)
                parser_wrong(parser, item, setting->key, "%.*s is there twice; remove one",
                             SLICE_ARG(item->text));
        algorithms[i] = algorithm;
    }
    memcpy(field, algorithms, sizeof algorithms);
}

static struct slice keep_lower(struct parser *parser, struct slice text)
{
    char *lower = result_alloc(parser, text.len + 1);
    if (lower == NULL)
        return SLICE_EMPTY;
    for (size_t i = 0; i < text.len; i++)
        lower[i] = ascii_lower(text.data[i]);
    return (struct slice){lower, text.len};
}

/* Names that are compared without case, each once: one for which `is_good`, or `wanted` is said. */
static void set_names(struct parser *parser, const struct yaml_node *node,
                      const struct setting *setting, const char *wanted_list,
                      bool (*is_good)(struct slice text), const char *wanted,
                      struct config_slices *field)
{
    const struct yaml_node *item;
    uint32_t count;

    if (!items_of(parser, node, setting, wanted_list, &item, &count))
        return;
    struct slice *items = result_alloc(parser, count * sizeof *items);
    if (items == NULL)
        return;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        if (!is_scalar(item) || !is_good(item->text)) {
            wrong_value(parser, item, setting, wanted);
            continue;
        }
        items[i] = keep_lower(parser, item->text);
        for (uint32_t j = 0; j < i; j++)
            if (slice_equal(items[j], items[i]))
                parser_wrong(parser, item, setting->key, "%.*s is there twice; remove one",
                             SLICE_ARG(item->text));
    }
    *field = (struct config_slices){items, count};
}

static bool is_domain(struct slice text)
{
    struct addr ignored;
    return value_host_name(text) || addr_parse(text, 0, &ignored) == OK;
}

static void set_domains(struct parser *parser, const struct yaml_node *node,
                        const struct setting *setting, struct config_slices *field)
{
    set_names(parser, node, setting, "a list of domains", is_domain,
              "a domain; write one such as example.com", field);
}

static void set_origins(struct parser *parser, const struct yaml_node *node,
                        const struct setting *setting, struct config_slices *field)
{
    const struct yaml_node *item;
    uint32_t count;

    if (!items_of(parser, node, setting, "a list of origins", &item, &count))
        return;
    struct slice *items = result_alloc(parser, count * sizeof *items);
    if (items == NULL)
        return;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        items[i] = keep_lower(parser, is_scalar(item) ? item->text : SLICE_EMPTY);
        if (!value_origin(items[i]))
            wrong_value(parser, item, setting,
                        "an origin; write one such as https://phone.example.com, without a path or "
                        "the scheme's own port");
    }
    *field = (struct config_slices){items, count};
}

/* --- Push ----------------------------------------------------------------------------------- */

static bool is_provider(struct slice text)
{
    return text_is_name(text, PUSH_PROVIDER_MAX);
}

static void set_providers(struct parser *parser, const struct yaml_node *node,
                          const struct setting *setting, struct config_slices *field)
{
    set_names(parser, node, setting, "a list of push services", is_provider,
              "a push service; write one such as apns", field);
}

static void set_url(struct parser *parser, const struct yaml_node *node,
                    const struct setting *setting, struct slice *field)
{
    if (!is_scalar(node) || !value_https(node->text))
        wrong_value(parser, node, setting,
                    "a URL; write one such as https://push.example.com/strowger");
    else
        *field = parser_keep(parser, node->text);
}

/* A secret without the line end that editors put behind it. Nothing of it is ever shown. */
static void keep_secret(struct parser *parser, const struct yaml_node *node,
                        const struct setting *setting, struct slice secret, struct slice *field)
{
    while (secret.len > 0 &&
           (secret.data[secret.len - 1] == '\n' || secret.data[secret.len - 1] == '\r'))
        secret.len--;
    if (secret.len < setting->min || secret.len > setting->max)
        parser_wrong(parser, node, setting->key,
                     "the secret has %zu bytes; %llu to %llu are needed", secret.len,
                     (unsigned long long)setting->min, (unsigned long long)setting->max);
    else
        *field = parser_keep(parser, secret);
}

static void read_secret(struct parser *parser, const struct yaml_node *node,
                        const struct setting *setting, struct slice *field)
{
    struct slice path = keep_path(parser, node->text);
    char *text = NULL;
    size_t len = 0;

    if (path.len == 0 ||
        file_read(path.data, setting->max + 2, parser->errors, &text, &len) != OK) {
        parser_wrong(parser, node, setting->key, "the file cannot be read, or is too long");
        return;
    }
    keep_secret(parser, node, setting, (struct slice){text, len}, field);
    explicit_bzero(text, len);
    free(text);
}

static void set_secret(struct parser *parser, const struct yaml_node *node,
                       const struct setting *setting, struct slice *field)
{
    const struct yaml_node *key = node->type == YAML_MAPPING ? node->first : NULL;
    const struct yaml_node *value = key != NULL ? key->next : NULL;
    bool sound = key != NULL && value->next == NULL && is_scalar(value) && value->text.len > 0 &&
                 memchr(value->text.data, '\0', value->text.len) == NULL;

    if (sound && slice_equal(key->text, SLICE("file"))) {
        read_secret(parser, value, setting, field);
    } else if (sound && slice_equal(key->text, SLICE("env"))) {
        const char *secret = getenv(value->text.data);
        if (secret == NULL)
            parser_wrong(parser, value, setting->key, "%.*s is not in the environment",
                         SLICE_ARG(value->text));
        else
            keep_secret(parser, value, setting, slice_of(secret), field);
    } else {
        parser_wrong(parser, node, setting->key,
                     "a secret does not stand here itself; write {file: PATH} or {env: NAME}");
    }
}

/* --- Listeners ------------------------------------------------------------------------------ */

/* "udp" of "udp:0.0.0.0:5060"; what is left is the address. */
static enum transport take_transport(struct slice *text)
{
    static const struct {
        struct slice name;
        enum transport transport;
    } names[] = {
        {{"udp:", 4}, TRANSPORT_UDP}, {{"tcp:", 4}, TRANSPORT_TCP}, {{"tls:", 4}, TRANSPORT_TLS},
        {{"wss:", 4}, TRANSPORT_WSS}, {{"ws:", 3}, TRANSPORT_WS},
    };

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (slice_starts_with(*text, names[i].name)) {
            slice_take(text, names[i].name.len);
            return names[i].transport;
        }
    return TRANSPORT_NONE;
}

static void set_at(struct parser *parser, const struct yaml_node *node,
                   const struct setting *setting, struct listener *listener)
{
    struct slice rest = is_scalar(node) ? node->text : SLICE_EMPTY;
    enum transport transport = take_transport(&rest);

    if (transport == TRANSPORT_NONE || addr_parse_with_port(rest, &listener->bound) != OK) {
        wrong_value(parser, node, setting,
                    "transport:address:port; write one such as udp:0.0.0.0:5060 or "
                    "tcp:[::]:5060");
        return;
    }
    listener->transport = (uint8_t)transport;
}

/* "sip.example.com" or "192.0.2.1:5060" */
static bool good_advertise(struct slice text)
{
    struct addr ignored;
    uint64_t port;
    size_t colon = slice_find(text, ':');

    if (addr_parse(text, 0, &ignored) == OK || addr_parse_with_port(text, &ignored) == OK)
        return true;
    if (colon == SIZE_MAX)
        return value_host_name(text);
    return value_host_name((struct slice){text.data, colon}) &&
           value_u64(slice_from(text, colon + 1), &port) && port > 0 && port < 65536;
}

static void set_hop(struct parser *parser, const struct yaml_node *node,
                    const struct setting *setting, struct slice *field)
{
    struct slice rest = is_scalar(node) ? node->text : SLICE_EMPTY;
    enum transport transport = take_transport(&rest);
    struct addr bare;
    bool bare_v6 =
        addr_parse(rest, 0, &bare) == OK && bare.family == ADDR_V6 && rest.data[0] != '[';

    if (transport == TRANSPORT_NONE || transport > TRANSPORT_TLS || bare_v6 ||
        !good_advertise(rest)) {
        wrong_value(parser, node, setting,
                    "transport:host or transport:host:port; write one such as udp:10.0.0.1:5060");
        return;
    }
    size_t size = rest.len + sizeof "sip:;transport=udp";
    char *text = result_alloc(parser, size);
    if (text == NULL)
        return;
    struct builder b = builder_over(text, size);
    builder_text(&b, "sip:");
    builder_add(&b, rest);
    builder_text(&b, ";transport=");
    builder_add(&b, slice_of(transport_word((uint8_t)transport)));
    assert(!b.overflow);
    *field = builder_slice(&b);
}

static void set_advertised(struct parser *parser, const struct yaml_node *node,
                           const struct setting *setting, struct listener *listener)
{
    bool at = false;

    for (const struct yaml_node *key = node->first; key != NULL; key = key->next->next) {
        const struct yaml_node *value = key->next;
        if (slice_equal(key->text, SLICE("at"))) {
            at = true;
            set_at(parser, value, setting, listener);
        } else if (!slice_equal(key->text, SLICE("advertise"))) {
            parser_wrong(parser, key, setting->key,
                         "'%.*s' is unknown here; only at and advertise are", SLICE_ARG(key->text));
        } else if (!is_scalar(value) || !good_advertise(value->text)) {
            wrong_value(parser, value, setting,
                        "what others reach us by; write a host or host:port");
        } else {
            listener->advertise = parser_keep(parser, value->text);
        }
    }
    if (!at)
        parser_wrong(
            parser, node, setting->key,
            "a listener without `at`; write {at: udp:0.0.0.0:5060, advertise: sip.example.com}");
}

static void set_listen(struct parser *parser, const struct yaml_node *node,
                       const struct setting *setting)
{
    const struct yaml_node *item;
    uint32_t count;

    if (!items_of(parser, node, setting, "a list of listeners", &item, &count))
        return;
    struct listener *items = result_alloc(parser, count * sizeof *items);
    if (items == NULL)
        return;
    for (uint32_t i = 0; i < count; i++, item = item->next) {
        if (item->type == YAML_MAPPING)
            set_advertised(parser, item, setting, &items[i]);
        else
            set_at(parser, item, setting, &items[i]);
        for (uint32_t j = 0; j < i; j++)
            if (items[i].transport != TRANSPORT_NONE && items[j].transport == items[i].transport &&
                addr_equal(&items[j].bound, &items[i].bound))
                parser_wrong(parser, item, setting->key, "is there twice; remove one");
    }
    parser->config->listeners = items;
    parser->config->listener_count = count;
}

/* --- Store and control ---------------------------------------------------------------------- */

static void set_store(struct parser *parser, const struct yaml_node *node,
                      const struct setting *setting)
{
    struct slice text = is_scalar(node) ? node->text : SLICE_EMPTY;
    const struct slice sqlite = SLICE("sqlite:");

    if (slice_equal(text, SLICE("memory"))) {
        parser->config->store.memory = true;
        return;
    }
    if (slice_starts_with(text, SLICE("postgresql:"))) {
        parser_wrong(parser, node, setting->key,
                     "PostgreSQL is not built yet in this version; use sqlite:PATH");
        return;
    }
    if (!slice_starts_with(text, sqlite) || text.len == sqlite.len ||
        memchr(text.data, '\0', text.len) != NULL) {
        wrong_value(parser, node, setting, "a store; write sqlite:PATH or memory");
        return;
    }
    parser->config->store.path = keep_path(parser, slice_from(text, sqlite.len));
}

static void set_control(struct parser *parser, const struct yaml_node *node,
                        const struct setting *setting)
{
    struct slice text = is_scalar(node) ? node->text : SLICE_EMPTY;
    const struct slice prefix = SLICE("unix:");

    if (!slice_starts_with(text, prefix) || text.len == prefix.len ||
        memchr(text.data, '\0', text.len) != NULL) {
        wrong_value(parser, node, setting, "a socket; write unix:PATH");
        return;
    }
    struct slice path = keep_path(parser, slice_from(text, prefix.len));
    if (path.len > SOCKET_PATH_MAX)
        parser_wrong(parser, node, setting->key, "the path has %zu bytes; at most %d are possible",
                     path.len, SOCKET_PATH_MAX);
    parser->config->control = path;
}

/* --- One row -------------------------------------------------------------------------------- */

void parser_set(struct parser *parser, const struct setting *setting, const struct yaml_node *node)
{
    static const char *const formats[] = {"text", "json"};
    static const char *const pings[] = {"options", "crlf", "off"};
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    struct config *config = parser->config;
    void *field = (char *)config + setting->offset;
    int choice = 0;

    switch (setting->type) {
    case SETTING_NOT_BUILT:
        parser_wrong(parser, node, setting->key, "%s: not built yet in this version; remove it",
                     setting->meaning);
        break;
    case SETTING_BOOL:
        set_bool(parser, node, setting, field);
        break;
    case SETTING_COUNT:
    case SETTING_MS:
    case SETTING_SECONDS:
    case SETTING_SIZE:
        set_number(parser, node, setting, field);
        break;
    case SETTING_HOST:
        if (!is_scalar(node) || !value_host_name(node->text))
            wrong_value(parser, node, setting, "a realm; write one such as example.com");
        else
            *(struct slice *)field = parser_keep(parser, node->text);
        break;
    case SETTING_CURRENCY:
        if (!is_scalar(node) || !value_currency(node->text))
            wrong_value(parser, node, setting, "a currency; write three letters such as USD");
        else
            *(struct slice *)field = parser_keep(parser, node->text);
        break;
    case SETTING_ZONE:
        set_zone(parser, node, setting, field);
        break;
    case SETTING_HOP:
        set_hop(parser, node, setting, field);
        break;
    case SETTING_URL:
        set_url(parser, node, setting, field);
        break;
    case SETTING_SECRET:
        set_secret(parser, node, setting, field);
        break;
    case SETTING_PROVIDERS:
        set_providers(parser, node, setting, field);
        break;
    case SETTING_BASE64URL:
        if (!is_scalar(node) || node->text.len > setting->max || !value_base64url(node->text))
            wrong_value(parser, node, setting, "a key in base64url");
        else
            *(struct slice *)field = parser_keep(parser, node->text);
        break;
    case SETTING_ADDRESS:
        set_address(parser, node, setting, field);
        break;
    case SETTING_SERVERS:
        set_servers(parser, node, setting, field);
        break;
    case SETTING_NETWORKS:
        set_networks(parser, node, setting, field);
        break;
    case SETTING_ALGORITHMS:
        set_algorithms(parser, node, setting, field);
        break;
    case SETTING_PATHS:
        set_paths(parser, node, setting, field);
        break;
    case SETTING_DOMAINS:
        set_domains(parser, node, setting, field);
        break;
    case SETTING_LISTEN:
        set_listen(parser, node, setting);
        break;
    case SETTING_ORIGINS:
        set_origins(parser, node, setting, field);
        break;
    case SETTING_CONTROL:
        set_control(parser, node, setting);
        break;
    case SETTING_STORE:
        set_store(parser, node, setting);
        break;
    case SETTING_LOG_FORMAT:
        set_choice(parser, node, setting, formats, COUNT_OF(formats), "text or json; write one",
                   &choice);
        config->log.format = (enum config_log_format)choice;
        break;
    case SETTING_LOG_LEVEL:
        set_choice(parser, node, setting, levels, COUNT_OF(levels),
                   "error, warning, info or debug; write one", &choice);
        config->log.level = (enum config_log_level)choice;
        break;
    case SETTING_NAT_PING:
        set_choice(parser, node, setting, pings, COUNT_OF(pings), "options, crlf or off; write one",
                   &choice);
        config->nat.ping = (enum config_nat_ping)choice;
        break;
    }
}
