r"""A scripted model server: the real protocols over real HTTP, with answers and faults from a script.

Use it in process, `async with ScriptedModelServer(script) as server: ...`, as a command,
`python -m tests.fakes.model_server --script FILE.json --port 0 [--port-file F] [--key K]`, or by the pytest fixture
`serve_script` of `tests.fakes.model_server.fixtures`, which runs that command.

It serves `POST /v1/chat/completions` (OpenAI), `POST /v1/messages` (Anthropic),
`POST /v1beta/models/NAME:generateContent` and `:streamGenerateContent` (Google), `GET /v1/models[/NAME]` and
`GET /v1beta/models` in their shapes, and for tests `GET /__requests`, `GET /__stats`, `POST /__reset`, `PUT /__script`.
It refuses, as the providers do, a wrong key (401, Google 400), an unknown model (404), a tool call without its result,
a tool whose schema is no object.

A script is a JSON list of rules, or an object::

    {"rules": [...],
     "models": {"m1": {}, "m2": {"no_tools": true}, "m3": {"context_tokens": 8000}, "m4": {"refuses_tools": true}},
     "keys": ["test-key"]}

`models` (also a list of names) are those that exist; none named: any name is served. `keys` are accepted as
`Authorization: Bearer`, `x-api-key` or `x-goog-api-key`; none named: any, or none. A `no_tools` model ignores tools (it
answers the rule's text and leaves its calls out), a `refuses_tools` one answers 400 when some are on offer.

The first rule that fits answers. Its answer is a function of the request alone, call ids included, so a client that
asks the same again (after kill -9, for example) hears the same. A request that no rule fits gets a 400 saying so::

    {"when": {...}, "capture": {...}, "reply": {...}, "fault": {...}, "times": 1, "note": "for people"}

`when`, all conditions must hold; texts are one string or a list, of which all must be there (`not_contains`: none):
  `contains` `not_contains` `matches` (regex)            anywhere: messages, system, tool results, arguments of calls
  `system_contains` `user_contains` `last_contains`      in the system text, any user message, the newest message
  `last_tool_result_contains` `last_tool_result_matches` in the newest tool result
  `model` `provider` (`openai`, `anthropic`, `google`)   one of these
  `tools_include`                                        all of these tools are on offer
  `tools_offered` `has_tool_result` `stream`             true or false
  `turn`                                                 how many assistant messages there are: 2, {"min":, "max":}

`capture` reads values from the conversation, `{"line": "def total.*?:(\\d+)"}`: the last match, its first group when it
has one; `{"line": {"regex": "...", "in": "last_tool_result"|"system"|"user"|"last"}}` looks there only. A rule whose
capture finds nothing does not fit. `{{line}}` in any string of the reply is replaced, `"{{int:line}}"` becomes a
number; `{{last_tool_result}}`, `{{last}}` (newest message), `{{model}}` and `{{turn}}` are always there.

`reply`: a string, or `{"text":, "thinking":, "tool_calls": [{"name":, "arguments": {...} or "raw text", "id":}],
"usage": {"input":, "output":, "cache_read":, "cache_write":, "reasoning":}, "finish_reason":}`, the reason being
`stop`, `length`, `tool_calls` or `content_filter`. `input` includes both cached parts and `output` the reasoning; each
wire splits them its own way. What is not given is counted: a token for each 4 bytes of the request and of the answer.
A text longer than `max_tokens` is cut there with finish reason `length`.

`fault`: its kind as a string, or an object with `kind`, `times` (it heals after so many uses; then the rule's reply
answers, or, without one, the rule is passed over) and what the kind takes:
  instead of an answer:
    `rate_limited` (`retry_after_s`), `server_error` (`status`, 500), `unauthorized`, `forbidden`, `bad_request`,
    `context_overflow`, `redirect` (`to`), `drop` (closes at once), `malformed_body`, `endless` (talks for `duration_s`,
    30, then hangs up); `message` sets the text of an error
  with the rule's reply:
    `cut_stream` (hangs up after `after` events, 2; `clean`: ends the stream properly, but without its last events),
    `cut_body` (in the middle of an event or body), `error_in_stream` (an error event after `after` events),
    `malformed_arguments`, `wrong_tool` (calls `tool`, `no_such_tool`), `huge_text` (`size_bytes`, 2,000,000; needs no
    reply), `slow` (`delay_s` before the headers, `trickle_s` after each piece), `empty_choices`, `no_usage`
`delay_s` and `trickle_s` work with every fault. A rule's `times` limits how often the whole rule is used.
"""

from tests.fakes.model_server.record import RecordedRequest, Stats
from tests.fakes.model_server.script import Script, ScriptError
from tests.fakes.model_server.server import ScriptedModelServer

__all__ = ["RecordedRequest", "Script", "ScriptError", "ScriptedModelServer", "Stats"]
