/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_ENTROPY_H
#define HV_ENTROPY_H
/* Random bytes as an argument.  The host fills `bytes` (getrandom, or the simulator's PRNG) and sets
 * used = 0; an engine takes what it needs from the front; the host refills before the next step
 * whenever used > 0.  Taking more than there is is a mistake of ours (hv_assert). */
#include <stddef.h>
#include <stdint.h>

enum { HV_ENTROPY_BYTES = 256 };

struct hv_entropy {
    uint8_t bytes[HV_ENTROPY_BYTES];
    size_t used;
};

void hv_entropy_take(struct hv_entropy *e, void *to, size_t length_bytes);
uint64_t hv_entropy_u64(struct hv_entropy *e);

#endif
