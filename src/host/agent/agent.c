/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_util.h"

const char *agent_get(const struct agent_request *r, const char *key)
{
    const char *value[1];

    return agent_all(r, key, value, 1) ? value[0] : "";
}

uint32_t agent_number(const struct agent_request *r, const char *key, uint32_t otherwise)
{
    const char *text = agent_get(r, key);
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    return *text && !*end && n <= UINT32_MAX ? (uint32_t)n : otherwise;
}

size_t agent_all(const struct agent_request *r, const char *key, const char **values, size_t max)
{
    size_t n = 0, length = strlen(key);

    for (size_t i = 0; i < r->n_words && n < max; i++)
        if (!strncmp(r->words[i], key, length) && r->words[i][length] == '=')
            values[n++] = r->words[i] + length + 1;
    return n;
}

static int parse_action(const char *word, enum agent_action *action)
{
    static const char *const names[] = {"start", "stop", "monitor"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i], word)) {
            *action = (enum agent_action)i;
            return HV_OK;
        }
    return HV_EINVAL;
}

int agent_main(const char *root, int argc, char **argv, const struct agent_volume_ops *volume_ops)
{
    struct hv_diag diag = {""};
    enum agent_action action;
    int rc;

    if (argc < 2 || parse_action(argv[1], &action)) {
        puts("usage: KIND start|stop|monitor [key=value…]");
        return AGENT_USAGE;
    }
    struct agent_request r = {
        .root = root, .words = (const char *const *)argv + 2, .n_words = (size_t)argc - 2};

    if (!strcmp(argv[0], "address"))
        rc = agent_address(&r, action, &diag);
    else if (!strcmp(argv[0], "drbd"))
        rc = agent_drbd(&r, action, volume_ops, &diag);
    else if (!strcmp(argv[0], "filesystem"))
        rc = agent_filesystem(&r, action, &diag);
    else if (!strcmp(argv[0], "nfs"))
        rc = agent_nfs(&r, action, &diag);
    else if (!strcmp(argv[0], "script"))
        rc = agent_script(&r, action, &diag);
    else if (!strcmp(argv[0], "tickle"))
        rc = agent_tickle(&r, &diag);
    else if (!strcmp(argv[0], "clients"))
        rc = agent_clients_save(&r, &diag);
    else {
        printf("no agent is called %s\n", argv[0]);
        return AGENT_USAGE;
    }
    if (diag.text[0])
        puts(diag.text);
    fflush(stdout);
    return rc;
}
