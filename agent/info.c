/* agent/info.c - what the client is told about this place. */
#include "agent/dispatch.h"

#include "agent/patch_path.h"
#include "agent/tree.h"

#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>


/* Field @n of the line of our user in /etc/passwd; "" when there is none. */
static const char *passwd_field(unsigned n)
{
        const struct passwd *p = getpwuid(getuid());

        if (!p)
                return "";
        return n == 5 ? p->pw_dir : p->pw_shell;
}

static const char *shell_path(void)
{
        const char *shell = passwd_field(6);
        const char *own = getenv("SHELL");

        if ((!shell[0] || access(shell, X_OK) < 0) && own)
                shell = own;
        if (!shell[0] || strstr(shell, "nologin") || access(shell, X_OK) < 0)
                shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
        return shell;
}

const char *info_home(void)
{
        const char *home = getenv("HOME");

        return home && home[0] == '/' ? home : passwd_field(5)[0] ? passwd_field(5) : "/";
}

void info_put(struct conn *c, struct buf *b)
{
        const char *shell = shell_path(), *slash = strrchr(shell, '/');
        const char *tmp = getenv("TMPDIR");
        char cwd[PATH_MAX];

        (void)c;
        buf_str(b, "{\"shell\":{\"name\":");
        buf_json(b, slash ? slash + 1 : shell, strlen(slash ? slash + 1 : shell));
        buf_str(b, ",\"path\":");
        buf_json(b, shell, strlen(shell));
        buf_str(b, "},\"executorVersion\":\"airlock " AIRLOCK_VERSION "\",\"cwd\":");
        tree_put_uri(b, getcwd(cwd, sizeof(cwd)) ? cwd : "/");
        buf_str(b, ",\"userHomeDir\":");
        tree_put_uri(b, info_home());
        buf_str(b, ",\"platformOs\":\"linux\",\"prependPathDirs\":[");
        if (patch_path())
                tree_put_uri(b, patch_path());
        buf_str(b, "],\"temporaryDirectories\":[");
        if (tmp && tmp[0] == '/' && strcmp(tmp, "/tmp") != 0)
                tree_put_uri(b, tmp);
        buf_str(b, "],\"tempDir\":");
        tree_put_uri(b, tmp && tmp[0] == '/' ? tmp : "/tmp");
        buf_str(b, ",\"capabilities\":{\"networkProxyLaunch\":false,"
                   "\"networkProxyReviewDomains\":false,\"credentialMasking\":false,"
                   "\"credentialMaskingCustomProviders\":false,"
                   "\"capabilityDiscoverySandbox\":true,\"fsWatchMissing\":true,"
                   "\"capabilityDiscoveryV2\":true,\"environmentConfigRead\":true,"
                   "\"httpHeaderEnvVars\":true,\"sandboxedFileStreaming\":true,"
                   "\"fileWriteStreaming\":true,\"shellSnapshotV2\":false,\"windowsMxc\":false,"
                   "\"linuxRootWritePreservesDevices\":false,"
                   "\"linuxApprovedRootWritePreservesRestrictions\":false,"
                   "\"processCloseStdin\":true,\"processResize\":true}}");
}

void info_call(struct call *call, const char *method)
{
        struct buf *b;

        if (call_refused(call, method))
                return;
        b = conn_answer(call->conn, call->id, call->id_len);
        if (strcmp(method, "environment/info") != 0)
                buf_str(b, "{\"status\":\"ready\"}");
        else
                info_put(call->conn, b);
        conn_answered(call->conn);
}
