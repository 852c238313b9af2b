/*
 * agent/semver.h - which of two versions is the later one. Pure.
 *
 * Semantic Versioning 2.0 when both are such, build metadata counted last, as Codex counts it;
 * else by their bytes.
 */
#ifndef AGENT_SEMVER_H
#define AGENT_SEMVER_H

int semver_compare(const char *a, const char *b); /* < 0, 0, > 0 */

#endif
