/* netfilter/names.c - names and their synthetic addresses. */
#include "netfilter/names.h"

#include <string.h>

#define FIRST UINT32_C(0xc6120000) /* 198.18.0.0 */
#define SPAN (UINT32_C(1) << 17)
/* Round 0 is left out: 198.18.0.0 and its neighbours look like networks to some. */
#define ROUNDS (SPAN / NAMES_COUNT - 1)
#define NONE UINT16_MAX
#define KEEP_MS (2 * UINT64_C(1000) * NAMES_TTL_S)

struct entry {
        uint64_t asked_ms;
        uint32_t users;      /* connections */
        uint16_t same_hash;  /* next in the chain, or NONE */
        uint16_t newer, older; /* ring of age; entry 0 is its anchor and holds no name */
        uint8_t round;       /* which of the slot's addresses is meant: 1 to ROUNDS */
        bool used;
        char name[NAMES_LEN + 1];
};

static struct entry table[NAMES_COUNT] LARGE_BUFFER;
static uint16_t chains[NAMES_COUNT] LARGE_BUFFER;
static uint16_t filled; /* entries that were ever used; 0 is the anchor */

static uint32_t hash(const char *name, size_t len)
{
        uint32_t h = 2166136261U;

        for (size_t i = 0; i < len; i++)
                h = (h ^ (uint8_t)name[i]) * 16777619U;
        return h & (NAMES_COUNT - 1);
}

static void age_unlink(uint16_t i)
{
        table[table[i].newer].older = table[i].older;
        table[table[i].older].newer = table[i].newer;
}

static void age_newest(uint16_t i)
{
        table[i].newer = 0;
        table[i].older = table[0].older;
        table[table[0].older].newer = i;
        table[0].older = i;
}

void names_init(void)
{
        for (size_t i = 0; i < NAMES_COUNT; i++)
                chains[i] = NONE;
        table[0].newer = 0;
        table[0].older = 0;
        filled = 1;
}

static uint32_t address_of(uint16_t i)
{
        return FIRST + table[i].round * (uint32_t)NAMES_COUNT + i;
}

static uint16_t find(const char *name, size_t len)
{
        uint16_t i = chains[hash(name, len)];

        while (i != NONE && (memcmp(table[i].name, name, len) != 0 || table[i].name[len]))
                i = table[i].same_hash;
        return i;
}

static void unchain(uint16_t i)
{
        uint16_t *at = &chains[hash(table[i].name, strlen(table[i].name))];

        while (*at != i)
                at = &table[*at].same_hash;
        *at = table[i].same_hash;
}

/* The entry longest unasked that nothing depends on; NONE when there is none. */
static uint16_t reclaim(uint64_t now_ms)
{
        for (uint16_t i = table[0].newer; i; i = table[i].newer) {
                if (now_ms - table[i].asked_ms < KEEP_MS)
                        return NONE; /* all that follow are younger */
                if (table[i].users)
                        continue;
                unchain(i);
                age_unlink(i);
                table[i].round = (uint8_t)(table[i].round % ROUNDS + 1);
                return i;
        }
        return NONE;
}

static uint16_t fresh(uint64_t now_ms)
{
        uint16_t i;

        if (filled == NAMES_COUNT)
                return reclaim(now_ms);
        i = filled++;
        if (!table[i].round) /* names_forget() moved the others on */
                table[i].round = 1;
        return i;
}

uint32_t names_address(const char *name, size_t len, uint64_t now_ms)
{
        uint16_t i;

        if (!len || len > NAMES_LEN)
                return 0;
        i = find(name, len);
        if (i != NONE) {
                age_unlink(i);
        } else {
                uint16_t *chain = &chains[hash(name, len)];

                i = fresh(now_ms);
                if (i == NONE)
                        return 0;
                memcpy(table[i].name, name, len);
                table[i].name[len] = '\0';
                table[i].users = 0;
                table[i].used = true;
                table[i].same_hash = *chain;
                *chain = i;
        }
        table[i].asked_ms = now_ms;
        age_newest(i);
        return address_of(i);
}

bool names_covers(uint32_t address)
{
        return address - FIRST < SPAN;
}

static struct entry *entry_at(uint32_t address)
{
        uint32_t i = (address - FIRST) % NAMES_COUNT;

        if (!names_covers(address) || !i || i >= filled || !table[i].used ||
            address_of((uint16_t)i) != address)
                return NULL;
        return &table[i];
}

const char *names_find(uint32_t address)
{
        const struct entry *e = entry_at(address);

        return e ? e->name : NULL;
}

void names_hold(uint32_t address)
{
        struct entry *e = entry_at(address);

        if (e)
                e->users++;
}

void names_release(uint32_t address)
{
        struct entry *e = entry_at(address);

        if (e && e->users)
                e->users--;
}

void names_forget(void)
{
        for (uint16_t i = 1; i < filled; i++) {
                table[i].used = false;
                table[i].users = 0;
                table[i].round = (uint8_t)(table[i].round % ROUNDS + 1);
        }
        names_init();
}
