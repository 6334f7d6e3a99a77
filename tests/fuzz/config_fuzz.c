/* The configuration file. It is root's, but a mistake in it must be an error and not a crash. */
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "daemons/lib/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *copy = mem_dup(data, len);
    struct config c;
    struct err *e;

    config_init(&c);
    e = config_parse(&c, (struct str){ copy, len });
    if (!e)
        e = config_check(&c);
    if (!e && (!c.state_dir || !c.run_dir || !c.listen || !c.hypervisor || !c.auth || !c.net))
        abort();
    err_ignore(e, "most inputs are no configuration");
    config_done(&c);
    free(copy);
    return 0;
}
