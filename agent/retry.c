/* agent/retry.c - see retry.h. */
#include "agent/retry.h"

#include "base/digits.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BACKOFF_MS 200
#define DOUBLINGS 8
#define WAIT_MAX_MS (UINT64_C(24) * 3600 * 1000) /* a longer one is a way to say no */
#define MESSAGE 600
#define TEXT_MAX ((size_t)64 << 10) /* a longer string is not looked at */

/* --- how long ------------------------------------------------------------------------------- */

uint64_t retry_backoff_ms(unsigned attempt, uint32_t random)
{
        unsigned n = attempt > DOUBLINGS ? DOUBLINGS : attempt ? attempt - 1 : 0;
        uint64_t ms = (uint64_t)BACKOFF_MS << n;

        return ms * 9 / 10 + ms * (random % 1001) / 5000;
}

/* Digits with a fraction, in thousandths; moves *@at. */
static bool take_thousandths(const char **at, const char *end, uint64_t *n)
{
        const char *p = *at;
        unsigned place = 100;

        *n = 0;
        while (p < end && *p >= '0' && *p <= '9' && *n <= WAIT_MAX_MS)
                *n = *n * 10 + (uint64_t)(*p++ - '0');
        if (p == *at || *n > WAIT_MAX_MS)
                return false;
        *n *= 1000;
        if (p < end && *p == '.') {
                p++;
                for (; p < end && *p >= '0' && *p <= '9'; p++, place /= 10)
                        *n += (uint64_t)(*p - '0') * place;
        }
        *at = p;
        return true;
}

static bool begins(const char *at, const char *end, const char *word)
{
        size_t n = strlen(word);

        return (size_t)(end - at) >= n && !strncasecmp(at, word, n);
}

bool retry_in_text(const char *text, size_t len, uint64_t *ms)
{
        static const char phrase[] = "try again in";
        const char *end = text + len;

        for (const char *at = text; (size_t)(end - at) >= sizeof(phrase); at++) {
                const char *p = at + sizeof(phrase) - 1;
                uint64_t n;

                if (!begins(at, end, phrase))
                        continue;
                while (p < end && *p == ' ')
                        p++;
                if (!take_thousandths(&p, end, &n))
                        continue;
                while (p < end && *p == ' ')
                        p++;
                if (begins(p, end, "ms"))
                        n /= 1000;
                else if (!begins(p, end, "s")) /* second, seconds too */
                        continue;
                *ms = n < WAIT_MAX_MS ? n : WAIT_MAX_MS;
                return true;
        }
        return false;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar. */
static uint64_t days_of(uint64_t year, unsigned month, unsigned day)
{
        uint64_t y = month <= 2 ? year - 1 : year;
        uint64_t era = y / 400, of_era = y % 400;
        uint64_t of_year = (153U * (month + (month > 2 ? 0U - 3U : 9U)) + 2) / 5 + day - 1;

        return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool two_digits(const char *at, unsigned max, unsigned *n)
{
        if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9')
                return false;
        *n = (unsigned)(at[0] - '0') * 10 + (unsigned)(at[1] - '0');
        return *n <= max;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool http_date(const char *text, size_t len, uint64_t *s)
{
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        unsigned day, hour, minute, second, high, low, month = 0;

        if (len != 29 || text[3] != ',' || text[4] != ' ' || strncmp(text + 25, " GMT", 4) != 0 ||
            !two_digits(text + 5, 31, &day) || !day || !two_digits(text + 12, 99, &high) ||
            !two_digits(text + 14, 99, &low) || high < 19 ||
            !two_digits(text + 17, 23, &hour) || !two_digits(text + 20, 59, &minute) ||
            !two_digits(text + 23, 60, &second))
                return false;
        while (month < 12 && strncmp(months + (size_t)3 * month, text + 8, 3) != 0)
                month++;
        if (month == 12 || high * 100 + low < 1970)
                return false;
        *s = days_of((uint64_t)high * 100 + low, month + 1, day) * 86400 +
             UINT64_C(3600) * hour + UINT64_C(60) * minute + second;
        return true;
}

bool retry_after_value(const char *text, size_t len, uint64_t now_s, uint64_t *ms)
{
        const char *at = text;
        uint64_t n;

        *ms = 0;
        if (len && take_thousandths(&at, text + len, &n) && at == text + len) {
                *ms = n < WAIT_MAX_MS ? n : WAIT_MAX_MS;
                return true;
        }
        if (!http_date(text, len, &n))
                return false;
        *ms = n > now_s ? (n - now_s) * 1000 : 0;
        if (*ms > WAIT_MAX_MS)
                *ms = WAIT_MAX_MS;
        return true;
}

static void wait_of_headers(struct failure *f, const struct http1 *h, uint64_t now_s)
{
        struct http1_text ms = http1_header(h, "retry-after-ms");
        struct http1_text after = http1_header(h, "retry-after");

        if (ms.at && retry_after_value(ms.at, ms.len, now_s, &f->wait_ms)) {
                f->wait_ms /= 1000; /* it was read as seconds */
                f->fixed_wait = true;
        } else if (after.at) {
                f->fixed_wait = retry_after_value(after.at, after.len, now_s, &f->wait_ms);
        }
}

/* --- what it says --------------------------------------------------------------------------- */

void failure_set(struct failure *f, enum model_error kind, const char *fmt, ...)
{
        struct wr w = wr_of(f->text, sizeof(f->text) - 1);
        va_list ap;

        *f = (struct failure){ .kind = kind };
        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
}

/* A string of the server's as one printable line, shortened. */
static void put_text(struct wr *w, const struct value *v)
{
        char *text = v->len <= TEXT_MAX ? malloc(v->len + 1) : NULL;
        size_t len = text ? value_string(v, text) : 0;

        if (len > MESSAGE) { /* not in the middle of a character */
                len = MESSAGE;
                while (len && (text[len] & 0xc0) == 0x80)
                        len--;
        }
        for (size_t i = 0; i < len; i++) {
                bool plain = (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;

                wr_bytes(w, plain ? text + i : " ", 1);
        }
        free(text);
}

/* What a server sends as its error, in any of the usual shapes. */
struct said {
        struct value message, code, type, resets;
};

static struct said said_of(const struct value *v)
{
        struct said s = { 0 };
        struct value inner = value_get(v, "error");

        if (v->type == VALUE_STRING) {
                s.message = *v;
                return s;
        }
        if (inner.type == VALUE_STRING) {
                s.message = inner;
                return s;
        }
        if (inner.type != VALUE_OBJECT)
                inner = *v;
        s.message = value_get(&inner, "message");
        if (s.message.type != VALUE_STRING)
                s.message = value_get(v, "message");
        if (s.message.type != VALUE_STRING)
                s.message = value_get(v, "detail");
        s.code = value_get(&inner, "code");
        s.type = value_get(&inner, "type");
        s.resets = value_get(&inner, "resets_at");
        return s;
}

static bool code_is(const struct said *s, const char *code)
{
        return value_is(&s->code, code) || value_is(&s->type, code);
}

static bool mentions(const struct said *s, const char *words)
{
        size_t n = strlen(words);

        if (s->message.type != VALUE_STRING)
                return false;
        for (size_t i = 0; i + n <= s->message.len; i++)
                if (!strncasecmp(s->message.at + i, words, n))
                        return true;
        return false;
}

static bool says_context(const struct said *s)
{
        return code_is(s, "context_length_exceeded") || mentions(s, "maximum context length") ||
               mentions(s, "exceeds the available context");
}

static bool says_quota(const struct said *s)
{
        return code_is(s, "insufficient_quota") || code_is(s, "usage_limit_reached") ||
               code_is(s, "usage_not_included");
}

/* "HTTP 429 (insufficient_quota): You exceeded …; it resets at 1732…" */
static void put_said(struct failure *f, const char *what, unsigned status, const struct said *s)
{
        struct wr w = wr_of(f->text, sizeof(f->text) - 1);
        uint64_t at;

        wr_str(&w, what);
        if (status)
                wr_fmt(&w, ": HTTP %u", status);
        if (s->code.type == VALUE_STRING || s->type.type == VALUE_STRING) {
                wr_str(&w, " (");
                put_text(&w, s->code.type == VALUE_STRING ? &s->code : &s->type);
                wr_str(&w, ")");
        }
        if (s->message.type == VALUE_STRING) {
                wr_str(&w, ": ");
                put_text(&w, &s->message);
        }
        if (value_u64(&s->resets, &at))
                wr_fmt(&w, "; it resets at Unix time %llu", (unsigned long long)at);
        wr_cstr(&w);
}

static const char *what_of(enum model_error k)
{
        switch (k) {
        case MODEL_FINE:
                break;
        case MODEL_BROKEN:
                return "the model's server failed";
        case MODEL_OVERLOADED:
                return "the model's server is overloaded";
        case MODEL_RATE:
                return "the model's rate limit is reached";
        case MODEL_CONTEXT:
                return "the conversation is too long for the model";
        case MODEL_NO_WIRE:
                return "the server does not speak this API";
        case MODEL_QUOTA:
                return "the model's quota is used up";
        case MODEL_KEY:
                return "the model's server refused the key";
        case MODEL_UNKNOWN:
                return "the model's server knows no such model or path";
        case MODEL_REQUEST:
                return "the model's server refused the request";
        case MODEL_POLICY:
                return "airlock's policy refused the request to the model";
        case MODEL_ANSWER:
                return "the model's answer makes no sense";
        }
        return "";
}

static enum model_error of_400(const struct said *s)
{
        return says_context(s) ? MODEL_CONTEXT : says_quota(s) ? MODEL_QUOTA : MODEL_REQUEST;
}

static enum model_error of_status(unsigned code, const struct said *s, bool can_switch)
{
        switch (code) {
        case 401:
        case 403:
                return MODEL_KEY;
        case 404:
                /* A server that knows the path names what it does not know. */
                if (code_is(s, "model_not_found") || mentions(s, "model"))
                        return MODEL_UNKNOWN;
                return can_switch ? MODEL_NO_WIRE : MODEL_UNKNOWN;
        case 405:
        case 501:
                return can_switch ? MODEL_NO_WIRE : MODEL_UNKNOWN;
        case 413:
                return MODEL_CONTEXT;
        case 429:
                return says_quota(s) ? MODEL_QUOTA : MODEL_RATE;
        case 408:
        case 409:
                return MODEL_BROKEN;
        default:
                if (code >= 500)
                        return code_is(s, "server_is_overloaded") || code_is(s, "slow_down")
                                       ? MODEL_OVERLOADED
                                       : MODEL_BROKEN;
                return of_400(s);
        }
}

/* Our proxy's own no: what it can't reach may be there a moment later. */
static bool of_proxy(struct failure *f, const struct http1 *h, const char *body, size_t len)
{
        static const char *const passing[] = { "resolve", "upstream", "limit" };
        struct http1_text reason = http1_header(h, "x-airlock-denied");
        struct wr w = wr_of(f->text, sizeof(f->text) - 1);

        if (!reason.at)
                return false;
        f->kind = MODEL_POLICY;
        for (size_t i = 0; i < COUNT(passing); i++)
                if (http1_text_is(reason, passing[i]))
                        f->kind = MODEL_BROKEN;
        wr_str(&w, f->kind == MODEL_BROKEN ? "the model can't be reached: " : "");
        for (size_t i = 0; i < len && i < MESSAGE; i++)
                if (body[i] != '\n' || i + 1 < len)
                        wr_bytes(&w, (unsigned char)body[i] < 0x20 ? " " : body + i, 1);
        wr_cstr(&w);
        return true;
}

void failure_of_response(struct failure *f, const struct http1 *h, const char *body, size_t len,
                         uint64_t now_s, bool can_switch)
{
        struct http1_text should = http1_header(h, "x-should-retry");
        struct value v = { 0 };
        struct value_error e;
        struct said s = { 0 };

        *f = (struct failure){ .kind = MODEL_BROKEN };
        if (of_proxy(f, h, body, len))
                return;
        if (value_parse(&v, body, len, &e))
                s = said_of(&v);
        f->kind = of_status(h->code, &s, can_switch);
        if (should.at && http1_text_is(should, "false") && failure_retries(f->kind))
                f->kind = f->kind == MODEL_RATE ? MODEL_QUOTA : MODEL_REQUEST;
        put_said(f, what_of(f->kind), h->code, &s);
        if (failure_retries(f->kind)) {
                wait_of_headers(f, h, now_s);
                if (!f->fixed_wait && s.message.type == VALUE_STRING)
                        f->fixed_wait = retry_in_text(s.message.at, s.message.len, &f->wait_ms);
        }
}

void failure_of_event(struct failure *f, const struct value *error)
{
        struct said s = said_of(error);

        *f = (struct failure){ .kind = MODEL_BROKEN };
        if (says_context(&s))
                f->kind = MODEL_CONTEXT;
        else if (says_quota(&s))
                f->kind = MODEL_QUOTA;
        else if (code_is(&s, "invalid_prompt") || code_is(&s, "cyber_policy"))
                f->kind = MODEL_REQUEST;
        else if (code_is(&s, "server_is_overloaded") || code_is(&s, "slow_down"))
                f->kind = MODEL_OVERLOADED;
        else if (code_is(&s, "rate_limit_exceeded"))
                f->kind = MODEL_RATE;
        if (f->kind == MODEL_RATE && s.message.type == VALUE_STRING)
                f->fixed_wait = retry_in_text(s.message.at, s.message.len, &f->wait_ms);
        put_said(f, what_of(f->kind), 0, &s);
}
