// grammar/program.h - a compiled grammar: what a stack frame can be and what one byte does to it.
//
// A frame is a place in a value, an object, an array, a string, a regular part or a rule. JSON's
// frames are kept as JSON: an object's frame knows which of its keys were seen, so that keys come
// in any order and none comes twice, without a state for every order. schema/ and gbnf.cc make
// programs; stacks.h runs them.
//
// Threads: one owner: rows of terms and sets of seen keys are made while it is used.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "grammar/budget.h"
#include "grammar/terms.h"

namespace maru::grammar {

// White space between two tokens of a JSON text, in bytes. Generation must end, so that there is a
// bound; an indented text needs its depth times its indentation.
inline constexpr uint32_t kWhitespaceMax = 128;
inline constexpr uint32_t kNone = UINT32_MAX;

struct Frame {
  enum Kind : uint8_t {
    kTerm,    // a regular part. x: term
    kString,  // inside of a JSON string. x: term of the characters to come, y: escape
    kRule,    // takes no byte itself. id: state of a rule
    kValue,   // before a JSON value. id: value
    // id: object, y: seen keys
    kObjectOpen,   // after {
    kObjectComma,  // after a comma
    kObjectKey,    // inside of a declared key. x: place in the tree of keys, z: escape
    kObjectColon,  // before the colon. x: value
    kObjectNext,   // after a member
    // id: array, x: items so far, y: of them, those counted for `contains`
    kArrayOpen,
    kArrayNext,
  };
  Kind kind = kTerm;
  uint8_t n_white = 0;  // bytes of white space just read
  uint32_t id = 0;
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t z = 0;
  bool operator==(const Frame&) const = default;
};

// A value of any of several types.
struct ValueNode {
  TermId scalar = kNever;  // numbers, true, false, null, as written
  TermId string = kNever;  // of the characters between the quotes
  std::vector<uint32_t> objects;
  std::vector<uint32_t> arrays;
};

struct ObjectKey {
  std::string name;
  uint32_t value = 0;
  bool required = false;
  std::vector<uint32_t> needs;  // other keys that must be there where this one is
};

struct ObjectNode {
  // Other keys: which, and with what value.
  struct Region {
    TermId names;
    uint32_t value;
  };
  struct TreeNode {
    uint8_t byte = 0;
    uint32_t first_child = 0;
    uint32_t n_children = 0;
    uint32_t key_begin = 0;  // the keys that begin so; the first of them ends here if `ends`
    uint32_t key_end = 0;
    bool ends = false;
  };
  std::vector<ObjectKey> keys = {};  // sorted by name
  std::vector<TreeNode> tree = {};   // [1] is the root; 0 is nowhere
  std::vector<Region> regions = {};  // no name belongs to two, or is a key
  uint32_t n_min = 0;
  uint32_t n_max = kNoMax;

  void make_tree();
};

struct ArrayNode {
  std::vector<uint32_t> prefix = {};
  uint32_t items = kNone;  // of what follows the prefix; none: nothing may
  uint32_t n_min = 0;
  uint32_t n_max = kNoMax;
  uint32_t contains =
      kNone;  // items that are both: one for each of the prefix, then one for `items`
  std::vector<uint32_t> contains_prefix = {};
  uint32_t n_contains_min = 0;
};

// A state of a rule: it may end here, or go through a regular part, a rule or a JSON value to
// another state.
struct RuleState {
  struct Edge {
    Frame part;  // of kTerm, kRule (its first state) or kValue
    uint32_t next;
  };
  std::vector<Edge> edges;
  bool ends = false;
};

// What a byte, or the end of a part, does to a frame.
struct Move {
  enum Kind : uint8_t { kStay, kPush, kPop };
  Kind kind = kPop;
  Frame top = {};    // of kStay and kPush
  Frame below = {};  // of kPush: the frame that goes on when `top` has ended
};
using Moves = std::vector<Move>;

class Program {
 public:
  Program();

  // Adds what reading the byte makes of the frame; nothing where it can't be read.
  void step(const Frame& frame, uint8_t byte, Moves& moves);
  // Adds what the frame comes to without a byte. True where it also waits for one.
  bool expand(const Frame& frame, Moves& moves);

  Terms& terms() { return terms_; }
  Budget& budget() { return budget_; }

  // One more state, and one more way from a state to another; a term that nothing matches is none.
  uint32_t add_state();
  void add_edge(uint32_t from, const Frame& part, uint32_t next);
  void add_term(uint32_t from, TermId term, uint32_t next);

  Frame root;
  // Whether JSON strings that are not free (keys, enums, patterns) may be spelled with escapes that
  // they don't need. Texts that are checked may; answers may not, so that what is known is forced.
  bool needless_escapes = true;
  std::vector<ValueNode> values;
  std::vector<ObjectNode> objects;
  std::vector<ArrayNode> arrays;
  std::vector<RuleState> rules;

 private:
  // Which keys of an object came, and how many members.
  struct Seen {
    std::vector<uint64_t> keys;
    uint32_t n = 0;
    auto operator<=>(const Seen&) const = default;
    bool has(uint32_t key) const {
      return key / 64 < keys.size() && ((keys[key / 64] >> (key % 64)) & 1) != 0;
    }
  };
  struct KeyChars;

  bool skip_white(const Frame& frame, uint8_t byte, Moves& moves) const;
  void step_value(const Frame& frame, uint8_t byte, Moves& moves);
  void step_string_frame(const Frame& frame, uint8_t byte, Moves& moves);
  void step_object(const Frame& frame, uint8_t byte, Moves& moves);
  void step_key(const Frame& frame, uint8_t byte, Moves& moves);
  void step_array(const Frame& frame, uint8_t byte, Moves& moves);
  void begin_key(const Frame& frame, Moves& moves);
  uint32_t seen_id(Seen seen);
  uint32_t add_seen(const ObjectNode& object, uint32_t seen, uint32_t key);
  uint32_t n_missing(const ObjectNode& object, const Seen& seen) const;
  bool may_close(const ObjectNode& object, const Seen& seen) const;
  bool may_add(const ObjectNode& object, const Seen& seen, uint32_t key) const;
  bool may_add_any(const ObjectNode& object, const Seen& seen) const;
  void begin_item(const Frame& frame, uint8_t byte, Moves& moves);

  Budget budget_;
  Terms terms_;
  std::vector<Seen> seen_;
  std::map<Seen, uint32_t> seen_ids_;
};

}  // namespace maru::grammar
