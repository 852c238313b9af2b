/*
 * netfilter/policy.h - may the task reach this host, send this request, dial this address?
 * Text in, yes or no out. Pure: no I/O, no clock, no allocation.
 *
 * The text. Lines of words with one space between them; '#' begins a comment line; empty
 * lines are skipped. Values are percent-encoded: all but A-Z a-z 0-9 / * ? : , . - _ ~ @ [ ]
 * is %XX. In a list a comma separates, and %2C is a comma.
 *
 *     mode off|limited|full                  must be there, once
 *     preset none|common-dependencies|all
 *     methods GET,HEAD,OPTIONS               for every host on 443 and 80
 *     allow PATTERN
 *     deny PATTERN
 *     rule host=PATTERN [ports=443,80] [methods=GET,POST] [paths=GLOB,GLOB]
 *          [git=read|push] [branch=PATTERN] [raw=1] [inject=HEADER value=TEMPLATE]
 *          [name=N]                          in one line
 *     upstream http://HOST[:PORT]            the proxy to go through
 *     upstream-auth SECRETNAME
 *
 * PATTERN: a host name d (itself and its subdomains), *.d (its subdomains alone), an address
 * or a CIDR. The first line that is wrong makes the whole text wrong, and the policy that
 * is left allows nothing.
 *
 * Which hosts.
 *   off       none.
 *   limited   Deny wins: a deny pattern that matches the name, or an address on the way,
 *             refuses. Otherwise the patterns with the longest matching name (for an
 *             address: prefix) decide, and they alone: a rule on api.a.org hides for that
 *             host all that is said about a.org. Among them the rules that take the port come
 *             first, those of *.d before those of d, then in the text's order. Where
 *             there is none, an allow or the preset lets 443 and 80 through.
 *             `preset all`: as if each name were allowed, on 443 and 80.
 *   full      as limited, but what no rule takes is let through too: any public host and port.
 *             Rules bind a host by its name there; whoever knows its address has that too.
 * A rule takes 443 and 80 unless it names its ports.
 *
 * What may be sent there. Port 443 has to be TLS with the name as its SNI and port 80 HTTP,
 * unless the rule is raw. On other ports anything goes, unless the rule looks inside. A
 * rule looks inside if it has methods, paths, git or inject, or if `methods` applies to it (on
 * 443 and 80). raw=1 and such keys in one rule are an error; `methods` does not bind raw.
 * A request is let through by the first rule for its host and port that agrees with it:
 *   methods   the rule's; else `methods` (443 and 80); else, with git, GET, HEAD and OPTIONS;
 *             else any.
 *   paths     the normal form (policy_path), without query, by glob.h; git's requests too.
 *   git       read lets upload-pack through, by POST too, and refuses receive-pack; push lets
 *             both through, and the proxy checks the refs against branch (git.h). Requests
 *             that are not git's go by methods.
 *
 * Which addresses. Special ones (address_special; documentation's only as literals) are
 * refused in every mode, whatever name
 * led there, unless a pattern of an allow, or of a rule that takes the port, opens them
 * (cidr_opens). Address literals need a pattern in limited mode; full lets public ones through.
 */
#ifndef NETFILTER_POLICY_H
#define NETFILTER_POLICY_H

#include "base/base.h"
#include "base/wr.h"
#include "netfilter/address.h"
#include "netfilter/name.h"

#define POLICY_TEXT_MAX (256 << 10)
#define POLICY_PATTERNS 4096 /* different patterns, the preset's included */
#define POLICY_CIDRS 1024
#define POLICY_RULES 1024
#define POLICY_STRINGS (320 << 10)
#define POLICY_ARENA (1 << 20) /* bytes that policy_parse asks for, aligned to 16 */
#define POLICY_PATH_MAX 8192   /* bytes of a path, its NUL included */

enum policy_mode { POLICY_OFF, POLICY_LIMITED, POLICY_FULL };
enum policy_preset { POLICY_PRESET_NONE, POLICY_PRESET_COMMON, POLICY_PRESET_ALL };

/* Why not: a closed list; its words are x-airlock-denied's and the journal's. */
enum policy_reason {
        POLICY_ALLOWED,            /* "allowed" */
        POLICY_DENY_OFF,           /* "off": the mode lets nothing through */
        POLICY_DENY_NOT_ALLOWED,   /* "not-allowed": no pattern names the host */
        POLICY_DENY_DENIED,        /* "denied": a deny pattern names it */
        POLICY_DENY_PORT,          /* "port": the host, but not this port */
        POLICY_DENY_METHOD,        /* "method" */
        POLICY_DENY_PATH,          /* "path": no glob matches, or two servers read it differently */
        POLICY_DENY_GIT,           /* "git": a push, or a ref that the branch pattern excludes */
        POLICY_DENY_ADDRESS,       /* "address": a special range */
        POLICY_DENY_LITERAL,       /* "literal": an address that no pattern names */
        POLICY_DENY_NAME,          /* "name": no valid host name */
        /* What follows is the proxy's to find; the words are kept together here. */
        POLICY_DENY_SNI,           /* "sni": SNI or inner Host is another name */
        POLICY_DENY_NO_SNI,        /* "no-sni" */
        POLICY_DENY_ECH,           /* "ech": the real name is encrypted */
        POLICY_DENY_NOT_TLS,       /* "not-tls": 443 without TLS */
        POLICY_DENY_REQUEST,       /* "request": not one clear HTTP request */
        POLICY_DENY_INJECT,        /* "inject": a placeholder elsewhere, or no such secret */
        POLICY_DENY_RESOLVE,       /* "resolve": no address for the name */
        POLICY_DENY_UPSTREAM,      /* "upstream": nobody answers there */
        POLICY_DENY_TLS_UPSTREAM,  /* "tls-upstream": its certificate or TLS version */
        POLICY_DENY_LIMIT,         /* "limit": a table or a deadline of the proxy's */
        POLICY_REASONS,
};
const char *policy_reason_str(enum policy_reason r);

enum policy_status {
        POLICY_OK,
        POLICY_WRONG, /* a line breaks the rules */
        POLICY_LARGE, /* more than the tables hold */
};

struct policy_error {
        unsigned line;        /* from 1; 0: the text as a whole */
        const char *expected; /* "ports from 1 to 65535"; static */
};

enum policy_git { POLICY_GIT_NONE, POLICY_GIT_READ, POLICY_GIT_PUSH };

/* A rule as written; strings live in the arena. */
struct policy_rule {
        const char *host;           /* the pattern in normal form */
        const char *name;           /* "" without name= */
        const char *methods;        /* "GET,POST"; "": not given */
        const uint16_t *ports;
        const char *paths;          /* globs one after the other, each with its NUL */
        uint16_t port_count;        /* 0: 443 and 80 */
        uint16_t path_count;        /* 0: any */
        bool raw;
        enum policy_git git;
        const char *branch;         /* NULL: any ref (POLICY_GIT_PUSH) */
        const char *inject;         /* header; NULL: nothing is injected */
        const char *value;          /* template with ${NAME} */
        int32_t next;               /* of the same pattern, -1: last */
};

struct policy_tables; /* in the arena: see policy.c */

struct policy {
        enum policy_mode mode;
        enum policy_preset preset;
        const char *methods;      /* "": any */
        const struct policy_rule *rules;
        size_t rule_count;
        struct host upstream;     /* upstream_port 0: none */
        uint16_t upstream_port;
        const char *upstream_auth; /* a secret's name, or NULL */
        struct policy_tables *tables; /* NULL: nothing is allowed */
};

/* Allows nothing. */
void policy_init(struct policy *p);

/*
 * Reads the text into the @arena of at least POLICY_ARENA bytes, which is the policy's from
 * then on; the text may go. POLICY_OK, or *@e and a policy that allows nothing. A new
 * policy in another arena replaces the old one by assignment.
 */
MUST_USE enum policy_status policy_parse(struct policy *p, void *arena, size_t arena_len,
                                         const char *text, size_t len, struct policy_error *e);

struct policy_verdict {
        enum policy_reason reason;
        uint16_t port;
        int rule;         /* index of the rule that decides or comes first, -1: none */
        bool needs_inspection; /* requests have to be seen: TLS is opened, raw refused */
        bool injects;     /* a rule for this host and port injects: verified TLS only */
        bool raw;         /* any protocol: no TLS, SNI or HTTP is asked for */
        bool named;       /* @host was let through by a pattern, not by mode full or preset all */
        struct host host; /* what was asked, for policy_request */
};

/* May this host and port be reached at all? Before any name is resolved. */
struct policy_verdict policy_host(const struct policy *p, const struct host *h, uint16_t port);

/*
 * May this name be resolved (DNS answers)? As policy_host for the kindest port: POLICY_ALLOWED
 * if some port is let through.
 */
enum policy_reason policy_name(const struct policy *p, const struct name *n);

/* May this address, which the host of @v resolved to, be dialled on @v's port? */
enum policy_reason policy_address(const struct policy *p, const struct policy_verdict *v,
                                  const struct address *a);

/*
 * A path in its normal form, with a NUL: unreserved characters decoded, other
 * escapes in upper case, bytes over 0x7f escaped. False (POLICY_DENY_PATH) where servers
 * disagree: a dot segment (escaped, or with ;parameters), an empty segment but the last, a
 * backslash, an escaped slash, backslash or control byte, one of these or a dot escaped twice,
 * a broken escape; and what is too long. @path begins with '/' and has no query.
 */
MUST_USE bool policy_path(char out[static POLICY_PATH_MAX], size_t *out_len, const char *path,
                          size_t len);

/*
 * May this request go to the host and port of @v (a policy_host that said POLICY_ALLOWED)?
 * @path as it came, without query; @query without its '?', NULL: none. The result's rule is
 * the one that let it through: its inject applies and no other's. check_refs: the request is
 * a push whose refs have to be checked against the rule's branch.
 */
struct policy_request_verdict {
        enum policy_reason reason;
        int rule;
        bool check_refs;
        bool methods_limited; /* so X-HTTP-Method-Override and its sisters are refused too */
};
struct policy_request_verdict policy_request(const struct policy *p,
                                             const struct policy_verdict *v,
                                             const char *method, size_t method_len,
                                             const char *path, size_t path_len,
                                             const char *query, size_t query_len);

/* The name of a rule for the journal: its name=, else "rule N PATTERN"; "-" for -1. */
void policy_put_rule(struct wr *w, const struct policy *p, int rule);

/*
 * One sentence, without newline, that says what was refused and which lines of the spec's
 * "network" would let it through: `no rule names a.org; "allow": ["a.org"] would.` @method
 * and @path may be NULL. Only printable ASCII comes out, whatever was asked.
 */
void policy_explain(struct wr *w, const struct policy *p, enum policy_reason reason,
                    const struct host *h, uint16_t port, const char *method,
                    size_t method_len, const char *path, size_t path_len);

#endif
