#include "importer/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "gguf/file.h"
#include "importer/values.h"

namespace maru::importer {
namespace {

using tensor::DType;

constexpr size_t kSlabBytes = 4 << 20;  // made between two writes, at least one row

// Whether the row lies inside its tensor.
bool fits(const RowRef& row, uint64_t n_cols) {
  if (row.tensor == nullptr) return false;
  const uint64_t n = row.tensor->n_elements();
  return row.first < n && (n_cols == 0 || (n_cols - 1) <= (n - 1 - row.first) / row.stride);
}

Error misfit(const NewTensor& tensor, const RowRef& row) {
  const SourceTensor* source = row.tensor;
  return Error::corrupt(fmt::format("tensor '{}' of shape {} is too small for '{}'",
                                    source == nullptr ? "?" : source->name,
                                    source == nullptr ? "[]" : source->shape_text(), tensor.name));
}

float changed(float value, Change change) {
  switch (change) {
    case Change::kPlusOne:
      return value + 1.0f;
    case Change::kMinusExp:
      return -std::exp(value);
    case Change::kNone:
      break;
  }
  return value;
}

// Makes the rows of one tensor.
class RowMaker {
 public:
  explicit RowMaker(const NewTensor& tensor)
      : tensor_(tensor),
        n_cols_(static_cast<size_t>(tensor.n_cols())),
        row_bytes_(static_cast<size_t>(tensor.n_bytes() / tensor.n_rows())),
        values_(tensor.columns.empty() ? n_cols_ : static_cast<size_t>(tensor.n_source_cols)) {}

  size_t row_bytes() const { return row_bytes_; }

  // Errors: kCorrupt.
  Result<void> make(uint64_t row, std::byte* out) {
    if (!tensor_.values.empty()) {
      encode_values(tensor_.dtype, tensor_.values.data() + row * n_cols_, n_cols_, out);
      return {};
    }
    const RowRef from = tensor_.row(row);
    if (tensor_.is_raw) return copy_row(from, out);
    if (tensor_.scales != nullptr) return make_mxfp4(from, out);
    if (!fits(from, values_.size())) return misfit(tensor_, from);
    const size_t size = row_bytes_ / n_cols_;
    const bool is_copy = from.stride == 1 && tensor_.columns.empty() &&
                         tensor_.change == Change::kNone &&
                         holds_exactly(from.tensor->type, tensor_.dtype);
    if (is_copy) {
      std::memcpy(out, from.tensor->bytes.data() + from.first * size, row_bytes_);
      return {};
    }
    decode_values(*from.tensor, from.first, from.stride, values_);
    std::vector<float>& out_values = tensor_.columns.empty() ? values_ : picked_;
    picked_.clear();
    for (const uint32_t column : tensor_.columns) picked_.push_back(values_[column]);
    for (float& value : out_values) value = changed(value, tensor_.change);
    encode_values(tensor_.dtype, out_values.data(), n_cols_, out);
    return {};
  }

 private:
  Result<void> copy_row(const RowRef& from, std::byte* out) {
    const size_t n = from.tensor == nullptr ? 0 : from.tensor->bytes.size();
    if (from.first > n || n - from.first < row_bytes_) return misfit(tensor_, from);
    std::memcpy(out, from.tensor->bytes.data() + from.first, row_bytes_);
    return {};
  }

  // The source holds value 2i in the low half of byte i; GGUF's block holds value i there, and
  // value i + 16 in the high one, behind the scale.
  Result<void> make_mxfp4(const RowRef& from, std::byte* out) {
    constexpr size_t kHalf = 16;
    const size_t n_blocks = n_cols_ / (2 * kHalf);
    const uint64_t first_block = from.first / kHalf;
    if (from.first + n_blocks * kHalf > from.tensor->bytes.size() ||
        first_block + n_blocks > tensor_.scales->bytes.size()) {
      return misfit(tensor_, from);
    }
    for (size_t b = 0; b < n_blocks; ++b, out += kHalf + 1) {
      const std::byte* nibbles = from.tensor->bytes.data() + from.first + b * kHalf;
      const auto value = [nibbles](size_t i) {
        return (nibbles[i / 2] >> (i % 2 == 0 ? 0 : 4)) & std::byte{15};
      };
      out[0] = tensor_.scales->bytes[first_block + b];
      for (size_t i = 0; i < kHalf; ++i) out[1 + i] = value(i) | value(i + kHalf) << 4;
    }
    return {};
  }

  const NewTensor& tensor_;
  size_t n_cols_;
  size_t row_bytes_;
  std::vector<float> values_;  // of the source's row
  std::vector<float> picked_;  // its columns, where only some are asked for, or in another order
};

}  // namespace

uint64_t NewTensor::n_rows() const {
  uint64_t n = 1;
  for (size_t i = 1; i < dims.size(); ++i) n *= dims[i];
  return n;
}

uint64_t NewTensor::n_bytes() const {
  const tensor::DTypeInfo& info = tensor::dtype_info(dtype);
  return n_cols() / info.block_elements * info.block_bytes * n_rows();
}

uint64_t plan_bytes(const Plan& plan) {
  uint64_t n = 0;
  for (const NewTensor& tensor : plan.tensors) {
    n += tensor.n_bytes() + gguf::Writer::padding_after(tensor.n_bytes());
  }
  return n;
}

Result<void> write_plan(const Plan& plan, const Weights& weights, const PlanSink& sink) {
  constexpr std::array<std::byte, gguf::kAlignmentDefault> kZeros{};
  gguf::Writer writer = plan.metadata;
  for (const NewTensor& tensor : plan.tensors) {
    writer.declare_tensor(tensor.name, tensor.dtype, tensor.dims);
  }
  const std::string header = writer.header();
  MARU_TRY_VOID(sink.write(std::as_bytes(std::span(header))));
  const uint64_t total = plan_bytes(plan);
  uint64_t done = 0;
  std::vector<std::byte> slab;
  for (const NewTensor& tensor : plan.tensors) {
    RowMaker maker(tensor);
    const size_t n_slab = std::max<size_t>(kSlabBytes / maker.row_bytes(), 1);
    for (uint64_t row = 0; row < tensor.n_rows();) {
      const auto n = static_cast<size_t>(std::min<uint64_t>(n_slab, tensor.n_rows() - row));
      slab.resize(n * maker.row_bytes());
      for (size_t i = 0; i < n; ++i) {
        MARU_TRY_VOID(maker.make(row + i, slab.data() + i * maker.row_bytes()));
      }
      MARU_TRY_VOID(sink.write(slab));
      row += n;
      done += slab.size();
      sink.progress(done, total);
    }
    MARU_TRY_VOID(
        sink.write(std::span(kZeros).first(gguf::Writer::padding_after(tensor.n_bytes()))));
    for (const SourceTensor* source : tensor.sources) weights.drop(*source);
  }
  return {};
}

}  // namespace maru::importer
