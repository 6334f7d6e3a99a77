#include "metric/alarm.h"
#include <math.h>
#include "test.h"

#define S 1000000UL

static const struct sample_watch high = {
    .kind = "vm", .uuid = "u", .name = "cpu_usage", .level = 0.5, .period_s = 60, .inhibit_s = 600
};

TEST(an_alarm_comes_once_the_level_is_crossed_for_the_whole_period)
{
    struct alarms *a = alarms_new();
    double mean = 0;

    CHECK(!alarms_feed(a, &high, 0.9, 0, &mean));
    CHECK(!alarms_feed(a, &high, 0.7, 30 * S, &mean));
    CHECK(alarms_feed(a, &high, 0.8, 60 * S, &mean));
    CHECK(fabs(mean - 0.8) < 1e-9);
    alarms_free(a);
}

TEST(a_sample_below_the_level_or_unknown_starts_over)
{
    struct alarms *a = alarms_new();
    double mean = 0;

    CHECK(!alarms_feed(a, &high, 0.9, 0, &mean));
    CHECK(!alarms_feed(a, &high, 0.5, 30 * S, &mean));
    CHECK(!alarms_feed(a, &high, 0.9, 60 * S, &mean));
    CHECK(!alarms_feed(a, &high, NAN, 90 * S, &mean));
    CHECK(!alarms_feed(a, &high, 0.9, 120 * S, &mean));
    CHECK(!alarms_feed(a, &high, 0.9, 179 * S, &mean));
    CHECK(alarms_feed(a, &high, 0.9, 180 * S, &mean));
    alarms_free(a);
}

TEST(after_an_alarm_it_is_quiet_for_the_time_of_inhibition)
{
    struct alarms *a = alarms_new();
    struct sample_watch low = high;
    double mean = 0;

    low.low = true;
    low.period_s = 0;
    CHECK(alarms_feed(a, &low, 0.1, 0, &mean));
    CHECK(!alarms_feed(a, &low, 0.1, 599 * S, &mean));
    CHECK(alarms_feed(a, &low, 0.1, 600 * S, &mean));
    CHECK(!alarms_feed(a, &low, 0.9, 2000 * S, &mean));
    alarms_free(a);
}

TEST(what_is_no_longer_watched_is_forgotten)
{
    struct alarms *a = alarms_new();
    double mean = 0;

    CHECK(!alarms_feed(a, &high, 0.9, 0, &mean));
    alarms_sweep(a);
    alarms_sweep(a);
    CHECK(!alarms_feed(a, &high, 0.9, 60 * S, &mean));
    alarms_free(a);
}
