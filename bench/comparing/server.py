"""Any server that speaks the OpenAI API, as a program that is measured from outside.

It has its model loaded already; how many threads it has is its own affair. Rates are those of a client:
the prompt's is counted up to the first token, the decoding's between the first token and the last.
"""
import http.client
import json
import random
import threading
import time
import urllib.parse

from comparing import machine

WORDS = ("river stone light garden paper window morning letter bridge winter field music corner table "
         "street summer forest island machine silver").split()
ANSWER_SECONDS_MAX = 1800
OVERLAP_LEAST = 0.8


class Server:
    option_lists = [""]

    def __init__(self, name, url):
        self.name = name
        self.url = urllib.parse.urlsplit(url)
        if self.url.scheme not in ("http", "https") or not self.url.hostname:
            raise ValueError(f"{name}: '{url}' is no http address")
        self.path = self.url.path.rstrip("/") or "/v1"
        self.model = self.url.fragment or None   # http://HOST:PORT/v1#MODEL
        self.rng = random.Random(6278)
        self.words_per_token = 1.0

    def connect(self):
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        return kind(self.url.hostname, self.url.port, timeout=ANSWER_SECONDS_MAX)

    def describe(self):
        connection = self.connect()
        connection.request("GET", self.path + "/models")
        answer = connection.getresponse()
        models = json.loads(answer.read())["data"]
        self.model = self.model or models[0]["id"]
        return {"server": answer.headers.get("Server"), "model": self.model}

    def prompt(self, n_tokens):
        """Random words, so that no cache knows them; as many as give about n_tokens."""
        return " ".join(self.rng.choices(WORDS, k=max(1, round(n_tokens * self.words_per_token))))

    def complete(self, n_prompt, n_generate):
        """(seconds to the first token, to the last, tokens of the prompt, tokens generated)."""
        body = {"model": self.model, "prompt": self.prompt(n_prompt), "max_tokens": n_generate,
                "temperature": 0, "ignore_eos": True, "stream": True,
                "stream_options": {"include_usage": True}}
        connection = self.connect()
        begin = time.monotonic()
        connection.request("POST", self.path + "/completions", json.dumps(body),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise machine.RunError(f"{self.name} answered {answer.status}: {answer.read(500)!r}")
        first, last, usage = read_stream(answer)
        if first is None or usage is None:
            raise machine.RunError(f"{self.name} sent no token, or no usage at the end of its stream")
        return first - begin, last - begin, usage["prompt_tokens"], usage["completion_tokens"]

    def measure(self, cell, _model, _threads, _options, work):
        if cell.kind == "load":
            raise machine.RunError("a server's start cannot be measured from outside")
        rates = [self.prefill(cell) if cell.kind == "prefill" else self.decode(cell, work)
                 for _ in range(work.repeats)]
        return {"program": self.name, "options": "", "command": f"{cell.spec} by HTTP", "rates": rates}

    def prefill(self, cell):
        first, _, n_prompt, _ = self.complete(cell.tokens, 1)
        self.words_per_token *= cell.tokens / n_prompt  # the next prompt is nearer to what is wanted
        return n_prompt / first

    def decode(self, cell, work):
        answers = [None] * cell.streams
        errors = []
        begin = time.monotonic()

        def stream(i):
            started = time.monotonic() - begin
            try:
                first, last, _, n = self.complete(max(cell.context, 1), work.decode_tokens)
                answers[i] = (started + first, started + last, n)
            except (machine.RunError, OSError, http.client.HTTPException) as error:
                errors.append(error)

        threads = [threading.Thread(target=stream, args=(i,)) for i in range(cell.streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise machine.RunError(f"{self.name}: {errors[0]}")
        return rate_together(answers)


def read_stream(lines):
    """When the first and the last event with text came (or the end of an answer without any), and the
    usage. Some servers send an event without text before they evaluate the prompt."""
    first, last, usage = None, None, None
    for line in lines:
        data = line.decode(errors="replace").strip()
        if not data.startswith("data:") or data.endswith("[DONE]"):
            continue
        event = json.loads(data[5:])
        usage = event.get("usage") or usage
        choice = (event.get("choices") or [{}])[0]
        if choice.get("text") or (choice.get("finish_reason") and first is None):
            last = time.monotonic()
            first = first or last
    return first, last, usage


def rate_together(answers):
    """tokens/s of streams that overlap; (time of first token, of last, tokens) of each."""
    begin, end = max(a[0] for a in answers), min(a[1] for a in answers)
    longest = max(a[1] - a[0] for a in answers)
    if len(answers) > 1 and end - begin < OVERLAP_LEAST * longest:
        raise machine.RunError(f"{len(answers)} streams did not run at the same time; generate more "
                               "tokens, or give the server more slots")
    return sum((n - 1) / (last - first) for first, last, n in answers)
