#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"

/*
 * The record of a child that outlives us: a file that says which process it
 * is. The child writes it itself before it becomes its program, so there is no
 * moment at which one runs that a successor could not find: a child whose
 * parent died before the record was complete does not go on.
 */
struct record {
    int proc_dir, fd; /* owned */
    pid_t parent;
    bool mark; /* whatever the parent wants to find again */
};

struct err *record_open(int dir, const char *name, bool mark, struct record *ret_record) MUST_CHECK;
void record_done(struct record *r);
int record_in_child(void *record); /* proc_spec.in_child */

struct record_found {
    bool found, mark;
    pid_t pid;
    int pidfd; /* caller's; -1: that process has ended */
};

struct err *record_find(int dir, const char *name, struct record_found *ret_found) MUST_CHECK;
