/* netfilter/unlock.c - what would unlock a lock. */
#include "netfilter/unlock.h"

const char *unlock_hint(enum lock lock)
{
        switch (lock) {
        case LOCK_NETNS:
                return "needs user namespaces: docker run --security-opt seccomp=unconfined; podman "
                       "run as it is; Kubernetes securityContext: {seccompProfile: {type: "
                       "Unconfined}}; a host user.max_user_namespaces above 0, and AppArmor's "
                       "kernel.apparmor_restrict_unprivileged_userns 0";
        case LOCK_NETFILTER:
                return "needs CAP_NET_ADMIN, as root in a network of the container's own: docker or "
                       "podman run --cap-add NET_ADMIN; Kubernetes securityContext: {runAsUser: 0, "
                       "capabilities: {add: [NET_ADMIN]}}";
        case LOCK_NOTIFY:
                return "needs seccomp notifications (Linux 5.14) that nobody around us uses, and "
                       "the right to trace one's own processes";
        case LOCK_CLOSED:
                return "needs seccomp filters in the kernel; it holds with the network off only";
        case LOCK_NONE:
        case LOCK_COUNT:
                break;
        }
        return "";
}
