#pragma once
#include <stdint.h>
#include "base/err.h"

/*
 * [waits] One picture of what a guest shows: asks the RFB server at the other
 * end of fd (taken) for a whole screen, and puts it as JPEG into a file in
 * memory, sealed, the caller's.
 */
struct err *picture_take(int fd, uint64_t deadline_us, int *ret_jpeg) MUST_CHECK;
