#include "importer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gguf/file.h"
#include "importer/pre_tokenizer_name.h"
#include "model_folder.h"

namespace maru::importer {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// The metadata as a file holds it.
class TokenizerTest : public testing::Test {
 protected:
  Result<void> make(const TokenizerFiles& files, size_t n_vocab, std::string_view pre = "") {
    gguf::Writer writer;
    MARU_TRY_VOID(add_tokenizer(files, n_vocab, pre, writer));
    bytes_ = writer.finish();
    auto file = gguf::File::parse(std::as_bytes(std::span(bytes_)));
    if (!file.ok()) return file.error();
    file_ = std::move(file).value();
    return {};
  }
  std::vector<std::string> tokens() const {
    const auto all = file_->metadata().get_strings("tokenizer.ggml.tokens").value();
    return {all.begin(), all.end()};
  }
  std::vector<int32_t> kinds() const {
    return file_->metadata().get_i32s("tokenizer.ggml.token_type").value().to_vector();
  }
  std::vector<float> scores() const {
    return file_->metadata().get_f32s("tokenizer.ggml.scores").value().to_vector();
  }
  uint32_t id(const char* name) const {
    return file_->metadata()
        .get_u32_or(std::string("tokenizer.ggml.") + name + "_token_id", 999)
        .value();
  }
  bool flag(const char* name) const {
    return file_->metadata().get_bool(std::string("tokenizer.ggml.") + name).value();
  }
  std::string text(const char* name) const {
    return std::string(file_->metadata().get_string(name).value());
  }

  std::string bytes_;
  std::optional<gguf::File> file_;
};

TEST_F(TokenizerTest, ByteLevelBpe) {
  TokenizerFiles files;
  files.tokenizer = parse_json(testing_support::tiny_tokenizer().dump()).value();
  files.config = parse_json(R"({"bos_token": {"content": "<s>"}, "add_bos_token": true,
                                "chat_template": [{"name": "default", "template": "D"},
                                                  {"name": "tool_use", "template": "T"}]})")
                     .value();
  files.generation = parse_json(R"({"eos_token_id": [2, 3, 99]})").value();
  ASSERT_TRUE(make(files, 5).ok());
  EXPECT_EQ(text("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(text("tokenizer.ggml.pre"), "gpt-2");
  EXPECT_THAT(tokens(), ElementsAre("a", "b", "ab", "<s>", "[PAD4]"));
  EXPECT_THAT(kinds(), ElementsAre(1, 1, 1, 3, 5));
  EXPECT_EQ(id("bos"), 3u);
  EXPECT_EQ(id("eos"), 2u);
  EXPECT_EQ(id("eot"), 3u);
  EXPECT_TRUE(flag("add_bos_token"));
  EXPECT_EQ(text("tokenizer.chat_template"), "D");
  EXPECT_EQ(text("tokenizer.chat_template.tool_use"), "T");
  files.chat_template = "J";
  ASSERT_TRUE(make(files, 5, "qwen2").ok());
  EXPECT_EQ(text("tokenizer.chat_template"), "J");
  EXPECT_EQ(text("tokenizer.ggml.pre"), "qwen2");
  EXPECT_FALSE(make(files, 5, "abacus").ok());
}

TEST_F(TokenizerTest, BpeWithBytesToFallBackToIsSentencePiece) {
  TokenizerFiles files;
  files.tokenizer = parse_json(R"({
    "added_tokens": [{"id": 0, "content": "<unk>", "special": true},
                     {"id": 6, "content": "▁▁x", "special": false}],
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "▁"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
    "post_processor": {"type": "TemplateProcessing",
                       "single": [{"SpecialToken": {"id": "<unk>"}}, {"Sequence": {"id": "A"}}]},
    "model": {"type": "BPE", "byte_fallback": true, "unk_token": "<unk>",
              "vocab": {"<unk>": 0, "<0x41>": 1, "a": 2, "b": 3, "ab": 4, "aab": 5},
              "merges": ["a b", ["a", "ab"]]}})")
                        .value();
  ASSERT_TRUE(make(files, 7).ok());
  EXPECT_EQ(text("tokenizer.ggml.model"), "llama");
  EXPECT_THAT(kinds(), ElementsAre(2, 6, 1, 1, 1, 1, 4));
  EXPECT_EQ(tokens()[6], "  x");
  EXPECT_THAT(scores(), ElementsAre(-1000, 0, -3, -3, -1, -2, -1000));
  EXPECT_TRUE(flag("add_space_prefix"));
  EXPECT_TRUE(flag("add_bos_token"));
  EXPECT_FALSE(flag("add_eos_token"));
}

TEST_F(TokenizerTest, Unigram) {
  TokenizerFiles files;
  files.tokenizer = parse_json(R"({
    "added_tokens": [{"id": 0, "content": "<s>", "special": true},
                     {"id": 2, "content": "</s>", "special": true},
                     {"id": 4, "content": "<mask>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Precompiled", "precompiled_charsmap": "AAAA"}]},
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": true},
    "post_processor": {"type": "TemplateProcessing",
                       "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}},
                                  {"SpecialToken": {"id": "</s>"}}]},
    "model": {"type": "Unigram", "unk_id": 1,
              "vocab": [["<s>", 0.0], ["<unk>", 0.0], ["</s>", 0.0], ["▁a", -2.5]]}})")
                        .value();
  files.config = parse_json(R"({"mask_token": "<mask>"})").value();
  ASSERT_TRUE(make(files, 5).ok());
  EXPECT_EQ(text("tokenizer.ggml.model"), "t5");
  EXPECT_THAT(kinds(), ElementsAre(3, 2, 3, 1, 3));
  EXPECT_FLOAT_EQ(scores()[3], -2.5f);
  EXPECT_TRUE(flag("add_space_prefix") && flag("add_bos_token") && flag("add_eos_token"));
  EXPECT_EQ(id("bos"), 0u);
  EXPECT_EQ(id("eos"), 2u);
  EXPECT_EQ(id("mask"), 4u);
  EXPECT_EQ(file_->metadata().get_u8s("tokenizer.ggml.precompiled_charsmap")->size(), 3u);
}

TEST_F(TokenizerTest, WordPiece) {
  TokenizerFiles files;
  files.tokenizer = parse_json(R"({
    "added_tokens": [{"id": 0, "content": "[CLS]", "special": true},
                     {"id": 1, "content": "[SEP]", "special": true}],
    "normalizer": {"type": "BertNormalizer", "lowercase": true},
    "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 0], "sep": ["[SEP]", 1]},
    "model": {"type": "WordPiece", "continuing_subword_prefix": "##",
              "vocab": {"[CLS]": 0, "[SEP]": 1, "word": 2, "##s": 3}}})")
                        .value();
  files.config = parse_json(R"({"cls_token": "[CLS]", "sep_token": "[SEP]"})").value();
  ASSERT_TRUE(make(files, 4).ok());
  EXPECT_EQ(text("tokenizer.ggml.model"), "bert");
  EXPECT_THAT(tokens(), ElementsAre("[CLS]", "[SEP]", "▁word", "s"));
  EXPECT_EQ(id("cls"), 0u);
  EXPECT_EQ(id("seperator"), 1u);
  EXPECT_TRUE(flag("add_bos_token") && flag("add_sep_token"));
  files.tokenizer["normalizer"]["lowercase"] = false;
  EXPECT_THAT(make(files, 4).error().message, HasSubstr("upper case"));
}

TEST_F(TokenizerTest, SaysWhatIsWrong) {
  const auto refusal = [&](const char* key, const char* value) {
    TokenizerFiles files;
    files.tokenizer = parse_json(testing_support::tiny_tokenizer().dump()).value();
    files.tokenizer["model"][key] = parse_json(value).value();
    const auto done = make(files, 5);
    return done.ok() ? "it was taken" : done.error().message;
  };
  EXPECT_THAT(refusal("type", "\"WordLevel\""), HasSubstr("'WordLevel'"));
  EXPECT_THAT(refusal("vocab", R"({"a": 5})"), HasSubstr("5 embeddings"));
  EXPECT_THAT(refusal("vocab", R"({"a": -1})"), HasSubstr("id -1"));
  EXPECT_THAT(refusal("vocab", R"({"a": 0, "b": 0})"), HasSubstr("same id 0"));
  EXPECT_THAT(refusal("vocab", "[]"), HasSubstr("no vocab"));
  EXPECT_THAT(refusal("merges", R"(["ab"])"), HasSubstr("merge 0 is no pair"));
  EXPECT_THAT(refusal("merges", "1"), HasSubstr("no list"));
}

TEST_F(TokenizerTest, ANamedPreTokenizerIsKnownAndOfUse) {
  TokenizerFiles files;
  files.tokenizer = parse_json(testing_support::tiny_tokenizer().dump()).value();
  ASSERT_TRUE(make(files, 5, "qwen2").ok());
  EXPECT_EQ(text("tokenizer.ggml.pre"), "qwen2");
  const auto unknown = make(files, 5, "nonsense");
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.error().message, AllOf(HasSubstr("'nonsense'"), HasSubstr("qwen2")));
  files.tokenizer = parse_json(R"({
    "normalizer": {"type": "BertNormalizer", "lowercase": true},
    "model": {"type": "WordPiece", "continuing_subword_prefix": "##", "vocab": {"[UNK]": 0}}})")
                        .value();
  ASSERT_TRUE(make(files, 1).ok());
  const auto useless = make(files, 1, "qwen2");
  ASSERT_FALSE(useless.ok());
  EXPECT_THAT(useless.error().message, HasSubstr("--pre is for byte-level BPE"));
}

TEST(PreTokenizerName, IsFoundByTheExpressions) {
  const auto name = [](std::string_view text) {
    const auto found = pre_tokenizer_name(parse_json(text).value());
    return found.ok() ? std::string(*found) : found.error().message;
  };
  const std::string kRest =
      R"(\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, )";
  const std::string qwen2 =
      R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": )"
      R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?)" +
      kRest + R"("behavior": "Isolated"}, {"type": "ByteLevel", "use_regex": false}]})";
  EXPECT_EQ(name(R"({"normalizer": {"type": "NFC"}, "pre_tokenizer": )" + qwen2 + "}"), "qwen2");
  EXPECT_EQ(name(R"({"pre_tokenizer": )" + qwen2 + "}"), "stablelm2");
  EXPECT_EQ(name(R"({"pre_tokenizer": {"type": "ByteLevel"}})"), "gpt-2");
  EXPECT_EQ(name(R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                      {"type": "Digits", "individual_digits": true}, {"type": "ByteLevel"}]}})"),
            "smollm");
  EXPECT_THAT(name(R"({"pre_tokenizer": {"type": "Whitespace"}})"), HasSubstr("'Whitespace'"));
  EXPECT_THAT(name(R"({"pre_tokenizer": {"type": "ByteLevel"}, "model": {"ignore_merges": true}})"),
              HasSubstr("'gpt-2' is near"));
}

}  // namespace
}  // namespace maru::importer
