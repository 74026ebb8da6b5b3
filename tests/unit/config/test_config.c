/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strowger.yaml: what it means, and what is said when it is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "config/values.h"

enum {
    TEXT_MAX = 65536
};

/* All errors, one a line. */
static const char *all_errors(const struct config_errors *errors)
{
    static char text[TEXT_MAX];
    struct builder b = builder_over(text, sizeof text - 1);

    for (size_t i = 0; i < errors->count; i++) {
        config_error_write(&errors->items[i], &b);
        builder_char(&b, '\n');
    }
    text[b.len] = '\0';
    return text;
}

static struct config *parse(const char *text)
{
    struct config_errors errors = {0};
    struct config *config = NULL;

    if (config_parse(slice_of(text), "f.yaml", &errors, &config) != OK)
        fail_msg("%s", all_errors(&errors));
    assert_int_equal(0, errors.count);
    config_errors_release(&errors);
    return config;
}

static void assert_slice(const char *expected, struct slice got)
{
    if (!slice_equal(slice_of(expected), got))
        fail_msg("'%s' expected, '%.*s' is there", expected, SLICE_ARG(got));
}

static void without_a_file_the_defaults_hold(void **state)
{
    (void)state;
    struct config_errors errors = {0};
    struct config *config = NULL;
    char text[ADDR_TEXT_MAX];

    assert_int_equal(OK, config_load(NULL, &errors, &config));
    assert_int_equal(1, config->domains.count);
    assert_slice("localhost", config->domains.items[0]);
    assert_int_equal(5, config->listener_count);
    assert_int_equal(TRANSPORT_UDP, config->listeners[0].transport);
    assert_string_equal("127.0.0.1:5060", addr_text(&config->listeners[0].bound, text));
    assert_int_equal(TRANSPORT_TCP, config->listeners[1].transport);
    assert_int_equal(TRANSPORT_TLS, config->listeners[2].transport);
    assert_string_equal("127.0.0.1:5061", addr_text(&config->listeners[2].bound, text));
    assert_int_equal(TRANSPORT_WS, config->listeners[3].transport);
    assert_string_equal("127.0.0.1:5066", addr_text(&config->listeners[3].bound, text));
    assert_int_equal(TRANSPORT_WSS, config->listeners[4].transport);
    assert_string_equal("127.0.0.1:5067", addr_text(&config->listeners[4].bound, text));
    assert_true(config->auth.required);
    assert_slice("localhost", config->auth.realm);
    assert_int_equal(1, config->auth.algorithms[0]);
    assert_int_equal(0, config->auth.algorithms[1]);
    assert_int_equal(300000, config->auth.nonce_lifetime_ms);
    assert_int_equal(3600, config->registrar.default_expires_s);
    assert_int_equal(60, config->registrar.min_expires_s);
    assert_int_equal(7200, config->registrar.max_expires_s);
    assert_int_equal(10, config->registrar.max_contacts);
    assert_int_equal(180000, config->proxy.timer_c_ms);
    assert_string_equal("127.0.0.1:8080", addr_text(&config->http.listen, text));
    assert_slice("./strowger.db", config->store.path);
    assert_false(config->store.memory);
    assert_true(config->records);
    assert_int_equal(CONFIG_LOG_INFO, config->log.level);
    assert_int_equal(35000, config->drain_ms);
    assert_int_equal(UINT64_C(1) << 30, config->limits.journal);
    config_free(config);
}

static void every_key_arrives_in_its_field(void **state)
{
    (void)state;
    struct config *config =
        parse("domains: [Example.COM, 192.0.2.1]\n"
              "listen:\n"
              "  - udp:0.0.0.0:5060\n"
              "  - {at: 'tcp:[::]:5070', advertise: sip.example.com:5071}\n"
              "workers: 4\n"
              "currency: EUR\n"
              "auth:\n"
              "  required: no\n"
              "  realm: voice.example.com\n"
              "  algorithms: [SHA-256, MD5]\n"
              "  nonce_lifetime: 90s\n"
              "  trusted: [192.0.2.0/24, '2001:db8::/32', 198.51.100.1]\n"
              "insecure: true\n"
              "registrar: {default_expires: 10m, min_expires: 30s, max_expires: 1h, "
              "max_contacts: 3}\n"
              "proxy: {timer_c: 200s, recurse_on_3xx: Yes}\n"
              "http: {listen: 0.0.0.0:80, plain: on, trusted_proxies: 10.0.0.0/8}\n"
              "control: unix:run/c.sock\n"
              "store: memory\n"
              "records: off\n"
              "log: {format: json, level: debug}\n"
              "drain: 0s\n"
              "limits: {transactions: 1000, memory: 64MiB, connections: 7, "
              "connections_per_address: 3, journal: 2GiB}\n");
    assert_slice("example.com", config->domains.items[0]);
    assert_slice("192.0.2.1", config->domains.items[1]);
    assert_int_equal(5070, config->listeners[1].bound.port);
    assert_int_equal(ADDR_V6, config->listeners[1].bound.family);
    assert_slice("sip.example.com:5071", config->listeners[1].advertise);
    assert_int_equal(4, config->workers);
    assert_slice("EUR", config->currency);
    assert_false(config->auth.required);
    assert_slice("voice.example.com", config->auth.realm);
    assert_int_equal(2, config->auth.algorithms[0]);
    assert_int_equal(1, config->auth.algorithms[1]);
    assert_int_equal(90000, config->auth.nonce_lifetime_ms);
    assert_int_equal(3, config->auth.trusted.count);
    assert_int_equal(32, config->auth.trusted.items[2].bits);
    assert_int_equal(600, config->registrar.default_expires_s);
    assert_int_equal(3, config->registrar.max_contacts);
    assert_int_equal(200000, config->proxy.timer_c_ms);
    assert_true(config->proxy.recurse_on_3xx);
    assert_int_equal(1, config->http.trusted_proxies.count);
    assert_slice("run/c.sock", config->control);
    assert_true(config->store.memory);
    assert_int_equal(CONFIG_LOG_JSON, config->log.format);
    assert_int_equal(CONFIG_LOG_DEBUG, config->log.level);
    assert_int_equal(0, config->drain_ms);
    assert_int_equal(64 << 20, config->limits.memory);
    assert_int_equal(3, config->limits.connections_per_address);
    config_free(config);
}

static void relative_paths_start_at_the_file(void **state)
{
    (void)state;
    static const struct {
        const char *file, *text, *path;
    } cases[] = {
        {"/etc/strowger/f.yaml", "store: sqlite:s.db", "/etc/strowger/s.db"},
        {"/etc/strowger/f.yaml", "store: sqlite:/var/s.db", "/var/s.db"},
        {"conf/f.yaml", "store: sqlite:../s.db", "conf/../s.db"},
        {"f.yaml", "store: sqlite:s.db", "s.db"},
        {"conf/f.yaml", "", "conf/./strowger.db"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct config_errors errors = {0};
        struct config *config = NULL;
        assert_int_equal(OK,
                         config_parse(slice_of(cases[i].text), cases[i].file, &errors, &config));
        assert_slice(cases[i].path, config->store.path);
        config_free(config);
    }
}

static void the_registrar_behind_an_edge_is_a_uri(void **state)
{
    (void)state;
    static const struct {
        const char *text, *uri;
    } cases[] = {
        {"udp:10.0.0.1:5070", "sip:10.0.0.1:5070;transport=udp"},
        {"tcp:sip.example.com", "sip:sip.example.com;transport=tcp"},
        {"tls:[2001:db8::1]:5061", "sip:[2001:db8::1]:5061;transport=tls"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[128];
        snprintf(text, sizeof text, "edge: {domains: [A.Example], registrar: '%s'}", cases[i].text);
        struct config *config = parse(text);
        assert_slice(cases[i].uri, config->edge.registrar);
        assert_slice("a.example", config->edge.domains.items[0]);
        config_free(config);
    }
}

static void http_can_be_off(void **state)
{
    (void)state;
    struct config *config = parse("http: {listen: off}");
    assert_true(config->http.off);
    config_free(config);
}

static void ours_gives_way_to_what_is_written(void **state)
{
    (void)state;
    struct config *config = parse("registrar: {max_expires: 10m}");
    assert_int_equal(600, config->registrar.default_expires_s);
    config_free(config);
    config = parse("registrar: {min_expires: 90m}");
    assert_int_equal(5400, config->registrar.default_expires_s);
    config_free(config);
}

static void a_secret_is_read_from_where_it_lies(void **state)
{
    static const char form[] = "push: {url: 'https://p.example/x', secret: {%s: %s}}";
    char path[] = "/tmp/strowger-secret-XXXXXX", text[256];
    (void)state;

    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(22, write(fd, "a secret of twenty.. \n", 22));
    close(fd);
    snprintf(text, sizeof text, form, "file", path);
    struct config *config = parse(text);
    assert_slice("a secret of twenty.. ", config->push.secret);
    assert_slice("https://p.example/x", config->push.url);
    assert_int_equal(3, config->push.providers.count);
    config_free(config);

    assert_int_equal(0, setenv("STROWGER_TEST_SECRET", "sixteen bytes...", 1));
    snprintf(text, sizeof text, form, "env", "STROWGER_TEST_SECRET");
    config = parse(text);
    assert_slice("sixteen bytes...", config->push.secret);
    config_free(config);

    struct config_errors errors = {0};
    assert_int_equal(0, setenv("STROWGER_TEST_SECRET", "fifteen bytes..", 1));
    assert_int_equal(ERR_SYNTAX, config_parse(slice_of(text), "f.yaml", &errors, &config));
    assert_non_null(strstr(all_errors(&errors), "the secret has 15 bytes; 16 to 1024 are needed"));
    assert_null(strstr(all_errors(&errors), "fifteen")); /* nothing of it is shown */
    config_errors_release(&errors);
    unsetenv("STROWGER_TEST_SECRET");
    unlink(path);
}

static void there_must_be_time_to_wake_a_phone(void **state)
{
    (void)state;
    struct config_errors errors = {0};
    struct config *config = NULL;

    assert_int_equal(0, setenv("STROWGER_TEST_SECRET", "sixteen bytes...", 1));
    config_free(parse("push: {url: 'https://p.example/x', secret: {env: STROWGER_TEST_SECRET}}\n"
                      "registrar: {default_expires: 6m}"));
    assert_int_equal(
        ERR_SYNTAX,
        config_parse(
            SLICE("push: {url: 'https://p.example/x', secret: {env: STROWGER_TEST_SECRET}}\n"
                  "registrar: {default_expires: 5m}"),
            "f.yaml", &errors, &config));
    assert_non_null(strstr(all_errors(&errors), "leaves no time to wake them; give at most 60s"));
    config_errors_release(&errors);
    unsetenv("STROWGER_TEST_SECRET");
}

static void anchors_and_merges_work(void **state)
{
    (void)state;
    struct config *config = parse("registrar: &r {min_expires: &t 5m, max_contacts: 2}\n"
                                  "proxy: {timer_c: *t}\n"
                                  "limits: {<<: {transactions: 500}}\n");
    assert_int_equal(300000, config->proxy.timer_c_ms);
    assert_int_equal(500, config->limits.transactions);
    config_free(config);
}

/* Every broken file: all that is said about it, to the letter. */
static const struct {
    const char *why, *text, *errors;
} broken[] = {
    {"not YAML", "domains: [example.com\nworkers: 2\n",
     "f.yaml:3:1: error: is not YAML: flow sequence without a closing bracket; look at the quotes, "
     "brackets and indentation around here\n"},
    {"keys that nobody knows, at both levels",
     "lisen: [udp:127.0.0.1:5060]\nauth: {relm: x}\nfrobnicate: 1\nrealm: x\n"
     "domian: [a.b]\nstroe: x\n",
     "f.yaml:1:1: error: lisen: unknown key; did you mean listen?\n"
     "f.yaml:2:8: error: auth.relm: unknown key; did you mean realm?\n"
     "f.yaml:3:1: error: frobnicate: unknown key; docs/configuration.md has all of them\n"
     "f.yaml:4:1: error: realm: unknown key; did you mean auth.realm?\n"
     "f.yaml:5:1: error: domian: unknown key; did you mean domains?\n"
     "f.yaml:6:1: error: stroe: unknown key; did you mean store?\n"},
    {"numbers and durations",
     "workers: many\nproxy: {timer_c: 5}\nregistrar: {max_contacts: 65}\n"
     "limits: {memory: 1KiB}\ndrain: [1s]\n",
     "f.yaml:1:10: error: workers: 'many' is not a whole number; give one from 1 to 256\n"
     "f.yaml:2:18: error: proxy.timer_c: '5' is not a duration such as 20s, 5m, 1h or 90d; give "
     "one from 1s to 1d\n"
     "f.yaml:3:27: error: registrar.max_contacts: '65' is out of range; give one from 1 to 64\n"
     "f.yaml:4:18: error: limits.memory: '1KiB' is out of range; give one from 16MiB to 1024GiB\n"
     "f.yaml:5:8: error: drain: a list is not a duration such as 20s, 5m, 1h or 90d; give one "
     "from 0ms to 1h\n"},
    {"listeners",
     "listen:\n  - udp:localhost:5060\n  - udp:127.0.0.1:99999\n  - sctp:127.0.0.1:5061\n"
     "  - {advertise: x}\n  - tcp:127.0.0.1:5060\n  - tcp:127.0.0.1:5060\n"
     "  - {at: udp:127.0.0.1:1, advertise: 'a b', port: 3}\n",
     "f.yaml:2:5: error: listen: 'udp:localhost:5060' is not transport:address:port; write one "
     "such as udp:0.0.0.0:5060 or tcp:[::]:5060\n"
     "f.yaml:3:5: error: listen: 'udp:127.0.0.1:99999' is not transport:address:port; write one "
     "such as udp:0.0.0.0:5060 or tcp:[::]:5060\n"
     "f.yaml:4:5: error: listen: 'sctp:127.0.0.1:5061' is not transport:address:port; write one "
     "such as udp:0.0.0.0:5060 or tcp:[::]:5060\n"
     "f.yaml:5:5: error: listen: a listener without `at`; write {at: udp:0.0.0.0:5060, advertise: "
     "sip.example.com}\n"
     "f.yaml:7:5: error: listen: is there twice; remove one\n"
     "f.yaml:8:38: error: listen: 'a b' is not what others reach us by; write a host or "
     "host:port\n"
     "f.yaml:8:45: error: listen: 'port' is unknown here; only at and advertise are\n"},
    {"half an edge", "edge: {domains: [a.example, b.example]}\n",
     "f.yaml:1:17: error: edge.domains: needs to know where their registrar is; give `registrar: "
     "udp:10.0.0.1:5060` below edge\n"},
    {"an edge for nobody", "edge: {registrar: 'tcp:sip.example.com'}\n",
     "f.yaml:1:19: error: edge.registrar: is for no domain; give `domains: [example.com]` below "
     "edge\n"},
    {"an edge of our own domain",
     "domains: [a.example]\nedge: {domains: [A.example], registrar: 'udp:10.0.0.1:5060'}\n",
     "f.yaml:2:17: error: edge.domains: a.example is in domains, too: either we are its registrar, "
     "or its edge\n"},
    {"no way to a registrar", "edge: {domains: [a.example], registrar: '10.0.0.1:5060'}\n",
     "f.yaml:1:41: error: edge.registrar: '10.0.0.1:5060' is not transport:host or "
     "transport:host:port; write one such as udp:10.0.0.1:5060\n"},
    {"a push gateway that is none",
     "push:\n  url: http://push.example.com/\n  secret: hunter2hunter2hunter2\n"
     "  providers: [apns, APNS, 'a b']\n  vapid: 'a+b'\n  wait: 5m\n",
     "f.yaml:2:8: error: push.url: 'http://push.example.com/' is not a URL; write one such as "
     "https://push.example.com/strowger\n"
     "f.yaml:3:11: error: push.secret: a secret does not stand here itself; write {file: PATH} or "
     "{env: NAME}\n"
     "f.yaml:4:21: error: push.providers: APNS is there twice; remove one\n"
     "f.yaml:4:27: error: push.providers: 'a b' is not a push service; write one such as apns\n"
     "f.yaml:5:10: error: push.vapid: 'a+b' is not a key in base64url\n"
     "f.yaml:6:9: error: push.wait: '5m' is out of range; give one from 1s to 2m\n"},
    {"a push gateway that knows nobody", "push: {url: 'https://push.example.com/'}\n",
     "f.yaml:1:13: error: push.url: needs a secret, by which the gateway knows us; give `secret: "
     "{file: push.key}` below push\n"},
    {"a secret that is not there",
     "push: {url: 'https://push.example.com/', secret: {env: STROWGER_NO_SUCH}}\n",
     "f.yaml:1:56: error: push.secret: STROWGER_NO_SUCH is not in the environment\n"},
    {"TLS without what it needs", "listen: tls:0.0.0.0:5061\n",
     "f.yaml:1:9: error: listen: TLS where others can reach us needs "
     "a certificate; give `tls: {certificate: cert.pem, key: key.pem}`\n"},
    {"TLS below WebSocket without what it needs",
     "listen: [wss:127.0.0.1:5067, ws:0.0.0.0:5066, 'wss:[::]:5067']\n",
     "f.yaml:1:9: error: listen: TLS where others can reach us needs "
     "a certificate; give `tls: {certificate: cert.pem, key: key.pem}`\n"},
    {"origins",
     "ws:\n  ping: 1ms\n  origins:\n    - https://a.example:8443\n    - 'null'\n    - "
     "http://[::1]\n"
     "    - https://a.example/\n    - a.example\n    - wss://a.example\n    - https://a.example:0\n"
     "    - https://\n    - [x]\n    - https://a.example:443\n    - http://a.example:443\n",
     "f.yaml:2:9: error: ws.ping: '1ms' is out of range; give one from 1s to 1h\n"
     "f.yaml:7:7: error: ws.origins: 'https://a.example/' is not an origin; write one such as "
     "https://phone.example.com, without a path or the scheme's own port\n"
     "f.yaml:8:7: error: ws.origins: 'a.example' is not an origin; write one such as "
     "https://phone.example.com, without a path or the scheme's own port\n"
     "f.yaml:9:7: error: ws.origins: 'wss://a.example' is not an origin; write one such as "
     "https://phone.example.com, without a path or the scheme's own port\n"
     "f.yaml:10:7: error: ws.origins: 'https://a.example:0' is not an origin; write one such as "
     "https://phone.example.com, without a path or the scheme's own port\n"
     "f.yaml:11:7: error: ws.origins: 'https://' is not an origin; write one such as "
     "https://phone.example.com, without a path or the scheme's own port\n"
     "f.yaml:12:7: error: ws.origins: a list is not an origin; write one such as "
     "https://phone.example.com, without a path or the scheme's own port\n"
     "f.yaml:13:7: error: ws.origins: 'https://a.example:443' is not an origin; write one such as "
     "https://phone.example.com, without a path or the scheme's own port\n"},
    {"keys for other certificates", "tls: {certificate: [a.pem, b.pem], key: a.key}\n",
     "f.yaml:1:41: error: tls.key: has 1 files for 2 certificates; give each its key, in the same "
     "order\n"},
    {"files without a name", "tls: {certificate: '', client_ca: [a, b]}\n",
     "f.yaml:1:20: error: tls.certificate: '' is not the path of a file\n"
     "f.yaml:1:35: error: tls.client_ca: has 2 items; give 1 to 1\n"},
    {"rooms that are not built",
     "cluster: redis://127.0.0.1\nmedia: []\nmail: {}\ntrack: {}\n"
     "http: {tls_listen: 127.0.0.1:8443}\nstore: postgresql://u@h/db\n",
     "f.yaml:1:1: error: cluster: more than one node: not built yet in this version; remove it\n"
     "f.yaml:2:1: error: media: media relays: not built yet in this version; remove it\n"
     "f.yaml:3:1: error: mail: mail: not built yet in this version; remove it\n"
     "f.yaml:4:1: error: track: call tracking on web sites: not built yet in this version; remove "
     "it\n"
     "f.yaml:5:8: error: http.tls_listen: HTTPS: not built yet in this version; remove it\n"
     "f.yaml:6:8: error: store: PostgreSQL is not built yet in this version; use sqlite:PATH\n"},
    {"no authentication for the world", "listen: [udp:0.0.0.0:5060]\nauth:\n  required: no\n",
     "f.yaml:3:13: error: auth.required: without authentication anybody who reaches us could make "
     "calls; listen on 127.0.0.1 only, or say `insecure: yes`\n"},
    {"trust in the world",
     "listen: [udp:0.0.0.0:5060]\nauth:\n  trusted: [10.0.0.0/8, 0.0.0.0/0,\n    'fc00::/7', "
     "2001:db8::/32, 128.0.0.0/1, '::/0']\n",
     "f.yaml:3:25: error: auth.trusted: who is in 0.0.0.0/0 could call anywhere through us, in any "
     "name, without a password; name your own networks, or say `insecure: yes`\n"
     "f.yaml:4:32: error: auth.trusted: who is in 128.0.0.0/1 could call anywhere through us, in "
     "any name, without a password; name your own networks, or say `insecure: yes`\n"
     "f.yaml:4:45: error: auth.trusted: who is in ::/0 could call anywhere through us, in any "
     "name, without a password; name your own networks, or say `insecure: yes`\n"},
    {"trust in the world, as one word", "listen: udp:0.0.0.0:5060\nauth: {trusted: 0.0.0.0/0}\n",
     "f.yaml:2:17: error: auth.trusted: who is in 0.0.0.0/0 could call anywhere through us, in any "
     "name, without a password; name your own networks, or say `insecure: yes`\n"},
    {"plain HTTP for the world", "http:\n  listen: 0.0.0.0:8080\n",
     "f.yaml:2:11: error: http.listen: plain HTTP where others can listen in; use 127.0.0.1, or "
     "say `plain: yes` below http\n"},
    {"what belongs to authentication",
     "auth: {required: perhaps, algorithms: [MD5, SHA-1, MD5], trusted: [10.0.0.0/33],\n"
     "  realm: 'a b'}\n",
     "f.yaml:1:18: error: auth.required: 'perhaps' is not yes or no; write one of them\n"
     "f.yaml:1:45: error: auth.algorithms: 'SHA-1' is not a digest algorithm; use MD5, SHA-256 or "
     "SHA-512-256\n"
     "f.yaml:1:52: error: auth.algorithms: MD5 is there twice; remove one\n"
     "f.yaml:1:68: error: auth.trusted: '10.0.0.0/33' is not a network; write one such as "
     "192.0.2.0/24\n"
     "f.yaml:2:10: error: auth.realm: 'a b' is not a realm; write one such as example.com\n"},
    {"times that contradict each other", "registrar: {min_expires: 1h, max_expires: 30m}\n",
     "f.yaml:1:43: error: registrar.max_expires: is less than min_expires; make it at least "
     "3600s\n"},
    {"a default outside of its limits", "registrar:\n  default_expires: 3h\n",
     "f.yaml:2:20: error: registrar.default_expires: is not between min_expires and max_expires; "
     "give 60s to 7200s\n"},
    {"a key twice", "workers: 1\nworkers: 2\n",
     "f.yaml:2:1: error: workers: is there twice; remove one\n"},
    {"a list instead of keys", "- workers\n",
     "f.yaml:1:1: error: the file must be a mapping; write lines such as `domains: "
     "[example.com]`\n"},
    {"a word instead of keys", "log: verbose\n",
     "f.yaml:1:6: error: log: 'verbose' stands where keys belong; write log: {...}\n"},
    {"words of a choice, names and paths",
     "log: {level: loud, format: xml}\ntime_zone: Mars/Olympus\ncurrency: usd\n"
     "domains: [a_b, x.org, X.org]\nstore: s.db\ncontrol: /run/x\ninsecure:\n",
     "f.yaml:1:14: error: log.level: 'loud' is not error, warning, info or debug; write one\n"
     "f.yaml:1:28: error: log.format: 'xml' is not text or json; write one\n"
     "f.yaml:2:12: error: time_zone: 'Mars/Olympus' is not a known time zone; give an IANA name "
     "such as America/New_York\n"
     "f.yaml:3:11: error: currency: 'usd' is not a currency; write three letters such as USD\n"
     "f.yaml:4:11: error: domains: 'a_b' is not a domain; write one such as example.com\n"
     "f.yaml:4:23: error: domains: X.org is there twice; remove one\n"
     "f.yaml:5:8: error: store: 's.db' is not a store; write sqlite:PATH or memory\n"
     "f.yaml:6:10: error: control: '/run/x' is not a socket; write unix:PATH\n"
     "f.yaml:7:1: error: insecure: nothing is not yes or no; write one of them\n"},
    {"an alias of nothing", "workers: *x\n",
     "f.yaml:1:10: error: an alias of nothing; give the anchor before it\n"},
    {"an alias of itself", "listen: &x [*x]\n",
     "f.yaml:1:13: error: an alias inside of what it stands for; name something else\n"},
    {"two documents", "workers: 1\n---\nworkers: 2\n",
     "f.yaml:3:1: error: a second document; only one is read, remove the `---` before it\n"},
    {"bytes that are no text", "workers: 1\nauth: {realm: \xff}\n",
     "f.yaml:2:15: error: a byte that is no text (0xff); save the file as UTF-8\n"},
    {"a directive", "%YAML 1.2\n---\nworkers: 1\n",
     "f.yaml:1:1: error: a directive; remove the line, or indent it\n"},
    {"a key of several lines", "users:\n  - &x ? name:\t:\n",
     "f.yaml:2:8: error: a `?` before a key; write `key: value`, or put the text in quotes\n"},
    {"no domain", "domains: []\n", "f.yaml:1:10: error: domains: has 0 items; give 1 to 1024\n"},
};

static void every_error_is_said_at_once_with_its_place(void **state)
{
    (void)state;
    bool failed = false;

    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        struct config_errors errors = {0};
        struct config *config = NULL;
        assert_int_equal(ERR_SYNTAX,
                         config_parse(slice_of(broken[i].text), "f.yaml", &errors, &config));
        if (strcmp(broken[i].errors, all_errors(&errors)) != 0) {
            print_error("%s:\n%sexpected:\n%s", broken[i].why, all_errors(&errors),
                        broken[i].errors);
            failed = true;
        }
        config_errors_release(&errors);
    }
    assert_false(failed);
}

static void errors_past_the_limit_are_counted(void **state)
{
    (void)state;
    static char text[TEXT_MAX];
    size_t len = 0;
    struct config_errors errors = {0};
    struct config *config = NULL;

    len += (size_t)snprintf(text + len, sizeof text - len, "auth: {trusted: [");
    for (unsigned i = 0; i < CONFIG_ERRORS_MAX + 5; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "x, ");
    snprintf(text + len, sizeof text - len, "]}");
    assert_int_equal(ERR_SYNTAX, config_parse(slice_of(text), "f.yaml", &errors, &config));
    assert_int_equal(CONFIG_ERRORS_MAX, errors.count);
    assert_int_equal(5, errors.dropped);
    config_errors_release(&errors);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct config_errors errors = {0};
    struct config *config = NULL;

    assert_int_equal(ERR_NOT_FOUND, config_load("/nonexistent/f.yaml", &errors, &config));
    assert_string_equal("/nonexistent/f.yaml: error: cannot be opened: No such file or directory\n",
                        all_errors(&errors));
    config_errors_release(&errors);
}

/* What repeats itself must not grow: ten levels of ten aliases are 10^10 scalars if copied. */
static void aliases_do_not_multiply(void **state)
{
    (void)state;
    struct config_errors errors = {0};
    struct config *config = NULL;
    const char *text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
                       "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                       "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                       "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                       "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
                       "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
                       "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
                       "h: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"
                       "i: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]\n"
                       "domains: *i\n";

    assert_int_equal(ERR_SYNTAX, config_parse(slice_of(text), "f.yaml", &errors, &config));
    config_errors_release(&errors);
}

static void depth_and_keys_have_limits(void **state)
{
    (void)state;
    static char text[TEXT_MAX];
    struct config_errors errors = {0};
    struct config *config = NULL;

    memset(text, '[', 33);
    memset(text + 33, ']', 33);
    assert_int_equal(ERR_SYNTAX,
                     config_parse((struct slice){text, 66}, "f.yaml", &errors, &config));
    assert_non_null(strstr(all_errors(&errors), "nested too deeply"));
    config_errors_release(&errors);
    size_t len = 0;
    for (unsigned i = 0; i < 257; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "k%u: 1\n", i);
    assert_int_equal(ERR_SYNTAX,
                     config_parse((struct slice){text, len}, "f.yaml", &errors, &config));
    assert_non_null(strstr(all_errors(&errors), "too many keys in one mapping"));
    config_errors_release(&errors);
}

static void the_manual_shows_the_table(void **state)
{
    (void)state;
    static char table[TEXT_MAX];
    static char manual[TEXT_MAX];
    struct builder b = builder_over(table, sizeof table - 1);

    config_write_table(&b);
    table[b.len] = '\0';
    FILE *file = fopen("docs/configuration.md", "r");
    assert_non_null(file);
    size_t len = fread(manual, 1, sizeof manual - 1, file);
    manual[len] = '\0';
    fclose(file);
    if (strstr(manual, table) == NULL)
        fail_msg("docs/configuration.md does not have this table:\n%s", table);
}

static void values_follow_their_type(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint64_t ms;
    } durations[] = {
        {"500ms", true, 500},
        {"20s", true, 20000},
        {"5m", true, 300000},
        {"1h", true, 3600000},
        {"90d", true, UINT64_C(7776000000)},
        {"2w", true, 1209600000},
        {"0s", true, 0},
        {"", false, 0},
        {"5", false, 0},
        {"s", false, 0},
        {"5 s", false, 0},
        {"-5s", false, 0},
        {"1h30m", false, 0},
        {"5S", false, 0},
        {"18446744073709551615ms", true, UINT64_MAX},
        {"18446744073709551616ms", false, 0},
        {"18446744073709551615s", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(durations); i++) {
        uint64_t ms = 0;
        assert_int_equal(durations[i].good, value_duration_ms(slice_of(durations[i].text), &ms));
        assert_true(ms == durations[i].ms);
    }
    static const struct {
        const char *text;
        bool good;
    } hosts[] = {
        {"example.com", true}, {"a", true},     {"a-b.c", true}, {"", false},
        {".a", false},         {"a.", false},   {"a..b", false}, {"-a", false},
        {"a-", false},         {"a-.b", false}, {"a_b", false},  {"a b", false},
    };
    for (size_t i = 0; i < COUNT_OF(hosts); i++)
        assert_int_equal(hosts[i].good, value_host_name(slice_of(hosts[i].text)));
    assert_true(value_text(SLICE("Zo\xc3\xab \xf0\x9f\x93\x9e")));
    assert_false(value_text(SLICE("\xc0\x80")));
    assert_false(value_text(SLICE("a\nb")));
    assert_false(value_text(SLICE("\xed\xa0\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_the_defaults_hold),
        cmocka_unit_test(every_key_arrives_in_its_field),
        cmocka_unit_test(relative_paths_start_at_the_file),
        cmocka_unit_test(the_registrar_behind_an_edge_is_a_uri),
        cmocka_unit_test(http_can_be_off),
        cmocka_unit_test(ours_gives_way_to_what_is_written),
        cmocka_unit_test(a_secret_is_read_from_where_it_lies),
        cmocka_unit_test(there_must_be_time_to_wake_a_phone),
        cmocka_unit_test(anchors_and_merges_work),
        cmocka_unit_test(every_error_is_said_at_once_with_its_place),
        cmocka_unit_test(errors_past_the_limit_are_counted),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(aliases_do_not_multiply),
        cmocka_unit_test(depth_and_keys_have_limits),
        cmocka_unit_test(the_manual_shows_the_table),
        cmocka_unit_test(values_follow_their_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
