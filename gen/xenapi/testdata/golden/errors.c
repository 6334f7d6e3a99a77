/* Generated from idl/xenapi/errors.toml by gen/xenapi_gen.py. Do not edit. */
#include "gen/errors.h"

struct err *err_box_locked(const char *box, const char *default_)
{
    const char *const params[] = { box, default_ };

    return err_new("BOX_LOCKED", params, 2);
}

struct err *err_new_code(void)
{
    return err_new("NEW", NULL, 0);
}

struct err *err_lid_lost(void)
{
    return err_new("LID_LOST", NULL, 0);
}
