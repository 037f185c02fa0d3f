"""`maru serve` on the scripted engine, through the official openai client."""
import concurrent.futures
import json
import socket
import subprocess

import openai
import pytest

from conftest import BINARY

HI = [{"role": "user", "content": "hi"}]


def test_whole_chat(scripted):
    server, model = scripted({"replies": [{"pieces": ["안", "녕 ", "you"]}]})
    raw = server.client.chat.completions.with_raw_response.create(model=model, messages=HI, seed=1, metadata={"a": "b"})
    reply = raw.parse()
    assert reply.object == "chat.completion"
    assert reply.choices[0].message.role == "assistant"
    assert reply.choices[0].message.content == "안녕 you"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens == 3
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + 3
    assert reply.model_extra["ignored_params"] == ["metadata"]
    assert reply.model_extra["timings"]["predicted_n"] == 3
    assert raw.headers["x-request-id"].startswith("req_")


def test_streamed_chat_with_usage(scripted):
    server, model = scripted({"replies": [{"text": "one two three"}]})
    chunks = list(server.client.chat.completions.create(
        model=model, messages=HI, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "one two three"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 3
    assert "predicted_per_second" in chunks[-1].model_extra["timings"]
    assert len({c.id for c in chunks}) == 1


def test_several_choices(scripted):
    server, model = scripted({"replies": [{"text": "same", "start_when_running": 3}]})
    reply = server.client.chat.completions.create(model=model, messages=HI, n=3)
    assert [c.index for c in reply.choices] == [0, 1, 2]
    assert {c.message.content for c in reply.choices} == {"same"}


def test_completions(scripted):
    server, model = scripted({"echo": True})
    reply = server.client.completions.create(model=model, prompt=["first", "second"], echo=True)
    assert [c.text for c in reply.choices] == ["firstfirst", "secondsecond"]
    assert reply.object == "text_completion"
    chunks = list(server.client.completions.create(model=model, prompt="abc", stream=True))
    assert "".join(c.choices[0].text for c in chunks) == "abc"
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_logprobs_of_both_endpoints(scripted):
    server, model = scripted({"replies": [{"text": "one two"}]})
    chat = server.client.chat.completions.create(model=model, messages=HI, logprobs=True, top_logprobs=3)
    content = chat.choices[0].logprobs.content
    assert [c.token for c in content] == ["one ", "two"]
    assert bytes(content[0].bytes) == b"one "
    assert all(len(c.top_logprobs) == 3 for c in content)
    assert all(c.logprob <= 0 for c in content)
    completion = server.client.completions.create(model=model, prompt="x", logprobs=2)
    logprobs = completion.choices[0].logprobs
    assert logprobs.tokens == ["one ", "two"]
    assert logprobs.text_offset == [0, 4]
    assert len(logprobs.top_logprobs) == len(logprobs.token_logprobs) == 2


def test_stop_and_max_tokens(scripted):
    server, model = scripted({"replies": [{"text": "one two three"}]})
    create = server.client.chat.completions.create
    assert create(model=model, messages=HI, stop=["o t"]).choices[0].message.content == "one tw"
    cut = create(model=model, messages=HI, max_completion_tokens=1).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("one ", "length")


def test_errors_have_the_official_shape(scripted):
    server, model = scripted({"card": {"n_ctx": 16}, "echo": True})
    create = server.client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as wrong:
        create(model=model, messages=HI, temperature=9)
    assert wrong.value.param == "temperature"
    assert "from 0 to 2" in wrong.value.message
    with pytest.raises(openai.BadRequestError) as long:
        create(model=model, messages=[{"role": "user", "content": "x" * 100}])
    assert long.value.code == "context_length_exceeded"
    assert "16" in long.value.message
    with pytest.raises(openai.BadRequestError) as long_stream:
        create(model=model, messages=[{"role": "user", "content": "x" * 100}], stream=True)
    assert long_stream.value.code == "context_length_exceeded"
    with pytest.raises(openai.NotFoundError) as missing:
        create(model=model + "x", messages=HI)
    assert missing.value.code == "model_not_found"
    assert model in missing.value.message
    assert "maru pull" in missing.value.message
    with pytest.raises(openai.BadRequestError) as functions:
        create(model=model, messages=HI, functions=[{"name": "f"}])
    assert functions.value.param == "functions"


def test_chat_with_a_base_model_says_what_works(scripted):
    server, model = scripted({"card": {"has_chat_template": False}, "echo": True})
    with pytest.raises(openai.BadRequestError) as base:
        server.client.chat.completions.create(model=model, messages=HI)
    assert "/v1/completions" in base.value.message
    assert server.client.completions.create(model=model, prompt="ok").choices[0].text == "ok"


def test_an_encoder_refuses_to_generate(scripted):
    server, model = scripted({"card": {"generates": False, "has_chat_template": False}})
    for call in (lambda: server.client.chat.completions.create(model=model, messages=HI),
                 lambda: server.client.completions.create(model=model, prompt="x")):
        with pytest.raises(openai.BadRequestError) as refused:
            call()
        assert "makes embeddings" in refused.value.message and refused.value.param == "model"


def test_several_at_once(scripted):
    """No answer begins before all eight run: answering one after another would never end."""
    server, model = scripted({"replies": [{"text": "done", "start_when_running": 8}]})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(
            lambda _: server.client.chat.completions.create(model=model, messages=HI), range(8)))
    assert {r.choices[0].message.content for r in replies} == {"done"}


def test_a_client_that_goes_away_frees_its_work(scripted):
    server, model = scripted({"replies": [
        {"match": "stall", "text": "a b", "fault": "stall", "fault_after": 1}, {"text": "fine"}]})
    messages = [{"role": "user", "content": "stall"}]
    stream = server.client.chat.completions.create(model=model, messages=messages, stream=True)
    assert next(iter(stream)).choices[0].delta.role == "assistant"
    assert server.wait_for_engine(model, lambda e: e["n_running"] == 1)
    stream.close()
    assert server.wait_for_engine(model, lambda e: e["n_running"] == 0)

    body = json.dumps({"model": model, "messages": messages}).encode()
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    with socket.create_connection((server.host, server.port)) as whole:
        whole.sendall(head + body)
        assert server.wait_for_engine(model, lambda e: e["n_running"] == 1)
    assert server.wait_for_engine(model, lambda e: e["n_running"] == 0)
    reply = server.client.chat.completions.create(model=model, messages=HI)
    assert reply.choices[0].message.content == "fine"


def test_an_engine_that_dies_ends_its_stream_and_comes_back(scripted):
    server, model = scripted({"replies": [
        {"match": "die", "text": "a b c", "fault": "die", "fault_after": 1}, {"text": "fine"}]})
    stream = server.client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "die"}], stream=True)
    with pytest.raises(openai.APIError) as died:
        for _ in stream:
            pass
    assert died.value.code == "unavailable"
    reply = server.client.chat.completions.create(model=model, messages=HI)
    assert reply.choices[0].message.content == "fine"


def test_a_stopping_server_says_so_and_exits_with_0(scripted):
    server, model = scripted({"replies": [{"text": "a b", "fault": "stall", "fault_after": 1}]})
    stream = server.client.chat.completions.create(model=model, messages=HI, stream=True)
    next(iter(stream))
    server.process.terminate()
    with pytest.raises(openai.APIError) as stopped:
        for _ in stream:
            pass
    assert "stopping" in stopped.value.message
    # One signal only: a second one means "at once" and gives another exit code.
    assert server.process.wait(timeout=60) == 0


def test_bad_bodies_get_clear_errors_and_the_server_goes_on(scripted):
    server, model = scripted({"echo": True})
    path = "/v1/chat/completions"
    status, _, body = server.request("POST", path, b"x" * (2 << 20) + b"x")
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")
    assert b"2097152" in body
    for bad in (b"", b"{", b"[]", b'{"model":"\xff"}', b"[" * 100_000, b'{"model":1e999}'):
        status, _, body = server.request("POST", path, bad)
        assert status == 400, bad
        assert json.loads(body)["error"]["type"] == "invalid_request_error"
    reply = server.client.chat.completions.create(model=model, messages=HI)
    assert reply.choices[0].message.content


def test_host_and_origin(scripted):
    server, _ = scripted({"echo": True})
    assert server.request("GET", "/health", headers={"Host": "evil.example"})[0] == 403
    assert server.request("GET", "/health", headers={"Host": "localhost"})[0] == 200
    headers = {"Host": "localhost", "Origin": "http://evil.example"}
    assert server.request("POST", "/v1/chat/completions", b"{}", headers)[0] == 403


def test_models_and_health(scripted):
    server, model = scripted({"echo": True})
    assert server.request("GET", "/health")[2] == b'{"status":"ok"}'
    entry = server.client.models.retrieve(model)
    assert entry.object == "model"
    assert "kind" in entry.model_extra["meta"]
    with pytest.raises(openai.NotFoundError):
        server.client.models.retrieve("no-such-model")


def test_metrics_and_top(scripted):
    server, model = scripted({"replies": [{"text": "one two three"}]})
    ask = {"model": model, "messages": [{"role": "user", "content": "x"}]}
    server.client.chat.completions.create(**ask)
    status, headers, body = server.request("GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    assert f'maru_choices_total{{model="{model}",outcome="stop"}} 1\n' in body.decode()
    top = subprocess.run([BINARY, "top", "--once", "--url", f"http://{server.host}:{server.port}"],
                         capture_output=True, text=True, check=True)
    head, line = top.stdout.splitlines()
    assert head.split()[:3] == ["MODEL", "RUN", "WAIT"] and line.split()[:3] == [model, "0", "0"]


def test_top_without_a_server(scripted):
    top = subprocess.run([BINARY, "top", "--url", "http://127.0.0.1:1"], capture_output=True, text=True)
    assert top.returncode == 1 and "127.0.0.1" in top.stderr


def test_bench_serve(scripted):
    server, model = scripted({"replies": [{"text": "one two three"}]})
    bench = subprocess.run(
        [BINARY, "bench", "serve", "--url", f"http://{server.host}:{server.port}/v1", "--model", model, "--json",
         "--mix", "chat,turns", "--streams", "1,2", "--seconds", "1", "--prompt", "8"],
        capture_output=True, text=True, check=True)
    cells = json.loads(bench.stdout)["cells"]
    assert [(c["mix"], c["streams"]) for c in cells] == [("chat", 1), ("chat", 2), ("turns", 1), ("turns", 2)]
    for cell in cells:
        assert cell["failed"] == 0 and cell["answered"] >= cell["streams"]
        assert cell["generated_tokens"] == 3 * cell["answered"]
        assert 0 < cell["first_token_seconds"]["p50"] <= cell["first_token_seconds"]["p99"]


def test_bench_serve_without_a_server(scripted):
    bench = subprocess.run([BINARY, "bench", "serve", "--url", "http://127.0.0.1:1/v1", "--model", "m"],
                           capture_output=True, text=True)
    assert bench.returncode == 1 and "127.0.0.1:1" in bench.stderr
