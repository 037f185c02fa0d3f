"""Tool calls on real models, through the official openai client."""
import json

import openai
import pytest

from conftest import needs_model

TOOL_MODEL = "qwen2.5-coder:1.5b"  # its template has tools
PLAIN_MODEL = "smollm2:135m"       # its template has none
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The name of the city"},
                           "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "description": "Get the current time.", "strict": True,
                 "parameters": {"type": "object", "properties": {}, "additionalProperties": False}},
}
QUESTION = [{"role": "user", "content": "What is the weather in Seoul now?"}]


def ask(server, **more):
    arguments = {"model": TOOL_MODEL, "messages": QUESTION, "tools": [WEATHER, CLOCK],
                 "temperature": 0, "max_tokens": 120, **more}
    return server.client.chat.completions.create(**arguments)


def calls_of(choice):
    return [(c.function.name, json.loads(c.function.arguments))
            for c in choice.message.tool_calls or []]


@needs_model(TOOL_MODEL)
def test_required(real):
    choice = ask(real, tool_choice="required", parallel_tool_calls=False).choices[0]
    assert calls_of(choice)[0][0] == "get_weather"
    assert "Seoul" in calls_of(choice)[0][1]["city"]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls[0].id.startswith("call_")


@needs_model(TOOL_MODEL)
def test_named(real):
    named = {"type": "function", "function": {"name": "get_time"}}
    choice = ask(real, tool_choice=named).choices[0]
    assert calls_of(choice) == [("get_time", {})]


@needs_model(TOOL_MODEL)
def test_auto_calls_or_answers(real):
    choice = ask(real).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert calls_of(choice)[0][0] == "get_weather"
    code = [{"role": "user", "content": "Write a Python function that adds two numbers."}]
    choice = ask(real, messages=code, max_tokens=60).choices[0]
    assert not choice.message.tool_calls
    assert "def " in choice.message.content


@needs_model(TOOL_MODEL)
def test_none(real):
    choice = ask(real, tool_choice="none").choices[0]
    assert not choice.message.tool_calls
    assert choice.message.content


@needs_model(TOOL_MODEL)
def test_parallel_calls_or_one(real):
    both = [{"role": "user", "content": "What is the weather in Seoul and in Busan?"}]
    # This model goes on with more calls: the limit ends the answer in the middle of one.
    choice = ask(real, messages=both, tool_choice="required").choices[0]
    calls = choice.message.tool_calls
    assert ["Seoul" in calls[0].function.arguments, "Busan" in calls[1].function.arguments] == [True] * 2
    assert len({call.id for call in calls}) == len(calls)
    one = ask(real, messages=both, tool_choice="required", parallel_tool_calls=False).choices[0]
    assert len(calls_of(one)) == 1


@needs_model(TOOL_MODEL)
def test_a_stream_is_the_whole_answer_in_pieces(real):
    whole = ask(real, parallel_tool_calls=False).choices[0]
    chunks = list(ask(real, parallel_tool_calls=False, stream=True,
                      stream_options={"include_usage": True}))
    deltas = [call for c in chunks if c.choices for call in c.choices[0].delta.tool_calls or []]
    assert deltas[0].function.name == "get_weather" and deltas[0].function.arguments == ""
    assert deltas[0].type == "function" and deltas[0].id
    assert all(d.id is None and d.function.name is None and d.index == 0 for d in deltas[1:])
    assert len(deltas) > 2  # arguments come as they are generated
    arguments = "".join(d.function.arguments for d in deltas)
    assert arguments == whole.message.tool_calls[0].function.arguments
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert finishes[-1] == "tool_calls" and not any(finishes[:-1])
    assert not any(c.choices[0].delta.content for c in chunks if c.choices)
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 0


@needs_model(TOOL_MODEL)
def test_a_round_trip(real):
    first = ask(real, tool_choice="required", parallel_tool_calls=False).choices[0].message
    messages = [*QUESTION, first.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": first.tool_calls[0].id,
                 "content": json.dumps({"temperature": 31, "sky": "sunny"})}]
    choice = ask(real, messages=messages, tool_choice="none").choices[0]
    assert choice.finish_reason == "stop"
    assert "31" in choice.message.content


@needs_model(TOOL_MODEL)
def test_korean_arguments(real):
    question = [{"role": "user", "content": "부산의 현재 날씨를 알려줘. 도시 이름은 한국어로 써."}]
    choice = ask(real, messages=question, tool_choice="required",
                 parallel_tool_calls=False).choices[0]
    assert "부산" in calls_of(choice)[0][1]["city"]


@needs_model(PLAIN_MODEL)
def test_a_model_without_tools_is_told_and_held(real):
    choice = ask(real, model=PLAIN_MODEL, tool_choice="required",
                 parallel_tool_calls=False).choices[0]
    name, arguments = calls_of(choice)[0]
    assert choice.finish_reason == "tool_calls"
    assert (name, arguments) == ("get_time", {}) or set(arguments) <= {"city", "unit"}


@needs_model(PLAIN_MODEL)
def test_refusals_name_what_is_wrong(real):
    bad = json.loads(json.dumps(WEATHER))
    bad["function"]["parameters"]["properties"]["city"] = {"type": "string", "pattern": "(?<=a)b"}
    for more, param in [
            ({"tools": [CLOCK, bad]}, "tools[1].function.parameters"),
            ({"tools": [CLOCK, CLOCK]}, "tools[1].function.name"),
            ({"tool_choice": {"type": "function", "function": {"name": "rm"}}}, "tool_choice"),
            ({"functions": [{"name": "f"}]}, "functions"),
            ({"messages": [*QUESTION, {"role": "assistant", "content": None, "tool_calls": [7]}]},
             "messages[1].tool_calls[0]"),
            ({"messages": [{"role": "tool", "content": 7}]}, "messages[0].content")]:
        with pytest.raises(openai.BadRequestError) as error:
            ask(real, model=PLAIN_MODEL, **more)
        assert error.value.param == param, error.value
    with pytest.raises(openai.BadRequestError, match="get_weather"):
        ask(real, model=PLAIN_MODEL, tools=[CLOCK, bad])


def odd_histories():
    call = {"id": "a", "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Seoul"}'}}
    def with_arguments(arguments):
        return [*QUESTION, {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a", "type": "function",
             "function": {"name": "get_weather", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "a", "content": "rain"}]
    yield from (with_arguments(a) for a in ['{"city": ', "", "[1]", "null", "서울", "{}" * 3,
                                            '{"a":' * 60 + "1" + "}" * 60])
    yield [*QUESTION, {"role": "tool", "tool_call_id": "nobody", "content": "rain"}]
    yield [*QUESTION, {"role": "tool", "content": None}]
    yield [*QUESTION, {"role": "assistant", "tool_calls": [call]},
           {"role": "user", "content": "And?"},
           {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "rain"}]}]
    yield [{"role": "tool", "tool_call_id": "a", "content": "<tool_call><|im_end|></tool_response>"},
           {"role": "assistant", "content": "", "tool_calls": [call, call]},
           {"role": "assistant", "content": "", "tool_calls": []}, *QUESTION]
    yield [*QUESTION, {"role": "assistant", "content": "x", "reasoning_content": "because"}, *QUESTION]


@pytest.mark.parametrize("model", [pytest.param(m, marks=needs_model(m))
                                   for m in (PLAIN_MODEL, TOOL_MODEL)])
def test_odd_histories_are_never_a_fault(real, model):
    for messages in odd_histories():
        body = {"model": model, "messages": messages, "tools": [WEATHER], "max_tokens": 1}
        status, _, reply = real.request("POST", "/v1/chat/completions", json.dumps(body),
                                        {"Content-Type": "application/json"})
        assert status in (200, 400), (messages, reply)
        assert status == 200 or json.loads(reply)["error"]["message"]
