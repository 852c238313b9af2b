/* tests/unit/test_spec_image.c - a spec is the same on the other side of an exec. */
#include "init/spec_image.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const char json[] =
        "{\"version\": 1, \"repo\": {\"url\": \"https://example.org/app.git\", \"ref\": \"main\"},"
        " \"runtimes\": {\"node\": \"22\"}, \"env\": {\"A\": \"1\", \"B\": \"\\u00e9\"},"
        " \"setup\": {\"script\": \"npm ci\"}, \"prompt\": \"do it\","
        " \"network\": {\"agent\": \"limited\", \"allow\": [\"a.org\", \"b.org\"], \"methods\": [],"
        "  \"rules\": [{\"host\": \"c.org\", \"ports\": [22, 443], \"paths\": [\"/x\"]}]},"
        " \"agent\": {\"command\": [\"sh\", \"-c\", \"true\"]}}";

TEST(a_spec_arrives_as_it_was)
{
        struct spec a, b;
        struct spec_error e;
        int fd;

        CHECK(!spec_open(&a, json, sizeof(json) - 1, &e));
        fd = spec_image_make(&a);
        spec_close(&a); /* nothing of it is needed any more */
        CHECK(fd >= 0 && !spec_image_open(fd, &b));
        close(fd);
        CHECK(!strcmp(b.repo.url, "https://example.org/app.git"));
        CHECK(!strcmp(b.repo.dir, "/workspace/app"));
        CHECK(!strcmp(b.runtimes[RUNTIME_NODE], "22") && !b.runtimes[RUNTIME_PYTHON]);
        CHECK(b.env.count == 2 && !strcmp(b.env.items[1].value, "\xc3\xa9"));
        CHECK(!strcmp(b.setup.script, "npm ci") && b.setup.timeout_s == 1200);
        CHECK(!strcmp(b.prompt, "do it"));
        CHECK(b.network.agent == NET_LIMITED && b.network.allow.count == 2 &&
              !strcmp(b.network.allow.items[1], "b.org"));
        CHECK(b.network.methods.items && !b.network.methods.count); /* given, and empty */
        CHECK(b.network.rule_count == 1 && b.network.rules[0].ports[1] == 443 &&
              !strcmp(b.network.rules[0].paths.items[0], "/x") && !b.network.rules[0].git_branch);
        CHECK(b.agent.command.count == 3 && !strcmp(b.agent.command.items[2], "true"));
        CHECK(!b.agent.command.items[3] && !strcmp(b.output.dir, "/airlock/out"));
}

TEST(what_is_no_image_is_refused)
{
        char other[sizeof(struct spec) + 64] = "0.0.0";
        struct spec s;
        int fd = memfd_create("x", MFD_CLOEXEC);

        CHECK(spec_image_open(fd, &s) == -EPROTO);
        CHECK(write(fd, other, sizeof(other)) == sizeof(other));
        CHECK(spec_image_open(fd, &s) == -EPROTO && !s.repo.url);
        close(fd);
}
