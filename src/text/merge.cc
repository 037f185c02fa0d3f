#include "text/merge.h"

#include <algorithm>

namespace maru::text {

void Merger::push(uint32_t begin, uint32_t n_bytes, TokenId id) {
  const auto index = static_cast<int32_t>(symbols_.size());
  if (index > 0) symbols_.back().right = index;
  symbols_.push_back({begin, n_bytes, id, index - 1, -1});
}

void Merger::look_at(int32_t left, int32_t right, FindMerge find) {
  if (left < 0 || right < 0) return;
  const Symbol& a = symbols_[static_cast<size_t>(left)];
  const Symbol& b = symbols_[static_cast<size_t>(right)];
  if (const auto merge = find(a, b)) {
    heap_.push_back({merge->rank, left, right, a.n_bytes + b.n_bytes, merge->id});
    std::ranges::push_heap(heap_, is_worse);
  }
}

void Merger::run(FindMerge find) {
  heap_.clear();
  for (int32_t i = 1; i < static_cast<int32_t>(symbols_.size()); ++i) look_at(i - 1, i, find);
  while (!heap_.empty()) {
    std::ranges::pop_heap(heap_, is_worse);
    const Candidate best = heap_.back();
    heap_.pop_back();
    ++n_steps_;
    Symbol& left = symbols_[static_cast<size_t>(best.left)];
    Symbol& right = symbols_[static_cast<size_t>(best.right)];
    // Either side was merged meanwhile: that merge put newer candidates into the heap.
    if (left.n_bytes == 0 || right.n_bytes == 0 || left.n_bytes + right.n_bytes != best.n_bytes) {
      continue;
    }
    left.n_bytes = best.n_bytes;
    left.id = best.id;
    left.right = right.right;
    right.n_bytes = 0;
    if (left.right >= 0) symbols_[static_cast<size_t>(left.right)].left = best.left;
    look_at(left.left, best.left, find);
    look_at(best.left, left.right, find);
  }
}

}  // namespace maru::text
