#include "model/table_row.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.h"
#include "tensor/dequantize.h"

namespace maru::model {

void read_table_row(const gguf::File& file, const gguf::TensorView& table, size_t row, float* x) {
  CHECK(row < table.n_rows());
  const tensor::DTypeInfo& info = tensor::dtype_info(table.dtype);
  std::array<std::byte, 4096> bytes;  // a whole number of blocks at a time
  const size_t n_blocks_most = bytes.size() / info.block_bytes;
  const std::byte* from = table.bytes.data() + row * table.row_bytes();
  for (size_t left = table.n_cols() / info.block_elements; left > 0;) {
    const size_t n = std::min(left, n_blocks_most);
    const size_t n_values = n * info.block_elements;
    const auto part = std::span(bytes).first(n * info.block_bytes);
    if (file.read(from, part).ok()) {
      tensor::dequantize(table.dtype, part.data(), n_values, x);
    } else {
      std::fill_n(x, n_values, std::numeric_limits<float>::quiet_NaN());
    }
    from += part.size();
    x += n_values;
    left -= n;
  }
}

}  // namespace maru::model
