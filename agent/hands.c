/* agent/hands.c - commands and files, by way of the exec-server; see loop.h. */
#include "agent/loop.h"

#include "agent/uri.h"
#include "base/digits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL_MS 30000 /* for our own exec-server, on a machine that is busy */
#define OPEN_MS 5000 /* a server that comes up later is there for a later call */
#define CALL_MS 120000
#define LAST_WORDS_MS 200 /* for output behind the exit: what a daemon holds open never ends */
#define END_MS 3000
#define CAPTURE_MAX (16U << 20)

/* --- what comes back ---------------------------------------------------------------------------- */

static char *copy_of(const char *text)
{
        size_t len = strlen(text) + 1;

        return memcpy(take_memory(len), text, len);
}

static struct hand *find(struct loop *l, const struct client *c, uint32_t process)
{
        for (size_t i = 0; i < HANDS; i++)
                if (l->hands[i].process == process && (!process || l->hands[i].client == c))
                        return &l->hands[i];
        return NULL;
}

/* The system's number, which the texts of servers end in: "… (os error 28)". 0: none. */
static int system_error(const char *text)
{
        static const char mark[] = "(os error ";
        const char *at = strstr(text, mark);
        uint64_t n;

        if (!at)
                return strstr(text, "is not a file") ? EISDIR : 0;
        at += sizeof(mark) - 1;
        return digits_take(&at, 4095, &n) && *at == ')' ? (int)n : 0;
}

static void take_reply(struct loop *l, const struct client_event *e)
{
        struct reply *r = &l->reply;
        struct value data = value_get(&e->result, "dataBase64");
        struct value path = value_get(&e->result, "path");
        const char *bytes;
        size_t len;

        r->done = true;
        r->code = e->code;
        if (e->code) {
                r->error = system_error(e->text);
        } else if (data.type == VALUE_STRING) {
                if (client_bytes(r->client, &data, &bytes, &len))
                        buf_put(&r->bytes, bytes, len);
                else
                        r->code = CLIENT_E_ANSWER;
        } else if (path.type == VALUE_STRING) {
                buf_added(&r->bytes, value_string(&path, buf_room(&r->bytes, path.len)));
        }
}

static void take_output(struct hand *h, const struct client_event *e)
{
        if (h->capture) {
                if (e->stream == CLIENT_STDOUT && h->capture->len + e->len <= CAPTURE_MAX)
                        buf_put(h->capture, e->bytes, e->len);
                return;
        }
        shell_output_add(h->shell ? &h->shell->output : &h->fresh, e->bytes, e->len);
        shell_output_add(&h->all, e->bytes, e->len);
}

static void take_process(struct loop *l, const struct client *c, const struct client_event *e)
{
        struct hand *h = find(l, c, e->process);

        if (!h)
                return;
        if (e->kind == CLIENT_STARTED) {
                h->started = true;
        } else if (e->kind == CLIENT_OUTPUT) {
                take_output(h, e);
        } else if (e->kind == CLIENT_EXITED) {
                h->exited = true;
                h->exited_ms = l->now_ms;
                h->exit_code = e->exit_code;
                h->denied = e->sandbox_denied;
        } else if (e->kind == CLIENT_CLOSED) {
                h->closed = true;
        } else {
                h->failed = copy_of(e->text);
                h->closed = true;
        }
        if (h->shell && hand_over(h))
                h->shell->exited = true;
}

void hands_event(struct loop *l, struct client *c, const struct client_event *e)
{
        switch (e->kind) {
        case CLIENT_ANSWER:
                if (l->reply.request && c == l->reply.client && e->request == l->reply.request)
                        take_reply(l, e);
                return;
        case CLIENT_STARTED:
        case CLIENT_OUTPUT:
        case CLIENT_EXITED:
        case CLIENT_CLOSED:
        case CLIENT_LOST:
                take_process(l, c, e);
                return;
        case CLIENT_READY:
        case CLIENT_DOWN:
                return; /* what hangs on it is answered one by one */
        }
}

bool hands_open(struct loop *l, const char *id, struct buf *why)
{
        struct environment *v = environments_find(&l->places, id);
        uint64_t end = l->now_ms + (v && v->local ? LOCAL_MS : OPEN_MS);
        struct client *c = v ? environment_client(v) : NULL;

        if (!c) {
                buf_fmt(why, "there is no environment `%s`", id ? id : "");
                return false;
        }
        l->client = c;
        client_connect(c, l->now_ms);
        while (c->state != CLIENT_OPEN && c->state != CLIENT_DEAD && c->state != CLIENT_IDLE &&
               l->now_ms < end)
                if (!loop_wait(l, end))
                        break;
        /* One that had a session goes on by itself. */
        if (c->state == CLIENT_OPEN || (c->state == CLIENT_WAITING && c->session[0]))
                return true;
        buf_fmt(why, "environment `%s` is unavailable: %s", v->id,
                c->why[0] ? c->why : "it does not answer");
        return false;
}

/* --- commands -------------------------------------------------------------------------------------- */

bool hand_over(const struct hand *h)
{
        return h->closed || h->exited;
}

/* The words and the directory, for who asks about them when the call is over. */
static void keep_words(struct hand *h, const struct client_command *cmd)
{
        size_t words = 0, bytes = strlen(cmd->cwd) + 1;
        char *p;

        for (; cmd->argv[words]; words++)
                bytes += strlen(cmd->argv[words]) + 1;
        h->argv = take_memory((words + 1) * sizeof(*h->argv) + bytes);
        p = (char *)(h->argv + words + 1);
        for (size_t i = 0; i < words; i++) {
                h->argv[i] = p;
                p = stpcpy(p, cmd->argv[i]) + 1;
        }
        h->cwd = p;
        memcpy(p, cmd->cwd, strlen(cmd->cwd) + 1);
}

struct hand *hands_start(struct loop *l, const struct client_command *cmd, const char *shown,
                         struct buf *why)
{
        struct hand *h = find(l, NULL, 0);
        struct command_event e = { .command = shown, .output = "", .status = ITEM_RUNNING };

        if (!h) {
                buf_str(why, "too many commands are running; end some first");
                return NULL;
        }
        *h = (struct hand){ .process = client_start(l->client, cmd), .client = l->client,
                            .tty = cmd->tty };
        if (!h->process) {
                buf_str(why, "the exec-server takes no more commands now");
                return NULL;
        }
        h->command = copy_of(shown);
        keep_words(h, cmd);
        e.item = h->item = events_item(&l->events);
        events_command(&l->events, &e);
        judge_before(l, h);
        return h;
}

struct hand *hands_program(struct loop *l, const char *const *argv, struct buf *out)
{
        struct client_command cmd = { .argv = argv, .cwd = l->root, .inherit = true,
                                      .pipe_stdin = true };
        struct hand *h = find(l, NULL, 0);

        if (!h)
                return NULL;
        *h = (struct hand){ .process = client_start(l->client, &cmd), .client = l->client,
                            .capture = out };
        return h->process ? h : NULL;
}

bool hands_more(struct loop *l, struct hand *h, const struct buf *out, size_t want)
{
        uint64_t end = l->now_ms + CALL_MS;

        while (out->len < want && !h->closed && l->now_ms < end)
                if (!loop_wait(l, end))
                        break;
        return out->len >= want;
}

void hands_stop(struct loop *l, struct hand *h)
{
        if (!h->closed)
                (void)!client_terminate(h->client, h->process);
        hands_drop(l, h);
}

void hands_wait(struct loop *l, struct hand *h, uint64_t ms)
{
        uint64_t end = l->now_ms + ms;

        if (l->end_ms && l->end_ms < end)
                end = l->end_ms;
        while (!h->closed && l->now_ms < end) {
                uint64_t until = end;

                if (h->exited && h->exited_ms + LAST_WORDS_MS < until)
                        until = h->exited_ms + LAST_WORDS_MS;
                if (l->now_ms >= until || !loop_wait(l, until))
                        return;
        }
}

void hands_tell(struct loop *l, struct hand *h)
{
        struct buf raw = { 0 }, clean = { 0 };
        struct command_event e = { .item = h->item, .command = h->command };

        if (h->told || !h->command)
                return;
        h->told = true;
        shell_output_drain(&h->all, &raw);
        text_clean(&clean, buf_at(&raw), raw.len);
        e.output = buf_at(&clean);
        e.len = clean.len;
        e.has_exit = h->exited;
        e.exit_code = h->exit_code;
        e.status = h->exited && !h->exit_code ? ITEM_COMPLETED : ITEM_FAILED;
        events_command(&l->events, &e);
        judge_after(l, h, clean.len ? buf_at(&clean) : "", clean.len);
        buf_free(&raw);
        buf_free(&clean);
}

void hands_drop(struct loop *l, struct hand *h)
{
        if (h->shell)
                shells_drop(&l->shells, h->shell);
        free(h->command);
        free(h->argv);
        free(h->failed);
        shell_output_free(&h->fresh);
        shell_output_free(&h->all);
        *h = (struct hand){ 0 };
}

void hands_end(struct loop *l)
{
        uint64_t end = l->now_ms + END_MS;
        bool left = true;

        for (size_t i = 0; i < HANDS; i++)
                if (l->hands[i].process && !l->hands[i].closed &&
                    client_terminate(l->hands[i].client, l->hands[i].process) == 0)
                        left = false;
        while (left && l->now_ms < end) {
                left = false;
                for (size_t i = 0; i < HANDS; i++)
                        left |= l->hands[i].process && !hand_over(&l->hands[i]);
                if (left)
                        loop_wait(l, end); /* a signal does not stop this: it is the end */
        }
        for (size_t i = 0; i < HANDS; i++) {
                if (!l->hands[i].process)
                        continue;
                hands_tell(l, &l->hands[i]);
                hands_drop(l, &l->hands[i]);
        }
}

/* --- files ------------------------------------------------------------------------------------------- */

int hands_reply(struct loop *l, uint64_t request, struct buf *bytes)
{
        uint64_t end = l->now_ms + CALL_MS;

        if (!request)
                return CLIENT_E_REFUSED;
        l->reply = (struct reply){ .request = request, .client = l->client };
        while (!l->reply.done && l->now_ms < end)
                if (!loop_wait(l, end))
                        break;
        if (!l->reply.done)
                l->reply.code = -ECANCELED;
        if (bytes && !l->reply.code)
                buf_put(bytes, buf_at(&l->reply.bytes), l->reply.bytes.len);
        buf_free(&l->reply.bytes);
        l->reply.request = 0;
        return l->reply.code;
}

/* Asks @method about files and waits; @params is taken over. 0 or -errno. */
static int ask_files(struct loop *l, const char *method, struct buf *params, bool again,
                     struct buf *bytes)
{
        int code;

        buf_str(params, "}");
        code = hands_reply(l, client_call(l->client, method, buf_at(params), params->len, again),
                           bytes);
        buf_free(params);
        if (!code || code == -ECANCELED)
                return code;
        if (code == CLIENT_E_NOT_FOUND)
                return -ENOENT;
        return l->reply.error ? -l->reply.error : -EIO;
}

/* The beginning of the parameters; ask_files ends them. */
static struct buf params_with(const char *key, const char *path)
{
        char text[3 * URI_PATH_MAX + 8];
        struct wr w = wr_of(text, sizeof(text) - 1);
        struct buf b = { 0 };

        uri_put(&w, path, strlen(path));
        buf_fmt(&b, "{\"%s\":", key);
        buf_json(&b, text, w.len);
        return b;
}

static int resolve_path(void *ctx, const char *path, struct buf *real)
{
        char plain[URI_PATH_MAX];
        struct buf params = params_with("path", path), uri = { 0 };
        int r = ask_files(ctx, "fs/canonicalize", &params, true, &uri);

        if (!r && uri_parse(plain, buf_at(&uri), uri.len) != URI_OK)
                r = -EIO;
        if (!r)
                buf_str(real, plain);
        buf_free(&uri);
        return r;
}

static int read_path(void *ctx, const char *path, struct buf *out)
{
        struct buf params = params_with("path", path);
        size_t before = out->len;
        int r;

        buf_str(&params, ",\"followSymlinks\":false");
        r = ask_files(ctx, "fs/readFile", &params, true, out);
        return !r && out->len - before > PATCH_FILE_MAX ? -EFBIG : r;
}

static int write_bytes(struct loop *l, const char *path, const char *bytes, size_t len)
{
        struct buf params = params_with("path", path);

        buf_str(&params, ",\"followSymlinks\":false,\"dataBase64\":\"");
        buf_base64(&params, bytes, len);
        buf_str(&params, "\"");
        return ask_files(l, "fs/writeFile", &params, true, NULL);
}

/* A copy brings the mode along; it would follow a link, so a file is there before. */
static int copy_mode(struct loop *l, const char *from, const char *to)
{
        struct buf params = params_with("sourcePath", from);
        struct buf second = params_with("destinationPath", to);
        int r = write_bytes(l, to, "", 0);

        buf_str(&params, ",");
        buf_put(&params, buf_at(&second) + 1, second.len - 1);
        buf_str(&params, ",\"recursive\":false");
        buf_free(&second);
        if (!r)
                return ask_files(l, "fs/copy", &params, true, NULL);
        buf_free(&params);
        return r;
}

static int write_once(struct loop *l, const char *path, const char *bytes, size_t len,
                      const char *like)
{
        int r = like ? copy_mode(l, like, path) : 0;

        return r ? r : write_bytes(l, path, bytes, len);
}

static int write_path(void *ctx, const char *path, const char *bytes, size_t len,
                      const char *like)
{
        struct loop *l = ctx;
        char dir[PATCH_PATH_MAX];
        const char *slash = strrchr(path, '/');
        size_t n = slash ? (size_t)(slash - path) : 0;
        int r = write_once(l, path, bytes, len, like);
        struct buf params;

        if (r != -ENOENT || !n || n >= sizeof(dir))
                return r;
        memcpy(dir, path, n);
        dir[n] = '\0';
        params = params_with("path", dir);
        buf_str(&params, ",\"recursive\":true");
        r = ask_files(l, "fs/createDirectory", &params, true, NULL);
        return r ? r : write_once(l, path, bytes, len, like);
}

static int remove_path(void *ctx, const char *path)
{
        struct buf params = params_with("path", path);

        buf_str(&params, ",\"recursive\":false,\"force\":false");
        return ask_files(ctx, "fs/remove", &params, false, NULL);
}

const struct patch_files hands_files = { .resolve = resolve_path, .read = read_path,
                                         .write = write_path, .remove = remove_path };
