#include "text/continue_message.h"

#include <string>

namespace maru::text {
namespace {

constexpr char kNoData = '\xFF';  // no byte of UTF-8, so no message matches across it
constexpr std::string_view kWhiteSpace = " \t\r\n";

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) - begin + 1);
}

}  // namespace

Result<Spans> cut_after_message(Spans spans, std::string_view message) {
  const std::string_view core = trim(message);
  if (core.empty()) return Error::invalid("the message to continue is empty", "messages");
  std::string data;  // the rendered text, with literals blotted out
  for (const Span& span : spans) {
    data += span.origin == Origin::kData ? span.text : std::string(span.text.size(), kNoData);
  }
  std::string_view found = message;
  size_t at = data.rfind(found);
  if (at == std::string::npos) {
    found = core;
    at = data.rfind(found);
  }
  if (at == std::string::npos) {
    return Error::unsupported(
        "the model's chat template does not keep the last message as it is, so it cannot be "
        "continued");
  }
  size_t n_left = at + found.size();
  Spans kept;
  for (Span& span : spans) {
    if (n_left == 0) break;
    if (span.text.size() > n_left) span.text.resize(n_left);
    n_left -= span.text.size();
    kept.push_back(std::move(span));
  }
  return kept;
}

}  // namespace maru::text
