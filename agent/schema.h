/*
 * agent/schema.h - does an answer fit the schema that it was asked for by? Pure.
 *
 * The part of JSON Schema that servers take in strict mode: type, enum, const, properties,
 * required, additionalProperties, items, anyOf and local $ref. What else a schema says is not
 * looked at, and a reference that leads nowhere holds for everything.
 */
#ifndef AGENT_SCHEMA_H
#define AGENT_SCHEMA_H

#include "agent/value.h"
#include "base/wr.h"

/* False: @why has one line, where and what ("/a/0: not a string"). */
MUST_USE bool schema_fits(const struct value *schema, const struct value *v, struct wr *why);

#endif
