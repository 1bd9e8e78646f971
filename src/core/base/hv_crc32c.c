/* SPDX-License-Identifier: Apache-2.0 */
#include "hv_crc32c.h"

enum { CRC32C_POLY_REFLECTED = (int)0x82f63b78 };

static uint32_t crc32c_byte(uint32_t crc)
{
    for (int bit = 0; bit < 8; bit++)
        crc = crc & 1 ? crc >> 1 ^ (uint32_t)CRC32C_POLY_REFLECTED : crc >> 1;
    return crc;
}

/* Built at first use.  Every thread would write the same values. */
static const uint32_t *crc32c_table(void)
{
    static uint32_t table[256];

    if (!table[1])
        for (int i = 255; i >= 0; i--)
            table[i] = crc32c_byte((uint32_t)i);
    return table;
}

uint32_t hv_crc32c(uint32_t crc, const void *bytes, size_t length_bytes)
{
    const uint32_t *table = crc32c_table();
    const uint8_t *p = bytes;

    while (length_bytes--)
        crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
    return crc;
}
