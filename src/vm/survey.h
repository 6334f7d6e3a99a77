#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "gen/ipc_vm.h"

/*
 * When a guest's agent is asked what it has to say, and who is told.
 *
 * Nothing is asked while nobody in the guest has opened the agent's port. Once
 * somebody has, the stream to it stays open (an agent that nobody listens to
 * wakes up ten times a second to see whether somebody does), and it is asked
 * again after 1, 2, 4 ... 60 seconds. The peer is told when the report changed,
 * and a guest that changes its mind all the time is asked four times a minute.
 */
struct vm_service;
struct qga;

struct vm_survey {
    struct qga *agent;       /* owned; NULL: not connected */
    struct timer *timer;     /* owned; of the next round */
    bool at_work, asked_for; /* a round is under way; another one is wanted */
    uint64_t allowance_us;   /* until when the allowed rounds are spent */
    uint64_t pause_us;       /* before the next round */
    unsigned failures;       /* rounds without an answer */
    struct arena *arena;     /* owned; of the report */
    struct vm_report report;
    bool spoken;           /* the peer has heard of it, or of its silence */
    bool can_run;          /* the agent may execute programs */
    bool can_use_vcpus;    /* it can make the guest use new vCPUs */
    unsigned talks;        /* others who talk to it, besides the rounds */
    bool power_off_failed; /* the agent will not, or cannot be asked */
};

void vm_survey_init(struct vm_service *s);
void vm_survey_done(struct vm_service *s);
void vm_survey_soon(struct vm_service *s); /* the guest runs, or runs anew */
void vm_survey_anew(struct vm_service *s); /* somebody opened or closed the port, or there is another port */
void vm_survey_end(struct vm_service *s);  /* no guest any more, nor any word of it */

/*
 * [waits] Asks the agent, in a fiber of its own, to switch the guest off; false if it is not there or cannot. With the
 * turn. A failure that comes to light later wakes s->change.
 */
bool vm_survey_power_off(struct vm_service *s);

/* [waits] One command to the agent, by who holds v->talks; connects first if need be. */
struct err *vm_survey_talk(
    struct vm_service *s, struct arena *a, const char *command, const char *args, struct value *ret_value) MUST_CHECK;

struct ipc_call;
struct err *vm_on_report(struct ipc_call *c, struct vm_report_req *req, struct vm_report_rep *rep) MUST_CHECK;
