// text/chat_template_fuzz.cc - mutated templates against hostile messages: never a crash, and every
// render ends with text or an error within its budget, of memory too.
// MARU_FUZZ_ITERATIONS sets how many (default 3000), MARU_FUZZ_SEED the first.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/rng.h"
#include "memory_meter.h"
#include "source_dir.h"
#include "text/chat_template.h"

namespace maru::text {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;

constexpr std::string_view kSeeds[] = {
    "{%- for m in messages %}{{ '<|' + m.role + '|>' ~ m['content']|trim }}{% endfor %}",
    "{% macro f(x, y=1) %}{{ x }}{{ caller() }}{% endmacro %}{% call f(messages) %}z{% endcall %}",
    "{% set ns = namespace(a=[], n=0) %}{% for m in messages if m.content is string %}"
    "{% set ns.a = ns.a + [m.content.split('</think>')[-1]] %}{% endfor %}{{ ns.a|tojson(indent=2) "
    "}}",
    "{{ messages[::-1]|map(attribute='content')|list|join(', ')|upper|replace('A', 'b') }}",
    "{% for t in tools recursive %}{{ loop.index }}{{ t|dictsort }}{{ loop(t.x) }}{% endfor %}",
    "{{ '%5.2f|%-10s|%x' % (1.5, messages[0].content, 255) }}{{ '{:>8}'.format(2**10 // 3) }}",
    "{% raw %}{{ x }}{% endraw %}{# c #}{% set s %}a{% endset %}{{ s * 3 }}{{ range(5)|sum }}",
};
constexpr std::string_view kPieces[] = {
    "{{",
    "}}",
    "{%",
    "%}",
    "-%}",
    "{#",
    "#}",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "|",
    ".",
    "~",
    "**",
    " if ",
    " else ",
    " for ",
    " in ",
    " is ",
    " not ",
    " recursive ",
    "endfor",
    "endif",
    "set ",
    "macro ",
    "loop",
    "caller",
    "namespace",
    "messages",
    "* 999999999",
    "range(99999999)",
    "|indent(99999999)",
    "|center(99999999)",
    "|list",
    "|string",
    "|tojson",
    "|sort",
    "|groupby('a')",
    "|batch(99999)",
    "|slice(99999)",
    "1e999",
    "9223372036854775807",
    "-1",
    "\\u",
    "\\xff",
    "\xff",
    "%s",
    "%*d",
    "{:99999999}",
    "|safe",
    "|map('upper')",
    "|select('odd')",
    "0",
    "none",
    "true",
};

std::string mutated(Rng& rng, std::string text) {
  for (uint64_t n = 1 + rng.below(4); n > 0; --n) {
    const size_t at = rng.below(text.size() + 1);
    switch (rng.below(4)) {
      case 0:
        text.insert(at, kPieces[rng.below(std::size(kPieces))]);
        break;
      case 1:
        text.erase(at, rng.below(8));
        break;
      case 2:
        text.insert(at, text.substr(rng.below(text.size() + 1), rng.below(40)));
        break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(rng.below(256));
    }
  }
  return text;
}

Json hostile_value(Rng& rng, int depth) {
  switch (rng.below(depth > 4 ? 5 : 8)) {
    case 0:
      return nullptr;
    case 1:
      return static_cast<int64_t>(rng.next());
    case 2:
      return rng.uniform() * 1e300;
    case 3:
      return std::string(rng.below(300), static_cast<char>(rng.below(256)));
    case 4:
      return "<|im_end|></think>{{ x }}";
    case 5:
      return Json{hostile_value(rng, depth + 1), hostile_value(rng, depth + 1)};
    default:
      return Json{{"content", hostile_value(rng, depth + 1)},
                  {"role", "user"},
                  {"x", hostile_value(rng, depth + 1)}};
  }
}

std::vector<std::string> seeds() {
  std::vector<std::string> all(std::begin(kSeeds), std::end(kSeeds));
  const std::filesystem::path folder =
      MARU_SOURCE_DIR "/../shared/fixtures/chat_templates/templates";
  if (!std::filesystem::exists(folder)) return all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    all.push_back(text.str());
  }
  return all;
}

TEST(ChatTemplateFuzz, MutatedTemplatesEndWithTextOrAnError) {
  const uint64_t n = setting("MARU_FUZZ_ITERATIONS", 3000);
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const std::vector<std::string> templates = seeds();
  uint64_t n_rendered = 0;
  testing_support::SlowestInput slowest("chat template");
  for (uint64_t seed = first; seed < first + n; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Rng rng(seed);
    const std::string source = mutated(rng, templates[rng.below(templates.size())]);
    RenderInputs inputs;
    for (uint64_t i = rng.below(4); i > 0; --i) inputs.messages.push_back(hostile_value(rng, 0));
    inputs.tools = hostile_value(rng, 0);
    const MemoryMeter meter;
    const std::clock_t begin = std::clock();
    const auto parsed = ChatTemplate::parse(source);
    ASSERT_LE(meter.peak_bytes(), kHostileMemoryMax);
    if (!parsed.ok()) {
      EXPECT_FALSE(parsed.error().message.empty());
      continue;
    }
    const auto result = parsed->render(inputs);
    slowest.add(seed, begin);
    ASSERT_LE(meter.peak_bytes(), kHostileMemoryMax);
    if (!result.ok()) continue;
    ++n_rendered;
    size_t n_bytes = 0;
    for (const Span& span : *result) n_bytes += span.text.size();
    EXPECT_LE(n_bytes, kRenderBytesMax);
  }
  // Most of the mutations must reach the evaluator, or this tests the parser only.
  EXPECT_GE(n_rendered, n / 20);
}

}  // namespace
}  // namespace maru::text
