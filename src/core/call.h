#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/value.h"
#include "gen/api.h"
#include "gen/errors.h"
#include "gen/model.h"
#include "ipc/ipc.h"
#include "model/model.h"
#include "model/wire.h"
#include "store/store.h"

/* What the files of this room share: the core's state, and one call on its way. */

/* Who calls. */
struct principal {
    const char *session; /* ref; "" on the local socket without one */
    bool root;           /* local superuser: no check of roles */
    enum role role;      /* strongest one it has */
    const char *user;    /* name for logs and tasks */
    const char *sid;     /* subject identifier, "" for local users that are no subject */
    const char *originator;
};

struct op_class;

/* Bytes that a VM costs its hypervisor besides its memory. */
struct memory_costs {
    int64_t machine, vcpu, screen;
};

struct core {
    struct loop *loop;
    struct store *store;
    const struct core_config *config;
    struct api_handlers handlers;
    struct ipc_peer *host, *storage, *net, *metric, *gate; /* borrowed; NULL while gone */
    struct waitq peers;                                    /* one of them came or went */
    struct waitq changed;                                  /* the store changed */
    struct waitq ops;                                      /* an operation ended */
    struct waitq started;                                  /* core_start() is done */
    int64_t auths;                                         /* passwords that are looked at now */
    struct waitq auth_ended;                               /* one was */
    bool ready;
    bool rebooted;  /* the machine, since the database was last used */
    char *host_ref; /* this host's objects; owned */
    char *pool_ref;
    struct agent *agent;             /* core/agent.h */
    struct audit *audit;             /* core/audit.h */
    struct blobs *blobs;             /* core/blob.h */
    struct permissions *permissions; /* core/role.h; NULL before somebody asks */
    struct map *principals;          /* session ref -> struct session_entry */
    struct map *tasks;               /* task ref -> struct task_run: tasks this process runs */
    struct map *streams;             /* stream id -> struct stream */
    struct map *reports;             /* stream id of a file that is fetched -> ref of the client's task (owned) */
    struct map *consoles;            /* stream id -> VM uuid (owned): open ones */
    struct map *registrations;       /* session ref -> struct registration (old event interface) */
    struct event_text *event_text;   /* core/event.c; NULL before the first event */
    struct event_log *event_log;     /* core/event_log.h; NULL before the first registration */
    struct map *missed; /* VM uuid -> power state (owned) it told of while an operation of ours was under way */
    uint64_t next_stream;
    struct memory_costs memory_costs;
    int64_t memory_promised;    /* bytes, to guests that are being started */
    bool memory_squeezed;       /* some guest has less than its dynamic_max */
    struct timer *memory_timer; /* of memory_share_out(); NULL before the first */
    uint64_t next_domid;
    bool spooling; /* a backup of the host is made or restored */
    struct timer *gc;
    struct timer *ssh; /* core/ssh.c; NULL before core_start() */
};

struct call {
    struct core *core;
    struct arena *arena;
    const struct msg *msg;
    struct principal who;
    const char *task;   /* ref of its task; "" if it has none */
    const char *client; /* address of the client */
    enum envelope envelope;
    /* Set by a handler that wrote its result into `raw` by itself, in the call's envelope. */
    struct buf *raw; /* the text of a core/reply.h; NULL where nobody waits for one */
    bool raw_used;
};

/* Shorthands over the core's store. */
const struct row *core_row(const struct core *c, const char *ref); /* NULL if gone */
/* HANDLE_INVALID [class, ref] unless it is a row of that class. */
struct err *call_row(
    const struct call *c, const struct model_class *cls, const char *ref, const struct row **ret) MUST_CHECK;
const struct row *core_host_row(const struct core *c);
const struct row *core_pool_row(const struct core *c);
bool ref_is_null(const char *ref);
const char *now_text(const struct core *c, struct arena *a); /* dateTime of the wall clock */

/* One field of one object, committed (persistent fields are then durable). [waits] */
struct err *core_set(struct core *c, const char *ref, const struct field *f, struct value v) MUST_CHECK;

/* The peers; wait up to 10 s for one that is being restarted. [waits] */
struct err *core_need_host(struct core *c, struct ipc_peer **ret) MUST_CHECK;
struct err *core_need_storage(struct core *c, struct ipc_peer **ret) MUST_CHECK;
struct err *core_need_net(struct core *c, struct ipc_peer **ret) MUST_CHECK;
struct err *core_need_gate(struct core *c, struct ipc_peer **ret) MUST_CHECK;
struct err *core_need_metric(struct core *c, struct ipc_peer **ret) MUST_CHECK;

/* Every class file adds its explicit messages, and what its implicit ones do besides (implicit.h). */
void session_register(struct api_handlers *h);
void subject_register(struct api_handlers *h);
void diagnostics_register(struct api_handlers *h);
void role_register(struct api_handlers *h);
void task_register(struct api_handlers *h);
void event_register(struct api_handlers *h);
void pool_register(struct api_handlers *h);
void pool_settings_register(struct api_handlers *h);
void host_register(struct api_handlers *h);
void host_evacuate_register(struct api_handlers *h);
void agent_register(struct api_handlers *h);
void machine_register(struct api_handlers *h);
void machine_time_register(struct api_handlers *h);
void ssh_register(struct api_handlers *h);
void host_plugin_register(struct api_handlers *h);
void certificate_register(struct api_handlers *h);
void trust_register(struct api_handlers *h);
void status_register(struct api_handlers *h);
void vm_register(struct api_handlers *h);
void vm_power_register(struct api_handlers *h);
void vm_clone_register(struct api_handlers *h);
void vm_suspend_register(struct api_handlers *h);
void vm_migrate_register(struct api_handlers *h);
void guest_plugin_register(struct api_handlers *h);
void vm_params_register(struct api_handlers *h);
void vm_memory_register(struct api_handlers *h);
void vm_vcpus_register(struct api_handlers *h);
void secure_boot_register(struct api_handlers *h);
void agile_register(struct api_handlers *h);
void pci_register(struct api_handlers *h);
void boot_record_register(struct api_handlers *h);
void vtpm_register(struct api_handlers *h);
void vm_press_register(struct api_handlers *h);
void vbd_register(struct api_handlers *h);
void vif_register(struct api_handlers *h);
void vif_cable_register(struct api_handlers *h);
void vif_lock_register(struct api_handlers *h);
void vdi_register(struct api_handlers *h);
void sr_register(struct api_handlers *h);
void pbd_register(struct api_handlers *h);
void network_register(struct api_handlers *h);
void pif_register(struct api_handlers *h);
void vlan_register(struct api_handlers *h);
void bond_register(struct api_handlers *h);
void secret_register(struct api_handlers *h);
void message_register(struct api_handlers *h);
void metrics_register(struct api_handlers *h);
void appliance_register(struct api_handlers *h);
void group_register(struct api_handlers *h);
void blob_register(struct api_handlers *h);
