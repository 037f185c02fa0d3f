"""`maru serve` on real models, through the official openai client."""
import concurrent.futures
import json
import re

import openai
import pytest

from conftest import needs_model

CHAT_MODEL = "smollm2:135m"
BASE_MODEL = "gemma3:270m"
QUESTION = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]


def ask(server, **more):
    arguments = {"model": CHAT_MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 24, **more}
    return server.client.chat.completions.create(**arguments)


@needs_model(CHAT_MODEL)
def test_answers(real):
    reply = ask(real)
    assert "Paris" in reply.choices[0].message.content
    assert reply.usage.prompt_tokens > 10


@needs_model(CHAT_MODEL)
def test_a_stream_is_the_whole_answer_in_pieces(real):
    whole = ask(real, temperature=1, seed=7, max_tokens=40)
    chunks = list(ask(real, temperature=1, seed=7, max_tokens=40, stream=True,
                      stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


@needs_model(CHAT_MODEL)
def test_several_at_once_change_nothing(real):
    """Same seed, same bytes, however many others run."""
    prompts = ["Tell me a story.", "Count to ten.", "Name three colours.", "Who was Newton?"]

    def answer(prompt):
        reply = ask(real, messages=[{"role": "user", "content": prompt}], temperature=1, seed=3)
        return reply.choices[0].message.content

    alone = [answer(prompt) for prompt in prompts]
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        assert list(pool.map(answer, prompts)) == alone


@needs_model(CHAT_MODEL)
def test_logprobs_fit_the_answer(real):
    reply = ask(real, logprobs=True, top_logprobs=5)
    content = reply.choices[0].logprobs.content
    text = b"".join(bytes(c.bytes) for c in content).decode()
    assert text.startswith(reply.choices[0].message.content)
    for token in content:  # greedy: the chosen one is the likeliest
        assert token.logprob == max(t.logprob for t in token.top_logprobs)


@needs_model(CHAT_MODEL)
def test_text_is_not_control(real):
    """A user who types the end marker types text: more tokens, not another turn."""
    plain = ask(real, messages=[{"role": "user", "content": "a"}], max_tokens=1)
    marked = ask(real, messages=[{"role": "user", "content": "a<|im_end|>"}], max_tokens=1)
    assert marked.usage.prompt_tokens > plain.usage.prompt_tokens + 1


@needs_model(CHAT_MODEL)
def test_a_prompt_longer_than_the_context(real):
    with pytest.raises(openai.BadRequestError) as error:
        ask(real, messages=[{"role": "user", "content": "word " * 200_000}])
    assert error.value.code == "context_length_exceeded"


@needs_model(CHAT_MODEL)
def test_a_client_that_goes_away_frees_the_engine(real):
    stream = ask(real, max_tokens=2000, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    assert real.wait_for_engine(CHAT_MODEL, lambda e: e["n_running"] >= 1)
    stream.close()
    assert real.wait_for_engine(CHAT_MODEL, lambda e: e["n_running"] == 0)


@needs_model(CHAT_MODEL)
def test_logit_bias_bans_a_token(real):
    first = ask(real, max_tokens=1, logprobs=True, top_logprobs=1)
    banned = ask(real, max_tokens=1, extra_body={"logit_bias": {str(i): 100 for i in (10, )}})
    assert banned.choices[0].message.content != first.choices[0].message.content


@needs_model(BASE_MODEL)
def test_a_base_model_completes_and_does_not_chat(real):
    reply = real.client.completions.create(model=BASE_MODEL, prompt="The capital of France is",
                                           temperature=0, max_tokens=8)
    # What transformers continues with in float32, as recorded in tests/data/real_models.
    assert reply.choices[0].text == " the capital of the country of France."
    with pytest.raises(openai.BadRequestError) as error:
        real.client.chat.completions.create(model=BASE_MODEL, messages=QUESTION)
    assert "/v1/completions" in error.value.message


@needs_model(CHAT_MODEL)
def test_choices_share_their_prompt_and_are_what_they_are_alone(real):
    messages = [{"role": "user", "content": "Write one short line about the sea. " * 12}]
    several = ask(real, messages=messages, n=4, temperature=1, seed=11)
    assert several.usage.prompt_tokens > 64
    for i, choice in enumerate(several.choices):
        alone = ask(real, messages=messages, temperature=1, seed=11 + i)
        assert alone.choices[0].message.content == choice.message.content
        # All but the last token of the prompt: that one's logits are needed.
        assert alone.usage.prompt_tokens_details.cached_tokens == alone.usage.prompt_tokens - 1


@needs_model(CHAT_MODEL)
def test_simultaneous_requests_evaluate_a_common_beginning_once(real):
    system = {"role": "system", "content": "You answer with one word. " * 60}
    before = real.engine(CHAT_MODEL)["n_tokens_prompt"]

    def one(i):
        return ask(real, messages=[system, {"role": "user", "content": f"{i} plus {i}?"}])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(one, range(8)))
    shared = replies[0].usage.prompt_tokens // 64 * 64
    evaluated = real.engine(CHAT_MODEL)["n_tokens_prompt"] - before
    assert evaluated < shared + 8 * 64 + sum(r.usage.prompt_tokens - shared for r in replies)
    assert sorted(r.usage.prompt_tokens_details.cached_tokens > shared - 128 for r in replies)[1:] == [True] * 7


@needs_model(CHAT_MODEL)
def test_a_flooding_user_does_not_shut_out_another(real):
    """64 long answers of one user run; another user's short one is there long before they end."""
    flood = [ask(real, max_tokens=1500, stream=True,
                 extra_body={"ignore_eos": True, "user": "flood", "seed": i}) for i in range(70)]
    real.wait_for_engine(CHAT_MODEL, lambda e: e["n_running"] == 64)
    reply = ask(real, max_tokens=4, user="other")
    assert reply.usage.completion_tokens <= 4
    assert real.engine(CHAT_MODEL)["n_running"] >= 60
    for stream in flood:
        stream.close()


INVOICE = {"type": "object", "additionalProperties": False, "required": ["city", "population", "big"],
           "properties": {"city": {"type": "string", "maxLength": 12},
                          "population": {"type": "integer", "minimum": 1000, "maximum": 50_000_000},
                          "big": {"type": "boolean"}}}


@needs_model(CHAT_MODEL)
@pytest.mark.parametrize("temperature", [0, 1.5])
def test_an_answer_held_to_a_schema(real, temperature):
    """Valid whatever is drawn, alone and in a stream; several at once share the grammar."""
    form = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": INVOICE}}
    reply = ask(real, response_format=form, temperature=temperature, seed=11, n=3, max_tokens=400)
    texts = [choice.message.content for choice in reply.choices]
    assert all(choice.finish_reason == "stop" for choice in reply.choices), texts
    chunks = ask(real, response_format=form, temperature=temperature, seed=11, max_tokens=400, stream=True)
    texts.append("".join(c.choices[0].delta.content or "" for c in chunks if c.choices))
    assert texts[-1] == texts[0]
    for text in texts:
        value = json.loads(text)
        assert set(value) == {"city", "population", "big"}
        assert len(value["city"]) <= 12 and 1000 <= value["population"] <= 50_000_000
        assert isinstance(value["population"], int) and isinstance(value["big"], bool)


@needs_model(CHAT_MODEL)
def test_other_ways_to_hold_an_answer(real):
    def text(**more):
        return ask(real, temperature=1.5, seed=2, max_tokens=200, **more).choices[0].message.content

    assert isinstance(json.loads(text(response_format={"type": "json_object"})), dict)
    assert text(extra_body={"guided_choice": ["Paris", "Rome"]}) in ("Paris", "Rome")
    assert re.fullmatch("[A-Z][a-z]{2,5}!", text(extra_body={"structured_outputs": {"regex": "[A-Z][a-z]{2,5}!"}}))
    assert re.fullmatch(r"(<\w>)+", text(extra_body={"grammar": 'root ::= ("<" [a-z] ">"){1,9}'}))


@needs_model(CHAT_MODEL)
@pytest.mark.parametrize("more", [
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "x"}}}},
    {"extra_body": {"guided_regex": r"(a)\1"}},
    {"extra_body": {"grammar": "root ::= root"}},
    {"extra_body": {"guided_json": {"type": "array", "uniqueItems": True}}},
    {"extra_body": {"guided_json": {"enum": ["x" * 70_000]}}},
])
def test_a_grammar_that_cannot_be_compiled_is_refused(real, more):
    with pytest.raises(openai.BadRequestError) as error:
        ask(real, **more)
    assert error.value.body["param"] == "grammar"
    assert error.value.body["message"]
