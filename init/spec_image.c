/* init/spec_image.c - one walk over the pointers of a spec, for both directions. */
#include "init/spec_image.h"

#include "base/io.h"
#include "init/spec_read.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define EXTRA 8192 /* room for strings that are no part of the arena: defaults */

struct head {
        char version[16];
        uint64_t size; /* of the whole image */
        struct spec spec;
};

/* Where the image is, and which way the pointers go. */
struct image {
        char *at;
        size_t size, used;
        const struct spec_arena *arena; /* writing: where the pointers point now */
        size_t arena_at;                /* its place in the image */
        bool bad;
};

static size_t to_offset(struct image *m, const char *p)
{
        size_t len;

        if (p >= (const char *)m->arena && p < (const char *)m->arena + m->arena->used)
                return (size_t)(p - (const char *)m->arena) + m->arena_at;
        len = strlen(p) + 1;
        if (len > m->size - m->used) {
                m->bad = true;
                return 0;
        }
        memcpy(m->at + m->used, p, len);
        m->used += len;
        return m->used - len;
}

/* Converts the pointer in @slot, any pointer type; returns its target in the image. */
static void *fix(struct image *m, void *slot)
{
        const char *p;
        size_t offset;

        memcpy(&p, slot, sizeof(p));
        if (!p)
                return m->at; /* counts are 0 then */
        offset = m->arena ? to_offset(m, p) : (size_t)(uintptr_t)p;
        if (offset >= m->size) {
                m->bad = true;
                return m->at;
        }
        p = m->arena ? (const char *)(uintptr_t)offset : m->at + offset;
        memcpy(slot, &p, sizeof(p));
        return m->at + offset;
}

static void fix_list(struct image *m, struct spec_list *l)
{
        const char **items = fix(m, &l->items);

        for (size_t i = 0; i < l->count; i++)
                fix(m, &items[i]);
}

static void fix_rule(struct image *m, struct spec_rule *r)
{
        fix(m, &r->host);
        fix_list(m, &r->methods);
        fix_list(m, &r->paths);
        fix(m, &r->ports);
        fix(m, &r->git_branch);
        fix(m, &r->inject_header);
        fix(m, &r->inject_value);
        fix(m, &r->name);
}

static void fix_spec(struct image *m, struct spec *s)
{
        struct spec_pair *env = fix(m, &s->env.items);
        struct spec_rule *rules = fix(m, &s->network.rules);
        const char **const strings[] = {
                &s->repo.url, &s->repo.ref, &s->repo.dir, &s->secrets.sealed, &s->secrets.sha256,
                &s->setup.script, &s->maintenance.script, &s->cache.dir,
                &s->network.upstream_proxy, &s->network.upstream_auth, &s->network.ca_file,
                &s->agent.user, &s->agent.exec_server, &s->agent.token_sha256,
                &s->model.base_url, &s->prompt, &s->output.dir, &s->resume.from, &s->resume.start,
        };
        struct spec_list *const lists[] = {
                &s->secrets.names, &s->secrets.allow_leak, &s->network.allow, &s->network.deny,
                &s->network.methods, &s->agent.command, &s->output.push,
        };

        for (size_t i = 0; i < COUNT(strings); i++)
                fix(m, strings[i]);
        for (size_t i = 0; i < RUNTIME_COUNT; i++)
                fix(m, &s->runtimes[i]);
        for (size_t i = 0; i < COUNT(lists); i++)
                fix_list(m, lists[i]);
        for (size_t i = 0; i < s->env.count; i++) {
                fix(m, &env[i].name);
                fix(m, &env[i].value);
        }
        for (size_t i = 0; i < s->network.rule_count; i++)
                fix_rule(m, &rules[i]);
}

int spec_image_make(const struct spec *spec)
{
        const struct spec_arena *arena = spec->arena;
        struct head *h;
        struct image m = { .arena = arena, .arena_at = (sizeof(*h) + 15) / 16 * 16 };
        int fd = memfd_create("airlock-spec", MFD_ALLOW_SEALING);
        int r = fd < 0 ? -errno : 0;

        m.used = m.arena_at + arena->used;
        m.size = m.used + EXTRA;
        if (!r && ftruncate(fd, (off_t)m.size) < 0)
                r = -errno;
        m.at = r ? MAP_FAILED : mmap(NULL, m.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (!r && m.at == MAP_FAILED)
                r = -errno;
        if (!r) {
                h = (struct head *)(void *)m.at;
                *h = (struct head){ AIRLOCK_VERSION, m.size, *spec };
                h->spec.arena = NULL;
                /* Command lines and rules were made of these: nobody reads them again. */
                h->spec.model.name = h->spec.model.key = h->spec.model.effort = NULL;
                memset(&h->spec.output.pull, 0, sizeof(h->spec.output.pull));
                memset(&h->spec.agent.environments, 0, sizeof(h->spec.agent.environments));
                memcpy(m.at + m.arena_at, arena, arena->used);
                fix_spec(&m, &h->spec);
                munmap(m.at, m.size);
                r = m.bad ? -E2BIG : 0;
        }
        if (!r)
                r = seal_file(fd);
        if (r && fd >= 0)
                close(fd);
        return r ? r : fd;
}

int spec_image_open(int fd, struct spec *spec)
{
        struct stat st;
        struct image m = { 0 };
        struct head *h;

        *spec = (struct spec){ .version = 0 };
        if (fstat(fd, &st) < 0)
                return -errno;
        m.size = (size_t)st.st_size;
        if (m.size < sizeof(*h))
                return -EPROTO;
        m.at = mmap(NULL, m.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (m.at == MAP_FAILED)
                return -errno;
        h = (struct head *)(void *)m.at;
        m.bad = h->size != m.size || strcmp(h->version, AIRLOCK_VERSION) != 0;
        if (!m.bad)
                fix_spec(&m, &h->spec);
        if (m.bad) {
                munmap(m.at, m.size);
                return -EPROTO;
        }
        *spec = h->spec;
        return 0;
}
