// grammar/stacks.h - all stacks that a text may have led to, as one shared graph.
//
// A node is a frame and the set of nodes that may lie below it. Equal nodes are one, and stacks
// with the same frame on top are joined, so that there are no more tops than there are places in
// the grammar, however ambiguous it is. A Tops is a place in the text: keep it to come back to it.
//
// Threads: one owner.
// Source: graph-structured stacks, Tomita 1985.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "grammar/program.h"

namespace maru::grammar {

// Where a text has led.
struct Tops {
  std::vector<uint32_t> nodes;  // each waits for a byte
  bool ended = false;           // the text may end here
  bool operator==(const Tops&) const = default;
};

class Stacks {
 public:
  // So many places at once, or moves for one byte: a grammar more ambiguous than that is given up.
  static constexpr size_t kTopsMax = 4096;
  static constexpr size_t kMovesMax = 8192;

  explicit Stacks(Program& program) : program_(program) {}

  Tops begin();
  // Where `byte` leads from `tops`; no nodes and not ended where it can't be read.
  void step(std::span<const uint32_t> tops, uint8_t byte, Tops& next);

  const Frame& frame(uint32_t node) const { return nodes_[node].frame; }
  // What is below the node, as if its frame had ended.
  void pop(uint32_t node, Tops& next);
  // False once a limit of this or of the grammar was met; nothing is known then.
  bool ok() const { return !overflow_ && !program_.budget().exhausted(); }

  // Nodes made after the mark are forgotten again.
  size_t mark() const { return nodes_.size(); }
  void forget(size_t mark);
  size_t n_bytes() const;

 private:
  struct Node {
    Frame frame;
    uint32_t below;  // id of a list
  };
  struct Item {
    Frame frame;
    uint32_t below;
  };
  struct List {
    uint32_t begin;
    uint32_t n;
  };

  // Hash table of ids, open addressing; ids leave in the reverse order of their coming.
  class Table {
   public:
    template <class Same>
    uint32_t find(uint64_t hash, Same same) const {
      if (slots_.empty()) return kNone;
      for (size_t i = hash & mask();; i = (i + 1) & mask()) {
        if (slots_[i] == kNone) return kNone;
        if (hashes_[slots_[i]] == hash && same(slots_[i])) return slots_[i];
      }
    }
    void push(uint64_t hash);
    void pop();
    size_t size() const { return hashes_.size(); }
    size_t n_bytes() const { return slots_.capacity() * 4 + hashes_.capacity() * 8; }

   private:
    size_t mask() const { return slots_.size() - 1; }
    void place(uint32_t id);
    std::vector<uint32_t> slots_;
    std::vector<uint64_t> hashes_;  // of each id
  };

  uint32_t node_of(const Frame& frame, uint32_t below);
  uint32_t list_of(std::span<const uint32_t> nodes);
  std::span<const uint32_t> list(uint32_t id) const {
    return std::span(pool_).subspan(lists_[id].begin, lists_[id].n);
  }
  void apply(const Move& move, uint32_t below);
  void close(Tops& next);

  Program& program_;
  std::vector<Node> nodes_;
  std::vector<List> lists_;
  std::vector<uint32_t> pool_;
  std::vector<size_t> lists_at_node_;  // how many lists there were when a node came
  Table node_table_;
  Table list_table_;
  bool overflow_ = false;
  // Scratch.
  Moves moves_;
  std::vector<Item> items_;
  std::vector<Item> resting_;
  bool ended_ = false;
};

}  // namespace maru::grammar
