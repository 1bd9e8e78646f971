/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as configuration files.  The first byte says which file they are, and with INSIDE that they
 * are statements of a resource that is complete without them; the other files are the guide's, or
 * missing.  What is accepted must come out of a dump as it went in. */
#include <stdlib.h>
#include <string.h>

#include "conf_dump.h"
#include "conf_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const targets[] = {"/etc/drbd.conf", "/etc/haven/haven.conf", "/etc/ha.d/ha.cf",
    "/etc/ha.d/haresources", "/etc/ha.d/authkeys", "/etc/exports", "/etc/drbd.d/drbd_basic.cfg"};

enum { TARGETS = sizeof targets / sizeof targets[0], INSIDE = 0x40, WITH_CLUSTER = 0x80 };

static const char before[] = "resource r1 {\n"
                             "device /dev/drbd1; disk /dev/sdc1; meta-disk internal;\n"
                             "on ct74 { address 10.0.0.1:7789; }\n"
                             "on ct75 { address 10.0.0.2:7789; }\n"
                             "}\n"
                             "resource r0 {\n"
                             "on ct74 { device /dev/drbd0; disk /dev/sdb1; meta-disk internal;\n"
                             "address 10.0.0.1:7788; }\n"
                             "on ct75 { device /dev/drbd0; disk /dev/sdb1; meta-disk internal;\n"
                             "address 10.0.0.2:7788; }\n";

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
    const char *path = targets[data[0] % TARGETS];
    bool inside = data[0] & INSIDE;
    struct hv_text text = {0};
    hv_text_add(&text, inside ? before : "");
    hv_text_addn(&text, (const char *)data + 1, size - 1);
    hv_text_add(&text, inside ? "}\n" : "");
    if (data[0] % TARGETS > 1)
        fake_guide(&fake);
    fake_set(&fake, path, hv_text_str(&text));
    int rc = fake_read(&fake, "ct74", data[0] & WITH_CLUSTER || data[0] % TARGETS > 0, &conf);
    if ((rc == 0) != (conf->reports.errors == 0) && rc != HV_ENOENT)
        abort();
    free(fake_reports(conf));
    if (!rc)
        round_trip(conf);
    conf_free(conf);
    hv_text_free(&text);
    return 0;
}
