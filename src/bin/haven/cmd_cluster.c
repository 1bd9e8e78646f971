/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

const struct cmd cmd_cluster_table[] = {
    {NULL},
};

int cmd_alias_run(const struct cmd_context *ctx, int argc, char **argv)
{
    (void)ctx;
    (void)argc;
    (void)argv;
    return -1;
}
