// model/adapted.cc - the part of Decoder that adds adapters to the products of a stage.
//
// A row's part is made of its own inputs, by products in float32 whose sums have one order: it does
// not depend on what else is in the batch. Rows without an adapter are not touched.
#include <algorithm>

#include "model/decoder.h"

namespace maru::model {

using kernels::Activation;

Result<AdapterId> Decoder::add_adapter(const gguf::File& file, const LoadOptions& options) {
  MARU_TRY(adapter, Adapter::load(file, spec_, weights_, options));
  MARU_TRY_VOID(work_.reserve_low(adapter->rank_max(), adapter->tile_rows_max()));
  adapters_.push_back(std::move(adapter));
  return static_cast<AdapterId>(adapters_.size());
}

void Decoder::begin_adapted(std::initializer_list<const Matrix*> matrices,
                            const std::vector<size_t>* rows) {
  stage_.matrices.clear();
  if (!pass_.has_adapters) return;
  CHECK(matrices.size() <= kLowSlots);
  stage_.matrices = matrices;
  stage_.rows = rows;
  stage_.n_rows = rows == nullptr ? pass_.rows.size() : rows->size();
}

AdapterId Decoder::adapter_of(size_t row) const {
  return pass_.rows[stage_.rows == nullptr ? row : (*stage_.rows)[row]].adapter;
}

const float* Decoder::with_low(const float* x, size_t row, Worker& worker) {
  if (stage_.matrices.empty() || adapter_of(row) == 0) return x;
  const Adapter& adapter = *adapters_[adapter_of(row) - 1];
  const kernels::MatmulTable& matmul = work_.matmul();
  std::byte* out = work_.low_row(row, stage_.n_rows, worker);
  bool has_inputs = false;
  for (const Matrix* matrix : stage_.matrices) {
    if (const LowRank* part = adapter.find(matrix)) {
      const kernels::PackedMatrix& a = part->a.packed;
      if (!has_inputs) matmul.quantize_row(Activation::kF32, x, a.n_cols, worker.low_x);
      has_inputs = true;
      matmul.matmul(a, 0, a.n_groups(), worker.low_x, 0, 1, worker.low, a.n_rows);
      matmul.quantize_row(Activation::kF32, worker.low, a.n_rows, out);
    }
    out += work_.low_stride / kLowSlots;
  }
  return x;
}

void Decoder::add_low(const Tile& tile, float* y, size_t y_stride, Worker& worker) {
  if (stage_.matrices.empty()) return;
  const auto slot = static_cast<size_t>(std::ranges::find(stage_.matrices, tile.matrix) -
                                        stage_.matrices.begin());
  CHECK(slot < stage_.matrices.size());
  const size_t n = tile.n_rows();
  for (size_t begin = 0, end = 0; begin < stage_.n_rows; begin = end) {
    const AdapterId id = adapter_of(begin);
    const size_t most = id == 0 ? stage_.n_rows : std::min(begin + kLowRows, stage_.n_rows);
    for (end = begin + 1; end < most && adapter_of(end) == id; ++end) continue;
    const LowRank* part = id == 0 ? nullptr : adapters_[id - 1]->find(tile.matrix);
    if (part == nullptr) continue;
    kernels::PackedMatrix b = part->b.packed;
    b.data += tile.group_begin * b.group_bytes;
    b.n_rows = n;
    const std::byte* inputs =
        work_.low_row(begin, stage_.n_rows, worker) + slot * (work_.low_stride / kLowSlots);
    work_.matmul().matmul(b, 0, b.n_groups(), inputs, work_.low_stride, end - begin, worker.low, n);
    for (size_t row = begin; row < end; ++row) {
      work_.ops().add_scaled(worker.low + (row - begin) * n, part->scale, y + row * y_stride, n);
    }
  }
}

}  // namespace maru::model
