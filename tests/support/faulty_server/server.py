"""A server that misbehaves in every way that OpenAI-compatible servers are known to, drawn from a seed.

`http://127.0.0.1:<port>/<mixture>/v1` is a server of its own for each mixture: what its model refuses, how it writes lists and
counts tokens is the mixture's; what becomes of one request is drawn from mixture, request and try.
"""

import asyncio
import hashlib
import json
import random
import time
from collections import Counter, defaultdict

from aiohttp import web

from tests.support.servers.teacher_replies import error, half_a_body, reply_to
from tests.support.servers.teacher_server import TeacherServer

PRICES = [10.0, 100.0]  # dollars per million tokens
PASSING = (
    "429", "429 with a wait", "429 in a 200", "error in a choice", "500", "503 page", "reset", "reset afterwards", "half a body",
    "hang", "not JSON", "nothing", "empty", "no choices", "tool call", "refusal", "open thought", "filtered", "cut off",
)  # fmt: skip
GOOD = (
    "plain", "thought", "empty thought", "bracketed thought", "unopened thought", "channels", "parts", "parts with a thought",
    "reasoning beside", "a list around", "a stream", "a part alone",
)  # fmt: skip
REFUSED = ("temperature", "top_p", "both", "seed", "max_tokens", "system", "response_format")
LISTS = ("json", "talk, then json", "objects", "by category", "numbered", "labelled", "numbers in json", "fenced", "lines", "headings", "table")  # fmt: skip
MODERATION = (
    (400, "Output data may contain inappropriate content.", "data_inspection_failed"),
    (400, "The response was filtered due to the prompt triggering content management policy.", "content_filter"),
    (403, "Your input was flagged by moderation.", "403"),
    (400, "Request blocked by guardrail.", "guardrail_intervened"),
    (451, "The request was blocked.", "censorship_blocked"),
    (400, "Content Exists Risk", "invalid_request_error"),
)
# What a server may say from some request on, and what the run that meets it is to say in its last line.
FATAL = (
    ((401, "Incorrect API key provided", "invalid_api_key"), "set another key"),
    ((402, "Insufficient Balance", "unknown_error"), "its quota at"),
    ((400, "Your credit balance is too low to access the API", "invalid_request_error"), "its quota at"),
    ((404, "No models loaded. Please load a model", "model_not_found"), "is not at"),
    ((429, "Come back tomorrow", None, {"Retry-After": "3600"}), "asks to wait 3600 seconds"),
)


class Mixture:
    """What one of the servers is like."""

    def __init__(self, name):
        dice = random.Random(f"mixture {name}")
        self.refuses = {part for part in REFUSED if dice.random() < 0.25}
        self.list_shape = dice.choice(LISTS)
        self.good = dice.sample(GOOD, 3)
        self.passing = dice.sample(PASSING, 4)
        self.rate = dice.choice((0.0, 0.2, 0.4))
        self.moderates = dice.choice((0.0, 0.0, 0.2))
        self.usage = dice.choice(("whole", "whole", "without the thought", "other names", "as text"))
        self.moderation = dice.choice(MODERATION)
        self.bytes_per_token = dice.choice((4, 4, 2, 1))
        self.redirects = dice.random() < 0.2
        self.fatal, self.fatal_end = dice.choice(FATAL) if dice.random() < 0.2 else (None, "")
        self.fatal_after = dice.randint(5, 60)  # requests


class FaultyServer(TeacherServer):
    """Use it as a context manager; `billed`, `answers`, `questions` and `arrived` are by mixture."""

    def __enter__(self):
        self.billed = defaultdict(float)
        self.answers, self.questions = defaultdict(set), defaultdict(set)
        self.arrived = defaultdict(list)  # (time, name of the request)
        self.tries, self.refused = Counter(), Counter()
        self.delivered = defaultdict(list)  # (time of the request, its name) of good replies that were sent
        self.worthless = defaultdict(set)  # names of requests that were moderated, or spent on thought
        return super().__enter__()

    def address(self, mixture):
        return f"{self.url.removesuffix('/v1')}/{mixture}/v1"

    async def chat(self, request):
        number = request.match_info["mixture"]
        mixture = Mixture(number)
        body = await request.json()
        if problem := refused(mixture, body):
            return error(*problem)
        if mixture.redirects and "moved" not in request.query:
            raise web.HTTPTemporaryRedirect(f"{request.path}?moved=1")
        if mixture.fatal and len(self.arrived[number]) >= mixture.fatal_after:
            self.refused[number] += 1
            return error(*mixture.fatal)
        name = name_of(body["messages"])
        at = time.time()
        self.arrived[number].append((at, name))
        self.tries[number, name] += 1
        always = random.Random(f"{number}/{name}")
        dice = random.Random(f"{number}/{name}/{self.tries[number, name]}")
        if always.random() < mixture.moderates and not is_list(body):
            self.worthless[number].add(name)
            return error(*mixture.moderation)
        await asyncio.sleep(dice.uniform(0.0, 0.02))
        fault = None
        if dice.random() < mixture.rate and self.tries[number, name] <= 3:
            fault = dice.choice(mixture.passing)
        if fault in ("open thought", "filtered"):
            self.worthless[number].add(name)
        if fault is None:
            self.delivered[number].append((at, name))
        return await self.respond(request, number, mixture, body, name, fault, dice)

    async def respond(self, request, number, mixture, body, name, fault, dice):
        text = self.write(number, mixture, body, name)
        if fault in ("429", "500"):
            return error(int(fault), f"fault: {fault}", None)
        if fault == "429 with a wait":
            return error(429, "Rate limit reached. Please try again in 50ms.", "rate_limit_exceeded")
        if fault == "429 in a 200":
            return web.json_response({"error": {"message": "Rate limit exceeded", "code": 429}})
        if fault == "error in a choice":
            choice = {
                "message": {"content": text[:5]},
                "finish_reason": "error",
                "error": {"code": 502, "message": "Upstream"},
            }
            return web.json_response({"choices": [choice]})
        if fault == "503 page":
            return web.Response(
                status=503, text="<html><body>Service Unavailable</body></html>", content_type="text/html"
            )
        if fault == "reset":
            request.transport.abort()
            return error(500, "", None)
        if fault == "not JSON":
            return web.Response(text="{not json", content_type="application/json")
        if fault == "nothing":
            return web.json_response({})
        reply = self.bill(number, mixture, body, shaped(fault or dice.choice(mixture.good), text))
        if fault == "hang":
            await asyncio.sleep(3)
        if fault == "reset afterwards":
            request.transport.abort()
        if fault == "half a body":
            return await half_a_body(request, reply)
        if "streamed" in reply:
            return web.Response(text=reply["streamed"], content_type="text/event-stream")
        return web.json_response(reply)

    def bill(self, number, mixture, body, reply):
        """The reply with its usage, as the mixture counts, and the money it costs."""
        sizes = [len(str(message["content"]).encode()) for message in body["messages"]]
        prompt = sum(size // mixture.bytes_per_token for size in sizes)
        written, thought = len(json.dumps(reply)) // 8 + 1, 7
        self.billed[number] += (prompt * PRICES[0] + (written + thought) * PRICES[1]) / 1e6
        total = prompt + written + thought
        usage = {
            "whole": {"prompt_tokens": prompt, "completion_tokens": written + thought, "total_tokens": total},
            "without the thought": {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": total},
            "other names": {"input_tokens": prompt, "output_tokens": written + thought},
            "as text": {"prompt_tokens": str(prompt), "completion_tokens": str(written + thought)},
        }[mixture.usage]
        if "streamed" in reply:
            last = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage}
            return {"streamed": f"{reply['streamed']}data: {json.dumps(last)}\n\ndata: [DONE]\n\n"}
        return reply | {"model": "test-model-1", "usage": usage}

    def write(self, number, mixture, body, name):
        if not is_list(body):
            text = "A" if "Reply with one letter" in str(body["messages"]) else reply_to(body["messages"], None)
            self.answers[number].add(text)
            return text
        marks = [hashlib.sha256(f"{name}/{i}".encode()).hexdigest() for i in range(10)]
        questions = [f"What is {mark[:9]} to {mark[10:19]} or {mark[20:29]}?" for mark in marks]
        self.questions[number].update(questions)
        return listed(questions, "json" if "response_format" in body else mixture.list_shape)


def name_of(messages):
    """A request by its words, whether or not the system's are in the user's turn."""
    words = "\n\n".join(message["content"] for message in messages)
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def is_list(body):
    return "Give me" in body["messages"][0]["content"]


def refused(mixture, body):
    """The error for a part of the request that the mixture's model does not take."""
    refuses = mixture.refuses
    if "max_tokens" in refuses and "max_tokens" in body:
        return 400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "unsupported_parameter"
    if "both" in refuses and {"temperature", "top_p"} <= {*body}:
        return 400, "`temperature` and `top_p` cannot both be specified for this model.", "invalid_request_error"
    if "temperature" in refuses and body.get("temperature", 1) != 1:
        return 400, "Unsupported value: 'temperature' does not support 0.8 with this model.", "unsupported_value"
    for part in ("top_p", "seed"):
        if part in refuses and part in body:
            return 422, f"Extra inputs are not permitted: {part}", "extra_forbidden"
    if body.get("seed", 0) >= 2**31:
        return 400, "seed must be less than 2147483648", "invalid_value"
    if "system" in refuses and body["messages"][0]["role"] == "system":
        return 400, "System role not supported", "BadRequestError"
    if "response_format" in refuses and "response_format" in body:
        return 400, "response_format of type json_schema is not supported", "unsupported"
    return None


def shaped(shape, text):
    """A completion that says `text`, or does not, in one of the shapes."""
    thought = "- Let me think.\n- What is it they want?"
    message, finish = {"role": "assistant", "content": text}, "stop"
    contents = {
        "thought": f"<think>\n{thought}\n</think>\n\n{text}",
        "empty thought": f"<think>\n\n</think>\n\n{text}",
        "bracketed thought": f"[THINK]{thought}[/THINK]{text}",
        "unopened thought": f"{thought}\n</think>\n\n{text}",
        "channels": f"<|channel|>analysis<|message|>{thought}<|end|><|start|>assistant<|channel|>final<|message|>{text}",
        "parts": [{"type": "text", "text": text[:7]}, {"type": "text", "text": text[7:]}],
        "parts with a thought": [
            {"type": "thinking", "thinking": [{"type": "text", "text": thought}]},
            {"type": "text", "text": text},
        ],
        "a part alone": {"type": "text", "text": text},
        "open thought": f"<think>\n{thought}",
        "empty": "",
        "cut off": text[: len(text) // 2].rsplit(" ", 1)[0],
    }
    message["content"] = contents.get(shape, text)
    if shape in ("open thought", "cut off"):
        finish = "length"
    elif shape == "reasoning beside":
        message["reasoning_content"] = thought
    elif shape == "tool call":
        message |= {"content": None, "tool_calls": [{"function": {"name": "search", "arguments": "{}"}}]}
    elif shape == "refusal":
        message |= {"content": None, "refusal": "I cannot."}
    elif shape == "filtered":
        message["content"], finish = None, "content_filter"
    elif shape == "no choices":
        return {"choices": []}
    elif shape == "a stream":
        events = [{"choices": [{"delta": {"content": part}}]} for part in (text[:5], text[5:])]
        return {"streamed": "".join(f"data: {json.dumps(event)}\n\n" for event in events)}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def listed(questions, shape):
    """A list of questions as one kind of model writes it."""
    lines = [f"{number}. {text}" for number, text in enumerate(questions, 1)]
    half = len(questions) // 2
    pretty = json.dumps({"questions": questions}, indent=2)
    return {
        "json": json.dumps({"questions": questions}),
        "talk, then json": f"Here are your questions:\n\n{pretty}\n\nWould you like more?",
        "objects": json.dumps([{"id": number, "text": text} for number, text in enumerate(questions, 1)], indent=1),
        "by category": json.dumps({"Life": questions[:half], "Work": [{"question": text} for text in questions[half:]]}),
        "numbered": "Sure! Here you go.\n\n" + "\n".join(lines) + "\n\nShall I go on?",
        "labelled": "\n".join(f"Q{number}: {text}" for number, text in enumerate(questions, 1)),
        "numbers in json": json.dumps(lines),
        "fenced": f"```json\n{pretty}\n```",
        "lines": "\n".join(json.dumps({"question": text}) for text in questions),
        "headings": "## What matters?\n" + "\n".join(f"- {text}" for text in questions[:half])
        + "\n\n**Ready for more?**\n" + "\n".join(f"* {text}" for text in questions[half:]),
        "table": "| # | Question |\n|---|---|\n" + "\n".join(f"| {i} | {text} |" for i, text in enumerate(questions, 1)),
    }[shape]  # fmt: skip
