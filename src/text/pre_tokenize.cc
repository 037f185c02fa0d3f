#include "text/pre_tokenize.h"

#include <algorithm>
#include <array>

#include "text/code_point_sets.h"

namespace maru::text {
namespace {

// --- building blocks: each returns the end of what it matched, or its `at` where nothing matched.

// The end of the longest run of code points that have one of the classes.
size_t run_of(const CodePoints& text, size_t at, size_t end, CharClass classes) {
  while (at < end && (text.classes[at] & classes) != 0) ++at;
  return at;
}

// The same for code points that have none of them.
size_t run_without(const CodePoints& text, size_t at, size_t end, CharClass classes) {
  while (at < end && (text.classes[at] & classes) == 0) ++at;
  return at;
}

size_t up_to(const CodePoints& text, size_t at, size_t end, CharClass classes, size_t n_max) {
  return run_of(text, at, std::min(end, at + n_max), classes);
}

bool is_newline(char32_t code) { return code == '\r' || code == '\n'; }

size_t newlines(const CodePoints& text, size_t at, size_t end) {
  while (at < end && is_newline(text.codes[at])) ++at;
  return at;
}

// 's 't 're 've 'm 'll 'd. Folding case, U+017F (long s) counts as s.
size_t contraction(const CodePoints& text, size_t at, size_t end, bool fold_case) {
  if (at + 1 >= end || text.codes[at] != '\'') return at;
  const auto letter = [&](size_t i) -> char32_t {
    if (i >= end) return 0;
    const char32_t code = text.codes[i];
    if (fold_case && code == 0x17F) return 's';
    return fold_case && code >= 'A' && code <= 'Z' ? code + 32 : code;
  };
  const char32_t first = letter(at + 1);
  const char32_t second = letter(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
  if (first == 'l' && second == 'l') return at + 3;
  return at;
}

// ` ?[classes]+`
size_t spaced_run(const CodePoints& text, size_t at, size_t end, CharClass classes) {
  const size_t begin = at < end && text.codes[at] == ' ' ? at + 1 : at;
  const size_t stop = run_of(text, begin, end, classes);
  return stop > begin ? stop : at;
}

// ` ?[^classes]+`
size_t spaced_run_without(const CodePoints& text, size_t at, size_t end, CharClass classes) {
  const size_t begin = at < end && text.codes[at] == ' ' ? at + 1 : at;
  const size_t stop = run_without(text, begin, end, classes);
  return stop > begin ? stop : at;
}

// `\s+(?!\S)|\s+`: a run of white space leaves its last one to the word that follows.
size_t white_space(const CodePoints& text, size_t at, size_t end) {
  const size_t stop = run_of(text, at, end, kSpace);
  return stop < end && stop > at + 1 ? stop - 1 : stop;
}

// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last newline of the run, if it has one.
size_t lines_or_white_space(const CodePoints& text, size_t at, size_t end) {
  const size_t stop = run_of(text, at, end, kSpace);
  for (size_t i = stop; i > at; --i) {
    if (is_newline(text.codes[i - 1])) return i;
  }
  return white_space(text, at, end);
}

// `[^\r\n\p{L}\p{N}]?`
size_t prefix(const CodePoints& text, size_t at, size_t end) {
  const bool fits =
      at < end && !is_newline(text.codes[at]) && (text.classes[at] & (kLetter | kNumber)) == 0;
  return fits ? at + 1 : at;
}

// --- rules

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
size_t gpt2_word(const CodePoints& text, size_t at, size_t end) {
  if (const size_t stop = contraction(text, at, end, false); stop > at) return stop;
  if (const size_t stop = spaced_run(text, at, end, kLetter); stop > at) return stop;
  if (const size_t stop = spaced_run(text, at, end, kNumber); stop > at) return stop;
  const size_t stop = spaced_run_without(text, at, end, kSpace | kLetter | kNumber);
  return stop > at ? stop : white_space(text, at, end);
}

struct Llama3Shape {
  CharClass letters = kLetter;
  size_t n_digits_max = 3;
  bool newlines_after_symbols = true;
};

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*
// |\s*[\r\n]+|\s+(?!\S)|\s+
size_t llama3_shaped_word(const CodePoints& text, size_t at, size_t end, const Llama3Shape& shape) {
  if (const size_t stop = contraction(text, at, end, true); stop > at) return stop;
  const size_t begin = prefix(text, at, end);
  if (const size_t stop = run_of(text, begin, end, shape.letters); stop > begin) return stop;
  // Only a mark can be both the prefix and a letter of the run.
  if (const size_t stop = run_of(text, at, end, shape.letters); stop > at) return stop;
  if (const size_t stop = up_to(text, at, end, kNumber, shape.n_digits_max); stop > at) return stop;
  const CharClass not_symbol = kSpace | kNumber | shape.letters;
  if (const size_t stop = spaced_run_without(text, at, end, not_symbol); stop > at) {
    return shape.newlines_after_symbols ? newlines(text, stop, end) : stop;
  }
  return lines_or_white_space(text, at, end);
}

size_t llama3_word(const CodePoints& text, size_t at, size_t end) {
  return llama3_shaped_word(text, at, end, {});
}

// As llama3 with \p{N} alone.
size_t qwen2_word(const CodePoints& text, size_t at, size_t end) {
  return llama3_shaped_word(text, at, end, {.n_digits_max = 1});
}

// As qwen2 with [\p{L}\p{M}] for \p{L} in the words, and marks no symbols.
size_t qwen35_word(const CodePoints& text, size_t at, size_t end) {
  return llama3_shaped_word(text, at, end, {.letters = kLetter | kMark, .n_digits_max = 1});
}

// As qwen2 without the newlines after symbols.
size_t seed_word(const CodePoints& text, size_t at, size_t end) {
  return llama3_shaped_word(text, at, end, {.n_digits_max = 1, .newlines_after_symbols = false});
}

constexpr CharClass kUpperish = kUpper | kOtherLetter | kMark;
constexpr CharClass kLowerish = kLower | kOtherLetter | kMark;

// What else a letter of a cased word must not be.
using Excluded = std::span<const CodeRange>;

size_t run_of(const CodePoints& text, size_t at, size_t end, CharClass classes, Excluded not_in) {
  while (at < end && (text.classes[at] & classes) != 0 &&
         (not_in.empty() || !contains(not_in, text.codes[at]))) {
    ++at;
  }
  return at;
}

// [upperish]*[lowerish]+, as a backtracking matcher finds it.
size_t cased_word(const CodePoints& text, size_t at, size_t end, Excluded not_in) {
  const size_t middle = run_of(text, at, end, kUpperish, not_in);
  const size_t stop = run_of(text, middle, end, kLowerish, not_in);
  if (stop > middle) return stop;
  // The upper part gives back its end until that begins with something lowerish.
  for (size_t i = middle; i > at; --i) {
    if ((text.classes[i - 1] & kLowerish) != 0) return i;
  }
  return at;
}

// P?[upperish]*[lowerish]+|P?[upperish]+[lowerish]*, P = [^\r\n\p{L}\p{N}]; what follows
// [upperish]+ is no [lowerish], or the first alternative had matched.
size_t prefixed_cased_word(const CodePoints& text, size_t at, size_t end, Excluded not_in = {}) {
  const size_t begin = prefix(text, at, end);
  if (const size_t stop = cased_word(text, begin, end, not_in); stop > begin) return stop;
  if (const size_t stop = cased_word(text, at, end, not_in); stop > at) return stop;
  if (const size_t stop = run_of(text, begin, end, kUpperish, not_in); stop > begin) return stop;
  return run_of(text, at, end, kUpperish, not_in);
}

// | ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t symbols_or_white_space(const CodePoints& text, size_t at, size_t end) {
  size_t stop = spaced_run_without(text, at, end, kSpace | kLetter | kNumber);
  if (stop == at) return lines_or_white_space(text, at, end);
  while (stop < end && (is_newline(text.codes[stop]) || text.codes[stop] == '/')) ++stop;
  return stop;
}

// The cased words with (?i:'s|...)? behind them, |\p{N}{1,3}, and the rest.
size_t gpt4o_word(const CodePoints& text, size_t at, size_t end) {
  if (const size_t stop = prefixed_cased_word(text, at, end); stop > at) {
    return contraction(text, stop, end, true);
  }
  if (const size_t stop = up_to(text, at, end, kNumber, 3); stop > at) return stop;
  return symbols_or_white_space(text, at, end);
}

// [\p{Han}]+, the cased words of letters that are not Han with (?i:'s|...)? behind them,
// |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t kimi_word(const CodePoints& text, size_t at, size_t end) {
  size_t han = at;
  while (han < end && contains(kHan, text.codes[han])) ++han;
  if (han > at) return han;
  if (const size_t stop = prefixed_cased_word(text, at, end, kHan); stop > at) {
    return contraction(text, stop, end, true);
  }
  if (const size_t stop = up_to(text, at, end, kNumber, 3); stop > at) return stop;
  const size_t stop = spaced_run_without(text, at, end, kSpace | kLetter | kNumber);
  return stop > at ? newlines(text, stop, end) : lines_or_white_space(text, at, end);
}

// The cased words, |\p{N}, and the rest.
size_t tekken_word(const CodePoints& text, size_t at, size_t end) {
  if (const size_t stop = prefixed_cased_word(text, at, end); stop > at) return stop;
  if (const size_t stop = up_to(text, at, end, kNumber, 1); stop > at) return stop;
  return symbols_or_white_space(text, at, end);
}

// \p{N}
size_t digit(const CodePoints& text, size_t at, size_t end) {
  return up_to(text, at, end, kNumber, 1);
}

// \p{N}{1,3}
size_t three_digits(const CodePoints& text, size_t at, size_t end) {
  return up_to(text, at, end, kNumber, 3);
}

// \p{N}+
size_t number(const CodePoints& text, size_t at, size_t end) {
  return run_of(text, at, end, kNumber);
}

// [0-9][0-9][0-9]
size_t exactly_three_ascii_digits(const CodePoints& text, size_t at, size_t end) {
  if (end - at < 3) return at;
  const auto is_digit = [&](size_t i) { return text.codes[i] >= '0' && text.codes[i] <= '9'; };
  return is_digit(at) && is_digit(at + 1) && is_digit(at + 2) ? at + 3 : at;
}

// [\p{P}\$\+<=>\^~\|`]+ (falcon), [\p{P}\$\+<=>\^~\|]+ (default)
size_t punctuation(const CodePoints& text, size_t at, size_t end, std::u32string_view more) {
  while (at < end && ((text.classes[at] & kPunctuation) != 0 ||
                      more.find(text.codes[at]) != std::u32string_view::npos)) {
    ++at;
  }
  return at;
}
size_t falcon_punctuation(const CodePoints& text, size_t at, size_t end) {
  return punctuation(text, at, end, U"$+<=>^~|`");
}
size_t default_punctuation(const CodePoints& text, size_t at, size_t end) {
  return punctuation(text, at, end, U"$+<=>^~|");
}

// [一-龥぀-ゟ゠-ヿ]+
size_t chinese_or_kana(const CodePoints& text, size_t at, size_t end) {
  const auto fits = [](char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
  };
  while (at < end && fits(text.codes[at])) ++at;
  return at;
}

// [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*
// |\s*[\r\n]+|\s+(?!\S)|\s+
size_t deepseek3_word(const CodePoints& text, size_t at, size_t end) {
  const auto is_ascii_letter = [&](size_t i) {
    const char32_t lower = text.codes[i] | 0x20;
    return i < end && lower >= 'a' && lower <= 'z' && text.codes[i] < 0x80;
  };
  const char32_t code = text.codes[at];
  if (code < 0x80 && (text.classes[at] & (kPunctuation | kSymbol)) != 0 && at + 1 < end &&
      is_ascii_letter(at + 1)) {
    size_t stop = at + 1;
    while (stop < end && is_ascii_letter(stop)) ++stop;
    return stop;
  }
  constexpr CharClass kWord = kLetter | kMark;
  const bool has_prefix =
      !is_newline(code) && (text.classes[at] & (kLetter | kPunctuation | kSymbol)) == 0;
  const size_t begin = has_prefix ? at + 1 : at;
  if (const size_t stop = run_of(text, begin, end, kWord); stop > begin) return stop;
  if (const size_t stop = run_of(text, at, end, kWord); stop > at) return stop;
  if (const size_t stop = spaced_run(text, at, end, kPunctuation | kSymbol); stop > at) {
    return newlines(text, stop, end);
  }
  return lines_or_white_space(text, at, end);
}

// [\r\n]
size_t newline(const CodePoints& text, size_t at, size_t) {
  return is_newline(text.codes[at]) ? at + 1 : at;
}

// \s?[classes]+
size_t run_after_white_space(const CodePoints& text, size_t at, size_t end, CharClass classes) {
  const size_t begin = (text.classes[at] & kSpace) != 0 ? at + 1 : at;
  const size_t stop = run_of(text, begin, end, classes);
  return stop > begin ? stop : at;
}
size_t letters_after_white_space(const CodePoints& text, size_t at, size_t end) {
  return run_after_white_space(text, at, end, kLetter);
}
size_t punctuation_after_white_space(const CodePoints& text, size_t at, size_t end) {
  return run_after_white_space(text, at, end, kPunctuation);
}

// [一-龥ࠀ-一가-퟿]+
size_t east_asian(const CodePoints& text, size_t at, size_t end) {
  const auto fits = [](char32_t c) {
    return (c >= 0x0800 && c <= 0x9FA5) || (c >= 0xAC00 && c <= 0xD7FF);
  };
  while (at < end && fits(text.codes[at])) ++at;
  return at;
}

// \s?[the letters of the list]+
size_t deepseek_letters(const CodePoints& text, size_t at, size_t end) {
  const size_t begin = (text.classes[at] & kSpace) != 0 ? at + 1 : at;
  size_t stop = begin;
  while (stop < end && contains(kDeepseekLetters, text.codes[stop])) ++stop;
  return stop > begin ? stop : at;
}

// \s?[!-/:-~！-／：-～‘-‟　-。]+: ASCII letters beyond : are among them, but none is left here.
size_t deepseek_punctuation(const CodePoints& text, size_t at, size_t end) {
  constexpr CodeRange kMarks[] = {{'!', '/'},       {':', '~'},       {0x2018, 0x201F},
                                  {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};
  const auto run_from = [&](size_t begin) {
    size_t stop = begin;
    while (stop < end && contains(kMarks, text.codes[stop])) ++stop;
    return stop;
  };
  if ((text.classes[at] & kSpace) == 0) return run_from(at);
  // U+3000 is white space and one of them.
  const size_t stop = run_from(at + 1);
  return stop > at + 1 ? stop : run_from(at);
}

// \s+$
size_t last_white_space(const CodePoints& text, size_t at, size_t end) {
  const size_t stop = run_of(text, at, end, kSpace);
  return stop == end ? stop : at;
}

// Runs of numbers, cut from their end into groups of three: \p{N}{1,2}(?=(\p{N}{3})*$)|\p{N}{3}
void numbers_in_threes(const CodePoints& text, size_t begin, size_t end,
                       std::vector<size_t>& ends) {
  for (size_t at = begin; at < end;) {
    const size_t first = run_without(text, at, end, kNumber);
    if (first > at) ends.push_back(first);
    at = run_of(text, first, end, kNumber);
    const size_t head = (at - first) % 3;
    if (head > 0) ends.push_back(first + head);
    for (size_t i = first + head + 3; i <= at; i += 3) ends.push_back(i);
  }
}

// [the scripts of the list]+
size_t asian_script(const CodePoints& text, size_t at, size_t end) {
  while (at < end && contains(kAsianScripts, text.codes[at])) ++at;
  return at;
}

// IMGIMG[A-I]{1,4}Z
size_t chameleon_image(const CodePoints& text, size_t at, size_t end) {
  constexpr std::u32string_view kOpen = U"IMGIMG";
  constexpr size_t kLettersMax = 4;
  size_t stop = at;
  while (stop < end && stop - at < kOpen.size() && text.codes[stop] == kOpen[stop - at]) ++stop;
  if (stop - at < kOpen.size()) return at;
  const size_t letters = stop;
  while (stop < end && stop - letters < kLettersMax && text.codes[stop] >= 'A' &&
         text.codes[stop] <= 'I') {
    ++stop;
  }
  return stop > letters && stop < end && text.codes[stop] == 'Z' ? stop + 1 : at;
}

// [\t\n]|    |  (one character, four spaces, two spaces)
size_t chameleon_indent(const CodePoints& text, size_t at, size_t end) {
  if (text.codes[at] == '\t' || text.codes[at] == '\n') return at + 1;
  size_t n = 0;
  while (n < 4 && at + n < end && text.codes[at + n] == ' ') ++n;
  return at + (n == 4 ? 4 : n >= 2 ? 2 : 0);
}

// [\p{P}!-/:-@\[-`{-~]
size_t one_punctuation(const CodePoints& text, size_t at, size_t) {
  const bool is_ascii_symbol = text.codes[at] < 0x80 && (text.classes[at] & kSymbol) != 0;
  return (text.classes[at] & kPunctuation) != 0 || is_ascii_symbol ? at + 1 : at;
}

// (?i:'s|...)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?
// |\s*[\r\n]|\s+(?!\S)|\s+: words with single spaces between them are one.
size_t exaone_moe_word(const CodePoints& text, size_t at, size_t end) {
  if (const size_t stop = contraction(text, at, end, true); stop > at) return stop;
  const auto is_letter = [&](size_t i) { return i < end && (text.classes[i] & kLetter) != 0; };
  const size_t begin = prefix(text, at, end);
  if (is_letter(begin)) {
    size_t stop = begin;
    while (true) {
      if (is_letter(stop)) {
        stop = run_of(text, stop + 1, end, kMark);
      } else if (stop < end && text.codes[stop] == ' ' && is_letter(stop + 1)) {
        ++stop;
      } else {
        return stop;
      }
    }
  }
  if (const size_t stop = up_to(text, at, end, kNumber, 1); stop > at) return stop;
  const size_t stop = spaced_run_without(text, at, end, kSpace | kNumber | kLetter);
  if (stop == at) return lines_or_white_space(text, at, end);
  return stop < end && is_newline(text.codes[stop]) ? stop + 1 : stop;  // a / was taken before
}

// ` ?[^(\s|.,!?…。，、।۔،)]+`
size_t bloom_word(const CodePoints& text, size_t at, size_t end) {
  constexpr std::u32string_view kStops = U"(|.,!?…。，、।۔،)";
  const auto fits = [&](size_t i) {
    return (text.classes[i] & kSpace) == 0 &&
           kStops.find(text.codes[i]) == std::u32string_view::npos;
  };
  const size_t begin = text.codes[at] == ' ' ? at + 1 : at;
  size_t stop = begin;
  while (stop < end && fits(stop)) ++stop;
  return stop > begin ? stop : at;
}

// --- the table

constexpr std::array<SplitRule, 1> kGpt2 = {gpt2_word};
constexpr std::array<SplitRule, 2> kDigitsGpt2 = {digit, gpt2_word};
constexpr std::array<SplitRule, 1> kLlama3 = {llama3_word};
constexpr std::array<SplitRule, 1> kQwen2 = {qwen2_word};
constexpr std::array<SplitRule, 1> kQwen35 = {qwen35_word};
constexpr std::array<SplitRule, 1> kSeed = {seed_word};
constexpr std::array<SplitRule, 1> kTekken = {tekken_word};
constexpr std::array<SplitRule, 1> kGpt4o = {gpt4o_word};
constexpr std::array<SplitRule, 3> kFalcon = {falcon_punctuation, gpt2_word,
                                              exactly_three_ascii_digits};
constexpr std::array<SplitRule, 4> kDefault = {default_punctuation, gpt2_word, number,
                                               exactly_three_ascii_digits};
constexpr std::array<SplitRule, 3> kDeepseek3 = {three_digits, chinese_or_kana, deepseek3_word};
constexpr std::array<SplitRule, 5> kDeepseekCoder = {
    newline, letters_after_white_space, punctuation_after_white_space, east_asian, digit};
constexpr std::array<SplitRule, 6> kDeepseekLlm = {
    newline, deepseek_letters, deepseek_punctuation, last_white_space, east_asian, digit};
constexpr std::array<SplitRule, 1> kKimi = {kimi_word};
constexpr std::array<SplitRule, 1> kSuperBpe = {numbers_in_threes};
constexpr std::array<SplitRule, 3> kAfmoe = {numbers_in_threes, asian_script, deepseek3_word};
// Its <sentinel:[0-9]+> is left out: the rules behind it take that apart again.
constexpr std::array<SplitRule, 5> kChameleon = {chameleon_image, chameleon_indent, digit,
                                                 one_punctuation, gpt2_word};
constexpr std::array<SplitRule, 1> kExaoneMoe = {exaone_moe_word};
constexpr std::array<SplitRule, 1> kBloom = {bloom_word};
constexpr std::array<SplitRule, 2> kViking = {bloom_word, digit};

// nfc is set where the model's own tokenizer.json has that normalizer.
constexpr PreTokenizer kPreTokenizers[] = {
    {"default", kDefault},
    {"gpt-2", kGpt2},
    {"phi-2", kGpt2},
    {"jina-es", kGpt2},
    {"jina-de", kGpt2},
    {"jina-v1-en", kGpt2},
    {"jina-v2-es", kGpt2},
    {"jina-v2-de", kGpt2},
    {"jina-v2-code", kGpt2},
    {"roberta-bpe", kGpt2},
    {"gigachat", kGpt2},
    {"mellum", kGpt2},
    {"a.x-4.0", kGpt2},
    {"jais", kGpt2},
    {"trillion", kGpt2},
    {"granite-docling", kGpt2},
    {"exaone4", kGpt2},
    {"olmo", kGpt2, true},
    {"mpt", kGpt2, true},
    {"smollm", kDigitsGpt2},
    {"starcoder", kDigitsGpt2},
    {"refact", kDigitsGpt2},
    {"codeshell", kDigitsGpt2},
    {"exaone", kDigitsGpt2},
    {"minerva-7b", kDigitsGpt2},
    {"command-r", kDigitsGpt2, true},
    {"llama3", kLlama3, false, true, true},
    {"llama-v3", kLlama3, false, true, true},
    {"llama-bpe", kLlama3, false, true, true},
    {"falcon3", kLlama3, false, true, true},
    {"falcon-h1", kLlama3, false, true, true},
    {"pixtral", kLlama3, false, true, true},
    {"midm-2.0", kLlama3, false, true, true},
    {"lfm2", kLlama3, false, true, true},
    {"dbrx", kLlama3},
    {"smaug-bpe", kLlama3},
    {"chatglm-bpe", kLlama3},
    {"glm4", kLlama3},
    {"qwen2", kQwen2, true},
    {"qwen35", kQwen35, true},
    {"deepseek-r1-qwen", kQwen2},
    {"kormo", kQwen2},
    {"megrez", kQwen2},
    {"stablelm2", kQwen2},
    {"hunyuan", kQwen2},
    {"grok-2", kQwen2},
    {"bailingmoe", kQwen2},
    {"bailingmoe2", kQwen2},
    {"llada-moe", kQwen2},
    {"seed-coder", kSeed},
    {"tekken", kTekken, false, true, true},
    {"gpt-4o", kGpt4o},
    {"llama4", kGpt4o},
    {"minimax-m2", kGpt4o},
    {"falcon", kFalcon},
    {"deepseek-v3", kDeepseek3},
    {"hunyuan-dense", kDeepseek3},
    {"deepseek-coder", kDeepseekCoder},
    {"deepseek-llm", kDeepseekLlm},
    {"kimi-k2", kKimi},
    {"superbpe", kSuperBpe},
    {"afmoe", kAfmoe},
    {"chameleon", kChameleon, false, false, true},
    {"exaone-moe", kExaoneMoe},
    {"poro-chat", kBloom},
    {"bloom", kBloom},
    {"gpt3-finnish", kBloom},
    {"viking", kViking},
};

// Appends the ends of the pieces of [begin, end).
void split_range(const CodePoints& text, WordRule rule, size_t begin, size_t end,
                 std::vector<size_t>& ends) {
  size_t unmatched = begin;
  size_t at = begin;
  while (at < end) {
    const size_t stop = rule(text, at, end);
    if (stop == at) {
      ++at;
      continue;
    }
    if (unmatched < at) ends.push_back(at);
    ends.push_back(stop);
    at = unmatched = stop;
  }
  if (unmatched < end) ends.push_back(end);
}

}  // namespace

std::span<const PreTokenizer> pre_tokenizers() { return kPreTokenizers; }

const PreTokenizer* find_pre_tokenizer(std::string_view name) {
  const auto* found = std::ranges::find(kPreTokenizers, name, &PreTokenizer::name);
  return found == std::end(kPreTokenizers) ? nullptr : found;
}

std::vector<size_t> split_words(const CodePoints& text, const PreTokenizer& pre) {
  std::vector<size_t> ends;
  if (text.size() == 0) return ends;
  ends.push_back(text.size());
  for (const SplitRule& rule : pre.rules) {
    std::vector<size_t> finer;
    finer.reserve(ends.size());
    size_t begin = 0;
    for (const size_t end : ends) {
      if (rule.word != nullptr) {
        split_range(text, rule.word, begin, end, finer);
      } else {
        rule.piece(text, begin, end, finer);
      }
      begin = end;
    }
    ends = std::move(finer);
  }
  return ends;
}

}  // namespace maru::text
