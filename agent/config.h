/*
 * agent/config.h - environmentConfig/read: the parts of Codex's configuration here that a
 * client asks for.
 *
 * Layers, each a TOML document cut down to the paths asked for, from the weakest to the
 * strongest: /etc/codex/config.toml, the user's in $CODEX_HOME, each .codex/config.toml from
 * the project's root down to the folder asked about, /etc/codex/managed_config.toml; and
 * beside them the requirements of /etc/codex. What a repository says counts only in folders
 * that the others call trusted, and never says which model to ask, nor whom to notify.
 */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include "agent/dispatch.h"

#define CONFIG_RESULT_MAX (1U << 20)

void config_call(struct call *call);

#endif
