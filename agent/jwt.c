/* agent/jwt.c - HS256 and four claims. */
#include "agent/jwt.h"

#include "agent/value.h"
#include "base/base64.h"
#include "base/same.h"

#include <bearssl.h>
#include <string.h>

const char *jwt_status_str(enum jwt_status s)
{
        switch (s) {
        case JWT_OK:
                return "fine";
        case JWT_INVALID:
                return "invalid websocket jwt";
        case JWT_EXPIRED:
                return "expired websocket jwt";
        case JWT_EARLY:
                return "websocket jwt is not valid yet";
        case JWT_ISSUER:
                return "websocket jwt issuer mismatch";
        case JWT_AUDIENCE:
                return "websocket jwt audience mismatch";
        }
        return "?";
}

/* The URL alphabet without padding; @out holds JWT_MAX bytes. False: it is not that. */
static bool parse_part(char *out, size_t *out_len, const char *text, size_t len)
{
        char plain[JWT_MAX];

        if (len > JWT_MAX)
                return false;
        for (size_t i = 0; i < len; i++) {
                if (text[i] == '+' || text[i] == '/')
                        return false;
                plain[i] = text[i];
                if (text[i] == '-')
                        plain[i] = '+';
                else if (text[i] == '_')
                        plain[i] = '/';
        }
        return base64_decode(plain, len, (uint8_t *)out, out_len);
}

static bool parse_object(struct value *v, char *out, const char *text, size_t len)
{
        struct value_error e;
        size_t n;

        return parse_part(out, &n, text, len) && value_parse(v, out, n, &e) &&
               v->type == VALUE_OBJECT;
}

static bool names(const struct value *claim, const char *wanted)
{
        struct value_iter i = value_items(claim);
        struct value item;

        if (claim->type != VALUE_ARRAY)
                return value_is(claim, wanted);
        while (value_next(&i, NULL, &item))
                if (value_is(&item, wanted))
                        return true;
        return false;
}

static enum jwt_status check_claims(const struct jwt_rule *rule, const struct value *claims,
                                    int64_t now_s)
{
        struct value exp = value_get(claims, "exp"), nbf = value_get(claims, "nbf");
        struct value iss = value_get(claims, "iss"), aud = value_get(claims, "aud");
        int64_t at, limit = now_s - rule->skew_s;

        if (!value_i64(&exp, &at))
                return JWT_INVALID;
        if (at < limit)
                return JWT_EXPIRED;
        if (nbf.type != VALUE_ABSENT && nbf.type != VALUE_NULL) {
                if (!value_i64(&nbf, &at))
                        return JWT_INVALID;
                if (at > now_s + rule->skew_s)
                        return JWT_EARLY;
        }
        if (rule->issuer && !value_is(&iss, rule->issuer))
                return JWT_ISSUER;
        return rule->audience && !names(&aud, rule->audience) ? JWT_AUDIENCE : JWT_OK;
}

static void sign(uint8_t mac[br_sha256_SIZE], const struct jwt_rule *rule, const char *text,
                 size_t len)
{
        br_hmac_key_context key;
        br_hmac_context hmac;

        br_hmac_key_init(&key, &br_sha256_vtable, rule->secret, rule->secret_len);
        br_hmac_init(&hmac, &key, 0);
        br_hmac_update(&hmac, text, len);
        br_hmac_out(&hmac, mac);
        explicit_bzero(&key, sizeof(key));
        explicit_bzero(&hmac, sizeof(hmac));
}

enum jwt_status jwt_check(const struct jwt_rule *rule, const char *token, size_t len,
                          int64_t now_s)
{
        char text[JWT_MAX], signature[JWT_MAX];
        const char *dot = memchr(token, '.', len), *second;
        uint8_t mac[br_sha256_SIZE];
        struct value v, alg;
        size_t n;

        if (len > JWT_MAX || !dot)
                return JWT_INVALID;
        second = memchr(dot + 1, '.', (size_t)(token + len - dot - 1));
        if (!second || !parse_part(signature, &n, second + 1, (size_t)(token + len - second - 1)))
                return JWT_INVALID;
        sign(mac, rule, token, (size_t)(second - token));
        if (n != sizeof(mac) || !same_secret(mac, signature, sizeof(mac)))
                return JWT_INVALID;
        if (!parse_object(&v, text, token, (size_t)(dot - token)))
                return JWT_INVALID;
        alg = value_get(&v, "alg");
        if (!value_is(&alg, "HS256") || !parse_object(&v, text, dot + 1, (size_t)(second - dot - 1)))
                return JWT_INVALID;
        return check_claims(rule, &v, now_s);
}
