/*
 * agent/skill.h - what a skill says of itself: the head of its SKILL.md, and agents/openai.yaml
 * beside it. Pure.
 *
 * Codex's own reader decides what is right, so its habits are kept: white space is one space,
 * a head that is no YAML because of prose ("description: Build for AWS: ECS") is read again
 * with quotes around it, a field of the wrong kind makes all of the file wrong. What YAML
 * allows and agent/yaml.h does not read is told apart from what is wrong: whoever asks can
 * leave such a skill out, rather than take it without the policy that was written for it.
 */
#ifndef AGENT_SKILL_H
#define AGENT_SKILL_H

#include "agent/buf.h"
#include "agent/yaml.h"

#define SKILL_NAME_MAX 64        /* characters */
#define SKILL_FULL_NAME_MAX 129  /* with the plugin's */
#define SKILL_TEXT_MAX 1024      /* of what agents/openai.yaml says */

/* Bytes that the caller frees; no brief: of no length. */
struct skill {
        struct buf name, description, brief;
};

/*
 * Reads a SKILL.md. @folder is its name if it has none. False: it is no skill, and @s is
 * empty.
 */
MUST_USE bool skill_read(struct yaml *y, const char *text, size_t len, const char *folder,
                         struct skill *s);
void skill_free(struct skill *s);
size_t skill_chars(const struct buf *text);

/* Its bytes without the white space around them, Unicode's, at the end of @out. */
void skill_trim(const struct buf *text, struct buf *out);

/*
 * Reads an agents/openai.yaml: JSON of its "dependencies" and its "policy", "null" for what is
 * not there or wrong. False: it may well be right, but is not for this reader.
 */
MUST_USE bool skill_read_about(struct yaml *y, const char *text, size_t len,
                               struct buf *dependencies, struct buf *policy);

#endif
