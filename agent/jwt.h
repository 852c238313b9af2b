/*
 * agent/jwt.h - signed bearer tokens: compact JWS with HS256 (RFC 7515, 7519). Pure.
 */
#ifndef AGENT_JWT_H
#define AGENT_JWT_H

#include "base/base.h"

#define JWT_MAX 8192 /* bytes of a token */

enum jwt_status {
        JWT_OK,
        JWT_INVALID, /* form, algorithm, signature, no exp */
        JWT_EXPIRED,
        JWT_EARLY, /* nbf lies ahead */
        JWT_ISSUER,
        JWT_AUDIENCE,
};
const char *jwt_status_str(enum jwt_status s); /* as a client gets it in a 401 */

struct jwt_rule {
        const void *secret;
        size_t secret_len;
        const char *issuer, *audience; /* NULL: anything */
        int64_t skew_s;
};

/* Is this token good at @now_s, seconds since 1970? */
MUST_USE enum jwt_status jwt_check(const struct jwt_rule *rule, const char *token, size_t len,
                                   int64_t now_s);

#endif
