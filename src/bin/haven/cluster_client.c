/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster_client.h"

#include <stdlib.h>
#include <string.h>

#include "conf_load.h"
#include "volume_client.h"

static int socket_path(const struct cmd_context *ctx, char path[CTL_PATH_MAX], struct hv_diag *diag)
{
    if (ctl_path(path, CTL_PATH_MAX, ctx->root, "havend"))
        return HV_OK;
    hv_diag_set(diag, "the path of havend's socket is too long");
    return HV_EINVAL;
}

static void explain(int rc, struct hv_diag *diag)
{
    if (rc == HV_ENOENT)
        hv_diag_set(diag, "havend does not run on this node");
}

int cluster_open(const struct cmd_context *ctx, struct ctl_link **link, struct hv_diag *diag)
{
    char path[CTL_PATH_MAX];
    int rc = socket_path(ctx, path, diag);

    if (!rc)
        rc = ctl_link_open(path, link, diag);
    explain(rc, diag);
    return rc;
}

int cluster_call(const struct cmd_context *ctx, json_t *request, uint32_t timeout_ms,
    json_t **reply, struct hv_diag *diag)
{
    char path[CTL_PATH_MAX];
    int rc = socket_path(ctx, path, diag);

    if (rc) {
        json_decref(request);
        return rc;
    }
    rc = ctl_call(path, request, timeout_ms, reply, diag);
    explain(rc, diag);
    return rc;
}

json_t *cluster_status(const struct cmd_context *ctx, struct hv_diag *diag)
{
    struct hv_diag unheard;
    json_t *reply = NULL;

    if (cluster_call(ctx, json_pack("{s:s}", "verb", "status"), CLUSTER_CALL_MS, &reply,
            diag ? diag : &unheard))
        return NULL;
    json_t *status = json_incref(json_object_get(reply, "status"));
    json_decref(reply);
    return status;
}

json_t *cluster_picture(const struct cmd_context *ctx)
{
    struct hv_diag diag = {""};
    json_t *cluster = cluster_status(ctx, &diag), *resources = json_array();
    struct conf *conf = NULL;

    if (conf_load(ctx, false, &conf) && !diag.text[0])
        hv_diag_set(&diag, "the configuration has errors: haven check says which");
    for (size_t i = 0; conf && i < conf->n_resources; i++) {
        const struct conf_resource *r = &conf->resources[i];
        if (!r->me)
            continue;
        json_t *status = volume_status(ctx, r->name);
        json_array_append_new(resources, json_pack("{s:s, s:s, s:o}", "resource", r->name, "peer",
                                             r->peer && r->peer->n_names ? r->peer->names[0] : "",
                                             "status", status ? status : json_null()));
    }
    json_t *picture = json_pack("{s:s, s:o, s:s, s:o}", "node", ctx->node, "cluster",
        cluster ? cluster : json_null(), "why", diag.text, "resources", resources);
    conf_free(conf);
    return picture;
}
