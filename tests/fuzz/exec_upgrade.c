/*
 * tests/fuzz/exec_upgrade.c - nobody gets in without the token; an answer is a head with a
 * status of ours; a JWT that nobody signed is never good; base64 that is accepted is canonical.
 */
#include "agent/upgrade.h"
#include "base/base64.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const char secret[] = "a secret that the fuzzer can't know!";
        static const struct auth_rule rules[] = {
                { .auth = AUTH_NONE },
                { .auth = AUTH_TOKEN, .token_hash = { 1, 2, 3 } },
                { .auth = AUTH_JWT, .jwt = { secret, sizeof(secret), NULL, NULL, 30 } },
        };
        char text[1024], *out = malloc(len + 4), *back = malloc(len + 8);
        size_t n, at;

        if (!out || !back)
                abort();
        for (size_t i = 0; i < COUNT(rules); i++) {
                struct upgrade u;
                struct wr w = wr_of(text, sizeof(text));
                size_t scanned = 0;
                enum upgrade_status s =
                        upgrade_parse(&u, &rules[i], (const char *)data, len, &scanned, 1000);

                if (s == UPGRADE_MORE)
                        continue;
                if (s == UPGRADE_OPEN && (i > 0 || u.head_len > len || strlen(u.accept) != 28))
                        abort();
                upgrade_put(&w, &u);
                if (w.full || memcmp(text, "HTTP/1.1 ", 9) != 0)
                        abort();
        }
        if (jwt_check(&rules[2].jwt, (const char *)data, len, 1000) == JWT_OK)
                abort();
        if (base64_decode_padded((const char *)data, len, out, &n, &at)) {
                if (base64_encode(back, out, n) != len || memcmp(back, data, len) != 0)
                        abort();
        } else if (at > len) {
                abort();
        }
        free(out);
        free(back);
        return 0;
}
