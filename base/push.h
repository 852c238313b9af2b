/*
 * base/push.h - what PID 1 and airlock-push tell each other.
 *
 * After the agent, with everybody dead and the difference taken, PID 1 starts airlock-push
 * twice, as the agent's user, under the agent's lock, in the work tree. Each turn has a channel to airlock-proxy of its own and a policy that lets it do
 * one thing: the first may push one branch of one repository, the second may ask the forge
 * for pull requests of that repository. Between them everybody is ended, because the git of
 * the first one may be the agent's. The credential is the proxy's alone.
 *
 *   argv          made by airlock-spec (init/spec_pull.c)
 *   AIRLOCK_PUSH  CHANNEL:BUNDLE:START:REPOSITORY - descriptors, the commit that the task began
 *                 at, and the repository of init/difference.h
 *   stdin         answer.md
 *   stdout        a memfd. Empty: the first turn. It ends as an object of at most PUSH_RESULT bytes,
 *                 JSON, which becomes "pull_request" in result.json
 *   exit          0, PUSH_NOTHING (nothing was changed, and no second turn is needed), or
 *                 STATUS_AGAIN, STATUS_OUTPUT with a last line on stderr that says why
 */
#ifndef BASE_PUSH_H
#define BASE_PUSH_H

#define PUSH_NOTHING 1
#define PUSH_RESULT 8192

#endif
