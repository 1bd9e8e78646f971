/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_ENDIAN_H
#define HV_ENDIAN_H
/* Integers as they stand on the wire or on the disk.  Each is a struct of bytes, so that it has no
 * alignment and cannot be assigned to or from a number without saying which way round it is. */
#include <stdint.h>

struct be16 {
    uint8_t b[2];
};
struct be32 {
    uint8_t b[4];
};
struct be64 {
    uint8_t b[8];
};
struct le64 {
    uint8_t b[8];
};

static inline uint16_t hv_load_be16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t hv_load_be32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t hv_load_be64(const void *p)
{
    return (uint64_t)hv_load_be32(p) << 32 | hv_load_be32((const uint8_t *)p + 4);
}

static inline uint64_t hv_load_le64(const void *p)
{
    const uint8_t *b = p;
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | b[i];
    return v;
}

static inline void hv_store_be16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 8);
    b[1] = (uint8_t)v;
}

static inline void hv_store_be32(void *p, uint32_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 24);
    b[1] = (uint8_t)(v >> 16);
    b[2] = (uint8_t)(v >> 8);
    b[3] = (uint8_t)v;
}

static inline void hv_store_be64(void *p, uint64_t v)
{
    hv_store_be32(p, (uint32_t)(v >> 32));
    hv_store_be32((uint8_t *)p + 4, (uint32_t)v);
}

static inline void hv_store_le64(void *p, uint64_t v)
{
    uint8_t *b = p;
    for (int i = 0; i < 8; i++, v >>= 8)
        b[i] = (uint8_t)v;
}

static inline uint16_t be16_get(struct be16 v)
{
    return hv_load_be16(v.b);
}
static inline uint32_t be32_get(struct be32 v)
{
    return hv_load_be32(v.b);
}
static inline uint64_t be64_get(struct be64 v)
{
    return hv_load_be64(v.b);
}
static inline uint64_t le64_get(struct le64 v)
{
    return hv_load_le64(v.b);
}
static inline struct be16 be16_of(uint16_t n)
{
    struct be16 v;
    hv_store_be16(v.b, n);
    return v;
}
static inline struct be32 be32_of(uint32_t n)
{
    struct be32 v;
    hv_store_be32(v.b, n);
    return v;
}
static inline struct be64 be64_of(uint64_t n)
{
    struct be64 v;
    hv_store_be64(v.b, n);
    return v;
}
static inline struct le64 le64_of(uint64_t n)
{
    struct le64 v;
    hv_store_le64(v.b, n);
    return v;
}

_Static_assert(sizeof(struct be16) == 2 && sizeof(struct be32) == 4 && sizeof(struct be64) == 8 &&
                   sizeof(struct le64) == 8,
    "wire integers have no padding");

#endif
