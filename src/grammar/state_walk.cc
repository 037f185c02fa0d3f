#include "grammar/state_walk.h"

#include <algorithm>

#include "grammar/json_string.h"
#include "grammar/program_chars.h"

namespace maru::grammar {
namespace {

struct Place {
  TermId term;
  uint32_t escape;
};

// Visits nodes in walking order with the state that their bytes lead to; `visit` gives false where
// the subtree is done.
template <class Visit>
void walk(const TokenTrie& trie, uint32_t node, TermId term, Visit visit) {
  const auto nodes = trie.nodes();
  const size_t depth0 = nodes[node].depth;
  std::vector<Place> places(trie.depth_max() + 1 - depth0);
  places[0] = {term, 0};
  for (uint32_t at = node + 1; at < nodes[node].end;) {
    const size_t depth = nodes[at].depth - depth0;
    const bool on = visit(at, nodes[at].byte, places[depth - 1], places[depth]);
    at = on ? at + 1 : nodes[at].end;
  }
}

// Reads one byte of a JSON string. True where the walk goes on below.
template <class Inside, class Ends>
bool read_string(Program& program, uint32_t at, uint8_t byte, const Place& from, Place& to,
                 Inside inside, Ends ends) {
  if (from.escape == 0 && byte >= 0x20 && byte != '"' && byte != '\\') {
    to = {program.terms().row(from.term)[byte], 0};
    if (to.term == kNever) return false;
    inside(at);
    return true;
  }
  TermChars chars(program);
  const StringStep step = step_string(chars, from.term, from.escape, byte);
  if (step.result == StringStep::kDead) return false;
  if (step.result == StringStep::kClosed) {
    ends(at);
    return false;
  }
  to = {step.state, step.escape};
  inside(at);
  return true;
}

bool is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

// Collects what tokens have behind the ends of a part.
class Rests {
 public:
  Rests(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  // The part may end at `node`. Tokens that end there too count where `whole`; those of `skip`
  // don't.
  void add(uint32_t node, uint32_t n_chars, bool whole, const TokenMask* skip = nullptr) {
    const auto nodes = vocabulary_.trie().nodes();
    const size_t depth = nodes[node].depth;
    for (uint32_t at = whole ? node : node + 1; at < nodes[node].end; ++at) {
      for (const TokenTrie::Token& token : vocabulary_.trie().tokens(at)) {
        if (skip != nullptr && skip->has(token.id)) continue;
        entries_.push_back({vocabulary_.bytes(token.id).substr(depth), {token.id, node, n_chars}});
      }
    }
  }
  TokenTrie trie() { return TokenTrie(std::move(entries_)); }

 private:
  const Vocabulary& vocabulary_;
  std::vector<TokenTrie::Entry> entries_;
};

void finish_run(const Vocabulary& vocabulary, Rests& rests, StateMask& state) {
  state.rests = rests.trie();
  std::ranges::sort(state.counted, {}, &StateMask::Counted::n_chars);
  state.counted.shrink_to_fit();
  state.is_dense = true;
  state.dense = TokenMask(vocabulary.size());
  for (const auto& counted : state.counted) state.dense.add(counted.token);
}

}  // namespace

void walk_text_below(const TokenTrie& trie, Program& program, uint32_t node, TermId term,
                     AtNode inside, AtNode ends) {
  walk(trie, node, term, [&](uint32_t at, uint8_t byte, const Place& from, Place& to) {
    to.term = program.terms().row(from.term)[byte];
    if (to.term == kNever) return false;
    inside(at);
    if (program.terms().nullable(to.term)) ends(at);
    return to.term != kEmpty;
  });
}

void walk_string_below(const TokenTrie& trie, Program& program, uint32_t node, TermId term,
                       AtNode inside, AtNode ends) {
  const auto closed = [&](uint32_t at) {
    inside(at);
    ends(at);
  };
  walk(trie, node, term, [&](uint32_t at, uint8_t byte, const Place& from, Place& to) {
    return read_string(program, at, byte, from, to, inside, closed);
  });
}

StateMask walk_text(const Vocabulary& vocabulary, Program& program, TermId term) {
  StateMask state;
  Rests rests(vocabulary);
  std::vector<uint32_t> ends;
  const TokenTrie& trie = vocabulary.trie();
  walk_text_below(
      trie, program, 0, term,
      [&](uint32_t at) {
        for (const auto& token : trie.tokens(at)) state.sparse.push_back(token.id);
      },
      [&](uint32_t at) { ends.push_back(at); });
  // Tokens that stay within may come whatever lies below; of free text that is nearly all of them.
  TokenMask within(vocabulary.size());
  for (const TokenId id : state.sparse) within.add(id);
  for (const uint32_t at : ends) rests.add(at, 0, false, &within);
  state.rests = rests.trie();
  return state;
}

StateMask walk_string(const Vocabulary& vocabulary, Program& program, TermId term) {
  StateMask state;
  Rests rests(vocabulary);
  const TokenTrie& trie = vocabulary.trie();
  walk(trie, 0, term, [&](uint32_t at, uint8_t byte, const Place& from, Place& to) {
    const auto inside = [&](uint32_t node) {
      for (const auto& token : trie.tokens(node)) state.sparse.push_back(token.id);
    };
    return read_string(program, at, byte, from, to, inside,
                       [&](uint32_t node) { rests.add(node, 0, true); });
  });
  state.rests = rests.trie();
  return state;
}

StateMask walk_nearly_free(const Vocabulary& vocabulary, Program& program, TermId term) {
  StateMask state;
  state.is_nearly_free = true;
  walk(vocabulary.trie(), 0, term, [&](uint32_t at, uint8_t byte, const Place& from, Place& to) {
    if (byte == '"' && from.escape == 0 && !program.terms().nullable(from.term))
      state.no_ends.push_back(at);
    const auto nothing = [](uint32_t) {};
    return read_string(program, at, byte, from, to, nothing, nothing) &&
           (to.term != program.terms().any_string() || to.escape != 0);
  });
  return state;
}

StateMask walk_text_run(const Vocabulary& vocabulary, Program& program, TermId one) {
  StateMask state;
  Rests rests(vocabulary);
  const TokenTrie& trie = vocabulary.trie();
  const TermId any = program.terms().repeat(one, 0, kNoMax);
  std::vector<uint32_t> n_chars(trie.depth_max() + 1);
  walk(trie, 0, any, [&](uint32_t at, uint8_t byte, const Place& from, Place& to) {
    const size_t depth = trie.nodes()[at].depth;
    to.term = program.terms().row(from.term)[byte];
    if (to.term == kNever) return false;
    const uint32_t n = n_chars[depth] = n_chars[depth - 1] + !is_continuation(byte);
    for (const auto& token : trie.tokens(at)) state.counted.push_back({n, token.id});
    if (program.terms().nullable(to.term)) rests.add(at, n, false);
    return true;
  });
  finish_run(vocabulary, rests, state);
  return state;
}

StateMask walk_string_run(const Vocabulary& vocabulary, Program& program, TermId one) {
  StateMask state;
  Rests rests(vocabulary);
  const TokenTrie& trie = vocabulary.trie();
  const TermId any = program.terms().repeat(one, 0, kNoMax);
  std::vector<uint32_t> n_chars(trie.depth_max() + 1);
  walk(trie, 0, any, [&](uint32_t at, uint8_t byte, const Place& from, Place& to) {
    const size_t depth = trie.nodes()[at].depth;
    const uint32_t n = n_chars[depth - 1];
    // An escape counts as one character from its backslash on; a low surrogate's goes on with it.
    const bool begins = from.escape == 0 && byte != '"' && !is_continuation(byte);
    n_chars[depth] = n + begins;
    const auto inside = [&](uint32_t node) {
      for (const auto& token : trie.tokens(node)) state.counted.push_back({n + begins, token.id});
    };
    return read_string(program, at, byte, from, to, inside,
                       [&](uint32_t node) { rests.add(node, n, true); });
  });
  finish_run(vocabulary, rests, state);
  return state;
}

}  // namespace maru::grammar
