#include "importer/arrange.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "importer/family.h"

namespace maru::importer {
namespace {

// Source: the order in which programs of the llama kind expect the rows of a head: pairs that turn
// together side by side.
void pair_halves(Draft& draft, NewTensor& tensor, uint64_t n_head) {
  if (!draft.family.permute_rope) return;
  const uint64_t n = matrix_rows(tensor);
  if (n_head == 0 || n % (2 * n_head) != 0) {
    return draft.fail(fmt::format("tensor '{}' of shape {} does not divide among {} heads",
                                  tensor.sources.front()->name,
                                  tensor.sources.front()->shape_text(), n_head));
  }
  const uint64_t half = n / n_head / 2;
  std::vector<uint32_t> order(n);
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t head = i / (2 * half);
    const uint64_t in_head = i % (2 * half);
    order[i] = static_cast<uint32_t>(head * 2 * half + in_head % 2 * half + in_head / 2);
  }
  take_rows(draft, tensor, order);
}

void half_of(Draft& draft, NewTensor& tensor, uint64_t which) {
  const uint64_t n = matrix_rows(tensor);
  if (n % 2 != 0) {
    return draft.fail(fmt::format("tensor '{}' of shape {} does not divide in two",
                                  tensor.sources.front()->name,
                                  tensor.sources.front()->shape_text()));
  }
  take_rows(draft, tensor, row_range(which * n / 2, (which + 1) * n / 2));
}

}  // namespace

void norm(Draft& draft, NewTensor& tensor) {
  const bool is_weight = tensor.name.ends_with(".weight");
  if (draft.family.norms_plus_one && is_weight) tensor.change = Change::kPlusOne;
}

void rope_q(Draft& draft, NewTensor& tensor) { pair_halves(draft, tensor, heads(draft).n_head); }
void rope_k(Draft& draft, NewTensor& tensor) { pair_halves(draft, tensor, heads(draft).n_head_kv); }
void first_half(Draft& draft, NewTensor& tensor) { half_of(draft, tensor, 0); }
void second_half(Draft& draft, NewTensor& tensor) { half_of(draft, tensor, 1); }

void squeeze(Draft&, NewTensor& tensor) {
  const auto kept = std::remove(tensor.dims.begin() + 1, tensor.dims.end(), 1u);
  tensor.dims.erase(kept, tensor.dims.end());
}

void one_each(Draft&, NewTensor& tensor) {
  tensor.dims.insert(tensor.dims.begin(), 1);
  tensor.row = [source = tensor.sources.front()](uint64_t row) { return RowRef{source, row, 1}; };
}

void minus_exp(Draft&, NewTensor& tensor) { tensor.change = Change::kMinusExp; }

void take_rows(Draft& draft, NewTensor& tensor, const std::vector<uint32_t>& order) {
  const SourceTensor& first = *tensor.sources.front();
  const uint64_t n_rows = matrix_rows(tensor);
  if (order.empty() || *std::ranges::max_element(order) >= n_rows) {
    return draft.fail(fmt::format("tensor '{}' of shape {} has too few rows for '{}'", first.name,
                                  first.shape_text(), tensor.name));
  }
  if (first.shape.size() < 2) {
    tensor.columns = order;
    tensor.n_source_cols = n_rows;
    tensor.dims[0] = order.size();
    return;
  }
  const uint64_t n_cols = first.n_cols();
  const uint64_t n_matrices = first.n_rows() / n_rows;  // in each source
  tensor.dims[1] = order.size();
  tensor.row = [sources = tensor.sources, order, n_rows, n_cols, n_matrices](uint64_t row) {
    const uint64_t matrix = row / order.size();
    const uint64_t source_row = matrix % n_matrices * n_rows + order[row % order.size()];
    return RowRef{sources[matrix / n_matrices], source_row * n_cols, 1};
  };
}

std::vector<uint32_t> row_range(uint64_t begin, uint64_t end, uint64_t step) {
  std::vector<uint32_t> order;
  for (uint64_t i = begin; i < end; i += step) order.push_back(static_cast<uint32_t>(i));
  return order;
}

uint64_t matrix_rows(const NewTensor& tensor) {
  const std::vector<size_t>& shape = tensor.sources.front()->shape;
  return shape.size() < 2 ? tensor.sources.front()->n_elements() : shape[shape.size() - 2];
}

Heads heads(Draft& draft) {
  HfConfig& config = draft.config;
  Heads h;
  h.n_head = config.count({"num_attention_heads", "n_head"});
  h.n_head_kv = config.count_or({"num_key_value_heads"}, h.n_head);
  const uint64_t d_model = config.count({"hidden_size", "n_embd"});
  if (h.n_head == 0 || h.n_head > kHeadsMax || h.n_head_kv == 0 || h.n_head_kv > kHeadsMax) {
    draft.fail(
        fmt::format("config.json names {} attention heads and {} of keys and values; "
                    "expected 1 to {}",
                    h.n_head, h.n_head_kv, kHeadsMax));
    return {};
  }
  h.d_head = config.count_or({"head_dim"}, d_model / h.n_head);
  return h;
}

}  // namespace maru::importer
