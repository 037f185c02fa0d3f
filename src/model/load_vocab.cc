#include "model/load_vocab.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/pre_tokenize.h"

namespace maru::model {
namespace {

using text::TokenId;
using text::TokenKind;
using text::Vocab;
using text::VocabKind;

// Texts of control tokens that end a turn, in whatever model they occur: many files name only one
// of them as EOS.
constexpr std::array<std::string_view, 16> kEndTexts = {"<|eot_id|>",
                                                        "<|im_end|>",
                                                        "<|end|>",
                                                        "<end_of_turn>",
                                                        "<|endoftext|>",
                                                        "<|end_of_text|>",
                                                        "<|eom_id|>",
                                                        "<EOT>",
                                                        "_<EOT>",
                                                        "<｜end▁of▁sentence｜>",
                                                        "</s>",
                                                        "<|return|>",
                                                        "<|call|>",
                                                        "<|endofturn|>",
                                                        "<|end_of_turn|>",
                                                        "<end_of_utterance>"};

Result<VocabKind> kind_of(std::string_view name) {
  if (name == "gpt2") return VocabKind::kByteLevelBpe;
  if (name == "llama") return VocabKind::kSentencePieceBpe;
  if (name == "bert") return VocabKind::kWordPiece;
  if (name == "t5") return VocabKind::kUnigram;
  return Error::unsupported(
      fmt::format("the tokenizer model '{}' is not supported; gpt2, llama, bert and t5 are", name));
}

// What files leave out.
void set_defaults(Vocab& vocab) {
  switch (vocab.kind) {
    case VocabKind::kByteLevelBpe:
      if (const auto* pre = text::find_pre_tokenizer(vocab.pre)) vocab.add_bos = pre->add_bos;
      vocab.add_space_prefix = false;
      break;
    case VocabKind::kSentencePieceBpe:
      vocab.bos = 1;
      vocab.eos = 2;
      vocab.unk = 0;
      vocab.add_bos = true;
      break;
    case VocabKind::kWordPiece:
      vocab.pad = 0;
      vocab.unk = 100;
      vocab.cls = 101;
      vocab.sep = 102;
      vocab.mask = 103;
      vocab.add_bos = true;
      vocab.add_sep = true;
      vocab.add_space_prefix = false;
      break;
    case VocabKind::kUnigram:
      vocab.pad = 0;
      vocab.eos = 1;
      vocab.unk = 2;
      vocab.add_eos = true;
      break;
  }
}

// A stored id must be in range; a default holds where it names a token that is not plain text.
Result<void> read_id(const gguf::Metadata& metadata, std::string_view name, const Vocab& vocab,
                     std::optional<TokenId>& id) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
  const size_t n_vocab = vocab.pieces.size();
  if (!metadata.has(key)) {
    const auto is_special = [&](TokenId i) {
      if (static_cast<size_t>(i) >= n_vocab) return false;
      const TokenKind kind = vocab.kinds[static_cast<size_t>(i)];
      return kind == TokenKind::kControl || kind == TokenKind::kUnknown ||
             kind == TokenKind::kUserDefined;
    };
    if (id && !is_special(*id)) id.reset();
    return {};
  }
  // Some writers store -1, signed or not, for "none".
  constexpr uint32_t kNone = ~uint32_t{0};
  const auto as_signed = metadata.get_i32(key);
  if (as_signed.ok() && *as_signed == -1) {
    id.reset();
    return {};
  }
  MARU_TRY(number, metadata.get_u32(key));
  if (number == kNone) {
    id.reset();
    return {};
  }
  if (number >= n_vocab) {
    return Error::corrupt(
        fmt::format("metadata key '{}' is {}, the vocabulary has {} tokens", key, number, n_vocab));
  }
  id = static_cast<TokenId>(number);
  return {};
}

Result<void> read_ids(const gguf::Metadata& metadata, Vocab& vocab) {
  MARU_TRY_VOID(read_id(metadata, "bos", vocab, vocab.bos));
  MARU_TRY_VOID(read_id(metadata, "eos", vocab, vocab.eos));
  MARU_TRY_VOID(read_id(metadata, "eot", vocab, vocab.eot));
  MARU_TRY_VOID(read_id(metadata, "unknown", vocab, vocab.unk));
  MARU_TRY_VOID(read_id(metadata, "seperator", vocab, vocab.sep));  // the format's own spelling
  MARU_TRY_VOID(read_id(metadata, "padding", vocab, vocab.pad));
  MARU_TRY_VOID(read_id(metadata, "cls", vocab, vocab.cls));
  MARU_TRY_VOID(read_id(metadata, "mask", vocab, vocab.mask));
  return {};
}

Result<void> read_flags(const gguf::Metadata& metadata, Vocab& vocab) {
  const auto read = [&](std::string_view name, bool& flag) -> Result<void> {
    MARU_TRY(value, metadata.get_bool_or(fmt::format("tokenizer.ggml.{}", name), flag));
    flag = value;
    return {};
  };
  MARU_TRY_VOID(read("add_bos_token", vocab.add_bos));
  MARU_TRY_VOID(read("add_eos_token", vocab.add_eos));
  MARU_TRY_VOID(read("add_sep_token", vocab.add_sep));
  MARU_TRY_VOID(read("add_space_prefix", vocab.add_space_prefix));
  MARU_TRY_VOID(read("remove_extra_whitespaces", vocab.remove_extra_whitespaces));
  MARU_TRY_VOID(read("treat_whitespace_as_suffix", vocab.treat_whitespace_as_suffix));
  MARU_TRY_VOID(read("escape_whitespaces", vocab.escape_whitespaces));
  return {};
}

Result<void> read_pieces(const gguf::Metadata& metadata, Vocab& vocab) {
  MARU_TRY(pieces, metadata.get_strings("tokenizer.ggml.tokens"));
  const size_t n = pieces.size();
  if (n == 0 || n > text::kVocabMax) {
    return Error::corrupt(
        fmt::format("the vocabulary has {} tokens, expected 1 to {}", n, text::kVocabMax));
  }
  vocab.pieces.assign(pieces.begin(), pieces.end());
  const auto check_size = [n](size_t n_found, std::string_view what) -> Result<void> {
    if (n_found == n) return {};
    return Error::corrupt(fmt::format("the vocabulary has {} tokens and {} {}", n, n_found, what));
  };
  vocab.kinds.assign(n, TokenKind::kNormal);
  if (metadata.has("tokenizer.ggml.token_type")) {
    MARU_TRY(kinds, metadata.get_i32s("tokenizer.ggml.token_type"));
    MARU_TRY_VOID(check_size(kinds.size(), "token types"));
    for (size_t i = 0; i < n; ++i) {
      // 0 means "undefined"; such a token is text like any other.
      const bool known = kinds[i] >= 1 && kinds[i] <= static_cast<int32_t>(TokenKind::kByte);
      if (known) vocab.kinds[i] = static_cast<TokenKind>(kinds[i]);
    }
  }
  if (metadata.has("tokenizer.ggml.scores")) {
    MARU_TRY(scores, metadata.get_f32s("tokenizer.ggml.scores"));
    MARU_TRY_VOID(check_size(scores.size(), "scores"));
    vocab.scores = scores.to_vector();
  }
  return {};
}

// "left right", where either may itself begin with a space: the border is the first one after that.
Result<void> read_merges(const gguf::Metadata& metadata, Vocab& vocab) {
  constexpr std::string_view kKey = "tokenizer.ggml.merges";
  MARU_TRY(merges, metadata.get_strings(kKey));
  if (merges.size() > text::kMergesMax) {
    return Error::corrupt(fmt::format("the vocabulary has {} merges, more than the limit of {}",
                                      merges.size(), text::kMergesMax));
  }
  vocab.merges.reserve(merges.size());
  for (const std::string_view merge : merges) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos) {
      return Error::corrupt(
          fmt::format("metadata key '{}': entry {} is no pair", kKey, vocab.merges.size()));
    }
    vocab.merges.emplace_back(merge.substr(0, space), merge.substr(space + 1));
  }
  return {};
}

void find_end_tokens(Vocab& vocab) {
  const auto add = [&](TokenId id) {
    if (std::ranges::find(vocab.eog, id) == vocab.eog.end()) vocab.eog.push_back(id);
  };
  for (size_t i = 0; i < vocab.pieces.size(); ++i) {
    const bool is_end = vocab.kinds[i] == TokenKind::kControl &&
                        std::ranges::find(kEndTexts, vocab.pieces[i]) != kEndTexts.end();
    if (is_end) add(static_cast<TokenId>(i));
  }
  if (vocab.eos) add(*vocab.eos);
  if (vocab.eot) add(*vocab.eot);
  // Where an answer has several messages (harmony), <|end|> ends one of them only.
  const auto is = [&](std::string_view text) {
    return [&vocab, text](TokenId id) { return vocab.pieces[static_cast<size_t>(id)] == text; };
  };
  if (std::ranges::any_of(vocab.eog, is("<|return|>")) &&
      std::ranges::any_of(vocab.eog, is("<|call|>"))) {
    std::erase_if(vocab.eog, is("<|end|>"));
  }
}

}  // namespace

Result<Vocab> load_vocab(const gguf::Metadata& metadata) {
  Vocab vocab;
  MARU_TRY(model, metadata.get_string("tokenizer.ggml.model"));
  MARU_TRY(kind, kind_of(model));
  vocab.kind = kind;
  MARU_TRY(pre, metadata.get_string_or("tokenizer.ggml.pre", "default"));
  vocab.pre = pre;
  MARU_TRY_VOID(read_pieces(metadata, vocab));
  set_defaults(vocab);
  MARU_TRY_VOID(read_ids(metadata, vocab));
  MARU_TRY_VOID(read_flags(metadata, vocab));
  if (vocab.kind == VocabKind::kByteLevelBpe) MARU_TRY_VOID(read_merges(metadata, vocab));
  if (metadata.has("tokenizer.ggml.precompiled_charsmap")) {
    MARU_TRY(charsmap, metadata.get_u8s("tokenizer.ggml.precompiled_charsmap"));
    const std::vector<uint8_t> bytes = charsmap.to_vector();
    vocab.precompiled_charsmap.assign(bytes.begin(), bytes.end());
  }
  find_end_tokens(vocab);
  return vocab;
}

}  // namespace maru::model
