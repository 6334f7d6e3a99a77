/* A guest's plan, as an older or a newer build or a damaged disk left it. What is read must be written and read again.
 */
#include <assert.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "gen/ipc_vm.h"
#include "ipc/type.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct vm_plan plan, again;
    struct err *e;

    buf_init(&b, 1 << 20);
    if (len > 65536)
        return 0;
    e = vm_plan_decode(a, (struct str){ (const char *)data, len }, &plan);
    if (e) {
        err_ignore(e, "told as such");
        return 0;
    }
    e = vm_plan_encode(&b, &plan);
    assert(!e);
    e = vm_plan_decode(a, buf_str(&b), &again);
    assert(!e && again.n_disks == plan.n_disks && again.n_nics == plan.n_nics);
    return 0;
}
