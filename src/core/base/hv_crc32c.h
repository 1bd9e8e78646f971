/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_CRC32C_H
#define HV_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/* Castagnoli, reflected, no inversion before or after: the activity log (disk §3.2) starts with 0,
 * the usual CRC32C starts with ~0 and inverts the result. */
uint32_t hv_crc32c(uint32_t crc, const void *bytes, size_t length_bytes);

#endif
