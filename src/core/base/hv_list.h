/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HV_LIST_H
#define HV_LIST_H
/* Intrusive doubly linked ring.  An unlinked node points at itself. */
#include <stdbool.h>
#include <stddef.h>

struct hv_list {
    struct hv_list *next, *prev;
};

static inline void hv_list_init(struct hv_list *n)
{
    n->next = n->prev = n;
}

static inline bool hv_list_empty(const struct hv_list *head)
{
    return head->next == head;
}

static inline void hv_list_insert_before(struct hv_list *at, struct hv_list *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void hv_list_push_back(struct hv_list *head, struct hv_list *n)
{
    hv_list_insert_before(head, n);
}

static inline void hv_list_push_front(struct hv_list *head, struct hv_list *n)
{
    hv_list_insert_before(head->next, n);
}

/* Harmless on a node that is not linked. */
static inline void hv_list_remove(struct hv_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    hv_list_init(n);
}

#define hv_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define hv_list_first(head, type, member)  hv_container_of((head)->next, type, member)
#define hv_list_last(head, type, member)   hv_container_of((head)->prev, type, member)
#define hv_list_each(node, head)           for (node = (head)->next; node != (head); node = node->next)
#define hv_list_each_safe(node, tmp, head)                                                         \
    for (node = (head)->next, tmp = node->next; node != (head); node = tmp, tmp = node->next)

#endif
