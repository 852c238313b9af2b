/* netfilter/journal.c - lines of decisions, totals of hosts. */
#include "netfilter/journal.h"

#include "base/clock.h"
#include "base/io.h"

#include <string.h>

#define LINE 4096
#define PATH_SHOWN 1000 /* bytes of a path; six times that as JSON at the worst */
#define PORTS 8
#define METHODS 96
#define COMMANDS 4 /* of those that asked for a host … */
#define COMMAND 80 /* … bytes each, with a NUL */

struct total {
        char host[NAME_LEN + 1];
        uint64_t up, down;
        uint32_t allowed, refused;
        enum policy_reason reason; /* of the last refusal */
        uint16_t ports[PORTS];     /* allowed ones; 0 ends */
        char methods[METHODS];     /* allowed ones, with commas */
        char commands[COMMANDS][COMMAND];
};

static int the_fd = -1;
static uint64_t the_start_ms;
static uint64_t room; /* bytes that decisions may still take */
static char the_phase[JOURNAL_PHASE] = "start";
static char pending[LINE];
static size_t pending_len;
static uint64_t pending_ms; /* when the first of them came */
static bool urgent;         /* one of them is a refusal */
static uint64_t lost;
static struct total totals[JOURNAL_HOSTS] LARGE_BUFFER;
static size_t total_count;
static struct total others;

void journal_open(int fd, uint64_t start_ms, uint64_t max)
{
        the_fd = fd;
        the_start_ms = start_ms;
        room = max;
}

void journal_phase(const char *phase)
{
        struct wr w = wr_of(the_phase, sizeof(the_phase) - 1);

        for (; *phase && !w.full; phase++)
                if ((*phase >= 'a' && *phase <= 'z') || *phase == '-')
                        wr_char(&w, *phase);
        wr_cstr(&w);
}

void journal_flush(void)
{
        if (!pending_len)
                return;
        if (the_fd >= 0 && write(the_fd, pending, pending_len) != (ssize_t)pending_len)
                lost++;
        pending_len = 0;
        urgent = false;
}

int journal_tick(uint64_t now, int at_most)
{
        uint64_t due = pending_ms + JOURNAL_MS;

        if (!pending_len)
                return at_most;
        if (!urgent && now < due)
                return at_most < 0 || (uint64_t)at_most > due - now ? (int)(due - now) : at_most;
        journal_flush();
        return at_most;
}

static void put_line(const struct wr *w, uint64_t now)
{
        if (w->full || the_fd < 0) {
                lost += w->full;
                return;
        }
        if (pending_len + w->len > sizeof(pending))
                journal_flush();
        if (!pending_len)
                pending_ms = now;
        memcpy(pending + pending_len, w->buf, w->len);
        pending_len += w->len;
}

static void begin(struct wr *w, const char *event, uint64_t now)
{
        put_event(w, now - the_start_ms, the_phase, event);
}

static void put_text(struct wr *w, const char *key, const char *text, size_t len)
{
        wr_fmt(w, ",\"%s\":", key);
        wr_json(w, text, len);
}

static struct total *total_of(const char *host)
{
        for (size_t i = 0; i < total_count; i++)
                if (!strcmp(totals[i].host, host))
                        return &totals[i];
        if (total_count == JOURNAL_HOSTS)
                return &others;
        memcpy(totals[total_count].host, host, strlen(host) + 1);
        return &totals[total_count++];
}

static void add_port(struct total *t, uint16_t port)
{
        for (size_t i = 0; i < PORTS; i++) {
                if (t->ports[i] == port)
                        return;
                if (!t->ports[i]) {
                        t->ports[i] = port;
                        return;
                }
        }
}

static void add_method(struct total *t, const char *method, size_t len)
{
        size_t used = strlen(t->methods);

        for (const char *at = t->methods; *at; at += strcspn(at, ","), at += *at == ',')
                if (strcspn(at, ",") == len && !memcmp(at, method, len))
                        return;
        if (used + len + 2 > sizeof(t->methods))
                return;
        if (used)
                t->methods[used++] = ',';
        memcpy(t->methods + used, method, len);
        t->methods[used + len] = '\0';
}

/* Who asked, once each, where the lock knows it. */
static void add_command(struct total *t, const char *command)
{
        char text[COMMAND];
        struct wr w = wr_of(text, sizeof(text) - 1);

        wr_bytes(&w, command, strnlen(command, COMMAND - 1));
        wr_cstr(&w);
        for (size_t i = 0; i < COMMANDS; i++) {
                if (!strcmp(t->commands[i], text))
                        return;
                if (!*t->commands[i]) {
                        memcpy(t->commands[i], text, w.len + 1);
                        return;
                }
        }
}

static void count(const struct net_event *e, const char *host)
{
        struct total *t = total_of(host);

        if (e->command && *e->command && t != &others)
                add_command(t, e->command);
        t->up += e->up;
        t->down += e->down;
        if (e->reason == POLICY_ALLOWED) {
                t->allowed++;
                add_port(t, e->port);
                if (e->ask.method)
                        add_method(t, e->ask.method, e->ask.method_len);
        } else {
                t->refused++;
                t->reason = e->reason;
        }
}

static void put_who(struct wr *w, const struct net_event *e)
{
        if (e->pid)
                wr_fmt(w, ",\"pid\":%u", e->pid);
        if (e->command && *e->command)
                put_text(w, "command", e->command, strlen(e->command));
}

static void put_what(struct wr *w, const struct net_event *e, const char *host)
{
        if (*host)
                put_text(w, "name", host, strlen(host));
        if (e->port)
                wr_fmt(w, ",\"port\":%u", (unsigned)e->port);
        if (e->dialled && e->dialled->address.family) {
                wr_str(w, ",\"address\":\"");
                address_put(w, &e->dialled->address);
                wr_char(w, '"');
        }
        if (e->ask.method)
                put_text(w, "method", e->ask.method, e->ask.method_len);
        if (e->ask.path)
                put_text(w, "path", e->ask.path,
                         e->ask.path_len < PATH_SHOWN ? e->ask.path_len : PATH_SHOWN);
        if (e->code)
                wr_fmt(w, ",\"status\":%u", e->code);
}

/* Whoever asks often enough must not fill the disk: from here on there are the totals. */
static void put_cut(uint64_t now)
{
        char line[200];
        struct wr w = wr_of(line, sizeof(line));

        begin(&w, "net_cut", now);
        wr_str(&w, "}\n");
        put_line(&w, now);
}

void journal_net(const struct net_event *e, const struct policy *p, uint64_t now)
{
        char host[NAME_LEN + 1] = "";
        char line[LINE];
        struct wr h = wr_of(host, sizeof(host) - 1);
        struct wr w = wr_of(line, sizeof(line));

        if (e->host)
                host_put(&h, e->host);
        wr_cstr(&h);
        /* A DNS answer is no traffic yet, but a refused one is all there will be. */
        if (*host && (e->port || e->reason != POLICY_ALLOWED))
                count(e, host);
        if (the_fd < 0)
                return;
        begin(&w, "net", now);
        wr_fmt(&w, ",\"verdict\":\"%s\"", e->reason == POLICY_ALLOWED ? "allow" : "deny");
        if (e->reason != POLICY_ALLOWED)
                wr_fmt(&w, ",\"reason\":\"%s\"", policy_reason_str(e->reason));
        if (e->detail)
                put_text(&w, "detail", e->detail, strlen(e->detail));
        wr_fmt(&w, ",\"door\":\"%s\"", e->door);
        put_who(&w, e);
        put_what(&w, e, host);
        if (e->rule >= 0) {
                char rule[300];
                struct wr r = wr_of(rule, sizeof(rule));

                policy_put_rule(&r, p, e->rule);
                put_text(&w, "rule", rule, r.len);
        }
        wr_fmt(&w, ",\"up\":%lu,\"down\":%lu,\"duration_ms\":%lu}\n", (unsigned long)e->up,
               (unsigned long)e->down, (unsigned long)e->duration_ms);
        if (w.full) {
                /* Too much to say: the path and the command go. */
                struct net_event less = *e;

                if (!e->ask.path && !e->command) {
                        lost++;
                        return;
                }
                less.ask.path = NULL;
                less.command = NULL;
                less.host = NULL;
                less.detail = "too long to write";
                journal_net(&less, p, now);
                return;
        }
        if (w.len > room) {
                lost++;
                if (room)
                        put_cut(now);
                room = 0;
                return;
        }
        room -= w.len;
        urgent |= e->reason != POLICY_ALLOWED;
        put_line(&w, now);
}

static void put_total(struct wr *w, const struct total *t, const char *host)
{
        wr_str(w, "{\"host\":");
        wr_json(w, host, strlen(host));
        wr_fmt(w, ",\"allowed\":%u,\"refused\":%u", t->allowed, t->refused);
        if (t->refused)
                wr_fmt(w, ",\"reason\":\"%s\"", policy_reason_str(t->reason));
        for (size_t i = 0; i < COMMANDS && *t->commands[i]; i++) {
                wr_str(w, i ? "," : ",\"commands\":[");
                wr_json(w, t->commands[i], strlen(t->commands[i]));
        }
        wr_str(w, *t->commands[0] ? "]" : "");
        wr_fmt(w, ",\"up\":%lu,\"down\":%lu}", (unsigned long)t->up, (unsigned long)t->down);
}

#define TOTAL_LEN (600 + COMMANDS * (6 * COMMAND)) /* the most that one host needs */

void journal_totals(uint64_t now)
{
        char line[LINE];
        size_t i = 0;

        do {
                struct wr w = wr_of(line, sizeof(line));
                const char *comma = "";

                begin(&w, "net_totals", now);
                if (lost)
                        wr_fmt(&w, ",\"lost\":%lu", (unsigned long)lost);
                wr_str(&w, ",\"hosts\":[");
                for (; i < total_count && w.len < LINE - TOTAL_LEN; i++, comma = ",") {
                        wr_str(&w, comma);
                        put_total(&w, &totals[i], totals[i].host);
                }
                if (i == total_count && (others.allowed || others.refused)) {
                        wr_str(&w, comma);
                        put_total(&w, &others, "");
                        others = (struct total){ 0 };
                }
                wr_str(&w, "]}\n");
                put_line(&w, now);
        } while (i < total_count);
        journal_flush();
}

static bool usual_ports(const struct total *t)
{
        for (size_t i = 0; i < PORTS && t->ports[i]; i++)
                if (t->ports[i] != 443 && t->ports[i] != 80)
                        return false;
        return true;
}

static void put_list(struct wr *w, const struct total *t)
{
        wr_str(w, "{\"host\":");
        wr_json(w, t->host, strlen(t->host));
        wr_str(w, ",\"ports\":[");
        for (size_t i = 0; i < PORTS && t->ports[i]; i++)
                wr_fmt(w, i ? ",%u" : "%u", (unsigned)t->ports[i]);
        wr_str(w, "]}");
}

/* One line for each host, so that it may be any number of them. */
static void propose(int fd, bool usual, const char *between)
{
        const char *comma = "";

        for (size_t i = 0; i < total_count; i++) {
                char line[1024];
                struct wr w = wr_of(line, sizeof(line));

                if (!totals[i].allowed || usual_ports(&totals[i]) != usual)
                        continue;
                wr_str(&w, comma);
                wr_str(&w, between);
                if (usual)
                        wr_json(&w, totals[i].host, strlen(totals[i].host));
                else
                        put_list(&w, &totals[i]);
                comma = ",";
                if (write_full(fd, line, w.len) < 0)
                        return;
        }
}

static void say(int fd, const char *text)
{
        if (write_full(fd, text, strlen(text)) < 0)
                return; /* nobody reads it */
}

void journal_propose(int fd)
{
        say(fd, "{\"network\": {\"agent\": \"limited\",\n  \"allow\": [");
        propose(fd, true, "\n    ");
        say(fd, "],\n  \"rules\": [");
        propose(fd, false, "\n    ");
        say(fd, "]}}\n");
}
