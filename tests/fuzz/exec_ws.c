/*
 * tests/fuzz/exec_ws.c - a frame's head says the same however it is cut; a message never
 * grows past its limit; unmasking twice is nothing.
 */
#include "agent/ws.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct ws w = { 0 };
        struct ws_frame f;

        while (len) {
                struct ws before = w;
                enum ws_status s = ws_parse(&w, &f, data, len);
                uint8_t *copy;

                if (s != WS_OK && memcmp(&before.message_len, &w.message_len, sizeof(size_t)) != 0)
                        abort();
                if (s != WS_OK)
                        return 0;
                if (f.head_len > len || f.len > WS_FRAME_MAX || w.message_len > WS_MESSAGE_MAX)
                        abort();
                for (size_t n = 0; n < f.head_len; n++) {
                        struct ws part = before;
                        struct ws_frame g;

                        if (ws_parse(&part, &g, data, n) != WS_MORE && !w.open)
                                if (ws_parse(&part, &g, data, n) == WS_OK)
                                        abort();
                }
                data += f.head_len;
                len -= f.head_len;
                if (f.len > len)
                        return 0;
                copy = malloc(f.len + 1);
                if (!copy)
                        abort();
                memcpy(copy, data, f.len);
                ws_unmask(copy, f.len, f.mask, 0);
                if (f.opcode == WS_CLOSE)
                        (void)ws_close_valid(copy, f.len);
                ws_unmask(copy, f.len, f.mask, 0);
                if (memcmp(copy, data, f.len) != 0)
                        abort();
                free(copy);
                data += f.len;
                len -= f.len;
        }
        return 0;
}
