#include "core/fixture_test.h"
#include "gen/ipc_sample.h"

TEST_FIBER(a_sample_without_a_host_says_that_vms_are_unknown)
{
    struct fixture f;
    struct ipc_peer *metric, *core_side;
    struct sample_take_rep rep = { 0 };

    fixture_init(&f, loop);
    ipc_pair(loop, &metric, &core_side);
    core_set_metric(f.core, core_side);
    CHECK_OK(sample_take(metric, f.arena, &(struct sample_take_req){ 0 }, &rep));
    core_set_host(f.core, NULL);
    CHECK_OK(sample_take(metric, f.arena, &(struct sample_take_req){ 0 }, &rep));
    CHECK(!rep.vms_known && rep.sessions == 1);
    core_set_host(f.core, f.host);
    core_set_metric(f.core, NULL);
    ipc_close(metric);
    ipc_close(core_side);
    fixture_done(&f);
}
