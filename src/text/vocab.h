// text/vocab.h - a vocabulary as plain data: what a tokenizer is made from.
//
// model/load_vocab.h fills it from GGUF metadata; tests fill it by hand. Nothing here knows a file
// format.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace maru::text {

using TokenId = int32_t;

// Limits of a vocabulary from outside; the largest known has 262144 tokens and 3 MB.
inline constexpr size_t kVocabMax = 1 << 20;
inline constexpr size_t kVocabBytesMax = 16 << 20;
inline constexpr size_t kPieceBytesMax = 4096;
inline constexpr size_t kMergesMax = 1 << 20;

// The values are those stored in GGUF files (tokenizer.ggml.token_type).
enum class TokenKind : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

enum class VocabKind { kByteLevelBpe, kSentencePieceBpe, kWordPiece, kUnigram };

struct Vocab {
  VocabKind kind = VocabKind::kByteLevelBpe;
  std::string pre;                  // name of the pre-tokenizer ("qwen2", "llama-bpe"); BPE only
  std::vector<std::string> pieces;  // as stored: byte-level BPE in its printable alphabet
  std::vector<TokenKind> kinds;     // same size as pieces
  std::vector<float> scores;        // same size as pieces, or empty
  std::vector<std::pair<std::string, std::string>> merges;  // best first; byte-level BPE only
  std::optional<TokenId> bos, eos, eot, unk, sep, pad, cls, mask;
  std::vector<TokenId> eog;  // all ids that end a generation
  bool add_bos = false;
  bool add_eos = false;
  bool add_sep = false;
  bool add_space_prefix = true;
  bool remove_extra_whitespaces = false;
  bool treat_whitespace_as_suffix = false;
  bool escape_whitespaces = true;
  std::string precompiled_charsmap;  // Unigram normalizer, as stored
};

}  // namespace maru::text
