/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_mounts.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent_util.h"
#include "hv_text.h"

enum { ANCESTORS_MAX = 16 };

/* "\040" is a blank (proc(5)). */
static void unescape(char *s)
{
    char *to = s;

    while (*s) {
        if (s[0] == '\\' && isdigit((unsigned char)s[1]) && isdigit((unsigned char)s[2]) &&
            isdigit((unsigned char)s[3])) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = 0;
}

static bool has_option(const char *options, const char *option)
{
    size_t n = strlen(option);

    for (const char *at = options; (at = strstr(at, option)); at += n)
        if ((at == options || at[-1] == ',') && (!at[n] || at[n] == ',' || at[n] == '\n'))
            return true;
    return false;
}

static bool parse_line(char *line, struct agent_mount *m)
{
    unsigned major_number, minor_number;
    char options[512], super[1024];
    char *rest = strstr(line, " - ");

    if (!rest)
        return false;
    *rest = 0;
    if (sscanf(line, "%d %d %u:%u %*s %4095s %511s", &m->id, &m->parent, &major_number,
            &minor_number, m->directory, options) != 6 ||
        sscanf(rest + 3, "%*s %255s %1023s", m->source, super) != 2)
        return false;
    unescape(m->directory);
    unescape(m->source);
    m->device = makedev(major_number, minor_number);
    m->read_only = has_option(options, "ro") || has_option(super, "ro") ||
                   has_option(super, "emergency_ro") || has_option(super, "shutdown");
    return true;
}

static bool is_below(const char *path, const char *directory, bool itself)
{
    size_t n = strlen(directory);

    if (strncmp(path, directory, n))
        return false;
    return path[n] == '/' || (itself && !path[n]);
}

/* Calls for each mount until one is taken. */
static bool find_mount(bool (*takes)(const struct agent_mount *m, const void *arg), const void *arg,
    bool last, struct agent_mount *out)
{
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    struct agent_mount m;
    FILE *f = fopen("/proc/self/mountinfo", "re");

    if (!f)
        return false;
    while ((last || !found) && getline(&line, &capacity, f) > 0)
        if (parse_line(line, &m) && takes(&m, arg)) {
            *out = m;
            found = true;
        }
    free(line);
    fclose(f);
    return found;
}

static bool is_at(const struct agent_mount *m, const void *directory)
{
    return !strcmp(m->directory, directory);
}

static bool stands_on(const struct agent_mount *m, const void *parent)
{
    return m->parent == ((const struct agent_mount *)parent)->id && m->id != m->parent;
}

bool agent_mount_at(const char *directory, struct agent_mount *out)
{
    char real[PATH_MAX];

    if (!hv_strcopy(real, sizeof real, directory))
        return false;
    /* The parent, so that a file system that hangs is not asked about its own root. */
    char *slash = strrchr(real, '/');
    if (slash && slash != real) {
        char parent[PATH_MAX], last[NAME_MAX + 2];
        *slash = 0;
        snprintf(last, sizeof last, "/%.250s", slash + 1);
        if (realpath(real, parent))
            snprintf(real, sizeof real, "%.3800s%.251s", strcmp(parent, "/") ? parent : "", last);
        else
            *slash = '/';
    }
    return find_mount(is_at, real, true, out);
}

bool agent_mount_leaf(const struct agent_mount *top, struct agent_mount *out)
{
    struct agent_mount at = *top;
    bool found = false;

    while (find_mount(stands_on, &at, false, out)) {
        at = *out;
        found = true;
    }
    *out = at;
    return found;
}

static bool link_is_below(const char *link, const char *directory)
{
    char target[PATH_MAX];
    ssize_t n = readlink(link, target, sizeof target - 1);

    if (n <= 0)
        return false;
    target[n] = 0;
    return is_below(target, directory, true);
}

static bool any_link_below(const char *links, const char *directory)
{
    DIR *d = opendir(links);
    bool found = false;

    if (!d)
        return false;
    for (struct dirent *e; !found && (e = readdir(d));) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%.200s/%.255s", links, e->d_name);
        found = e->d_name[0] != '.' && link_is_below(path, directory);
    }
    closedir(d);
    return found;
}

static bool holds(pid_t pid, const char *directory)
{
    static const char *const single[] = {"cwd", "root", "exe"}, *const many[] = {"fd", "map_files"};
    char path[64], ours[64] = "", theirs[64] = "";

    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
    if (readlink("/proc/self/ns/mnt", ours, sizeof ours - 1) < 0 ||
        readlink(path, theirs, sizeof theirs - 1) < 0 || strcmp(ours, theirs))
        return false;
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, single[i]);
        if (link_is_below(path, directory))
            return true;
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, many[i]);
        if (any_link_below(path, directory))
            return true;
    }
    return false;
}

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (agent_read_file(path, text, sizeof text) <= 0)
        return 0;
    char *after = strrchr(text, ')');
    return after ? (pid_t)strtol(after + 4, NULL, 10) : 0;
}

size_t agent_mount_holders(const char *directory, pid_t *pids, size_t max)
{
    pid_t ancestors[ANCESTORS_MAX];
    size_t n_ancestors = 0, n = 0;
    struct agent_mount m;

    if (!agent_mount_at(directory, &m)) /* never end processes for a plain directory */
        return 0;
    for (pid_t p = getpid(); p > 0 && n_ancestors < ANCESTORS_MAX; p = parent_of(p))
        ancestors[n_ancestors++] = p;
    DIR *d = opendir("/proc");
    if (!d)
        return 0;
    for (struct dirent *e; n < max && (e = readdir(d));) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        bool ours = pid <= 1;
        for (size_t i = 0; i < n_ancestors; i++)
            ours |= ancestors[i] == pid;
        if (!ours && holds(pid, m.directory))
            pids[n++] = pid;
    }
    closedir(d);
    return n;
}
