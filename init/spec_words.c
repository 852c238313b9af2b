/* init/spec_words.c - names of what a spec's enums say. */
#include "init/spec.h"

const char *spec_runtime_name(enum spec_runtime r)
{
        static const char names[RUNTIME_COUNT][8] = {
                [RUNTIME_PYTHON] = "python", [RUNTIME_NODE] = "node", [RUNTIME_RUBY] = "ruby",
                [RUNTIME_RUST] = "rust",     [RUNTIME_GO] = "go",     [RUNTIME_SWIFT] = "swift",
                [RUNTIME_PHP] = "php",       [RUNTIME_JAVA] = "java",
        };

        return names[r];
}

const char *spec_runtime_variable(enum spec_runtime r)
{
        static const char names[RUNTIME_COUNT][26] = {
                [RUNTIME_PYTHON] = "CODEX_ENV_PYTHON_VERSION",
                [RUNTIME_NODE] = "CODEX_ENV_NODE_VERSION",
                [RUNTIME_RUBY] = "CODEX_ENV_RUBY_VERSION",
                [RUNTIME_RUST] = "CODEX_ENV_RUST_VERSION",
                [RUNTIME_GO] = "CODEX_ENV_GO_VERSION",
                [RUNTIME_SWIFT] = "CODEX_ENV_SWIFT_VERSION",
                [RUNTIME_PHP] = "CODEX_ENV_PHP_VERSION",
                [RUNTIME_JAVA] = "CODEX_ENV_JAVA_VERSION",
        };

        return names[r];
}

const char *spec_net_name(enum spec_net mode)
{
        static const char names[][8] = { "off", "limited", "full" };

        return names[mode];
}
