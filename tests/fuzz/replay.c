/* SPDX-License-Identifier: Apache-2.0 */
/* replay DIRECTORY...: gives each file of a corpus to the fuzz target once.  What the fuzzers found
 * stays found, with any compiler. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rbe");
    long size = -1;

    if (file && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size < 0) {
        perror(path);
        return 1;
    }
    rewind(file);
    /* Exactly as long as the input, so that a sanitizer sees the first byte read beyond it. */
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    int rc = !data || fread(data, 1, (size_t)size, file) != (size_t)size;
    if (!rc) {
        fprintf(stderr, "%s\n", path); /* the last one named is the one that crashed */
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    }
    free(data);
    fclose(file);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    int rc = 0;

    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        struct dirent *entry;

        if (!directory) {
            perror(argv[i]);
            return 1;
        }
        while ((entry = readdir(directory))) {
            char path[4096];

            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            rc |= replay_file(path);
            files++;
        }
        closedir(directory);
    }
    printf("%u inputs replayed\n", files);
    return rc || files == 0;
}
