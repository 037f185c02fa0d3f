// importer/tokenizer_bpe.cc - BPE: byte-level (GGUF's "gpt2"), or of characters with single bytes
// for the rest, as SentencePiece makes it (GGUF's "llama").
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/utf8.h"
#include "importer/pre_tokenizer_name.h"
#include "importer/tokenizer.h"
#include "text/pre_tokenize.h"

namespace maru::importer {
namespace {

using text::TokenKind;
using text::Vocab;

bool has_part(const Json& tokenizer, const char* key, std::string_view type) {
  return std::ranges::any_of(parts_of(tokenizer, key),
                             [&](const Json* part) { return text_of(*part, "type") == type; });
}

// "a b", or ["a", "b"].
Result<std::pair<std::string, std::string>> read_merge(const Json& merge, size_t number) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return std::pair(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
  if (merge.is_string()) {
    const std::string& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ', 1);
    if (space != std::string::npos) {
      return std::pair(text.substr(0, space), text.substr(space + 1));
    }
  }
  return Error::corrupt(fmt::format("tokenizer.json: merge {} is no pair", number));
}

Result<void> read_merges(const Json& model, Vocab& vocab) {
  const Json& merges = member(model, "merges");
  if (!merges.is_array() || merges.size() > text::kMergesMax) {
    return Error::corrupt(
        fmt::format("tokenizer.json: merges are no list of at most {}", text::kMergesMax));
  }
  for (const Json& merge : merges) {
    MARU_TRY(pair, read_merge(merge, vocab.merges.size()));
    vocab.merges.push_back(std::move(pair));
  }
  return {};
}

Result<void> read_pieces(const Json& tokenizer, const Json& model, Vocab& vocab) {
  const Json& pieces = member(model, "vocab");
  if (!pieces.is_object()) return Error::corrupt("tokenizer.json: the BPE model has no vocab");
  for (const auto& [piece, id] : pieces.items()) MARU_TRY_VOID(set_piece(vocab, piece, id));
  return set_added_tokens(vocab, tokenizer);
}

// Bytes stand in the vocabulary as "<0x00>" to "<0xFF>".
bool is_byte_piece(std::string_view piece) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return piece.size() == 6 && piece.starts_with("<0x") && piece.ends_with('>') &&
         is_hex(piece[3]) && is_hex(piece[4]);
}

// SentencePiece merges the pair whose result has the best score: here the earlier merge.
void set_scores(Vocab& vocab) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t i = 0; i < vocab.pieces.size(); ++i) ids.emplace(vocab.pieces[i], i);
  vocab.scores.assign(vocab.pieces.size(), 0.0f);
  std::vector<bool> scored(vocab.pieces.size());
  float next = -1.0f;
  for (const auto& [left, right] : vocab.merges) {
    const auto found = ids.find(left + right);
    if (found == ids.end() || scored[found->second]) continue;
    scored[found->second] = true;
    vocab.scores[found->second] = next;
    next -= 1.0f;
  }
  for (size_t i = 0; i < vocab.pieces.size(); ++i) {
    const bool is_text = vocab.kinds[i] == TokenKind::kNormal;
    // Characters stand behind all merges, as in the original; the rest is no result of one.
    if (!scored[i])
      vocab.scores[i] = is_text ? next : vocab.kinds[i] == TokenKind::kByte ? 0.0f : -1000.0f;
  }
}

// Whether a space mark is put before the text.
bool has_space_prefix(const Json& tokenizer) {
  if (has_part(tokenizer, "normalizer", "Prepend")) return true;
  for (const Json* part : parts_of(tokenizer, "pre_tokenizer")) {
    if (text_of(*part, "type") != "Metaspace") continue;
    const Json& old_form = member(*part, "add_prefix_space");
    if (old_form.is_boolean()) return old_form.get<bool>();
    return text_of(*part, "prepend_scheme") != "never";
  }
  return false;
}

Result<TokenizerDraft> sentencepiece(const Json& tokenizer, Vocab vocab) {
  vocab.kind = text::VocabKind::kSentencePieceBpe;
  const std::string unk = text_of(member(tokenizer, "model"), "unk_token");
  for (size_t i = 0; i < vocab.pieces.size(); ++i) {
    if (is_byte_piece(vocab.pieces[i])) vocab.kinds[i] = TokenKind::kByte;
    if (!unk.empty() && vocab.pieces[i] == unk) vocab.kinds[i] = TokenKind::kUnknown;
  }
  vocab.add_space_prefix = has_space_prefix(tokenizer);
  set_scores(vocab);
  return TokenizerDraft{std::move(vocab), "llama"};
}

}  // namespace

Result<TokenizerDraft> draft_bpe(const Json& tokenizer, size_t n_vocab, std::string_view pre_name) {
  const Json& model = member(tokenizer, "model");
  Vocab vocab;
  fill_unused(vocab, n_vocab);
  MARU_TRY_VOID(read_pieces(tokenizer, model, vocab));
  MARU_TRY_VOID(read_merges(model, vocab));
  const bool is_byte_level = has_part(tokenizer, "pre_tokenizer", "ByteLevel") ||
                             has_part(tokenizer, "decoder", "ByteLevel");
  const Json& fallback = member(model, "byte_fallback");
  if (!is_byte_level && fallback.is_boolean() && fallback.get<bool>()) {
    return sentencepiece(tokenizer, std::move(vocab));
  }
  if (!is_byte_level) {
    return Error::unsupported(
        "tokenizer.json: BPE that is neither of bytes nor falls back to them");
  }
  vocab.kind = text::VocabKind::kByteLevelBpe;
  if (pre_name.empty()) {
    MARU_TRY(name, pre_tokenizer_name(tokenizer));
    vocab.pre = name;
  } else if (text::find_pre_tokenizer(pre_name) == nullptr) {
    std::vector<std::string_view> names;
    for (const text::PreTokenizer& pre : text::pre_tokenizers()) names.push_back(pre.name);
    return Error::invalid(fmt::format("--pre: there is no pre-tokenizer '{}'; accepted: {}",
                                      replace_invalid_utf8(pre_name), fmt::join(names, ", ")));
  } else {
    vocab.pre = pre_name;
  }
  return TokenizerDraft{std::move(vocab), "gpt2"};
}

}  // namespace maru::importer
