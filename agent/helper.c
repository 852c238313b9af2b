/* agent/helper.c - forked children for long file calls. */
#include "agent/helper.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

struct helper {
        bool used;
        uint32_t gen;
        int fd;
        bool mutates;
        struct asker asker;
        struct buf text;
};

static struct helper helpers[HELPER_COUNT] LARGE_BUFFER;

NORETURN static void child(int fd, helper_work *work, void *argument)
{
        struct buf out = { 0 };
        char head = 'r';
        sigset_t none;
        int r;

        prctl(PR_SET_NAME, "airlock-files", 0, 0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        signal(SIGPIPE, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        fd = dup2(fd, 3);
        syscall(SYS_close_range, 4U, ~0U, 0U);
        r = work(argument, &out);
        if (r)
                head = 'e';
        if (write_full(fd, &head, 1) < 0 || (r && write_full(fd, &r, sizeof(r)) < 0) ||
            write_full(fd, buf_at(&out), out.len) < 0)
                _exit(1);
        _exit(0);
}

void helper_start(struct call *call, bool mutates, helper_work *work, void *argument)
{
        struct conn *c = call->conn;
        struct ev_ref ref = { .kind = EVENT_HELPER };
        struct helper *h = NULL;
        int fds[2];
        pid_t pid;

        for (uint32_t i = 0; i < HELPER_COUNT && !h; i++)
                if (!helpers[i].used) {
                        h = &helpers[i];
                        ref.slot = i;
                        ref.gen = h->gen;
                }
        if (!h || pipe2(fds, O_CLOEXEC) < 0) {
                conn_errno(c, call->id, call->id_len, RPC_INTERNAL, h ? errno : EAGAIN);
                return;
        }
        pid = fork();
        if (pid == 0)
                child(fds[1], work, argument);
        close(fds[1]);
        if (pid < 0 || ev_add(c->server->ev, fds[0], EPOLLIN, ref) < 0) {
                close(fds[0]);
                conn_errno(c, call->id, call->id_len, RPC_INTERNAL, EAGAIN);
                return;
        }
        h->used = true;
        h->fd = fds[0];
        h->mutates = mutates;
        h->asker = conn_asker(c, call->id, call->id_len);
        c->mutations += mutates;
        c->owed++;
}

static void answer(struct helper *h, struct conn *c)
{
        const char *text = buf_at(&h->text);
        int code = RPC_INTERNAL;

        if (h->text.len && text[0] == 'r') {
                buf_put(conn_answer(c, h->asker.id, h->asker.id_len), text + 1, h->text.len - 1);
                conn_answered(c);
        } else if (h->text.len > sizeof(code)) {
                memcpy(&code, text + 1, sizeof(code));
                conn_error(c, h->asker.id, h->asker.id_len, code, "%.*s",
                           (int)(h->text.len - 1 - sizeof(code)), text + 1 + sizeof(code));
        } else {
                conn_error(c, h->asker.id, h->asker.id_len, code, "the file helper died");
        }
}

static void finish(struct helper *h)
{
        struct conn *c = conn_of(&h->asker);

        if (c) {
                answer(h, c);
                c->owed -= c->owed > 0;
                c->mutations -= h->mutates && c->mutations;
        }
        close(h->fd);
        buf_free(&h->text);
        asker_free(&h->asker);
        h->used = false;
        h->gen++;
        if (c)
                dispatch_held(c);
}

void helper_event(struct server *s, struct ev_ref ref)
{
        struct helper *h = &helpers[ref.slot];
        ssize_t n;

        (void)s;
        if (h->gen != ref.gen || !h->used)
                return;
        n = read(h->fd, buf_room(&h->text, 65536), 65536);
        if (n < 0 && errno == EINTR)
                return;
        if (n <= 0 || h->text.len > HELPER_RESULT_MAX || !conn_of(&h->asker)) {
                finish(h); /* a child that still writes dies of SIGPIPE */
                return;
        }
        buf_added(&h->text, (size_t)n);
}
