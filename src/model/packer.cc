#include "model/packer.h"

#include <fmt/format.h>

#include <algorithm>

#include "tensor/dequantize.h"

namespace maru::model {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kGroupRows = 16;
// Groups that one worker packs at a time.
constexpr size_t kChunkGroups = 16;

std::string shape_text(const gguf::TensorView& view) {
  return fmt::format("[{}, {}]", view.n_rows(), view.n_cols());
}

// Packs groups of a type without a kernel as float32, 16 rows at a time.
void pack_as_floats(const gguf::TensorView& view, const std::byte* rows,
                    const kernels::PackedMatrix& packed, size_t group, std::byte* out) {
  const size_t first = group * kGroupRows;
  const size_t n_rows = std::min(kGroupRows, packed.n_rows - first);
  std::vector<float> values(n_rows * packed.n_cols);
  tensor::dequantize(view.dtype, rows + first * view.row_bytes(), values.size(), values.data());
  kernels::PackedMatrix part = packed;
  part.n_rows = n_rows;
  kernels::pack_groups(part, reinterpret_cast<const std::byte*>(values.data()), 0, 1,
                       out + group * packed.group_bytes);
}

}  // namespace

Result<void> Packer::add(std::string_view tensor, RowRange rows, size_t n_cols, Matrix& matrix,
                         bool as_floats) {
  MARU_TRY(view, file_.tensor(tensor));
  if (view.n_cols() != n_cols || view.n_rows() != rows.n_rows_total) {
    return Error::corrupt(fmt::format("tensor '{}' is {}, expected [{}, {}]", tensor,
                                      shape_text(view), rows.n_rows_total, n_cols));
  }
  kernels::PackedMatrix& packed = matrix.packed;
  packed.dtype = view.dtype;
  kernels::PackedShape shape = kernels::packed_shape(view.dtype, n_cols);
  if (shape.group_bytes == 0 || (as_floats && view.dtype != tensor::DType::kF32)) {
    if (!tensor::can_dequantize(view.dtype)) {
      return Error::unsupported(
          fmt::format("tensor '{}' has type {}; accepted: float and quantized weights", tensor,
                      tensor::dtype_info(view.dtype).name));
    }
    packed.dtype = tensor::DType::kF32;
    shape = kernels::packed_shape(packed.dtype, n_cols);
    CHECK(shape.group_bytes > 0);
  }
  packed.n_rows = rows.n_rows;
  packed.n_cols = n_cols;
  packed.group_bytes = shape.group_bytes;
  matrix.activation = shape.activation;
  items_.push_back({view, view.bytes.data() + rows.begin * view.row_bytes(), &matrix, n_bytes_,
                    rows.begin + rows.n_rows == rows.n_rows_total});
  n_bytes_ += (matrix.n_bytes() + kAlignment - 1) / kAlignment * kAlignment;
  n_params_ += uint64_t{rows.n_rows} * n_cols;
  return {};
}

void Packer::pack_item(const Item& item, Arena& arena, ThreadPool& pool) {
  kernels::PackedMatrix& packed = item.matrix->packed;
  std::byte* out = arena.data() + item.arena_offset;
  packed.data = out;
  const size_t n_groups = packed.n_groups();
  const bool direct = packed.dtype == item.view.dtype;
  pool.parallel_for((n_groups + kChunkGroups - 1) / kChunkGroups, [&](size_t chunk, size_t) {
    const size_t begin = chunk * kChunkGroups;
    const size_t end = std::min(begin + kChunkGroups, n_groups);
    if (direct) return kernels::pack_groups(packed, item.rows, begin, end, out);
    for (size_t group = begin; group < end; ++group) {
      pack_as_floats(item.view, item.rows, packed, group, out);
    }
  });
  if (item.last_of_tensor) file_.drop(item.view);
}

Result<Arena> Packer::pack(const LoadOptions& options) {
  MARU_TRY(arena, Arena::create(n_bytes_));
  for (const Item& item : items_) {
    pack_item(item, arena, *options.pool);
    if (options.on_progress) {
      options.on_progress(item.arena_offset + item.matrix->n_bytes(), n_bytes_);
    }
  }
  return arena;
}

}  // namespace maru::model
