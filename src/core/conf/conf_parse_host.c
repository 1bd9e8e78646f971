/* SPDX-License-Identifier: Apache-2.0 */
/* drbd.conf: volumes and the host sections (admin §1.2). */
#include "conf_parse.h"

#include <string.h>

static struct conf_tree_volume *volume_get(struct conf_parser *p, struct conf_tree_volumes *volumes,
    uint32_t vnr, bool implied, struct conf_pos pos)
{
    for (size_t i = 0; i < volumes->n; i++)
        if (volumes->items[i]->vnr == vnr)
            return volumes->items[i];
    struct conf_tree_volume *v = conf_alloc(p->notes.arena, sizeof *v);
    v->vnr = vnr;
    v->implied = implied;
    v->pos = pos;
    *CONF_PUSH(p->notes.arena, volumes->items, volumes->n) = v;
    return v;
}

/* The volume 0 of statements that no `volume` surrounds. */
static struct conf_tree_volume *volume_implied(
    struct conf_parser *p, struct conf_tree_volumes *volumes, struct conf_pos pos)
{
    if (volumes->n && !volumes->items[0]->implied) {
        conf_error(&p->notes, pos, "move it into 'volume 0 { }'",
            "a statement outside of the volumes cannot stand beside 'volume %d { }'",
            (int)volumes->items[0]->vnr);
        return conf_alloc(p->notes.arena, sizeof(struct conf_tree_volume));
    }
    return volume_get(p, volumes, 0, true, pos);
}

/* /dev/drbdN, drbdN, /dev/drbd_NAME; the minor is in the name or follows it. */
static void check_device_name(
    struct conf_parser *p, struct conf_tree_volume *v, struct conf_pos pos)
{
    const char *base = v->device;
    uint32_t minor;

    if (!strncmp(base, "/dev/", 5))
        base += 5;
    if (strncmp(base, "drbd", 4)) {
        conf_error(&p->notes, pos, "use /dev/drbdN, or /dev/drbd_NAME minor N",
            "device '%s' does not begin with /dev/drbd", v->device);
        return;
    }
    v->device = conf_sprintf(p->notes.arena, "/dev/%s", base);
    if (conf_value_u32(base + 4, 0, CONF_MINOR_MAX, &minor)) {
        if (v->has_minor && v->minor != minor)
            conf_error(&p->notes, pos,
                conf_sprintf(
                    p->notes.arena, "use 'device /dev/drbd%u minor %u;'", v->minor, v->minor),
                "minor %u does not match '%s'", v->minor, v->device);
        v->has_minor = true;
        v->minor = minor;
    } else if (base[4] != '_') {
        conf_error(&p->notes, pos, "use /dev/drbdN, or /dev/drbd_NAME minor N",
            "'%s' is neither /dev/drbd and a number nor /dev/drbd_ and a name", v->device);
    } else if (!v->has_minor) {
        conf_error(&p->notes, pos,
            conf_sprintf(p->notes.arena, "use 'device %s minor N;'", v->device),
            "device '%s' does not say its minor number", v->device);
    }
}

static void parse_device(struct conf_parser *p, struct conf_tree_volume *v)
{
    struct conf_pos pos = p->lx->token.pos;
    bool once = conf_parse_once(p, &v->device_pos, pos, "device");
    struct conf_tree_volume ignored = {0};

    if (!once)
        v = &ignored;
    conf_lexer_next(p->lx);
    if (!conf_parse_keyword(p, "minor")) {
        v->device = conf_parse_name(p, "the device");
        if (!v->device)
            return;
    }
    if (conf_parse_keyword(p, "minor")) {
        conf_lexer_next(p->lx);
        if (!conf_parse_u32(p, "minor", 0, CONF_MINOR_MAX, &v->minor))
            return;
        v->has_minor = true;
    }
    conf_parse_semicolon(p);
    if (v->device)
        check_device_name(p, v, pos);
}

static void parse_disk(struct conf_parser *p, struct conf_tree_volume *v)
{
    struct conf_pos pos = p->lx->token.pos;
    bool once = conf_parse_once(p, &v->disk_pos, pos, "disk");

    conf_lexer_next(p->lx);
    const char *disk = conf_parse_name(p, "the path of the disk");
    if (!disk)
        return;
    if (once)
        v->disk = disk;
    conf_parse_semicolon(p);
}

static void parse_meta_disk(struct conf_parser *p, struct conf_tree_volume *v, bool flexible)
{
    struct conf_pos pos = p->lx->token.pos;
    bool once = conf_parse_once(p, &v->meta_pos, pos, "meta-disk");
    struct conf_tree_volume ignored = {0};

    if (!once)
        v = &ignored;
    conf_lexer_next(p->lx);
    v->meta_disk = conf_parse_name(p, "'internal' or the path of the meta-disk");
    if (!v->meta_disk)
        return;
    v->meta_kind = strcmp(v->meta_disk, "internal") ? CONF_META_EXTERNAL : CONF_META_INTERNAL;
    if (conf_token_is(&p->lx->token, '[') && v->meta_kind == CONF_META_EXTERNAL && !flexible) {
        conf_lexer_next(p->lx);
        if (!conf_parse_u32(p, "the index of the meta-disk", 0, INT32_MAX, &v->meta_index) ||
            !conf_parse_char(p, ']', "the index of the meta-disk"))
            return;
        v->meta_kind = CONF_META_INDEXED;
    }
    conf_parse_semicolon(p);
}

/* Within `volume N { }`, or beside it.  `disk {` belongs to whom the caller says. */
static bool parse_volume_part(struct conf_parser *p, struct conf_tree_volume *v)
{
    if (conf_parse_keyword(p, "device"))
        parse_device(p, v);
    else if (conf_parse_keyword(p, "disk"))
        parse_disk(p, v);
    else if (conf_parse_keyword(p, "meta-disk"))
        parse_meta_disk(p, v, false);
    else if (conf_parse_keyword(p, "flexible-meta-disk"))
        parse_meta_disk(p, v, true);
    else
        return false;
    return true;
}

/* Whether `disk` at hand is followed by '{'. */
static bool disk_section_follows(const struct conf_parser *p)
{
    struct conf_lexer ahead = *p->lx;

    conf_lexer_next(&ahead);
    return conf_token_is(&ahead.token, '{');
}

static void parse_volume_section(struct conf_parser *p, struct conf_tree_volumes *volumes)
{
    static const char *const known[] = {"device", "disk", "meta-disk", "flexible-meta-disk"};
    struct conf_pos pos = p->lx->token.pos;
    uint32_t vnr;

    conf_lexer_next(p->lx);
    if (!conf_parse_u32(p, "the volume number", 0, CONF_VNR_MAX, &vnr))
        return;
    if (!conf_parse_char(p, '{', conf_sprintf(p->notes.arena, "'volume %u'", vnr)))
        return;
    if (volumes->n && volumes->items[0]->implied)
        conf_error(&p->notes, pos, "move those into 'volume 0 { }' too",
            "'volume %u { }' cannot stand beside statements outside of the volumes", vnr);
    size_t before = volumes->n;
    struct conf_tree_volume *v = volume_get(p, volumes, vnr, false, pos);
    if (volumes->n == before)
        conf_parse_once(p, &v->pos, pos, conf_sprintf(p->notes.arena, "volume %u", vnr));
    while (conf_parse_more(p, pos, conf_sprintf(p->notes.arena, "volume %u", vnr))) {
        if (conf_parse_keyword(p, "disk") && disk_section_follows(p))
            conf_parse_options(p, CONF_SECTION_DISK, &v->disk_options, NULL);
        else if (!parse_volume_part(p, v))
            conf_parse_unknown(p, "in a volume", known, sizeof known / sizeof known[0]);
    }
}

bool conf_parse_volume_statement(
    struct conf_parser *p, struct conf_tree_volumes *volumes, bool in_resource)
{
    static const char *const words[] = {"device", "disk", "meta-disk", "flexible-meta-disk"};
    struct conf_pos pos = p->lx->token.pos;

    if (conf_parse_keyword(p, "volume")) {
        parse_volume_section(p, volumes);
        return true;
    }
    if (conf_parse_keyword(p, "disk") && disk_section_follows(p)) {
        if (in_resource)
            return false;
        conf_error(&p->notes, pos, "move it into the resource, or into 'volume 0 { }'",
            "disk options have no place in a host section");
        conf_parse_skip_statement(p);
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (conf_parse_keyword(p, words[i]))
            return parse_volume_part(p, volume_implied(p, volumes, pos));
    return false;
}

/* With [af] ADDR at hand; up to, but not over, what follows the port. */
static bool parse_endpoint(struct conf_parser *p, struct conf_tree_address *to)
{
    static const struct {
        const char *word;
        enum conf_family family;
    } families[] = {{"ipv4", CONF_FAMILY_IPV4}, {"ipv6", CONF_FAMILY_IPV6},
        {"sdp", CONF_FAMILY_SDP}, {"ssocks", CONF_FAMILY_SSOCKS}, {"sci", CONF_FAMILY_SSOCKS}};
    struct conf_pos pos = p->lx->token.pos;
    uint32_t port;

    to->family = CONF_FAMILY_IPV4;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (conf_parse_keyword(p, families[i].word)) {
            to->family = families[i].family;
            conf_lexer_next(p->lx);
            break;
        }
    if (to->family == CONF_FAMILY_IPV6) {
        if (!conf_token_is(&p->lx->token, '[') || !(to->ip = conf_lexer_bracketed(p->lx))) {
            conf_error(&p->notes, pos, "write 'ipv6 [ADDRESS]:PORT'",
                "an IPv6 address stands in square brackets");
            conf_parse_skip_statement(p);
            return false;
        }
    } else if (conf_token_is(&p->lx->token, '[')) {
        conf_error(&p->notes, pos, "write 'ipv6 [ADDRESS]:PORT'",
            "an address in square brackets must follow 'ipv6'");
        conf_parse_skip_statement(p);
        return false;
    } else if (!(to->ip = conf_parse_name(p, "an address"))) {
        return false;
    }
    if (to->family == CONF_FAMILY_IPV6 ? !conf_value_ipv6(to->ip) : !conf_value_ipv4(to->ip))
        conf_error(&p->notes, pos, "write ADDRESS:PORT, such as 192.168.1.10:7788",
            "'%s' is not an %s address", to->ip, to->family == CONF_FAMILY_IPV6 ? "IPv6" : "IPv4");
    if (!conf_parse_char(p, ':', conf_sprintf(p->notes.arena, "'%s'", to->ip)) ||
        !conf_parse_u32(p, "the port", 1, 65535, &port))
        return false;
    to->port = (uint16_t)port;
    to->pos = pos;
    return true;
}

static void parse_address(struct conf_parser *p, struct conf_tree_address *to, const char *what)
{
    struct conf_tree_address address = {0};
    struct conf_pos pos = p->lx->token.pos;

    conf_lexer_next(p->lx);
    if (!parse_endpoint(p, &address)) {
        if (!to->pos.line)
            to->pos = pos; /* it is wrong, not missing */
        return;
    }
    conf_parse_semicolon(p);
    address.pos = pos;
    struct conf_pos first = to->pos;
    if (conf_parse_once(p, &first, pos, what))
        *to = address;
}

/* Words up to '{'. */
static size_t parse_names(struct conf_parser *p, const char ***names)
{
    size_t n = 0;

    for (*names = NULL; conf_token_is_name(&p->lx->token); conf_lexer_next(p->lx))
        *CONF_PUSH(p->notes.arena, *names, n) = p->lx->token.text;
    return n;
}

static void parse_proxy(struct conf_parser *p, struct conf_tree_host *host)
{
    static const char *const known[] = {"inside", "outside", "options"};
    struct conf_pos pos = p->lx->token.pos;
    struct conf_tree_proxy *proxy = conf_alloc(p->notes.arena, sizeof *proxy);

    proxy->pos = pos;
    conf_lexer_next(p->lx);
    if (!conf_parse_keyword(p, "on")) {
        conf_error(
            &p->notes, pos, "write 'proxy on HOST { }'", "'proxy' does not say on which host");
        conf_parse_skip_statement(p);
        return;
    }
    conf_lexer_next(p->lx);
    proxy->n_names = parse_names(p, &proxy->names);
    if (!conf_parse_char(p, '{', "'proxy on HOST'"))
        return;
    if (host->proxy)
        conf_parse_once(p, &host->proxy->pos, pos, "proxy");
    host->proxy = proxy;
    while (conf_parse_more(p, pos, "proxy")) {
        if (conf_parse_keyword(p, "inside"))
            parse_address(p, &proxy->inside, "inside");
        else if (conf_parse_keyword(p, "outside"))
            parse_address(p, &proxy->outside, "outside");
        else if (conf_parse_keyword(p, "options"))
            conf_parse_options(p, CONF_SECTION_PROXY, &proxy->options, NULL);
        else
            conf_parse_unknown(p, "in a proxy", known, sizeof known / sizeof known[0]);
    }
    if (!proxy->inside.pos.line)
        conf_error(
            &p->notes, pos, "write 'inside ADDRESS:PORT;'", "the proxy has no inside address");
    if (!proxy->outside.pos.line)
        conf_error(
            &p->notes, pos, "write 'outside ADDRESS:PORT;'", "the proxy has no outside address");
}

static void parse_host_body(struct conf_parser *p, struct conf_tree_host *host, const char *section)
{
    static const char *const known[] = {"address", "device", "disk", "meta-disk",
        "flexible-meta-disk", "volume", "options", "proxy"};

    while (conf_parse_more(p, host->pos, section)) {
        if (conf_parse_keyword(p, "address")) {
            if (host->kind == CONF_HOST_FLOATING)
                conf_error(&p->notes, p->lx->token.pos, "leave it out",
                    "a floating section has its address in its head");
            struct conf_tree_address ignored = {0};
            parse_address(
                p, host->kind == CONF_HOST_FLOATING ? &ignored : &host->address, "address");
        } else if (conf_parse_keyword(p, "options")) {
            conf_parse_options(p, CONF_SECTION_OPTIONS, &host->options, NULL);
        } else if (conf_parse_keyword(p, "proxy")) {
            parse_proxy(p, host);
        } else if (!conf_parse_volume_statement(p, &host->volumes, false)) {
            conf_parse_unknown(p, "in a host section", known, sizeof known / sizeof known[0]);
        }
    }
}

bool conf_parse_host(struct conf_parser *p, struct conf_tree_resource *res)
{
    struct conf_tree_host *host;
    const char *section;
    enum conf_tree_host_kind kind;

    if (conf_parse_keyword(p, "on"))
        kind = CONF_HOST_ON;
    else if (conf_parse_keyword(p, "floating"))
        kind = CONF_HOST_FLOATING;
    else if (conf_parse_keyword(p, "stacked-on-top-of"))
        kind = CONF_HOST_STACKED;
    else
        return false;
    host = conf_alloc(p->notes.arena, sizeof *host);
    host->kind = kind;
    host->pos = p->lx->token.pos;
    conf_lexer_next(p->lx);
    if (kind == CONF_HOST_ON) {
        host->n_names = parse_names(p, &host->names);
        if (!host->n_names)
            conf_error(&p->notes, host->pos, "write 'on HOST { }'", "'on' names no host");
        section = conf_sprintf(p->notes.arena, "on %s", host->n_names ? host->names[0] : "");
    } else if (kind == CONF_HOST_STACKED) {
        host->lower = conf_parse_name(p, "the name of the lower resource");
        if (!host->lower)
            return true;
        section = conf_sprintf(p->notes.arena, "stacked-on-top-of %s", host->lower);
        res->stacked = true;
    } else {
        if (!parse_endpoint(p, &host->address))
            return true;
        section = conf_sprintf(p->notes.arena, "floating %s", host->address.ip);
    }
    *CONF_PUSH(p->notes.arena, res->hosts, res->n_hosts) = host;
    if (kind == CONF_HOST_FLOATING && conf_token_is(&p->lx->token, ';'))
        conf_lexer_next(p->lx);
    else if (conf_parse_char(p, '{', conf_sprintf(p->notes.arena, "'%s'", section)))
        parse_host_body(p, host, section);
    return true;
}
