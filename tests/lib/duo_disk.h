/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUO_DISK_H
#define DUO_DISK_H
/* A disk with a volatile cache, for duo_repl. */
#include <stdbool.h>
#include <stdint.h>

#include "hv_prng.h"

struct duo_disk {
    uint64_t sectors;
    uint8_t *now;     /* what a read gives */
    uint8_t *durable; /* what a power loss keeps for certain */
    uint8_t *cached;  /* [sectors]: now differs from durable */
    uint64_t writes, flushes;
};

void duo_disk_init(struct duo_disk *disk, uint64_t sectors);
void duo_disk_free(struct duo_disk *disk);
void duo_disk_write(
    struct duo_disk *disk, uint64_t sector, uint64_t sectors, const uint8_t *data, bool fua);
void duo_disk_flush(struct duo_disk *disk);
/* Each cached sector survives or not. */
void duo_disk_power_loss(struct duo_disk *disk, struct hv_prng *prng);

#endif
