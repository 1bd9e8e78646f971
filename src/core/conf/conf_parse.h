/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONF_PARSE_H
#define CONF_PARSE_H
/* Within this room: what the parsers share. */
#include "conf.h"
#include "conf_lexer.h"
#include "conf_tree.h"

enum {
    CONF_INCLUDE_DEPTH_MAX = 10, /* admin §1.2 */
    CONF_FILE_BYTES_MAX = 1 << 20,
};

struct conf_file_seen {
    uint64_t device, inode;
};

struct conf_parser {
    struct conf_notes notes;
    const struct conf_request *request;
    struct conf *conf;
    struct conf_tree *tree;
    struct conf_lexer *lx;      /* of the file being read */
    struct conf_file_meta meta; /* of that file */
    struct conf_file_seen *seen;
    size_t n_seen;
    unsigned include_depth;
    struct conf_cluster *cluster; /* cluster {} or ha.cf, being filled; NULL: none so far */
    struct conf_pos cluster_pos;
    bool cluster_from_haven, services_from_haven;
    struct conf_pos *said; /* where each directive of the cluster stands last, by its row */
    struct conf_service *services;
    size_t n_services;
};

/* Appends the file to *text.  Says what is wrong with it itself, at `from`, except that HV_ENOENT is
 * left to the caller. */
int conf_parse_read(struct conf_parser *p, const char *path, struct conf_pos from,
    struct hv_text *text, struct conf_file_meta *meta);
const char *conf_parse_rooted(struct conf_parser *p, const char *path);

/* Whole files. */
int conf_parse_drbd_file(struct conf_parser *p, const char *path, struct conf_pos from);
void conf_parse_ha_cf(struct conf_parser *p, const char *path);
void conf_parse_authkeys(struct conf_parser *p, const char *path);
void conf_parse_haresources(struct conf_parser *p, const char *path);
void conf_parse_exports(struct conf_parser *p, const char *path);

/* Sections, with their keyword at hand. */
void conf_parse_cluster(struct conf_parser *p);
void conf_parse_service(struct conf_parser *p);

/* Statements. */
bool conf_parse_keyword(const struct conf_parser *p, const char *keyword);
/* Consumes the ';', or complains and goes on where the next statement begins. */
void conf_parse_semicolon(struct conf_parser *p);
/* Consumes the character, or complains and skips the statement. */
bool conf_parse_char(struct conf_parser *p, char c, const char *after);
/* Consumes a name; NULL after a complaint. */
const char *conf_parse_name(struct conf_parser *p, const char *what);
bool conf_parse_u32(
    struct conf_parser *p, const char *what, uint32_t min, uint32_t max, uint32_t *value);
void conf_parse_skip_statement(struct conf_parser *p);
/* True while there is another statement before the '}', which it consumes. */
bool conf_parse_more(struct conf_parser *p, struct conf_pos opened, const char *section);
void conf_parse_unknown(
    struct conf_parser *p, const char *where, const char *const *known, size_t n);
/* False, after a complaint, when something stands already at *first. */
bool conf_parse_once(
    struct conf_parser *p, struct conf_pos *first, struct conf_pos pos, const char *what);
/* `{ option value; … }` */
void conf_parse_options(struct conf_parser *p, enum conf_section section, struct conf_opts *opts,
    struct conf_tree_resource *owner);

/* One statement of a volume, if it is one (conf_parse_host.c). */
bool conf_parse_volume_statement(
    struct conf_parser *p, struct conf_tree_volumes *volumes, bool in_resource);
bool conf_parse_host(struct conf_parser *p, struct conf_tree_resource *res);

/* Making the model of the tree, and what must hold between its parts. */
void conf_inherit(struct conf_parser *p);
void conf_resolve(struct conf_parser *p);
void conf_check_resources(struct conf_parser *p);
void conf_check_cluster(struct conf_parser *p);
/* Fills in what service {} left to be looked up, puts in what is implied, and checks. */
void conf_finish_services(struct conf_parser *p);

/* Of services and exports, shared by haresources, exports and service {}. */
struct conf_service *conf_service_new(
    struct conf_parser *p, const char *name, const char *node, struct conf_pos pos);
/* The script must be there, and may be run (heartbeat §11.2). */
void conf_script_check(struct conf_parser *p, struct conf_pos pos, const char *script);
bool conf_address_parse(
    struct conf_parser *p, struct conf_pos pos, const char *text, struct conf_address *to);
bool conf_address_device(struct conf_arena *arena, const char *text, struct conf_address *to);
/* `options` without brackets, or NULL. */
void conf_export_client_add(struct conf_parser *p, struct conf_pos pos, struct conf_export *export,
    const char *host, const char *options);
/* Defaults of a cluster. */
struct conf_cluster *conf_cluster_new(struct conf_parser *p, struct conf_pos pos);
struct conf_node *conf_cluster_node_add(
    struct conf_parser *p, struct conf_cluster *c, struct conf_pos pos, const char *name);
const struct conf_node *conf_cluster_node_find(const struct conf_cluster *c, const char *name);
/* One directive of ha.cf, by its words; cluster {} knows most of them too.  False: unknown. */
struct conf_directive {
    struct conf_pos pos;
    const char *name;
    const char **values;
    size_t n;
    const char *rest; /* the raw text after the name */
    bool haven;       /* from cluster {}: s and m are units of time too */
};
bool conf_directive_apply(
    struct conf_parser *p, struct conf_cluster *c, const struct conf_directive *d);
/* Where it was said, or else where the cluster begins. */
struct conf_pos conf_directive_pos(const struct conf_parser *p, const char *name);
const char *conf_directive_hint(struct conf_parser *p, const char *name);

/* Values. */
bool conf_value_ipv4(const char *s);
bool conf_value_ipv6(const char *s); /* a %zone may follow */
/* heartbeat §9: number, perhaps with decimals, then nothing (seconds), ms, msec, us or usec. */
bool conf_value_time(const char *s, bool haven_units, uint32_t *ms);
bool conf_value_bool(const char *s, bool *value);
bool conf_value_u32(const char *s, uint32_t min, uint32_t max, uint32_t *value);
/* "host:port" or "[v6]:port"; `host` is copied. */
bool conf_value_endpoint(
    struct conf_arena *arena, const char *s, const char **host, uint16_t *port);

#endif
