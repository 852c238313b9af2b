/*
 * agent/inventory.h - capabilities/discoverV2: the skills and plugins that this place has of
 * its own, understood.
 *
 * Skills below $CODEX_HOME/skills, ~/.agents/skills and /etc/codex/skills; plugins below
 * $CODEX_HOME/plugins/cache/MARKETPLACE/NAME/VERSION, of each the latest version. A
 * repository's skills are not among them: those a client looks for itself. Nothing is fetched,
 * and nothing is kept: each call looks anew.
 *
 * What can't be read or is wrong is left out and leaves one warning for its root. That goes
 * for a skill too whose YAML is right but not read here (agent/yaml.h).
 */
#ifndef AGENT_INVENTORY_H
#define AGENT_INVENTORY_H

#include "agent/dispatch.h"

#define INVENTORY_PLUGINS 512
#define INVENTORY_MAX (4U << 20) /* of JSON */

void inventory_call(struct call *call);

#endif
