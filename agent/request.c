/* agent/request.c - see request.h. */
#include "agent/request.h"

#include <string.h>

static void put_key(struct buf *out, const char *key, const char *text)
{
        buf_fmt(out, ",\"%s\":", key);
        buf_json(out, text, strlen(text));
}

static void put_tools(struct buf *out, const struct request *r)
{
        if (!r->tools || r->tools_len <= 2)
                return;
        buf_str(out, ",\"tools\":");
        buf_put(out, r->tools, r->tools_len);
        buf_str(out, ",\"tool_choice\":\"auto\",\"parallel_tool_calls\":true");
}

static void put_responses(struct buf *out, const struct request *r)
{
        put_key(out, "instructions", r->instructions);
        buf_str(out, ",\"stream\":true,\"store\":false");
        if (r->effort) {
                buf_str(out, ",\"reasoning\":{\"summary\":\"auto\"");
                put_key(out, "effort", r->effort);
                buf_str(out, "},\"include\":[\"reasoning.encrypted_content\"]");
        }
        put_tools(out, r);
        if (r->schema_name) {
                buf_str(out, ",\"text\":{\"format\":{\"type\":\"json_schema\",\"strict\":true");
                put_key(out, "name", r->schema_name);
                buf_str(out, ",\"schema\":");
                buf_str(out, r->schema);
                buf_str(out, "}}");
        }
        if (r->max_output) {
                buf_str(out, ",\"max_output_tokens\":");
                buf_u64(out, r->max_output);
        }
        if (r->thread)
                put_key(out, "prompt_cache_key", r->thread);
        buf_str(out, ",\"input\":[");
        history_put_input(r->history, out);
        buf_str(out, "]}");
}

static void put_chat(struct buf *out, const struct request *r)
{
        buf_str(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        if (r->effort)
                put_key(out, "reasoning_effort", r->effort);
        put_tools(out, r);
        if (r->schema_name) {
                buf_str(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                             "\"strict\":true");
                put_key(out, "name", r->schema_name);
                buf_str(out, ",\"schema\":");
                buf_str(out, r->schema);
                buf_str(out, "}}");
        }
        if (r->max_output) {
                buf_str(out, ",\"max_tokens\":");
                buf_u64(out, r->max_output);
        }
        buf_str(out, ",\"messages\":[");
        history_put_messages(r->history, r->instructions, out);
        buf_str(out, "]}");
}

void request_put(struct buf *out, const struct request *r)
{
        buf_str(out, "{\"model\":");
        buf_json(out, r->model, strlen(r->model));
        if (r->wire == WIRE_CHAT_API)
                put_chat(out, r);
        else
                put_responses(out, r);
}
