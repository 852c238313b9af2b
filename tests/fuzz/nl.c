/*
 * tests/fuzz/nl.c - a datagram is a yes only when it holds an ack of 0 for the awaited
 * message, and no error before it ends; attributes lie inside of what they are read from,
 * one behind the other.
 */
#include "netfilter/nl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define AWAITED 0x41414141

/* The awaited ack, byte for byte, anywhere: what a yes can't do without. */
static bool holds_ack(const uint8_t *data, size_t len)
{
        for (size_t at = 0; len - at >= 20; at += 4) {
                struct nlmsghdr h;
                int32_t error;

                memcpy(&h, data + at, sizeof(h));
                memcpy(&error, data + at + sizeof(h), sizeof(error));
                if (h.nlmsg_type == NLMSG_ERROR && h.nlmsg_seq == AWAITED && !error)
                        return true;
        }
        return false;
}

static void judge(const uint8_t *data, size_t len)
{
        int err = 0;

        switch (nl_judge(data, len, AWAITED, &err)) {
        case NL_DONE:
                if (!holds_ack(data, len))
                        abort();
                break;
        case NL_FAILED:
                if (err >= 0)
                        abort();
                break;
        case NL_WAIT:
        case NL_MALFORMED:
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct rd r = rd_of(data, len), value;
        const uint8_t *behind = data;
        uint16_t type;

        judge(data, len);
        while (nl_attribute(&r, &type, &value)) {
                if (value.bad || value.at < behind || value.end > data + len || r.at < value.end)
                        abort();
                behind = r.at;
        }
        if (!r.bad && rd_left(&r))
                abort();
        return 0;
}
