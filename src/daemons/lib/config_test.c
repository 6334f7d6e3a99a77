#include "daemons/lib/config.h"
#include "test.h"

TEST(an_empty_file_gives_the_defaults)
{
    AUTO(config_done) struct config c;

    config_init(&c);
    CHECK_OK(config_parse(&c, STR("")));
    CHECK_OK(config_check(&c));
    CHECK_STR(c.run_dir, "/run/runnymede");
    CHECK_STR(c.net, "linux");
    CHECK_STR(c.log_dir, "/var/lib/runnymede/log");
    CHECK_INT(c.https_port, 443);
}

TEST(lines_set_what_they_name)
{
    AUTO(config_done) struct config c;

    config_init(&c);
    CHECK_OK(config_parse(&c,
        STR("# a throwaway host\n\n state_dir=/tmp/s \nhttp_port = 8080 # not root\n"
            "hypervisor = sim\nhttps_port = any\nauth = file:/tmp/passwd\nusers=none")));
    CHECK_OK(config_check(&c));
    CHECK_STR(c.state_dir, "/tmp/s");
    CHECK_INT(c.http_port, 8080);
    CHECK_INT(c.https_port, CONFIG_PORT_ANY);
    CHECK_STR(c.net, "sim");
    CHECK_STR(c.users, "none");
    CHECK_STR(c.auth, "file:/tmp/passwd");
}

TEST(mistakes_are_refused)
{
    static const char *const texts[] = { "colour = red", "http_port = 70000", "http_port = x", "hypervisor = vmware",
        "state_dir = relative", "just text", "= value" };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        AUTO(config_done) struct config c;
        config_init(&c);
        CHECK_ERR(config_parse(&c, str_of(texts[i])), "INTERNAL_ERROR");
    }
    AUTO(config_done) struct config c;
    config_init(&c);
    CHECK_OK(config_parse(&c, STR("auth = magic")));
    CHECK_ERR(config_check(&c), "INTERNAL_ERROR");
}
