/* tests/unit/test_armor.c - age files as text, strictly. */
#include "secrets/armor.h"
#include "tests/unit/unit.h"

#include <string.h>

#define BEGIN "-----BEGIN AGE ENCRYPTED FILE-----\n"
#define END "-----END AGE ENCRYPTED FILE-----\n"

TEST(every_length_survives_the_way_there_and_back)
{
        uint8_t bytes[200];
        uint8_t out[300];
        char text[ARMOR_LEN(sizeof(bytes))];

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)(i * 37);
        for (size_t len = 0; len <= sizeof(bytes); len++) {
                struct wr w = wr_of(text, sizeof(text));
                size_t n = 0;

                armor_put(&w, bytes, len);
                CHECK(!w.full && w.len <= ARMOR_LEN(len) && armor_is(text, w.len));
                CHECK(armor_parse(at_page_end(text, w.len), w.len, out, &n) == ARMOR_OK);
                CHECK(n == len && !memcmp(out, bytes, n));
        }
}

TEST(white_space_around_has_a_limit)
{
        static const char armor[] = BEGIN "YWdl\n" END;
        static char text[sizeof(armor) + ARMOR_SPACE_MAX + 1];
        uint8_t out[sizeof(text)];
        size_t n;

        for (size_t space = ARMOR_SPACE_MAX - 1; space <= ARMOR_SPACE_MAX + 1; space++) {
                size_t len = sizeof(armor) - 1 + space;

                memset(text, '\n', len);
                memcpy(text + space, armor, sizeof(armor) - 1);
                CHECK((armor_parse(text, len, out, &n) == ARMOR_OK) == (space <= ARMOR_SPACE_MAX));
                memset(text, '\n', len);
                memcpy(text, armor, sizeof(armor) - 1);
                CHECK((armor_parse(text, len, out, &n) == ARMOR_OK) == (space < ARMOR_SPACE_MAX));
        }
}

TEST(armor_has_one_shape)
{
        static const struct {
                const char *why, *text;
                enum armor_status status;
        } rows[] = {
                { "as it is written", BEGIN "YWdl\n" END, ARMOR_OK },
                { "space around", " \n\t\r\n" BEGIN "YWdl\n" END " \n", ARMOR_OK },
                { "CRLF", "-----BEGIN AGE ENCRYPTED FILE-----\r\nYWdl\r\n"
                          "-----END AGE ENCRYPTED FILE-----\r\n", ARMOR_OK },
                { "no newline at the end", BEGIN "YWdl\n-----END AGE ENCRYPTED FILE-----",
                  ARMOR_OK },
                { "space before BEGIN", " " BEGIN "YWdl\n" END, ARMOR_BEGIN },
                { "CR before BEGIN", "\n\r" BEGIN "YWdl\n" END, ARMOR_BEGIN },
                { "space before END", BEGIN "YWdl\n " END, ARMOR_LINE },
                { "white space only", " \n\n ", ARMOR_BEGIN },
                { "no BEGIN", "YWdl\n" END, ARMOR_BEGIN },
                { "space behind BEGIN", "-----BEGIN AGE ENCRYPTED FILE----- \nYWdl\n" END,
                  ARMOR_BEGIN },
                { "another type", "-----BEGIN MESSAGE-----\nYWdl\n-----END MESSAGE-----\n",
                  ARMOR_BEGIN },
                { "nothing in it", "", ARMOR_BEGIN },
                { "an empty line", BEGIN "\nYWdl\n" END, ARMOR_LINE },
                { "no padding", BEGIN "YWc\n" END, ARMOR_LINE },
                { "bits behind the end", BEGIN "YWd=\n" END, ARMOR_LINE },
                { "padding only", BEGIN "====\n" END, ARMOR_LINE },
                { "a short line, then another", BEGIN "YWdl\nYWdl\n" END, ARMOR_LINE },
                { "a space in a line", BEGIN "YW dl\n" END, ARMOR_LINE },
                { "no END", BEGIN "YWdl\n", ARMOR_END },
                { "END of another type", BEGIN "YWdl\n-----END MESSAGE-----\n", ARMOR_END },
                { "something behind", BEGIN "YWdl\n" END "x", ARMOR_AFTER },
                { "two of them", BEGIN "YWdl\n" END BEGIN "YWdl\n" END, ARMOR_AFTER },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t len = strlen(rows[i].text);
                uint8_t *text = at_page_end(rows[i].text, len);
                size_t n;

                /* In place: the output never overtakes the input. */
                CHECK_ROW(armor_parse(text, len, text, &n) == rows[i].status, rows[i].why);
        }
}
