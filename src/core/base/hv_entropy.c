/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_entropy.h"

#include <string.h>

#include "hv_assert.h"

void hv_entropy_take(struct hv_entropy *e, void *to, size_t length_bytes)
{
    hv_assert(e->used <= sizeof e->bytes && length_bytes <= sizeof e->bytes - e->used);
    memcpy(to, e->bytes + e->used, length_bytes);
    /* What was given out once must not be found here again. */
    memset(e->bytes + e->used, 0, length_bytes);
    e->used += length_bytes;
}

uint64_t hv_entropy_u64(struct hv_entropy *e)
{
    uint64_t v;

    hv_entropy_take(e, &v, sizeof v);
    return v;
}
