/*
 * tests/fuzz/yaml.c - what was read as YAML can be written between brackets and reads the same
 * again; what a skill says is words and JSON, whatever its files hold.
 */
#include "agent/skill.h"
#include "agent/value.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct yaml first, second;

static void must(bool so)
{
        if (!so)
                abort();
}

/* A scalar with nothing in it that means anything. */
static void put_text(struct buf *out, const char *s, size_t len)
{
        buf_str(out, "\"");
        while (len) {
                size_t n = utf8_len(s, len);
                uint32_t c = (unsigned char)*s;

                must(n > 0);
                if (n > 1)
                        c &= 0x7fU >> n;
                for (size_t i = 1; i < n; i++)
                        c = c << 6 | ((unsigned char)s[i] & 0x3f);
                buf_str(out, "\\U");
                for (int shift = 28; shift >= 0; shift -= 4)
                        buf_put(out, "0123456789abcdef" + (c >> shift & 15), 1);
                s += n;
                len -= n;
        }
        buf_str(out, "\"");
}

static void put_node(struct buf *out, const struct yaml *y, const struct yaml_node *n)
{
        if (n->type == YAML_SCALAR) {
                put_text(out, n->text, n->len);
                return;
        }
        buf_str(out, n->type == YAML_MAP ? "{" : "[");
        for (uint32_t i = n->first; i; i = y->nodes[i].next) {
                const struct yaml_node *item = &y->nodes[i];

                if (n->type == YAML_MAP) {
                        put_text(out, item->key, item->key_len);
                        buf_str(out, ": ");
                }
                put_node(out, y, item);
                buf_str(out, ", ");
        }
        buf_str(out, n->type == YAML_MAP ? "}" : "]");
}

static void reads_again(const char *text, size_t len)
{
        struct buf once = { 0 }, again = { 0 };

        if (!yaml_parse(&first, text, len)) {
                must(first.wrong);
                return;
        }
        must(!first.wrong && !first.beyond && first.count <= YAML_NODES);
        put_node(&once, &first, &first.nodes[0]);
        must(yaml_parse(&second, buf_at(&once), once.len) && second.count == first.count);
        put_node(&again, &second, &second.nodes[0]);
        must(once.len == again.len && !memcmp(buf_at(&once), buf_at(&again), once.len));
        buf_free(&once);
        buf_free(&again);
}

static void is_json(struct buf *b)
{
        struct value v;
        struct value_error e;

        must(value_parse(&v, buf_at(b), b->len, &e));
        buf_free(b);
}

static void are_words(const struct buf *b)
{
        const char *s = buf_at(b);

        for (size_t i = 0; i < b->len; i++)
                must(s[i] != '\n' && s[i] != '\t' &&
                     (s[i] != ' ' || (i && i + 1 < b->len && s[i + 1] != ' ')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *text = (const char *)data;
        struct buf dependencies = { 0 }, policy = { 0 };
        struct skill s;

        reads_again(text, len);
        if (skill_read(&first, text, len, "folder", &s)) {
                must(s.name.len && s.description.len && skill_chars(&s.name) <= SKILL_NAME_MAX);
                are_words(&s.name);
                are_words(&s.description);
                are_words(&s.brief);
        }
        skill_free(&s);
        must(skill_read_about(&first, text, len, &dependencies, &policy) || first.beyond);
        is_json(&dependencies);
        is_json(&policy);
        return 0;
}
