// importer/charsmap_writer.h - makes the table by which a Unigram vocabulary's text is normalized,
// as SentencePiece precompiles it and GGUF stores it (text/charsmap.h reads it).
//
// Source: the double-array trie of darts-clone (Yata), as SentencePiece's normalizer writes it.
// Threads: pure functions.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace maru::importer {

inline constexpr size_t kCharsmapEntriesMax = 1 << 17;

// Each text is replaced by the other. Errors: kCorrupt for an empty or doubled key, one that holds
// or a replacement that holds a zero byte, one that begins another, or too many.
Result<std::string> make_charsmap(std::vector<std::pair<std::string, std::string>> entries);

}  // namespace maru::importer
