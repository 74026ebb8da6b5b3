/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a certificate speaks for (RFC 5922 §7.1, §7.2): the hosts of SIP URIs without a user among
 * its subjectAltNames, or, where there are none of those, its DNS names, compared whole and without
 * wildcards; the common name only where there are no subjectAltNames at all.
 */
#include "net/tls_internal.h"

#include <openssl/x509v3.h>

enum {
    NAME_MAX_BYTES = 255,
    NAMES_SAID = 4, /* of a certificate's names in a log line */
    NAME_SAID_BYTES = 64,
};

static struct slice text_of(const ASN1_STRING *string)
{
    return (struct slice){(const char *)ASN1_STRING_get0_data(string),
                          (size_t)ASN1_STRING_length(string)};
}

/* The host of "sip:example.com:5061"; with a user it speaks for that user only: empty. */
static struct slice domain_of(const GENERAL_NAME *entry)
{
    const struct slice scheme = SLICE("sip:");

    if (entry->type != GEN_URI)
        return SLICE_EMPTY;
    struct slice uri = text_of(entry->d.uniformResourceIdentifier);
    if (uri.len < scheme.len || !slice_equal_nocase((struct slice){uri.data, scheme.len}, scheme) ||
        slice_find(uri, '@') != SIZE_MAX)
        return SLICE_EMPTY;
    struct slice host = slice_from(uri, scheme.len);
    for (size_t i = 0; i < host.len; i++)
        if (slice_find(SLICE(":;?"), host.data[i]) != SIZE_MAX)
            return (struct slice){host.data, i};
    return host;
}

static bool names_domains(const GENERAL_NAMES *names)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (domain_of(sk_GENERAL_NAME_value(names, i)).len > 0)
            return true;
    return false;
}

static bool address_is(const ASN1_STRING *string, const struct addr *addr)
{
    struct slice bytes = text_of(string);
    size_t len = addr->family == ADDR_V4 ? 4 : 16;

    return addr->family != ADDR_NONE && bytes.len == len &&
           memcmp(bytes.data, addr->bytes, len) == 0;
}

static bool name_is(const GENERAL_NAME *entry, struct slice name, const struct addr *addr,
                    bool domains)
{
    if (name.len == 0)
        return entry->type == GEN_IPADD && address_is(entry->d.iPAddress, addr);
    if (domains)
        return slice_equal_nocase(domain_of(entry), name);
    return entry->type == GEN_DNS && slice_equal_nocase(text_of(entry->d.dNSName), name);
}

static bool common_name_is(const X509 *certificate, struct slice name)
{
    char text[NAME_MAX_BYTES + 1];
    int len = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text,
                                        sizeof text);

    return len > 0 && name.len > 0 && slice_equal_nocase((struct slice){text, (size_t)len}, name);
}

bool tls_speaks_for(X509 *certificate, struct slice name, const struct addr *addr)
{
    int how; /* -1: there are none; else they cannot be read, or are there twice */
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &how, NULL);
    bool found = false;

    if (names == NULL)
        return how == -1 && common_name_is(certificate, name);
    bool domains = names_domains(names);
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++)
        found = name_is(sk_GENERAL_NAME_value(names, i), name, addr, domains);
    GENERAL_NAMES_free(names);
    return found;
}

static void say_name(const GENERAL_NAME *entry, struct builder *b)
{
    struct slice text = SLICE("something else");

    if (entry->type == GEN_DNS)
        text = text_of(entry->d.dNSName);
    else if (entry->type == GEN_URI)
        text = text_of(entry->d.uniformResourceIdentifier);
    else if (entry->type == GEN_IPADD)
        text = SLICE("an address");
    builder_add(b,
                (struct slice){text.data, text.len < NAME_SAID_BYTES ? text.len : NAME_SAID_BYTES});
}

void tls_names_of(X509 *certificate, struct builder *b)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    int count = names != NULL ? sk_GENERAL_NAME_num(names) : 0;

    for (int i = 0; i < count && i < NAMES_SAID; i++) {
        builder_add(b, slice_of(i > 0 ? ", " : ""));
        say_name(sk_GENERAL_NAME_value(names, i), b);
    }
    builder_add(b, slice_of(count > NAMES_SAID ? " and others" : count == 0 ? "no host" : ""));
    GENERAL_NAMES_free(names);
}
