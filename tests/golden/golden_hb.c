/* SPDX-License-Identifier: Apache-2.0 */
/* golden_hb NUMBER:METHOD:SECRET… CAPTURE…: every Heartbeat packet of the captures (UDP, and the payload of echo requests
 * and replies) must verify, and encode again to the same bytes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hb_msg.h"
#include "pcap.h"
#include "test_digest.h"

struct tally {
    unsigned packets, bad, inner;
};

static void bad(struct tally *t, const char *what, const struct pcap_packet *p)
{
    fprintf(stderr, "packet at %" PRIu64 ".%06" PRIu64 " us (%zu bytes): %s\n",
        p->time_us / 1000000, p->time_us % 1000000, p->length, what);
    t->bad++;
}

/* The inner auth field of a netstring packet is made anew and compared. */
static void inner_check(struct tally *t, const struct hb_msg *m, const struct hb_keys *keys,
    unsigned key_number, const struct pcap_packet *p)
{
    static struct hb_msg copy;
    const char *auth = hb_msg_get(m, "auth");

    if (!auth)
        return;
    t->inner++;
    copy = *m;
    copy.fields--; /* it is the last one */
    if (hb_msg_get(&copy, "auth") || hb_msg_add_auth(&copy, keys, key_number, &test_digest_ops) ||
        strcmp(hb_msg_get(&copy, "auth"), auth) != 0)
        bad(t, "inner signature", p);
}

static void packet_check(struct tally *t, const struct hb_keys *keys, const struct pcap_packet *p)
{
    static struct hb_msg m;
    uint8_t again[HB_MSG_BYTES_MAX];
    enum hb_form form = p->payload[0] == '#' ? HB_NETSTRING : HB_CLASSIC;
    unsigned key_number = 0;
    int rc = hb_msg_decode(p->payload, p->length, keys, &test_digest_ops, &m, &key_number);

    t->packets++;
    if (rc) {
        bad(t, hv_strerror(rc), p);
        return;
    }
    if (form == HB_NETSTRING)
        inner_check(t, &m, keys, key_number, p);
    rc = hb_msg_encode(&m, form, keys, key_number, &test_digest_ops, again, sizeof again);
    /* The final NUL of the classic form is optional. */
    if (form == HB_CLASSIC && p->payload[p->length - 1] == '\n')
        rc--;
    if (rc < 0 || (size_t)rc != p->length || memcmp(again, p->payload, p->length) != 0)
        bad(t, "encodes differently", p);
}

static void capture_check(struct tally *t, const struct hb_keys *keys, const char *path)
{
    struct pcap_packet p;
    struct pcap pcap;

    if (pcap_open(&pcap, path) != 0) {
        fprintf(stderr, "cannot read %s\n", path);
        t->bad++;
        return;
    }
    while (pcap_next(&pcap, &p))
        if ((p.protocol == PCAP_UDP || p.protocol == PCAP_ICMP) && p.length > 4 &&
            (memcmp(p.payload, "###\n", 4) == 0 || memcmp(p.payload, ">>>\n", 4) == 0))
            packet_check(t, keys, &p);
    pcap_close(&pcap);
}

static bool key_add(struct hb_keys *keys, char *arg)
{
    char *number = strtok(arg, ":"), *method = strtok(NULL, ":"), *secret = strtok(NULL, "");
    struct hb_key *key = &keys->key[atoi(number) % HB_KEYS];

    key->method = method ? hb_method_from_name(method) : HB_METHOD_NONE;
    key->secret_bytes = secret ? (uint16_t)strlen(secret) : 0;
    if (secret)
        memcpy(key->secret, secret, key->secret_bytes);
    return key->method != HB_METHOD_NONE;
}

int main(int argc, char **argv)
{
    static struct hb_keys keys;
    struct tally t = {0};

    for (int i = 1; i < argc; i++)
        if (argv[i][0] >= '0' && argv[i][0] <= '9' && argv[i][1] == ':') {
            if (!key_add(&keys, argv[i]))
                return 2;
        } else {
            capture_check(&t, &keys, argv[i]);
        }
    printf("%u packets, %u with an inner signature, %u bad\n", t.packets, t.inner, t.bad);
    return t.bad || !t.packets;
}
