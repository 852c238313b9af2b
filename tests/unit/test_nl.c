/* tests/unit/test_nl.c - no answer of the kernel's is taken for a yes that is none. */
#include "netfilter/nl.h"
#include "netfilter/rules.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

struct answer {
        struct nlmsghdr head;
        int32_t error;
        struct nlmsghdr about;
};

static struct answer answer(uint32_t seq, int32_t error)
{
        return (struct answer){ .head = { .nlmsg_len = sizeof(struct answer),
                                          .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = seq },
                                .error = error };
}

TEST(an_error_anywhere_is_a_failure)
{
        static const struct {
                const char *why;
                int32_t errors[3]; /* of the messages 1 (the beginning), 2, and 3, awaited */
                enum nl_verdict verdict;
                int err;
        } rows[] = {
                { "all well", { 0, 0, 0 }, NL_DONE, 0 },
                { "the second failed and the last did not", { 0, -ENOENT, 0 }, NL_FAILED, -ENOENT },
                { "the commit failed", { -ENOMEM, 0, 0 }, NL_FAILED, -ENOMEM },
                { "the last failed", { 0, 0, -EEXIST }, NL_FAILED, -EEXIST },
                { "a positive number is no errno", { 0, 5, 0 }, NL_FAILED, -EPROTO },
                { "nor is a huge one", { 0, INT32_MIN, 0 }, NL_FAILED, -EPROTO },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct answer a[3];
                int err = 0;

                for (uint32_t k = 0; k < 3; k++)
                        a[k] = answer(k + 1, rows[i].errors[k]);
                CHECK_ROW(nl_judge(at_page_end(a, sizeof(a)), sizeof(a), 3, &err) ==
                                  rows[i].verdict,
                          rows[i].why);
                CHECK_ROW(err == rows[i].err, rows[i].why);
        }
}

TEST(silence_and_half_an_answer_are_no_yes)
{
        struct answer a = answer(3, 0);
        int err = 0;

        CHECK(nl_judge(at_page_end(&a, 0), 0, 3, &err) == NL_WAIT);
        CHECK(nl_judge(at_page_end(&a, sizeof(a)), sizeof(a), 4, &err) == NL_WAIT);
        for (size_t n = 1; n < sizeof(a); n++)
                CHECK(nl_judge(at_page_end(&a, n), n, 3, &err) == NL_MALFORMED);
        a.head.nlmsg_len = sizeof(a.head) - 1;
        CHECK(nl_judge(at_page_end(&a, sizeof(a)), sizeof(a), 3, &err) == NL_MALFORMED);
}

TEST(what_is_written_is_read_again)
{
        uint32_t buf[64];
        struct nl n = nl_of(buf, sizeof(buf));
        struct nlmsghdr head;
        struct rd r, nested, value;
        uint16_t type;
        size_t nest;

        nl_message(&n, 7, NLM_F_CREATE, "abcd", 4);
        nest = nl_nest(&n, 1);
        nl_put_str(&n, 2, "four");
        nl_put_be32(&n, 3, 0x01020304);
        nl_nested(&n, nest);
        nl_put(&n, 4, "x", 1);
        nl_ask(&n);
        nl_message(&n, 8, 0, NULL, 0);
        nl_close(&n);
        CHECK(!n.w.full && n.ack == 1 && n.seq == 2);
        memcpy(&head, n.w.buf, sizeof(head));
        CHECK(head.nlmsg_len + sizeof(head) == n.w.len);
        CHECK(head.nlmsg_flags == (NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK));
        r = rd_of(n.w.buf + sizeof(head) + 4, head.nlmsg_len - sizeof(head) - 4);
        CHECK(nl_attribute(&r, &type, &nested) && type == 1);
        CHECK(nl_attribute(&nested, &type, &value) && type == 2 && rd_left(&value) == 5);
        CHECK(nl_attribute(&nested, &type, &value) && type == 3 && rd_be32(&value) == 0x01020304);
        CHECK(!nl_attribute(&nested, &type, &value) && !nested.bad);
        CHECK(nl_attribute(&r, &type, &value) && type == 4 && rd_left(&value) == 1);
        CHECK(!nl_attribute(&r, &type, &value) && !r.bad);
}

TEST(what_does_not_fit_is_never_sent)
{
        uint32_t buf[16];
        struct nl n = nl_of(buf, sizeof(buf));

        nl_message(&n, 7, 0, NULL, 0);
        for (int i = 0; i < 10; i++)
                nl_put_be32(&n, 1, 0);
        CHECK(n.w.full && nl_transact(-1, &n, 0) == -EMSGSIZE);
}

/* Whatever the plan, a process's packet is refused when nothing let it pass before. */
TEST(every_plan_ends_in_a_refusal)
{
        for (unsigned bits = 0; bits < 32; bits++) {
                const struct nft_plan p = { .off = bits & 1, .mark = 1,
                                            .dns_port = bits & 2 ? 53 : 0,
                                            .redirect_port = bits & 4 ? 80 : 0,
                                            .inbound = bits & 8, .root_resolves = bits & 16 };
                const struct rules_rule *last = NULL;

                for (size_t i = 0; i < rules_count; i++) {
                        const struct rules_rule *r = &rules_all[i];

                        if (!rules_apply(r, &p))
                                continue;
                        if (r->chain == CHAIN_AGENT)
                                last = r;
                        CHECK(!p.off || (r->match[0] != MATCH_MARKED && r->chain != CHAIN_NAT));
                        CHECK(p.dns_port || r->verdict != VERDICT_DNS);
                        CHECK(p.redirect_port || r->verdict != VERDICT_PROXY);
                        CHECK(p.inbound || r->match[0] != MATCH_ANSWER);
                        CHECK((p.root_resolves && !p.off) || r->match[0] != MATCH_ROOT);
                }
                CHECK(last && last->match[0] == MATCH_END && last->verdict == VERDICT_PROHIBIT &&
                      last->families == RULES_BOTH);
        }
}

TEST(a_mark_of_zero_is_no_plan)
{
        CHECK(rules_wrong(&(struct nft_plan){ .mark = 0 }));
        CHECK(!rules_wrong(&(struct nft_plan){ .mark = 1 }));
        CHECK(!rules_wrong(&(struct nft_plan){ .off = true }));
}
