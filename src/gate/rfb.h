#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/str.h"

/*
 * Follows what a VNC viewer sends, only to tell whether somebody is there:
 * keys, pointer and QEMU's own messages are a person, asking for pixels is
 * not. What is not RFB, or no longer understood, counts as a person.
 */
struct rfb_watch {
    uint32_t skip;   /* bytes of the present message still to come */
    uint8_t head[8]; /* of the next message, as far as it has come */
    uint8_t n_head;
    uint8_t stage; /* enum in rfb.c */
};

/* Zeroed state to begin with. True: there was activity. */
bool rfb_activity(struct rfb_watch *w, struct str bytes);
