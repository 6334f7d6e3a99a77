#include "daemons/auth/pam.h"
#include <grp.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include "base/mem.h"
#include "base/str.h"

#define GROUPS_MAX 256

/* PAM asks; the one thing we can answer is the password that *arg points at. It frees what it gets, so this is malloc's
 * memory. */
static int converse(int n, const struct pam_message **msgs, struct pam_response **ret_answers, void *arg)
{
    if (n <= 0 || n > PAM_MAX_NUM_MSG)
        return PAM_CONV_ERR;

    struct pam_response *answers = mem_new_array((size_t)n, struct pam_response);
    for (int i = 0; i < n; i++) {
        if (msgs[i]->msg_style == PAM_PROMPT_ECHO_OFF)
            answers[i].resp = mem_strdup(*(const char **)arg);
        else if (msgs[i]->msg_style == PAM_PROMPT_ECHO_ON)
            answers[i].resp = mem_strdup("");
    }
    *ret_answers = answers;
    return PAM_SUCCESS;
}

static void groups_find(struct arena *a, const char *user, struct verdict *v)
{
    struct passwd *pw = getpwnam(user);
    gid_t gids[GROUPS_MAX];
    int n = GROUPS_MAX;

    if (!pw)
        return;
    if (getgrouplist(user, pw->pw_gid, gids, &n) < 0)
        n = GROUPS_MAX; /* more than we look at */
    const char **groups = arena_new_array(a, (size_t)n + 1, const char *);
    for (int i = 0; i < n; i++) {
        struct group *g = getgrgid(gids[i]);
        if (g)
            groups[v->n_groups++] = arena_strdup(a, g->gr_name);
    }
    v->groups = groups;
}

static int authenticate(struct arena *a, pam_handle_t *pam, const char *user, struct verdict *v)
{
    int rc = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);

    if (rc == PAM_SUCCESS)
        rc = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
    v->ok = rc == PAM_SUCCESS;
    v->reason = v->ok ? "" : arena_strdup(a, pam_strerror(pam, rc));
    if (v->ok) {
        struct passwd *pw = getpwnam(user);
        v->superuser = pw && pw->pw_uid == 0;
    }
    return rc;
}

struct err *pam_check(struct arena *a, const char *service, const char *user, const char *password, struct verdict *ret)
{
    struct pam_conv conv = { converse, &password };
    struct verdict v = { 0 };
    pam_handle_t *pam = NULL;

    if (pam_start(service, user, &conv, &pam) != PAM_SUCCESS)
        return err_internal("PAM service %s does not start", service);
    int rc = authenticate(a, pam, user, &v);
    pam_end(pam, rc);
    if (v.ok)
        groups_find(a, user, &v);
    *ret = v;
    return NULL;
}

struct err *pam_change(struct arena *a, const char *service, const char *user, const char *old, const char *password,
    struct verdict *ret, const char **ret_refused)
{
    const char *answer = old;
    struct pam_conv conv = { converse, &answer };
    struct verdict v = { 0 };
    pam_handle_t *pam = NULL;

    if (pam_start(service, user, &conv, &pam) != PAM_SUCCESS)
        return err_internal("PAM service %s does not start", service);
    int rc = authenticate(a, pam, user, &v);
    if (v.ok && !v.superuser)
        v = (struct verdict){ .reason = "not a superuser" };
    *ret_refused = passwd_refused(password);
    answer = password; /* root is asked for the new one only, twice */
    if (v.ok && !*ret_refused) {
        rc = pam_chauthtok(pam, PAM_SILENT);
        *ret_refused = rc == PAM_SUCCESS ? NULL : arena_strdup(a, pam_strerror(pam, rc));
    }
    pam_end(pam, rc);
    *ret = v;
    return NULL;
}
