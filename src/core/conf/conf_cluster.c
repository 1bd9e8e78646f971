/* SPDX-License-Identifier: Apache-2.0 */
/* ha.cf and authkeys (heartbeat §9, §10), and haven.conf's cluster {}. */
#include <string.h>

#include "conf_parse.h"

static const char *const methods[] = {"crc", "md5", "sha1", "sha256"};

/* Directives whose values are separated by commas too (heartbeat §9). */
static bool splits_at_commas(const char *name)
{
    static const char *const whole[] = {
        "respawn", "failfast", "stonith", "stonith_host", "apiauth", "env"};

    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (!strcmp(name, whole[i]))
            return false;
    return true;
}

static void split_commas(struct conf_parser *p, const char *word, const char ***out, size_t *n)
{
    while (*word) {
        size_t length = strcspn(word, ",");
        if (length)
            *CONF_PUSH(p->notes.arena, *out, *n) = conf_strndup(p->notes.arena, word, length);
        word += length + (word[length] == ',');
    }
}

void conf_parse_ha_cf(struct conf_parser *p, const char *path)
{
    struct hv_text text = {0};
    struct conf_file_meta meta;
    struct conf_line line;

    if (conf_parse_read(p, path, (struct conf_pos){0}, &text, &meta)) {
        hv_text_free(&text);
        return;
    }
    struct conf_cluster *c = conf_cluster_new(p, (struct conf_pos){path, 0});
    struct conf_lines lines = {.notes = &p->notes,
        .at = hv_text_str(&text),
        .end = hv_text_str(&text) + text.length,
        .pos = {path, 1}};
    while (conf_lines_next(&lines, &line)) {
        struct conf_directive d = {.pos = line.pos, .name = line.words[0]};
        const char *rest = line.raw + strlen(line.words[0]);
        d.rest = rest + strspn(rest, " \t");
        for (size_t i = 1; i < line.n; i++)
            if (splits_at_commas(d.name))
                split_commas(p, line.words[i], &d.values, &d.n);
            else
                *CONF_PUSH(p->notes.arena, d.values, d.n) = line.words[i];
        if (!conf_directive_apply(p, c, &d))
            conf_error(&p->notes, line.pos, conf_directive_hint(p, d.name),
                "'%s' is not a directive of ha.cf", d.name);
    }
    hv_text_free(&text);
}

/* The method and its key; says nothing of the key itself. */
static void key_set(struct conf_parser *p, struct conf_pos pos, uint32_t id, const char *method,
    const char *key, bool haven)
{
    size_t n = haven ? 4 : 3;
    struct conf_auth_key *k = &p->cluster->keys[id];

    for (size_t i = 0; i < n; i++) {
        if (strcmp(method, methods[i]))
            continue;
        if (i == CONF_AUTH_CRC && key)
            conf_error(&p->notes, pos, "leave it out", "crc takes no key");
        else if (i != CONF_AUTH_CRC && !key)
            conf_error(&p->notes, pos, "write a secret after it", "%s needs a key", method);
        *k = (struct conf_auth_key){
            .present = true, .method = (enum conf_auth_method)i, .key = key ? key : ""};
        return;
    }
    for (size_t i = 0; key && i < n; i++)
        if (!strcmp(key, methods[i])) { /* then `method` is the secret, and is not shown */
            conf_error(
                &p->notes, pos, "write the method first", "the key stands before its method");
            return;
        }
    const char *hint = conf_did_you_mean(&p->notes, method, methods, n);
    conf_error(&p->notes, pos, hint ? hint : conf_one_of(&p->notes, methods, n),
        "'%s' is not a method of signing", method);
}

/* Secrets are refused when others can read them. */
static void check_private(
    struct conf_parser *p, const char *path, const struct conf_file_meta *meta, bool owner)
{
    struct conf_pos pos = {path, 0};

    if (meta->mode & 077)
        conf_error(&p->notes, pos, conf_sprintf(p->notes.arena, "chmod 600 %s", path),
            "holds the cluster's key, and its mode %03o lets others at it", meta->mode & 0777);
    if (owner && meta->uid)
        conf_error(&p->notes, pos, conf_sprintf(p->notes.arena, "chown root %s", path),
            "holds the cluster's key, and belongs to user %u", meta->uid);
}

static void parse_authkey_line(
    struct conf_parser *p, const struct conf_line *line, int *active, struct conf_pos *auth)
{
    uint32_t id;

    if (line->words[0][0] == 'a') {
        if (strcmp(line->words[0], "auth") || line->n != 2 ||
            !conf_value_u32(line->words[1], 0, CONF_AUTH_KEYS_MAX - 1, &id))
            conf_error(&p->notes, line->pos, "write 'auth N', N from 0 to 15",
                "this does not name the key to sign with");
        else {
            *active = (int)id;
            *auth = line->pos;
        }
        return;
    }
    if (!conf_value_u32(line->words[0], 0, CONF_AUTH_KEYS_MAX - 1, &id) || line->n < 2 ||
        line->n > 3) {
        conf_error(
            &p->notes, line->pos, "write 'N METHOD KEY', N from 0 to 15", "this is not a key");
        return;
    }
    if (p->cluster->keys[id].present)
        conf_error(
            &p->notes, line->pos, "give it another number", "key %u stands a second time", id);
    if ((int)id == *active)
        p->cluster->active_key = *active;
    key_set(p, line->pos, id, line->words[1], line->n == 3 ? line->words[2] : NULL, false);
}

void conf_parse_authkeys(struct conf_parser *p, const char *path)
{
    struct hv_text text = {0};
    struct conf_file_meta meta;
    struct conf_line line;
    struct conf_pos pos = {path, 0};
    struct conf_pos auth = pos;
    int active = -1;

    int rc = conf_parse_read(p, path, pos, &text, &meta);
    if (rc == HV_ENOENT)
        conf_error(&p->notes, pos, "write it: 'auth 1' and '1 sha1 SECRET', mode 600",
            "does not exist, but ha.cf does");
    if (rc) {
        hv_text_free(&text);
        return;
    }
    check_private(p, path, &meta, true);
    struct conf_lines lines = {.notes = &p->notes,
        .at = hv_text_str(&text),
        .end = hv_text_str(&text) + text.length,
        .pos = {path, 1},
        .comments_at_start_only = true};
    while (conf_lines_next(&lines, &line))
        parse_authkey_line(p, &line, &active, &auth);
    if (active < 0)
        conf_error(&p->notes, pos, "write 'auth N' in front of the keys",
            "does not say which key to sign with");
    else if (p->cluster->active_key < 0)
        conf_error(&p->notes, auth,
            p->cluster->keys[active].present
                ? "put the line 'auth' in front of it"
                : conf_sprintf(p->notes.arena, "write '%d sha1 SECRET'", active),
            p->cluster->keys[active].present ? "key %d stands in front of the line 'auth %d'"
                                             : "key %d of the line 'auth %d' is missing",
            active, active);
    memset(text.s, 0, text.length);
    hv_text_free(&text);
}

/* node NAME { address A; }, with `node NAME` read and '{' at hand. */
static void parse_node_body(struct conf_parser *p, struct conf_node *node, struct conf_pos pos)
{
    static const char *const known[] = {"address"};
    struct conf_node ignored = {0};

    conf_lexer_next(p->lx);
    if (!node)
        node = &ignored;
    while (conf_parse_more(p, pos, "node")) {
        struct conf_pos at = p->lx->token.pos;
        const char **words;
        if (!conf_parse_keyword(p, "address")) {
            conf_parse_unknown(p, "in a node", known, 1);
            continue;
        }
        size_t n = conf_lexer_words(p->lx, &words);
        if (n != 2 || (!conf_value_ipv4(words[1]) && !conf_value_ipv6(words[1])))
            conf_error(&p->notes, at, "write 'address IP;'", "this is not the address of a node");
        else
            node->address = words[1];
        conf_parse_semicolon(p);
    }
}

static void parse_auth(struct conf_parser *p, struct conf_pos pos, const char **words, size_t n)
{
    static const int id = 1;

    if (n < 2 || n > 3) {
        conf_error(
            &p->notes, pos, "write 'auth sha256 \"SECRET\";'", "auth takes a method and a key");
        return;
    }
    if (p->cluster->keys[id].present)
        conf_error(&p->notes, pos, "keep one of them", "auth stands a second time");
    p->cluster->active_key = id;
    key_set(p, pos, id, words[1], n == 3 ? words[2] : NULL, true);
    if (p->request->want_cluster)
        check_private(p, pos.file, &p->meta, false);
}

static void parse_witness(struct conf_parser *p, struct conf_pos pos, const char **words, size_t n)
{
    if (n != 2 || !conf_value_endpoint(p->notes.arena, words[1], &p->cluster->witness_address,
                      &p->cluster->witness_port))
        conf_error(&p->notes, pos, "write 'witness ADDRESS:PORT;'",
            "this is not the address of a witness");
}

/* ha.cf's names are spelled with '-' here, as everything in haven.conf. */
static const char *directive_name(struct conf_parser *p, const char *word)
{
    char *name = conf_strdup(p->notes.arena, word);

    for (char *c = name; *c; c++)
        if (*c == '-')
            *c = '_';
    return name;
}

static void parse_cluster_statement(struct conf_parser *p)
{
    static const char *const own[] = {"node", "auth", "witness", "keepalive", "warntime",
        "deadtime", "initdead", "deadping", "ping", "ping-group", "auto-failback", "udpport",
        "name", "ucast", "bcast", "mcast"};
    struct conf_pos pos = p->lx->token.pos;
    const char **words;
    size_t n = conf_lexer_words(p->lx, &words);

    if (!n) {
        conf_parse_unknown(p, "in cluster { }", own, sizeof own / sizeof own[0]);
        return;
    }
    if (!strcmp(words[0], "node")) {
        struct conf_node *node = NULL;
        if (n != 2)
            conf_error(&p->notes, pos, "write 'node NAME { address IP; }'", "node takes one name");
        else
            node = conf_cluster_node_add(p, p->cluster, pos, words[1]);
        if (conf_token_is(&p->lx->token, '{')) {
            parse_node_body(p, node, pos);
            return;
        }
    } else if (!strcmp(words[0], "auth")) {
        parse_auth(p, pos, words, n);
    } else if (!strcmp(words[0], "witness")) {
        parse_witness(p, pos, words, n);
    } else {
        struct hv_text rest = {0};
        for (size_t i = 1; i < n; i++)
            hv_text_addf(&rest, "%s%s", i > 1 ? " " : "", words[i]);
        struct conf_directive d = {.pos = pos,
            .name = strcmp(words[0], "name") ? directive_name(p, words[0]) : "cluster",
            .values = words + 1,
            .n = n - 1,
            .rest = conf_strdup(p->notes.arena, hv_text_str(&rest)),
            .haven = true};
        hv_text_free(&rest);
        if (!conf_directive_apply(p, p->cluster, &d)) {
            const char *hint =
                conf_did_you_mean(&p->notes, words[0], own, sizeof own / sizeof own[0]);
            conf_error(&p->notes, pos, hint ? hint : conf_directive_hint(p, d.name),
                "'%s' is not known in cluster { }", words[0]);
        }
    }
    conf_parse_semicolon(p);
}

void conf_parse_cluster(struct conf_parser *p)
{
    struct conf_pos pos = p->lx->token.pos;

    conf_lexer_next(p->lx);
    if (!conf_parse_char(p, '{', "'cluster'"))
        return;
    if (p->cluster) {
        conf_parse_once(p, &p->cluster_pos, pos, "section 'cluster'");
    } else {
        conf_cluster_new(p, pos);
        p->cluster->use_ipfail = true;
        p->cluster->use_dopd = true;
        p->cluster->auto_failback = CONF_FAILBACK_OFF;
        p->cluster_from_haven = true;
    }
    while (conf_parse_more(p, pos, "cluster"))
        parse_cluster_statement(p);
}

/* heartbeat §9: what is not said follows from deadtime. */
static void fill_times(struct conf_cluster *c)
{
    if (!c->warntime_ms)
        c->warntime_ms = c->deadtime_ms / 2 ? c->deadtime_ms / 2 : 1;
    if (!c->deadping_ms)
        c->deadping_ms = c->deadtime_ms;
    if (c->initdead_ms)
        return;
    if (c->deadtime_ms > 10000)
        c->initdead_ms = c->deadtime_ms;
    else
        c->initdead_ms = c->deadtime_ms < 6000 ? 12000 : 2 * c->deadtime_ms;
}

static void check_times(struct conf_parser *p, const struct conf_cluster *c)
{
    if (c->deadtime_ms <= 2 * (uint64_t)c->keepalive_ms)
        conf_error(&p->notes, conf_directive_pos(p, "deadtime"),
            "make deadtime more than twice keepalive",
            "deadtime %u ms is too small compared to keepalive %u ms", c->deadtime_ms,
            c->keepalive_ms);
    if (c->deadping_ms <= 2 * (uint64_t)c->keepalive_ms && c->deadping_ms != c->deadtime_ms)
        conf_error(&p->notes, conf_directive_pos(p, "deadping"),
            "make deadping more than twice keepalive",
            "deadping %u ms is too small compared to keepalive %u ms", c->deadping_ms,
            c->keepalive_ms);
    if (c->initdead_ms < c->deadtime_ms)
        conf_error(&p->notes, conf_directive_pos(p, "initdead"), "make initdead at least deadtime",
            "initdead %u ms is smaller than deadtime %u ms", c->initdead_ms, c->deadtime_ms);
    if (c->warntime_ms >= c->deadtime_ms)
        conf_warn(&p->notes, conf_directive_pos(p, "warntime"), "make warntime less than deadtime",
            "warntime %u ms warns of nothing before deadtime %u ms", c->warntime_ms,
            c->deadtime_ms);
}

/* Each other node's address is a medium. */
static void add_haven_media(struct conf_parser *p, struct conf_cluster *c)
{
    for (size_t i = 0; i < c->n_nodes; i++) {
        const struct conf_node *node = &c->nodes[i];
        if (node->me || !node->address[0])
            continue;
        *CONF_PUSH_TO(struct conf_medium, p->notes.arena, c->media, c->n_media) =
            (struct conf_medium){
                .kind = strchr(node->address, ':') ? CONF_MEDIUM_UCAST6 : CONF_MEDIUM_UCAST,
                .device = "",
                .address = node->address,
                .port = c->udpport};
    }
}

static void check_words(struct conf_parser *p, struct conf_cluster *c)
{
    static const char *const facilities[] = {"none", "auth", "authpriv", "cron", "daemon", "ftp",
        "kern", "lpr", "mail", "news", "syslog", "user", "uucp", "local0", "local1", "local2",
        "local3", "local4", "local5", "local6", "local7"};
    const size_t n = sizeof facilities / sizeof facilities[0];
    bool known = !c->logfacility[0];

    for (size_t i = 0; i < n; i++)
        known |= !strcmp(c->logfacility, facilities[i]);
    if (!known)
        conf_error(&p->notes, conf_directive_pos(p, "logfacility"),
            conf_did_you_mean(&p->notes, c->logfacility, facilities, n),
            "logfacility '%s' is not one of syslog's", c->logfacility);
    if (!strcmp(c->logfacility, "none"))
        c->logfacility = "";
    if (c->compression[0] && strcmp(c->compression, "zlib") && strcmp(c->compression, "bz2"))
        conf_error(&p->notes, conf_directive_pos(p, "compression"), "use zlib or bz2",
            "compression cannot be '%s'", c->compression);
}

/* A host of a mirrored resource that the cluster has not heard of, or the other way round. */
static void check_hosts(struct conf_parser *p, const struct conf_cluster *c)
{
    const char **names = NULL;
    size_t n = 0;

    for (size_t i = 0; i < c->n_nodes; i++)
        *CONF_PUSH(p->notes.arena, names, n) = c->nodes[i].name;
    for (size_t r = 0; n && r < p->tree->n_resources; r++)
        for (size_t h = 0; h < p->tree->resources[r]->n_hosts; h++) {
            const struct conf_tree_host *host = p->tree->resources[r]->hosts[h];
            bool known = host->kind != CONF_HOST_ON || !host->n_names;
            for (size_t k = 0; k < host->n_names; k++)
                known |= conf_cluster_node_find(c, host->names[k]) != NULL;
            if (known)
                continue;
            const char *hint = conf_did_you_mean(&p->notes, host->names[0], names, n);
            conf_error(&p->notes, host->pos, hint ? hint : conf_one_of(&p->notes, names, n),
                "host '%s' is not a node of the cluster (%s)", host->names[0], c->file);
        }
}

void conf_check_cluster(struct conf_parser *p)
{
    struct conf_cluster *c = p->cluster;
    struct conf_pos pos = p->cluster_pos;

    if (!c)
        return;
    fill_times(c);
    check_times(p, c);
    check_words(p, c);
    if (p->cluster_from_haven) {
        add_haven_media(p, c);
        if (c->active_key < 0)
            conf_error(&p->notes, pos, "write 'auth sha256 \"SECRET\";'",
                "the cluster has no key to sign its messages with");
    }
    if (!c->n_nodes)
        conf_error(&p->notes, pos, "write a line 'node NAME' for each node", "no node is named");
    else if (!conf_cluster_node_find(c, p->request->node))
        conf_error(&p->notes, conf_directive_pos(p, "node"),
            conf_sprintf(p->notes.arena, "write 'node %s'", p->request->node),
            "this node, '%s', is not among the nodes", p->request->node);
    if (!c->n_media && !c->n_pings)
        conf_error(&p->notes, pos,
            p->cluster_from_haven ? "give the other node its address"
                                  : "write a line 'ucast INTERFACE ADDRESS'",
            "there is no medium to reach the other node by");
    check_hosts(p, c);
}
