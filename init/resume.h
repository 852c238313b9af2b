/*
 * init/resume.h - `airlock run --resume OUT`: what an earlier turn left, for a follow-up.
 *
 * Runs in airlock-spec, before anything is started. OUT is taken for what anybody may have
 * written: a name that is no regular file is not followed, each file has a bound, and
 * result.json is held against the spec. What is good is copied to sealed memfds, which PID 1
 * hands to others and never reads: the changes to git (init/difference.h), the conversation to
 * airlock-agent, which is also asked here, behind its seal, if it is one.
 */
#ifndef INIT_RESUME_H
#define INIT_RESUME_H

#include "init/spec.h"

#define RESUME_RESULT_MAX (256 << 10)
#define RESUME_DIFF_MAX (256U << 20)
#define RESUME_CONVERSATION_MAX (64U << 20) /* = TRANSCRIPT_MAX of agent/transcript.h */
#define RESUME_TURNS_MAX 9999

/* What result.json says of its turn. */
struct resume_facts {
        char start[65];
        uint32_t turn, diff_bytes, conversation_bytes;
        bool diff_whole, has_conversation;
};

/*
 * 0: @json is the result of a turn that a task with @spec can follow; else -EINVAL, and @error
 * says where it is not, what is there and what was expected. Pure.
 */
MUST_USE int resume_parse(const struct spec *spec, const char *json, size_t len,
                          struct resume_facts *facts, struct spec_error *error);

/*
 * Fills in spec->resume from the folder @from, which has to live on. 0, or STATUS_SPEC or
 * STATUS_PROVISION after a line that says what is wrong.
 */
MUST_USE int resume_load(struct spec *spec, const char *from);

/*
 * Where the results are to go to that same folder: keeps the earlier turn's in turn-N there.
 * 0, or STATUS_OUTPUT after a line.
 */
MUST_USE int resume_keep(const struct spec *spec, const char *out);

#endif
