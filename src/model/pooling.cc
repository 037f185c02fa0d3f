#include "model/pooling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace maru::model {

std::string_view pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::kNone:
      return "";
    case Pooling::kMean:
      return "mean";
    case Pooling::kCls:
      return "cls";
    case Pooling::kLast:
      return "last";
    case Pooling::kRank:
      return "rank";
  }
  return "";
}

std::optional<Pooling> pooling_from_name(std::string_view name) {
  for (const auto each : {Pooling::kNone, Pooling::kMean, Pooling::kCls, Pooling::kLast}) {
    if (pooling_name(each) == name) return each;
  }
  return std::nullopt;
}

Result<Pooling> read_pooling(const gguf::Metadata& metadata, std::string_view architecture) {
  const std::string key = fmt::format("{}.pooling_type", architecture);
  MARU_TRY(number, metadata.get_u32_or(key, 0));
  if (number > static_cast<uint32_t>(Pooling::kRank)) {
    return Error::unsupported(fmt::format(
        "{} is {}; accepted: 0 (none), 1 (mean), 2 (cls), 3 (last), 4 (rank)", key, number));
  }
  return static_cast<Pooling>(number);
}

void pool_rows(Pooling pooling, std::span<const float> rows, std::span<float> out) {
  const size_t d = out.size();
  CHECK(pooling != Pooling::kNone && pooling != Pooling::kRank);
  CHECK(!rows.empty() && rows.size() % d == 0);
  if (pooling == Pooling::kCls) {
    std::ranges::copy(rows.first(d), out.begin());
    return;
  }
  if (pooling == Pooling::kLast) {
    std::ranges::copy(rows.last(d), out.begin());
    return;
  }
  const size_t n_rows = rows.size() / d;
  for (size_t i = 0; i < d; ++i) {
    double sum = 0;
    for (size_t row = 0; row < n_rows; ++row) sum += rows[row * d + i];
    out[i] = static_cast<float>(sum / static_cast<double>(n_rows));
  }
}

void normalize(std::span<float> vector) {
  double squares = 0;
  for (const float x : vector) squares += double{x} * x;
  if (squares == 0) return;
  const double scale = 1.0 / std::sqrt(squares);
  for (float& x : vector) x = static_cast<float>(x * scale);
}

}  // namespace maru::model
