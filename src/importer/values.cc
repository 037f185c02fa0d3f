#include "importer/values.h"

#include <cstring>

#include "base/check.h"
#include "tensor/half.h"

namespace maru::importer {
namespace {

using tensor::DType;

template <class T, class Convert>
void decode(const std::byte* from, uint64_t stride, std::span<float> out, Convert convert) {
  for (float& value : out) {
    value = convert(tensor::load<T>(from));
    from += stride * sizeof(T);
  }
}

template <class T, class Convert>
void encode(const float* values, size_t n, std::byte* out, Convert convert) {
  for (size_t i = 0; i < n; ++i) {
    const T value = convert(values[i]);
    std::memcpy(out + i * sizeof(T), &value, sizeof(T));
  }
}

}  // namespace

bool can_decode(SourceType type) {
  return type == SourceType::kF64 || type == SourceType::kF32 || type == SourceType::kF16 ||
         type == SourceType::kBF16;
}

bool holds_exactly(SourceType from, DType to) {
  return kept_type(from) == to && from != SourceType::kF64;
}

std::optional<DType> kept_type(SourceType type) {
  switch (type) {
    case SourceType::kF64:
    case SourceType::kF32:
      return DType::kF32;
    case SourceType::kF16:
      return DType::kF16;
    case SourceType::kBF16:
      return DType::kBF16;
    default:
      return std::nullopt;
  }
}

void decode_values(const SourceTensor& tensor, uint64_t first, uint64_t stride,
                   std::span<float> out) {
  const std::byte* bytes = tensor.bytes.data();
  switch (tensor.type) {
    case SourceType::kF64:
      return decode<double>(bytes + first * 8, stride, out,
                            [](double x) { return static_cast<float>(x); });
    case SourceType::kF32:
      return decode<float>(bytes + first * 4, stride, out, [](float x) { return x; });
    case SourceType::kF16:
      return decode<uint16_t>(bytes + first * 2, stride, out, tensor::f16_to_f32);
    case SourceType::kBF16:
      return decode<uint16_t>(bytes + first * 2, stride, out, tensor::bf16_to_f32);
    default:
      CHECK(false && "not decoded");
  }
}

void encode_values(DType dtype, const float* values, size_t n, std::byte* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, values, n * sizeof(float));
      return;
    case DType::kF16:
      return encode<uint16_t>(values, n, out, tensor::f32_to_f16);
    case DType::kBF16:
      return encode<uint16_t>(values, n, out, tensor::f32_to_bf16);
    default:
      CHECK(false && "not encoded");
  }
}

}  // namespace maru::importer
