"""What servers send back, read in one place: thoughts, parts, errors in any body, and whatever else may come."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.faulty_server.server import GOOD, shaped
from tests.support.servers.teacher_requests import make_request
from tonetune.teacher.endpoint.problem import is_billed, problem_in
from tonetune.teacher.endpoint.reply import Reply, read_reply

REQUEST = make_request("http://127.0.0.1:1/v1", "Why?")
TEXT = "Early enough for me, because the kitchen is quiet then."


def read(message: dict, finish: str = "stop", **body: object) -> Reply:
    choices = [{"message": message, "finish_reason": finish}]
    return read_reply(
        json.dumps({"choices": choices, "usage": {"prompt_tokens": 5, "completion_tokens": 7}} | body), REQUEST
    )


@pytest.mark.parametrize("shape", GOOD)
def test_the_answer_is_read_out_of_every_shape(shape):
    whole = shaped(shape, TEXT)
    raw = whole.get("streamed") or json.dumps(whole)
    assert problem_in(raw) is None
    reply = read_reply(raw, REQUEST)
    assert (reply.text, reply.fault, reply.cut_off) == (TEXT, None, False)


@pytest.mark.parametrize(
    "content",
    [
        f"<think>one</think>\n<think>two</think>{TEXT}",
        f"<thinking>a\nb</thinking>{TEXT}",
        f"◁think▷a◁/think▷{TEXT}",
        f"<|channel|>final<|message|>{TEXT}",
        f"<|channel>thought\na\n<channel|>{TEXT}<turn|>",
        f"<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>{TEXT}<|END_RESPONSE|>",
        f"a<|END_THINKING|>{TEXT}",
        f"<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>\n{TEXT}\n<|end_of_solution|>",
        f"<thoughts>a</thoughts>{TEXT}",
        f'<details type="reasoning" done="true"><summary>a</summary>\n> b\n</details>\n{TEXT}',
        f"<think>\na\n</think>\n<answer>\n{TEXT}\n</answer>",
        f"<response>{TEXT}",
        f"<|begin_of_box|>{TEXT}<|end_of_box|>",
        f"{TEXT}<|im_end|>",
        f"{TEXT}</s>\n",
        f"{TEXT}<|eot_id|><|endoftext|>",
    ],
)
def test_every_leading_thought_and_whatever_wraps_the_answer_is_taken_off(content):
    assert read({"content": content}).text == TEXT


def test_what_only_looks_like_a_thought_stays():
    for text in (
        "I think <think> is a tag.",
        "Think of it: <b>think</b> twice.",
        "[THINKING] of you.",
        "Write <answer>it</answer> so.",
        "A <details>b</details> c.",
        "Say </s> twice: </s> now.",
    ):
        assert read({"content": text}).text == text


@pytest.mark.parametrize(
    ("message", "body", "fault"),
    [
        ({"content": "<think>\n- What is it?"}, {}, "the model thinks"),
        ({"content": "", "reasoning_content": "- What is it?"}, {}, "the model thinks"),
        (
            {"content": None},
            {
                "usage": {
                    "prompt_tokens": 1,
                    "completion_tokens": 9,
                    "completion_tokens_details": {"reasoning_tokens": 9},
                }
            },
            "the model thinks",
        ),
        ({"content": ""}, {}, "a reasoning model?"),
    ],
)
def test_a_limit_that_is_spent_before_a_word_is_told_from_an_empty_answer(message, body, fault):
    reply = read(message, "length", **body)
    assert (reply.text, reply.fault, reply.cut_off, reply.empty_at_limit) == ("", fault, True, True)
    assert not read({"content": "Half a"}, "length").empty_at_limit
    assert read({"content": ""}).fault == "empty"


@pytest.mark.parametrize(
    ("message", "finish", "fault"),
    [
        ({"content": None, "refusal": "I cannot."}, "stop", "refused (I cannot.)"),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "stop", "refused (No.)"),
        ({"content": None, "tool_calls": [{"id": "1"}]}, "tool_calls", "calls a tool"),
        ({"content": TEXT}, "content_filter", "stopped by the endpoint's content filter"),
        ({"content": TEXT}, "sensitive", "stopped by the endpoint's content filter"),
        ({"content": "<think>a</think>"}, "stop", "thinks, and then says nothing"),
        ({"content": TEXT[:9]}, "insufficient_system_resource", "broken off (insufficient_system_resource)"),
        ({"content": TEXT[:9]}, "abort", "broken off (abort)"),
        ({"content": "I cannot."}, "refusal", "refused (I cannot.)"),
        (None, "content_filter", "stopped by the endpoint's content filter"),
    ],
)
def test_what_is_no_answer_says_why(message, finish, fault):
    assert read(message, finish).fault.startswith(fault)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"error": {"message": "Rate limit exceeded", "code": 429}}, 429, "Rate limit exceeded"),
        ({"error": {"message": "Provider returned error", "code": 502, "metadata": {"raw": "down"}}}, 502, "Provider returned error: down"),
        ({"error": "Unexpected endpoint or method. (POST /chat/completions)"}, 404, "Unexpected endpoint"),
        ({"code": 50505, "message": "Model service overloaded", "data": None}, 429, "Model service overloaded"),
        ({"object": "error", "message": "Internal server error", "code": 500}, 500, "Internal server error"),
        ({"error": {"message": "Incorrect API key"}}, 401, "Incorrect API key"),
        ({"detail": "Not Found"}, 404, "Not Found"),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, 429, "rate limit"),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, 402, "insufficient balance"),
        ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, 429, "request limit reached"),
        ({"result": None, "success": False, "errors": [{"message": "Capacity temporarily exceeded", "code": 3040}]}, 429, "Capacity"),
        ({"code": 500, "msg": "Internal error", "choices": []}, 500, "Internal error"),
        ({"error": {"message": "Upstream idle timeout", "code": 504}, "choices": [{"message": {"content": "Half"}}]}, 504, "Upstream"),
        ([{"error": {"message": "quota", "code": 429}}], 429, "quota"),
        ({"choices": [{"finish_reason": "error", "message": {"content": "x"}, "error": {"code": 503, "message": "busy"}}]}, 503, "busy"),
    ],
)  # fmt: skip
def test_an_error_in_a_body_of_status_200_is_an_error(body, status, says):
    problem = problem_in(json.dumps(body))
    assert problem.status == status
    assert says in problem.says


@pytest.mark.parametrize("finish", ["model_context_window_exceeded", "MAX_TOKENS", "length", "max_output_tokens"])
def test_an_answer_that_ran_into_any_limit_is_cut_off(finish):
    assert read({"content": TEXT[:9]}, finish).cut_off
    assert not any(read({"content": TEXT}, whole).cut_off for whole in ("stop", "STOP", "end_turn", ""))
    assert read({"content": TEXT}, "eos").fault is None


def test_no_error_is_read_into_an_answer():
    fine = {"base_resp": {"status_code": 0, "status_msg": ""}}, {"error": {"message": None, "code": None}}
    for extra in ({"error": None}, {"code": 200, "message": "success"}, {"error": {}}, *fine):
        whole = {"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]} | extra
        assert problem_in(json.dumps(whole)) is None


def test_moderation_is_known_under_its_names_and_asks_to_wait_are_read():
    for code, message in (
        ("data_inspection_failed", "Output data may contain inappropriate content."),
        ("content_filter", "The response was filtered"),
        ("1301", "unsafe or sensitive content"),
    ):
        assert problem_in(json.dumps({"error": {"code": code, "message": message}}), 400).moderated
    assert problem_in(json.dumps({"base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}})).moderated
    for status, code, message in (
        (451, "", "Not for you."),
        (451, "censorship_blocked", "The request is blocked."),
        (400, "invalid_request_error", "Content Exists Risk"),
        (400, "1301", "系统检测到输入或生成内容可能包含不安全或敏感内容"),
        (403, "", "The response was blocked."),
    ):
        assert problem_in(json.dumps({"error": {"code": code, "message": message}}), status).moderated
    assert not problem_in(json.dumps({"error": {"message": "Your request was blocked."}}), 403).moderated
    page = "<html><body>The content of this request was blocked.</body></html>"
    assert not problem_in(page, 403).moderated
    assert not problem_in(json.dumps({"error": {"message": "temperature is not supported"}}), 400).moderated
    assert problem_in(json.dumps({"error": {"message": "Please try again in 1.5s."}}), 429).wait == 1.5
    assert problem_in(json.dumps({"error": {"message": "Please try again in 20ms."}}), 429).wait == 0.02


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 30}, (5, 25)),  # the thought is in the sum only
        ({"input_tokens": "5", "output_tokens": 7}, (5, 7)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 30}}, (5, 37)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 3}}, (5, 7)),
        ({"prompt_tokens": -3, "completion_tokens": float("inf")}, None),
        (None, None),
        ("none", None),
    ],
)
def test_tokens_are_never_fewer_than_the_server_says_and_guessed_where_it_says_none(usage, tokens):
    reply = read({"content": TEXT}, usage=usage)
    counted = (reply.prompt_tokens, reply.completion_tokens)
    if tokens:
        assert counted == tokens
    else:
        assert 5 < counted[0] < 60
        assert len(TEXT) // 4 <= counted[1] <= len(TEXT)


def test_an_error_that_counts_tokens_is_billed_also_in_a_stream():
    error, usage = {"error": {"message": "Upstream", "code": 502}}, {"usage": {"prompt_tokens": 5}}
    assert is_billed(json.dumps(error | usage))
    assert is_billed(f"data: {json.dumps(usage)}\n\ndata: {json.dumps(error)}\n\n")
    assert not is_billed(json.dumps(error))


def test_what_cannot_be_counted_is_taken_for_the_most_that_it_may_be():
    most = len("Be yourself.Why?"), REQUEST.max_tokens
    for reply in (read_reply("{half a", REQUEST), read({"content": ""}, "length", usage=None)):
        assert reply.completion_tokens == most[1]
    assert read_reply("{half a", REQUEST).prompt_tokens >= most[0]  # a token may be a byte
    thought = read({"content": TEXT, "thinking": "What is it? " * 20}, usage=None)
    assert thought.completion_tokens > read({"content": TEXT}, usage=None).completion_tokens + 50


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["length", "error", "<think>", "text", TEXT]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "refusal",
                    "finish_reason",
                    "usage",
                    "prompt_tokens",
                    "completion_tokens",
                    "total_tokens",
                    "cost",
                    "error",
                    "code",
                    "type",
                    "text",
                    "delta",
                    "detail",
                    "metadata",
                    "raw",
                    "tool_calls",
                    "completion_tokens_details",
                    "reasoning_tokens",
                    "promptFeedback",
                    "param",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(
    VALUES
    | st.dictionaries(st.just("choices"), st.lists(st.fixed_dictionaries({"message": VALUES, "finish_reason": VALUES})))
)
def test_no_body_whatsoever_is_a_traceback(value):
    _holds(json.dumps(value))


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text(alphabet='{}[]":,data: \n<think>/0123\\ud8'))
def test_no_text_whatsoever_is_a_traceback(text):
    _holds(text)
    _holds(f"data: {text}\n\ndata: {text}")


def _holds(raw: str) -> None:
    for status in (200, 400, 500):
        problem = problem_in(raw, status)
        assert problem is None or 400 <= problem.status <= 599
    reply = read_reply(raw, REQUEST)
    assert reply.prompt_tokens >= 0
    assert reply.completion_tokens >= 0
    assert reply.text or reply.fault
    reply.text.encode()  # can be stored
    assert not reply.text.startswith("<think>")


def test_a_body_that_is_nested_without_end_is_no_traceback():
    _holds("[" * 100_000)
    _holds('{"choices":' * 50_000)


def test_half_a_surrogate_pair_can_be_stored():
    raw = '{"choices": [{"message": {"content": "A \\ud83d word."}, "finish_reason": "stop"}]}'
    assert read_reply(raw, REQUEST).text == "A ? word."
