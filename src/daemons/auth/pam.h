#pragma once
#include "daemons/auth/passwd.h"

/* Asks PAM: authentication, then the account's state. Groups are those of the local account; root is superuser. */
struct err *pam_check(
    struct arena *a, const char *service, const char *user, const char *password, struct verdict *ret) MUST_CHECK;

/* As passwd_change() does, by the service's `password` modules. */
struct err *pam_change(struct arena *a, const char *service, const char *user, const char *old, const char *password,
    struct verdict *ret, const char **ret_refused) MUST_CHECK;
