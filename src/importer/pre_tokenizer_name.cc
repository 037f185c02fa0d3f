#include "importer/pre_tokenizer_name.h"

#include <fmt/format.h>

#include <array>

#include "importer/tokenizer.h"

namespace maru::importer {
namespace {

// How a tokenizer cuts, as one line: its steps with a space between them. Regular expressions are
// given as they are written; "digits" cuts single digits, "gpt2" is the byte-level step's own
// expression.
#define MARU_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define MARU_SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define MARU_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define MARU_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define MARU_PREFIX "[^\\r\\n\\p{L}\\p{N}]?"
constexpr std::string_view kLlama3 = MARU_CONTRACTIONS
    "|" MARU_PREFIX "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" MARU_SPACES;
constexpr std::string_view kQwen2 =
    MARU_CONTRACTIONS "|" MARU_PREFIX "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" MARU_SPACES;
constexpr std::string_view kQwen35 = MARU_CONTRACTIONS
    "|" MARU_PREFIX "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" MARU_SPACES;
constexpr std::string_view kSeed =
    MARU_CONTRACTIONS "|" MARU_PREFIX "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" MARU_SPACES;
constexpr std::string_view kTekken =
    MARU_PREFIX MARU_UPPER "*" MARU_LOWER "+|" MARU_PREFIX MARU_UPPER "+" MARU_LOWER
                           "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" MARU_SPACES;
constexpr std::string_view kGpt4o = MARU_PREFIX MARU_UPPER
    "*" MARU_LOWER "+" MARU_CONTRACTIONS "?|" MARU_PREFIX MARU_UPPER "+" MARU_LOWER
    "*" MARU_CONTRACTIONS "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" MARU_SPACES;
constexpr std::string_view kDeepseek3 =
    "\\p{N}{1,3} [一-龥぀-ゟ゠-ヿ]+ "
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" MARU_SPACES;
constexpr std::string_view kDeepseekCoder =
    "[\\r\\n] \\s?\\p{L}+ \\s?\\p{P}+ [一-龥ࠀ-一가-퟿]+ digits";
#undef MARU_CONTRACTIONS
#undef MARU_SPACES
#undef MARU_UPPER
#undef MARU_LOWER
#undef MARU_PREFIX

struct Known {
  std::string_view steps;
  bool nfc;            // the text is normalized to that form first
  bool ignore_merges;  // a word that is a token is taken whole
  std::string_view name;
};

constexpr std::array kKnown = {
    Known{"gpt2", false, false, "gpt-2"},
    Known{"gpt2", true, false, "olmo"},
    Known{"digits gpt2", false, false, "smollm"},
    Known{"digits gpt2", true, false, "command-r"},
    Known{kLlama3, false, true, "llama-bpe"},
    Known{kLlama3, false, false, "smaug-bpe"},
    Known{kQwen2, true, false, "qwen2"},
    Known{kQwen2, false, false, "stablelm2"},
    Known{kQwen35, true, false, "qwen35"},
    Known{kSeed, false, false, "seed-coder"},
    Known{kTekken, false, true, "tekken"},
    Known{kTekken, false, false, "tekken"},
    Known{kGpt4o, false, false, "gpt-4o"},
    Known{kDeepseek3, false, false, "deepseek-v3"},
    Known{kDeepseekCoder, false, false, "deepseek-coder"},
};

// Some files hold the line ends themselves where others hold their escapes.
std::string with_escapes(std::string_view pattern) {
  std::string out;
  for (const char c : pattern) {
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

bool flag(const Json& part, std::string_view key, bool fallback) {
  const Json& value = member(part, key);
  return value.is_boolean() ? value.get<bool>() : fallback;
}

std::string step_of(const Json& part) {
  const std::string type = text_of(part, "type");
  if (type == "ByteLevel") {
    if (flag(part, "add_prefix_space", false)) return "ByteLevel with a space before the text";
    return flag(part, "use_regex", true) ? "gpt2" : "";
  }
  if (type == "Digits") return flag(part, "individual_digits", false) ? "digits" : "numbers";
  if (type == "Split") {
    const Json& pattern = member(part, "pattern");
    std::string text = text_of(pattern, "Regex");
    if (text.empty()) text = text_of(pattern, "String");
    const std::string behavior = text_of(part, "behavior");
    // With the match inverted and what is between removed, the matches are the words as well.
    const bool keeps =
        behavior == "Isolated" || (behavior == "Removed" && flag(part, "invert", false));
    text = with_escapes(text);
    if (text == "\\p{N}" || text == "\\d") return "digits";
    return keeps ? text : fmt::format("{} {}", behavior, text);
  }
  return type;
}

}  // namespace

Result<std::string_view> pre_tokenizer_name(const Json& tokenizer) {
  std::string steps;
  for (const Json* part : parts_of(tokenizer, "pre_tokenizer")) {
    const std::string step = step_of(*part);
    if (!step.empty()) steps += (steps.empty() ? "" : " ") + step;
  }
  bool nfc = false;
  for (const Json* part : parts_of(tokenizer, "normalizer")) {
    nfc |= text_of(*part, "type") == "NFC";
  }
  const bool ignore_merges = flag(member(tokenizer, "model"), "ignore_merges", false);
  const Known* nearest = nullptr;
  for (const Known& known : kKnown) {
    if (known.steps != steps) continue;
    if (known.nfc == nfc && known.ignore_merges == ignore_merges) return known.name;
    if (nearest == nullptr) nearest = &known;
  }
  const std::string hint =
      nearest == nullptr
          ? ""
          : fmt::format("; '{}' is near, but differs in NFC or in ignore_merges", nearest->name);
  return Error::unsupported(
      fmt::format("tokenizer.json cuts texts in a way that has no name here: '{}'{}{}; --pre NAME "
                  "names one",
                  steps.substr(0, 400), nfc ? " after NFC" : "", hint));
}

}  // namespace maru::importer
