// text/tokenizer.h - text to token ids and back, exactly as the model's own tokenizer does it.
//
// Made once per model from a Vocab; the algorithm (byte-level BPE, SentencePiece BPE, WordPiece,
// Unigram) is chosen by Vocab::kind and lives in a file of its own.
// Threads: a Tokenizer is immutable after create() and may be used from any thread.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/span.h"
#include "text/vocab.h"

namespace maru::text {

struct EncodeOptions {
  bool parse_special = false;  // recognise control tokens in the text; user-defined ones always are
  bool add_special = false;    // add what the model wants around a text: BOS/EOS, CLS/SEP
};

class Tokenizer {
 public:
  // Errors: kUnsupported names an unknown pre-tokenizer; kCorrupt for a vocabulary that contradicts
  // itself (ids out of range). Missing byte tokens are no error: some models lack a few.
  static Result<Tokenizer> create(Vocab vocab);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Linear in the size of the text. Ill-formed UTF-8 is encoded as the bytes it is where the
  // vocabulary can (byte-level BPE, byte fallback), else as unk, or not at all where there is none.
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // Control tokens are recognised in kLiteral spans only. Adjacent text is tokenized as one text,
  // so that a border between spans does not change how ordinary text is split.
  std::vector<TokenId> encode(const Spans& spans, bool add_special) const;

  // The bytes that ids stand for; control tokens are written out where `special` is true, else
  // left out. Ids out of range give nothing. A single token may be a part of a UTF-8 character.
  std::string decode(std::span<const TokenId> ids, bool special = true) const;

  // decode() of one id, at the end of `out`.
  void append_decoded(TokenId id, bool special, std::string& out) const;

  const Vocab& vocab() const;  // without its merges
  size_t n_vocab() const;
  bool is_control(TokenId id) const;
  bool is_eog(TokenId id) const;  // ends a generation

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace maru::text
