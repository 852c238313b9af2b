/* secrets/mask.c - the streaming masker. */
#include "secrets/mask.h"

#include <string.h>

enum how {
        GOING_ON, /* hold back what may still match */
        QUIET,    /* show what is unlikely to */
        ENDING,   /* nothing is held back */
};

struct output {
        uint8_t *to;
        size_t len;
};

void masker_init(struct masker *m, const struct search *s)
{
        m->search = s;
        m->len = m->shown = 0;
        m->masked = false;
        m->expect = NEEDLE_NONE;
}

void masker_wipe(struct masker *m)
{
        explicit_bzero(m, sizeof(*m));
        m->expect = NEEDLE_NONE;
}

/* Bytes of the buffer that are no secret's; a part of them may be out already. */
static void show(struct masker *m, size_t from, size_t to, struct output *o)
{
        if (from < m->shown)
                from = m->shown;
        if (from >= to)
                return;
        memcpy(o->to + o->len, m->buf + from, to - from);
        o->len += to - from;
        m->masked = false;
}

static void hide(struct masker *m, size_t to, struct output *o)
{
        if (to > m->shown && !m->masked) {
                memcpy(o->to + o->len, "***", 3);
                o->len += 3;
        }
        m->masked = true;
}

static void forget(struct masker *m, size_t len)
{
        memmove(m->buf, m->buf + len, m->len - len);
        m->len -= len;
        m->shown -= m->shown < len ? m->shown : len;
}

/* The next secret at or after @at; directly behind a long one's piece, its next piece first. */
static enum match next(const struct masker *m, size_t at, struct hit *hit)
{
        const struct needles *n = m->search->needles;
        enum match r;

        if (m->masked && m->expect != NEEDLE_NONE) {
                *hit = (struct hit){ .at = at, .needle = m->expect };
                r = needle_follows(n, &n->list[m->expect], m->buf + at, m->len - at, &hit->len);
                if (r == MATCH_FULL || (r == MATCH_PARTIAL && at < m->len))
                        return r;
        }
        return search_next(m->search, m->buf, m->len, at, true, hit);
}

/* What a begun match comes to when nothing more is known. Returns the bytes to hide, or 0. */
static size_t settle(const struct masker *m, const struct hit *hit, enum how how)
{
        if (hit->len)
                return hit->len;
        return how == ENDING && m->len - hit->at >= MASK_SURE ? m->len - hit->at : 0;
}

static void advance(struct masker *m, enum how how, struct output *o)
{
        size_t at = 0;

        while (at < m->len) {
                struct hit hit = { .at = 0 };
                enum match r = next(m, at, &hit);

                if (r == MATCH_NO) {
                        show(m, at, m->len, o);
                        at = m->len;
                        break;
                }
                show(m, at, hit.at, o);
                at = hit.at;
                if (r == MATCH_PARTIAL && how == GOING_ON)
                        break;
                if (r == MATCH_PARTIAL)
                        hit.len = settle(m, &hit, how);
                if (hit.len) {
                        hide(m, at + hit.len, o);
                        m->expect = m->search->needles->list[hit.needle].next;
                        at += hit.len;
                } else if (how == QUIET) {
                        if (m->len - at < MASK_SURE) {
                                show(m, at, m->len, o);
                                m->shown = m->len;
                        }
                        break;
                } else {
                        show(m, at, at + 1, o);
                        at++;
                }
        }
        forget(m, at);
}

size_t masker_put(struct masker *m, const void *bytes, size_t len, void *out)
{
        const uint8_t *from = bytes;
        struct output o = { out, 0 };

        while (len) {
                size_t room = sizeof(m->buf) - m->len;
                size_t n = len < room ? len : room;

                memcpy(m->buf + m->len, from, n);
                m->len += n;
                from += n;
                len -= n;
                advance(m, GOING_ON, &o);
        }
        return o.len;
}

size_t masker_quiet(struct masker *m, void *out)
{
        struct output o = { out, 0 };

        advance(m, QUIET, &o);
        return o.len;
}

size_t masker_end(struct masker *m, void *out)
{
        struct output o = { out, 0 };

        advance(m, ENDING, &o);
        return o.len;
}
