/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <ifaddrs.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 16 * 1024, FILE_BYTES_MAX = 4 << 20 };

static int error_of(int err)
{
    switch (err) {
    case ENOENT:
    case ENOTDIR:
        return HV_ENOENT;
    case EACCES:
    case EPERM:
        return HV_EPERM;
    case ENOMEM:
        return HV_ENOMEM;
    }
    return HV_EIO;
}

static int read_all(int fd, struct hv_text *out)
{
    char bytes[READ_BYTES];

    for (;;) {
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_of(errno);
        if (n == 0)
            return out->failed ? HV_ENOMEM : HV_OK;
        hv_text_addn(out, bytes, (size_t)n);
        if (out->length > FILE_BYTES_MAX)
            return HV_ENOSPC;
    }
}

static int file_read(void *arg, const char *path, struct hv_text *out, struct conf_file_meta *meta)
{
    struct stat st;
    int rc = HV_EIO;
    /* Not to be held up by a FIFO that somebody put there. */
    int fd = !strcmp(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    (void)arg;
    if (fd < 0)
        return error_of(errno);
    if (!fstat(fd, &st) && !S_ISDIR(st.st_mode)) {
        *meta = (struct conf_file_meta){
            .device = st.st_dev, .inode = st.st_ino, .mode = st.st_mode & 07777, .uid = st.st_uid};
        rc = read_all(fd, out);
    }
    close(fd);
    return rc;
}

static int file_glob(
    void *arg, const char *pattern, void (*each)(void *to, const char *path), void *to)
{
    glob_t found;
    int rc = glob(pattern, 0, NULL, &found);

    (void)arg;
    if (rc == GLOB_NOMATCH)
        return HV_OK;
    if (rc)
        return rc == GLOB_NOSPACE ? HV_ENOMEM : HV_EIO;
    for (size_t i = 0; i < found.gl_pathc; i++)
        each(to, found.gl_pathv[i]);
    globfree(&found);
    return HV_OK;
}

static bool same_address(const struct sockaddr *a, const char *ip)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (a && a->sa_family == AF_INET && inet_pton(AF_INET, ip, &v4) == 1)
        return !memcmp(&((const struct sockaddr_in *)(const void *)a)->sin_addr, &v4, sizeof v4);
    if (a && a->sa_family == AF_INET6 && inet_pton(AF_INET6, ip, &v6) == 1)
        return !memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, &v6, sizeof v6);
    return false;
}

static bool address_is_local(void *arg, const char *ip)
{
    struct ifaddrs *all;
    bool found = false;
    char plain[INET6_ADDRSTRLEN];

    (void)arg;
    if (!hv_strcopy(plain, sizeof plain, ip) || getifaddrs(&all))
        return false;
    plain[strcspn(plain, "%")] = '\0';
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next)
        found = same_address(i->ifa_addr, plain);
    freeifaddrs(all);
    return found;
}

static int load(const struct cmd_context *ctx, bool want_cluster, bool alone, struct conf **out)
{
    char path[PATH_MAX], here[PATH_MAX];
    const char *file = ctx->config_file;

    /* drbdadm shows the whole path, and so do we. */
    if (file && file[0] != '/' && strcmp(file, "-") && getcwd(here, sizeof here)) {
        while (!strncmp(file, "./", 2))
            file += 2;
        int n = snprintf(path, sizeof path, "%s/%s", strcmp(here, "/") ? here : "", file);
        if (n > 0 && (size_t)n < sizeof path)
            file = path;
    }
    struct conf_request request = {
        .files = {.read = file_read, .glob = file_glob, .root = ctx->root ? ctx->root : ""},
        .node = ctx->node,
        .config_file = file,
        .want_cluster = want_cluster,
        .alone = alone,
        .address_is_local = address_is_local};
    return conf_read(&request, out);
}

int conf_load(const struct cmd_context *ctx, bool want_cluster, struct conf **out)
{
    return load(ctx, want_cluster, false, out);
}

int conf_load_alone(const struct cmd_context *ctx, struct conf **out)
{
    return load(ctx, true, true, out);
}

int conf_load_or_complain(const struct cmd_context *ctx, bool want_cluster, struct conf **out)
{
    int rc = conf_load(ctx, want_cluster, out);

    if (!rc)
        return CMD_EXIT_OK;
    for (size_t i = 0; i < (*out)->reports.n; i++) {
        struct hv_text text = {0};
        if ((*out)->reports.items[i].severity != CONF_ERROR)
            continue;
        conf_report_format(&(*out)->reports.items[i], &text);
        fprintf(stderr, "%s\n", hv_text_str(&text));
        hv_text_free(&text);
    }
    if (rc == HV_ENOENT && !ctx->config_file)
        fprintf(stderr, "%s: neither %s/etc/haven/haven.conf nor %s/etc/drbd.conf exists\n",
            ctx->program, ctx->root, ctx->root);
    conf_free(*out);
    *out = NULL;
    return rc == HV_ENOENT ? CMD_EXIT_OTHER : CMD_EXIT_CONFIG;
}
