#include "core/task.h"
#include <string.h>
#include "base/map.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "core/rbac.h"

/* protocol.md section 6 */
#define FINISHED_KEEP_US (65UL * 60 * 1000 * 1000)
#define PENDING_KEEP_US (24UL * 3600 * 1000 * 1000)
#define KEEP_MAX 200

/* What is known of a task beside its row: who made it, and the fiber that works on it. */
struct task_info {
    char *owner;         /* owned: user and subject of the caller */
    char *session;       /* owned: ref */
    struct fiber *fiber; /* NULL: nobody of this process works on it */
    uint64_t since_us;   /* monotonic: it began, or ended */
};

static char *owner_of(const struct principal *who)
{
    return mem_printf("%s/%s", who->user ? who->user : "", who->sid ? who->sid : "");
}

static void forget(struct core *c, const char *ref)
{
    struct task_info *info = map_remove(c->tasks, ref);

    if (!info)
        return;
    free(info->owner);
    free(info->session);
    free(info);
}

void task_destroy_row(struct core *c, const char *ref)
{
    struct tx *t = tx_begin(c->store);

    tx_destroy(t, ref);
    err_ignore(tx_apply(t, NULL), "gone already");
    forget(c, ref);
}

const char *task_new(
    struct core *c, struct arena *a, const char *label, const char *subtask_of, const struct principal *who)
{
    const char *now = now_text(c, a);
    struct task_info *known = mem_new(struct task_info);
    struct tx *t = tx_begin(c->store);
    const struct tx_field fields[] = {
        { F_task_name_label, value_str(label) },
        { F_task_created, value_datetime(now) },
        { F_task_finished, value_datetime(DATETIME_EPOCH) },
        { F_task_status, value_str("pending") },
        { F_task_resident_on, value_str(c->host_ref ? c->host_ref : REF_NULL) },
        { F_task_progress, value_float(0) },
        { F_task_type, value_str("<none/>") },
        { F_task_subtask_of, value_str(cstr_empty(subtask_of) ? REF_NULL : subtask_of) },
    };
    const char *ref = arena_strdup(a, tx_create(t, C_task, NULL, fields, ARRAY_LEN(fields)));
    err_ignore(tx_apply(t, NULL), "a new volatile row");
    known->since_us = clock_now(c->loop);
    known->owner = owner_of(who);
    known->session = mem_strdup(who->session ? who->session : "");
    map_put(c->tasks, ref, known);
    return ref;
}

static bool is_open(const struct row *r)
{
    const char *status = row_str(r, F_task_status);

    return strcmp(status, "pending") == 0 || strcmp(status, "cancelling") == 0;
}

/* Only what we work on can be cancelled: what a client made with task.create has no allowed_operations. */
bool task_was_worked_on(const struct row *r)
{
    return is_open(r) && row_get(r, F_task_allowed_operations)->n > 0;
}

bool task_is_pending(const struct core *c, const char *ref)
{
    const struct row *r = store_find_of(c->store, C_task, ref);

    return r && is_open(r);
}

/* Somebody asked for its destruction while it was pending: it goes when it ends. */
static bool is_unwanted(const struct core *c, const char *ref)
{
    const struct row *r = store_find_of(c->store, C_task, ref);
    const struct value *asked = r ? row_get(r, F_task_current_operations) : NULL;

    for (size_t i = 0; asked && i < asked->n; i++)
        if (strcmp(asked->items[2 * i + 1].s, "destroy") == 0)
            return true;
    return false;
}

static const char *status_of(const struct err *e)
{
    if (!e)
        return "success";
    return err_is(e, "TASK_CANCELLED") ? "cancelled" : "failure";
}

static void note_end(struct core *c, const char *ref)
{
    struct task_info *info = map_get(c->tasks, ref);

    if (info)
        info->since_us = clock_now(c->loop);
}

void task_finish(struct core *c, const char *ref, const char *result_xml, struct err *e)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(err_drop) struct err *owned UNUSED = e;
    bool unwanted = is_unwanted(c, ref);
    size_t n = e ? err_n_params(e) + 1 : 0;
    struct value *info = arena_new_array(a, n + 1, struct value);

    if (!task_is_pending(c, ref))
        return;
    note_end(c, ref);
    for (size_t i = 0; i < n; i++)
        info[i] = value_str(i ? err_param(e, i - 1) : err_code(e));
    struct tx *t = tx_begin(c->store);
    tx_set(t, ref, F_task_status, value_str(status_of(e)));
    tx_set(t, ref, F_task_progress, value_float(1.0));
    tx_set(t, ref, F_task_finished, value_datetime(now_text(c, a)));
    tx_set(t, ref, F_task_result, value_str(result_xml ? result_xml : ""));
    tx_set(t, ref, F_task_error_info, value_set(info, n));
    tx_set(t, ref, F_task_allowed_operations, value_set(NULL, 0));
    tx_set(t, ref, F_task_current_operations, value_map(NULL, 0));
    err_ignore(tx_apply(t, NULL), "a volatile row that is there");
    if (unwanted)
        task_destroy_row(c, ref);
}

void task_progress(struct core *c, const char *ref, double progress)
{
    if (!task_is_pending(c, ref))
        return;
    struct tx *t = tx_begin(c->store);
    tx_set(t, ref, F_task_progress, value_float(progress));
    err_ignore(tx_apply(t, NULL), "a volatile row that is there");
}

void task_run_begin(struct core *c, const char *ref, struct fiber *f)
{
    struct task_info *info = map_get(c->tasks, ref);
    struct value cancel = value_str("cancel");

    if (!info)
        return;
    info->fiber = f;
    struct tx *t = tx_begin(c->store);
    tx_set(t, ref, F_task_allowed_operations, value_set(&cancel, 1));
    err_ignore(tx_apply(t, NULL), "a volatile row that is there");
}

void task_run_end(struct core *c, const char *ref)
{
    struct task_info *info = map_get(c->tasks, ref);

    if (info)
        info->fiber = NULL;
}

void task_done(struct core *c)
{
    const char *ref;
    void *v;

    for (size_t it = 0; map_next(c->tasks, &it, &ref, &v);) {
        struct task_info *info = v;
        free(info->owner);
        free(info->session);
        free(info);
    }
    map_free(c->tasks);
}

bool task_of_session(const struct core *c, const char *session)
{
    const char *ref;
    void *v;

    for (size_t it = 0; map_next(c->tasks, &it, &ref, &v);) {
        const struct task_info *info = v;
        if (info->fiber && strcmp(info->session, session) == 0)
            return true;
    }
    return false;
}

struct err *task_check(struct call *c)
{
    return fiber_interrupted() ? err_task_cancelled(c->task) : NULL;
}

struct err *task_assert_owner(struct call *c, const char *ref)
{
    const struct row *r = NULL;

    TRY(call_row(c, C_task, ref, &r));
    if (c->who.root || c->who.role <= ROLE_POOL_OPERATOR)
        return NULL;
    struct task_info *info = map_get(c->core->tasks, ref);
    AUTO(mem_drop) char *me = owner_of(&c->who);
    if (info && strcmp(info->owner, me) == 0)
        return NULL;
    return rbac_check_role(&c->who, ROLE_POOL_OPERATOR, "task.destroy/any");
}

/* Collection */

/* By the clock that nobody sets; what an earlier life of ours left is as old as its row says. */
static uint64_t age_of(struct core *c, const struct row *task)
{
    const struct task_info *info = map_get(c->tasks, row_ref(task));
    uint64_t then = 0, wall = clock_wall(c->loop);

    if (info)
        return clock_now(c->loop) - info->since_us;
    datetime_parse(row_str(task, is_open(task) ? F_task_created : F_task_finished), &then);
    return wall > then ? wall - then : 0;
}

void task_collect(struct core *c)
{
    size_t excess = store_count(c->store, C_task) > KEEP_MAX ? store_count(c->store, C_task) - KEEP_MAX : 0;
    VEC(char *) old = { 0 };

    for (const struct row *r = store_first(c->store, C_task); r; r = store_next(r)) {
        const struct task_info *info = map_get(c->tasks, row_ref(r));
        bool pending = is_open(r);
        uint64_t age = age_of(c, r);

        if (pending && ((info && info->fiber) || age < PENDING_KEEP_US))
            continue;
        if (!pending && age < FINISHED_KEEP_US && !excess)
            continue;
        if (excess)
            excess--;
        vec_push(&old, mem_strdup(row_ref(r)));
    }
    for (size_t i = 0; i < old.len; i++) {
        task_destroy_row(c, old.p[i]);
        free(old.p[i]);
    }
    vec_done(&old);
}

/* Messages */

static struct err *task_create(struct call *c, const struct task_create_args *a, struct value *ret)
{
    const char *ref = task_new(c->core, c->arena, a->label, NULL, &c->who);
    struct tx *t = tx_begin(c->core->store);

    tx_set(t, ref, F_task_name_description, value_str(a->description));
    TRY(tx_commit(t));
    *ret = value_str(ref);
    return NULL;
}

/* Adds what was asked of a task to its current_operations. */
static struct err *ask(struct call *c, const char *ref, const char *what)
{
    const struct row *r = NULL;
    char uuid[UUID_LEN + 1];

    TRY(call_row(c, C_task, ref, &r));
    uuid_make(uuid);
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, ref, F_task_current_operations,
        value_map_with(c->arena, row_get(r, F_task_current_operations),
            value_str(arena_printf(c->arena, "OpaqueRef:%s", uuid)), value_str(what)));
    return tx_apply(t, NULL);
}

static struct err *task_destroy(struct call *c, const struct task_destroy_args *a, struct value *ret)
{
    (void)ret;
    TRY(task_assert_owner(c, a->self));
    if (task_is_pending(c->core, a->self))
        return ask(c, a->self, "destroy");
    task_destroy_row(c->core, a->self);
    return NULL;
}

static struct err *task_cancel(struct call *c, const struct task_cancel_args *a, struct value *ret)
{
    (void)ret;
    TRY(task_assert_owner(c, a->task));
    struct task_info *info = map_get(c->core->tasks, a->task);
    if (!task_is_pending(c->core, a->task))
        return err_operation_not_allowed("the task has ended already");
    TRY(ask(c, a->task, "cancel"));
    if (!info || !info->fiber) /* made by a client: nobody of us works on it */
        task_finish(c->core, a->task, "", err_task_cancelled(a->task));
    else
        fiber_interrupt(info->fiber);
    return NULL;
}

static struct err *set_own(struct call *c, const char *ref, const struct field *f, struct value v)
{
    TRY(task_assert_owner(c, ref));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, ref, f, v);
    return tx_commit(t);
}

static struct err *task_set_status(struct call *c, const struct task_set_status_args *a, struct value *ret)
{
    (void)ret;
    TRY(task_assert_owner(c, a->self));
    if (!task_is_pending(c->core, a->self)) /* it leaves pending once only */
        return err_operation_not_allowed("the task has ended already");
    bool ends = strcmp(a->value, "pending") != 0 && strcmp(a->value, "cancelling") != 0;
    bool unwanted = ends && is_unwanted(c->core, a->self);
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_task_status, value_str(a->value));
    if (ends) {
        note_end(c->core, a->self);
        tx_set(t, a->self, F_task_finished, value_datetime(now_text(c->core, c->arena)));
        tx_set(t, a->self, F_task_progress, value_float(1.0));
        tx_set(t, a->self, F_task_allowed_operations, value_set(NULL, 0));
        tx_set(t, a->self, F_task_current_operations, value_map(NULL, 0));
    }
    TRY(tx_commit(t));
    if (unwanted)
        task_destroy_row(c->core, a->self);
    return NULL;
}

static struct err *task_set_progress(struct call *c, const struct task_set_progress_args *a, struct value *ret)
{
    (void)ret;
    return set_own(c, a->self, F_task_progress, value_float(a->value));
}

static struct err *task_set_result(struct call *c, const struct task_set_result_args *a, struct value *ret)
{
    (void)ret;
    return set_own(c, a->self, F_task_result, value_str(a->value));
}

static struct err *task_set_error_info(struct call *c, const struct task_set_error_info_args *a, struct value *ret)
{
    (void)ret;
    return set_own(c, a->self, F_task_error_info, *a->value);
}

/* Keys of other_config that weaker roles may write on any task: those of the model's key roles are checked before. */
static struct err *set_other_config(struct call *c, const char *ref, struct value v)
{
    return set_own(c, ref, F_task_other_config, v);
}

static struct err *task_add_to_other_config(
    struct call *c, const struct task_add_to_other_config_args *a, struct value *ret)
{
    const struct row *r = NULL;

    (void)ret;
    TRY(call_row(c, C_task, a->self, &r));
    const struct value *old = row_get(r, F_task_other_config);
    if (value_map_get(old, a->key))
        return err_map_duplicate_key("task", "other_config", row_str(r, F_task_uuid), a->key);
    return set_other_config(c, a->self, value_map_with(c->arena, old, value_str(a->key), value_str(a->value)));
}

static struct err *task_remove_from_other_config(
    struct call *c, const struct task_remove_from_other_config_args *a, struct value *ret)
{
    const struct row *r = NULL;

    (void)ret;
    TRY(call_row(c, C_task, a->self, &r));
    return set_other_config(c, a->self, value_map_without(c->arena, row_get(r, F_task_other_config), a->key));
}

static struct err *task_set_other_config(struct call *c, const struct task_set_other_config_args *a, struct value *ret)
{
    (void)ret;
    return set_other_config(c, a->self, *a->value);
}

void task_register(struct api_handlers *h)
{
    h->task_create = task_create;
    h->task_destroy = task_destroy;
    h->task_cancel = task_cancel;
    h->task_set_status = task_set_status;
    h->task_set_progress = task_set_progress;
    h->task_set_result = task_set_result;
    h->task_set_error_info = task_set_error_info;
    h->task_add_to_other_config = task_add_to_other_config;
    h->task_remove_from_other_config = task_remove_from_other_config;
    h->task_set_other_config = task_set_other_config;
}
