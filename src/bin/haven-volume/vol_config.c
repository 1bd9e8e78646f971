/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "conf_load.h"
#include "hv_text.h"
#include "vol.h"

int vol_config_load(
    struct vol *v, struct conf **conf, const struct conf_resource **resource, struct hv_diag *diag)
{
    int rv = conf_load(&v->ctx, false, conf);

    *resource = NULL;
    if (!rv) {
        *resource = conf_resource_find(*conf, v->name);
        if (!*resource) {
            hv_diag_set(diag, "'%s' is not defined in the configuration", v->name);
            rv = HV_ENOENT;
        } else if (!(*resource)->me || !(*resource)->peer) {
            hv_diag_set(diag, "resource '%s' has %s", v->name,
                (*resource)->me ? "not exactly one other host" : "no part on this node");
            rv = HV_EINVAL;
        } else if (!(*resource)->me->n_volumes || (*resource)->me->n_volumes > REPL_VOLUMES_MAX) {
            hv_diag_set(diag, "resource '%s': %zu volumes; 1 to %d are supported", v->name,
                (*resource)->me->n_volumes, REPL_VOLUMES_MAX);
            rv = HV_EINVAL;
        }
    } else {
        hv_diag_set(diag, "the configuration cannot be used: %s ('haven check' tells all)",
            hv_strerror(rv));
    }
    if (rv) {
        conf_free(*conf);
        *conf = NULL;
    }
    return rv;
}

static enum repl_rr_conflict rr_conflict(uint32_t value)
{
    return value == CONF_ASB_VIOLENTLY     ? REPL_RR_VIOLENTLY
           : value == CONF_ASB_CALL_HELPER ? REPL_RR_CALL_PRI_LOST
                                           : REPL_RR_DISCONNECT;
}

void vol_config_net(const struct conf_resource *r, struct repl_net_config *to)
{
    const struct conf_net_options *n = &r->net;

    *to = (struct repl_net_config){
        .wire_protocol = (uint8_t)n->protocol,
        .timeout_ds = n->timeout_ds,
        .ping_int_s = n->ping_int_s,
        .ping_timeout_ds = n->ping_timeout_ds,
        .connect_int_s = n->connect_int_s,
        .ko_count = n->ko_count,
        .max_buffers = n->max_buffers,
        .max_epoch_size = n->max_epoch_size,
        .socket_check_timeout_ds = n->socket_check_timeout_ds,
        .allow_two_primaries = n->allow_two_primaries,
        .always_asbp = n->always_asbp,
        .use_rle = n->use_rle,
        .csums_after_crash_only = n->csums_after_crash_only,
        .after_sb_0pri = n->after_sb_0pri,
        .after_sb_1pri = n->after_sb_1pri,
        .after_sb_2pri = n->after_sb_2pri,
        .rr_conflict = rr_conflict(n->rr_conflict),
        .on_congestion = (enum repl_congestion)n->on_congestion,
        .congestion_fill_sectors = n->congestion_fill_sectors,
        .congestion_extents = n->congestion_extents,
    };
    hv_strcopy(to->cram_hmac_alg, sizeof to->cram_hmac_alg, n->cram_hmac_alg);
    hv_strcopy(to->shared_secret, sizeof to->shared_secret, n->shared_secret);
    hv_strcopy(to->integrity_alg, sizeof to->integrity_alg, n->data_integrity_alg);
    hv_strcopy(to->verify_alg, sizeof to->verify_alg, n->verify_alg);
    hv_strcopy(to->csums_alg, sizeof to->csums_alg, n->csums_alg);
}

static enum repl_on_io_error on_io_error(uint32_t value)
{
    return value == CONF_IO_ERROR_PASS_ON      ? REPL_IOE_PASS_ON
           : value == CONF_IO_ERROR_CALL_LOCAL ? REPL_IOE_CALL_HANDLER
                                               : REPL_IOE_DETACH;
}

void vol_config_disk(const struct conf_volume *volume, struct repl_disk_config *to)
{
    const struct conf_disk_options *d = &volume->disk_options;

    *to = (struct repl_disk_config){
        .size_sectors = d->size_sectors,
        .on_io_error = on_io_error(d->on_io_error),
        .fencing = (enum repl_fencing)d->fencing,
        .disk_barrier = d->disk_barrier,
        .disk_flushes = d->disk_flushes,
        .disk_drain = d->disk_drain,
        .md_flushes = d->md_flushes,
        .resync_rate_kib = d->resync_rate_kibs,
        .al_extents = d->al_extents,
        .al_updates = d->al_updates,
        .discard_zeroes_if_aligned = d->discard_zeroes_if_aligned,
        .rs_discard_granularity_bytes = d->rs_discard_granularity_bytes,
        .disk_timeout_ds = d->disk_timeout_ds,
        .c_plan_ahead_ds = d->c_plan_ahead_ds,
        .c_delay_target_ds = d->c_delay_target_ds,
        .c_fill_target_sectors = d->c_fill_target_sectors,
        .c_max_rate_kib = d->c_max_rate_kibs,
        .c_min_rate_kib = d->c_min_rate_kibs,
    };
}

int vol_config_addresses(const struct conf_resource *r, struct net_addr *local,
    struct net_addr *peer, struct hv_diag *diag)
{
    const struct conf_host *hosts[] = {r->me, r->peer};

    for (int i = 0; i < 2; i++) {
        if (hosts[i]->family != CONF_FAMILY_IPV4 && hosts[i]->family != CONF_FAMILY_IPV6) {
            hv_diag_set(diag, "address family '%s' is not supported; use ipv4 or ipv6",
                conf_family_name(hosts[i]->family));
            return HV_EUNSUPPORTED;
        }
        int rv = net_addr_parse(hosts[i]->address, hosts[i]->port, i ? peer : local, diag);
        if (rv)
            return rv;
    }
    return HV_OK;
}

int vol_find(const struct vol *v, int64_t vnr)
{
    for (uint32_t i = 0; i < v->volumes; i++)
        if (v->volume[i].conf->vnr == vnr)
            return (int)i;
    return -1;
}
