/* SPDX-License-Identifier: Apache-2.0 */
#include "duo_disk.h"

#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512 };

void duo_disk_init(struct duo_disk *disk, uint64_t sectors)
{
    memset(disk, 0, sizeof *disk);
    disk->sectors = sectors;
    disk->now = calloc(sectors, SECTOR);
    disk->durable = calloc(sectors, SECTOR);
    disk->cached = calloc(sectors, 1);
    if (!disk->now || !disk->durable || !disk->cached)
        abort();
}

void duo_disk_free(struct duo_disk *disk)
{
    free(disk->now);
    free(disk->durable);
    free(disk->cached);
    memset(disk, 0, sizeof *disk);
}

void duo_disk_write(
    struct duo_disk *disk, uint64_t sector, uint64_t sectors, const uint8_t *data, bool fua)
{
    if (data)
        memcpy(disk->now + sector * SECTOR, data, sectors * SECTOR);
    else
        memset(disk->now + sector * SECTOR, 0, sectors * SECTOR);
    if (fua)
        memcpy(disk->durable + sector * SECTOR, disk->now + sector * SECTOR, sectors * SECTOR);
    memset(disk->cached + sector, !fua, sectors);
    disk->writes++;
}

void duo_disk_flush(struct duo_disk *disk)
{
    const uint8_t *at = disk->cached, *end = disk->cached + disk->sectors;

    while ((at = memchr(at, 1, (size_t)(end - at)))) {
        uint64_t s = (uint64_t)(at - disk->cached);
        memcpy(disk->durable + s * SECTOR, disk->now + s * SECTOR, SECTOR);
        disk->cached[s] = 0;
    }
    disk->flushes++;
}

void duo_disk_power_loss(struct duo_disk *disk, struct hv_prng *prng)
{
    for (uint64_t s = 0; s < disk->sectors; s++) {
        if (!disk->cached[s])
            continue;
        if (hv_prng_below(prng, 2))
            memcpy(disk->durable + s * SECTOR, disk->now + s * SECTOR, SECTOR);
        else
            memcpy(disk->now + s * SECTOR, disk->durable + s * SECTOR, SECTOR);
        disk->cached[s] = 0;
    }
}
