#include "model/quantize_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>

#include "gguf/writer.h"
#include "tensor/dequantize.h"
#include "tensor/quantize.h"

namespace maru::model {
namespace {

using tensor::DType;
using tensor::DTypeInfo;

constexpr std::string_view kFileType = "general.file_type";
constexpr std::string_view kQuantizationVersion = "general.quantization_version";
constexpr uint32_t kQuantizationVersionNow = 2;  // of the blocks of all types since 2023

uint64_t bytes_of(const TensorPlan& plan) {
  const DTypeInfo& info = tensor::dtype_info(plan.to);
  return plan.from.n_elements() / info.block_elements * info.block_bytes;
}

std::string make_header(const gguf::File& file, const QuantizeTarget& target,
                        std::span<const TensorPlan> plans) {
  gguf::Writer writer;
  for (const gguf::Entry& entry : file.metadata().entries()) {
    const bool is_ours = entry.key == kFileType || entry.key == kQuantizationVersion ||
                         entry.key == "general.alignment" || entry.key.starts_with("split.");
    if (!is_ours) writer.copy(entry);
  }
  writer.set_u32(kFileType, target.file_type);
  writer.set_u32(kQuantizationVersion, kQuantizationVersionNow);
  for (const TensorPlan& plan : plans) {
    std::array<uint64_t, gguf::kDimsMax> dims{};
    std::ranges::copy(plan.from.dims, dims.begin());
    writer.declare_tensor(plan.from.name, plan.to, std::span(dims).first(plan.from.n_dims));
  }
  return writer.header();
}

// One tensor, slab by slab.
class Converter {
 public:
  Converter(ThreadPool& pool, const TensorPlan& plan)
      : pool_(pool),
        plan_(plan),
        from_(tensor::dtype_info(plan.from.dtype)),
        to_(tensor::dtype_info(plan.to)),
        scratch_(pool.n_threads() * kQuantizeChunk) {}

  // The blocks of the values [begin, begin + n). Errors: kCorrupt.
  Result<std::span<const std::byte>> blocks_of(uint64_t begin, size_t n) {
    out_.resize(n / to_.block_elements * to_.block_bytes);
    first_bad_ = kNone;
    const size_t n_chunks = (n + kQuantizeChunk - 1) / kQuantizeChunk;
    pool_.parallel_for(n_chunks, [&](size_t chunk, size_t worker) {
      const size_t at = chunk * kQuantizeChunk;
      convert(begin + at, std::min(kQuantizeChunk, n - at), out_.data() + bytes_at(at, to_),
              scratch_.data() + worker * kQuantizeChunk);
    });
    if (first_bad_ == kNone) return std::span<const std::byte>(out_);
    return Error::corrupt(fmt::format(
        "tensor '{}' holds {} in row {}, column {}; weights are finite and at most {:g}",
        plan_.from.name, value_at(first_bad_), first_bad_ / plan_.from.n_cols(),
        first_bad_ % plan_.from.n_cols(), tensor::kQuantizeMagnitudeMax));
  }

 private:
  static constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();

  static size_t bytes_at(uint64_t element, const DTypeInfo& info) {
    return static_cast<size_t>(element / info.block_elements * info.block_bytes);
  }

  float value_at(uint64_t element) const {
    std::array<float, 256> block{};
    const uint64_t begin = element / from_.block_elements * from_.block_elements;
    tensor::dequantize(plan_.from.dtype, plan_.from.bytes.data() + bytes_at(begin, from_),
                       from_.block_elements, block.data());
    return block[element - begin];
  }

  void convert(uint64_t begin, size_t n, std::byte* out, float* values) {
    tensor::dequantize(plan_.from.dtype, plan_.from.bytes.data() + bytes_at(begin, from_), n,
                       values);
    bool good = true;
    for (size_t i = 0; i < n; ++i) {
      good &= std::fabs(values[i]) <= tensor::kQuantizeMagnitudeMax;  // not so for NaN
    }
    if (good) {
      tensor::quantize(plan_.to, values, n, out);
      return;
    }
    const float* bad = std::find_if(values, values + n, [](float value) {
      return !(std::fabs(value) <= tensor::kQuantizeMagnitudeMax);
    });
    const uint64_t found = begin + static_cast<uint64_t>(bad - values);
    uint64_t first = first_bad_;
    while (found < first && !first_bad_.compare_exchange_weak(first, found)) {
    }
  }

  ThreadPool& pool_;
  const TensorPlan& plan_;
  const DTypeInfo& from_;
  const DTypeInfo& to_;
  std::vector<float> scratch_;  // [n_threads, kQuantizeChunk]
  std::vector<std::byte> out_;
  std::atomic<uint64_t> first_bad_{kNone};
};

}  // namespace

uint64_t quantized_bytes(std::span<const TensorPlan> plans) {
  uint64_t n_bytes = 0;
  for (const TensorPlan& plan : plans) {
    n_bytes += bytes_of(plan) + gguf::Writer::padding_after(bytes_of(plan));
  }
  return n_bytes;
}

Result<void> quantize_file(const gguf::File& file, const QuantizeTarget& target,
                           std::span<const TensorPlan> plans, ThreadPool& pool,
                           const QuantizeSink& sink) {
  constexpr std::array<std::byte, gguf::kAlignmentDefault> kZeros{};
  uint64_t total = 0;
  for (const TensorPlan& plan : plans) total += plan.from.n_elements();
  uint64_t done = 0;
  const std::string header = make_header(file, target, plans);
  MARU_TRY_VOID(sink.write(std::as_bytes(std::span(header))));
  for (const TensorPlan& plan : plans) {
    const gguf::TensorView& from = plan.from;
    if (plan.to == from.dtype) {
      MARU_TRY_VOID(sink.write(from.bytes));
      done += from.n_elements();
      sink.progress(done, total);
    } else {
      Converter converter(pool, plan);
      for (uint64_t begin = 0; begin < from.n_elements();) {
        const auto n = static_cast<size_t>(
            std::min<uint64_t>(kQuantizeChunk * kQuantizeSlabChunks, from.n_elements() - begin));
        MARU_TRY(blocks, converter.blocks_of(begin, n));
        MARU_TRY_VOID(sink.write(blocks));
        begin += n;
        done += n;
        sink.progress(done, total);
      }
    }
    MARU_TRY_VOID(sink.write(std::span(kZeros).first(gguf::Writer::padding_after(bytes_of(plan)))));
    file.drop(from);
  }
  return {};
}

}  // namespace maru::model
