// Mutated vocabulary files, all the way: GGUF bytes -> load_vocab -> Tokenizer -> encode -> decode.
// Each step ends in an error or in something sound, within a bound of memory.
//
// MARU_FUZZ_ITERATIONS sets how many (default 3000), MARU_FUZZ_SEED the first; a failure prints the
// seed.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "gguf/file.h"
#include "gguf/writer.h"
#include "memory_meter.h"
#include "model/load_vocab.h"
#include "mutate.h"
#include "text/tokenizer.h"

namespace maru::model {
namespace {

using testing_support::kHostileMemoryMax;
using testing_support::MemoryMeter;
using testing_support::setting;
using text::TokenId;

const std::string kPrefix = "tokenizer.ggml.";

struct Pieces {
  std::vector<std::string> texts;
  std::vector<int32_t> types;
  std::vector<float> scores;
  void add(std::string text, int32_t type = 1) {
    texts.push_back(std::move(text));
    types.push_back(type);
    scores.push_back(-static_cast<float>(texts.size()));
  }
};

Pieces common_pieces(std::string_view space) {
  Pieces pieces;
  for (const char* special : {"<unk>", "<s>", "</s>"}) pieces.add(special, 3);
  for (const char c : std::string_view("abcdefgh<>[]|.,!? ")) pieces.add(std::string(1, c));
  const std::string mark(space);
  for (const char* word : {"ab", "cd", "abcd", "##ab", "##c", "가", "é", "<|end|>", "[CLS]"}) {
    pieces.add(word);
    pieces.add(mark + word);
  }
  pieces.add(mark);
  return pieces;
}

// A sound file of each kind of tokenizer.
std::string vocab_file(std::string_view kind) {
  gguf::Writer writer;
  const bool is_bpe = kind == "gpt2";
  Pieces pieces = common_pieces(is_bpe ? "Ġ" : "▁");
  if (!is_bpe) {
    for (const char* byte : {"<0x00>", "<0x41>", "<0xED>", "<0xFF>"}) pieces.add(byte, 6);
  }
  writer.set_string("general.architecture", "llama");
  writer.set_string(kPrefix + "model", kind);
  if (is_bpe) writer.set_string(kPrefix + "pre", "llama-bpe");
  writer.set_strings(kPrefix + "tokens", pieces.texts);
  writer.set_i32s(kPrefix + "token_type", pieces.types);
  writer.set_f32s(kPrefix + "scores", pieces.scores);
  if (is_bpe) {
    writer.set_strings(kPrefix + "merges",
                       std::vector<std::string>{"a b", "c d", "ab cd", "Ġ ab", "Ġ cd"});
  }
  writer.set_u32(kPrefix + "unknown_token_id", 0);
  writer.set_u32(kPrefix + "bos_token_id", 1);
  writer.set_u32(kPrefix + "eos_token_id", 2);
  writer.set_bool(kPrefix + "add_bos_token", true);
  writer.set_bool(kPrefix + "add_space_prefix", true);
  if (kind == "t5") {
    // One unit of a trie that ends nowhere, then replacements.
    writer.set_u8s(kPrefix + "precompiled_charsmap",
                   std::vector<uint8_t>{4, 0, 0, 0, 0, 0, 0, 0, 'a', 0, 'b', 0});
  }
  return writer.finish();
}

std::string random_text(Rng& rng) {
  constexpr std::string_view kParts[] = {"abcd",    " ",    "<|end|>", "가나",  "\xff\xc0", "<s>",
                                         "e\u0301", "\n\n", "<0x41>",  "[CLS]", "12345",    "▁"};
  std::string text;
  for (uint64_t n = rng.below(10); n > 0; --n) text += kParts[rng.below(std::size(kParts))];
  return text;
}

void encode_and_decode(const text::Tokenizer& tokenizer, Rng& rng) {
  for (int i = 0; i < 2; ++i) {
    const std::string text = random_text(rng);
    const auto ids =
        tokenizer.encode(text, {.parse_special = rng.below(2) == 0, .add_special = true});
    // Every id takes at least a byte or character of the text; then what the model adds around it.
    ASSERT_LE(ids.size(), 4 * text.size() + 8);
    for (const TokenId id : ids) {
      ASSERT_GE(id, 0);
      ASSERT_LT(static_cast<size_t>(id), tokenizer.n_vocab());
    }
    (void)tokenizer.decode(ids);
  }
  std::vector<TokenId> any;
  for (int i = 0; i < 8; ++i) any.push_back(static_cast<TokenId>(rng.next()));
  (void)tokenizer.decode(any);
}

// True where a tokenizer came out.
bool try_file(const std::string& bytes, Rng& rng) {
  const MemoryMeter meter;
  const auto file = gguf::File::parse(std::as_bytes(std::span(bytes)));
  if (!file.ok()) return false;
  auto vocab = load_vocab(file->metadata());
  if (!vocab.ok()) {
    EXPECT_FALSE(vocab.error().message.empty());
    return false;
  }
  const auto tokenizer = text::Tokenizer::create(std::move(vocab).value());
  if (tokenizer.ok()) {
    encode_and_decode(*tokenizer, rng);
  } else {
    EXPECT_FALSE(tokenizer.error().message.empty());
  }
  EXPECT_LE(meter.peak_bytes(), bytes.size() + kHostileMemoryMax);
  return tokenizer.ok();
}

constexpr std::string_view kKinds[] = {"gpt2", "llama", "bert", "t5"};

TEST(LoadVocabFuzz, MutatedFilesAreRefusedOrSound) {
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const uint64_t n = setting("MARU_FUZZ_ITERATIONS", 3000);
  std::vector<std::string> originals;
  for (const std::string_view kind : kKinds) {
    originals.push_back(vocab_file(kind));
    Rng rng(1);
    ASSERT_TRUE(try_file(originals.back(), rng)) << kind;
  }
  uint64_t n_accepted = 0;
  testing_support::SlowestInput slowest("vocabulary");
  for (uint64_t seed = first; seed < first + n; ++seed) {
    Rng rng(seed);
    std::string bytes = originals[rng.below(originals.size())];
    if (rng.below(2) == 0) {
      testing_support::mutate_bytes(bytes, rng);
    } else {  // numbers and letters in place, so that the file stays one
      for (uint64_t k = 1 + rng.below(6); k > 0; --k) {
        const size_t at = 24 + rng.below(bytes.size() - 24);
        bytes[at] = static_cast<char>(rng.below(2) == 0 ? rng.next() : bytes[at] + 1);
      }
    }
    bytes.shrink_to_fit();  // so that a sanitizer sees a read past the end
    const std::clock_t begin = std::clock();
    n_accepted += try_file(bytes, rng) ? 1 : 0;
    slowest.add(seed, begin);
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GE(n_accepted, n / 20);
}

// llama.cpp issue 26690 read arrays as whatever type it expected: every key as every type.
TEST(LoadVocabFuzz, EveryKeyOfEveryTypeIsRefusedOrSound) {
  using Set = std::function<void(gguf::Writer&, const std::string&)>;
  const std::vector<Set> types = {
      [](auto& w, auto& key) { w.set_u32(key, ~0u); },
      [](auto& w, auto& key) { w.set_u64(key, ~uint64_t{0}); },
      [](auto& w, auto& key) { w.set_i32(key, -2); },
      [](auto& w, auto& key) { w.set_f32(key, -0.5f); },
      [](auto& w, auto& key) { w.set_bool(key, true); },
      [](auto& w, auto& key) { w.set_string(key, "a"); },
      [](auto& w, auto& key) { w.set_u8s(key, std::vector<uint8_t>{0, 255, 1}); },
      [](auto& w, auto& key) { w.set_i32s(key, std::vector<int32_t>{-1, 0, 99}); },
      [](auto& w, auto& key) { w.set_f32s(key, std::vector<float>{1, -1, 3e38f}); },
      [](auto& w, auto& key) { w.set_strings(key, std::vector<std::string>{"a", "", "<0x-1>"}); },
      [](auto& w, auto& key) { w.set_strings(key, std::vector<std::string>{}); },
      [](auto&, auto&) {},
  };
  const std::vector<std::string> keys = {
      "model",        "pre",           "tokens",           "token_type",
      "scores",       "merges",        "unknown_token_id", "bos_token_id",
      "eos_token_id", "add_bos_token", "add_space_prefix", "precompiled_charsmap"};
  Rng rng(1);
  uint64_t n_files = 0;
  for (const std::string_view kind : kKinds) {
    for (const std::string& odd : keys) {
      for (const Set& set_odd : types) {
        gguf::Writer writer;
        const auto put = [&](const std::string& key, const Set& set) {
          (key == odd ? set_odd : set)(writer, kPrefix + key);
        };
        put("model", [&](auto& w, auto& key) { w.set_string(key, kind); });
        put("pre", [](auto& w, auto& key) { w.set_string(key, "gpt-2"); });
        put("tokens", [](auto& w, auto& key) {
          w.set_strings(key, std::vector<std::string>{"<unk>", "<0x-1>", "a"});
        });
        put("token_type",
            [](auto& w, auto& key) { w.set_i32s(key, std::vector<int32_t>{2, 6, 1}); });
        put("scores", [](auto& w, auto& key) { w.set_f32s(key, std::vector<float>{0, 1, 2}); });
        put("merges",
            [](auto& w, auto& key) { w.set_strings(key, std::vector<std::string>{"a a"}); });
        for (size_t i = 6; i < keys.size(); ++i) {
          if (keys[i] == odd) set_odd(writer, kPrefix + odd);
        }
        try_file(writer.finish(), rng);
        ++n_files;
        ASSERT_FALSE(HasFailure()) << kind << " " << odd;
      }
    }
  }
  EXPECT_EQ(n_files, std::size(kKinds) * keys.size() * types.size());
}

}  // namespace
}  // namespace maru::model
