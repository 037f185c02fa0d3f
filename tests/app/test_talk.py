"""chat and run: in pipes, on a terminal (a pty), stopped, and on real models."""
import json
import os
import pty
import select
import signal
import subprocess
import termios

import pytest

from conftest import BINARY, answers, maru, needs, tiny_model


def test_run_prints_the_answer_and_nothing_else(script, tmp_path):
    flags = script(replies=[{"match": "hello", "text": "Hi there."}])
    result = maru("run", "any", "hello", *flags, home=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "Hi there.\n", "")


def test_run_appends_what_a_pipe_brings(script, tmp_path):
    result = maru("run", "any", "Sum", "up:", *script(echo=True), stdin="a\nb\n", home=tmp_path)
    assert result.stdout == "Sum up:\n\na\nb\n"
    result = maru("run", "any", *script(echo=True), stdin="only this", home=tmp_path)
    assert result.stdout == "only this\n"


def test_run_leaves_out_the_end_of_the_last_line(script, tmp_path):
    for piped, sent in [("hi\n", "hi"), ("hi\r\n", "hi"), ("hi", "hi")]:
        flags = ["--json", *script(echo=True)]
        [answer] = answers(maru("run", "any", *flags, stdin=piped, home=tmp_path))
        assert answer["text"] == sent


def test_a_prompt_may_be_the_name_of_a_command(script, tmp_path):
    assert maru("run", "any", "list", *script(echo=True), home=tmp_path).stdout == "list\n"


def test_run_without_a_prompt_is_wrong_usage(script, tmp_path):
    assert maru("run", "any", *script(echo=True), home=tmp_path).returncode == 2


def test_run_as_json(script, tmp_path):
    flags = script(replies=[{"text": "a b c", "finish": "length"}])
    [answer] = answers(maru("run", "any", "x", "--json", *flags, home=tmp_path))
    assert answer["text"] == "a b c"
    assert answer["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


def test_run_refuses_a_system_message_that_nothing_reads(script, tmp_path):
    flags = script(echo=True)
    result = maru("run", "any", "x", "--raw", "--system", "Be brief.", *flags, home=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert "--system" in result.stderr


def test_run_fails_when_its_engine_dies(script, tmp_path):
    flags = script(replies=[{"text": "a b c", "fault": "die", "fault_after": 2}])
    result = maru("run", "any", "x", *flags, home=tmp_path)
    assert result.returncode == 1
    assert result.stdout == "a b \n"
    assert "killed" in result.stderr


def test_run_refuses_text_that_is_no_utf8(script, tmp_path):
    result = maru("run", "any", *script(echo=True), stdin=b"\xff\xfe", home=tmp_path)
    assert result.returncode == 1
    assert b"UTF-8" in result.stderr


def test_chat_in_a_pipe_answers_each_line(script, tmp_path):
    flags = script(echo=True)
    result = maru("chat", "any", *flags, stdin="one\ntwo\n/regenerate\n/bye\nnever\n", home=tmp_path)
    assert (result.returncode, result.stdout) == (0, "one\ntwo\ntwo\n")


def test_chat_commands(script, tmp_path):
    saved = tmp_path / "saved.json"
    lines = ["/help", "/set temperature 9", "/set temperature 0.5", "/set", "/system Be brief.",
             "/system", "/nothing", "one", f"/save {saved}", "/clear", f"/load {saved}",
             "/load /nonexistent", "/verbose", '"""first', 'second"""']
    result = maru("chat", "any", *script(echo=True), stdin="\n".join(lines) + "\n", home=tmp_path)
    assert result.returncode == 0
    assert result.stdout == "one\nfirst\nsecond\n"
    for words in ("/regenerate", "temperature", "0.5", "Be brief.", "no command /nothing",
                  "2 messages", "/nonexistent", "are shown", "tokens at"):
        assert words in result.stderr
    conversation = json.loads(saved.read_text(encoding="utf-8"))
    assert conversation["system"] == "Be brief."
    assert [m["role"] for m in conversation["messages"]] == ["user", "assistant"]


def test_chat_goes_on_after_its_engine_died(script, tmp_path):
    flags = script(echo=True, replies=[{"match": "bad", "fault": "die"}])
    result = maru("chat", "any", *flags, stdin="bad\ngood\n", home=tmp_path)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "good"
    assert "killed" in result.stderr


def test_a_base_model_cannot_chat(script, tmp_path):
    flags = script(card={"has_chat_template": False}, echo=True)
    result = maru("chat", "any", *flags, home=tmp_path)
    assert result.returncode == 1
    assert "base model" in result.stderr
    assert maru("run", "any", "Once", *flags, home=tmp_path).stdout == "Once\n"


WAIT_SECONDS = 60  # no test needs so long; one that is stuck fails then, and shows what it saw


class Terminal:
    """maru chat on a pty, as a person would use it."""

    def __init__(self, home, *arguments):
        self.child, self.fd = pty.fork()
        if self.child == 0:
            os.environ.update(MARU_HOME=str(home), TERM="xterm", LC_ALL="C.UTF-8")
            os.execv(BINARY, [BINARY, "chat", *arguments])
        self.seen = ""  # and not waited for yet
        self.all = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def modes(self):
        """What the terminal does with what is typed: lines, echo, signals."""
        return termios.tcgetattr(self.fd)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def wait_for(self, text):
        """Reads until the text is there."""
        while text not in self.seen:
            assert self.read(text), f"ended before {text!r}: {self.all!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def end(self):
        """Reads until the program has ended; its exit code."""
        while self.read("its end"):
            pass
        process = os.pidfd_open(self.child)
        self.wait(process, "its end")
        os.close(process)
        _, status = os.waitpid(self.child, 0)
        return os.waitstatus_to_exitcode(status)

    def read(self, what):
        """One piece; False where the program has closed its terminal."""
        self.wait(self.fd, what)
        try:
            piece = os.read(self.fd, 4096).decode(errors="replace")
        except OSError:
            return False
        self.all += piece
        self.seen += piece
        return True

    def wait(self, fd, what):
        if not select.select([fd], [], [], WAIT_SECONDS)[0]:
            os.kill(self.child, signal.SIGKILL)
            pytest.fail(f"waited in vain for {what!r} after {self.all!r}")


STALLS = {"match": "long", "pieces": ["begun ", "never"], "fault": "stall", "fault_after": 1,
          "times": 1}


def test_ctrl_c_stops_the_answer_and_not_the_program(script, tmp_path):
    terminal = Terminal(tmp_path, "any", *script(echo=True, replies=[STALLS]))
    terminal.wait_for(">>> ")
    terminal.type("long\n")
    terminal.wait_for("begun ")
    terminal.type("\x03")
    assert terminal.wait_for(">>> ") == "^C\r\n"
    terminal.type("next\n")
    terminal.wait_for("next\r\n")  # what was typed
    terminal.wait_for("next\r\n")  # the answer
    terminal.wait_for(">>> ")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_impatient_ctrl_c_does_not_end_the_program(script, tmp_path):
    """One stops the answer; the others come while it ends, or at the prompt after it."""
    terminal = Terminal(tmp_path, "any", *script(echo=True, replies=[{**STALLS, "times": 0}]))
    for _ in range(20):
        terminal.wait_for(">>> ")
        terminal.type("long\n")
        terminal.wait_for("begun ")
        for _ in range(5):
            terminal.type("\x03")
        terminal.type("/clear\nagain\n")
        terminal.wait_for("again\r\n")
        terminal.wait_for("again\r\n")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_what_is_typed_during_an_answer_waits_for_the_prompt(script, tmp_path):
    """Nothing of it is lost or shown in the middle of the answer, and Ctrl-D still ends."""
    terminal = Terminal(tmp_path, "any", *script(echo=True, replies=[{**STALLS, "fault_after": 2}]))
    terminal.wait_for(">>> ")
    terminal.type("long\n")
    terminal.wait_for("never")
    terminal.type("안녕\ntwo\n\x04")
    os.kill(terminal.child, signal.SIGINT)  # a typed Ctrl-C drops what was typed before it
    assert terminal.end() == 0
    talk = terminal.all[terminal.all.index(">>> "):]
    assert [line for line in talk.splitlines() if line] == [
        ">>> long", "begun never^C", ">>> 안녕", "안녕", ">>> two", "two", ">>> ^D"]


def test_a_chat_leaves_the_terminal_as_it_was(script, tmp_path):
    for last in ("\x04", "/bye\n", signal.SIGTERM):
        terminal = Terminal(tmp_path, "any", *script(echo=True))
        found = terminal.modes()
        terminal.wait_for(">>> ")
        assert terminal.modes() != found
        if last == signal.SIGTERM:
            os.kill(terminal.child, last)
        else:
            terminal.type(last)
        assert terminal.end() == 0
        assert terminal.modes() == found


def test_ctrl_c_at_the_prompt_drops_the_line(script, tmp_path):
    terminal = Terminal(tmp_path, "any", *script(echo=True))
    terminal.wait_for(">>> ")
    terminal.type("half a line\x03")
    terminal.wait_for("/bye or Ctrl-D ends.")
    terminal.wait_for(">>> ")
    terminal.type("안녕\n")
    terminal.wait_for("안녕\r\n")
    terminal.wait_for("안녕\r\n")
    terminal.wait_for(">>> ")
    terminal.type("/bye\n")
    assert terminal.end() == 0


def test_history_is_kept_between_two_chats(script, tmp_path):
    flags = script(echo=True)
    for keys in ("remember me\n", "\x1b[A\n"):
        terminal = Terminal(tmp_path, "any", *flags)
        terminal.wait_for(">>> ")
        terminal.type(keys)
        terminal.wait_for("remember me\r\n")
        terminal.wait_for("remember me\r\n")
        terminal.wait_for(">>> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_a_load_is_shown_while_it_lasts(script, tmp_path):
    terminal = Terminal(tmp_path, "any", *script(echo=True, n_loading=2))
    for words in ("loading any", "loading any 50%", "loading any 100%", "\r\x1b[Kany, context"):
        terminal.wait_for(words)
    terminal.wait_for(">>> ")
    terminal.type("\x04")
    assert terminal.end() == 0


def test_a_real_load_is_shown_to_its_end(tmp_path):
    terminal = Terminal(tmp_path, str(tiny_model()))
    terminal.wait_for("100%")
    terminal.wait_for("base model")
    assert terminal.end() == 1


def test_a_missing_model_is_offered_on_a_terminal(tmp_path):
    terminal = Terminal(tmp_path, "smollm2:135m")
    terminal.wait_for("Fetch it (98 MB, Apache-2.0)? [Y/n]")
    terminal.type("n\n")
    terminal.wait_for("maru pull smollm2:135m")
    assert terminal.end() == 1


def test_sigterm_ends_a_chat_in_mid_answer(script, tmp_path):
    flags = script(replies=[{"text": "begun never", "fault": "stall", "fault_after": 1}])
    process = subprocess.Popen([BINARY, "--home", str(tmp_path), "chat", "any", *flags], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.read(6) == "begun "
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


@needs("smollm2:135m")
def test_a_real_model_answers_the_same_again():
    flags = ["--temperature", "0", "-n", "12"]
    first = maru("run", "smollm2:135m", "Say hello.", *flags)
    assert first.returncode == 0 and first.stdout.strip()
    assert maru("run", "smollm2:135m", "Say hello.", *flags, "--threads", "1").stdout == first.stdout


@needs("qwen2.5-coder:0.5b")
def test_a_real_model_knows_a_capital_in_korean():
    result = maru("run", "qwen2.5-coder:0.5b", "대한민국의 수도는 어디인가요?", "--temperature", "0",
                  "-n", "24")
    assert "서울" in result.stdout


@needs("smollm2:135m")
def test_a_prompt_longer_than_the_context_is_refused_with_both_counts():
    result = maru("run", "smollm2:135m", "word " * 600, "--context", "256")
    assert result.returncode == 1
    assert "256" in result.stderr
    assert result.stdout == ""
