"""Clients that vanish, and many requests: nothing stays behind, and others notice nothing.

MARU_DISCONNECTS (default 40) and MARU_SOAK (default 500) make them longer.
"""
import concurrent.futures
import json
import os
import pathlib
import random
import socket

from conftest import needs_model, running

MODEL = "smollm2:135m"


def body(prompt, **more):
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "temperature": 0,
                       "stream": True, **more}).encode()


def vanish(server, seed):
    """Asks, reads until a random number of bytes has come, and is gone."""
    rng = random.Random(seed)
    text = body("word " * rng.choice([1, 50, 400]) + str(seed), max_tokens=400, ignore_eos=True,
                n=rng.choice([1, 1, 3]), user=f"u{seed % 5}")
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Length: %d\r\n\r\n" % len(text) + text)
        n_wanted = rng.choice([0, 0, 1, 2000, 20_000])
        while n_wanted > 0:
            piece = connection.recv(4096)
            if not piece:
                return
            n_wanted -= len(piece)


@needs_model(MODEL)
def test_clients_that_vanish_leave_nothing_behind_and_change_nothing():
    n = int(os.environ.get("MARU_DISCONNECTS", "40"))
    with running("--kv-disk", "0") as server:
        def answer(i):
            reply = server.client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": f"Tell me about the number {i}."}],
                temperature=1, seed=i, max_tokens=40)
            return reply.choices[0].message.content

        alone = [answer(i) for i in range(4)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            gone = [pool.submit(vanish, server, seed) for seed in range(n)]
            good = [pool.submit(answer, i % 4) for i in range(max(8, n // 10))]
            assert [g.result() for g in good] == [alone[i % 4] for i in range(len(good))]
            for g in gone:
                g.result()
        engine = server.wait_for_engine(MODEL, lambda e: e["n_running"] == 0 and e["n_waiting"] == 0)
        assert engine["n_kv_blocks_free"] == engine["n_kv_blocks"]
        assert answer(0) == alone[0]


def anonymous_bytes(pid):
    """Memory of a process and its children that no file backs, swapped out or not."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    own = sum(int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "VmSwap"))
    children = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return own + sum(anonymous_bytes(int(child)) for file in children for child in file.read_text().split())


@needs_model(MODEL)
def test_many_requests_take_no_more_memory_than_few():
    n = int(os.environ.get("MARU_SOAK", "500"))
    with running("--kv-disk", "0", "--context", "512") as server:
        def ask(i):
            rng = random.Random(i)
            if rng.random() < 0.2:
                return vanish(server, i)
            server.client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": f"{i} " + "word " * rng.randrange(300)}],
                max_tokens=rng.randrange(1, 12), temperature=rng.choice([0, 1]), logprobs=rng.random() < 0.2,
                user=f"u{i % 7}")

        def run(first, count):
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                list(pool.map(ask, range(first, first + count)))
            server.wait_for_engine(MODEL, lambda e: e["n_running"] == 0 and e["n_waiting"] == 0)

        run(0, 150)  # fills the KV pool and every pool of threads and connections
        before = anonymous_bytes(server.process.pid)
        run(150, n)
        assert anonymous_bytes(server.process.pid) - before <= 16 << 20
