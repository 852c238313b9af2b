/*
 * init/trust_main.c - the main of airlock-trust: see trust.h.
 *
 * Nothing here is fatal but the bundle itself: an image whose stores are read-only still
 * has the variables.
 */
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "init/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static LARGE_BUFFER char image[TRUST_BUNDLE], bundle[TRUST_BUNDLE + 2 * TRUST_CERTIFICATE],
        store[TRUST_BUNDLE];
static char ca[TRUST_CERTIFICATE];
static size_t ca_len;

/* Where images keep one file of all authorities. */
static const char *const bundles[] = {
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
};

/* Where their own tools look for additions when they make that file anew. */
static const char *const additions[][2] = {
        { "/usr/local/share/ca-certificates", "airlock.crt" },
        { "/etc/pki/ca-trust/source/anchors", "airlock.pem" },
        { "/etc/pki/trust/anchors", "airlock.pem" },
};

static int write_into(const char *dir, const char *name, const void *bytes, size_t len)
{
        AUTO_CLOSE int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : write_file(fd, name, bytes, len);
}

static size_t read_image(void)
{
        for (size_t i = 0; i < COUNT(bundles); i++) {
                ssize_t n = read_file(AT_FDCWD, bundles[i], image, sizeof(image));

                if (n > 0)
                        return (size_t)n;
        }
        return 0;
}

/* OpenSSL's directory: a file named after the subject's hash. */
static void add_hashed(void)
{
        uint8_t der[TRUST_CERTIFICATE];
        size_t len = trust_der(ca, ca_len, der);
        struct wr w;
        uint32_t hash;
        char name[16];

        if (!len || !trust_subject_hash(der, len, &hash))
                return;
        w = wr_of(name, sizeof(name));
        for (int shift = 28; shift >= 0; shift -= 4)
                wr_char(&w, "0123456789abcdef"[hash >> shift & 15]);
        wr_str(&w, ".0");
        (void)!write_into("/etc/ssl/certs", wr_cstr(&w), ca, ca_len);
}

/* Every store file that is there, once for those that are links to one another. */
static unsigned add_stores(void)
{
        unsigned added = 0;

        for (size_t i = 0; i < COUNT(bundles); i++) {
                char path[PATH_MAX], *slash;
                struct wr w = wr_of(store, sizeof(store));
                struct stat st;
                ssize_t n;

                if (!realpath(bundles[i], path) || stat(path, &st) < 0)
                        continue;
                n = read_file(AT_FDCWD, path, image, sizeof(image));
                if (n < 0)
                        continue;
                trust_put_bundle(&w, image, (size_t)n, ca, ca_len);
                slash = strrchr(path, '/');
                *slash = '\0';
                if (!w.full && ((size_t)n == w.len && !memcmp(image, store, w.len)))
                        continue; /* a link to one that we had */
                if (!w.full && !write_into(path, slash + 1, store, w.len))
                        added++;
        }
        for (size_t i = 0; i < COUNT(additions); i++)
                (void)!write_into(additions[i][0], additions[i][1], ca, ca_len);
        add_hashed();
        return added;
}

/* A JVM reads no PEM; where there is one, it is told by its own variable. */
static bool has_java(void)
{
        static const char *const places[] = { "/usr/bin/keytool", "/usr/lib/jvm",
                                              "/opt/java/openjdk/bin/keytool", "/opt/java",
                                              "/usr/local/openjdk-17", "/root/.sdkman" };
        const char *home = getenv("JAVA_HOME");

        for (size_t i = 0; i < COUNT(places); i++)
                if (!access(places[i], F_OK))
                        return true;
        return home && *home;
}

static void print_environment(const char *dir)
{
        const char *java = getenv("JAVA_TOOL_OPTIONS");
        char text[16 * 1024];
        struct wr w = wr_of(text, sizeof(text));

        for (const char *const *name = trust_variables; *name; name++)
                wr_fmt(&w, "%s=%s/ca-bundle.pem\n", *name, dir);
        if (has_java())
                wr_fmt(&w,
                       "JAVA_TOOL_OPTIONS=%s%s-Djavax.net.ssl.trustStore=%s/cacerts.jks "
                       "-Djavax.net.ssl.trustStorePassword=changeit\n",
                       java ? java : "", java && *java ? " " : "", dir);
        if (w.full || write_full(STDOUT_FILENO, text, w.len) < 0)
                die(STATUS_PROVISION, "can't hand the environment over");
}

int main(int argc, char **argv)
{
        const char *dir = NULL;
        bool stores = false;
        struct wr w;
        ssize_t n;
        int r;

        confine_relro();
        log_role("trust");
        for (int i = 1; i < argc; i++) {
                if (!strcmp(argv[i], "--store"))
                        stores = true;
                else if (!strcmp(argv[i], "--dir") && i + 1 < argc)
                        dir = argv[++i];
                else
                        die(STATUS_USAGE, "usage: airlock-trust --dir DIR [--store] < ca.pem");
        }
        if (!dir)
                die(STATUS_USAGE, "usage: airlock-trust --dir DIR [--store] < ca.pem");
        n = read_full(STDIN_FILENO, ca, sizeof(ca));
        if (n <= 0 || (size_t)n == sizeof(ca))
                die(STATUS_PROVISION, "no certificate on stdin");
        ca_len = (size_t)n;
        w = wr_of(bundle, sizeof(bundle));
        trust_put_bundle(&w, image, read_image(), ca, ca_len);
        r = w.full ? -EFBIG : write_into(dir, "ca.pem", ca, ca_len);
        if (!r)
                r = write_into(dir, "ca-bundle.pem", bundle, w.len);
        if (!r) {
                struct wr j = wr_of(store, sizeof(store));

                trust_put_jks(&j, bundle, w.len);
                r = j.full ? -EFBIG : write_into(dir, "cacerts.jks", store, j.len);
        }
        if (r < 0)
                die_errno(STATUS_PROVISION, -r, "write the task's authorities into %s", dir);
        if (stores && !add_stores())
                log_line(LOG_INFO, "no trust store of the image can be written: clients that "
                                   "ignore the environment won't trust inspected hosts");
        print_environment(dir);
        return STATUS_OK;
}
