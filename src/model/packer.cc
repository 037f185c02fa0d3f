#include "model/packer.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>

#include "base/check.h"
#include "kernels/planes.h"
#include "tensor/dequantize.h"

namespace maru::model {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kGroupRows = 16;
// Of the file, at a time and worker: still in the L2 cache when they are packed.
constexpr size_t kChunkBytes = size_t{128} << 10;

std::string shape_text(const gguf::TensorView& view) {
  return fmt::format("[{}, {}]", view.n_rows(), view.n_cols());
}

// Packs rows of a type without a kernel as float32, a group at a time.
void pack_as_floats(kernels::PackGroups pack_groups, const kernels::PackedMatrix& packed,
                    tensor::DType dtype, const std::byte* rows, std::byte* out) {
  const size_t row_bytes = packed.n_cols / tensor::dtype_info(dtype).block_elements *
                           tensor::dtype_info(dtype).block_bytes;
  std::vector<float> values(kGroupRows * packed.n_cols);
  for (size_t first = 0; first < packed.n_rows; first += kGroupRows) {
    kernels::PackedMatrix group = packed;
    group.n_rows = std::min(kGroupRows, packed.n_rows - first);
    tensor::dequantize(dtype, rows + first * row_bytes, group.n_rows * packed.n_cols,
                       values.data());
    pack_groups(group, reinterpret_cast<const std::byte*>(values.data()), 0, 1,
                out + first / kGroupRows * packed.group_bytes);
  }
}

// Groups [begin, end) of a matrix in planes, from the packed ones.
void split_groups(const kernels::PlaneTable& table, const std::byte* groups,
                  const kernels::PackedMatrix& to, size_t begin, size_t end, OutputPlanes& planes) {
  for (size_t g = begin; g < end; ++g, groups += to.group_bytes + to.low_group_bytes) {
    auto* high = const_cast<std::byte*>(to.data + g * to.group_bytes);
    auto* low = const_cast<std::byte*>(to.low + g * to.low_group_bytes);
    table.split(to.n_cols, groups, high, low);
    table.rests(to.n_cols, high, low, planes.weights.data(), planes.rests.data() + g * kGroupRows);
  }
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
  items_.push_back({view, view.bytes.data() + rows.begin * view.row_bytes(), &matrix, n_bytes_});
  n_bytes_ += (matrix.n_bytes() + kAlignment - 1) / kAlignment * kAlignment;
  n_params_ += uint64_t{rows.n_rows} * n_cols;
  return {};
}

void Packer::keep_in_planes(OutputPlanes& planes) {
  Item& item = items_.back();
  kernels::PackedMatrix& packed = item.matrix->packed;
  CHECK(packed.dtype == tensor::DType::kQ8_0);
  const size_t n_bytes = packed.n_bytes();
  packed.group_bytes = kernels::high_plane_bytes(packed.n_cols);
  item.planes = &planes;
  planes.high = *item.matrix;
  planes.high.packed.plane = kernels::Plane::kHigh;
  packed.plane = kernels::Plane::kBoth;
  packed.low_group_bytes = kernels::low_plane_bytes(packed.n_cols);
  CHECK(packed.n_bytes() == n_bytes);  // the memory is added up already
  planes.weights.assign(packed.n_cols, kernels::kColumnWeightMax);
  planes.inverse = kernels::inverse_weights(planes.weights);
  planes.rests.resize(packed.n_groups() * kGroupRows);
}

std::vector<Packer::Chunk> Packer::cut_chunks() const {
  std::vector<Chunk> chunks;
  for (const Item& item : items_) {
    const size_t n_groups = item.matrix->packed.n_groups();
    const size_t step = std::max<size_t>(1, kChunkBytes / (kGroupRows * item.view.row_bytes()));
    for (size_t begin = 0; begin < n_groups; begin += step) {
      chunks.push_back({&item, begin, std::min(begin + step, n_groups)});
    }
  }
  return chunks;
}

Result<void> Packer::pack_chunk(const Chunk& chunk, const kernels::KernelTable& kernels,
                                Arena& arena, Scratch& scratch) const {
  const Item& item = *chunk.item;
  const size_t row_bytes = item.view.row_bytes();
  const size_t first_row = chunk.begin * kGroupRows;
  kernels::PackedMatrix part = item.matrix->packed;
  part.n_rows = std::min(chunk.end * kGroupRows, part.n_rows) - first_row;
  const size_t n_bytes = part.n_rows * row_bytes;
  std::vector<std::byte>& rows = scratch.rows;
  if (rows.size() < n_bytes) rows.resize(n_bytes);
  MARU_TRY_VOID(file_.read(item.rows + first_row * row_bytes, std::span(rows).first(n_bytes)));
  if (item.planes != nullptr) {
    part.group_bytes += part.low_group_bytes;
    scratch.groups.resize(part.group_bytes * part.n_groups());
    kernels.pack_groups(part, rows.data(), 0, part.n_groups(), scratch.groups.data());
    split_groups(kernels.planes, scratch.groups.data(), item.matrix->packed, chunk.begin, chunk.end,
                 *item.planes);
    return {};
  }
  std::byte* out = arena.data() + item.arena_offset + chunk.begin * part.group_bytes;
  if (part.dtype == item.view.dtype) {
    kernels.pack_groups(part, rows.data(), 0, part.n_groups(), out);
  } else {
    pack_as_floats(kernels.pack_groups, part, item.view.dtype, rows.data(), out);
  }
  return {};
}

Result<Arena> Packer::pack(const LoadOptions& options) {
  MARU_TRY(arena, Arena::create(n_bytes_));
  for (const Item& item : items_) {
    const std::byte* data = arena.data() + item.arena_offset;
    kernels::PackedMatrix& packed = item.matrix->packed;
    packed.data = data;
    if (item.planes == nullptr) continue;
    item.planes->high.packed.data = data;
    packed.low = data + item.planes->high.n_bytes();
  }
  struct Worker {
    Scratch scratch;
    std::optional<Error> error;  // the first
  };
  std::vector<Worker> workers(options.pool->n_threads());
  std::atomic<uint64_t> n_packed = 0;
  const std::vector<Chunk> chunks = cut_chunks();
  options.pool->parallel_for(chunks.size(), [&](size_t i, size_t w) {
    Worker& worker = workers[w];
    if (worker.error || (options.stop != nullptr && *options.stop)) return;
    auto packed = pack_chunk(chunks[i], *options.kernels, arena, worker.scratch);
    if (!packed.ok()) worker.error = std::move(packed).error();
    const Chunk& chunk = chunks[i];
    const kernels::PackedMatrix& packed_to = chunk.item->matrix->packed;
    n_packed += (chunk.end - chunk.begin) * (packed_to.group_bytes + packed_to.low_group_bytes);
    // Worker 0 is the loading thread.
    if (w == 0 && options.on_progress) options.on_progress(n_packed, n_bytes_);
  });
  for (Worker& worker : workers) {
    if (worker.error) return *std::move(worker.error);
  }
  if (options.stop != nullptr && *options.stop) {
    return Error{ErrorCode::kCancelled, "loading was stopped", {}};
  }
  if (options.on_progress) options.on_progress(n_bytes_, n_bytes_);
  return arena;
}

}  // namespace maru::model
