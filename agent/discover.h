/*
 * agent/discover.h - capabilityRoots/discoverV1: the skills and plugin manifests below the
 * roots that a client names.
 *
 * What is found is read here and understood there: a SKILL.md and what stands beside it in
 * agents/openai.yaml, a plugin's manifest, and the two files that a manifest may name. The
 * bytes are a repository's, which may be hostile: how deep, how many and how long is bounded
 * for each root, and every path is opened under the rules of its root's sandbox.
 */
#ifndef AGENT_DISCOVER_H
#define AGENT_DISCOVER_H

#include "agent/dispatch.h"
#include "agent/files.h"

#define DISCOVER_ROOTS 128
#define DISCOVER_FILE_MAX (1U << 20)
#define DISCOVER_ROOT_MAX (16U << 20) /* bytes of all files of one root */

void discover_call(struct call *call);

#endif
