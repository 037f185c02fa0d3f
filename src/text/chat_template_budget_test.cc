// Templates that mean harm: each ends in a budget error, holds little memory, and the time that the
// slowest takes is printed (a figure to read, not to assert: machines differ). With
// MARU_FUZZ_ITERATIONS set it prints every one.
#include <gtest/gtest.h>

#include <ctime>

#include "memory_meter.h"
#include "text/chat_template.h"

namespace maru::text {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;

// What every template below begins with: long texts in few steps, a list and a dictionary.
constexpr std::string_view kSetup =
    "{%- set s = ('a' * 1000) * 1000 %}{% set lt = ('<' * 1000) * 1000 %}"
    "{% set sp = (' ' * 1000) * 1000 %}{% set one = ('1' * 1000) * 1000 %}"
    "{% set utf = ('\xED\x95\x9C' * 1000) * 1000 %}{% set r = range(50000) %}"
    "{% set ns = namespace(x=(1,), t='') -%}";

constexpr std::string_view kEndless =
    "{% for i in range(99999) %}{% for j in range(99) %}{% if BODY %}{% endif %}{% endfor %}"
    "{% endfor %}";

// Expressions that cost much in one step if they do not pay; run until the budget ends.
constexpr std::string_view kExpressions[] = {
    "s == s ~ ''",
    "s < s",
    "s.find('b')",
    "s.find('aaaaaaaaaaaaaaaaaaaaaaab')",
    "s.rfind('aaaaaaaaaaaaaaaaaaaaaaab')",
    "(s[:500000] ~ 'b') in s",
    "s.rfind('b' ~ s[:500000])",
    "s.rsplit('ab')",
    "s.split('aab')",
    "s.split()",
    "sp.split()",
    "sp.rsplit(none, 9)",
    "sp.strip()",
    "s.strip('b' ~ s)",
    "s.strip('a')",
    "s.count('aab')",
    "s.replace('aab', 'c')",
    "s.startswith(s)",
    "s.endswith(s)",
    "s.removeprefix(s)",
    "s.removesuffix('b' ~ s)",
    "s.isascii()",
    "s.isalpha()",
    "s.isupper()",
    "s is lower",
    "s.upper()",
    "utf.title()",
    "s|title",
    "s|upper",
    "s|capitalize",
    "s|trim",
    "s|length",
    "utf|length",
    "utf[999999]",
    "utf[:999999]",
    "utf[::2]",
    "s[-1]",
    "s|first",
    "s|last",
    "s|list",
    "s|reverse",
    "s|wordcount",
    "s|truncate(999990)",
    "s|indent(1)",
    "s.splitlines()",
    "s|center(9)",
    "s.center(9)",
    "s.ljust(9)",
    "s.zfill(9)",
    "s.partition('b')",
    "s.rpartition('b')",
    "s|int",
    "one|int",
    "sp|int",
    "one|float",
    "sp|float",
    "s|striptags",
    "lt|striptags",
    "s|escape",
    "lt|escape",
    "s|urlencode",
    "s|tojson",
    "lt|tojson",
    "s|pprint",
    "s|string ~ 'x'",
    "s ~ s",
    "'%s' % s",
    "'%.300f' % 1e308",
    "'%300.300e' % 1e-308",
    "'{:.300f}'.format(1e308)",
    "1e308|round(300)",
    "1.5|round(300, 'floor')",
    "'{:>4000000}'.format(1)",
    "[1]|tojson(indent=1000000)",
    "[[[[[[[[[]]]]]]]]]|tojson(indent='')",
    "strftime_now(('%c' * 1000) * 1000)",
    "[]|sort(attribute=(',' * 1000) * 1000)",
    "[{}]|map(attribute=('.' * 1000) * 1000, default={})|list",
    "r|map('upper', *r)|list",
    "r|sort",
    "r|unique|list",
    "r|groupby('x', default=1)",
    "r|batch(3)|list",
    "r|slice(3)|list",
    "r|join",
    "r|sum",
    "r|max",
    "r|first",
    "r|last",
    "r|list == r|list",
    "-1 in r",
    "(r|list).count(-1)",
    "r|list + r|list",
    "r[::-1]",
    "[r] * 100",
    "cycler(*r)",
    "loop.changed(*r)",
    "dict(r|map('string')|batch(2))",
    "joiner(s)",
    "range(99999)",
};

struct Outcome {
  size_t peak_bytes = 0;
  double ms = 0;
};

Outcome expect_exhausted(const std::string& source, std::string_view name,
                         const Json& kwargs = {}) {
  const MemoryMeter meter;
  const std::clock_t begin = std::clock();
  const auto parsed = ChatTemplate::parse(source);
  const auto result = parsed.ok() ? parsed->render({.kwargs = kwargs}) : parsed.error();
  const double ms = 1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_FALSE(result.ok()) << name;
  if (!result.ok()) {
    EXPECT_EQ(result.error().code, ErrorCode::kResourceExhausted)
        << name << ": " << result.error().message;
  }
  EXPECT_LE(meter.peak_bytes(), kHostileMemoryMax) << name;
  if (testing_support::setting("MARU_FUZZ_ITERATIONS", 0) != 0) {
    std::printf("%8.1f ms %6.1f MiB  %s\n", ms, static_cast<double>(meter.peak_bytes()) / (1 << 20),
                std::string(name).c_str());
  }
  return {meter.peak_bytes(), ms};
}

TEST(ChatTemplateBudget, EveryOperationPaysForWhatItReads) {
  Outcome most;
  std::string slowest;
  for (const std::string_view expression : kExpressions) {
    std::string source = std::string(kSetup) + std::string(kEndless);
    source.replace(source.find("BODY"), 4, expression);
    const Outcome outcome = expect_exhausted(source, expression);
    most.peak_bytes = std::max(most.peak_bytes, outcome.peak_bytes);
    if (outcome.ms > most.ms) {
      most.ms = outcome.ms;
      slowest = expression;
    }
  }
  std::printf("slowest: %.1f ms, %s; most memory: %zu bytes\n", most.ms, slowest.c_str(),
              most.peak_bytes);
}

std::string repeated(std::string_view what, size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += what;
  return text;
}

TEST(ChatTemplateBudget, StructuresThatExplodeAreRefused) {
  // A tuple that holds itself twice, 90 times over, as a key: 2^90 visits to see that it is one.
  expect_exhausted(
      "{% set ns = namespace(x=(1,)) %}{% for i in range(90) %}{% set ns.x = (ns.x, ns.x) %}"
      "{% endfor %}{% set d = {ns.x: 1} %}",
      "hash");
  expect_exhausted(
      "{% set ns = namespace(x=(1,)) %}{% for i in range(90) %}{% set ns.x = (ns.x, ns.x) %}"
      "{% endfor %}{{ ns.x == ns.x }}",
      "equality");
  expect_exhausted(
      "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}{{ ns.x|tojson }}",
      "tojson");
  // One span of output per byte.
  expect_exhausted(
      "{% for i in range(99999) %}{% for j in range(99) %}{{ x }}-{% endfor %}"
      "{% endfor %}",
      "spans", {{"x", "+"}});
  expect_exhausted("{{ (x ~ '-') * 2000000 }}", "spans by *", {{"x", "+"}});
  // Variables and updates of them, quadratically.
  std::string variables;
  for (size_t i = 0; i < 4000; ++i) variables += "{% set v" + std::to_string(i) + "=1%}";
  expect_exhausted(variables + repeated("{% set v3999=1%}", 24'000), "variables");
  // Keyword arguments from a long dictionary that the caller gave.
  Json many;
  for (size_t i = 0; i < 2000; ++i) many["k" + std::to_string(i)] = 1;
  expect_exhausted(
      "{% for i in range(99999) %}{% for j in range(99) %}{% if [1]|first(**d) %}"
      "{% endif %}{% endfor %}{% endfor %}",
      "keywords", {{"d", many}});
}

TEST(ChatTemplateBudget, ParsingHoldsLittleMemory) {
  const std::string sources[] = {
      "{{" + repeated("[],", 300'000) + "1}}",
      "{%" + repeated("-", 1'000'000) + "%}",
      repeated("{{a}}", 200'000),
      repeated("{%set a=1%}", 90'000),
      "{{ f(" + repeated("a=1,", 200'000) + ") }}",
  };
  for (const std::string& source : sources) {
    const MemoryMeter meter;
    const auto parsed = ChatTemplate::parse(source);
    EXPECT_FALSE(parsed.ok()) << source.substr(0, 20);
    EXPECT_LE(meter.peak_bytes(), kHostileMemoryMax) << source.substr(0, 20);
  }
  // Just below the limit of tokens: accepted, and still small.
  const MemoryMeter meter;
  EXPECT_TRUE(ChatTemplate::parse(repeated("{%if a%}{%endif%}", 14'000)).ok());
  EXPECT_LE(meter.peak_bytes(), kHostileMemoryMax);
}

}  // namespace
}  // namespace maru::text
