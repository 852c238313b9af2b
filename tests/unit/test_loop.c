/* tests/unit/test_loop.c - the pure parts of the agent's loop: streams, errors, conversations. */
#include "agent/answer.h"
#include "agent/request.h"
#include "agent/retry.h"
#include "agent/schema.h"
#include "agent/sse.h"
#include "agent/transcript.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* --- events ----------------------------------------------------------------------------------- */

/* The events of @text read in pieces of @piece bytes, each in brackets. */
static void events_of(struct buf *out, const char *text, size_t len, size_t piece)
{
        struct sse s = { 0 };

        for (size_t at = 0; at < len;) {
                size_t n = len - at < piece ? len - at : piece, used = 0;

                while (n) {
                        if (sse_next(&s, at_page_end(text + at, n), n, &used) == SSE_EVENT) {
                                buf_str(out, "[");
                                buf_put(out, buf_at(&s.data), s.data.len);
                                buf_str(out, "]");
                        }
                        at += used;
                        n -= used;
                }
        }
        sse_free(&s);
}

TEST(an_event_is_what_its_data_lines_say_however_it_is_cut)
{
        static const struct {
                const char *text, *events, *why;
        } rows[] = {
                { "data: a\n\n", "[a]", "LF" },
                { "data: a\r\n\r\n", "[a]", "CR LF" },
                { "data: a\r\rdata: b\r\r", "[a][b]", "CR" },
                { "data: a\ndata: b\n\n", "[a\nb]", "two lines" },
                { "data:a\n\n", "[a]", "no space" },
                { "data:  a\n\n", "[ a]", "one space goes" },
                { "data\n\n", "[]", "no colon" },
                { ": keep\n\ndata: a\n\n", "[a]", "a comment" },
                { "event: x\nid: 1\nretry: 5\ndata: a\n\n", "[a]", "other fields" },
                { "event: x\n\n", "", "no data" },
                { "datax: a\n\n", "", "another field's name" },
                { "data: a\n", "", "no blank line" },
                { "\xef\xbb\xbf" "data: a\n\n", "[a]", "byte order mark" },
                { "\n\n\ndata: a\n\n\n", "[a]", "blank lines" },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                for (size_t piece = 1; piece < 6; piece++) {
                        struct buf got = { 0 };

                        events_of(&got, rows[i].text, strlen(rows[i].text), piece);
                        CHECK_ROW(got.len == strlen(rows[i].events) &&
                                  (!got.len || !memcmp(buf_at(&got), rows[i].events, got.len)),
                                  rows[i].why);
                        buf_free(&got);
                }
}

TEST(an_event_of_five_megabytes_is_whole)
{
        struct buf text = { 0 };
        struct sse s = { 0 };
        size_t used, len = 5U << 20, events = 0;

        buf_str(&text, "data: ");
        memset(buf_room(&text, len), 'x', len);
        buf_added(&text, len);
        buf_str(&text, "\n\n");
        for (size_t at = 0; at < text.len; at += used) {
                size_t n = text.len - at < 65536 ? text.len - at : 65536;

                if (sse_next(&s, buf_at(&text) + at, n, &used) == SSE_EVENT)
                        events += s.data.len == len;
        }
        CHECK(events == 1);
        sse_free(&s);
        buf_free(&text);
}

/* --- errors ------------------------------------------------------------------------------------- */

TEST(each_error_of_the_reference_has_its_meaning)
{
        static const struct {
                const char *head, *body;
                enum model_error kind;
                uint64_t wait_ms;
                bool fixed;
        } rows[] = {
                { "400", "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"m\"}}", MODEL_CONTEXT, 0, false },
                { "400", "{\"error\":{\"code\":\"invalid_prompt\",\"message\":\"m\"}}", MODEL_REQUEST, 0, false },
                { "400", "{\"error\":{\"message\":\"This model's maximum context length is 8\"}}", MODEL_CONTEXT, 0, false },
                { "401", "{}", MODEL_KEY, 0, false },
                { "403", "{\"error\":\"region\"}", MODEL_KEY, 0, false },
                { "404", "{\"error\":{\"code\":\"model_not_found\"}}", MODEL_UNKNOWN, 0, false },
                { "404", "404 page not found", MODEL_NO_WIRE, 0, false },
                { "405", "", MODEL_NO_WIRE, 0, false },
                { "408", "", MODEL_BROKEN, 0, false },
                { "409", "", MODEL_BROKEN, 0, false },
                { "413", "", MODEL_CONTEXT, 0, false },
                { "429", "{\"error\":{\"code\":\"insufficient_quota\"}}", MODEL_QUOTA, 0, false },
                { "429", "{\"error\":{\"type\":\"usage_limit_reached\",\"resets_at\":9}}", MODEL_QUOTA, 0, false },
                { "429", "{\"error\":{\"type\":\"usage_not_included\"}}", MODEL_QUOTA, 0, false },
                { "429", "{\"error\":{\"message\":\"Please TRY AGAIN in 1.5s.\"}}", MODEL_RATE, 1500, true },
                { "429\r\nRetry-After: 3", "{\"error\":{\"message\":\"try again in 1s\"}}", MODEL_RATE, 3000, true },
                { "429\r\nretry-after-ms: 250\r\nretry-after: 9", "{}", MODEL_RATE, 250, true },
                { "429\r\nx-should-retry: false", "{}", MODEL_QUOTA, 0, false },
                { "500", "<html>", MODEL_BROKEN, 0, false },
                { "503\r\nretry-after: Tue, 14 Nov 2023 22:13:30 GMT", "", MODEL_BROKEN, 10000, true },
                { "503", "{\"error\":{\"code\":\"server_is_overloaded\"}}", MODEL_OVERLOADED, 0, false },
                { "504", "{\"detail\":\"x\"}", MODEL_BROKEN, 0, false },
                { "403\r\nx-airlock-denied: path", "airlock: refused (path)\n", MODEL_POLICY, 0, false },
                { "502\r\nx-airlock-denied: upstream", "airlock: refused (upstream)\n", MODEL_BROKEN, 0, false },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                static struct http1 h;
                struct failure f;
                char text[512];
                struct wr w = wr_of(text, sizeof(text) - 1);
                size_t scanned = 0;

                wr_fmt(&w, "HTTP/1.1 %.*s X%s\r\nContent-Length: %zu\r\n\r\n", 3, rows[i].head,
                       rows[i].head + 3, strlen(rows[i].body));
                CHECK_ROW(http1_parse_response(&h, text, w.len, &scanned, "POST", 4) == HTTP1_OK,
                          rows[i].head);
                failure_of_response(&f, &h, rows[i].body, strlen(rows[i].body), 1700000000, true);
                CHECK_ROW(f.kind == rows[i].kind, rows[i].body);
                CHECK_ROW(f.wait_ms == rows[i].wait_ms && f.fixed_wait == rows[i].fixed, rows[i].head);
                CHECK_ROW(f.text[0] && !strchr(f.text, '\n'), rows[i].head);
        }
}

TEST(a_wait_is_read_out_of_the_text_in_any_unit)
{
        static const struct {
                const char *text;
                int64_t ms; /* -1: none */
        } rows[] = {
                { "Please try again in 1.5s", 1500 },   { "try again in 200ms", 200 },
                { "Try again in 2 seconds.", 2000 },    { "try again in 1 second", 1000 },
                { "try again in 0.25 s", 250 },         { "try again in", -1 },
                { "try again in 5 hours", -1 },         { "try again in soon", -1 },
                { "try again in x. Try again in 3s", 3000 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                uint64_t ms = 0;
                size_t len = strlen(rows[i].text);
                bool ok = retry_in_text(at_page_end(rows[i].text, len), len, &ms);

                CHECK_ROW(ok == (rows[i].ms >= 0) && (!ok || ms == (uint64_t)rows[i].ms),
                          rows[i].text);
        }
}

TEST(the_wait_doubles_within_a_tenth)
{
        for (unsigned n = 1; n < 6; n++)
                for (uint32_t random = 0; random <= 1000; random += 100) {
                        uint64_t ms = retry_backoff_ms(n, random), want = UINT64_C(200) << (n - 1);

                        CHECK(ms >= want * 9 / 10 && ms <= want * 11 / 10);
                }
        CHECK(retry_backoff_ms(4000000000U, 0) < 100000);
}

/* --- answers and conversations ----------------------------------------------------------------------- */

static bool feed(struct answer *a, const char *data)
{
        return answer_take(a, data, strlen(data));
}

TEST(what_goes_back_has_no_ids_and_keeps_reasoning_in_its_place)
{
        struct answer a = { .wire = WIRE_RESPONSES_API };
        struct buf out = { 0 };

        CHECK(feed(&a, "{\"type\":\"response.output_item.done\",\"item\":{\"type\":\"reasoning\","
                       "\"id\":\"rs_1\",\"summary\":[],\"encrypted_content\":\"gA\",\"status\":null}}"));
        CHECK(feed(&a, "{\"type\":\"response.output_item.done\",\"item\":{\"type\":\"function_call\","
                       "\"id\":\"fc_1\",\"status\":\"completed\",\"call_id\":\"c1\",\"name\":\"f\","
                       "\"arguments\":\"{}\"}}"));
        CHECK(feed(&a, "{\"type\":\"response.new_kind_of_event\",\"x\":1}"));
        CHECK(feed(&a, "{\"type\":\"response.completed\",\"response\":{\"output\":[],\"usage\":null}}"));
        CHECK(answer_end(&a) && !a.usage.known);
        history_put_input(&a.items, &out);
        buf_put(&out, "", 1);
        CHECK(!strcmp(buf_at(&out),
                      "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"gA\"},"
                      "{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"f\",\"arguments\":\"{}\"}"));
        buf_free(&out);
        answer_free(&a);
}

TEST(a_completed_answer_without_streamed_items_brings_them_itself)
{
        struct answer a = { .wire = WIRE_RESPONSES_API };
        struct buf text = { 0 };

        CHECK(feed(&a, "{\"type\":\"response.completed\",\"response\":{\"output\":[{\"type\":\"message\","
                       "\"content\":[{\"type\":\"output_text\",\"text\":\"hi\"}]}],\"usage\":"
                       "{\"input_tokens\":5,\"output_tokens\":2,\"total_tokens\":7}}}"));
        CHECK(answer_end(&a) && a.items.count == 1 && a.usage.total == 7);
        item_text(&a.items.items[0], &text, NULL);
        CHECK(text.len == 2);
        buf_free(&text);
        answer_free(&a);
}

TEST(a_stream_without_its_end_is_broken)
{
        struct answer a = { .wire = WIRE_RESPONSES_API }, b = { .wire = WIRE_CHAT_API };

        CHECK(feed(&a, "{\"type\":\"response.created\"}"));
        CHECK(!answer_end(&a) && a.failure.kind == MODEL_BROKEN);
        CHECK(feed(&b, "{\"choices\":[{\"delta\":{\"content\":\"x\"}}]}"));
        CHECK(!answer_end(&b) && b.failure.kind == MODEL_BROKEN);
        answer_free(&a);
        answer_free(&b);
}

TEST(pieces_of_chat_calls_are_joined_by_index_and_id)
{
        struct answer a = { .wire = WIRE_CHAT_API };
        struct item_call c;

        CHECK(feed(&a, "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\","
                       "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\"}}]}}]}"));
        CHECK(feed(&a, "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,"
                       "\"function\":{\"arguments\":\"\\\":1}\"}}]}}]}"));
        CHECK(feed(&a, "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"b\","
                       "\"function\":{\"name\":\"g\",\"arguments\":{\"y\":2}}}]}}]}"));
        CHECK(feed(&a, "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":3,"
                       "\"function\":{\"name\":\"h\"}}]},\"finish_reason\":\"stop\"}]}"));
        CHECK(feed(&a, "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}}"));
        CHECK(answer_end(&a) && a.items.count == 3 && a.usage.total == 10);
        CHECK(item_call_of(&a.items.items[0], &c));
        CHECK(c.args.len == 7 && !memcmp(buf_at(&c.args), "{\"x\":1}", 7));
        item_call_free(&c);
        CHECK(item_call_of(&a.items.items[1], &c));
        CHECK(c.args.len == 7 && c.id.len == 1 && *buf_at(&c.id) == 'b');
        item_call_free(&c);
        CHECK(item_call_of(&a.items.items[2], &c));
        CHECK(c.id.len && c.args.len == 2); /* it was given an id, and no arguments */
        item_call_free(&c);
        answer_free(&a);
}

TEST(a_call_without_an_output_gets_one_and_just_one)
{
        struct history h = { 0 };

        history_call(&h, "a", 1, "f", 1, "{}", 2);
        history_call(&h, "b", 1, "f", 1, "{}", 2);
        history_output_text(&h, 0, "x\0y\xff", 4);
        CHECK(history_settle(&h) == 1 && h.count == 4);
        CHECK(history_settle(&h) == 0 && h.count == 4);
        CHECK(strstr(buf_at(&h.items[2].json), "\\u0000"));
        CHECK(strstr(buf_at(&h.items[2].json), "\xef\xbf\xbd"));
        history_free(&h);
}

TEST(chat_has_one_assistant_message_for_the_calls_of_an_answer)
{
        struct history h = { 0 };
        struct buf out = { 0 };
        struct value v, m;
        struct value_error e;
        struct value_iter i;
        char roles[16] = "";

        history_message(&h, "user", "q", 1);
        history_assistant(&h, "look", 4);
        history_call(&h, "a", 1, "f", 1, "{}", 2);
        history_call(&h, "b", 1, "f", 1, "{}", 2);
        history_output_text(&h, 2, "1", 1);
        history_output_text(&h, 3, "2", 1);
        history_assistant(&h, "done", 4);
        buf_str(&out, "[");
        history_put_messages(&h, "sys", &out);
        buf_str(&out, "]");
        CHECK(value_parse(&v, buf_at(&out), out.len, &e));
        i = value_items(&v);
        while (value_next(&i, NULL, &m)) {
                struct value role = value_get(&m, "role");

                strncat(roles, role.at, 1);
        }
        CHECK(!strcmp(roles, "suatta"));
        buf_free(&out);
        history_free(&h);
}

TEST(an_answer_fits_its_schema_or_the_line_says_where_not)
{
        static const char schema[] =
                "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"a\",\"n\"],"
                "\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/w\"}},"
                "\"n\":{\"type\":[\"integer\",\"null\"]},\"t\":{\"$ref\":\"#\"},"
                "\"u\":{\"anyOf\":[{\"type\":\"string\"},{\"const\":7}]}},"
                "\"$defs\":{\"w\":{\"enum\":[\"x\",\"\\u00e4\",3]}}}";
        static const struct {
                const char *text, *why; /* NULL: it fits */
        } rows[] = {
                { "{\"a\":[],\"n\":1}", NULL },
                { "{\"a\":[\"x\",3,\"\xc3\xa4\"],\"n\":null}", NULL },
                { "{\"a\":[],\"n\":1,\"t\":{\"a\":[],\"n\":2},\"u\":7}", NULL },
                { "[]", "/: sequence, which it may not be" },
                { "{\"a\":[]}", "/n: is missing" },
                { "{\"a\":[],\"n\":1.5}", "/n: number, which it may not be" },
                { "{\"a\":[\"x\",\"y\"],\"n\":1}", "/a/1: none of the values that it may have" },
                { "{\"a\":[],\"n\":1,\"z\":0}", "/z: is not to be there" },
                { "{\"a\":[],\"n\":1,\"t\":{\"n\":2}}", "/t/a: is missing" },
                { "{\"a\":[],\"n\":1,\"u\":8}", "/u: fits none of the alternatives" },
        };
        struct value s, v;
        struct value_error e;

        CHECK(value_parse(&s, schema, sizeof(schema) - 1, &e));
        for (size_t i = 0; i < COUNT(rows); i++) {
                char why[512];
                struct wr w = wr_of(why, sizeof(why) - 1);
                bool ok;

                CHECK_ROW(value_parse(&v, rows[i].text, strlen(rows[i].text), &e), rows[i].text);
                ok = schema_fits(&s, &v, &w);
                CHECK_ROW(ok == !rows[i].why && (ok || !strcmp(wr_cstr(&w), rows[i].why)), rows[i].text);
        }
}

TEST(a_kept_conversation_comes_back_and_a_torn_one_does_not)
{
        static const struct transcript_head kept = {
                .thread = "01a0c0de-0000-7000-8000-000000000001", .wire = WIRE_CHAT_API,
                .wire_known = true, .at = "http://h/\"v1", .model = "m\\1", .first = 1,
        };
        struct history h = { 0 }, again = { 0 };
        struct transcript_head head;
        struct buf text = { 0 };
        size_t line;

        history_message(&h, "user", "q", 1);
        history_call(&h, "a", 1, "f", 1, "{}", 2);
        history_output_text(&h, 1, "out", 3);
        transcript_put(&text, &kept, &h);
        CHECK(transcript_take(&text, &head, &again, &line) && again.count == 3 && head.first == 1);
        CHECK(head.wire == WIRE_CHAT_API && !strcmp(head.thread, kept.thread));
        CHECK(head.wire_known && !strcmp(head.at, kept.at) && !strcmp(head.model, kept.model));
        history_free(&again);
        text.len--;
        CHECK(!transcript_take(&text, &head, &again, &line) && !again.count && line == 4);
        buf_free(&text);
        history_free(&h);
}

TEST(shrinking_takes_the_oldest_outputs_and_no_call)
{
        struct history h = { 0 };
        char long_text[1000];
        size_t before;

        memset(long_text, 'x', sizeof(long_text));
        history_call(&h, "a", 1, "f", 1, "{}", 2);
        history_output_text(&h, 0, long_text, sizeof(long_text));
        history_call(&h, "b", 1, "f", 1, "{}", 2);
        history_output_text(&h, 2, long_text, sizeof(long_text));
        before = h.bytes;
        CHECK(history_shrink(&h, 100) > 100 && h.count == 4);
        CHECK(h.items[1].json.len < 200 && h.items[3].json.len > 1000);
        CHECK(h.bytes == before - (before - h.bytes) && history_settle(&h) == 0);
        CHECK(history_shrink(&h, 100000) > 0 && !history_shrink(&h, 100000));
        history_free(&h);
}
