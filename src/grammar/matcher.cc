#include "grammar/matcher.h"

namespace maru::grammar {

namespace {

// accepts() follows its text in pieces of about the size of a token.
constexpr size_t kPieceBytes = 16;

}  // namespace

Matcher::Matcher(Program& program) : program_(program), stacks_(program) {
  program_.budget().set_steps(kTokenStepsMax);
  tops_ = stacks_.begin();
}

bool Matcher::follow(std::string_view bytes, Tops& at) {
  program_.budget().set_steps(kTokenStepsMax);
  at = tops_;
  Tops next;
  for (const char byte : bytes) {
    stacks_.step(at.nodes, static_cast<uint8_t>(byte), next);
    if ((next.nodes.empty() && !next.ended) || !stacks_.ok()) return false;
    std::swap(at, next);
  }
  return true;
}

bool Matcher::accept(std::string_view bytes) {
  const size_t mark = stacks_.mark();
  Tops at;
  if (!follow(bytes, at)) {
    stacks_.forget(mark);
    return false;
  }
  tops_ = std::move(at);
  return true;
}

bool Matcher::allows(std::string_view bytes) {
  const size_t mark = stacks_.mark();
  Tops at;
  const bool allowed = follow(bytes, at);
  stacks_.forget(mark);
  return allowed;
}

bool Matcher::is_only_way(std::string_view bytes) {
  program_.budget().set_steps(kTokenStepsMax);
  const size_t mark = stacks_.mark();
  Tops at = tops_, next, on;
  bool only = true;
  for (size_t i = 0; i < bytes.size() && only; ++i) {
    only = !at.ended;
    for (unsigned byte = 0; byte < 256 && only; ++byte) {
      stacks_.step(at.nodes, static_cast<uint8_t>(byte), next);
      const bool leads_on = !next.nodes.empty() || next.ended;
      const bool is_own = byte == static_cast<uint8_t>(bytes[i]);
      only = leads_on == is_own && stacks_.ok();
      if (is_own) std::swap(on, next);
    }
    std::swap(at, on);
  }
  stacks_.forget(mark);
  return only;
}

Result<bool> accepts(Program& program, std::string_view text) {
  Matcher matcher(program);
  bool accepted = true;
  while (accepted && !text.empty()) {
    const std::string_view piece = text.substr(0, kPieceBytes);
    accepted = matcher.accept(piece);
    text.remove_prefix(piece.size());
  }
  accepted = accepted && matcher.may_end();
  if (!matcher.ok()) return Error::exhausted("the grammar is too complex to follow this text");
  return accepted;
}

}  // namespace maru::grammar
