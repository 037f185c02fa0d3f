// grammar/program_json.cc - the moves of objects and arrays.
#include <algorithm>

#include "grammar/json_string.h"
#include "grammar/program.h"

namespace maru::grammar {
namespace {

constexpr uint32_t kKeyRoot = 1;

}  // namespace

// Breadth first, so that children lie together.
void ObjectNode::make_tree() {
  std::ranges::sort(keys, {}, &ObjectKey::name);
  tree.assign(1, {});
  struct Open {
    uint32_t node;
    size_t depth;
  };
  tree.push_back({.key_begin = 0, .key_end = static_cast<uint32_t>(keys.size())});
  std::vector<Open> open{{kKeyRoot, 0}};
  for (size_t i = 0; i < open.size(); ++i) {
    const auto [node, depth] = open[i];
    uint32_t at = tree[node].key_begin;
    const uint32_t end = tree[node].key_end;
    if (at < end && keys[at].name.size() == depth) {
      tree[node].ends = true;
      ++at;
    }
    tree[node].first_child = static_cast<uint32_t>(tree.size());
    while (at < end) {
      const char byte = keys[at].name[depth];
      uint32_t last = at;
      while (last < end && keys[last].name[depth] == byte) ++last;
      open.push_back({static_cast<uint32_t>(tree.size()), depth + 1});
      tree.push_back({.byte = static_cast<uint8_t>(byte), .key_begin = at, .key_end = last});
      ++tree[node].n_children;
      at = last;
    }
  }
}

// The keys of one object that may still come, as an automaton over characters.
struct Program::KeyChars {
  const Program& program;
  const ObjectNode& object;
  const Seen& seen;

  uint32_t next(uint32_t place, uint8_t byte) {
    const ObjectNode::TreeNode& node = object.tree[place];
    for (uint32_t i = 0; i < node.n_children; ++i) {
      const uint32_t child = node.first_child + i;
      if (object.tree[child].byte == byte) return leads_on(child) ? child : 0;
    }
    return 0;
  }
  bool ends(uint32_t place) {
    const ObjectNode::TreeNode& node = object.tree[place];
    return node.ends && program.may_add(object, seen, node.key_begin);
  }
  bool any_spelling(uint32_t) const { return program.needless_escapes; }
  bool leads_on(uint32_t place) const {
    const ObjectNode::TreeNode& node = object.tree[place];
    for (uint32_t key = node.key_begin; key < node.key_end; ++key) {
      if (program.may_add(object, seen, key)) return true;
    }
    return false;
  }
};

uint32_t Program::seen_id(Seen seen) {
  const auto [found, is_new] =
      seen_ids_.try_emplace(std::move(seen), static_cast<uint32_t>(seen_.size()));
  if (is_new) {
    seen_.push_back(found->first);
    budget_.take(128 + 16 * found->first.keys.size());
  }
  return found->second;
}

// `key` is kNone for a member that is not declared.
uint32_t Program::add_seen(const ObjectNode& object, uint32_t seen, uint32_t key) {
  Seen next = seen_[seen];
  if (key != kNone) {
    next.keys.resize((object.keys.size() + 63) / 64);
    next.keys[key / 64] |= uint64_t{1} << (key % 64);
  }
  // How many is kept as far as it matters.
  if (object.n_max != kNoMax || next.n < object.n_min) ++next.n;
  return seen_id(std::move(next));
}

// How many keys must still come.
uint32_t Program::n_missing(const ObjectNode& object, const Seen& seen) const {
  uint32_t n = 0;
  for (uint32_t key = 0; key < object.keys.size(); ++key) {
    if (seen.has(key)) {
      for (const uint32_t needed : object.keys[key].needs) {
        n += !seen.has(needed) && !object.keys[needed].required;
      }
    } else {
      n += object.keys[key].required;
    }
  }
  return n;
}

bool Program::may_close(const ObjectNode& object, const Seen& seen) const {
  return seen.n >= object.n_min && n_missing(object, seen) == 0;
}

bool Program::may_add(const ObjectNode& object, const Seen& seen, uint32_t key) const {
  if (key != kNone && seen.has(key)) return false;
  if (object.n_max == kNoMax) return true;
  const bool is_missing = key != kNone && object.keys[key].required;
  return seen.n + n_missing(object, seen) + (is_missing ? 0 : 1) <= object.n_max;
}

bool Program::may_add_any(const ObjectNode& object, const Seen& seen) const {
  if (!object.regions.empty() && may_add(object, seen, kNone)) return true;
  for (uint32_t key = 0; key < object.keys.size(); ++key) {
    if (may_add(object, seen, key)) return true;
  }
  return false;
}

// The opening quote was read.
void Program::begin_key(const Frame& frame, Moves& moves) {
  const ObjectNode& object = objects[frame.id];
  const Seen& seen = seen_[frame.y];
  if (KeyChars{*this, object, seen}.leads_on(kKeyRoot)) {
    moves.push_back({Move::kStay,
                     {.kind = Frame::kObjectKey, .id = frame.id, .x = kKeyRoot, .y = frame.y},
                     {}});
  }
  if (object.regions.empty() || !may_add(object, seen, kNone)) return;
  const uint32_t next = add_seen(object, frame.y, kNone);
  for (const ObjectNode::Region& region : object.regions) {
    moves.push_back({Move::kPush,
                     {.kind = Frame::kString, .x = region.names},
                     {.kind = Frame::kObjectColon, .id = frame.id, .x = region.value, .y = next}});
  }
}

void Program::step_key(const Frame& frame, uint8_t byte, Moves& moves) {
  const ObjectNode& object = objects[frame.id];
  KeyChars chars{*this, object, seen_[frame.y]};
  const StringStep step = step_string(chars, frame.x, frame.z, byte);
  if (step.result == StringStep::kDead) return;
  Frame next = frame;
  if (step.result == StringStep::kInside) {
    next.x = step.state;
    next.z = step.escape;
  } else {
    const uint32_t key = object.tree[frame.x].key_begin;
    next = {.kind = Frame::kObjectColon,
            .id = frame.id,
            .x = object.keys[key].value,
            .y = add_seen(object, frame.y, key)};
  }
  moves.push_back({Move::kStay, next, {}});
}

void Program::step_object(const Frame& frame, uint8_t byte, Moves& moves) {
  if (skip_white(frame, byte, moves)) return;
  const ObjectNode& object = objects[frame.id];
  if (frame.kind == Frame::kObjectColon) {
    if (byte != ':') return;
    moves.push_back({Move::kPush,
                     {.kind = Frame::kValue, .id = frame.x},
                     {.kind = Frame::kObjectNext, .id = frame.id, .y = frame.y}});
    return;
  }
  switch (byte) {
    case '"':
      if (frame.kind != Frame::kObjectNext) begin_key(frame, moves);
      return;
    case ',':
      if (frame.kind != Frame::kObjectNext || !may_add_any(object, seen_[frame.y])) return;
      moves.push_back(
          {Move::kStay, {.kind = Frame::kObjectComma, .id = frame.id, .y = frame.y}, {}});
      return;
    case '}':
      if (frame.kind == Frame::kObjectComma || !may_close(object, seen_[frame.y])) return;
      moves.push_back({Move::kPop, {}, {}});
      return;
    default:
      return;
  }
}

// Adds the moves into item x, which may begin with `byte` (at once after the bracket) or not yet.
void Program::begin_item(const Frame& frame, uint8_t byte, Moves& moves) {
  const ArrayNode& array = arrays[frame.id];
  const uint32_t n = frame.x;
  if (n >= array.n_max) return;
  const bool in_prefix = n < array.prefix.size();
  // More items than matter are not counted.
  uint32_t n_next = n + 1;
  if (array.n_max == kNoMax) {
    const auto n_prefix = static_cast<uint32_t>(array.prefix.size());
    n_next = std::min(n_next, std::max(n_prefix, array.n_min));
  }
  const auto begin = [&](uint32_t value, uint32_t n_contained) {
    if (value == kNone) return;
    const Frame below{.kind = Frame::kArrayNext, .id = frame.id, .x = n_next, .y = n_contained};
    const Frame item{.kind = Frame::kValue, .id = value};
    if (byte == ',') {
      moves.push_back({Move::kPush, item, below});
      return;
    }
    Moves inner;
    step_value(item, byte, inner);
    for (const Move& move : inner) moves.push_back({Move::kPush, move.top, below});
  };
  const uint32_t n_wanted = array.n_contains_min - std::min(array.n_contains_min, frame.y);
  if (array.n_max == kNoMax || array.n_max - n > n_wanted || n_wanted == 0) {
    begin(in_prefix ? array.prefix[n] : array.items, frame.y);
  }
  if (n_wanted > 0) begin(in_prefix ? array.contains_prefix[n] : array.contains, frame.y + 1);
}

void Program::step_array(const Frame& frame, uint8_t byte, Moves& moves) {
  if (skip_white(frame, byte, moves)) return;
  const ArrayNode& array = arrays[frame.id];
  if (byte == ']') {
    if (frame.x >= array.n_min && frame.y >= array.n_contains_min) {
      moves.push_back({Move::kPop, {}, {}});
    }
    return;
  }
  const bool begins = frame.kind == Frame::kArrayOpen ? byte != ',' : byte == ',';
  if (begins) begin_item(frame, byte, moves);
}

}  // namespace maru::grammar
