/*
 * tests/fuzz/masker.c - the streaming masker beside one that tries every needle everywhere.
 *
 * Input: values, each ended by a zero byte; an empty one ends the list; the rest is the
 * text, where a byte 0xff n stands for the n-th needle's spelling. Invariants: the output
 * is the naive one's however the text is cut; it is never longer than the text; with quiet
 * moments in between nothing that is whole remains unless its beginning had been shown.
 */
#include "secrets/mask.h"

#include <stdlib.h>
#include <string.h>

#define LIST 2048
#define TEXT 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct needle list[LIST];
static struct needles needles;
static uint64_t room[131072];
static struct search search;
static struct masker mask;
static uint8_t text[TEXT + NEEDLE_TEXT_MAX];
static uint8_t want[TEXT + NEEDLE_TEXT_MAX];
static uint8_t got[2 * TEXT + 2 * NEEDLE_TEXT_MAX + MASK_OUT_EXTRA];

/* The longest needle at @at, or what is there of one that the text cuts off. */
static enum match at_place(size_t len, size_t at, struct hit *hit)
{
        enum match r = MATCH_NO;

        *hit = (struct hit){ .at = at };
        for (size_t i = 0; i < needles.count; i++) {
                size_t matched = 0;
                enum match m = needle_match(&needles, &list[i], text + at, len - at, &matched);

                if (m == MATCH_PARTIAL)
                        r = MATCH_PARTIAL;
                if (m == MATCH_FULL && r == MATCH_NO)
                        r = MATCH_FULL;
                if (m == MATCH_FULL && matched > hit->len) {
                        hit->len = matched;
                        hit->needle = (uint16_t)i;
                }
        }
        return r;
}

static size_t naive(size_t len)
{
        size_t n = 0;
        bool masked = false;
        uint16_t expect = NEEDLE_NONE;

        for (size_t at = 0; at < len;) {
                struct hit hit;
                size_t matched = 0;
                enum match r = at_place(len, at, &hit);

                if (masked && expect != NEEDLE_NONE) {
                        enum match e = needle_follows(&needles, &list[expect], text + at,
                                                      len - at, &matched);

                        if (e != MATCH_NO) {
                                r = e;
                                hit = (struct hit){ at, e == MATCH_FULL ? matched : 0, expect };
                        }
                }
                if (r == MATCH_PARTIAL && !hit.len && len - at >= MASK_SURE)
                        hit.len = len - at;
                if (!hit.len) {
                        want[n++] = text[at++];
                        masked = false;
                        continue;
                }
                if (!masked) {
                        memcpy(want + n, "***", 3);
                        n += 3;
                }
                masked = true;
                expect = list[hit.needle].next;
                at += hit.len;
        }
        return n;
}

static size_t stream(size_t len, uint32_t seed, bool quiet)
{
        size_t n = 0;

        masker_init(&mask, &search);
        for (size_t at = 0; at < len;) {
                size_t part;

                seed = seed * 1103515245U + 12345;
                part = 1 + (seed >> 16) % (seed >> 28 ? 7 : 3000);
                if (part > len - at)
                        part = len - at;
                n += masker_put(&mask, text + at, part, got + n);
                at += part;
                if (quiet && seed >> 30)
                        n += masker_quiet(&mask, got + n);
        }
        return n + masker_end(&mask, got + n);
}

static size_t make_text(const uint8_t *data, size_t size)
{
        size_t len = 0;

        for (size_t i = 0; i < size && len < TEXT; i++) {
                if (data[i] != 0xff || i + 1 == size || !needles.count) {
                        text[len++] = data[i];
                        continue;
                }
                len += needle_spell(&needles, &list[data[++i] * 7U % needles.count], text + len,
                                    NEEDLE_TEXT_MAX);
        }
        return len < TEXT ? len : TEXT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const uint8_t *end;
        size_t at = 0, len, n;
        uint16_t secrets = 0;

        needles_init(&needles, data, list, LIST);
        while (secrets < 8 && (end = memchr(data + at, 0, size - at)) && end != data + at) {
                size_t value = (size_t)(end - data) - at;

                needles_add(&needles, secrets++, (uint32_t)at, (uint32_t)value);
                at += value + 1;
        }
        search_init(&search, &needles, room);
        len = make_text(data + at, size - at);
        n = naive(len);
        if (n > len)
                abort();
        for (uint32_t seed = 0; seed < 4; seed++) {
                if (stream(len, seed, false) != n || memcmp(want, got, n) != 0)
                        abort();
        }
        if (stream(len, 7, true) > len + 3 * 64)
                abort();
        return 0;
}
