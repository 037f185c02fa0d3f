// grammar/program.cc - the moves of all frames but those of objects and arrays.
#include "grammar/program.h"

#include <algorithm>

#include "grammar/json_string.h"
#include "grammar/program_chars.h"

namespace maru::grammar {
namespace {
constexpr size_t kStateBytes = 96;  // of a rule's state with its place, roughly
}

Program::Program() : budget_(kCompileStepsMax, kGrammarBytesMax), terms_(budget_) { seen_id({}); }

void Program::step(const Frame& frame, uint8_t byte, Moves& moves) {
  switch (frame.kind) {
    case Frame::kTerm: {
      const TermId next = terms_.row(frame.x)[byte];
      if (next != kNever) moves.push_back({Move::kStay, {.kind = Frame::kTerm, .x = next}, {}});
      return;
    }
    case Frame::kString:
      return step_string_frame(frame, byte, moves);
    case Frame::kRule:
      return;
    case Frame::kValue:
      return step_value(frame, byte, moves);
    case Frame::kObjectKey:
      return step_key(frame, byte, moves);
    case Frame::kObjectOpen:
    case Frame::kObjectComma:
    case Frame::kObjectColon:
    case Frame::kObjectNext:
      return step_object(frame, byte, moves);
    case Frame::kArrayOpen:
    case Frame::kArrayNext:
      return step_array(frame, byte, moves);
  }
}

uint32_t Program::add_state() {
  budget_.take(kStateBytes);
  rules.emplace_back();
  return static_cast<uint32_t>(rules.size() - 1);
}

void Program::add_edge(uint32_t from, const Frame& part, uint32_t next) {
  budget_.take(sizeof(RuleState::Edge));
  budget_.step();
  rules[from].edges.push_back({part, next});
}

void Program::add_term(uint32_t from, TermId term, uint32_t next) {
  if (term != kNever) add_edge(from, {.kind = Frame::kTerm, .x = term}, next);
}

bool Program::expand(const Frame& frame, Moves& moves) {
  if (frame.kind == Frame::kTerm) {
    if (terms_.nullable(frame.x)) moves.push_back({Move::kPop, {}, {}});
    return frame.x != kEmpty;
  }
  if (frame.kind != Frame::kRule) return true;
  const RuleState& state = rules[frame.id];
  for (const RuleState::Edge& edge : state.edges) {
    const RuleState& next = rules[edge.next];
    // Nothing to come back for: a rule that ends in itself takes no room.
    if (next.ends && next.edges.empty()) {
      moves.push_back({Move::kStay, edge.part, {}});
    } else {
      moves.push_back({Move::kPush, edge.part, {.kind = Frame::kRule, .id = edge.next}});
    }
  }
  if (state.ends) moves.push_back({Move::kPop, {}, {}});
  return false;
}

// True where the byte was white space, allowed or not.
bool Program::skip_white(const Frame& frame, uint8_t byte, Moves& moves) const {
  if (byte != ' ' && byte != '\n' && byte != '\t' && byte != '\r') return false;
  if (frame.n_white < kWhitespaceMax) {
    Frame next = frame;
    ++next.n_white;
    moves.push_back({Move::kStay, next, {}});
  }
  return true;
}

void Program::step_value(const Frame& frame, uint8_t byte, Moves& moves) {
  if (skip_white(frame, byte, moves)) return;
  const ValueNode& value = values[frame.id];
  const auto stay = [&moves](const Frame& top) { moves.push_back({Move::kStay, top, {}}); };
  switch (byte) {
    case '"':
      if (value.string != kNever) stay({.kind = Frame::kString, .x = value.string});
      return;
    case '{':
      for (const uint32_t id : value.objects) stay({.kind = Frame::kObjectOpen, .id = id});
      return;
    case '[':
      for (const uint32_t id : value.arrays) stay({.kind = Frame::kArrayOpen, .id = id});
      return;
    default:
      if (value.scalar == kNever) return;
      if (const TermId next = terms_.row(value.scalar)[byte]; next != kNever) {
        stay({.kind = Frame::kTerm, .x = next});
      }
  }
}

void Program::step_string_frame(const Frame& frame, uint8_t byte, Moves& moves) {
  TermChars chars(*this);
  const StringStep step = step_string(chars, frame.x, frame.y, byte);
  if (step.result == StringStep::kDead) return;
  if (step.result == StringStep::kClosed) {
    moves.push_back({Move::kPop, {}, {}});
    return;
  }
  moves.push_back({Move::kStay, {.kind = Frame::kString, .x = step.state, .y = step.escape}, {}});
}

}  // namespace maru::grammar
