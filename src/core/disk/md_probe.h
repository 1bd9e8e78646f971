/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MD_PROBE_H
#define MD_PROBE_H
/* What looks like data: signatures in the first bytes of a device, so that create-md does not destroy
 * a file system.  A guess by nature; the bytes are believed in nothing but the sentence printed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MD_PROBE_BYTES = 68 * 1024 }; /* how much of the start of the device to read */

struct md_probe {
    const char *what;    /* "ext4 filesystem", "some data"; NULL: nothing but zeros */
    bool fills_device;   /* a file system or volume that cannot do without the end of its device */
    bool size_known;     /* size_bytes says how much of the device it uses */
    bool is_file_system; /* may be shrunk first */
    uint64_t size_bytes;
};

/* bytes: the start of the device, MD_PROBE_BYTES of it (fewer when the device is smaller). */
struct md_probe md_probe(const uint8_t *bytes, size_t length_bytes);

#endif
