#pragma once
#include <stdint.h>
#include <string.h>

/* Numbers in wire and disk structures, read field by field, never cast. */

/* A table of one-liners. */
/* clang-format off */
static inline uint16_t le16_get(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t le32_get(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t le64_get(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void le16_put(void *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void le32_put(void *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void le64_put(void *p, uint64_t v) { memcpy(p, &v, 8); }
static inline uint16_t be16_get(const void *p) { return __builtin_bswap16(le16_get(p)); }
static inline uint32_t be32_get(const void *p) { return __builtin_bswap32(le32_get(p)); }
static inline uint64_t be64_get(const void *p) { return __builtin_bswap64(le64_get(p)); }
static inline void be16_put(void *p, uint16_t v) { le16_put(p, __builtin_bswap16(v)); }
static inline void be32_put(void *p, uint32_t v) { le32_put(p, __builtin_bswap32(v)); }
static inline void be64_put(void *p, uint64_t v) { le64_put(p, __builtin_bswap64(v)); }
/* clang-format on */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Runnymede is built for little-endian machines: x86-64 and arm64"
#endif
