"""Tokens guessed ahead change nothing but the time: a server with and one without give the same bytes."""
import json
import re

import pytest

from conftest import needs_model, running

MODEL = "smollm2:135m"
CODE = """def total(items):
    result = 0
    for item in items:
        result += item.price * item.quantity
    return result


def largest(items):
    result = items[0]
    for item in items:
        if item.price > result.price:
            result = item
    return result
"""
COPY = [{"role": "user", "content": "Repeat this text exactly:\n" + CODE}]
FREE = [{"role": "user", "content": "Tell me a short story about a fox."}]


@pytest.fixture(scope="module")
def servers():
    """(with guesses, without)"""
    with running("--kv-disk", "0") as guessing, running("--kv-disk", "0", "--speculate", "off") as plain:
        yield guessing, plain


def counters(server):
    text = server.request("GET", "/metrics")[2].decode()
    return [int(re.search(rf"^maru_{name}_tokens_total\{{.*\}} (\d+)$", text, re.M)[1])
            for name in ("guessed", "guessed_right", "generated")]


def ask(server, **more):
    reply = server.client.chat.completions.create(**{"model": MODEL, "temperature": 0, "max_tokens": 200, **more})
    return [(c.message.content, c.finish_reason, c.logprobs and c.logprobs.to_dict()) for c in reply.choices]


@needs_model(MODEL)
def test_a_copied_text_is_guessed_and_the_same(servers):
    guessing, plain = servers
    line = "A fox went out in the night to look at the moon. "
    copy = {"model": MODEL, "prompt": line * 8, "temperature": 0, "max_tokens": 60}
    texts = [[c.choices[0].text for c in server.client.completions.create(stream=True, **copy) if c.choices]
             for server in servers]
    assert texts[0] == texts[1]
    assert line * 2 in "".join(texts[0])
    n_guessed, n_right, n_generated = counters(guessing)
    assert n_guessed >= n_right > n_generated / 2
    assert counters(plain)[:2] == [0, 0]


@needs_model(MODEL)
@pytest.mark.parametrize("more", [
    {"temperature": 1, "seed": 5},
    {"temperature": 0.7, "top_p": 0.9, "seed": 6, "n": 3},
    {"frequency_penalty": 0.4},
    {"presence_penalty": 0.5, "temperature": 0.5, "seed": 1},
    {"logit_bias": {"28": 2, "198": -3}},
    {"stop": ["return result", "largest"]},
    {"max_tokens": 37},
    {"logprobs": True, "top_logprobs": 3},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": {
        "type": "array", "maxItems": 4, "items": {
            "type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
                                             "parameters": {"const": ["items"]}},
            "required": ["name", "parameters"], "additionalProperties": False}}}}},
], ids=lambda more: next(reversed(more)))
def test_every_setting_gives_the_same(servers, more):
    guessing, plain = servers
    for messages in (COPY, FREE):
        assert ask(guessing, messages=messages, **more) == ask(plain, messages=messages, **more), json.dumps(more)


@needs_model(MODEL)
def test_a_prediction_is_guessed_counted_and_changes_nothing(servers):
    guessing, plain = servers
    story = ask(plain, messages=FREE)[0][0]

    def predicted(server, content):
        reply = server.client.chat.completions.create(
            model=MODEL, messages=FREE, temperature=0, max_tokens=200,
            prediction={"type": "content", "content": content})
        details = reply.usage.completion_tokens_details
        return (reply.choices[0].message.content,
                details.accepted_prediction_tokens, details.rejected_prediction_tokens)

    text, n_right, n_wrong = predicted(guessing, story)
    assert text == story and n_right > 50 and n_right > n_wrong
    text, n_right, _ = predicted(guessing, [{"type": "text", "text": "Nothing of the kind."}])
    assert text == story and n_right < 10
    assert predicted(plain, story) == (story, 0, 0)
