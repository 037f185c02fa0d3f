// bench/tokenizer.cc - megabytes of text tokenized per second, by kind of text.
//
// Usage: bench_tokenizer MODEL.gguf... (a vocabulary-only file is enough). Prints one line per file
// and kind of text: the median of five runs over 1 MB, and the time to make the tokenizer
// (of the CPU too: that holds on a busy machine).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <string>
#include <vector>

#include "base/rng.h"
#include "gguf/file.h"
#include "model/load_vocab.h"
#include "text/tokenizer.h"

namespace {

constexpr size_t kTextBytes = 1 << 20;
constexpr size_t kRuns = 5;

double seconds_of(auto&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Words in random order, so that no cache of whole sentences can help.
std::string shuffled(const std::vector<std::string>& words) {
  maru::Rng rng(1);
  std::string text;
  while (text.size() < kTextBytes) text += words[rng.below(words.size())];
  return text;
}

std::string repeated(std::string_view unit) {
  std::string text;
  while (text.size() < kTextBytes) text += unit;
  return text;
}

struct Sample {
  std::string_view name;
  std::string text;
};

std::vector<Sample> samples() {
  return {
      {"english", shuffled({" the", " quick", " brown", " fox", " jumped", " over", " lazy",
                            " dogs", ", and", " then", " it", "'s", " 1969", ".\n", " because",
                            " engineering", " photosynthesis", " don't"})},
      {"korean", shuffled({" 마루는", " 대한민국의", " 수도", " 서울이며", ", 인구는", " 컴퓨터로",
                           " 구현하려는", " 과학의", " 한", " 분야이다", ".\n", " 아무도"})},
      {"code", shuffled({"  for (", "size_t i", " = 0;", " i < n;", " ++i) {\n", "    out[i]",
                         " += x * 2;\n", "  }\n", "// note\n", "return ", "std::vector<int>"})},
      {"letters", repeated("a")},
      {"spaces", repeated(" ")},
      {"hangul", repeated("가")},
      {"emoji", repeated("😀")},
  };
}

int bench(const char* path) {
  const auto file = maru::gguf::File::open(path);
  if (!file.ok()) return fmt::print(stderr, "{}\n", file.error().message), 1;
  auto vocab = maru::model::load_vocab(file->metadata());
  if (!vocab.ok()) return fmt::print(stderr, "{}\n", vocab.error().message), 1;
  auto made = maru::Result<maru::text::Tokenizer>(maru::Error::internal("not made"));
  const std::clock_t cpu_begin = std::clock();
  const double seconds =
      seconds_of([&] { made = maru::text::Tokenizer::create(std::move(vocab).value()); });
  const double cpu_seconds = static_cast<double>(std::clock() - cpu_begin) / CLOCKS_PER_SEC;
  if (!made.ok()) return fmt::print(stderr, "{}\n", made.error().message), 1;
  fmt::print("{}: {} tokens, made in {:.0f} ms ({:.0f} ms of CPU)\n", path, made->n_vocab(),
             seconds * 1e3, cpu_seconds * 1e3);
  for (const Sample& sample : samples()) {
    std::array<double, kRuns> times;
    size_t n_ids = 0;
    for (double& time : times) {
      time = seconds_of([&] { n_ids = made->encode(sample.text).size(); });
    }
    std::ranges::sort(times);
    const double megabytes = static_cast<double>(sample.text.size()) / 1e6;
    fmt::print("  {:8} {:7.2f} MB/s (fastest {:.2f}, slowest {:.2f}), {} ids\n", sample.name,
               megabytes / times[kRuns / 2], megabytes / times.front(), megabytes / times.back(),
               n_ids);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int failed = argc < 2 ? 2 : 0;
  for (int i = 1; i < argc; ++i) failed = std::max(failed, bench(argv[i]));
  return failed;
}
