/* agent/tools.c - what a tool call becomes; see loop.h. */
#include "agent/loop.h"

#include "agent/quote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IMAGE_MAX (8U << 20)
#define ENV_MAX 32

/* --- a command's shape -------------------------------------------------------------------------------- */

/* Is the call for our own exec-server? Elsewhere the place has a directory of its own. */
static bool here(const struct loop *l)
{
        const struct environment *v = &l->places.all[0];

        return l->places.count && v->local && v->client == l->client;
}

/* Absolute: below the place's directory when it was relative. */
static void put_dir(struct buf *b, const struct loop *l, const char *dir)
{
        if (!dir || *dir != '/') {
                buf_str(b, here(l) ? l->cwd : l->client->info.cwd);
                if (dir && *dir)
                        buf_str(b, "/");
        }
        if (dir)
                buf_str(b, dir);
        buf_put(b, "", 1);
}

/* "NAME=value" for each pair; the texts are put into @text. */
static void fill_env(const char *env[ENV_MAX + 1], struct buf *text)
{
        size_t at[ENV_MAX], n = 0;

        for (; tool_environment[2 * n] && n < ENV_MAX; n++) {
                at[n] = text->len;
                buf_str(text, tool_environment[2 * n]);
                buf_str(text, "=");
                buf_str(text, tool_environment[2 * n + 1]);
                buf_put(text, "", 1);
        }
        for (size_t i = 0; i < n; i++)
                env[i] = buf_at(text) + at[i];
        env[n] = NULL;
}

static struct hand *start(struct loop *l, const char *const *argv, const char *workdir, bool tty,
                          struct buf *out)
{
        struct buf shown = { 0 }, dir = { 0 }, texts = { 0 };
        const char *env[ENV_MAX + 1];
        struct client_command cmd = { .argv = argv, .env = env, .inherit = true, .tty = tty,
                                      .sandbox = l->sandbox.len && here(l) ? buf_at(&l->sandbox) : NULL };
        struct hand *h;
        size_t words = 0;

        while (argv[words])
                words++;
        put_words(&shown, argv, words);
        buf_put(&shown, "", 1);
        put_dir(&dir, l, workdir);
        fill_env(env, &texts);
        cmd.cwd = buf_at(&dir);
        h = hands_start(l, &cmd, buf_at(&shown), out);
        buf_free(&shown);
        buf_free(&dir);
        buf_free(&texts);
        return h;
}

/* --- exec_command, write_stdin ----------------------------------------------------------------------------- */

static uint32_t chunk_number(struct loop *l)
{
        return (uint32_t)(l->requests * 2654435761U + l->shells.uses * 40503U + ++l->chunks);
}

/* A session for what runs on; the one that makes room for it is ended. */
static void keep(struct loop *l, struct hand *h)
{
        void *evicted = NULL;

        h->shell = shells_add(&l->shells, h, &evicted);
        if (evicted) {
                struct hand *old = evicted;

                old->shell = NULL; /* its slot is h's now */
                if (!client_terminate(old->client, old->process))
                        return;
        }
}

static void put_failed(struct buf *out, const struct hand *h)
{
        buf_fmt(out, "exec_command failed: %s", h->failed ? h->failed : "it was not started");
}

/* What is to be said after waiting; ends with the hand gone, or in a session. */
static void answer_exec(struct loop *l, struct hand *h, uint64_t began_ms,
                        struct truncate_budget budget, struct buf *out)
{
        struct buf raw = { 0 }, clean = { 0 };
        struct exec_answer a = { .chunk = chunk_number(l), .wall_ms = l->now_ms - began_ms,
                                 .exited = hand_over(h), .exit_code = h->exit_code,
                                 .budget = budget };

        if (h->failed && !h->exited) {
                put_failed(out, h);
                hands_tell(l, h);
                hands_drop(l, h);
                return;
        }
        if (!a.exited && !h->shell)
                keep(l, h);
        a.session = h->shell ? h->shell->id : 0;
        a.omitted = shell_output_drain(&h->fresh, &raw);
        if (h->shell)
                a.omitted += shell_output_drain(&h->shell->output, &raw);
        text_clean(&clean, buf_at(&raw), raw.len);
        a.output = buf_at(&clean);
        a.len = clean.len;
        put_exec_answer(out, &a);
        buf_free(&raw);
        buf_free(&clean);
        if (!a.exited)
                return;
        hands_tell(l, h);
        hands_drop(l, h);
}

static void run_patch(struct loop *l, const char *patch, size_t len, const char *dir,
                      size_t dir_len, struct buf *out)
{
        struct patch_files files = hands_files;
        struct patch_result r;
        struct buf cwd = { 0 }, name = { 0 };
        struct patch_place place = { .root = here(l) ? l->root : l->client->info.cwd };

        if (l->o->sandbox == LOOP_READ_ONLY) {
                buf_str(out, "patch rejected: the sandbox is read-only");
                return;
        }
        buf_put(&name, dir, dir_len);
        buf_put(&name, "", 1);
        put_dir(&cwd, l, dir_len ? buf_at(&name) : NULL);
        place.cwd = buf_at(&cwd);
        files.ctx = l;
        patch_apply(&r, patch, len, &place, &files);
        events_patch(&l->events, &r);
        buf_put(out, buf_at(&r.text), r.text.len);
        patch_close(&r);
        buf_free(&cwd);
        buf_free(&name);
}

/* A patch seen inside a command is applied in the command's place. */
static bool was_patch(struct loop *l, enum patch_seen found, const struct patch_call *p,
                      struct buf *out)
{
        if (found == PATCH_YES)
                run_patch(l, p->patch, p->len, p->dir, p->dir_len, out);
        else if (found == PATCH_BARE)
                buf_str(out, PATCH_BARE_TEXT);
        return found != PATCH_NOT;
}

static void exec_command(struct loop *l, const struct tool_call *c, struct buf *out)
{
        const char *shell = c->shell ? c->shell
                            : l->client->info.shell[0] ? l->client->info.shell : "/bin/sh";
        const char *argv[] = { shell, c->login ? "-lc" : "-c", c->cmd, NULL };
        uint64_t began = l->now_ms;
        struct patch_call patch;
        struct hand *h;

        if (was_patch(l, patch_in_script(&patch, c->cmd, strlen(c->cmd)), &patch, out))
                return;
        h = start(l, argv, c->workdir, c->tty, out);
        if (!h)
                return;
        hands_wait(l, h, c->yield_ms);
        answer_exec(l, h, began, c->budget, out);
}

static void write_stdin(struct loop *l, const struct tool_call *c, struct buf *out)
{
        struct shell *s = shells_use(&l->shells, c->session);
        struct hand *h = s ? s->owner : NULL;
        bool interrupt = c->chars_len == 1 && c->chars[0] == 3;
        uint64_t began = l->now_ms, request = 1;

        if (!h) {
                put_unknown_shell(out, c->session);
                return;
        }
        l->client = h->client;
        if (c->chars_len && !hand_over(h)) {
                request = interrupt && !h->tty
                                  ? client_interrupt(l->client, h->process)
                                  : client_write(l->client, h->process, c->chars, c->chars_len);
                if (hands_reply(l, request, NULL) == CLIENT_E_STDIN) {
                        buf_str(out, "write_stdin failed: stdin is closed for this session; rerun "
                                     "exec_command with tty=true to keep stdin open");
                        return;
                }
        }
        /* What a poll is for: news, or the end. */
        hands_wait(l, h, c->yield_ms);
        answer_exec(l, h, began, c->budget, out);
}

/* --- shell ----------------------------------------------------------------------------------------------------- */

static void run_shell(struct loop *l, const struct tool_call *c, struct buf *out)
{
        struct patch_word words[8];
        struct patch_call patch;
        enum patch_seen found;
        struct buf raw = { 0 }, clean = { 0 };
        uint64_t began = l->now_ms;
        struct shell_answer a = { .budget = c->budget };
        struct hand *h;

        for (size_t i = 0; i < c->argc && i < COUNT(words); i++)
                words[i] = (struct patch_word){ c->argv[i], strlen(c->argv[i]) };
        found = c->argc <= COUNT(words) ? patch_in_argv(&patch, words, c->argc) : PATCH_NOT;
        if (was_patch(l, found, &patch, out))
                return;
        h = start(l, c->argv, c->workdir, false, out);
        if (!h)
                return;
        hands_wait(l, h, c->timeout_ms);
        if (!hand_over(h) && !l->stop) {
                a.timeout_ms = c->timeout_ms;
                if (client_terminate(l->client, h->process))
                        hands_wait(l, h, 2000);
        }
        if (h->failed && !h->exited) {
                put_failed(out, h);
        } else {
                shell_output_drain(&h->fresh, &raw);
                text_clean(&clean, buf_at(&raw), raw.len);
                a.wall_ms = l->now_ms - began;
                a.exit_code = h->exit_code;
                a.output = buf_at(&clean);
                a.len = clean.len;
                put_shell_answer(out, &a);
        }
        buf_free(&raw);
        buf_free(&clean);
        hands_tell(l, h);
        hands_drop(l, h);
}

/* --- update_plan, view_image --------------------------------------------------------------------------------------- */

static void update_plan(struct loop *l, struct tool_call *c, struct buf *out)
{
        if (!l->planned)
                l->plan_item = events_item(&l->events);
        events_plan(&l->events, l->plan_item, l->planned ? PLAN_UPDATED : PLAN_STARTED, c->plan,
                    c->plan_count);
        l->planned = true;
        tool_call_free(&l->plan);
        l->plan = *c; /* shown once more at the end */
        *c = (struct tool_call){ .memory = NULL };
        buf_str(out, "Plan updated");
}

static const char *image_type(const char *bytes, size_t len)
{
        if (len > 8 && !memcmp(bytes, "\x89PNG\r\n\x1a\n", 8))
                return "image/png";
        if (len > 3 && !memcmp(bytes, "\xff\xd8\xff", 3))
                return "image/jpeg";
        if (len > 6 && (!memcmp(bytes, "GIF87a", 6) || !memcmp(bytes, "GIF89a", 6)))
                return "image/gif";
        if (len > 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4))
                return "image/webp";
        return NULL;
}

/* True: @parts is the output, an array with the image. */
static bool view_image(struct loop *l, const struct tool_call *c, struct buf *parts,
                       struct buf *out)
{
        struct buf path = { 0 }, bytes = { 0 };
        const char *type = NULL;
        int code;

        put_dir(&path, l, c->path);
        code = hands_reply(l, client_read_file(l->client, buf_at(&path)), &bytes);
        if (!code && bytes.len <= IMAGE_MAX)
                type = image_type(buf_at(&bytes), bytes.len);
        if (code)
                buf_fmt(out, "unable to read image at `%s`", buf_at(&path));
        else if (bytes.len > IMAGE_MAX)
                buf_fmt(out, "the image at `%s` is over %u MiB", buf_at(&path), IMAGE_MAX >> 20);
        else if (!type)
                buf_fmt(out, "the file at `%s` is not a PNG, JPEG, GIF or WebP image",
                        buf_at(&path));
        if (type) {
                buf_fmt(parts, "[{\"type\":\"input_image\",\"image_url\":\"data:%s;base64,", type);
                buf_base64(parts, buf_at(&bytes), bytes.len);
                buf_str(parts, "\"}]");
        }
        buf_free(&path);
        buf_free(&bytes);
        return type;
}

/* --- a call -------------------------------------------------------------------------------------------------------------- */

/* @parts: an output that is no text. */
static void run(struct loop *l, enum tool tool, const struct item_call *call, struct buf *parts,
                struct buf *out)
{
        struct tool_call c;

        if (!tool_call_parse(&c, &l->toolset, tool, call->custom, buf_at(&call->args),
                             call->args.len, out))
                return;
        if (tool != TOOL_UPDATE_PLAN && tool != TOOL_WRITE_STDIN &&
            !hands_open(l, c.environment, out)) {
                tool_call_free(&c);
                return;
        }
        switch (tool) {
        case TOOL_EXEC_COMMAND:
                exec_command(l, &c, out);
                break;
        case TOOL_WRITE_STDIN:
                write_stdin(l, &c, out);
                break;
        case TOOL_SHELL:
                run_shell(l, &c, out);
                break;
        case TOOL_APPLY_PATCH:
                run_patch(l, c.patch, c.patch_len, NULL, 0, out);
                break;
        case TOOL_UPDATE_PLAN:
                update_plan(l, &c, out);
                break;
        case TOOL_VIEW_IMAGE:
                view_image(l, &c, parts, out);
                break;
        case TOOL_COUNT:
                break;
        }
        tool_call_free(&c);
}

static uint64_t hash_more(uint64_t h, const char *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                h = (h ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
        return h;
}

/* Times and ids differ from one run to the next: what counts is what came after them. */
static void guard(struct loop *l, const struct item_call *call, const struct buf *out)
{
        const char *text = buf_at(out);
        const char *output = out->len ? memmem(text, out->len, "\nOutput:\n", 9) : NULL;
        size_t skip = output ? (size_t)(output - text) : 0;
        uint64_t h = hash_more(UINT64_C(14695981039346656037), buf_at(&call->name),
                               call->name.len);

        h = hash_more(h, buf_at(&call->args), call->args.len);
        if (out->len)
                h = hash_more(h, text + skip, out->len - skip);
        l->guard_count = h == l->guard_hash ? l->guard_count + 1 : 1;
        l->guard_hash = h;
}

void tools_run(struct loop *l, size_t index)
{
        struct buf out = { 0 }, parts = { 0 };
        struct item_call call;
        enum tool tool;

        if (item_call_of(&l->history.items[index], &call)) {
                if (!toolset_find(&l->toolset, buf_at(&call.name), call.name.len, &tool))
                        put_unsupported(&out, buf_at(&call.name), call.name.len);
                else
                        run(l, tool, &call, &parts, &out);
                guard(l, &call, parts.len ? &parts : &out);
        }
        if (parts.len)
                history_output(&l->history, index, buf_at(&parts), parts.len);
        else
                history_output_text(&l->history, index, out.len ? buf_at(&out) : "", out.len);
        item_call_free(&call);
        buf_free(&out);
        buf_free(&parts);
}

void tools_close(struct loop *l)
{
        if (l->planned)
                events_plan(&l->events, l->plan_item, PLAN_ENDED, l->plan.plan, l->plan.plan_count);
        l->planned = false;
        tool_call_free(&l->plan);
}
