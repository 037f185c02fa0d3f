#include "grammar/masker.h"

#include <algorithm>

#include "grammar/state_walk.h"

namespace maru::grammar {
namespace {

// A set of more tokens than this is kept as bits.
constexpr size_t kSparseMax = 512;

// Where nothing but the frame itself decides what comes next.
bool is_state(const Frame& frame) {
  return frame.kind == Frame::kTerm || (frame.kind == Frame::kString && frame.y == 0);
}

bool is_white(uint8_t byte) { return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r'; }

// False where a frame surely can't read the byte: most bytes of most frames.
bool may_read(const Frame& frame, uint8_t byte) {
  switch (frame.kind) {
    case Frame::kValue:
      return is_white(byte) || byte == '"' || byte == '{' || byte == '[' || byte == '-' ||
             (byte >= '0' && byte <= '9') || byte == 't' || byte == 'f' || byte == 'n';
    case Frame::kObjectOpen:
      return is_white(byte) || byte == '"' || byte == '}';
    case Frame::kObjectComma:
      return is_white(byte) || byte == '"';
    case Frame::kObjectColon:
      return is_white(byte) || byte == ':';
    case Frame::kObjectNext:
      return is_white(byte) || byte == ',' || byte == '}';
    case Frame::kArrayNext:
      return is_white(byte) || byte == ',' || byte == ']';
    default:
      return true;
  }
}

}  // namespace

size_t StateMask::n_bytes() const {
  return sizeof(StateMask) + dense.words().size() * 8 + sparse.capacity() * sizeof(TokenId) +
         counted.capacity() * sizeof(Counted) + rests.n_bytes() + no_ends.capacity() * 4;
}

namespace {

std::vector<TokenTrie::Entry> entries_of(const std::vector<std::string>& tokens) {
  std::vector<TokenTrie::Entry> entries;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) entries.push_back({tokens[id], {.id = static_cast<TokenId>(id)}});
  }
  return entries;
}

}  // namespace

Vocabulary::Vocabulary(std::vector<std::string> tokens)
    : tokens_(std::move(tokens)), trie_(entries_of(tokens_)) {
  Program program;
  free_string_ = walk_string_run(*this, program, program.terms().any_char());
}

void Masker::Visited::clear() {
  for (const uint64_t key : keys_) {
    size_t i = (key * 0x9E3779B97F4A7C15u) >> 32 & (slots_.size() - 1);
    while (slots_[i] != 0) {  // the whole run of slots; those of other keys go with it
      slots_[i] = 0;
      i = (i + 1) & (slots_.size() - 1);
    }
  }
  keys_.clear();
}

bool Masker::Visited::add(uint64_t key) {
  ++key;  // 0 is free
  const auto place = [this](uint64_t own) {
    size_t i = (own * 0x9E3779B97F4A7C15u) >> 32 & (slots_.size() - 1);
    while (slots_[i] != 0 && slots_[i] != own) i = (i + 1) & (slots_.size() - 1);
    return i;
  };
  const size_t at = place(key);
  if (slots_[at] == key) return false;
  slots_[at] = key;
  keys_.push_back(key);
  if (keys_.size() * 2 > slots_.size()) {
    slots_.assign(slots_.size() * 2, 0);
    for (const uint64_t each : keys_) slots_[place(each)] = each;
  }
  return true;
}

Masker::Masker(Program& program, const Vocabulary& vocabulary)
    : program_(program), vocabulary_(vocabulary), scratch_(vocabulary.size()) {}

StateMask Masker::make_state_mask(Within within, TermId term, bool is_run) {
  Terms& terms = program_.terms();
  StateMask state;
  if (within == Within::kString) {
    if (is_run) return walk_string_run(vocabulary_, program_, term);
    if (terms.is_nearly_any_string(term)) return walk_nearly_free(vocabulary_, program_, term);
    state = walk_string(vocabulary_, program_, term);
  } else {
    if (is_run) return walk_text_run(vocabulary_, program_, term);
    state = walk_text(vocabulary_, program_, term);
  }
  if (state.sparse.size() > kSparseMax) {
    state.is_dense = true;
    state.dense = TokenMask(vocabulary_.size());
    for (const TokenId id : state.sparse) state.dense.add(id);
    std::vector<TokenId>().swap(state.sparse);  // gives its memory back
  }
  return state;
}

// `is_run`: the term is one class of characters, and the state any run of them.
const StateMask& Masker::state_mask(Within within, TermId term, bool is_run) {
  if (within == Within::kString && is_run && term == program_.terms().any_char()) {
    return vocabulary_.free_string();
  }
  const uint64_t key =
      uint64_t{term} << 2 | uint64_t{within == Within::kString} << 1 | uint64_t{is_run};
  if (const auto found = places_.find(key); found != places_.end()) {
    kept_.splice(kept_.begin(), kept_, found->second);
    return found->second->state;
  }
  StateMask state = make_state_mask(within, term, is_run);
  const size_t n_bytes = state.n_bytes();
  kept_.push_front({key, std::move(state), n_bytes});
  places_[key] = kept_.begin();
  n_kept_bytes_ += n_bytes;
  while (n_kept_bytes_ > kMaskBytesMax && kept_.size() > 1) {
    n_kept_bytes_ -= kept_.back().n_bytes;
    places_.erase(kept_.back().key);
    kept_.pop_back();
  }
  return kept_.front().state;
}

bool Masker::fill(Matcher& matcher, TokenMask& mask) {
  mask.clear();
  program_.budget().set_steps(kTokenStepsMax);
  Stacks& stacks = matcher.stacks();
  const size_t mark = stacks.mark();
  for (const uint32_t top : matcher.tops().nodes) {
    if (is_state(stacks.frame(top))) {
      add_state(matcher, top, mask);
    } else {
      visited_.clear();
      go({matcher, vocabulary_.trie(), {}, mask}, 0, top);
    }
  }
  const bool ok = stacks.ok();
  stacks.forget(mark);
  return ok;
}

void Masker::add_state(Matcher& matcher, uint32_t top, TokenMask& mask) {
  const Frame frame = matcher.stacks().frame(top);
  const Within within = frame.kind == Frame::kString ? Within::kString : Within::kText;
  Terms::Loop run;
  if (program_.terms().is_loop(frame.x, run)) {
    const StateMask& state = state_mask(within, run.one, true);
    add_run(state, run, mask);
    return leave(matcher, top, state.rests, {.n_chars_min = run.min, .n_chars_max = run.max}, mask);
  }
  const StateMask& state = state_mask(within, frame.x, false);
  if (state.is_nearly_free) {
    const StateMask& free = vocabulary_.free_string();
    mask.add_all(free.dense);
    return leave(matcher, top, free.rests, {.no_ends = state.no_ends}, mask);
  }
  if (state.is_dense) mask.add_all(state.dense);
  for (const TokenId id : state.sparse) mask.add(id);
  leave(matcher, top, state.rests, {}, mask);
}

// Tokens of at most run.max characters.
void Masker::add_run(const StateMask& state, const Terms::Loop& run, TokenMask& mask) {
  const auto end =
      std::ranges::upper_bound(state.counted, run.max, {}, &StateMask::Counted::n_chars);
  const auto n_short = static_cast<size_t>(end - state.counted.begin());
  if (end == state.counted.end()) {
    mask.add_all(state.dense);
  } else if (n_short * 2 < state.counted.size()) {
    for (auto it = state.counted.begin(); it != end; ++it) mask.add(it->token);
  } else {
    scratch_ = state.dense;
    for (auto it = end; it != state.counted.end(); ++it) scratch_.remove(it->token);
    mask.add_all(scratch_);
  }
}

// Goes on behind the end of the state, with what lies below it.
void Masker::leave(Matcher& matcher, uint32_t top, const TokenTrie& rests, const Filter& filter,
                   TokenMask& mask) {
  if (rests.nodes().size() == 1 && rests.tokens(0).empty()) return;
  const Walk walk{matcher, rests, filter, mask};
  add_tokens(walk, 0);
  Tops below;
  matcher.stacks().pop(top, below);
  visited_.clear();
  for (const uint32_t on : below.nodes) go(walk, 0, on);
}

void Masker::add_tokens(const Walk& walk, uint32_t node) const {
  const Filter& filter = walk.filter;
  for (const TokenTrie::Token& token : walk.trie.tokens(node)) {
    if (token.n_chars < filter.n_chars_min || token.n_chars > filter.n_chars_max) continue;
    if (!filter.no_ends.empty() && std::ranges::binary_search(filter.no_ends, token.end_node)) {
      continue;
    }
    walk.mask.add(token.id);
  }
}

// The tokens below `node`, where the bytes down to it led to `top`.
void Masker::go(const Walk& walk, uint32_t node, uint32_t top) {
  const auto nodes = walk.trie.nodes();
  if (nodes[node].end == node + 1) return;
  if (!visited_.add(uint64_t{node} << 32 | top)) return;
  Stacks& stacks = walk.matcher.stacks();
  const Frame frame = stacks.frame(top);
  if (is_state(frame)) return go_within(walk, node, top);
  Tops next;
  for (uint32_t child = node + 1; child < nodes[node].end && stacks.ok();
       child = nodes[child].end) {
    if (!may_read(frame, nodes[child].byte)) continue;
    program_.budget().step();
    stacks.step(std::span(&top, 1), nodes[child].byte, next);
    if (next.nodes.empty() && !next.ended) continue;
    add_tokens(walk, child);
    for (const uint32_t on : next.nodes) go(walk, child, on);
  }
}

// The same within a regular part, without making frames.
void Masker::go_within(const Walk& walk, uint32_t node, uint32_t top) {
  const Frame frame = walk.matcher.stacks().frame(top);
  Tops below;
  bool popped = false;
  const auto ends = [&](uint32_t at) {
    if (!popped) walk.matcher.stacks().pop(top, below);
    popped = true;
    for (const uint32_t on : below.nodes) go(walk, at, on);
  };
  const auto inside = [&](uint32_t at) { add_tokens(walk, at); };
  if (frame.kind == Frame::kString) {
    walk_string_below(walk.trie, program_, node, frame.x, inside, ends);
  } else {
    walk_text_below(walk.trie, program_, node, frame.x, inside, ends);
  }
}

}  // namespace maru::grammar
