/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_prng.h"

#include "hv_assert.h"

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = *x += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

void hv_prng_seed(struct hv_prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        p->s[i] = splitmix64(&seed);
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t hv_prng_next(struct hv_prng *p)
{
    uint64_t result = rotl(p->s[1] * 5, 7) * 9, t = p->s[1] << 17;

    p->s[2] ^= p->s[0];
    p->s[3] ^= p->s[1];
    p->s[1] ^= p->s[2];
    p->s[0] ^= p->s[3];
    p->s[2] ^= t;
    p->s[3] = rotl(p->s[3], 45);
    return result;
}

uint64_t hv_prng_below(struct hv_prng *p, uint64_t bound)
{
    hv_assert(bound > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound, v;
    do
        v = hv_prng_next(p);
    while (v >= limit);
    return v % bound;
}
