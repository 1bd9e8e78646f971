/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a Heartbeat message; what decodes unsigned must encode and decode to the same fields. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hb_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A CRC needs no digest, so that the fuzzer can reach what comes after the signature. */
static const struct hb_keys keys = {.key = {[1] = {.method = HB_METHOD_CRC}}, .active = 1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hb_msg a, b;
    static uint8_t bytes[HB_MSG_BYTES_MAX];
    int length;

    if (hb_msg_decode(data, size, &keys, NULL, &a, NULL) == 0 && hb_msg_get(&a, "t"))
        (void)hb_msg_is(&a, "t", "status");
    if (hb_msg_decode(data, size, NULL, NULL, &a, NULL) != 0)
        return 0;
    length = hb_msg_encode(&a, HB_NETSTRING, &keys, 1, NULL, bytes, sizeof bytes);
    if (length < 0)
        return 0;
    if (hb_msg_decode(bytes, (size_t)length, &keys, NULL, &b, NULL) != 0 || a.fields != b.fields)
        abort();
    for (unsigned i = 0; i < a.fields; i++)
        if (a.field[i].value_bytes != b.field[i].value_bytes ||
            memcmp(a.bytes + a.field[i].value_at, b.bytes + b.field[i].value_at,
                a.field[i].value_bytes) != 0)
            abort();
    return 0;
}
