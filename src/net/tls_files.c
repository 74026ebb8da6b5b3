/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and keys from files, and one of our own making.
 */
#include "net/tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHAIN_MAX = 16,     /* certificates of one file */
    CA_FILE_MAX = 1000, /* and of one with those of authorities */
    SELF_SIGNED_DAYS = 365,
    SERIAL_BYTES = 16,
    NAMES_TEXT_MAX = 4096,
};

struct tls_read {
    X509 *certificate;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};

void tls_say(struct tls_problem *problem, enum tls_file file, const char *format, ...)
{
    va_list arguments;

    problem->file = file;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
}

/* A whole file; a pipe or a device is none. NULL: `*problem` says why. */
static BIO *file_bio(const char *path, enum tls_file file, struct tls_problem *problem)
{
    struct stat state;
    BIO *bio = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &state) != 0) {
        tls_say(problem, file, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(state.st_mode) || state.st_size > TLS_FILE_BYTES_MAX) {
        tls_say(problem, file, "%s: not a file of at most %d KiB", path, TLS_FILE_BYTES_MAX / 1024);
    } else {
        size_t size = (size_t)state.st_size;
        char *text = malloc(size + 1);
        ssize_t got = text != NULL ? read(fd, text, size) : -1;
        bio = got >= 0 ? BIO_new(BIO_s_mem()) : NULL;
        if (bio == NULL || (got > 0 && BIO_write(bio, text, (int)got) != got)) {
            tls_say(problem, file, "%s: cannot be read", path);
            BIO_free(bio);
            bio = NULL;
        }
        if (text != NULL)
            explicit_bzero(text, size + 1);
        free(text);
    }
    if (fd >= 0)
        close(fd);
    return bio;
}

/* A key with a pass phrase is not asked for one on the terminal: it cannot be used. */
static int no_pass_phrase(char *text, int size, int writing, void *user)
{
    (void)text;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static bool read_certificates(struct tls_read *read, const char *path, struct tls_problem *problem)
{
    BIO *bio = file_bio(path, TLS_FILE_CERTIFICATE, problem);
    if (bio == NULL)
        return false;

    read->certificate = PEM_read_bio_X509_AUX(bio, NULL, no_pass_phrase, NULL);
    read->chain = sk_X509_new_null();
    bool ok = read->certificate != NULL && read->chain != NULL;
    if (!ok)
        tls_say(problem, TLS_FILE_CERTIFICATE, "%s: there is no PEM certificate in it", path);
    for (int i = 0; ok && i < CHAIN_MAX; i++) {
        X509 *next = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
        if (next == NULL)
            break;
        ok = sk_X509_push(read->chain, next) > 0;
        if (!ok)
            X509_free(next);
    }
    ERR_clear_error(); /* that there are no more */
    BIO_free(bio);
    return ok;
}

static bool read_key(struct tls_read *read, const char *path, struct tls_problem *problem)
{
    BIO *bio = file_bio(path, TLS_FILE_KEY, problem);
    if (bio == NULL)
        return false;

    read->key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    if (read->key == NULL)
        tls_say(problem, TLS_FILE_KEY,
                "%s: there is no PEM private key in it, or it has a pass phrase; write it without",
                path);
    ERR_clear_error();
    BIO_free(bio);
    return read->key != NULL;
}

bool tls_pair_read(const struct tls_pair *files, uint32_t pair, struct tls_read **out,
                   struct tls_problem *problem)
{
    struct tls_read *read = calloc(1, sizeof *read);

    problem->pair = pair;
    if (read == NULL) {
        tls_say(problem, TLS_FILE_CERTIFICATE, "out of memory");
        return false;
    }
    bool ok =
        read_certificates(read, files->certificate, problem) && read_key(read, files->key, problem);
    if (ok && X509_check_private_key(read->certificate, read->key) != 1) {
        tls_say(problem, TLS_FILE_KEY, "%s: is not the key of the certificate in %s", files->key,
                files->certificate);
        ok = false;
    }
    ERR_clear_error();
    if (!ok) {
        tls_read_free(read);
        return false;
    }
    *out = read;
    return true;
}

void tls_read_free(struct tls_read *read)
{
    if (read == NULL)
        return;
    X509_free(read->certificate);
    sk_X509_pop_free(read->chain, X509_free);
    EVP_PKEY_free(read->key);
    free(read);
}

X509 *tls_read_certificate(const struct tls_read *read)
{
    return read->certificate;
}

bool tls_read_use(const struct tls_read *read, SSL_CTX *ctx)
{
    return SSL_CTX_use_cert_and_key(ctx, read->certificate, read->key, read->chain, 1) == 1;
}

/* --- Time ------------------------------------------------------------------------------------ */

static void date_text(const ASN1_TIME *time, char text[static 32])
{
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) == 1)
        strftime(text, 32, "%Y-%m-%d %H:%M UTC", &tm);
    else
        snprintf(text, 32, "an unknown time");
}

bool tls_in_time(const X509 *certificate, char text[TLS_PROBLEM_MAX])
{
    char date[32];

    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
        date_text(X509_get0_notAfter(certificate), date);
        snprintf(text, TLS_PROBLEM_MAX, "the certificate has expired on %s; get a new one", date);
        return false;
    }
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
        date_text(X509_get0_notBefore(certificate), date);
        snprintf(text, TLS_PROBLEM_MAX,
                 "the certificate is not valid before %s; is the clock right?", date);
        return false;
    }
    return true;
}

uint64_t tls_not_after_ms(const X509 *certificate)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return 0;
    time_t at = timegm(&tm);
    return at > 0 ? (uint64_t)at * 1000 : 0;
}

/* --- Authorities ----------------------------------------------------------------------------- */

X509_STORE *tls_store_read(const char *path, enum tls_file file, struct tls_problem *problem,
                           STACK_OF(X509_NAME) * *names)
{
    BIO *bio = file_bio(path, file, problem);
    if (bio == NULL)
        return NULL;

    X509_STORE *store = X509_STORE_new();
    bool ok = store != NULL;
    int count = 0;
    while (ok && count < CA_FILE_MAX) {
        X509 *authority = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
        if (authority == NULL)
            break;
        count++;
        ok = X509_STORE_add_cert(store, authority) == 1;
        if (ok && names != NULL) {
            X509_NAME *name = X509_NAME_dup(X509_get_subject_name(authority));
            ok = name != NULL && sk_X509_NAME_push(*names, name) > 0;
        }
        X509_free(authority);
    }
    ERR_clear_error();
    BIO_free(bio);
    if (ok && count > 0)
        return store;
    tls_say(problem, file, "%s: there is no PEM certificate in it", path);
    X509_STORE_free(store);
    return NULL;
}

/* --- Our own making -------------------------------------------------------------------------- */

/* "DNS:a,IP:b": what X509V3_EXT_conf_nid() reads. Names of domains have no commas. */
static void write_names(const struct slice *names, uint32_t count, char text[NAMES_TEXT_MAX])
{
    struct builder b = builder_over(text, NAMES_TEXT_MAX - 1);
    struct addr ignored;

    builder_text(&b, "DNS:localhost");
    for (uint32_t i = 0; i < count && b.len + names[i].len + 8 < NAMES_TEXT_MAX; i++) {
        struct slice name = names[i];
        bool numeric = addr_parse(name, 0, &ignored) == OK;
        if (numeric && name.len > 2 && name.data[0] == '[')
            name = (struct slice){name.data + 1, name.len - 2};
        builder_add(&b, numeric ? SLICE(",IP:") : SLICE(",DNS:"));
        builder_add(&b, name);
    }
    text[b.len] = '\0';
}

static bool add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return ok;
}

static bool fill_certificate(X509 *certificate, EVP_PKEY *key, const char *names)
{
    unsigned char serial[SERIAL_BYTES];
    X509_NAME *name = X509_get_subject_name(certificate);
    BIGNUM *number = NULL;

    bool ok = RAND_bytes(serial, sizeof serial) == 1;
    serial[0] &= 0x7f; /* positive */
    ok = ok && (number = BN_bin2bn(serial, sizeof serial, NULL)) != NULL &&
         BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return ok && X509_set_version(certificate, X509_VERSION_3) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), SELF_SIGNED_DAYS * 86400L) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      (const unsigned char *)"Strowger, self-signed", -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1 &&
           add_extension(certificate, NID_subject_alt_name, names) &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
           X509_sign(certificate, key, EVP_sha256()) > 0;
}

struct tls_read *tls_self_signed(const struct slice *names, uint32_t count)
{
    char text[NAMES_TEXT_MAX];
    struct tls_read *read = calloc(1, sizeof *read);
    if (read == NULL)
        return NULL;

    write_names(names, count, text);
    read->key = EVP_EC_gen("P-256");
    read->certificate = X509_new();
    read->chain = sk_X509_new_null();
    if (read->key != NULL && read->certificate != NULL && read->chain != NULL &&
        fill_certificate(read->certificate, read->key, text))
        return read;
    ERR_clear_error();
    tls_read_free(read);
    return NULL;
}

/* --- Changes --------------------------------------------------------------------------------- */

bool tls_look(const char *path, struct tls_seen *out)
{
    struct stat state;

    snprintf(out->path, sizeof out->path, "%s", path);
    out->device = out->inode = out->size = 0;
    out->changed_ns = 0;
    if (stat(path, &state) != 0)
        return false;
    out->device = state.st_dev;
    out->inode = state.st_ino;
    out->size = (uint64_t)state.st_size;
    out->changed_ns = (int64_t)state.st_mtim.tv_sec * 1000000000 + state.st_mtim.tv_nsec;
    return true;
}
