#include "text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "text/byte_trie.h"
#include "text/encoder.h"

namespace maru::text {
namespace {

Result<void> check_id(std::optional<TokenId> id, size_t n_vocab, std::string_view what) {
  if (!id || (*id >= 0 && static_cast<size_t>(*id) < n_vocab)) return {};
  return Error::corrupt(
      fmt::format("the vocabulary has {} tokens, its {} token is number {}", n_vocab, what, *id));
}

Result<void> check_vocab(const Vocab& vocab) {
  const size_t n = vocab.pieces.size();
  if (n == 0) return Error::corrupt("the vocabulary has no tokens");
  if (n > kVocabMax) {
    return Error::corrupt(
        fmt::format("the vocabulary has {} tokens, more than the limit of {}", n, kVocabMax));
  }
  if (vocab.kinds.size() != n || (!vocab.scores.empty() && vocab.scores.size() != n)) {
    return Error::corrupt(fmt::format("the vocabulary has {} tokens, {} types and {} scores", n,
                                      vocab.kinds.size(), vocab.scores.size()));
  }
  if (!std::ranges::all_of(vocab.scores, [](float score) { return std::isfinite(score); })) {
    return Error::corrupt("the vocabulary has a score that is no number");
  }
  size_t n_bytes = 0;
  for (size_t i = 0; i < n; ++i) {
    n_bytes += vocab.pieces[i].size();
    if (vocab.pieces[i].size() > kPieceBytesMax || n_bytes > kVocabBytesMax) {
      return Error::corrupt(
          fmt::format("the vocabulary is too large at token {}: a token may have {} bytes, all "
                      "together {}",
                      i, kPieceBytesMax, kVocabBytesMax));
    }
  }
  MARU_TRY_VOID(check_id(vocab.bos, n, "BOS"));
  MARU_TRY_VOID(check_id(vocab.eos, n, "EOS"));
  MARU_TRY_VOID(check_id(vocab.eot, n, "end-of-turn"));
  MARU_TRY_VOID(check_id(vocab.unk, n, "unknown"));
  MARU_TRY_VOID(check_id(vocab.sep, n, "separator"));
  MARU_TRY_VOID(check_id(vocab.pad, n, "padding"));
  MARU_TRY_VOID(check_id(vocab.cls, n, "CLS"));
  MARU_TRY_VOID(check_id(vocab.mask, n, "mask"));
  for (const TokenId id : vocab.eog) MARU_TRY_VOID(check_id(id, n, "end-of-generation"));
  return {};
}

Result<std::unique_ptr<Encoder>> make_encoder(const Vocab& vocab) {
  switch (vocab.kind) {
    case VocabKind::kByteLevelBpe:
      return make_bpe(vocab);
    case VocabKind::kSentencePieceBpe:
      return make_sentencepiece_bpe(vocab);
    case VocabKind::kWordPiece:
      return make_wordpiece(vocab);
    case VocabKind::kUnigram:
      return make_unigram(vocab);
  }
  return Error::internal("a vocabulary of no known kind");
}

// The text of all spans, and for each byte where the literal run around it ends (0: data).
struct JoinedText {
  std::string text;
  std::vector<std::pair<size_t, size_t>> literal_runs;  // [begin, end), ascending, not adjacent
};

JoinedText join(const Spans& spans) {
  JoinedText joined;
  for (const Span& span : spans) {
    const size_t begin = joined.text.size();
    joined.text += span.text;
    if (span.origin != Origin::kLiteral || span.text.empty()) continue;
    auto& runs = joined.literal_runs;
    if (!runs.empty() && runs.back().second == begin) {
      runs.back().second = joined.text.size();
    } else {
      runs.emplace_back(begin, joined.text.size());
    }
  }
  return joined;
}

}  // namespace

struct Tokenizer::Impl {
  Vocab vocab;
  std::unique_ptr<Encoder> encoder;
  ByteTrie specials;      // control and user-defined tokens, by their text
  std::vector<bool> eog;  // by id

  struct Match {
    TokenId id = -1;
    size_t n_bytes = 0;
  };

  TokenKind kind(TokenId id) const { return vocab.kinds[static_cast<size_t>(id)]; }
  bool in_range(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < vocab.pieces.size();
  }

  // The longest special token at `at`; control tokens only where they end by literal_end.
  Match special_at(std::string_view text, size_t at, size_t literal_end) const {
    Match best;
    uint32_t node = ByteTrie::kRoot;
    for (size_t i = at; i < text.size(); ++i) {
      node = specials.child(node, text[i]);
      if (node == ByteTrie::kNone) break;
      const TokenId id = specials.value(node);
      if (id < 0) continue;
      if (kind(id) == TokenKind::kUserDefined || i + 1 <= literal_end) best = {id, i + 1 - at};
    }
    return best;
  }

  // Cuts the text at special tokens; what is between is tokenized as ordinary text.
  void encode(const JoinedText& joined, std::vector<TokenId>& out) const {
    const std::string_view text = joined.text;
    Encoder::Scratch scratch;
    auto run = joined.literal_runs.begin();
    size_t pending = 0;
    size_t at = 0;
    const auto flush = [&] {
      if (pending < at) encoder->encode(text.substr(pending, at - pending), scratch, out);
    };
    while (at < text.size()) {
      while (run != joined.literal_runs.end() && run->second <= at) ++run;
      const bool is_literal = run != joined.literal_runs.end() && run->first <= at;
      const Match match = special_at(text, at, is_literal ? run->second : 0);
      if (match.id < 0) {
        ++at;
        continue;
      }
      flush();
      out.push_back(match.id);
      at += match.n_bytes;
      pending = at;
    }
    flush();
  }

  std::optional<TokenId> first_id() const { return vocab.bos ? vocab.bos : vocab.cls; }

  void append_end(std::vector<TokenId>& out) const {
    // BERT's texts end with one separator, which files may also name as EOS. Elsewhere a separator
    // stands between two texts, and not behind one.
    if (vocab.kind == VocabKind::kWordPiece && vocab.add_sep && vocab.sep) {
      out.push_back(*vocab.sep);
    } else if (vocab.add_eos && vocab.eos) {
      out.push_back(*vocab.eos);
    }
  }
};

Result<Tokenizer> Tokenizer::create(Vocab vocab) {
  MARU_TRY_VOID(check_vocab(vocab));
  auto impl = std::make_unique<Impl>();
  impl->vocab = std::move(vocab);
  const Vocab& v = impl->vocab;
  MARU_TRY(encoder, make_encoder(v));
  impl->encoder = std::move(encoder);
  impl->vocab.merges = {};  // the encoder has them as ids
  std::vector<std::pair<std::string_view, int32_t>> specials;
  for (size_t i = 0; i < v.pieces.size(); ++i) {
    if (v.kinds[i] == TokenKind::kControl || v.kinds[i] == TokenKind::kUserDefined ||
        v.kinds[i] == TokenKind::kUnknown) {
      specials.emplace_back(v.pieces[i], static_cast<int32_t>(i));
    }
  }
  impl->specials = ByteTrie(std::move(specials));
  impl->eog.resize(v.pieces.size());
  for (const TokenId id : v.eog) impl->eog[static_cast<size_t>(id)] = true;
  return Tokenizer(std::move(impl));
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<TokenId> ids;
  if (options.add_special && impl_->vocab.add_bos && impl_->first_id()) {
    ids.push_back(*impl_->first_id());
  }
  const Origin origin = options.parse_special ? Origin::kLiteral : Origin::kData;
  impl_->encode(join({{std::string(text), origin}}), ids);
  if (options.add_special) impl_->append_end(ids);
  return ids;
}

std::vector<TokenId> Tokenizer::encode(const Spans& spans, bool add_special) const {
  std::vector<TokenId> ids;
  impl_->encode(join(spans), ids);
  if (!add_special) return ids;
  const auto bos = impl_->first_id();
  // A template that writes the BOS token itself has added it already.
  if (impl_->vocab.add_bos && bos && (ids.empty() || ids.front() != *bos)) {
    ids.insert(ids.begin(), *bos);
  }
  impl_->append_end(ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool special) const {
  std::string out;
  for (const TokenId id : ids) append_decoded(id, special, out);
  return out;
}

void Tokenizer::append_decoded(TokenId id, bool special, std::string& out) const {
  if (!impl_->in_range(id)) return;
  if (is_text_kind(impl_->kind(id))) {
    impl_->encoder->append_bytes(id, out);
  } else if (special || impl_->kind(id) != TokenKind::kControl) {
    out += impl_->vocab.pieces[static_cast<size_t>(id)];
  }
}

const Vocab& Tokenizer::vocab() const { return impl_->vocab; }
size_t Tokenizer::n_vocab() const { return impl_->vocab.pieces.size(); }
bool Tokenizer::is_control(TokenId id) const {
  return impl_->in_range(id) && impl_->kind(id) == TokenKind::kControl;
}
bool Tokenizer::is_eog(TokenId id) const {
  return impl_->in_range(id) && impl_->eog[static_cast<size_t>(id)];
}

}  // namespace maru::text
