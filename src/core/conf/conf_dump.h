/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_DUMP_H
#define CONF_DUMP_H
/* The configuration as drbdadm of 8.4 prints it (admin §2.1), byte for byte: as it was written, not
 * inherited. */
#include "conf.h"

void conf_dump_global(const struct conf *conf, struct hv_text *out); /* file name, global, common */
void conf_dump_resource(
    const struct conf *conf, const struct conf_resource *resource, struct hv_text *out);
void conf_dump_resource_xml(
    const struct conf *conf, const struct conf_resource *resource, struct hv_text *out);
void conf_dump_xml(const struct conf *conf, struct hv_text *out);

#endif
