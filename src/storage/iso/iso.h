#pragma once
#include "storage/driver.h"

/*
 * SR type "iso": a folder whose *.iso and *.img files are read-only disks,
 * named like their files. A disk's uuid follows from the SR's and the file's
 * name, so that it is the same after every scan. We write nothing there.
 */
extern const struct sr_driver iso_driver;
