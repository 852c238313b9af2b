/* tests/unit/test_serve.c - an exec_server of a spec becomes a command line. */
#include "init/serve.h"
#include "tests/unit/unit.h"

#include "base/wr.h"

#include <string.h>

TEST(an_exec_server_becomes_a_command_line)
{
        static const struct {
                const char *agent, *words;
        } rows[] = {
                { "{\"exec_server\":\"stdio\"}",
                  "airlock-exec --listen stdio --journal-fd 100" },
                { "{\"exec_server\":\"unix:/s\",\"idle_s\":7}",
                  "airlock-exec --listen unix:/s --journal-fd 100 --idle-exit 7" },
                { "{\"exec_server\":\"ws://[::1]:5\"}",
                  "airlock-exec --listen ws://[::1]:5 --journal-fd 100 --idle-exit 600 "
                  "--porch-fd 101" },
                { "{\"exec_server\":\"unix:/s\",\"token_sha256\":"
                  "\"0123456789012345678901234567890123456789012345678901234567890123\"}",
                  "airlock-exec --listen unix:/s --journal-fd 100 --idle-exit 600 "
                  "--ws-auth=capability-token --ws-token-sha256 "
                  "0123456789012345678901234567890123456789012345678901234567890123" },
                { "{\"command\":[\"x\",\"y\"]}", "x y" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                char json[512], words[512];
                struct wr j = wr_of(json, sizeof(json)), w = wr_of(words, sizeof(words) - 1);
                struct spec_error e;
                struct spec s;

                wr_fmt(&j, "{\"version\":1,\"agent\":%s}", rows[i].agent);
                CHECK_ROW(!spec_open(&s, json, j.len, &e), rows[i].agent);
                CHECK_ROW(serve_command(&s), rows[i].agent);
                for (size_t n = 0; n < s.agent.command.count; n++)
                        wr_fmt(&w, n ? " %s" : "%s", s.agent.command.items[n]);
                CHECK_ROW(!s.agent.command.items[s.agent.command.count], rows[i].agent);
                CHECK_ROW(!strcmp(wr_cstr(&w), rows[i].words), wr_cstr(&w));
                spec_close(&s);
        }
}
