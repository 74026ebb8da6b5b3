/* SPDX-License-Identifier: Apache-2.0 */
#include "config/settings.h"

#include "base/push.h"
#include "base/text.h"
#include "config/values.h"

#define KEY(text)                                                                                  \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }
#define AT(field) offsetof(struct config, field)
#define NOT_BUILT(text, meaning)                                                                   \
    {                                                                                              \
        KEY(text), SETTING_NOT_BUILT, 0, NULL, 0, 0, meaning                                       \
    }

enum {
    PUSH_SECRET_BYTES_MIN = 16,
    PUSH_SECRET_BYTES_MAX = 1024,
    DAY_S = 86400,
    DAY_MS = 86400000
};

// clang-format off
const struct setting settings[] = {
    {KEY("domains"), SETTING_DOMAINS, AT(domains), "[localhost]", 1, CONFIG_ITEMS_MAX,
     "the domains that are ours; the first is the default"},
    {KEY("listen"), SETTING_LISTEN, 0,
     "[udp:127.0.0.1:5060, tcp:127.0.0.1:5060, tls:127.0.0.1:5061, ws:127.0.0.1:5066, "
     "wss:127.0.0.1:5067]",
     1, LISTENERS_MAX,
     "where SIP is taken: transport:address:port, or {at: ..., advertise: what others reach it "
     "by}"},
    {KEY("workers"), SETTING_COUNT, AT(workers), NULL, 1, 256,
     "worker threads; without it one per core"},
    {KEY("currency"), SETTING_CURRENCY, AT(currency), "USD", 0, 0,
     "of all money, as three letters (ISO 4217)"},
    {KEY("time_zone"), SETTING_ZONE, AT(time_zone), NULL, 0, 0,
     "of the business, such as America/New_York; without it the machine's"},
    {KEY("insecure"), SETTING_BOOL, AT(insecure), "no", 0, 0,
     "allows `auth.required: no`, and everybody in auth.trusted, where others than this machine can"
     " reach us"},
    {KEY("auth.required"), SETTING_BOOL, AT(auth.required), "yes", 0, 0,
     "phones must prove who they are"},
    {KEY("auth.realm"), SETTING_HOST, AT(auth.realm), NULL, 0, 0,
     "what passwords are for; without it the first domain"},
    {KEY("auth.algorithms"), SETTING_ALGORITHMS, AT(auth.algorithms), "[MD5]", 1, 3,
     "offered in this order: MD5, SHA-256, SHA-512-256"},
    {KEY("auth.nonce_lifetime"), SETTING_MS, AT(auth.nonce_lifetime_ms), "5m", 10000, DAY_MS,
     "how long an answer to one challenge is taken"},
    {KEY("auth.trusted"), SETTING_NETWORKS, AT(auth.trusted), "[]", 0, CONFIG_ITEMS_MAX,
     "networks that are never challenged, may call anywhere through us, in any name, and whose"
     " Path, P-Asserted-Identity and Remote-Party-ID are believed; not by WebSocket, where any"
     " page speaks that a browser there shows"},
    {KEY("registrar.default_expires"), SETTING_SECONDS, AT(registrar.default_expires_s), "1h",
     10, 365 * DAY_S, "for phones that name no time"},
    {KEY("registrar.min_expires"), SETTING_SECONDS, AT(registrar.min_expires_s), "60s",
     1, 365 * DAY_S, "shorter registrations are refused with 423"},
    {KEY("registrar.max_expires"), SETTING_SECONDS, AT(registrar.max_expires_s), "2h",
     10, 365 * DAY_S, "longer ones are cut to it"},
    {KEY("registrar.max_contacts"), SETTING_COUNT, AT(registrar.max_contacts), "10", 1, 64,
     "phones per address-of-record"},
    {KEY("registrar.flow_timer"), SETTING_SECONDS, AT(registrar.flow_timer_s), "2m", 0, DAY_S,
     "how often phones with RFC 5626 shall let hear of them on streams; 0s: as they like"},
    {KEY("registrar.gruu"), SETTING_BOOL, AT(registrar.gruu), "yes", 0, 0,
     "phones that ask for it are told addresses of their own that lead to them from everywhere"
     " (GRUU, RFC 5627)"},
    {KEY("registrar.edges"), SETTING_NETWORKS, AT(registrar.edges), "[]", 0, CONFIG_ITEMS_MAX,
     "edge proxies whose Path is believed; who comes through them is challenged as anybody. No"
     " packet limits"},
    {KEY("nat.ping"), SETTING_NAT_PING, AT(nat.ping), "options", 0, 0,
     "what is sent to phones on UDP behind NATs that do not keep their way open themselves (RFC"
     " 5626): options, whose answer shows that the phone is there; crlf, an empty line, which costs"
     " less and shows nothing; or off"},
    {KEY("nat.every"), SETTING_MS, AT(nat.every_ms), "25s", 1000, 3600000,
     "how often to each phone"},
    {KEY("nat.misses"), SETTING_COUNT, AT(nat.misses), "3", 1, 1000,
     "after so many without an answer a phone is reported; it stays registered"},
    {KEY("nat.rate"), SETTING_COUNT, AT(nat.rate), "2000", 10, 1000000,
     "a second, per worker, at most; with more phones each is asked less often"},
    {KEY("edge.domains"), SETTING_DOMAINS, AT(edge.domains), "[]", 0, CONFIG_ITEMS_MAX,
     "domains of a registrar behind us: what is for or from them goes there, and REGISTERs get our"
     " Path (RFC 5626)"},
    {KEY("edge.registrar"), SETTING_HOP, AT(edge.registrar), NULL, 0, 0,
     "where that is: transport:host, or transport:host:port"},
    {KEY("proxy.timer_c"), SETTING_MS, AT(proxy.timer_c_ms), "3m", 1000, DAY_MS,
     "how long a call may ring"},
    {KEY("proxy.recurse_on_3xx"), SETTING_BOOL, AT(proxy.recurse_on_3xx), "no", 0, 0,
     "follow a redirection instead of passing it on"},
    {KEY("proxy.refuse_no_audio"), SETTING_BOOL, AT(proxy.refuse_no_audio), "no", 0, 0,
     "refuse calls that cannot have audio with 488 instead of naming them in the log only: a"
     " private address offered across a NAT, plain RTP to a browser, a browser to a phone on UDP or"
     " TCP"},
    {KEY("dns.servers"), SETTING_SERVERS, AT(dns.servers), "[]", 0, 16,
     "the DNS servers to ask, address or address:port; without them those of /etc/resolv.conf as"
     " it was at the start. Best a resolver on this machine: who can write into the answers on the"
     " way sends the calls where he likes"},
    {KEY("dns.timeout"), SETTING_MS, AT(dns.timeout_ms), "1s", 50, 30000,
     "how long one server has for an answer; twice as long the next time"},
    {KEY("dns.tries"), SETTING_COUNT, AT(dns.tries), "2", 1, 10, "how often each server is asked"},
    {KEY("dns.wait"), SETTING_MS, AT(dns.wait_ms), "8s", 100, 30000,
     "how long a request waits for the name of its next hop; then what is known is used, or the"
     " answer is 504"},
    {KEY("push.url"), SETTING_URL, AT(push.url), NULL, 0, 0,
     "the gateway that wakes sleeping mobiles (RFC 8599), an https: URL; without it they are not"
     " woken"},
    {KEY("push.secret"), SETTING_SECRET, AT(push.secret), NULL, PUSH_SECRET_BYTES_MIN,
     PUSH_SECRET_BYTES_MAX,
     "signs what is sent there: {file: PATH} or {env: NAME}, 16 bytes at least"},
    {KEY("push.ca"), SETTING_PATHS, AT(push.ca), NULL, 1, 1,
     "who signs the gateway's certificate; without it the system's"},
    {KEY("push.providers"), SETTING_PROVIDERS, AT(push.providers), "[apns, fcm, webpush]", 1,
     PUSH_PROVIDERS_MAX,
     "what it can serve, as phones name it in pn-provider; others are refused with 555"},
    {KEY("push.vapid"), SETTING_BASE64URL, AT(push.vapid), NULL, 1, 128,
     "the gateway's public key for Web Push (RFC 8292), told to phones"},
    {KEY("push.wait"), SETTING_MS, AT(push.wait_ms), "20s", 1000, 120000,
     "how long a call waits for a phone that is woken; other requests 16s at most; then 480"},
    {KEY("push.waiting"), SETTING_COUNT, AT(push.waiting), "4096", 1, 1000000,
     "requests that wait, per worker, 16 of them for one user; then 480"},
    {KEY("push.awake"), SETTING_MS, AT(push.awake_ms), "10s", 0, 3600000,
     "a phone that has registered so lately is called at once"},
    {KEY("push.refresh"), SETTING_SECONDS, AT(push.refresh_s), "2m", 0, 1800,
     "so long before its registration ends a phone is woken to renew it; 0s: it is not"},
    {KEY("push.timeout"), SETTING_MS, AT(push.timeout_ms), "5s", 100, 60000,
     "how long the gateway has for an answer"},
    {KEY("push.tries"), SETTING_COUNT, AT(push.tries), "4", 1, 20,
     "how often it is asked when it does not answer, or with 408, 425, 429 or 5xx; as long as"
     " somebody waits"},
    {KEY("push.queue"), SETTING_COUNT, AT(push.queue), "1024", 16, 1000000,
     "phones that are being told of to the gateway; half of them to renew registrations; then 480"},
    {KEY("http.listen"), SETTING_ADDRESS, AT(http.listen), "127.0.0.1:8080", 0, 0,
     "the web page and the API; or off"},
    {KEY("http.plain"), SETTING_BOOL, AT(http.plain), "no", 0, 0,
     "allows plain HTTP on an address that others can reach"},
    {KEY("http.trusted_proxies"), SETTING_NETWORKS, AT(http.trusted_proxies), "[]", 0,
     CONFIG_ITEMS_MAX, "whose X-Forwarded-For is believed"},
    NOT_BUILT("http.tls_listen", "HTTPS"),
    {KEY("control"), SETTING_CONTROL, AT(control), NULL, 0, 0,
     "the socket of the command line, unix:PATH; without it unix:/run/strowger/control.sock for "
     "root, else strowger.sock in $XDG_RUNTIME_DIR"},
    {KEY("store"), SETTING_STORE, 0, "sqlite:./strowger.db", 0, 0,
     "sqlite:PATH, or memory: keeps nothing"},
    {KEY("records"), SETTING_BOOL, AT(records), "on", 0, 0,
     "call records: each attempt has one, begun in the journal before anybody hears of the call;"
     " off is for measuring; with store: memory there are none"},
    {KEY("calls.silence"), SETTING_MS, AT(calls_silence_ms), "12h", 60000, 7 * DAY_MS,
     "a call that is up, and in which no request has passed for so long, is taken for over"},
    {KEY("log.format"), SETTING_LOG_FORMAT, AT(log.format), "text", 0, 0, "text or json"},
    {KEY("log.level"), SETTING_LOG_LEVEL, AT(log.level), "info", 0, 0,
     "error, warning, info or debug"},
    {KEY("drain"), SETTING_MS, AT(drain_ms), "35s", 0, 3600000,
     "how long the end waits for what is under way"},
    {KEY("overload.target"), SETTING_MS, AT(overload.target_ms), "50ms", 1, 10000,
     "how long requests may wait for a worker before it refuses new calls and registrations with"
     " 503"},
    {KEY("overload.interval"), SETTING_MS, AT(overload.interval_ms), "100ms", 1, 60000,
     "for so long the wait must be longer before it does"},
    {KEY("overload.refresh_target"), SETTING_MS, AT(overload.refresh_target_ms), "200ms", 1, 60000,
     "how long the wait may be before phones that are registered are refused, too"},
    {KEY("limits.transactions"), SETTING_COUNT, AT(limits.transactions), "1000000", 100, 10000000,
     "per worker; then 503"},
    {KEY("limits.memory"), SETTING_SIZE, AT(limits.memory), "2GiB", 16 << 20, UINT64_C(1) << 40,
     "per worker; then 503"},
    {KEY("limits.connections"), SETTING_COUNT, AT(limits.connections), "100000", 1, 10000000,
     "per worker; then new ones are closed at once"},
    {KEY("limits.connections_per_address"), SETTING_COUNT, AT(limits.connections_per_address),
     "1000", 1, 10000000,
     "of one address, or the /64 of an IPv6 one, in all workers; then refused"},
    {KEY("limits.calls"), SETTING_COUNT, AT(limits.calls), "500000", 100, 10000000,
     "calls at once, with those that ended in the last half minute, per worker; then 503"},
    {KEY("limits.journal"), SETTING_SIZE, AT(limits.journal), "1GiB", 1 << 20, UINT64_C(1) << 40,
     "bytes the store's journal may take; then registrations and calls are refused"},
    {KEY("guard.exempt"), SETTING_NETWORKS, AT(guard.exempt), "[127.0.0.0/8, \"::1\"]", 0,
     CONFIG_ITEMS_MAX,
     "networks without packet limits, as auth.trusted; failed logins count there, too"},
    {KEY("guard.stranger_rate"), SETTING_COUNT, AT(guard.stranger_rate), "30", 0, 1000000,
     "packets a second from an address that nobody behind has proved himself from; four seconds'"
     " worth at once; 0: no limit, here and below"},
    {KEY("guard.strangers_rate"), SETTING_COUNT, AT(guard.strangers_rate), "1000", 0, 10000000,
     "packets a second from all such addresses together, over all workers"},
    {KEY("guard.stranger_calls"), SETTING_COUNT, AT(guard.stranger_calls), "50", 0, 1000000,
     "requests a second of all strangers together that reach our users, over all workers, by UDP"
     " and by streams each; one address has at most an eighth"},
    {KEY("guard.vouched_rate"), SETTING_COUNT, AT(guard.vouched_rate), "500", 0, 10000000,
     "packets a second from an address with a registered phone, a login or a call; four seconds'"
     " worth at once"},
    {KEY("guard.user_rate"), SETTING_COUNT, AT(guard.user_rate), "50", 0, 1000000,
     "requests a second of one user, per worker; four seconds' worth at once; then 503"},
    {KEY("guard.handshake_rate"), SETTING_COUNT, AT(guard.handshake_rate), "50", 0, 1000000,
     "TLS connections a second that one address may begin, registered or not, per worker; four"
     " seconds' worth at once; then they are closed at once"},
    {KEY("guard.sources"), SETTING_COUNT, AT(guard.sources), "262144", 64, 1 << 24,
     "addresses remembered, per worker"},
    {KEY("guard.glitches"), SETTING_COUNT, AT(guard.glitches), "30", 0, 10000,
     "points for garbage, unknown names and the like, per worker, one forgotten every 2 s; then a"
     " stranger's address is barred for guard.bar; 0: never"},
    {KEY("guard.login_failures"), SETTING_COUNT, AT(guard.login_failures), "10", 0, 10000,
     "wrong passwords for one user from one address in guard.login_window; then that pair is"
     " barred; 0: never"},
    {KEY("guard.address_login_failures"), SETTING_COUNT, AT(guard.address_login_failures), "50",
     0, 100000,
     "the same for one address and any users; then the address is barred, unless somebody behind"
     " it is known; 0: never"},
    {KEY("guard.login_window"), SETTING_MS, AT(guard.login_window_ms), "10m", 1000, DAY_MS,
     "in which failures are counted"},
    {KEY("guard.bar"), SETTING_MS, AT(guard.bar_ms), "1m", 1000, DAY_MS,
     "how long a first bar lasts; the next of the same pair twice as long"},
    {KEY("guard.bar_max"), SETTING_MS, AT(guard.bar_max_ms), "15m", 1000, DAY_MS,
     "up to that"},
    {KEY("tls.certificate"), SETTING_PATHS, AT(tls.certificate), NULL, 1, TLS_PAIRS_MAX,
     "PEM files, each with a certificate and its chain; the first is for who names no or another"
     " server; where only this machine listens, one is made if there is none"},
    {KEY("tls.key"), SETTING_PATHS, AT(tls.key), NULL, 1, TLS_PAIRS_MAX,
     "their private keys, in the same order; without it they are in the same files"},
    {KEY("tls.client_ca"), SETTING_PATHS, AT(tls.client_ca), NULL, 1, 1,
     "who signs the certificates of phones and peers; without it they are asked for none"},
    {KEY("tls.client_required"), SETTING_BOOL, AT(tls.client_required), "yes", 0, 0,
     "with client_ca: who shows no certificate is refused"},
    {KEY("tls.ca"), SETTING_PATHS, AT(tls.ca), NULL, 1, 1,
     "who signs the certificates of servers that we call; without it the system's"},
    {KEY("ws.origins"), SETTING_ORIGINS, AT(ws.origins), "[]", 0, CONFIG_ITEMS_MAX,
     "origins of the web pages whose phones may connect by WebSocket, such as"
     " https://phone.example.com; without any all may. Who names none is no browser, and may"},
    {KEY("ws.ping"), SETTING_MS, AT(ws.ping_ms), "30s", 1000, 3600000,
     "how often a WebSocket is pinged; one that has not answered until the next is closed"},
    NOT_BUILT("track", "call tracking on web sites"),
    NOT_BUILT("cluster", "more than one node"),
    NOT_BUILT("media", "media relays"),
    NOT_BUILT("mail", "mail"),
};
// clang-format on

const size_t settings_count = COUNT_OF(settings);

const struct setting *setting_find(struct slice key)
{
    for (size_t i = 0; i < settings_count; i++)
        if (slice_equal(settings[i].key, key))
            return &settings[i];
    return NULL;
}

bool setting_is_group(struct slice prefix)
{
    for (size_t i = 0; i < settings_count; i++)
        if (slice_starts_with(settings[i].key, prefix) && settings[i].key.len > prefix.len &&
            settings[i].key.data[prefix.len] == '.')
            return true;
    return false;
}

/* The word of `key` that stands below `prefix`; empty: none does. */
static struct slice word_below(struct slice key, struct slice prefix)
{
    if (prefix.len > 0) {
        if (!slice_starts_with(key, prefix) || key.len <= prefix.len || key.data[prefix.len] != '.')
            return SLICE_EMPTY;
        key = slice_from(key, prefix.len + 1);
    }
    size_t dot = slice_find(key, '.');
    return dot != SIZE_MAX ? (struct slice){key.data, dot} : key;
}

static struct slice last_word(struct slice key)
{
    size_t dot = slice_find(key, '.');
    return dot != SIZE_MAX ? slice_from(key, dot + 1) : key;
}

struct slice setting_nearest(struct slice prefix, struct slice word)
{
    unsigned limit = word.len < 4 ? 1 : word.len < 9 ? 2 : 3;
    struct slice best = SLICE_EMPTY;

    for (size_t i = 0; i < settings_count; i++) {
        struct slice other = word_below(settings[i].key, prefix);
        unsigned distance = other.len > 0 ? text_distance(word, other, limit) : limit + 1;
        if (distance <= limit) {
            limit = distance > 0 ? distance - 1 : 0;
            best = other;
        }
    }
    if (best.len > 0)
        return best;
    for (size_t i = 0; i < settings_count; i++) /* right word, wrong place */
        if (slice_equal_nocase(last_word(settings[i].key), word))
            return settings[i].key;
    return SLICE_EMPTY;
}

/* --- Documentation -------------------------------------------------------------------------- */

static void write_range(struct builder *b, const struct setting *setting)
{
    void (*write)(struct builder *, uint64_t) = setting->type == SETTING_COUNT ? builder_u64
                                                : setting->type == SETTING_SIZE
                                                    ? value_write_size
                                                    : value_write_duration;
    uint64_t unit = setting->type == SETTING_SECONDS ? 1000 : 1;

    if (setting->type != SETTING_COUNT && setting->type != SETTING_SIZE &&
        setting->type != SETTING_MS && setting->type != SETTING_SECONDS)
        return;
    builder_text(b, "; ");
    write(b, setting->min * unit);
    builder_text(b, " to ");
    write(b, setting->max * unit);
}

void config_write_table(struct builder *b)
{
    builder_text(b, "| key | default | meaning |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings[i];
        builder_text(b, "| `");
        builder_add(b, setting->key);
        builder_text(b, "` | ");
        if (setting->type == SETTING_NOT_BUILT) {
            builder_text(b, "not built yet | ");
        } else if (setting->standard != NULL) {
            builder_text(b, "`");
            builder_add(b, slice_of(setting->standard));
            builder_text(b, "` | ");
        } else {
            builder_text(b, "none | ");
        }
        builder_add(b, slice_of(setting->meaning));
        write_range(b, setting);
        builder_text(b, " |\n");
    }
}
