#pragma once
#include "cli/xe.h"

/*
 * Text from the command line to a typed value. Numbers take KiB, MiB, GiB and
 * TiB behind them; references are given by uuid or name; sets are
 * comma-separated, and so are maps: "key=value,key=value".
 */
struct err *convert(
    struct xe *x, const struct type *t, const char *name, const char *text, struct value *ret) MUST_CHECK;

/* All arguments "name:key=value" as a map; marks them as used. */
struct value convert_map_args(struct xe *x, const char *name);
