/* agent/schema.c - see schema.h. */
#include "agent/schema.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH 64 /* of schemas in schemas: a reference may lead back to itself */

struct place {
        const struct value *root;
        struct wr *why;
        char path[256];
        size_t len;
        unsigned depth;
};

static bool fits(struct place *p, const struct value *schema, const struct value *v);

static bool wrong(struct place *p, const char *what)
{
        wr_fmt(p->why, "%.*s: %s", p->len ? (int)p->len : 1, p->len ? p->path : "/", what);
        return false;
}

static bool below(struct place *p, const char *name, size_t len, const struct value *schema,
                  const struct value *v)
{
        size_t before = p->len;
        struct wr w = wr_of(p->path + before, sizeof(p->path) - before);
        bool ok;

        wr_str(&w, "/");
        wr_plain(&w, name, len < 64 ? len : 64);
        p->len += w.len;
        ok = fits(p, schema, v);
        p->len = before;
        return ok;
}

/* Two strings, or two scalars by their text. */
static bool same(const struct value *a, const struct value *b)
{
        bool ok = a->type == b->type;
        char *x, *y;
        size_t n;

        if (!ok || a->type != VALUE_STRING)
                return ok && a->len == b->len && !memcmp(a->at, b->at, a->len);
        x = malloc(a->len + 1);
        y = malloc(b->len + 1);
        n = x && y ? value_string(a, x) : 0;
        ok = x && y && value_string(b, y) == n && !memcmp(x, y, n);
        free(x);
        free(y);
        return ok;
}

static bool is_integer(const struct value *v)
{
        return v->type == VALUE_NUMBER && !memchr(v->at, '.', v->len) && !memchr(v->at, 'e', v->len) &&
               !memchr(v->at, 'E', v->len);
}

static bool is_of(const struct value *type, const struct value *v)
{
        static const struct {
                enum value_type type;
                const char *name;
        } names[] = { { VALUE_NULL, "null" },     { VALUE_BOOL, "boolean" },
                      { VALUE_NUMBER, "number" }, { VALUE_STRING, "string" },
                      { VALUE_ARRAY, "array" },   { VALUE_OBJECT, "object" } };

        for (size_t i = 0; i < COUNT(names); i++)
                if (v->type == names[i].type && value_is(type, names[i].name))
                        return true;
        return value_is(type, "integer") && is_integer(v);
}

static bool check_type(struct place *p, const struct value *schema, const struct value *v)
{
        struct value type = value_get(schema, "type"), one;
        struct value_iter i = value_items(&type);
        char what[64];
        struct wr w = wr_of(what, sizeof(what) - 1);

        if (type.type == VALUE_ABSENT)
                return true;
        if (type.type == VALUE_STRING && is_of(&type, v))
                return true;
        while (type.type == VALUE_ARRAY && value_next(&i, NULL, &one))
                if (is_of(&one, v))
                        return true;
        wr_fmt(&w, "%s, which it may not be", value_type_str(v->type));
        return wrong(p, wr_cstr(&w));
}

static bool check_enum(struct place *p, const struct value *schema, const struct value *v)
{
        struct value list = value_get(schema, "enum"), one = value_get(schema, "const");
        struct value_iter i = value_items(&list);

        if (one.type != VALUE_ABSENT && !same(&one, v))
                return wrong(p, "not the one value that it may have");
        if (list.type != VALUE_ARRAY)
                return true;
        while (value_next(&i, NULL, &one))
                if (same(&one, v))
                        return true;
        return wrong(p, "none of the values that it may have");
}

static bool named(const struct value *list, const struct value *key)
{
        struct value_iter i = value_items(list);
        struct value name, v;

        while (list->type == VALUE_OBJECT && value_next(&i, &name, &v))
                if (same(&name, key))
                        return true;
        return false;
}

static bool check_object(struct place *p, const struct value *schema, const struct value *v)
{
        struct value properties = value_get(schema, "properties");
        struct value required = value_get(schema, "required");
        struct value more = value_get(schema, "additionalProperties");
        struct value_iter needs = value_items(&required), all = value_items(v);
        struct value key, item;

        while (required.type == VALUE_ARRAY && value_next(&needs, NULL, &key))
                if (!named(v, &key))
                        return below(p, key.at, key.len, &(struct value){ 0 }, NULL);
        while (value_next(&all, &key, &item)) {
                struct value_iter i = value_items(&properties);
                struct value name, sub;
                bool known = false;

                while (properties.type == VALUE_OBJECT && !known && value_next(&i, &name, &sub))
                        known = same(&name, &key);
                if (known && !below(p, key.at, key.len, &sub, &item))
                        return false;
                if (!known && more.type == VALUE_BOOL && !value_true(&more))
                        return below(p, key.at, key.len, NULL, &item);
        }
        return true;
}

static bool check_array(struct place *p, const struct value *schema, const struct value *v)
{
        struct value of = value_get(schema, "items"), item;
        struct value_iter i = value_items(v);
        char number[24];

        for (size_t n = 0; of.type == VALUE_OBJECT && value_next(&i, NULL, &item); n++) {
                struct wr w = wr_of(number, sizeof(number));

                wr_u64(&w, n);
                if (!below(p, number, w.len, &of, &item))
                        return false;
        }
        return true;
}

static bool check_any(struct place *p, const struct value *schema, const struct value *v)
{
        struct value list = value_get(schema, "anyOf"), one;
        struct value_iter i = value_items(&list);
        char ignored[320];

        while (list.type == VALUE_ARRAY && value_next(&i, NULL, &one)) {
                struct wr nowhere = wr_of(ignored, sizeof(ignored)), *why = p->why;
                bool ok;

                p->why = &nowhere;
                ok = fits(p, &one, v);
                p->why = why;
                if (ok)
                        return true;
        }
        return list.type != VALUE_ARRAY || wrong(p, "fits none of the alternatives");
}

/* "#/$defs/x"; what leads elsewhere is no schema. */
static struct value target(const struct place *p, const struct value *reference)
{
        struct value v = *p->root;
        const char *at = reference->at, *end = at + reference->len;
        char name[128];

        if (reference->len < 1 || *at++ != '#')
                return (struct value){ 0 };
        while (at < end && *at == '/') {
                const char *slash = memchr(at + 1, '/', (size_t)(end - at - 1));
                size_t n = (size_t)((slash ? slash : end) - at - 1);

                if (n >= sizeof(name))
                        return (struct value){ 0 };
                memcpy(name, at + 1, n);
                name[n] = '\0';
                v = value_get(&v, name);
                at += n + 1;
        }
        return v;
}

static bool fits(struct place *p, const struct value *schema, const struct value *v)
{
        struct value reference, to;
        bool ok;

        if (!schema)
                return wrong(p, "is not to be there");
        if (!v)
                return wrong(p, "is missing");
        reference = value_get(schema, "$ref");
        to = reference.type == VALUE_STRING ? target(p, &reference) : *schema;
        if (to.type != VALUE_OBJECT || p->depth == DEPTH)
                return true;
        p->depth++;
        ok = check_type(p, &to, v) && check_enum(p, &to, v) && check_any(p, &to, v) &&
             (v->type != VALUE_OBJECT || check_object(p, &to, v)) &&
             (v->type != VALUE_ARRAY || check_array(p, &to, v));
        p->depth--;
        return ok;
}

bool schema_fits(const struct value *schema, const struct value *v, struct wr *why)
{
        struct place p = { .root = schema, .why = why };

        return fits(&p, schema, v);
}
