/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_PRNG_H
#define HV_PRNG_H
/* Seeded and repeatable (xoshiro256**): for tests, the simulator and jitter.  Never for secrets. */
#include <stdint.h>

struct hv_prng {
    uint64_t s[4];
};

void hv_prng_seed(struct hv_prng *p, uint64_t seed);
uint64_t hv_prng_next(struct hv_prng *p);
/* Uniform in [0, bound); bound > 0. */
uint64_t hv_prng_below(struct hv_prng *p, uint64_t bound);

#endif
