/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_fake.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static const char guide_drbd[] = "    include \"drbd.d/*.res\";\n"
                                 "    include \"drbd.d/*.cfg\";\n";

static const char guide_basic[] =
    "global {\n"
    "    usage-count yes;\n"
    "}\n"
    "common {\n"
    "    syncer { rate 100M; }\n"
    "}\n"
    "resource r0 {\n"
    "    protocol C;\n"
    "    handlers {\n"
    "        pri-on-incon-degr \"echo o > /proc/sysrq-trigger ; halt -f \";\n"
    "        fence-peer \"/usr/lib4/heartbeat/drbd-peer-outdater -t 5\";\n"
    "        out-of-sync \"/usr/lib/drbd/notify-out-of-sync.sh root\";\n"
    "    }\n"
    "    net {\n"
    "        cram-hmac-alg \"sha1\";\n"
    "        shared-secret \"MySQL-HA\";\n"
    "    }\n"
    "    disk {\n"
    "        on-io-error detach;\n"
    "        fencing resource-only;\n"
    "    }\n"
    "    startup {\n"
    "        wfc-timeout 120;\n"
    "        degr-wfc-timeout 120;\n"
    "    }\n"
    "    device /dev/drbd0;\n"
    "    on ct74 {\n"
    "        disk /dev/sdb1;\n"
    "        address 192.168.137.74:7788;\n"
    "        meta-disk internal;\n"
    "    }\n"
    "    on ct75 {\n"
    "        disk /dev/sdb1;\n"
    "        address 192.168.137.75:7788;\n"
    "        meta-disk internal;\n"
    "    }\n"
    "}\n";

static const char guide_ha_cf[] =
    "debugfile /var/log/ha-debug\n"
    "logfile /var/log/ha-log\n"
    "logfacility     local0\n"
    "keepalive 1\n"
    "deadtime 5\n"
    " # a comment\n"
    "warntime 2\n"
    "initdead 10\n"
    "udpport 694\n"
    "ucast eth0 192.168.137.75\n"
    "auto_failback off\n"
    "node    ct74\n"
    "node    ct75\n"
    "ping 192.168.137.1\n"
    "respawn hacluster /usr/local/heartbeat/libexec/heartbeat/ipfail \n";

static const char guide_haresources[] = "ct74 IPaddr::192.168.137.82/24/eth0 drbddisk::r0 "
                                        "Filesystem::/dev/drbd0::/nfs::ext4 killnfsd\n";

void fake_set(struct fake *fake, const char *path, const char *text)
{
    size_t i = 0;

    while (i < fake->n && strcmp(fake->files[i].path, path))
        i++;
    if (i == fake->n)
        fake->files[fake->n++] = (struct fake_file){.path = path};
    fake->files[i].text = text;
}

void fake_mode(struct fake *fake, const char *path, uint32_t mode, uint32_t uid)
{
    for (size_t i = 0; i < fake->n; i++)
        if (!strcmp(fake->files[i].path, path)) {
            fake->files[i].mode = mode;
            fake->files[i].uid = uid;
        }
}

void fake_guide(struct fake *fake)
{
    *fake = (struct fake){0};
    fake_set(fake, "/etc/drbd.conf", guide_drbd);
    fake_set(fake, "/etc/drbd.d/drbd_basic.cfg", guide_basic);
    fake_set(fake, "/etc/ha.d/ha.cf", guide_ha_cf);
    fake_set(fake, "/etc/ha.d/haresources", guide_haresources);
    fake_set(fake, "/etc/ha.d/authkeys", "#\nauth 1\n# which\n1 sha1 HA_DB\n#\n");
    fake_set(fake, "/etc/ha.d/resource.d/killnfsd", "exit 0\n");
    fake_mode(fake, "/etc/ha.d/resource.d/killnfsd", 0755, 0);
    fake_set(fake, "/etc/exports", "/nfs 192.168.137.0/24(rw,sync,no_root_squash)\n");
}

static int fake_file_read(
    void *arg, const char *path, struct hv_text *out, struct conf_file_meta *meta)
{
    const struct fake *fake = arg;

    for (size_t i = 0; i < fake->n; i++) {
        const struct fake_file *f = &fake->files[i];
        if (strcmp(f->path, path) || !f->text)
            continue;
        hv_text_add(out, f->text);
        *meta = (struct conf_file_meta){
            .device = 1, .inode = i + 1, .mode = f->mode ? f->mode : 0600, .uid = f->uid};
        return HV_OK;
    }
    return HV_ENOENT;
}

static int fake_file_glob(
    void *arg, const char *pattern, void (*each)(void *to, const char *path), void *to)
{
    const struct fake *fake = arg;

    for (size_t i = 0; i < fake->n; i++)
        if (fake->files[i].text && !fnmatch(pattern, fake->files[i].path, FNM_PATHNAME))
            each(to, fake->files[i].path);
    return HV_OK;
}

int fake_read(const struct fake *fake, const char *node, bool want_cluster, struct conf **out)
{
    struct conf_request request = {
        .files = {.read = fake_file_read, .glob = fake_file_glob, .arg = (void *)fake, .root = ""},
        .node = node,
        .want_cluster = want_cluster};

    return conf_read(&request, out);
}

int fake_read_drbd(const char *text, const char *node, struct conf **out)
{
    struct fake fake = {0};

    fake_set(&fake, "/etc/drbd.conf", text);
    return fake_read(&fake, node, false, out);
}

char *fake_reports(const struct conf *conf)
{
    struct hv_text text = {0};

    for (size_t i = 0; i < conf->reports.n; i++) {
        conf_report_format(&conf->reports.items[i], &text);
        hv_text_add(&text, "\n");
    }
    if (!text.s)
        hv_text_add(&text, "");
    char *copy = strdup(hv_text_str(&text));
    hv_text_free(&text);
    return copy;
}
