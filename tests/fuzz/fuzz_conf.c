/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as configuration files.  The first byte says which file they are; the others are the
 * guide's, or missing.  What is accepted must come out of a dump as it went in. */
#include <stdlib.h>
#include <string.h>

#include "conf_dump.h"
#include "conf_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const targets[] = {"/etc/drbd.conf", "/etc/haven/haven.conf", "/etc/ha.d/ha.cf",
    "/etc/ha.d/haresources", "/etc/ha.d/authkeys", "/etc/exports", "/etc/drbd.d/drbd_basic.cfg"};

enum { TARGETS = sizeof targets / sizeof targets[0] };

/* The dump without its comments, which name files and lines. */
static void dump(const struct conf *conf, struct hv_text *out)
{
    struct hv_text whole = {0};

    conf_dump_global(conf, &whole);
    for (size_t i = 0; i < conf->n_resources; i++)
        conf_dump_resource(conf, &conf->resources[i], &whole);
    for (const char *s = hv_text_str(&whole); *s;) {
        size_t length = strcspn(s, "\n") + 1;
        if (s[strspn(s, " ")] != '#')
            hv_text_addn(out, s, length);
        s += length;
    }
    hv_text_free(&whole);
}

static void round_trip(const struct conf *conf)
{
    struct hv_text first = {0}, second = {0}, xml = {0};
    struct conf *again;

    conf_dump_xml(conf, &xml);
    hv_text_free(&xml);
    dump(conf, &first);
    if (fake_read_drbd(hv_text_str(&first), "ct74", &again))
        abort();
    dump(again, &second);
    if (strcmp(hv_text_str(&first), hv_text_str(&second)))
        abort();
    conf_free(again);
    hv_text_free(&first);
    hv_text_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake fake = {0};
    struct conf *conf;

    if (!size)
        return 0;
    char *text = strndup((const char *)data + 1, size - 1);
    if (!text)
        return 0;
    if (data[0] % TARGETS > 1)
        fake_guide(&fake);
    fake_set(&fake, targets[data[0] % TARGETS], text);
    int rc = fake_read(&fake, "ct74", data[0] & 0x80 || data[0] % TARGETS > 0, &conf);
    if ((rc == 0) != (conf->reports.errors == 0) && rc != HV_ENOENT)
        abort();
    free(fake_reports(conf));
    if (!rc)
        round_trip(conf);
    conf_free(conf);
    free(text);
    return 0;
}
