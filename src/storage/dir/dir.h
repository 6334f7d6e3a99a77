#pragma once
#include "storage/driver.h"

/*
 * SR type "dir": a folder of images, <uuid>.qcow2 (the default, thin) or
 * <uuid>.raw (sm_config type=raw or image-format=raw; sparse, so thin as well).
 * What an image does not say of itself, its name and type, stands beside it in
 * <uuid>.meta; without that it is a nameless user disk.
 *
 * A disk exists from the rename that gives its image the final name until the
 * rename that takes it away; all other names (.new-, .trash-, a .meta or
 * .lease without its image) are swept away by the next attach. The folder
 * belongs to the SR whose uuid is in .runnymede-sr; an SR seen before whose
 * folder lacks it is not there: somebody forgot to mount it.
 *
 * Sizes are rounded up to 512 bytes.
 */
extern const struct sr_driver dir_driver;
