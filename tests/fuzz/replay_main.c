/* SPDX-License-Identifier: Apache-2.0 */
/* Gives every file of the named directories and files to a fuzz target, as libFuzzer does, so that its
 * corpus is tried in every test run with any compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long size;
    int rc = -1;

    if (!f)
        return -1;
    if (!fseek(f, 0, SEEK_END) && (size = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET)) {
        /* Exactly as large as the input, so that a sanitizer sees the first byte too many. */
        bytes = malloc(size > 0 ? (size_t)size : 1);
        if (bytes && fread(bytes, 1, (size_t)size, f) == (size_t)size) {
            LLVMFuzzerTestOneInput(bytes, (size_t)size);
            rc = 0;
        }
    }
    free(bytes);
    fclose(f);
    return rc;
}

/* The number of inputs, or -1. */
static int replay(const char *path)
{
    char child[4096];
    struct stat st;
    int n = 0;

    if (stat(path, &st))
        return -1;
    if (!S_ISDIR(st.st_mode))
        return replay_file(path) ? -1 : 1;
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    for (struct dirent *e; n >= 0 && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        int more = replay(child);
        n = more < 0 ? -1 : n + more;
    }
    closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);
        if (n < 0) {
            fprintf(stderr, "%s: cannot be read\n", argv[i]);
            return 1;
        }
        total += n;
    }
    printf("%d inputs\n", total);
    return total ? 0 : 1;
}
