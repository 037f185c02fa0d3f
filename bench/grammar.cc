// bench/grammar.cc - JSON schemas compiled, texts judged, and the time of each token mask, in the
// way of MaskBench (guidance-ai/jsonschemabench, folder maskbench).
//
// Usage: bench_grammar MODEL.gguf FOLDER [--verify N]. FOLDER holds MaskBench's data: one JSON file
// for each schema, {"schema", "tests": [{"valid", "data"}]}; MODEL's vocabulary makes the tokens (a
// vocabulary-only file is enough). A schema passes where it compiles and every text is judged
// right. The time of a token is that of its mask and of following it; of a schema, that of
// compiling it with its first mask; both of the CPU. --verify compares every N-th mask with the
// matcher's own verdict on each token of the vocabulary (slow).
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "gguf/file.h"
#include "grammar/grammar.h"
#include "grammar/masker.h"
#include "model/load_vocab.h"
#include "text/tokenizer.h"

namespace {

using maru::Json;
using maru::grammar::Masker;
using maru::grammar::Matcher;
using maru::grammar::TokenMask;

constexpr size_t kFileBytesMax = 64 << 20;

// Of this thread's CPU, so that a busy machine matters less.
double now_us() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}
double us_since(double begin) { return now_us() - begin; }

// As Python's json.dumps(value, ensure_ascii=False): MaskBench's texts.
void write(const Json& value, std::string& out) {
  if (value.is_object() || value.is_array()) {
    out += value.is_object() ? '{' : '[';
    bool first = true;
    for (const auto& [key, item] : value.items()) {
      if (!first) out += ", ";
      first = false;
      if (value.is_object()) out += Json(key).dump() + ": ";
      write(item, out);
    }
    out += value.is_object() ? '}' : ']';
  } else {
    out += value.dump();
  }
}

struct Totals {
  std::map<std::string, size_t> outcomes;  // of schemas
  std::vector<double> mask_us;
  std::vector<double> compile_us;
  size_t n_tokens = 0;
  size_t n_verified = 0;
  size_t n_wrong_masks = 0;
};

void print_times(const char* name, std::vector<double>& times) {
  if (times.empty()) return;
  std::ranges::sort(times);
  double sum = 0;
  for (const double time : times) sum += time;
  fmt::print("{}: n {} mean {:.1f}", name, times.size(), sum / static_cast<double>(times.size()));
  for (const double p : {25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0}) {
    const auto at = static_cast<size_t>(static_cast<double>(times.size()) * p / 100);
    fmt::print(" p{} {:.1f}", p, times[std::min(at, times.size() - 1)]);
  }
  fmt::print(" us\n");
}

class Bench {
 public:
  Bench(const maru::text::Tokenizer& tokenizer, size_t verify_every)
      : tokenizer_(tokenizer), verify_every_(verify_every) {
    for (size_t i = 0; i < tokenizer.n_vocab(); ++i) {
      const auto id = static_cast<maru::grammar::TokenId>(i);
      tokens_.emplace_back();
      if (!tokenizer.is_control(id)) tokenizer.append_decoded(id, false, tokens_.back());
    }
    const auto begin = now_us();
    vocabulary_ = std::make_unique<maru::grammar::Vocabulary>(tokens_);
    fmt::print("vocabulary of {} tokens: {:.1f} ms\n", tokens_.size(), us_since(begin) / 1e3);
  }

  void run(const std::filesystem::path& path) {
    const auto text = maru::read_file(path, kFileBytesMax);
    const auto file = text.ok() ? maru::parse_json(*text, 256) : maru::Result<Json>(text.error());
    if (!file.ok()) return count("unreadable", path, file.error().message);
    const auto begin = now_us();
    auto program = maru::grammar::compile({.kind = maru::grammar::GrammarKind::kJsonSchema,
                                           .source = maru::dump_json((*file)["schema"]),
                                           .choices = {}});
    if (!program.ok()) return count("compile error", path, program.error().message);
    Masker masker(**program, *vocabulary_);
    TokenMask mask(tokens_.size());
    Matcher first(**program);
    masker.fill(first, mask);
    totals.compile_us.push_back(us_since(begin));
    std::string outcome = "passing", detail;
    for (const Json& test : (*file)["tests"]) {
      std::string instance;
      write(test["data"], instance);
      const std::string judged = judge(**program, masker, mask, instance);
      const bool valid = test["valid"].get<bool>();
      if (judged == (valid ? "accepted" : "refused")) continue;
      outcome = judged == "limit" ? "limit met" : valid ? "validation error" : "invalidation error";
      detail = instance;
    }
    count(outcome, path, detail);
  }

  Totals totals;

 private:
  void count(const std::string& outcome, const std::filesystem::path& path,
             const std::string& detail) {
    ++totals.outcomes[outcome];
    if (outcome != "passing") {
      fmt::print("{}: {}: {:.200}\n", outcome, path.filename().string(), detail);
    }
  }

  std::string judge(maru::grammar::Program& program, Masker& masker, TokenMask& mask,
                    const std::string& instance) {
    Matcher matcher(program);
    for (const auto id : tokenizer_.encode(instance)) {
      const auto begin = now_us();
      const bool known = masker.fill(matcher, mask);
      const bool allowed = mask.has(id) && matcher.accept(tokens_[static_cast<size_t>(id)]);
      totals.mask_us.push_back(us_since(begin));
      if (!known || !matcher.ok()) return "limit";
      if (verify_every_ > 0 && ++totals.n_tokens % verify_every_ == 0)
        verify(masker, matcher, mask);
      if (!allowed) return "refused";
    }
    return matcher.may_end() ? "accepted" : "refused";
  }

  void verify(Masker& masker, Matcher& matcher, TokenMask& mask) {
    masker.fill(matcher, mask);
    ++totals.n_verified;
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const bool expected = !tokens_[i].empty() && matcher.allows(tokens_[i]);
      if (mask.has(static_cast<maru::grammar::TokenId>(i)) == expected) continue;
      ++totals.n_wrong_masks;
      fmt::print("wrong mask: token {} expected {}\n", i, expected);
      return;
    }
  }

  const maru::text::Tokenizer& tokenizer_;
  const size_t verify_every_;
  std::vector<std::string> tokens_;
  std::unique_ptr<maru::grammar::Vocabulary> vocabulary_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && !(argc == 5 && std::string_view(argv[3]) == "--verify")) {
    fmt::print(stderr, "usage: bench_grammar MODEL.gguf FOLDER [--verify N]\n");
    return 2;
  }
  const auto file = maru::gguf::File::open(argv[1]);
  auto vocab = file.ok() ? maru::model::load_vocab(file->metadata())
                         : maru::Result<maru::text::Vocab>(file.error());
  auto tokenizer = vocab.ok() ? maru::text::Tokenizer::create(std::move(vocab).value())
                              : maru::Result<maru::text::Tokenizer>(vocab.error());
  if (!tokenizer.ok()) {
    fmt::print(stderr, "{}: {}\n", argv[1], tokenizer.error().message);
    return 1;
  }
  Bench bench(*tokenizer, argc == 5 ? std::strtoul(argv[4], nullptr, 10) : 0);
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[2])) {
    if (entry.path().extension() == ".json") paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  for (const auto& path : paths) bench.run(path);
  for (const auto& [outcome, n] : bench.totals.outcomes) fmt::print("{}: {}\n", outcome, n);
  if (bench.totals.n_verified > 0) {
    fmt::print("masks verified: {}, wrong: {}\n", bench.totals.n_verified,
               bench.totals.n_wrong_masks);
  }
  print_times("token", bench.totals.mask_us);
  print_times("schema", bench.totals.compile_us);
  return 0;
}
