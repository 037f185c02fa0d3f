// The tokenizers against reference ids, with the vocabularies of real models: that needs GGUF files
// and text/ together, so it lives here and not in text/.
#include "model/load_vocab.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "base/json.h"
#include "gguf/file.h"
#include "gguf/writer.h"
#include "source_dir.h"
#include "text/tokenizer.h"

namespace maru::model {
namespace {

using text::TokenId;
using text::Tokenizer;

const std::filesystem::path kOwnCases = MARU_SOURCE_DIR "/tests/data/tokenizers";
const std::filesystem::path kFixtures = MARU_SOURCE_DIR "/../shared/fixtures/tokenizers";

std::filesystem::path model_path(const std::string& name) {
  const char* home = std::getenv("MARU_HOME");
  const char* user = std::getenv("HOME");
  const std::filesystem::path base =
      home != nullptr ? home : std::filesystem::path(user != nullptr ? user : "") / ".maru";
  return base / "models" / (name + ".gguf");
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

std::vector<Json> read_lines(const std::filesystem::path& path) {
  std::vector<Json> rows;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    auto row = parse_json(line);
    EXPECT_TRUE(row.ok()) << path << ": " << line;
    if (row.ok()) rows.push_back(std::move(row).value());
  }
  return rows;
}

std::string gunzip(const std::filesystem::path& path) {
  std::string out;
  const gzFile file = gzopen(path.c_str(), "rb");
  char buffer[1 << 16];
  for (int n = 0; file != nullptr && (n = gzread(file, buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<size_t>(n));
  }
  if (file != nullptr) gzclose(file);
  return out;
}

Result<Tokenizer> make_tokenizer(const gguf::Metadata& metadata) {
  MARU_TRY(vocab, load_vocab(metadata));
  return Tokenizer::create(std::move(vocab));
}

Result<Tokenizer> make_tokenizer(std::string_view file) {
  MARU_TRY(parsed, gguf::File::parse(std::as_bytes(std::span(file.data(), file.size()))));
  return make_tokenizer(parsed.metadata());
}

void expect_ids(const Tokenizer& tokenizer, const Json& row, const Json& ids) {
  const std::string text = row["text"].get<std::string>();
  const text::EncodeOptions options = {.parse_special = row["parse_special"].get<bool>(),
                                       .add_special = row["add_special"].get<bool>()};
  const std::vector<TokenId> got = tokenizer.encode(text, options);
  EXPECT_EQ(got, ids.get<std::vector<TokenId>>())
      << row["text"].dump() << " parse_special " << options.parse_special;
  if (!row.value("round_trip", false)) return;
  std::string decoded = tokenizer.decode(got);
  // SentencePiece begins a text with a space of its own.
  if (tokenizer.vocab().add_space_prefix && decoded.starts_with(' ')) decoded.erase(0, 1);
  const bool keeps_text = tokenizer.vocab().kind != text::VocabKind::kWordPiece;
  if (keeps_text) EXPECT_EQ(decoded, text);
}

void expect_pieces(const Tokenizer& tokenizer, const Json& row) {
  const auto ids = row["ids"].get<std::vector<TokenId>>();
  EXPECT_EQ(hex(tokenizer.decode(ids)), row["hex"].get<std::string>()) << row["ids"].dump();
}

// --- our own cases on the vocabularies of downloaded models

class ModelVocab : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ModelVocab, GivesTheReferenceIdsAndBytes) {
  const auto [cases, model] = GetParam();
  const auto file = gguf::File::open(model_path(model));
  if (!file.ok()) GTEST_SKIP() << file.error().message;
  const auto tokenizer = make_tokenizer(file->metadata());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const auto rows = read_lines(kOwnCases / (std::string(cases) + ".jsonl"));
  ASSERT_GT(rows.size(), 700u);
  for (const Json& row : rows) {
    if (row.contains("hex")) {
      expect_pieces(*tokenizer, row);
    } else {
      expect_ids(*tokenizer, row, row["ids"]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModelVocab,
                         testing::Values(std::pair("smollm", "smollm2-135m"),
                                         std::pair("qwen2", "qwen2.5-coder-0.5b"),
                                         std::pair("gemma3", "gemma3-270m")),
                         [](const auto& info) { return std::string(info.param.first); });

TEST(ModelVocabs, KnowWhatEndsAGeneration) {
  const auto file = gguf::File::open(model_path("qwen2.5-coder-0.5b"));
  if (!file.ok()) GTEST_SKIP() << file.error().message;
  const auto tokenizer = make_tokenizer(file->metadata());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_TRUE(tokenizer->is_eog(151645));   // <|im_end|>
  EXPECT_TRUE(tokenizer->is_eog(151643));   // <|endoftext|>
  EXPECT_FALSE(tokenizer->is_eog(151644));  // <|im_start|>
  EXPECT_TRUE(tokenizer->is_control(151644));
  EXPECT_FALSE(tokenizer->is_control(151657));  // <tool_call>, user-defined
}

// A megabyte of one kind of content, which a quadratic step would turn into hours.
TEST(ModelVocabs, TakeAMegabyteOfAnything) {
  const auto file = gguf::File::open(model_path("qwen2.5-coder-0.5b"));
  if (!file.ok()) GTEST_SKIP() << file.error().message;
  const auto tokenizer = make_tokenizer(file->metadata());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  // Letters, spaces, newlines, digits, emoji, hangul, quotes, and marks in canonical order.
  for (const std::string unit : {"a", " ", "\n", "7", "😀", "가", "'", "<|im_start", "\xCC\x81"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << unit;
  }
}

// --- the whole set, where the reference data lies beside the repository

class FixtureVocab : public testing::TestWithParam<const char*> {};

TEST_P(FixtureVocab, GivesTheReferenceIdsAndBytes) {
  const auto folder = kFixtures / GetParam();
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no reference data at " << folder;
  const std::string bytes = gunzip(folder / "vocab.gguf.gz");
  const auto tokenizer = make_tokenizer(bytes);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const auto rows = read_lines(folder / "encode.jsonl");
  ASSERT_GT(rows.size(), 290u);
  for (const Json& row : rows) expect_ids(*tokenizer, row, row["ids"]);
  for (const Json& row : read_lines(folder / "pieces.jsonl")) expect_pieces(*tokenizer, row);
}

// Where llama.cpp and the original tokenizer differ, the original is right; but a control token in
// plain text is text, whatever the original does.
TEST_P(FixtureVocab, FollowsTheOriginalWhereTheReferencesDiffer) {
  const auto path = kFixtures / GetParam() / "disagreements.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no reference data at " << path;
  const auto text = read_file(path, 1 << 24);
  ASSERT_TRUE(text.ok()) << text.error().message;
  const auto rows = parse_json(*text);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  const std::string bytes = gunzip(kFixtures / GetParam() / "vocab.gguf.gz");
  const auto tokenizer = make_tokenizer(bytes);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const bool is_unigram = tokenizer->vocab().kind == text::VocabKind::kUnigram;
  for (const Json& row : *rows) {
    const bool is_plain_control = row["group"] == "special" && !row["parse_special"].get<bool>();
    expect_ids(*tokenizer, row, is_unigram && is_plain_control ? row["llama_cpp"] : row["second"]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FixtureVocab,
                         testing::Values("bert-bge", "gemma3", "gpt-2", "llama-bpe", "llama-spm",
                                         "nomic-bert-moe", "phi-3", "qwen2", "smollm"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

// --- files that lie

gguf::Writer small_vocab() {
  gguf::Writer writer;
  writer.set_string("general.architecture", "no-such-architecture");
  writer.set_string("tokenizer.ggml.model", "llama");
  writer.set_strings("tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "<s>", "a"});
  return writer;
}

std::string error_of(const gguf::Writer& writer) {
  const std::string bytes = writer.finish();
  const auto tokenizer = make_tokenizer(bytes);
  return tokenizer.ok() ? "no error" : tokenizer.error().message;
}

TEST(LoadVocab, NeedsNoKnownArchitecture) {
  gguf::Writer writer = small_vocab();
  writer.set_f32s("tokenizer.ggml.scores", std::vector<float>{0, 0, -1});
  writer.set_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{2, 3, 1});
  writer.set_bool("tokenizer.ggml.add_space_prefix", false);
  const std::string bytes = writer.finish();
  const auto tokenizer = make_tokenizer(bytes);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("aba"), (std::vector<TokenId>{2, 0, 2}));
  EXPECT_EQ(tokenizer->encode("a", {.add_special = true}), (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(tokenizer->vocab().eos, std::nullopt);  // the default, 2, is an ordinary token here
}

TEST(LoadVocab, NamesWhatIsWrong) {
  using testing::HasSubstr;
  gguf::Writer none;
  EXPECT_THAT(error_of(none), HasSubstr("tokenizer.ggml.model"));
  gguf::Writer unknown;
  unknown.set_string("tokenizer.ggml.model", "rwkv");
  EXPECT_THAT(error_of(unknown), HasSubstr("'rwkv' is not supported"));

  gguf::Writer no_scores = small_vocab();
  EXPECT_THAT(error_of(no_scores), HasSubstr("needs scores"));
  gguf::Writer few_scores = small_vocab();
  few_scores.set_f32s("tokenizer.ggml.scores", std::vector<float>{0});
  EXPECT_THAT(error_of(few_scores), HasSubstr("3 tokens and 1 scores"));
  gguf::Writer few_types = small_vocab();
  few_types.set_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{1, 1, 1, 1});
  EXPECT_THAT(error_of(few_types), HasSubstr("3 tokens and 4 token types"));
  gguf::Writer bad_scores = small_vocab();
  bad_scores.set_f32s("tokenizer.ggml.scores", std::vector<float>{0, 0, NAN});
  EXPECT_THAT(error_of(bad_scores), HasSubstr("no number"));

  gguf::Writer bad_id = small_vocab();
  bad_id.set_u32("tokenizer.ggml.bos_token_id", 3);
  EXPECT_THAT(error_of(bad_id), HasSubstr("bos_token_id' is 3, the vocabulary has 3 tokens"));
  gguf::Writer negative_id = small_vocab();
  negative_id.set_i32("tokenizer.ggml.bos_token_id", -2);
  EXPECT_THAT(error_of(negative_id), HasSubstr("bos_token_id' is -2"));
  gguf::Writer array_id = small_vocab();
  array_id.set_i32s("tokenizer.ggml.eos_token_id", std::vector<int32_t>{1});
  EXPECT_THAT(error_of(array_id), HasSubstr("eos_token_id' holds an array"));

  gguf::Writer bpe;
  bpe.set_string("tokenizer.ggml.model", "gpt2");
  bpe.set_string("tokenizer.ggml.pre", "somebody's");
  bpe.set_strings("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
  EXPECT_THAT(error_of(bpe), HasSubstr("tokenizer.ggml.merges"));
  bpe.set_strings("tokenizer.ggml.merges", std::vector<std::string>{});
  EXPECT_THAT(error_of(bpe), HasSubstr("pre-tokenizer 'somebody's'"));
}

TEST(LoadVocab, MinusOneIsNoToken) {
  gguf::Writer writer = small_vocab();
  writer.set_f32s("tokenizer.ggml.scores", std::vector<float>{0, 0, -1});
  writer.set_u32("tokenizer.ggml.bos_token_id", ~uint32_t{0});
  writer.set_i32("tokenizer.ggml.unknown_token_id", -1);
  const std::string bytes = writer.finish();
  const auto tokenizer = make_tokenizer(bytes);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->vocab().bos, std::nullopt);
  EXPECT_EQ(tokenizer->vocab().unk, std::nullopt);
}

}  // namespace
}  // namespace maru::model
