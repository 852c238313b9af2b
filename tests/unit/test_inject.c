/* tests/unit/test_inject.c - placeholders, templates, and the mask over a stream. */
#include "netfilter/inject.h"
#include "tests/unit/unit.h"

#include <ctype.h>
#include <string.h>

static const uint8_t key[32] = "a key that a task would have mad";
static struct inject in;
static struct mask mask;

static const char list[] = "GITHUB_TOKEN=ghp_Abcdefgh0123456789ABCDEFGHIJKLMNOPQR\n\0"
                           "NPM_TOKEN=s3cr3t-value-of-npm\0"
                           "SHORT=abc\0"
                           "BINARY=\x01\x02\x03\x04\x05\x06\x07\x08\x09";

static void load(void)
{
        inject_init(&in, key);
        CHECK(inject_load(&in, list, sizeof(list) - 1) == INJECT_OK);
}

TEST(a_placeholder_has_the_shape_of_its_secret_and_nothing_else_of_it)
{
        char a[64], b[64];
        const char *secret = "ghp_Abcdefgh0123456789ABCDEFGHIJKLMNOPQR";
        size_t len = strlen(secret), same = 0;
        uint8_t other[32] = { 1 };

        inject_placeholder(key, secret, len, a);
        inject_placeholder(key, secret, len, b);
        CHECK(!strcmp(a, b) && strlen(a) == len && !memcmp(a, "ghp_", 4));
        for (size_t i = 4; i < len; i++) {
                CHECK(!isdigit(secret[i]) == !isdigit(a[i]));
                CHECK(!isupper(secret[i]) == !isupper(a[i]));
                CHECK(!islower(secret[i]) == !islower(a[i]));
                same += a[i] == secret[i];
        }
        CHECK(same < 10);
        inject_placeholder(other, secret, len, b);
        CHECK(strcmp(a, b) != 0);
}

TEST(a_list_is_read_whole_and_unfit_values_have_no_placeholder)
{
        char buf[512];
        struct wr w = wr_of(buf, sizeof(buf));

        load();
        CHECK(in.count == 4 && in.secrets[0].fit && in.secrets[1].fit);
        CHECK(in.secrets[0].len == 40 && !in.secrets[2].fit && !in.secrets[3].fit);
        inject_put_placeholders(&in, &w);
        CHECK(!strncmp(buf, "GITHUB_TOKEN=ghp_", 17) && !memmem(buf, w.len, "SHORT", 5));
        CHECK(!memmem(buf, w.len, "s3cr3t-value-of-npm", 19));
}

/* What @text becomes under a rule for @name's secret, and what the mask then makes of that. */
static size_t replaced(const char *name, const char *text, char *out, size_t cap)
{
        char template[64];
        struct wr t = wr_of(template, sizeof(template) - 1), w = wr_of(out, cap - 1);
        size_t n;

        wr_fmt(&t, "${%s}", name);
        mask_init(&mask);
        n = inject_replace(&in, wr_cstr(&t), text, strlen(text), &w, &mask);
        CHECK(!w.full);
        wr_cstr(&w);
        return n;
}

TEST(an_alias_counts_as_the_placeholder_does_whatever_its_length)
{
        static const char aliases[] = "GITHUB_TOKEN=ghp_stale-0123456789\0NOBODY=ghp_0123456789\0"
                                      "SHORT=ghp_0123456789\0NPM_TOKEN=short\0no equals sign\0=";
        static const char basic[] = "Basic eDpnaHBfc3RhbGUtMDEyMzQ1Njc4OQ=="; /* x:ghp_stale-… */
        char out[256];

        load();
        CHECK(inject_load_aliases(&in, aliases, sizeof(aliases)) == INJECT_OK);
        CHECK(replaced("GITHUB_TOKEN", "Bearer ghp_stale-0123456789;", out, sizeof(out)) == 1);
        CHECK(!strcmp(out, "Bearer ghp_Abcdefgh0123456789ABCDEFGHIJKLMNOPQR;"));
        CHECK(!replaced("NPM_TOKEN", "Bearer ghp_stale-0123456789", out, sizeof(out)));
        CHECK(inject_foreign(&in, "${NPM_TOKEN}", "ghp_stale-0123456789", 20));
        CHECK(inject_foreign(&in, NULL, basic, sizeof(basic) - 1));
        CHECK(!inject_foreign(&in, "${GITHUB_TOKEN}", basic, sizeof(basic) - 1));
        CHECK(!inject_foreign(&in, NULL, "ghp_0123456789 short", 20));

        /* The response shows this task's placeholder, which has the length of the value. */
        CHECK(replaced("GITHUB_TOKEN", basic, out, sizeof(out)) == 1 && strlen(out) == 6 + 56);
        mask_whole(&mask, out, strlen(out));
        CHECK(!inject_foreign(&in, "${GITHUB_TOKEN}", out, strlen(out)));
        CHECK(inject_foreign(&in, NULL, out, strlen(out)));

        /* The next list has none of it. */
        CHECK(inject_load(&in, list, sizeof(list) - 1) == INJECT_OK);
        CHECK(!replaced("GITHUB_TOKEN", "ghp_stale-0123456789", out, sizeof(out)));
}

TEST(templates)
{
        static const struct {
                const char *why, *template, *text;
                enum inject_status status;
        } rows[] = {
                { "bearer", "Bearer ${NPM_TOKEN}", "Bearer s3cr3t-value-of-npm", INJECT_OK },
                { "alone", "${NPM_TOKEN}", "s3cr3t-value-of-npm", INJECT_OK },
                { "basic", "Basic ${base64:x-access-token:NPM_TOKEN}",
                  "Basic eC1hY2Nlc3MtdG9rZW46czNjcjN0LXZhbHVlLW9mLW5wbQ==", INJECT_OK },
                { "no user", "${base64::NPM_TOKEN}", "OnMzY3IzdC12YWx1ZS1vZi1ucG0=", INJECT_OK },
                { "missing", "Bearer ${NOBODY}", "", INJECT_MISSING },
                { "short", "Bearer ${SHORT}", "", INJECT_UNFIT },
                { "binary", "Bearer ${BINARY}", "", INJECT_UNFIT },
                { "open", "Bearer ${NPM_TOKEN", "", INJECT_TEMPLATE },
                { "empty", "Bearer ${}", "", INJECT_TEMPLATE },
                { "a dollar", "$x $", "$x $", INJECT_OK },
        };

        load();
        for (size_t i = 0; i < COUNT(rows); i++) {
                char buf[256];
                struct wr w = wr_of(buf, sizeof(buf));

                CHECK_ROW(inject_render(&in, rows[i].template, false, &w) == rows[i].status,
                          rows[i].why);
                if (rows[i].status == INJECT_OK)
                        CHECK_ROW(!strcmp(wr_cstr(&w), rows[i].text), rows[i].why);
        }
}

TEST(a_placeholder_is_seen_where_it_may_not_go_and_replaced_where_it_may)
{
        const char *template = "token ${NPM_TOKEN}";
        char text[256], basic[256], out[256];
        struct wr t = wr_of(text, sizeof(text)), b = wr_of(basic, sizeof(basic)), w;

        load();
        wr_str(&t, "token ");
        wr_str(&t, in.secrets[1].placeholder);
        CHECK(inject_foreign(&in, NULL, text, t.len));
        CHECK(inject_foreign(&in, "${GITHUB_TOKEN}", text, t.len));
        CHECK(!inject_foreign(&in, template, text, t.len));
        mask_init(&mask);
        w = wr_of(out, sizeof(out));
        CHECK(inject_replace(&in, template, text, t.len, &w, &mask) == 1);
        CHECK(!strcmp(wr_cstr(&w), "token s3cr3t-value-of-npm"));

        /* Basic, with the placeholder as the password */
        CHECK(inject_render(&in, "basic ${base64:me:NPM_TOKEN}", true, &b) == INJECT_OK);
        CHECK(inject_foreign(&in, NULL, basic, b.len));
        CHECK(!inject_foreign(&in, template, basic, b.len));
        w = wr_of(out, sizeof(out));
        CHECK(inject_replace(&in, template, basic, b.len, &w, &mask) == 1);
        CHECK(!strcmp(wr_cstr(&w), "Basic bWU6czNjcjN0LXZhbHVlLW9mLW5wbQ=="));
        mask_whole(&mask, out, w.len);
        CHECK(!strncasecmp(out, basic, w.len)); /* masked: what the client knew */
        mask_wipe(&mask);
}

static void run(const char *text, size_t len, size_t step, size_t cap, char *out, size_t *out_len)
{
        *out_len = 0;
        for (size_t at = 0; at < len;) {
                size_t n = len - at < step ? len - at : step, used;

                *out_len += mask_run(&mask, text + at, n, &used, out + *out_len, cap);
                at += used;
        }
        for (size_t n = 1; n; *out_len += n)
                n = mask_end(&mask, out + *out_len, cap);
}

TEST(a_secret_is_masked_however_the_stream_is_cut)
{
        static const struct {
                const char *text, *masked;
        } rows[] = {
                { "x abcabd y", "x ****** y" },
                { "abcabcabd", "abc******" },
                { "abcab", "abcab" },
                { "abcabdabcabd", "************" },
                { "ab", "ab" },
                { "", "" },
                { "aababcabca", "aababcabca" },
                { "zzabdq=", "--abdq=" },
                { "abczzabd", "abc--abd" },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                for (size_t step = 1; step < 12; step++)
                        for (size_t cap = 8; cap < 40; cap += 7) {
                                char out[256];
                                size_t len;

                                mask_init(&mask);
                                CHECK(mask_add(&mask, "abcabd", "******", 6));
                                CHECK(mask_add(&mask, "zz", "--", 2));
                                run(rows[i].text, strlen(rows[i].text), step, cap, out, &len);
                                CHECK_ROW(len == strlen(rows[i].masked) &&
                                                  !memcmp(out, rows[i].masked, len),
                                          rows[i].text);
                        }
}

TEST(nothing_is_held_back_but_what_may_become_the_secret)
{
        char out[64];
        size_t used;

        mask_init(&mask);
        CHECK(mask_add(&mask, "secret", "******", 6));
        CHECK(mask_run(&mask, "a line\n", 7, &used, out, sizeof(out)) == 7 && used == 7);
        CHECK(mask_run(&mask, "a sec", 5, &used, out, sizeof(out)) == 2 && used == 5);
        CHECK(mask_run(&mask, "s", 1, &used, out, sizeof(out)) == 3); /* s may begin another */
        CHECK(mask_run(&mask, "ecret", 5, &used, out, sizeof(out)) == 6);
        CHECK(!memcmp(out, "******", 6));
}
