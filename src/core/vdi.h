#pragma once
#include "core/call.h"

/* Disks, as VM operations need them: provision, clone and copy, export and import. Each waits for the storage service.
 */

struct vdi_spec {
    const char *sr; /* ref */
    const char *name_label, *name_description;
    int64_t virtual_size;
    const char *type; /* "system", "user", ... */
    bool sharable, read_only;
    const struct value *other_config, *sm_config, *tags, *xenstore_data; /* NULL: empty */
};
struct err *vdi_make(struct call *c, const struct vdi_spec *spec, const char **ret_ref) MUST_CHECK;

/* A whole copy into a new VDI on `sr` (NULL: the same), with label, description, type and other_config of the source.
 */
struct err *vdi_copy_new(struct call *c, const char *vdi, const char *sr, const char **ret_ref) MUST_CHECK;

/* Data and record. */
struct err *vdi_remove(struct call *c, const char *vdi) MUST_CHECK;

/* SR_HAS_NO_PBDS [sr] unless it is plugged on this host. */
struct err *sr_assert_plugged(struct core *c, const struct row *sr) MUST_CHECK;
bool sr_is_plugged(struct core *c, const struct row *sr);

/* Plugs every PBD of this host again; failures raise PBD_PLUG_FAILED_ON_SERVER_START. */
void pbd_plug_all(struct core *c);

/* Tells a storage service that was restarted which SRs are attached. [waits] */
void pbd_attach_again(struct core *c);

/* Key in sm_config of a disk that a copy is still filling: a core that starts and finds one removes the disk. */
#define VDI_COPYING "copying"
