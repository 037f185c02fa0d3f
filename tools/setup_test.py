"""Tests of tools/setup.sh: which model a command line of ./run fetches before the command begins."""
import os
import pathlib
import subprocess
import unittest

SETUP = pathlib.Path(__file__).resolve().parent / "setup.sh"
DEFAULT = "qwen2.5-coder:1.5b"


def wanted_model(*arguments, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "MARU_MODEL"} | variables
    result = subprocess.run(["bash", "-c", '. "$0"; wanted_model "$@"', str(SETUP), *arguments],
                            capture_output=True, text=True, check=True, env=environment)
    return result.stdout.strip()


class WantedModel(unittest.TestCase):
    def test_serve(self):
        self.assertEqual(wanted_model(), DEFAULT)
        self.assertEqual(wanted_model("serve", "--port", "0"), DEFAULT)
        self.assertEqual(wanted_model("serve", "--model", "smollm2:135m"), "smollm2:135m")
        self.assertEqual(wanted_model("serve", "--model=smollm2:135m"), "smollm2:135m")
        self.assertEqual(wanted_model("serve", MARU_MODEL="gemma3:270m"), "gemma3:270m")

    def test_commands_with_a_default(self):
        self.assertEqual(wanted_model("chat"), DEFAULT)
        self.assertEqual(wanted_model("chat", "--system", "Be brief."), DEFAULT)
        self.assertEqual(wanted_model("bench", "smollm2:135m"), "smollm2:135m")

    def test_commands_that_name_their_model(self):
        self.assertEqual(wanted_model("run", "smollm2:135m", "hi"), "smollm2:135m")
        self.assertEqual(wanted_model("run", "-n", "5", "smollm2:135m", "hi"), "")
        self.assertEqual(wanted_model("score"), "")

    def test_nothing_is_fetched_for_help_files_and_other_commands(self):
        for line in (["chat", "--help"], ["run", "-h"], ["serve", "--help"], ["list"],
                     ["version"], ["help"], ["run", "./my.gguf", "hi"], ["chat", "my.gguf"]):
            self.assertEqual(wanted_model(*line), "", line)

    def test_words_of_a_prompt_are_no_flags(self):
        self.assertEqual(wanted_model("run", "smollm2:135m", "--", "--help"), "smollm2:135m")


if __name__ == "__main__":
    unittest.main()
