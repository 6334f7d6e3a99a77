/* Lines as a taken-over QEMU might send them: whatever is accepted has the parts that its kind promises. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include "hyper/qemu/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct qmp_message m = { 0 };
    struct err *e = qmp_parse((const char *)data, len, &m);

    if (e) {
        err_free(e);
        return 0;
    }
    assert(m.root);
    assert(m.kind == QMP_GREETING || m.name);
    assert(m.kind != QMP_EVENT || !m.body || json_is_object(m.body));
    assert(m.kind != QMP_RETURN || m.body);
    qmp_message_done(&m);
    return 0;
}
