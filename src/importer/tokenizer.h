// importer/tokenizer.h - tokenizer.json and the files beside it, as the metadata of a GGUF file.
//
// import.cc calls add_tokenizer(); what each kind of model needs is in tokenizer_*.cc.
// Source: the format of the tokenizers library; the keys of the GGUF specification.
// Threads: none; one owner.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "importer/draft.h"
#include "text/vocab.h"

namespace maru::importer {

inline constexpr size_t kTokenizerBytesMax = 128 << 20;  // the largest known has 33 MB
inline constexpr size_t kSideFileBytesMax = 16 << 20;

// Null where a file is not there.
struct TokenizerFiles {
  Json tokenizer;
  Json config;                               // tokenizer_config.json
  Json model;                                // config.json
  Json generation;                           // generation_config.json
  Json special;                              // special_tokens_map.json
  std::optional<std::string> chat_template;  // chat_template.jinja

  // Errors: kNotFound without tokenizer.json; kCorrupt for what is no JSON.
  static Result<TokenizerFiles> read(const std::filesystem::path& folder);
};

// The vocabulary as text/ knows it, filled by the kinds.
struct TokenizerDraft {
  text::Vocab vocab;
  std::string_view model;  // "gpt2", "llama", "bert" or "t5"
};

// Sets tokenizer.*; n_vocab is the number of rows of the embeddings, which unused tokens fill up
// to. pre_name names the pre-tokenizer where the caller knows better than its regular expressions.
// Errors: kCorrupt, kUnsupported.
Result<void> add_tokenizer(const TokenizerFiles& files, size_t n_vocab, std::string_view pre_name,
                           gguf::Writer& metadata);

// Sets the keys of a vocabulary alone.
void write_vocab(const TokenizerDraft& draft, gguf::Writer& out);

// The pieces of tokenizer.json's model and its added tokens. Errors: kCorrupt, kUnsupported.
Result<TokenizerDraft> draft_bpe(const Json& tokenizer, size_t n_vocab, std::string_view pre_name);
Result<TokenizerDraft> draft_unigram(const Json& tokenizer, size_t n_vocab);
Result<TokenizerDraft> draft_wordpiece(const Json& tokenizer, size_t n_vocab);

// Shared by the kinds: n_vocab unused pieces to begin with; one piece; the added tokens.
void fill_unused(text::Vocab& vocab, size_t n_vocab);
Result<void> set_piece(text::Vocab& vocab, std::string_view piece, const Json& id);
Result<void> set_added_tokens(text::Vocab& vocab, const Json& tokenizer);

// The parts of a normalizer, pre-tokenizer or post-processor: itself, or those of a sequence.
std::vector<const Json*> parts_of(const Json& tokenizer, const char* key);
// A member of an object, or null.
const Json& member(const Json& object, std::string_view key);
std::string text_of(const Json& object, std::string_view key);

}  // namespace maru::importer
