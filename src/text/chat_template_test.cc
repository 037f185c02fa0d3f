#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "base/rng.h"
#include "base/utf8.h"
#include "source_dir.h"

namespace maru::text {
namespace {

const std::filesystem::path kFixtures = MARU_SOURCE_DIR "/../shared/fixtures/chat_templates";
constexpr int64_t kNow = 1741944413;  // 2025-03-14 09:26:53

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string joined(const Spans& spans) {
  std::string text;
  for (const Span& span : spans) text += span.text;
  return text;
}

// What a template renders, or its error's message.
std::string render(std::string_view source, const Json& variables = Json::object()) {
  const auto parsed = ChatTemplate::parse(source);
  if (!parsed.ok()) return parsed.error().message;
  RenderInputs inputs{.kwargs = variables, .now_unix_seconds = kNow};
  if (variables.contains("messages")) inputs.messages = variables["messages"];
  const auto result = parsed->render(inputs);
  return result.ok() ? joined(*result) : result.error().message;
}

// Literal text as it is, data in braces of its own: <data>.
std::string marked(std::string_view source, const Json& variables) {
  const RenderInputs inputs{.tokens = {{"bos", "<s>"}}, .kwargs = variables};
  const auto result = ChatTemplate::parse(source).value().render(inputs);
  if (!result.ok()) return result.error().message;
  std::string text;
  for (const Span& span : *result) {
    text += span.origin == Origin::kLiteral ? span.text : "<" + span.text + ">";
  }
  return text;
}

struct Case {
  std::string_view source;
  std::string_view expected;
};

TEST(ChatTemplate, WhiteSpaceControl) {
  const Case cases[] = {
      {"a\n  {% if true %}\nb\n  {% endif %}\nc\n", "a\nb\nc"},
      {"a  {%- if true -%}  b  {%- endif %}  c", "ab  c"},
      {"  {%+ if true %}x{% endif +%}\ny", "  x\ny"},
      {"a {# c #}\nb", "a b"},
      {"{{- 'x' -}}  y", "xy"},
      {"{% raw %}{{ x }}{% endraw %}", "{{ x }}"},
      {"a\r\nb\r", "a\nb"},
      {"x\n\n", "x\n"},
  };
  for (const Case& c : cases) EXPECT_EQ(render(c.source), c.expected) << c.source;
}

TEST(ChatTemplate, Expressions) {
  const Case cases[] = {
      {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 ** 2 }}", "3 -4 2 3.5 64"},
      {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' in 'cat' }}", "True False True True"},
      {"{{ 'a' ~ 1 ~ none ~ true }}", "a1NoneTrue"},
      {"{{ 'x' if false }}|{{ 'x' if false else 'y' }}", "|y"},
      {"{{ 'abcdef'[1:-1:2] }} {{ 'abc'[::-1] }} {{ '가나다'[1] }} {{ [1,2,3][-1] }}",
       "bd cba 나 3"},
      {"{{ [1, 'a', none, 1.0, (2,), {'k': \"it's\"}] }}",
       "[1, 'a', None, 1.0, (2,), {'k': \"it's\"}]"},
      {"{{ 1e16 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 3.0 }}", "1e+16 0.30000000000000004 1e-05 3.0"},
      {"{{ missing }}|{{ missing is defined }}|{{ missing|default('d') }}", "|False|d"},
      {"{{ not false and 1 or 2 }} {{ 0 or '' or 'z' }}", "1 z"},
      {"{{ '%s-%03d-%.2f' % ('a', 7, 2.5) }}", "a-007-2.50"},
      {"{{ '{} {x[k]} {:>4}|'.format(1, 2, x={'k': 3}) }}", "1 3    2|"},
      {"{{ \"\\u00e9\\n\\x41\\ud83d\\ude00\" }}", "é\nA😀"},
  };
  for (const Case& c : cases) EXPECT_EQ(render(c.source), c.expected) << c.source;
}

TEST(ChatTemplate, StatementsAndScopes) {
  const Case cases[] = {
      {"{% for i in range(3) %}{{ loop.index }}{{ loop.last }}{% if i == 1 %}{% break %}{% endif "
       "%}{% endfor %}",
       "1False2False"},
      {"{% for i in range(4) if i % 2 %}{{ i }}/{{ loop.length }} {% else %}none{% endfor %}",
       "1/2 3/2 "},
      {"{% for i in [] %}x{% else %}none{% endfor %}", "none"},
      {"{% set x = 1 %}{% for i in range(2) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
       "221"},
      {"{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor "
       "%}{{ ns.n }}",
       "3"},
      {"{% set a, b = 1, [2] %}{{ a }}{{ b }}", "1[2]"},
      {"{% set x | upper %}a{{ 1 }}{% endset %}{{ x }}", "A1"},
      {"{% macro f(a, b=2) %}{{ a }}{{ b }}{{ kwargs.z }}{{ varargs }}{% endmacro %}{{ f(1, z=3) "
       "}}",
       "123()"},
      {"{% macro f() %}[{{ caller(1) }}]{% endmacro %}{% call(x) f() %}c{{ x }}{% endcall %}",
       "[c1]"},
      {"{% for t in [[1, [2]], [3]] recursive %}{{ t if t is number else '(' ~ loop(t) ~ ')' }}{% "
       "endfor %}",
       "(1(2))(3)"},
      {"{% for x in 'aab' %}{{ loop.changed(x) }}{{ loop.cycle('-', '+') }}{{ loop.nextitem "
       "}}{{ loop.previtem }}{% endfor %}",
       "True-aFalse+baTrue-a"},
      {"{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a }}", "3"},
      {"{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB"},
      {"{% generation %}x{% endgeneration %}", "x"},
      {"{% if false %}a{% elif 1 %}b{% else %}c{% endif %}", "b"},
      {"{% set ns = namespace(go=true) %}{% for i in range(5) if ns.go %}{{ i }}{% if i == 1 %}{% "
       "set ns.go = false %}{% endif %}{% endfor %}",
       "01"},
  };
  for (const Case& c : cases) EXPECT_EQ(render(c.source), c.expected) << c.source;
}

TEST(ChatTemplate, FiltersTestsAndMethods) {
  const Case cases[] = {
      {"{{ {'b': 1, 'a': [1.5, none, 'é\"']}|tojson }}", R"({"b": 1, "a": [1.5, null, "é\""]})"},
      {"{{ {'b': 1, 'a': []}|tojson(indent=2, sort_keys=true) }}",
       "{\n  \"a\": [],\n  \"b\": 1\n}"},
      {"{{ 'é'|tojson(ensure_ascii=true) }}{{ [1,2]|tojson(separators=(',', ':')) }}",
       "\"\\u00e9\"[1,2]"},
      {"{{ ' a b '|trim|upper|replace('A', 'x')|length }}", "3"},
      {"{{ [3,1,2]|sort|join(',') }}{{ [1,2,3]|sum }}{{ ['b','A']|min }}", "1,2,36A"},
      {"{{ [{'a': 1}, {'a': 2}]|selectattr('a', 'gt', 1)|map(attribute='a')|list }}", "[2]"},
      {"{{ {'B': 1, 'a': 2}|dictsort }}{{ {'k': 1}|items|list }}",
       "[('a', 2), ('B', 1)][('k', 1)]"},
      {"{{ 'a\nb'|indent(2) }}|{{ 'a</think>b'.split('</think>')[-1].lstrip('\n') }}", "a\n  b|b"},
      {"{{ 'a b  c'.split() }}{{ 'a,b,c'.rsplit(',', 1) }}", "['a', 'b', 'c']['a,b', 'c']"},
      {"{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.find('c') }}{{ 'x'.join(['1', '2']) }}",
       "True21x2"},
      {"{{ {}.get('a') }}{{ {'a': 1}.get('a') }}{{ {'items': 1}['items'] }}", "None11"},
      {"{{ 1 is number }}{{ 'a' is string }}{{ none is none }}{{ [] is mapping }}{{ 4 is "
       "divisibleby 2 }}",
       "TrueTrueTrueFalseTrue"},
      {"{{ strftime_now('%d %b %Y') }}", "14 Mar 2025"},
      {"{{ '12.7'|int }}{{ 'x'|int(5) }}{{ 2.5|round }}{{ 3.14159|round(2) }}", "1252.03.14"},
  };
  for (const Case& c : cases) EXPECT_EQ(render(c.source), c.expected) << c.source;
}

TEST(ChatTemplate, ErrorsNameLineAndColumn) {
  const Case cases[] = {
      {"a\n{{ x. }}", "chat template, line 2, column 7: expected name or number"},
      {"{{ 'a'|nope }}", "chat template, line 1, column 8: No filter named 'nope'."},
      {"{{ 1 is nope }}", "chat template, line 1, column 6: No test named 'nope'."},
      {"{% if %}{% endif %}",
       "chat template, line 1, column 7: Expected an expression, got 'end of statement block'"},
      {"{% for x in y %}",
       "chat template, line 1, column 17: Unexpected end of template, 'endfor' is missing."},
      {"{% nope %}", "chat template, line 1, column 4: Encountered unknown tag 'nope'."},
      {"{{ (1 }}", "chat template, line 1, column 7: unexpected '}', expected ')'"},
      {"x\n {{ a.b }}", "chat template, line 2, column 6: 'a' is undefined"},
      {"{{ {}.a.b }}", "chat template, line 1, column 8: 'dict object' has no attribute 'a'"},
      {"{{ 'a' + 1 }}",
       "chat template, line 1, column 4: can only concatenate str (not \"int\") to str"},
      {"{{ [].append(1) }}",
       "chat template, line 1, column 13: access to attribute 'append' of 'list' object is "
       "unsafe."},
      {"{{ raise_exception('said by it') }}", "said by it"},
      {"{% if false %}{{ 'a'|nope }}{% endif %}ok", "ok"},
      {"{% break %}", "chat template, line 1, column 4: 'break' outside loop"},
      {"{{ 9223372036854775807 + 1 }}",
       "chat template, line 1, column 4: an integer does not fit 64 bits"},
  };
  for (const Case& c : cases) EXPECT_EQ(render(c.source), c.expected) << c.source;
}

TEST(ChatTemplate, OriginsSurviveEveryOperation) {
  const Json data{{"x", "ab|c"}, {"d", {{"k", "v"}}}, {"n", 7}, {"l", {"p", "q"}}};
  const Case cases[] = {
      {"T{{ x }}T{{ bos }}", "T<ab|c>T<s>"},
      {"{{ 'L' + x ~ 'M' }}", "L<ab|c>M"},
      {"{{ ('L' ~ x ~ 'M')[0:4] }}", "L<ab|>"},
      {"{{ (' L' ~ x ~ ' ')|trim|upper }}", "L<AB|C>"},
      {"{{ x.split('|')[0] ~ '|' ~ x.split('|')[1] }}", "<ab>|<c>"},
      {"{{ l|join('-') }}{{ '-'.join(l) }}", "<p>-<qp>-<q>"},
      {"{{ x.replace('b', 'L') }}{{ 'LxL'.replace('x', x) }}", "<a>L<|c>L<ab|c>L"},
      {"{{ '%s/%s' % (x, 'L') }}{{ '{}L{}'.format('K', x) }}", "<ab|c>/LKL<ab|c>"},
      {"{% macro m(a) %}M{{ a }}{% endmacro %}{{ m(x) }}{{ m('L') }}", "M<ab|c>ML"},
      {"{% set s %}S{{ x }}{% endset %}{{ s }}", "S<ab|c>"},
      {"{{ [x, 'L']|tojson }}", "<[\"ab|c\", \">L<\"]>"},
      {"{{ n }}{{ 5 }}{{ n + 5 }}{{ 2 * 5 }}", "<7>5<12>10"},
      {"{% for c in 'L' ~ l[0] %}{{ c }}{% endfor %}", "L<p>"},
      {"{{ d.k }}{{ {'k': 'L'}[d|first] }}{{ d|first }}", "<v>L<k>"},
      {"{{ ('L' ~ x)|list|reverse|join }}{{ ('L' ~ x)|reverse }}", "<c|ba>L<c|ba>L"},
      {"{{ ('L\n' ~ x)|indent(1) }}{{ x|default('L') }}{{ y|default('L') }}", "L<\n> <ab|cab|c>L"},
      {"{{ x|length }}{{ x|string }}{{ x|safe }}", "<4ab|cab|c>"},
  };
  for (const Case& c : cases) EXPECT_EQ(marked(c.source, data), c.expected) << c.source;
}

TEST(ChatTemplate, OnlyTheNamesOfRolesAreLiteralInMessages) {
  const auto parsed = ChatTemplate::parse("{% for m in messages %}<|{{ m.role }}|>{% endfor %}");
  const auto spans = parsed->render({.messages = {{{"role", "user"}}, {{"role", "<|x|>"}}}});
  const Spans expected{
      {"<|user|><|", Origin::kLiteral}, {"<|x|>", Origin::kData}, {"|>", Origin::kLiteral}};
  EXPECT_EQ(spans.value(), expected);
}

// vLLM CVE-2025-62426 was such a request.
TEST(ChatTemplate, RequestsCannotReplaceWhatTheEngineSets) {
  const auto parsed = ChatTemplate::parse("{{ bos_token }}{{ messages|length }}{{ mine }}");
  const Json tokens{{"bos_token", "<s>"}};
  EXPECT_TRUE(parsed->render({.tokens = tokens, .kwargs = {{"mine", 1}}}).ok());
  for (const char* name :
       {"messages", "tools", "documents", "add_generation_prompt", "bos_token"}) {
    const auto result = parsed->render({.tokens = tokens, .kwargs = {{name, "x"}}});
    ASSERT_FALSE(result.ok()) << name;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(ChatTemplate, LimitsAreClearErrorsAndNotHangs) {
  const std::string_view sources[] = {
      "{{ 'x' * 1000000000 }}",
      "{{ range(1000000000)|list }}",
      "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% "
      "endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(64) %}{% set ns.l = ns.l + ns.l %}{% "
      "endfor %}",
      "{{ 'a\nb'|indent(1000000000) }}",
      "{{ 'a'|center(1000000000) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 'a'.ljust(1000000000) }}",
      "{{ 'a'.zfill(1000000000) }}",
      "{{ [1] * 1000000000 }}",
      "{{ [1]|tojson(indent=1000000000) }}",
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(500) %}{% set ns.x = [ns.x] %}{% endfor "
      "%}{{ "
      "ns.x }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(500) %}{% set ns.x = [ns.x] %}{% endfor "
      "%}{{ "
      "ns.x == [[ns.x]] }}",
      "{% for i in range(99999) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% "
      "endfor %}",
      "{{ ('a' * 4000000).replace('', 'bb') }}",
  };
  for (const std::string_view source : sources) {
    const auto parsed = ChatTemplate::parse(source);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    const auto result = parsed->render({});
    ASSERT_FALSE(result.ok()) << source;
    EXPECT_EQ(result.error().code, ErrorCode::kResourceExhausted)
        << source << ": " << result.error().message;
  }
}

TEST(ChatTemplate, DeepAndLongTemplatesStayWithinTheStack) {
  const auto repeat = [](std::string_view what, size_t n) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += what;
    return text;
  };
  const std::string too_deep[] = {
      "{{ " + repeat("(", 5000) + "1" + repeat(")", 5000) + " }}",
      "{{ " + repeat("[", 5000) + repeat("]", 5000) + " }}",
      "{{ " + repeat("not ", 5000) + "1 }}",
      "{{ " + repeat("-", 5000) + "1 }}",
      "{{ x" + repeat(".a", 5000) + " }}",
      "{{ x" + repeat("|trim", 5000) + " }}",
      "{{ " + repeat("1 if 1 else ", 5000) + "1 }}",
      repeat("{% if 1 %}", 5000) + repeat("{% endif %}", 5000),
      std::string(kTemplateBytesMax + 1, 'x'),
  };
  for (const std::string& source : too_deep) {
    const auto parsed = ChatTemplate::parse(source);
    ASSERT_FALSE(parsed.ok()) << source.substr(0, 40);
    EXPECT_EQ(parsed.error().code, ErrorCode::kResourceExhausted) << parsed.error().message;
  }
  EXPECT_EQ(render("{{ 0" + repeat(" + 1", 20000) + " }}"), "20000");
  EXPECT_EQ(render("{{ ''" + repeat(" ~ 'a'", 20000) + " }}").size(), 20000u);
  // The deepest evaluation that is allowed to start: macros in deep expressions.
  EXPECT_NE(
      render("{% macro f(n) %}" + repeat("{% if 1 %}", 40) + "{{ " + repeat("[", 30) + "f(n + 1)" +
             repeat("]", 30) + " }}" + repeat("{% endif %}", 40) + "{% endmacro %}{{ f(0) }}")
          .find("deeper than"),
      std::string::npos);
}

TEST(ChatTemplate, AccumulatingTextIsNotQuadratic) {
  // 20,000 pieces: copying all of it each time would need 2 GB, above the memory limit.
  EXPECT_EQ(render("{% set ns = namespace(s='') %}{% for i in range(20000) %}"
                   "{% set ns.s = ns.s + 'xxxxxxxxxx' %}{% endfor %}{{ ns.s|length }}"),
            "200000");
}

TEST(ChatTemplate, LoopsKeptInANamespaceAreHarmlessLater) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in [1, 2] if i %}{% set ns.l = loop %}{% "
                   "endfor %}{{ ns.l.index }}{{ ns.l.last }}{{ ns.l.length }}"),
            "2True2");
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me is defined }}"),
            "True");
}

TEST(ChatTemplateFixtures, EveryCaseByteForByte) {
  if (!std::filesystem::exists(kFixtures)) GTEST_SKIP() << "no fixtures";
  std::map<std::string, ChatTemplate> templates;
  std::ifstream cases(kFixtures / "cases.jsonl");
  size_t n = 0;
  for (std::string line; std::getline(cases, line); ++n) {
    const Json c = parse_json(line).value();
    const std::string name = c["template"];
    const std::string label = name + " / " + c["case"].get<std::string>();
    if (!templates.contains(name)) {
      auto parsed = ChatTemplate::parse(read(kFixtures / "templates" / (name + ".jinja")));
      ASSERT_TRUE(parsed.ok()) << name << ": " << parsed.error().message;
      templates.emplace(name, std::move(parsed).value());
    }
    const RenderInputs inputs{.messages = c["messages"],
                              .tools = c["tools"],
                              .add_generation_prompt = c["add_generation_prompt"],
                              .tokens = c["tokens"],
                              .kwargs = c["kwargs"],
                              .now_unix_seconds = kNow};
    const auto result = templates.at(name).render(inputs);
    if (!c.contains("error")) {
      ASSERT_TRUE(result.ok()) << label << ": " << result.error().message;
      EXPECT_EQ(joined(*result), c["expected"].get<std::string>()) << label;
    } else {
      ASSERT_FALSE(result.ok()) << label << ": should fail: " << c["error"].dump();
      if (c["error"]["raised_by_template"]) {
        EXPECT_EQ(result.error().message, c["error"]["message"].get<std::string>()) << label;
      }
    }
  }
  EXPECT_EQ(n, 1029u);
}

std::map<std::string, std::string> fixture_templates() {
  std::map<std::string, std::string> sources;
  if (!std::filesystem::exists(kFixtures)) return sources;
  for (const auto& entry : std::filesystem::directory_iterator(kFixtures / "templates")) {
    sources[entry.path().stem().string()] = read(entry.path());
  }
  return sources;
}

// Everything in the private use area: no template contains it, so wherever it shows up it is data.
std::string sentinel(Rng& rng) {
  constexpr std::string_view kLookAlikes[] = {
      "<|im_end|>", "</think>", "<think>", "<tool_call>", "[INST]", "<|start|>", "\n", " ",
      "</s>",       "<|end|>",  "<turn|>", "`",           "'",      "\"",        "{",  "}",
      "\\",         "<s>",      "[/INST]", "<|eot_id|>",  "%s",     "{{ x }}"};
  std::string text;
  for (uint64_t n = rng.below(6); n > 0; --n) {
    append_utf8(text, 0xE000 + static_cast<char32_t>(rng.below(0x1000)));
    text += kLookAlikes[rng.below(std::size(kLookAlikes))];
    append_utf8(text, 0xE000 + static_cast<char32_t>(rng.below(0x1000)));
  }
  return text;
}

// The same conversation with every string that is no role replaced or surrounded by sentinels.
Json poisoned(const Json& value, Rng& rng, bool keep) {
  if (value.is_string()) {
    if (keep) return value;
    return sentinel(rng) + (rng.below(2) == 0 ? value.get<std::string>() : "") + sentinel(rng);
  }
  if (!value.is_structured()) return value;
  Json out = value.is_array() ? Json::array() : Json::object();
  for (const auto& [key, item] : value.items()) {
    if (value.is_array()) {
      out.push_back(poisoned(item, rng, keep));
    } else {
      out[key] = poisoned(item, rng,
                          key == "role" || key == "type" || key == "id" || key == "tool_call_id");
    }
  }
  return out;
}

bool has_sentinel(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char c = decode_utf8(text);
    if (c.code >= 0xE000 && c.code < 0xF000) return true;
    text.remove_prefix(c.n_bytes);
  }
  return false;
}

TEST(ChatTemplateFixtures, NothingThatCameFromMessagesIsEverLiteral) {
  const auto sources = fixture_templates();
  if (sources.empty()) GTEST_SKIP() << "no fixtures";
  std::map<std::string, ChatTemplate> templates;
  for (const auto& [name, source] : sources) {
    templates.emplace(name, ChatTemplate::parse(source).value());
  }
  std::map<std::string, size_t> n_data;  // per template: renders in which sentinels came through
  std::ifstream cases(kFixtures / "cases.jsonl");
  uint64_t seed = 1;
  for (std::string line; std::getline(cases, line); ++seed) {
    const Json c = parse_json(line).value();
    Rng rng(seed);
    const RenderInputs inputs{.messages = poisoned(c["messages"], rng, false),
                              .tools = poisoned(c["tools"], rng, false),
                              .add_generation_prompt = c["add_generation_prompt"],
                              .tokens = c["tokens"],
                              .kwargs = poisoned(c["kwargs"], rng, false),
                              .now_unix_seconds = kNow};
    const auto result = templates.at(c["template"]).render(inputs);
    if (!result.ok()) continue;
    bool came_through = false;
    for (const Span& span : *result) {
      if (span.origin == Origin::kData) {
        came_through |= has_sentinel(span.text);
      } else {
        ASSERT_FALSE(has_sentinel(span.text))
            << c["template"] << " / " << c["case"] << ", seed " << seed << ": " << span.text;
      }
    }
    n_data[c["template"]] += came_through ? 1 : 0;
  }
  // The one template that cannot render the fixtures at all aside, each was really exercised.
  for (const auto& [name, source] : sources) {
    if (name == "CohereForAI-c4ai-command-r-plus-tool_use") continue;
    EXPECT_GT(n_data[name], 5u) << name;
  }
}

}  // namespace
}  // namespace maru::text
