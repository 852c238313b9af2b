/*
 * init/spec.h - the operator's task spec: one JSON file, read once.
 *
 * Read by `airlock run` and `airlock check` before anything is started. Every string
 * is NUL-terminated UTF-8 without NUL or other control bytes where the key forbids
 * them, and lives in one arena with the tables; spec_close gives it back. What a key
 * means and its defaults: airlock(1) and rootfs/task.schema.json; a test holds the
 * schema and this reader together.
 */
#ifndef INIT_SPEC_H
#define INIT_SPEC_H

#include "base/base.h"

#define SPEC_MAX (1 << 20) /* bytes of the file */
#define SPEC_DEPTH 32          /* nested objects and arrays */

enum spec_runtime {
        RUNTIME_PYTHON,
        RUNTIME_NODE,
        RUNTIME_RUBY,
        RUNTIME_RUST,
        RUNTIME_GO,
        RUNTIME_SWIFT,
        RUNTIME_PHP,
        RUNTIME_JAVA,
        RUNTIME_COUNT,
};

/* The key in "runtimes": "python"; and the variable's middle: "PYTHON". */
const char *spec_runtime_name(enum spec_runtime r);
const char *spec_runtime_variable(enum spec_runtime r); /* "CODEX_ENV_PYTHON_VERSION" */

enum spec_net { NET_OFF, NET_LIMITED, NET_FULL };
const char *spec_net_name(enum spec_net mode);

enum spec_failure { FAILURE_FAIL, FAILURE_CONTINUE };
enum spec_leak { LEAK_FAIL, LEAK_REMOVE, LEAK_WARN };
enum spec_lock { LOCK_AUTO, LOCK_NETNS, LOCK_NETFILTER, LOCK_NOTIFY, LOCK_CLOSED };
enum spec_preset { PRESET_NONE, PRESET_COMMON, PRESET_ALL };
enum spec_wire { WIRE_AUTO, WIRE_RESPONSES, WIRE_CHAT };
enum spec_git { GIT_UNSET, GIT_READ, GIT_PUSH };
enum spec_forge { FORGE_UNSET, FORGE_GITHUB, FORGE_GITEA, FORGE_NONE };

/* Who goes by a rule: made by spec_model.c and spec_pull.c, all but the first. */
enum spec_way {
        WAY_TASK,  /* the task */
        WAY_MODEL, /* the built-in loop alone, on its way to the model; without it the agent */
        WAY_PUSH,  /* git, when airlock pushes */
        WAY_FORGE, /* airlock-push, when it speaks to the forge */
};

struct spec_list {
        const char **items;
        size_t count;
};

struct spec_pair {
        const char *name, *value;
};

struct spec_pairs {
        struct spec_pair *items;
        size_t count;
};

struct spec_rule {
        const char *host;
        struct spec_list methods, paths;
        uint16_t *ports;
        size_t port_count;
        enum spec_git git;
        const char *git_branch;                   /* pattern, for GIT_PUSH; or NULL */
        const char *inject_header, *inject_value; /* NULL: nothing is injected */
        const char *name; /* for the journal; NULL: none */
        enum spec_way way;
        bool raw;                                 /* any protocol, passed through unseen */
};

/* A place for the loop's commands; base/remote.h says what goes with what. */
struct spec_environment {
        const char *id, *url, *program, *cwd;
        const char *token; /* "${NAME}": what the proxy sends as the bearer */
        struct spec_list args;
        struct spec_pairs env;
        unsigned connect_s, initialize_s; /* 0: the loop's default */
};

/* Strings that were not given are NULL, unless a default is named here. */
struct spec {
        unsigned version; /* 1 */
        struct {
                const char *url; /* NULL: no repository, the work happens in dir */
                const char *ref; /* branch, tag or commit; NULL: the remote's default */
                const char *dir; /* absolute; default /workspace/<name from url> */
                unsigned depth;  /* 0: whole history */
                bool lfs, submodules;
        } repo;
        const char *runtimes[RUNTIME_COUNT]; /* version text or NULL */
        struct spec_pairs env;               /* names unique, [A-Za-z_][A-Za-z0-9_]* */
        struct {
                const char *sealed, *sha256;
                struct spec_list names;
                enum spec_leak on_leak;
                struct spec_list allow_leak; /* paths that may hold a value */
                unsigned key_timeout_s; /* default 60 */
                bool key_may_stay; /* where it lies can't be emptied, and that is fine */
                bool unlink;       /* the sealed file goes once it is open */
        } secrets;
        struct {
                bool auto_setup; /* as the spec says: see spec_auto() */
                bool auto_given;
                const char *script;
                unsigned timeout_s; /* default 1200 */
                enum spec_failure on_failure;
        } setup;
        struct {
                const char *script;
        } maintenance;
        struct {
                const char *dir;
                unsigned ttl_s; /* default 43200 */
                bool stamp;     /* leave one in the root, for an image made of the container */
        } cache;
        struct {
                enum spec_net setup; /* default full */
                enum spec_net agent; /* default off */
                enum spec_preset preset;
                bool preset_given;
                struct spec_list allow, deny, methods;
                struct spec_rule *rules;
                size_t rule_count;
                const char *upstream_proxy;
                const char *upstream_auth; /* "${NAME}": a secret, user:password */
                const char *ca_file;       /* PEM: authorities beside the image's, or NULL */
                enum spec_lock lock;
                bool model_only; /* agent said off: of "limited" the model's rule alone */
        } network;
        struct {
                bool given;
                bool builtin; /* command is airlock-agent's, made by spec_model.c */
                struct spec_list command;  /* NULL-terminated argv; count 0: none was given */
                unsigned timeout_s;        /* default 3600 */
                const char *user;          /* NAME or UID or UID:GID; NULL: as started */
                const char *exec_server;   /* ws://IP:PORT, unix:PATH or stdio */
                const char *token_sha256;  /* of what its clients bring */
                unsigned idle_s;           /* default 600: it ends so long after the last client */
                struct {
                        bool given, local; /* local: include_local, true by default */
                        const char *first; /* "default": an id, local or none; NULL */
                        struct spec_environment *items;
                        size_t count;
                } environments; /* of the built-in loop; not part of an image (spec_image.h) */
        } agent;
        struct {
                const char *base_url, *name, *key, *effort;
                enum spec_wire wire;
                unsigned context_window, max_requests, max_tokens; /* 0: no limit */
                bool assess; /* what it thinks of risky commands; default true */
        } model;
        const char *prompt;
        struct {
                const char *dir; /* default /airlock/out */
                struct {
                        const char *branch; /* NULL: no pull request is asked for */
                        const char *title, *url, *base, *api, *token, *author, *link;
                        enum spec_forge forge;
                        bool draft;
                        unsigned timeout_s; /* default 120: for git, and again for the forge */
                } pull;
                struct spec_list push; /* argv of airlock-push, made by spec_pull.c; count 0: none */
        } output;
        struct { /* no key of the file: init/resume.h fills it in */
                unsigned turn;     /* 1: no follow-up, and nothing below */
                const char *from;  /* the earlier turn's output folder; else NULL */
                const char *start; /* its start commit */
                int diff;          /* its changes, a sealed memfd; else 0 */
                int conversation;  /* the same, with the built-in loop's; 0: there is none */
        } resume;
        struct spec_arena *arena; /* owner of every string and table above */
};

/* Where a spec is wrong: `FILE:LINE:COL: TEXT` is put together by the caller. */
struct spec_error {
        unsigned line, column; /* from 1; columns count bytes */
        char text[256];        /* one printable line: what was found, what was expected */
};

/*
 * Reads @len bytes of @json. Returns 0 and fills @spec; -EINVAL and fills @error;
 * -ENOMEM. On failure @spec is zero.
 */
MUST_USE int spec_open(struct spec *spec, const char *json, size_t len,
                       struct spec_error *error);
void spec_close(struct spec *spec);

/*
 * spec_load.c: reads the spec at @path ("-": stdin), or what @fd holds from its offset on
 * with @name for the messages. 0, or STATUS_SPEC after one line on stderr that says where
 * and why; @spec is zero then.
 */
MUST_USE int spec_load(const char *path, struct spec *spec);
MUST_USE int spec_load_fd(int fd, const char *name, struct spec *spec);

/*
 * Merges the repository's own `.airlock.json`, read from the commit's tree, into the
 * operator's @spec: runtimes, env, setup, maintenance and narrower network rules, each
 * only where the operator said nothing (env: name by name). A key that would widen
 * or grant something is an error. The same returns as spec_open; on failure @spec
 * stays as it was.
 */
MUST_USE int spec_narrow(struct spec *spec, const char *json, size_t len,
                         struct spec_error *error);

/* Is setup to find out by itself what to install? Where nothing is said: if no script does. */
static inline bool spec_auto(const struct spec *spec)
{
        return spec->setup.auto_given ? spec->setup.auto_setup : !spec->setup.script;
}

/*
 * spec_model.c: makes of "model" a rule that leads to it and, where there is no
 * agent.command, the command line of airlock-agent, with a rule for each of its remote
 * environments. Once for a spec. NULL, or what is wrong.
 */
MUST_USE const char *spec_model(struct spec *spec);

/*
 * spec_pull.c: makes of "output.pull_request" the rules that only the push goes by, and the
 * command line of airlock-push. Once for a spec, after spec_model. NULL, or what is wrong.
 */
MUST_USE const char *spec_pull(struct spec *spec);

/* After both: what the proxy is to put a secret into needs "secrets". NULL, or what is wrong. */
MUST_USE const char *spec_injected(const struct spec *spec);

#endif
