"""maru grammar: what belongs to a JSON schema, a regular expression, a GBNF grammar or a choice."""
import json

from conftest import SHARED, answers, jsonl, maru, needs_shared

KINDS = {"valid": True, "valid_other_key_order": True, "valid_with_whitespace": True,
         "invalid": False, "not_json": False}


@needs_shared()
def test_reference_schemas():
    """Every text of the reference data, in any order of keys and with white space."""
    cases = [(row["name"], kind, text, accepts, row["schema"])
             for row in map(json.loads, (SHARED / "schemas/schemas.jsonl").read_text("utf-8").splitlines())
             for kind, accepts in KINDS.items() for text in row[kind]]
    result = maru("grammar", "--jsonl",
                  stdin=jsonl({"schema": schema, "text": text} for *_, text, _, schema in cases))
    assert result.returncode == 0
    got = answers(result)
    assert len(got) == len(cases) > 500
    wrong = [case[:3] for case, answer in zip(cases, got) if answer != {"accepts": case[3]}]
    assert not wrong


def test_each_notation_and_each_mistake_has_its_answer():
    rows = [{"regex": "a+", "text": "aa"}, {"regex": "a+", "text": "ab"},
            {"gbnf": 'root ::= "(" root? ")"', "text": "(())"},
            {"choice": ["yes", "no"], "text": "no"}, {"choice": ["yes", "no"], "text": "n"},
            {"schema": True, "text": "[1]"}, {"regex": "(", "text": ""}, {"text": ""},
            {"regex": "a", "schema": {}, "text": ""}, {"choice": "yes", "text": ""},
            {"schema": {"type": "nothing"}, "text": ""}, {"regex": "a"},
            {"schema": {"type": "array", "uniqueItems": True}, "text": "[]"}]
    got = answers(maru("grammar", "--jsonl", stdin=jsonl(rows)))
    assert [row.get("accepts") for row in got[:6]] == [True, False, True, True, False, True]
    assert all(row["error"]["message"] for row in got[6:])
    assert [row["error"]["code"] for row in got[6:]] == ["invalid_argument"] * 6 + ["unsupported"]


def test_one_grammar_for_a_text(tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "integer", "minimum": 3}', encoding="utf-8")
    assert maru("grammar", "--schema", schema, stdin="4").stdout == "accepted\n"
    assert maru("grammar", "--schema", schema, stdin="2").stdout == "not accepted\n"
    assert maru("grammar", "--regex", "[a-z]*", stdin="x").stdout == "accepted\n"
    assert maru("grammar", "--regex", "[", stdin="x").returncode == 1
    assert maru("grammar", stdin="x").returncode == 2
