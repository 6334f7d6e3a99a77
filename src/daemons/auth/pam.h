#pragma once
#include "daemons/auth/passwd.h"

/* Asks PAM: authentication, then the account's state. Groups are those of the local account; root is superuser. */
struct err *pam_check(
    struct arena *a, const char *service, const char *user, const char *password, struct verdict *ret) MUST_CHECK;
