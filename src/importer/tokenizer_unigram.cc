// importer/tokenizer_unigram.cc - Unigram, as XLM-RoBERTa and E5 have it (GGUF's "t5").
#include <fmt/format.h>

#include <cmath>

#include "base/base64.h"
#include "importer/tokenizer.h"

namespace maru::importer {
namespace {

using text::TokenKind;
using text::Vocab;

// [["piece", score], ...], by id.
Result<void> read_pieces(const Json& pieces, Vocab& vocab) {
  if (!pieces.is_array()) return Error::corrupt("tokenizer.json: the Unigram model has no vocab");
  uint64_t id = 0;
  for (const Json& item : pieces) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number() ||
        !std::isfinite(item[1].get<float>())) {
      return Error::corrupt(fmt::format("tokenizer.json: token {} is no piece with a score", id));
    }
    MARU_TRY_VOID(set_piece(vocab, item[0].get_ref<const std::string&>(), Json(id)));
    vocab.scores[id++] = item[1].get<float>();
  }
  return {};
}

// How the text is changed before it is cut.
Result<void> read_normalizer(const Json& tokenizer, Vocab& vocab) {
  vocab.add_space_prefix = false;
  for (const Json* part : parts_of(tokenizer, "normalizer")) {
    const std::string type = text_of(*part, "type");
    if (type == "Precompiled") {
      MARU_TRY(map, decode_base64(text_of(*part, "precompiled_charsmap")));
      vocab.precompiled_charsmap = std::move(map);
    } else if (type == "Strip" || type == "Replace") {  // of runs of spaces
      vocab.remove_extra_whitespaces = true;
    }
  }
  for (const Json* part : parts_of(tokenizer, "pre_tokenizer")) {
    const std::string type = text_of(*part, "type");
    if (type == "WhitespaceSplit") vocab.remove_extra_whitespaces = true;
    if (type != "Metaspace") continue;
    const Json& old_form = member(*part, "add_prefix_space");
    vocab.add_space_prefix =
        old_form.is_boolean() ? old_form.get<bool>() : text_of(*part, "prepend_scheme") != "never";
  }
  return {};
}

}  // namespace

Result<TokenizerDraft> draft_unigram(const Json& tokenizer, size_t n_vocab) {
  const Json& model = member(tokenizer, "model");
  Vocab vocab;
  vocab.kind = text::VocabKind::kUnigram;
  fill_unused(vocab, n_vocab);
  vocab.scores.assign(n_vocab, -10000.0f);
  MARU_TRY_VOID(read_pieces(member(model, "vocab"), vocab));
  MARU_TRY_VOID(set_added_tokens(vocab, tokenizer));
  const Json& unk = member(model, "unk_id");
  if (unk.is_number_unsigned() && unk.get<uint64_t>() < n_vocab) {
    vocab.kinds[unk.get<size_t>()] = TokenKind::kUnknown;
  }
  MARU_TRY_VOID(read_normalizer(tokenizer, vocab));
  return TokenizerDraft{std::move(vocab), "t5"};
}

}  // namespace maru::importer
