/* agent/client_calls.c - the requests, written. */
#include "agent/client_inner.h"

#include "agent/uri.h"
#include "base/base64.h"

#include <string.h>

static void put_uri(struct buf *b, const char *path)
{
        size_t len = strlen(path);
        struct wr w = wr_of(buf_room(b, URI_ROOM(len) + 2), URI_ROOM(len) + 2);

        wr_char(&w, '"');
        uri_put(&w, path, len); /* it escapes what JSON would */
        wr_char(&w, '"');
        buf_added(b, w.len);
}

static void put_strings(struct buf *b, const char *const *all)
{
        buf_str(b, "[");
        for (size_t i = 0; all[i]; i++) {
                if (i)
                        buf_str(b, ",");
                buf_json(b, all[i], strlen(all[i]));
        }
        buf_str(b, "]");
}

static void put_environment(struct buf *b, const char *const *all)
{
        bool first = true;

        buf_str(b, "{");
        for (size_t i = 0; all && all[i]; i++) {
                const char *equals = strchr(all[i], '=');

                if (!equals || equals == all[i])
                        continue;
                if (!first)
                        buf_str(b, ",");
                first = false;
                buf_json(b, all[i], (size_t)(equals - all[i]));
                buf_str(b, ":");
                buf_json(b, equals + 1, strlen(equals + 1));
        }
        buf_str(b, "}");
}

static const char *truth(bool b)
{
        return b ? "true" : "false";
}

/* --- processes ------------------------------------------------------------------------------ */

static struct client_process *take_process(struct client *c)
{
        for (size_t i = 0; i < CLIENT_PROCESSES; i++) {
                uint32_t number = c->last_process + 1 + (uint32_t)i;
                struct client_process *p = &c->processes[number % CLIENT_PROCESSES];

                if (p->number || !number)
                        continue;
                c->last_process = number;
                *p = (struct client_process){ .number = number, .next = 1 };
                return p;
        }
        return NULL;
}

uint32_t client_start(struct client *c, const struct client_command *cmd)
{
        struct client_request *r = client_request(c, REQUEST_START, "process/start");
        struct client_process *p = r ? take_process(c) : NULL;
        struct buf *b;

        if (!p) {
                client_drop(r);
                return 0;
        }
        r->process = p->number;
        b = &r->text;
        buf_fmt(b, "{\"processId\":\"%u\",\"argv\":", p->number);
        put_strings(b, cmd->argv);
        buf_str(b, ",\"cwd\":");
        put_uri(b, cmd->cwd);
        buf_str(b, ",\"env\":");
        put_environment(b, cmd->env);
        buf_fmt(b, ",\"tty\":%s,\"pipeStdin\":%s", truth(cmd->tty), truth(cmd->pipe_stdin));
        if (cmd->inherit)
                buf_str(b, ",\"envPolicy\":{\"inherit\":\"all\",\"ignoreDefaultExcludes\":true,"
                           "\"exclude\":[],\"set\":{},\"includeOnly\":[]}");
        if (cmd->sandbox) {
                buf_str(b, ",\"sandbox\":");
                buf_str(b, cmd->sandbox);
        }
        buf_str(b, "}");
        client_queue(c, r);
        if (c->state == CLIENT_DEAD) {
                client_forget(c, r);
                process_fail(c, p, c->down_code, c->why, strlen(c->why));
        }
        return p->number;
}

/* {"processId":"7" */
static struct client_request *about(struct client *c, enum request_kind kind, const char *method,
                                    uint32_t process)
{
        struct client_request *r = client_request(c, kind, method);

        if (!r)
                return NULL;
        r->process = process;
        r->again = true;
        buf_fmt(&r->text, "{\"processId\":\"%u\"", process);
        return r;
}

static uint64_t end(struct client *c, struct client_request *r)
{
        if (!r)
                return 0;
        buf_str(&r->text, "}");
        return client_queue(c, r);
}

uint64_t client_write(struct client *c, uint32_t process, const void *bytes, size_t len)
{
        struct client_process *p = process_of(c, process);
        struct client_request *r = about(c, REQUEST_WRITE, "process/write", process);

        if (!r)
                return 0;
        buf_str(&r->text, ",\"writeId\":\"");
        buf_u64(&r->text, p ? ++p->writes : 1);
        buf_str(&r->text, "\",\"chunk\":\"");
        buf_base64(&r->text, bytes, len);
        buf_str(&r->text, "\"");
        return end(c, r);
}

uint64_t client_close_stdin(struct client *c, uint32_t process)
{
        return end(c, about(c, REQUEST_WRITE, "process/closeStdin", process));
}

uint64_t client_resize(struct client *c, uint32_t process, unsigned rows, unsigned columns)
{
        struct client_request *r = about(c, REQUEST_WRITE, "process/resize", process);

        if (!r)
                return 0;
        buf_fmt(&r->text, ",\"rows\":%u,\"columns\":%u", rows, columns);
        return end(c, r);
}

uint64_t client_interrupt(struct client *c, uint32_t process)
{
        struct client_request *r = about(c, REQUEST_CALL, "process/signal", process);

        if (!r)
                return 0;
        r->again = false; /* twice is more than once, to a program that counts */
        buf_str(&r->text, ",\"signal\":\"interrupt\"");
        return end(c, r);
}

uint64_t client_terminate(struct client *c, uint32_t process)
{
        return end(c, about(c, REQUEST_CALL, "process/terminate", process));
}

uint64_t client_read(struct client *c, uint32_t process, uint64_t after_seq, uint64_t max_bytes,
                     uint32_t wait_ms)
{
        struct client_request *r = about(c, REQUEST_CALL, "process/read", process);

        if (!r)
                return 0;
        buf_fmt(&r->text, ",\"afterSeq\":%llu,\"maxBytes\":%llu,\"waitMs\":%u",
                (unsigned long long)after_seq, (unsigned long long)max_bytes, wait_ms);
        return end(c, r);
}

/* --- files ---------------------------------------------------------------------------------- */

/* {"path":"file:///…" */
static struct client_request *file(struct client *c, const char *method, const char *path)
{
        struct client_request *r = client_request(c, REQUEST_CALL, method);

        if (!r)
                return NULL;
        r->again = true;
        buf_str(&r->text, "{\"path\":");
        put_uri(&r->text, path);
        return r;
}

uint64_t client_read_file(struct client *c, const char *path)
{
        return end(c, file(c, "fs/readFile", path));
}

uint64_t client_write_file(struct client *c, const char *path, const void *bytes, size_t len)
{
        struct client_request *r = file(c, "fs/writeFile", path);

        if (!r)
                return 0;
        (void)buf_room(&r->text, BASE64_PADDED(len) + 32); /* at once, not by doubling */
        buf_str(&r->text, ",\"dataBase64\":\"");
        buf_base64(&r->text, bytes, len);
        buf_str(&r->text, "\"");
        return end(c, r);
}

uint64_t client_create_directory(struct client *c, const char *path, bool recursive)
{
        struct client_request *r = file(c, "fs/createDirectory", path);

        if (!r)
                return 0;
        r->again = recursive;
        buf_fmt(&r->text, ",\"recursive\":%s", truth(recursive));
        return end(c, r);
}

uint64_t client_metadata(struct client *c, const char *path)
{
        return end(c, file(c, "fs/getMetadata", path));
}

uint64_t client_read_directory(struct client *c, const char *path)
{
        return end(c, file(c, "fs/readDirectory", path));
}

uint64_t client_remove(struct client *c, const char *path, bool recursive, bool force)
{
        struct client_request *r = file(c, "fs/remove", path);

        if (!r)
                return 0;
        r->again = force;
        buf_fmt(&r->text, ",\"recursive\":%s,\"force\":%s", truth(recursive), truth(force));
        return end(c, r);
}

uint64_t client_call(struct client *c, const char *method, const char *params, size_t len,
                     bool again)
{
        struct client_request *r = client_request(c, REQUEST_CALL, method);

        if (!r)
                return 0;
        r->again = again;
        buf_put(&r->text, params, len);
        return client_queue(c, r);
}

/* --- answers -------------------------------------------------------------------------------- */

bool client_bytes(struct client *c, const struct value *v, const char **bytes, size_t *len)
{
        char *at;
        size_t wrong;

        *len = 0;
        *bytes = "";
        if (v->type != VALUE_STRING || !c->text)
                return false;
        at = c->text + (v->at - c->text);
        *bytes = at;
        *len = value_string(v, at); /* "\/" is a slash */
        return base64_decode_padded(at, *len, at, len, &wrong);
}

bool client_metadata_of(const struct value *result, struct client_metadata *m)
{
        struct value directory = value_get(result, "isDirectory");
        struct value is_file = value_get(result, "isFile"), link = value_get(result, "isSymlink");
        struct value size = value_get(result, "size"), time = value_get(result, "modifiedAtMs");

        *m = (struct client_metadata){ .is_directory = value_true(&directory),
                                       .is_file = value_true(&is_file),
                                       .is_symlink = value_true(&link) };
        if (!value_i64(&time, &m->modified_ms))
                m->modified_ms = 0;
        return directory.type == VALUE_BOOL && is_file.type == VALUE_BOOL &&
               value_u64(&size, &m->size);
}
