#include "model/rank_head.h"

#include <fmt/format.h>

#include <cmath>

#include "model/table_row.h"
#include "tensor/dequantize.h"

namespace maru::model {

Result<RankHead> RankHead::load(const gguf::File& file, size_t d_model) {
  RankHead head;
  if (file.find_tensor("cls.weight") != nullptr) {
    MARU_TRY(dense, read_linear(file, "cls", d_model, d_model));
    head.dense_ = std::move(dense);
  }
  MARU_TRY(out, read_linear(file, "cls.output", 1, d_model));
  head.out_ = std::move(out);
  return head;
}

Result<RankHead::Linear> RankHead::read_linear(const gguf::File& file, const char* name,
                                               size_t n_rows, size_t d_model) {
  const std::string weight_name = fmt::format("{}.weight", name);
  MARU_TRY(weight, file.tensor(weight_name));
  if (weight.n_rows() != n_rows || weight.n_cols() != d_model) {
    return Error::unsupported(
        fmt::format("tensor '{}' is [{}, {}]; a model that ranks has [{}, {}]", weight_name,
                    weight.n_rows(), weight.n_cols(), n_rows, d_model));
  }
  if (!tensor::can_dequantize(weight.dtype)) {
    return Error::unsupported(
        fmt::format("tensor '{}' has type {}; accepted: float and quantized weights", weight_name,
                    tensor::dtype_info(weight.dtype).name));
  }
  Linear linear;
  linear.weight.resize(n_rows * d_model);
  linear.bias.assign(n_rows, 0.0f);
  for (size_t row = 0; row < n_rows; ++row) {
    read_table_row(file, weight, row, linear.weight.data() + row * d_model);
  }
  const std::string bias_name = fmt::format("{}.bias", name);
  if (file.find_tensor(bias_name) == nullptr) return linear;
  MARU_TRY(bias, file.tensor(bias_name));
  if (bias.n_cols() != n_rows || bias.n_rows() != 1 || !tensor::can_dequantize(bias.dtype)) {
    return Error::corrupt(fmt::format("tensor '{}' must have {} values", bias_name, n_rows));
  }
  read_table_row(file, bias, 0, linear.bias.data());
  return linear;
}

double RankHead::row_product(const Linear& linear, size_t row, std::span<const float> x) {
  const float* weight = linear.weight.data() + row * x.size();
  double sum = linear.bias[row];
  for (size_t i = 0; i < x.size(); ++i) sum += double{weight[i]} * x[i];
  return sum;
}

float RankHead::score(std::span<const float> x) const {
  if (dense_.weight.empty()) return static_cast<float>(row_product(out_, 0, x));
  std::vector<float> hidden(x.size());
  for (size_t row = 0; row < hidden.size(); ++row) {
    hidden[row] = static_cast<float>(std::tanh(row_product(dense_, row, x)));
  }
  return static_cast<float>(row_product(out_, 0, hidden));
}

}  // namespace maru::model
