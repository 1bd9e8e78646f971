/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

const struct cmd cmd_md_table[] = {
    {NULL},
};
