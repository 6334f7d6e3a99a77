/*
 * The way back. A log lists what one transaction did in the order it was done;
 * reverting goes through it from the end. Logs are reverted newest first, so
 * each finds the rows as it left them - but for fleeting transactions, which
 * stand: what they wrote over is taken out of the older logs beforehand.
 */
#include "store/private.h"
#include "base/mem.h"

void undo_log_free(struct undo_log *l)
{
    if (!l)
        return;
    list_remove(&l->link);
    for (size_t i = 0; i < l->undos.len; i++) {
        free(l->undos.p[i].block);
        if (l->undos.p[i].kind == UNDO_DESTROY)
            row_free(l->undos.p[i].row);
    }
    vec_done(&l->undos);
    free(l);
}

/* A destroyed row returns: it was away from `gone` until `back`. */
static void note_return(struct store *s, struct row *r, uint64_t gone, uint64_t back)
{
    feed_unbury(s, r->ref, gone);
    r->gone = gone;
    r->back = back;
}

static void revert(struct store *s, struct undo *u, struct touched *t)
{
    switch (u->kind) {
    case UNDO_SET:
        if (u->row->dead)
            return;
        row_swap(s, u->row, u->field, &u->value, &u->block, t);
        break;
    case UNDO_CREATE:
        if (u->row->dead)
            return;
        row_unhook(s, u->row, t);
        u->kind = UNDO_DESTROY; /* the log owns it now */
        break;
    case UNDO_DESTROY:
        if (map_get(s->by_ref, u->row->ref))
            return;
        row_hook(s, u->row, t);
        u->kind = UNDO_NOTHING;
        break;
    case UNDO_NOTHING:
        return;
    }
    touched_add(t, u->row);
}

void undo_log_revert(struct store *s, struct undo_log *l, struct touched *t, uint64_t back)
{
    for (size_t i = l->undos.len; i-- > 0;) {
        bool returns = l->undos.p[i].kind == UNDO_DESTROY;

        revert(s, &l->undos.p[i], t);
        if (returns && back && l->undos.p[i].kind == UNDO_NOTHING)
            note_return(s, l->undos.p[i].row, l->gen, back);
    }
}

void undo_log_mark(struct store *s, const struct undo_log *l)
{
    for (size_t i = 0; i < l->undos.len; i++) {
        const struct undo *u = &l->undos.p[i];
        bool whole = u->kind == UNDO_CREATE || u->kind == UNDO_DESTROY || !u->field;

        if (whole ? u->row->shelf->class->kept : field_is_durable(u->field))
            lane_mark(&s->durable_lane, u->row->ref);
        if (whole || !field_is_durable(u->field))
            lane_mark(&s->fleeting_lane, u->row->ref);
    }
}

static void forget(struct undo_log *l, const struct undo *by)
{
    for (size_t i = 0; i < l->undos.len; i++) {
        struct undo *u = &l->undos.p[i];

        if (u->kind == UNDO_SET && u->row == by->row && u->field == by->field)
            u->kind = UNDO_NOTHING;
    }
}

void undo_log_supersede(struct store *s, const struct undo_log *fleeting)
{
    for (size_t i = 0; i < fleeting->undos.len; i++) {
        if (fleeting->undos.p[i].kind != UNDO_SET)
            continue;
        LIST_EACH (l, &s->logs) {
            struct undo_log *log = CONTAINER_OF(l, struct undo_log, link);
            if (log->durable)
                forget(log, &fleeting->undos.p[i]);
        }
    }
}
