#pragma once
#include "core/call.h"

/*
 * The messages that every class has: getters, setters, records, queries,
 * create and destroy. What a class does beyond storing a value it says in its
 * hooks; a class without hooks is plain data.
 */
enum find_by { FIND_BY_REF, FIND_BY_UUID, FIND_BY_NAME_LABEL };
struct class_hooks {
    /* Completes and checks the fields of a new object (record: V_MAP of what create() was given). Does the creating
     * itself and returns the ref, or leaves *ret_ref NULL: then the fields in `record` are stored as they are. */
    struct err *(*create)(struct call *c, struct value *record, const char **ret_ref);
    /* Does the destroying itself (*ret_done), or only checks. */
    struct err *(*destroy)(struct call *c, const char *ref, bool *ret_done);
    /* Before a field gets a new value: check or alter it, act on it. *ret_done: it is stored already. */
    struct err *(*set)(struct call *c, const struct row *r, const struct field *f, struct value *v, bool *ret_done);
    /* Objects that are no rows: the ref of the one that is called so, or NULL, and a field of it. They are found and
     * read like others, and that is all. */
    const char *(*find)(struct call *c, enum find_by by, const char *text);
    struct value (*read)(struct call *c, const char *ref, const struct field *f);
};
void class_hooks_set(const struct model_class *cls, const struct class_hooks *h);

struct err *implicit_run(struct call *c, const struct value *args, struct value *ret) MUST_CHECK;

/* One member of a record: absent options are none. */
void record_write_field(struct call *c, struct buf *b, const struct field *f, struct value v, bool *first);
/* All fields of one row as the client sees them, into c->raw or any buf. */
void record_write(struct call *c, struct buf *b, const struct row *r);
void record_write_but(struct call *c, struct buf *b, const struct row *r, const struct field *left_out);
