#pragma once
#include "core/call.h"

/*
 * Tasks: one for each asynchronous call and each call that has an asynchronous
 * form, and those that clients make for themselves.
 */

/* A new pending task for this call; its ref is in the arena. */
const char *task_new(
    struct core *c, struct arena *a, const char *label, const char *subtask_of, const struct principal *who);
/* Ends it, once: with a result (the XML text), or with an error (which is freed). Unknown refs are fine. */
void task_finish(struct core *c, const char *ref, const char *result_xml, struct err *e);
void task_progress(struct core *c, const char *ref, double progress);
/* While the fiber f works on the task, task.cancel interrupts it. */
void task_run_begin(struct core *c, const char *ref, struct fiber *f);
void task_run_end(struct core *c, const char *ref);
/* Open, and a fiber of ours worked on it, perhaps in an earlier life. */
bool task_was_worked_on(const struct row *r);
bool task_is_pending(const struct core *c, const char *ref);
/* TASK_CANCELLED [task] if the running fiber was interrupted, else NULL. */
struct err *task_check(struct call *c) MUST_CHECK;
void task_destroy_row(struct core *c, const char *ref);
/* Does a task run for that session? */
bool task_of_session(const struct core *c, const char *session);
void task_collect(struct core *c); /* removes what is old */
void task_done(struct core *c);    /* frees what is known beside the rows */
/* May this caller touch that task: own, or the permission for others'? */
struct err *task_assert_owner(struct call *c, const char *ref) MUST_CHECK;
