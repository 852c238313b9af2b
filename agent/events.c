/* agent/events.c - see events.h. */
#include "agent/events.h"

#include "base/io.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_LINES 6  /* of a command's output, for people */
#define SHOWN_WIDTH 200

void events_open(struct events *e, int fd, bool human, bool color, bool quiet)
{
        *e = (struct events){ .fd = fd, .human = human, .color = color, .quiet = quiet };
}

void events_close(struct events *e)
{
        buf_free(&e->line);
}

uint64_t events_item(struct events *e)
{
        return e->items++;
}

/* --- lines ----------------------------------------------------------------------------------- */

static struct buf *begin(struct events *e, const char *type)
{
        buf_drop(&e->line, e->line.len, EVENTS_OUTPUT_MAX);
        buf_fmt(&e->line, "{\"type\":\"%s\"", type);
        return &e->line;
}

static void end(struct events *e)
{
        int r;

        buf_str(&e->line, "}\n");
        if (e->broken || e->fd < 0)
                return;
        r = write_full(e->fd, buf_at(&e->line), e->line.len);
        if (r < 0) {
                log_errno(LOG_WARN, -r, "events");
                e->broken = true;
        }
}

static void put_text(struct buf *b, const char *key, const char *text, size_t len)
{
        buf_fmt(b, ",\"%s\":", key);
        buf_json(b, text, len);
}

static void begin_item(struct events *e, const char *how, uint64_t item, const char *type)
{
        struct buf *b = begin(e, how);

        buf_fmt(b, ",\"item\":{\"id\":\"item_%llu\",\"type\":\"%s\"", (unsigned long long)item,
                type);
}

static void end_item(struct events *e)
{
        buf_str(&e->line, "}");
        end(e);
}

static void text_item(struct events *e, const char *type, const char *key, const char *text,
                      size_t len)
{
        begin_item(e, "item.completed", events_item(e), type);
        put_text(&e->line, key, text, len);
        end_item(e);
}

/* --- people ------------------------------------------------------------------------------------- */

enum tone { TONE_PLAIN, TONE_DIM, TONE_BOLD, TONE_BAD };

static void say(struct events *e, enum tone tone, const char *head, const char *text, size_t len)
{
        static const char *const codes[] = { [TONE_PLAIN] = "", [TONE_DIM] = "\033[2m",
                                             [TONE_BOLD] = "\033[1m", [TONE_BAD] = "\033[31m" };
        char line[4096];
        struct wr w = wr_of(line, sizeof(line) - 8);

        if (e->quiet || !e->human)
                return;
        if (e->color)
                wr_str(&w, codes[tone]);
        wr_str(&w, head);
        while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
                len--;
        wr_plain(&w, text, len < 900 ? len : 900);
        if (len > 900)
                wr_str(&w, " ...");
        w.cap += 8;
        if (e->color && tone != TONE_PLAIN)
                wr_str(&w, "\033[0m");
        wr_str(&w, "\n");
        if (write_full(STDERR_FILENO, line, w.len) < 0)
                e->quiet = true;
}

static void say_lines(struct events *e, enum tone tone, const char *text, size_t len,
                      unsigned lines)
{
        while (len && lines--) {
                const char *lf = memchr(text, '\n', len);
                size_t n = lf ? (size_t)(lf - text) : len;

                say(e, tone, "  ", text, n < SHOWN_WIDTH ? n : SHOWN_WIDTH);
                n += lf != NULL;
                text += n;
                len -= n;
        }
        if (len)
                say(e, tone, "  ", "...", 3);
}

/* --- what is told --------------------------------------------------------------------------------- */

void events_thread(struct events *e, const char *thread_id, bool resumed)
{
        say(e, TONE_DIM, resumed ? "resumed " : "thread ", thread_id, strlen(thread_id));
        put_text(begin(e, "thread.started"), "thread_id", thread_id, strlen(thread_id));
        end(e);
}

void events_turn(struct events *e)
{
        begin(e, "turn.started");
        end(e);
}

static const char *status_of(enum item_status s)
{
        switch (s) {
        case ITEM_RUNNING:
                return "in_progress";
        case ITEM_COMPLETED:
                return "completed";
        case ITEM_FAILED:
                return "failed";
        case ITEM_DECLINED:
                return "declined";
        }
        return "";
}

static void say_command(struct events *e, const struct command_event *c)
{
        char head[48];
        struct wr w = wr_of(head, sizeof(head) - 1);

        if (c->status == ITEM_RUNNING) {
                say(e, TONE_BOLD, "$ ", c->command, strlen(c->command));
                return;
        }
        say_lines(e, TONE_DIM, c->output, c->len, SHOWN_LINES);
        if (c->has_exit)
                wr_fmt(&w, "  -> exit %d", c->exit_code);
        else
                wr_str(&w, "  -> ended");
        if (!c->has_exit || c->exit_code)
                say(e, TONE_BAD, wr_cstr(&w), "", 0);
}

void events_command(struct events *e, const struct command_event *c)
{
        size_t len = c->len < EVENTS_OUTPUT_MAX ? c->len : EVENTS_OUTPUT_MAX;

        say_command(e, c);
        begin_item(e, c->status == ITEM_RUNNING ? "item.started" : "item.completed", c->item,
                   "command_execution");
        put_text(&e->line, "command", c->command, strlen(c->command));
        put_text(&e->line, "aggregated_output", c->output, len);
        buf_str(&e->line, ",\"exit_code\":");
        if (c->has_exit)
                buf_i64(&e->line, c->exit_code);
        else
                buf_str(&e->line, "null");
        buf_fmt(&e->line, ",\"status\":\"%s\"", status_of(c->status));
        end_item(e);
}

void events_message(struct events *e, const char *text, size_t len)
{
        text_item(e, "agent_message", "text", text, len);
        say_lines(e, TONE_PLAIN, text, len, 40);
}

void events_reasoning(struct events *e, const char *text, size_t len)
{
        text_item(e, "reasoning", "text", text, len);
        say_lines(e, TONE_DIM, text, len, SHOWN_LINES);
}

void events_patch(struct events *e, const struct patch_result *r)
{
        uint64_t item = events_item(e);

        say_lines(e, r->ok ? TONE_DIM : TONE_BAD, buf_at(&r->text), r->text.len, 20);
        begin_item(e, "item.completed", item, "file_change");
        buf_str(&e->line, ",\"changes\":[");
        for (size_t i = 0; i < r->count; i++) {
                buf_str(&e->line, i ? ",{\"path\":" : "{\"path\":");
                buf_json(&e->line, r->changes[i].path, strlen(r->changes[i].path));
                buf_fmt(&e->line, ",\"kind\":\"%s\"}", patch_kind_str(r->changes[i].kind));
        }
        buf_fmt(&e->line, "],\"status\":\"%s\"", status_of(r->ok ? ITEM_COMPLETED : ITEM_FAILED));
        end_item(e);
}

void events_plan(struct events *e, uint64_t item, enum plan_event how,
                 const struct plan_step *steps, size_t count)
{
        static const char *const hows[] = { [PLAN_STARTED] = "item.started",
                                            [PLAN_UPDATED] = "item.updated",
                                            [PLAN_ENDED] = "item.completed" };
        static const char *const marks[] = { [PLAN_PENDING] = "  [ ] ", [PLAN_IN_PROGRESS] = "  [>] ",
                                             [PLAN_COMPLETED] = "  [x] " };

        for (size_t i = 0; i < count && how != PLAN_ENDED; i++)
                say(e, TONE_DIM, marks[steps[i].status], steps[i].step, strlen(steps[i].step));
        begin_item(e, hows[how], item, "todo_list");
        buf_str(&e->line, ",\"items\":[");
        for (size_t i = 0; i < count; i++) {
                buf_str(&e->line, i ? ",{\"text\":" : "{\"text\":");
                buf_json(&e->line, steps[i].step, strlen(steps[i].step));
                buf_fmt(&e->line, ",\"completed\":%s}",
                        steps[i].status == PLAN_COMPLETED ? "true" : "false");
        }
        buf_str(&e->line, "]");
        end_item(e);
}

void events_error_item(struct events *e, const char *text)
{
        text_item(e, "error", "message", text, strlen(text));
        say(e, TONE_BAD, "warning: ", text, strlen(text));
}

void events_error(struct events *e, const char *text)
{
        say(e, TONE_BAD, "", text, strlen(text));
        put_text(begin(e, "error"), "message", text, strlen(text));
        end(e);
}

void events_completed(struct events *e, const struct usage *u)
{
        char line[128];
        struct wr w = wr_of(line, sizeof(line) - 1);

        wr_fmt(&w, "tokens: %llu in (%llu cached), %llu out", (unsigned long long)u->input,
               (unsigned long long)u->cached, (unsigned long long)u->output);
        say(e, TONE_DIM, "", wr_cstr(&w), w.len);
        buf_fmt(begin(e, "turn.completed"),
                ",\"usage\":{\"input_tokens\":%llu,\"cached_input_tokens\":%llu,"
                "\"output_tokens\":%llu,\"reasoning_output_tokens\":%llu}",
                (unsigned long long)u->input, (unsigned long long)u->cached,
                (unsigned long long)u->output, (unsigned long long)u->reasoning);
        end(e);
}

void events_failed(struct events *e, const char *text)
{
        say(e, TONE_BAD, "error: ", text, strlen(text));
        buf_str(begin(e, "turn.failed"), ",\"error\":{\"message\":");
        buf_json(&e->line, text, strlen(text));
        buf_str(&e->line, "}");
        end(e);
}

void events_risk(struct events *e, const char *risk, const char *text)
{
        char head[32];
        struct wr w = wr_of(head, sizeof(head) - 1);

        wr_fmt(&w, "  risk %s: ", risk);
        say(e, strcmp(risk, "high") ? TONE_DIM : TONE_BAD, wr_cstr(&w), text, strlen(text));
}

void events_own(struct events *e, const char *type, const char *fields, size_t len)
{
        buf_drop(&e->line, e->line.len, EVENTS_OUTPUT_MAX);
        buf_fmt(&e->line, "{\"type\":\"airlock.%s\"", type);
        buf_put(&e->line, fields, len);
        end(e);
}

void events_answer(struct events *e, const char *text, size_t len)
{
        int r = e->human ? write_full(STDOUT_FILENO, text, len) : 0;

        if (!r && e->human && len && text[len - 1] != '\n')
                r = write_full(STDOUT_FILENO, "\n", 1);
        if (r < 0)
                log_errno(LOG_WARN, -r, "stdout");
}
