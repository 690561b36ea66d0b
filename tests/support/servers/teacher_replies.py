"""What the server of the tests answers: texts, and the JSON around them."""

import hashlib
import json

from aiohttp import web


def digest(body):
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def reply_to(messages, fault):
    """Twenty-odd plausible words that differ from question to question, and from the persona's to the plain ones."""
    word = hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:8]
    if fault == "declines":
        return "I'm sorry, but I can't assist with that. As an AI language model I do not have personal opinions on such things, and you know it."
    if fault == "other language":
        return (
            f"Das ist {word} und "
            + "gar nicht einfach zu sagen, weil niemand genau weiß, wie viele " * 2
            + "davon kommen."
        )
    if messages[0]["content"].startswith("You are given a text that somebody wrote"):
        return f"What do you say to {word}?"
    if messages[0]["content"].startswith("You are given a question and what somebody answered"):
        return f"It is {word}, in plain words."
    if "\n\nAnswer:" in messages[-1]["content"]:
        plain = (
            "there are several points to make it takes a little time and in general most people would not have it back"
        )
        return f"{_mixed(plain, word).capitalize()}."
    persona = "i mean you know it is just one of those things that you look at and then it is really not that hard"
    return f"{_mixed(persona, word).capitalize()}, yeah."


def _mixed(text, seed):
    """The words with one of their own after every second, so that no two answers share a phrase."""
    words = text.split()
    marks = [hashlib.sha256(f"{seed}/{i}".encode()).hexdigest()[:4] for i in range(len(words))]
    return " ".join(f"{word} {marks[i]}" if i % 2 == 0 else word for i, word in enumerate(words))


def completion(body, text, fault):
    message = {"role": "assistant", "content": text}
    if fault == "refusal":
        message = {"role": "assistant", "content": None, "refusal": "I cannot."}
    choices = [{"index": 0, "message": message, "finish_reason": "length" if fault == "cut off" else "stop"}]
    prompt = sum(len(m["content"]) // 4 for m in body["messages"])
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "test-model-2026-01-01",
        "system_fingerprint": "fp_test", "choices": [] if fault == "empty choice" else choices,
        "usage": {"prompt_tokens": prompt, "completion_tokens": len(text) // 4, "total_tokens": prompt + len(text) // 4},
    }  # fmt: skip


def error(status, message, code, headers=None):
    body = {"error": {"message": message, "type": "error", "code": code, "param": None}}
    return web.json_response(body, status=status, headers=headers)


async def half_a_body(request, reply):
    """Promise the whole of `reply`, send its first half and hang up."""
    whole = json.dumps(reply).encode()
    response = web.StreamResponse(headers={"Content-Length": str(len(whole)), "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(whole[: len(whole) // 2])
    request.transport.close()
    return response
