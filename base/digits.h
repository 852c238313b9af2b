/*
 * base/digits.h - numbers in text: options, files of /proc, our own programs' arguments.
 * Pure. No sign, no blanks, no base but ten; leading zeros are digits like others.
 */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include "base/base.h"

/*
 * Takes the digits at *@at and moves *@at behind them. False when there are none or the
 * number is more than @max: *@at stays, *@n is 0.
 */
MUST_USE bool digits_take(const char **at, uint64_t max, uint64_t *n);

/* The same for a text that is nothing else. */
MUST_USE bool digits_parse(const char *text, uint64_t max, uint64_t *n);

/* What a hexadecimal digit is worth, 0 to 15; -1: it is none. */
int hex_value(char c);

#endif
