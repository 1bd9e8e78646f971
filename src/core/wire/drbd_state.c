/* SPDX-License-Identifier: Apache-2.0 */
#include "drbd_state.h"

#include <stddef.h>
#include <string.h>

#define NAME_ROW(name, number, text) [number] = text,
static const char *const role_names[] = {DRBD_ROLES(NAME_ROW)};
static const char *const conn_names[] = {DRBD_CONNS(NAME_ROW)};
static const char *const disk_names[] = {DRBD_DISKS(NAME_ROW)};
#undef NAME_ROW

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *name_at(const char *const *names, size_t count, unsigned number)
{
    return number < count && names[number] ? names[number] : "?";
}

static int number_of(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (names[i] && strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

const char *drbd_role_name(enum drbd_role role)
{
    return name_at(role_names, COUNT(role_names), role);
}

const char *drbd_conn_name(enum drbd_conn conn)
{
    return name_at(conn_names, COUNT(conn_names), conn);
}

const char *drbd_disk_name(enum drbd_disk disk)
{
    return name_at(disk_names, COUNT(disk_names), disk);
}

int drbd_role_from_name(const char *name)
{
    return number_of(role_names, COUNT(role_names), name);
}

int drbd_conn_from_name(const char *name)
{
    return number_of(conn_names, COUNT(conn_names), name);
}

int drbd_disk_from_name(const char *name)
{
    return number_of(disk_names, COUNT(disk_names), name);
}

const char *drbd_retcode_text(int retcode)
{
    switch (retcode) {
#define CASE_ROW(name, number, text)                                                               \
    case name:                                                                                     \
        return text;
        DRBD_RETCODES(CASE_ROW)
#undef CASE_ROW
    default:
        return "?";
    }
}

uint32_t drbd_state_pack(const struct drbd_state *s)
{
    return ((uint32_t)s->role & R_MASK) | ((uint32_t)s->peer & R_MASK) << 2 |
           ((uint32_t)s->conn & C_MASK) << 4 | ((uint32_t)s->disk & D_MASK) << 9 |
           ((uint32_t)s->pdsk & D_MASK) << 13 | (uint32_t)s->susp << 17 |
           (uint32_t)s->aftr_isp << 18 | (uint32_t)s->peer_isp << 19 | (uint32_t)s->user_isp << 20 |
           (uint32_t)s->susp_nod << 21 | (uint32_t)s->susp_fen << 22;
}

struct drbd_state drbd_state_unpack(uint32_t word)
{
    return (struct drbd_state){
        .role = (enum drbd_role)(word & R_MASK),
        .peer = (enum drbd_role)(word >> 2 & R_MASK),
        .conn = (enum drbd_conn)(word >> 4 & C_MASK),
        .disk = (enum drbd_disk)(word >> 9 & D_MASK),
        .pdsk = (enum drbd_disk)(word >> 13 & D_MASK),
        .susp = word >> 17 & 1,
        .aftr_isp = word >> 18 & 1,
        .peer_isp = word >> 19 & 1,
        .user_isp = word >> 20 & 1,
        .susp_nod = word >> 21 & 1,
        .susp_fen = word >> 22 & 1,
    };
}

bool drbd_state_known(const struct drbd_state *s)
{
    return s->role <= R_SECONDARY && s->peer <= R_SECONDARY && s->conn <= C_BEHIND &&
           s->disk <= D_UP_TO_DATE && s->pdsk <= D_UP_TO_DATE;
}
