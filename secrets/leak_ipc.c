/* secrets/leak_ipc.c - what outlives processes and is no file: memory, messages, keys. */
#include "base/wr.h"
#include "secrets/leak.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

#define QUEUE_BYTES (1024UL * 1024)
#define QUEUE_MESSAGES 1024
#define RING_DEPTH 6 /* the kernel's own bound */
#define RING_KEYS 1024
#define KEY_TEXT 65536

static char path[300];

static void name_it(const char *what, const char *name)
{
        struct wr t = wr_of(path, sizeof(path) - 1);

        wr_fmt(&t, "%s:%s", what, name);
        wr_cstr(&t);
}

static void number_it(const char *what, int id)
{
        char text[16];
        struct wr t = wr_of(text, sizeof(text) - 1);

        wr_fmt(&t, "%d", id);
        name_it(what, wr_cstr(&t));
}

static void skip(struct leak *l, const char *why)
{
        l->skips++;
        l->skipped(l, path, why, errno);
}

/* @a and @b are remove()'s. */
static void judge(struct leak *l, long (*remove)(int a, int b), int a, int b)
{
        struct leak_hit h = { .path = path, .found = l->look->found, .count = l->look->count,
                              .fate = LEAK_STAYS };

        if (!h.count)
                return;
        if (l->act == LEAK_REMOVE) {
                h.error = remove(a, b) < 0 ? errno : 0;
                h.fate = h.error ? LEAK_IN_THE_WAY : LEAK_REMOVED;
        }
        l->hits++;
        l->stay += h.fate != LEAK_REMOVED;
        l->hit(l, &h);
}

/* --- System V --------------------------------------------------------------------------- */

static long remove_shm(int id, int unused)
{
        (void)unused;
        return shmctl(id, IPC_RMID, NULL);
}

static long remove_queue(int id, int unused)
{
        (void)unused;
        return msgctl(id, IPC_RMID, NULL);
}

static bool touched(const struct leak *l, time_t a, time_t b)
{
        return (a > b ? a : b) >= l->since_s - LEAK_CLOCK_S;
}

static void shared_memory(struct leak *l)
{
        struct shmid_ds info;
        int highest = shmctl(0, SHM_INFO, &info);

        for (int i = 0; i <= highest; i++) {
                struct shmid_ds ds;
                int id = shmctl(i, SHM_STAT, &ds);
                void *map;

                if (id < 0 || !touched(l, ds.shm_ctime, ds.shm_atime))
                        continue; /* who writes attaches first */
                look_clear(l->look);
                number_it("sysv-shm", id);
                map = shmat(id, NULL, SHM_RDONLY);
                if ((intptr_t)map == -1) {
                        skip(l, "can't be attached");
                        continue;
                }
                look_bytes(l->look, map, ds.shm_segsz, PLACE_MEMORY);
                shmdt(map);
                judge(l, remove_shm, id, 0);
        }
}

static void messages(struct leak *l)
{
        static LARGE_BUFFER struct {
                long type;
                char text[65536];
        } m;
        struct msqid_ds info;
        int highest = msgctl(0, MSG_INFO, &info);

        for (int i = 0; i <= highest; i++) {
                struct msqid_ds ds;
                int id = msgctl(i, MSG_STAT, &ds);

                if (id < 0 || !touched(l, ds.msg_ctime, ds.msg_stime))
                        continue;
                look_clear(l->look);
                number_it("sysv-messages", id);
                for (long n = 0; n < (long)ds.msg_qnum; n++) {
                        ssize_t len = msgrcv(id, &m, sizeof(m.text), n,
                                             MSG_COPY | IPC_NOWAIT | MSG_NOERROR);

                        if (len < 0) {
                                skip(l, "a message queue that can't be searched");
                                break;
                        }
                        look_bytes(l->look, m.text, (size_t)len, PLACE_MEMORY);
                }
                judge(l, remove_queue, id, 0);
        }
}

void leak_ipc(struct leak *l)
{
        shared_memory(l);
        messages(l);
}

/* --- POSIX queues ------------------------------------------------------------------------- */

int look_queue(struct look *l, const char *name)
{
        static LARGE_BUFFER struct {
                size_t len;
                unsigned priority;
        } list[QUEUE_MESSAGES];
        static LARGE_BUFFER char text[QUEUE_BYTES];
        size_t used = 0, count = 0;
        struct mq_attr a;
        ssize_t len;
        int r = 0;
        mqd_t q;

        name_it("", name);
        *path = '/';
        q = mq_open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (q < 0)
                return -errno;
        if (mq_getattr(q, &a) < 0)
                r = -errno;
        else if (a.mq_curmsgs > QUEUE_MESSAGES || a.mq_msgsize > (long)QUEUE_BYTES ||
                 (unsigned long)a.mq_curmsgs * (unsigned long)a.mq_msgsize > QUEUE_BYTES)
                r = -E2BIG;
        for (; !r && count < (size_t)a.mq_curmsgs; used += list[count++].len) {
                len = mq_receive(q, text + used, (size_t)a.mq_msgsize, &list[count].priority);
                if (len < 0)
                        break;
                list[count].len = (size_t)len;
        }
        used = 0;
        for (size_t i = 0; i < count; used += list[i++].len) {
                look_bytes(l, text + used, list[i].len, PLACE_MEMORY);
                if (mq_send(q, text + used, list[i].len, list[i].priority) < 0)
                        r = -errno;
        }
        mq_close(q);
        explicit_bzero(text, used);
        return r;
}

/* --- keys --------------------------------------------------------------------------------- */

static long unlink_key(int key, int ring)
{
        return syscall(SYS_keyctl, KEYCTL_UNLINK, key, ring);
}

static void look_ring(struct leak *l, int32_t ring, unsigned depth);

static void look_key(struct leak *l, int32_t key, int32_t ring, unsigned depth)
{
        static LARGE_BUFFER char text[KEY_TEXT];
        long n = syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof(text) - 1);
        const char *name;

        if (n <= 0 || (size_t)n >= sizeof(text))
                return;
        text[n] = '\0';
        if (!strncmp(text, "keyring;", 8)) {
                look_ring(l, key, depth + 1);
                return;
        }
        name = strrchr(text, ';');
        name_it("key", name ? name + 1 : text);
        look_clear(l->look);
        look_bytes(l->look, text, (size_t)n, PLACE_NAME);
        n = syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof(text));
        if (n > 0)
                look_bytes(l->look, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text),
                           PLACE_MEMORY);
        explicit_bzero(text, sizeof(text));
        judge(l, unlink_key, key, ring);
}

static void look_ring(struct leak *l, int32_t ring, unsigned depth)
{
        int32_t keys[RING_KEYS];
        long n = syscall(SYS_keyctl, KEYCTL_READ, ring, keys, sizeof(keys));

        for (size_t i = 0; depth < RING_DEPTH && n > 0 && i < COUNT(keys) && i < (size_t)n / 4; i++)
                look_key(l, keys[i], ring, depth);
}

void leak_keys(struct leak *l)
{
        static const int rings[] = { KEY_SPEC_USER_KEYRING, KEY_SPEC_USER_SESSION_KEYRING };

        /* Keys show what they hold to who has them below his own session's keyring. */
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
                return;
        for (size_t i = 0; i < COUNT(rings); i++)
                syscall(SYS_keyctl, KEYCTL_LINK, rings[i], KEY_SPEC_SESSION_KEYRING);
        for (size_t i = 0; i < COUNT(rings); i++)
                look_ring(l, rings[i], 0);
}
