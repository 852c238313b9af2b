/* tests/unit/test_anchors.c - the image's bundle becomes anchors, whatever is in it. */
#include "netfilter/anchors.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct anchors a;

TEST(the_bundle_of_this_machine_is_read_whole_in_pieces_of_any_size)
{
        int fd = anchors_open_image();

        memset(&a, 0, sizeof(a));
        if (fd < 0)
                return; /* no bundle here */
        CHECK(anchors_load(&a, fd) == 0);
        CHECK(a.count > 50 && a.skipped == 0);
        CHECK(a.text_len < 100 * 1024);
        CHECK(lseek(fd, 0, SEEK_SET) == 0);
        {
                static struct anchors b;
                struct anchors_reader r;
                char piece[13];
                ssize_t n;

                memset(&b, 0, sizeof(b));
                anchors_begin(&r, &b);
                while ((n = read(fd, piece, sizeof(piece))) > 0)
                        anchors_feed(&r, piece, (size_t)n);
                anchors_end(&r);
                CHECK(b.count == a.count && b.text_len == a.text_len &&
                      !memcmp(a.text, b.text, a.text_len));
        }
        close(fd);
}

TEST(what_is_no_certificate_is_skipped_and_leaves_nothing)
{
        static const char *const rows[] = {
                "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
                "-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n",
                "-----BEGIN CERTIFICATE-----\nMIIB\n",
                "-----BEGIN CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n",
                "-----BEGIN CERTIFICATE-----\r\n-----END CERTIFICATE-----\r\n",
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct anchors_reader r;

                memset(&a, 0, sizeof(a));
                anchors_begin(&r, &a);
                anchors_feed(&r, rows[i], strlen(rows[i]));
                anchors_end(&r);
                CHECK_ROW(a.count == 0 && a.skipped >= 1 && a.text_len == 0, rows[i]);
        }
}
