#pragma once
#include <stdbool.h>
#include "base/compiler.h"

/* A doubly linked list embedded in its members; the head is a link too. */
struct link {
    struct link *prev, *next;
};

static inline void list_init(struct link *head)
{
    head->prev = head->next = head;
}
static inline bool list_empty(const struct link *head)
{
    return head->next == head || !head->next;
}
static inline void list_append(struct link *head, struct link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}
static inline void list_remove(struct link *l) /* fine on a zeroed or already removed link */
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = (struct link *)0;
}
/* NOLINTBEGIN(bugprone-macro-parentheses): l is a name to be declared */
#define LIST_EACH(l, head) \
    for (struct link *l = (head)->next, *l##_next; l != (head) && (l##_next = l->next, 1); l = l##_next)
/* NOLINTEND(bugprone-macro-parentheses) */
