/* SPDX-License-Identifier: Apache-2.0 */
/* haven dump-md: the metadata as text, in the form that drbdmeta's restore-md reads. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>

#include "cmd_md.h"
#include "hv_endian.h"

enum {
    WORDS_PER_LINE = 4,
    WORDS_PER_MARK = 32, /* a comment with the offset stands before each so many words */
    RUN_WORDS_MIN = 8,   /* a shorter run of equal words is written out */
    KIB_PER_WORD = 256,  /* of data */
    CHUNK_BYTES = 1024 * 1024,
};

/* Words that are all clear or all set are collected into runs of whole lines. */
struct printer {
    uint64_t word; /* number of the next one */
    uint64_t run_words, run_value;
    uint64_t bits_set;
};

static void print_mark(uint64_t word)
{
    if (word % WORDS_PER_MARK == 0)
        printf("   # at %" PRIu64 "kB\n", word * KIB_PER_WORD);
}

static void print_line(uint64_t at, const uint64_t words[WORDS_PER_LINE])
{
    print_mark(at);
    for (int i = 0; i < WORDS_PER_LINE; i++)
        printf("%s0x%016" PRIX64 ";", i ? " " : "    ", words[i]);
    putchar('\n');
}

static void flush_run(struct printer *p)
{
    uint64_t at = p->word - p->run_words;

    if (p->run_words >= RUN_WORDS_MIN) {
        print_mark(at);
        printf("    %" PRIu64 " times 0x%016" PRIX64 ";\n", p->run_words, p->run_value);
    } else if (p->run_words) {
        const uint64_t words[] = {p->run_value, p->run_value, p->run_value, p->run_value};
        print_line(at, words);
    }
    p->run_words = 0;
}

static void print_words(struct printer *p, const uint64_t w[WORDS_PER_LINE])
{
    bool uniform =
        (w[0] == 0 || w[0] == UINT64_MAX) && w[0] == w[1] && w[1] == w[2] && w[2] == w[3];

    for (int i = 0; i < WORDS_PER_LINE; i++)
        p->bits_set += (uint64_t)__builtin_popcountll(w[i]);
    if (p->run_words && (!uniform || w[0] != p->run_value))
        flush_run(p);
    if (uniform) {
        p->run_value = w[0];
        p->run_words += WORDS_PER_LINE;
    } else {
        print_line(p->word, w);
    }
    p->word += WORDS_PER_LINE;
}

static int print_bitmap(const struct md_disk *disk, uint64_t bytes, struct hv_diag *diag)
{
    uint8_t *chunk = malloc(CHUNK_BYTES);
    struct printer p = {0};
    int rc = 0;

    if (!chunk) {
        hv_diag_set(diag, "out of memory");
        return HV_ENOMEM;
    }
    printf("# bm-bytes %" PRIu64 ";\nbm {\n", bytes);
    for (uint64_t at = 0; at < bytes && !rc;) {
        uint64_t n = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        rc = md_io_read(&disk->meta, disk->layout.bm_sector + at / MD_SECTOR_BYTES, chunk, n, diag);
        for (uint64_t i = 0; i < n && !rc; i += WORDS_PER_LINE * 8) {
            uint64_t words[WORDS_PER_LINE];
            for (int k = 0; k < WORDS_PER_LINE; k++)
                words[k] = hv_load_le64(chunk + i + k * 8);
            print_words(&p, words);
        }
        at += n;
    }
    flush_run(&p);
    printf("}\n# bits-set %" PRIu64 ";\n", p.bits_set);
    free(chunk);
    return rc;
}

static void print_head(const struct md_call *call, const struct md_disk *disk)
{
    struct utsname name = {0};
    time_t now = time(NULL);
    char date[64];
    struct tm tm;

    uname(&name);
    localtime_r(&now, &tm);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S %z", &tm);
    printf("# DRBD meta data dump\n# %s [%lld]\n# %s> %s dump-md %s\n#\n\nversion \"v08\";\n\n",
        date, (long long)now, name.nodename, call->ctx->program, call->resource);
    if (!md_is_clean(&disk->sb))
        printf("This_is_an_unclean_meta_data_dump._Don't_trust_the_bitmap.\n"
               "# You should \"apply-al\" first, if you plan to restore this.\n\n");
}

static void print_superblock(const struct md_disk *disk)
{
    const struct md_superblock *sb = &disk->sb;
    const struct md_layout *l = &disk->layout;

    printf("# md_size_sect %u\n# md_offset %" PRIu64 "\n# al_offset %" PRIu64
           "\n# bm_offset %" PRIu64 "\n\n",
        sb->md_size_sectors, l->sb_sector * MD_SECTOR_BYTES, l->al_sector * MD_SECTOR_BYTES,
        l->bm_sector * MD_SECTOR_BYTES);
    printf("uuid {\n   ");
    for (int i = 0; i < MD_UUIDS; i++)
        printf(" 0x%016" PRIX64 ";", sb->uuid[i]);
    printf("\n    flags 0x%08X;\n}\n", sb->flags);
    printf("# al-extents %u;\nla-size-sect %" PRIu64 ";\nbm-byte-per-bit %u;\n", sb->al_extents,
        sb->la_size_sectors, sb->bm_bytes_per_bit);
    printf("device-uuid 0x%016" PRIX64 ";\nla-peer-max-bio-size %u;\n", sb->device_uuid,
        sb->la_peer_max_bio_bytes);
    printf("al-stripes %u;\nal-stripe-size-4k %u;\n", sb->al_stripes, sb->al_stripe_blocks);
}

int cmd_md_dump(const struct md_call *call)
{
    struct md_disk disk;
    struct hv_diag diag;
    int code = cmd_md_load(call, MD_IO_EXCLUSIVE, &disk);

    if (code)
        return code;
    if (!md_is_clean(&disk.sb)) {
        fprintf(stderr, "Found meta data is \"unclean\", please apply-al first\n");
        if (!call->force) {
            md_disk_close(&disk);
            return CMD_MD_FAILED;
        }
    }
    print_head(call, &disk);
    print_superblock(&disk);
    uint64_t pages = (disk.sb.la_size_sectors + MD_BLOCK_SECTORS - 1) / MD_BLOCK_SECTORS;
    pages = (pages + BITMAP_PAGE_BITS - 1) / BITMAP_PAGE_BITS;
    if (print_bitmap(&disk, pages * BITMAP_PAGE_BYTES, &diag))
        code = cmd_md_fail(call, &diag, CMD_MD_FAILED);
    md_disk_close(&disk);
    return code;
}
