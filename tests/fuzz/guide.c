/*
 * tests/fuzz/guide.c - a tree of any bytes gives instructions only from objects that are what
 * their ids say. The first byte is how much of the input is the root's tree; the rest is a
 * blob, which the tree may name by the id that stands for it here: twenty 'B's.
 */
#include "agent/guide.h"

#include <bearssl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct object {
        char id[41];
        struct buf bytes;
};
static struct object commit, tree, blob;

static void name(struct object *o, const char *kind)
{
        char head[32];
        struct wr w = wr_of(head, sizeof(head));
        uint8_t digest[br_sha1_SIZE];
        br_sha1_context c;

        wr_fmt(&w, "%s %zu", kind, o->bytes.len);
        wr_char(&w, '\0');
        br_sha1_init(&c);
        br_sha1_update(&c, head, w.len);
        br_sha1_update(&c, o->bytes.len ? buf_at(&o->bytes) : "", o->bytes.len);
        br_sha1_out(&c, digest);
        for (size_t i = 0; i < sizeof(digest); i++) {
                o->id[2 * i] = "0123456789abcdef"[digest[i] >> 4];
                o->id[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
        }
}

static int bring(void *ctx, const char *kind, const char *id, struct buf *out)
{
        const struct object *const all[] = { &commit, &tree, &blob };

        (void)ctx;
        (void)kind;
        for (size_t i = 0; i < COUNT(all); i++) {
                if (strcmp(all[i]->id, id) != 0)
                        continue;
                buf_put(out, all[i]->bytes.len ? buf_at(&all[i]->bytes) : "", all[i]->bytes.len);
                return 0;
        }
        buf_str(out, "forged");
        return 0;
}

static void put_tree(const uint8_t *data, size_t len)
{
        static const char mark[] = "BBBBBBBBBBBBBBBBBBBB";
        uint8_t digest[20];

        for (size_t i = 0; i < sizeof(digest); i++) {
                char pair[] = { blob.id[2 * i], blob.id[2 * i + 1], '\0' };

                digest[i] = (uint8_t)strtoul(pair, NULL, 16);
        }
        for (size_t i = 0; i < len;) {
                if (len - i >= 20 && !memcmp(data + i, mark, 20)) {
                        buf_put(&tree.bytes, digest, 20);
                        i += 20;
                } else {
                        buf_put(&tree.bytes, data + i++, 1);
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const struct guide_source source = { NULL, bring, NULL };
        struct buf why = { 0 };
        struct guide g;
        size_t n;

        if (!len)
                return 0;
        n = data[0] < len ? data[0] : len - 1;
        buf_put(&blob.bytes, data + 1 + n, len - 1 - n);
        name(&blob, "blob");
        put_tree(data + 1, n);
        name(&tree, "tree");
        buf_fmt(&commit.bytes, "tree %s\n", tree.id);
        name(&commit, "commit");
        if (guide_read(&g, commit.id, "a/b", &source, &why) != !why.len)
                abort();
        if (why.len && (g.text.len || g.file_count))
                abort();
        if (g.text.len > 3 * GUIDE_MAX + 2 * GUIDE_DEPTH ||
            (g.text.len && memmem(buf_at(&g.text), g.text.len, "forged", 6) &&
             !memmem(buf_at(&blob.bytes), blob.bytes.len, "forged", 6)))
                abort();
        guide_close(&g);
        buf_free(&why);
        buf_free(&commit.bytes);
        buf_free(&tree.bytes);
        buf_free(&blob.bytes);
        return 0;
}
