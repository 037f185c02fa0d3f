// Every OpsTable against double-precision arithmetic and, byte for byte, against the scalar table.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/tables.h"
#include "tensor/half.h"

namespace maru::kernels {
namespace {

using tensor::f16_to_f32;
using tensor::f32_to_f16;

struct NamedOps {
  std::string isa;
  const OpsTable* ops;
};

std::vector<NamedOps> runnable_tables() {
  std::vector<NamedOps> tables = {{"scalar", &kOpsScalar}};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    tables.push_back({"avx2", &kOpsAvx2});
  }
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    tables.push_back({"avx512", &kOpsAvx512});
  }
#endif
  return tables;
}

class Values {
 public:
  explicit Values(uint64_t seed) : rng_(seed) {}
  float one(float scale) { return (2.0f * rng_.uniform() - 1.0f) * scale; }
  std::vector<float> many(size_t n, float scale) {
    std::vector<float> values(n);
    for (float& v : values) v = one(scale);
    return values;
  }
  size_t below(size_t n) { return rng_.below(n); }

 private:
  Rng rng_;
};

// Runs `run` (table -> output floats) on every table and asks for the scalar table's bytes.
void expect_same_bytes(const std::function<std::vector<float>(const OpsTable&)>& run) {
  const std::vector<float> want = run(kOpsScalar);
  for (const NamedOps& table : runnable_tables()) {
    const std::vector<float> got = run(*table.ops);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0) << table.isa;
  }
}

constexpr size_t kSizes[] = {1, 7, 16, 33, 64, 100, 576, 896, 2048};

TEST(Ops, NormsMatchDoubleArithmetic) {
  Values values(1);
  for (const size_t n : kSizes) {
    const auto x = values.many(n, 3.0f), w = values.many(n, 2.0f), b = values.many(n, 1.0f);
    double squares = 0, sum = 0;
    for (const float v : x) squares += double{v} * v, sum += v;
    const double mean = sum / static_cast<double>(n);
    double variance = 0;
    for (const float v : x) variance += (v - mean) * (v - mean);
    const double rms = 1.0 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    const double deviation = 1.0 / std::sqrt(variance / static_cast<double>(n) + 1e-5);
    std::vector<float> y(n);
    kOpsScalar.rms_norm(x.data(), w.data(), y.data(), n, 1e-5f);
    for (size_t i = 0; i < n; ++i) EXPECT_NEAR(y[i], x[i] * rms * w[i], 1e-5);
    if (n == 1) continue;  // a variance of 0 leaves only the rounding of the mean
    kOpsScalar.layer_norm(x.data(), w.data(), b.data(), y.data(), n, 1e-5f);
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(y[i], (x[i] - mean) * deviation * w[i] + b[i], 2e-5) << n;
    }
  }
}

TEST(Ops, ElementwiseMatchesDoubleArithmetic) {
  Values values(2);
  auto gate = values.many(4000, 12.0f);
  const auto up = values.many(4000, 2.0f);
  gate[0] = 0.0f, gate[1] = -100.0f, gate[2] = 100.0f, gate[3] = -87.5f;
  std::vector<float> silu(4000), gelu(4000), gated(4000), erf(4000);
  kOpsScalar.silu_mul(gate.data(), up.data(), silu.data(), 4000);
  kOpsScalar.gelu_mul(gate.data(), up.data(), gelu.data(), 4000);
  kOpsScalar.sigmoid_mul(gate.data(), up.data(), gated.data(), 4000);
  kOpsScalar.gelu_erf(gate.data(), erf.data(), 4000);
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = gate[i];
    const double want_silu = g / (1.0 + std::exp(-g)) * up[i];
    EXPECT_NEAR(silu[i], want_silu, 4e-7 * std::abs(want_silu) + 1e-35) << g;
    const double u = std::sqrt(2.0 / M_PI) * (g + 0.044715 * g * g * g);
    const double want_gelu = 0.5 * g * (1.0 + std::tanh(u)) * up[i];
    const double want_gated = up[i] / (1.0 + std::exp(-g));
    EXPECT_NEAR(gated[i], want_gated, 4e-7 * std::abs(want_gated) + 1e-35) << g;
    EXPECT_NEAR(gelu[i], want_gelu, 4e-6 * std::abs(want_gelu) + 1e-9) << g;
    EXPECT_NEAR(erf[i], 0.5 * g * std::erfc(-g / std::sqrt(2.0)), 2.5e-7 * std::abs(g)) << g;
  }
}

TEST(Ops, RowsOfLogitsMatchDoubleArithmetic) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  Values values(8);
  for (const size_t n : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{1000}}) {
    auto x = values.many(n, 30.0f);
    for (size_t i = 1; i < n; i += 7) x[i] = i % 2 == 0 ? -kInf : std::nanf("");
    const float best = 30.0f, scale = 1.3f;
    const size_t n_blocks = (n + kLogitBlock - 1) / kLogitBlock;
    std::vector<float> maxima(n_blocks), weights(n), sums(n_blocks);
    kOpsScalar.block_max(x.data(), n, maxima.data());
    kOpsScalar.softmax_weights(x.data(), n, best, scale, weights.data());
    kOpsScalar.softmax_sums(x.data(), n, best, scale, sums.data());
    for (size_t b = 0; b < n_blocks; ++b) {
      float want_max = -kInf;
      double want_sum = 0;
      for (size_t i = b * kLogitBlock; i < std::min(n, (b + 1) * kLogitBlock); ++i) {
        const double exponent = (double{x[i]} - best) * scale;
        const double weight = exponent >= -87 ? std::exp(exponent) : 0;  // 0 for NaN
        if (x[i] > want_max) want_max = x[i];
        want_sum += weight;
        EXPECT_NEAR(weights[i], weight, 1e-5 * weight) << x[i];
      }
      EXPECT_EQ(maxima[b], want_max);
      EXPECT_NEAR(sums[b], want_sum, 1e-5 * want_sum);
    }
    expect_same_bytes([&](const OpsTable& ops) {
      std::vector<float> all(n + 2 * n_blocks);
      ops.softmax_weights(x.data(), n, best, scale, all.data());
      ops.block_max(x.data(), n, all.data() + n);
      ops.softmax_sums(x.data(), n, best, scale, all.data() + n + n_blocks);
      return all;
    });
  }
}

TEST(Ops, RopeTurnsPairsAndKeepsTheRest) {
  Values values(3);
  const size_t n_rot = 20, d_head = 32;
  std::vector<float> cos_sin(n_rot);
  for (size_t i = 0; i < n_rot / 2; ++i) {
    const double angle = 0.3 * static_cast<double>(i + 1);
    cos_sin[i] = static_cast<float>(std::cos(angle));
    cos_sin[n_rot / 2 + i] = static_cast<float>(std::sin(angle));
  }
  for (const bool interleaved : {false, true}) {
    const auto x = values.many(d_head, 1.0f);
    auto y = x;
    kOpsScalar.rope(y.data(), n_rot, cos_sin.data(), interleaved);
    for (size_t i = 0; i < n_rot / 2; ++i) {
      const size_t a = interleaved ? 2 * i : i;
      const size_t b = interleaved ? 2 * i + 1 : i + n_rot / 2;
      const double angle = 0.3 * static_cast<double>(i + 1);
      EXPECT_NEAR(y[a], x[a] * std::cos(angle) - x[b] * std::sin(angle), 1e-6);
      EXPECT_NEAR(y[b], x[b] * std::cos(angle) + x[a] * std::sin(angle), 1e-6);
    }
    for (size_t i = n_rot; i < d_head; ++i) EXPECT_EQ(y[i], x[i]);
  }
}

TEST(Ops, HalfPrecisionRoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00) continue;  // infinities and NaN are clamped away
    EXPECT_EQ(f32_to_f16(f16_to_f32(half)), half);
  }
  Values values(4);
  std::vector<float> x = {1e9f, -1e9f, 65519.0f, 65520.0f, 1.00048828125f, 1.0014648f, 5.9e-8f};
  for (int i = 0; i < 5000; ++i) x.push_back(std::ldexp(values.one(1.0f), i % 40 - 26));
  expect_same_bytes([&](const OpsTable& ops) {
    std::vector<uint16_t> y(x.size());
    ops.to_f16(x.data(), y.data(), x.size());
    EXPECT_EQ(y[0], 0x7bff);
    EXPECT_EQ(y[4], 0x3c00);  // a tie goes to the even neighbour
    return std::vector<float>(y.begin(), y.end());
  });
}

TEST(Ops, AllTablesGiveTheSameBytes) {
  Values values(5);
  for (const size_t n : kSizes) {
    const auto x = values.many(n, 5.0f), w = values.many(n, 2.0f), b = values.many(n, 1.0f);
    expect_same_bytes([&](const OpsTable& ops) {
      std::vector<float> out;
      auto y = b;
      const auto keep = [&] { out.insert(out.end(), y.begin(), y.end()); };
      ops.rms_norm(x.data(), w.data(), y.data(), n, 1e-6f), keep();
      ops.layer_norm(x.data(), w.data(), b.data(), y.data(), n, 1e-6f), keep();
      ops.layer_norm(x.data(), w.data(), nullptr, y.data(), n, 1e-6f), keep();
      ops.add_scaled(x.data(), 0.22f, y.data(), n), keep();
      ops.silu_mul(x.data(), w.data(), y.data(), n), keep();
      ops.gelu_mul(x.data(), w.data(), y.data(), n), keep();
      ops.gelu_erf(x.data(), y.data(), n), keep();
      ops.sigmoid_mul(x.data(), w.data(), y.data(), n), keep();
      ops.rope(y.data(), n / 2 * 2, w.data(), n % 2 == 0), keep();
      return out;
    });
  }
}

// Three tokens of both kinds of recurrence against double arithmetic; every table, and every split
// of the columns, gives the same bytes.
TEST(Ops, RecurrenceMatchesDoubleArithmetic) {
  Values values(7);
  const size_t d_k = 24, stride = 100, n_tokens = 3;
  for (const bool delta : {false, true}) {
    for (const size_t n : {1, 16, 33, 64, 100}) {
      const auto q = values.many(n_tokens * d_k, 1.0f), k = values.many(n_tokens * d_k, 0.3f);
      const auto v = values.many(n_tokens * n, 1.0f), first = values.many(d_k * stride, 1.0f);
      std::vector<double> s(first.begin(), first.end()), want;
      const auto step_of = [&](size_t t) {
        const float share = 0.2f * static_cast<float>(t + 1);
        return RecurrenceStep{q.data() + t * d_k, k.data() + t * d_k, d_k, 1 - share, share, delta};
      };
      for (size_t t = 0; t < n_tokens; ++t) {
        const RecurrenceStep step = step_of(t);
        for (size_t c = 0; c < n; ++c) {
          double held = 0, y = 0;
          for (size_t d = 0; d < d_k; ++d) held += step.k[d] * (s[d * stride + c] *= step.decay);
          const double u = step.beta * (v[t * n + c] - (delta ? held : 0.0));
          for (size_t d = 0; d < d_k; ++d) y += step.q[d] * (s[d * stride + c] += step.k[d] * u);
          want.push_back(y);
        }
      }
      const auto run = [&](const OpsTable& ops, size_t split) {
        std::vector<float> state = first, y = v;
        for (size_t t = 0; t < n_tokens; ++t) {
          float* at = y.data() + t * n;
          ops.recur(step_of(t), at, state.data(), stride, split, at);
          ops.recur(step_of(t), at + split, state.data() + split, stride, n - split, at + split);
        }
        y.insert(y.end(), state.begin(), state.end());
        return y;
      };
      const auto got = run(kOpsScalar, n);
      for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-4) << i;
      for (size_t d = 0; d < d_k; ++d) {
        for (size_t c = n; c < stride; ++c) {  // what is beside the columns stays
          ASSERT_EQ(got[n_tokens * n + d * stride + c], first[d * stride + c]);
        }
      }
      expect_same_bytes([&](const OpsTable& ops) { return run(ops, n); });
      expect_same_bytes(
          [&](const OpsTable& ops) { return &ops == &kOpsScalar ? got : run(ops, n / 3); });
    }
  }
}

// One head's cache of n_spans spans and the queries over it.
struct AttentionCase {
  KvShape shape;
  size_t n_q;
  size_t n_spans;
  float softcap;
  std::vector<uint16_t> k, v;
  std::vector<float> q;
  std::vector<KeyRange> keys;  // [n_spans, n_q]

  AttentionCase(Values& values, KvShape kv_shape, size_t queries, size_t spans, float cap)
      : shape(kv_shape), n_q(queries), n_spans(spans), softcap(cap) {
    const size_t n_blocks = spans * kSpanBlocks;
    for (size_t i = 0; i < n_blocks * shape.k_values(); ++i) k.push_back(f32_to_f16(values.one(1)));
    for (size_t i = 0; i < n_blocks * shape.v_values(); ++i) v.push_back(f32_to_f16(values.one(2)));
    q = values.many(n_q * shape.d_k, 1.0f);
    for (size_t i = 0; i < spans * n_q; ++i) {
      const size_t first = values.below(3) == 0 ? values.below(kSpanTokens) : 0;
      // Mostly few keys: blocks that nobody sees are then common.
      const size_t most = values.below(2) == 0 ? kSpanTokens : std::min(kSpanTokens, first + 40);
      keys.push_back(range(first, first + values.below(most + 1 - first)));
    }
    for (size_t r = 0; r < n_q; ++r) keys[r] = range(0, 1 + values.below(kSpanTokens));
  }

  static KeyRange range(size_t first, size_t last) {
    return {static_cast<uint16_t>(first), static_cast<uint16_t>(last)};
  }

  // Blocks that no query sees are null.
  KvSpan span(size_t s) const {
    size_t first = kSpanTokens, last = 0;
    for (size_t r = 0; r < n_q; ++r) {
      const KeyRange& seen = keys[s * n_q + r];
      if (seen.first >= seen.last) continue;
      first = std::min<size_t>(first, seen.first);
      last = std::max<size_t>(last, seen.last);
    }
    KvSpan blocks;
    for (size_t b = first / kKvTokens; b * kKvTokens < last; ++b) {
      blocks.k[b] = k.data() + (s * kSpanBlocks + b) * shape.k_values();
      blocks.v[b] = v.data() + (s * kSpanBlocks + b) * shape.v_values();
    }
    if (s + 1 < n_spans) blocks.next = k.data() + (s + 1) * kSpanBlocks * shape.k_values();
    return blocks;
  }

  // [n_q, v_stride] weighted means.
  std::vector<float> run(const OpsTable& ops) const {
    const size_t stride = shape.v_stride();
    std::vector<float> out(n_q * stride, 0.0f), part(n_q * stride);
    std::vector<float> max(n_q, -std::numeric_limits<float>::infinity()), sum(n_q, 0.0f);
    std::vector<float> part_max(n_q), part_sum(n_q);
    for (size_t s = 0; s < n_spans; ++s) {
      ops.attention_span(q.data(), keys.data() + s * n_q, n_q, shape, span(s), softcap, part.data(),
                         part_max.data(), part_sum.data());
      ops.attention_merge(part.data(), part_max.data(), part_sum.data(), n_q, stride, out.data(),
                          max.data(), sum.data());
    }
    for (size_t i = 0; i < out.size(); ++i) out[i] /= sum[i / stride];
    return out;
  }

  std::vector<double> truth() const {
    const size_t stride = shape.v_stride();
    std::vector<double> out(n_q * stride, 0.0);
    for (size_t r = 0; r < n_q; ++r) {
      double sum = 0;
      for (size_t s = 0; s < n_spans; ++s) {
        for (size_t j = keys[s * n_q + r].first; j < keys[s * n_q + r].last; ++j) {
          const size_t block = s * kSpanBlocks + j / kKvTokens;
          const uint16_t* key = k.data() + block * shape.k_values() + j % kKvTokens;
          const uint16_t* value = v.data() + block * shape.v_values() + j % kKvTokens * stride;
          double score = 0;
          for (size_t d = 0; d < shape.d_k; ++d) {
            score += q[r * shape.d_k + d] * f16_to_f32(key[d * kKvTokens]);
          }
          if (softcap != 0) score = softcap * std::tanh(score / softcap);
          const double weight = std::exp2(score);
          sum += weight;
          for (size_t d = 0; d < stride; ++d) out[r * stride + d] += weight * f16_to_f32(value[d]);
        }
      }
      for (size_t d = 0; d < stride; ++d) out[r * stride + d] /= sum;
    }
    return out;
  }
};

TEST(Ops, AttentionMatchesDoubleArithmeticOnEveryTable) {
  Values values(6);
  for (const KvShape shape : {KvShape{16, 16}, KvShape{64, 64}, KvShape{48, 20}, KvShape{96, 80}}) {
    for (const size_t n_q : {1, 2, 6, 7, 13, 40}) {
      for (const float softcap : {0.0f, 5.0f}) {
        const AttentionCase c(values, shape, n_q, 1 + values.below(3), softcap);
        const auto want = c.truth();
        const auto got = c.run(kOpsScalar);
        for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5);
        expect_same_bytes([&](const OpsTable& ops) { return c.run(ops); });
      }
    }
  }
}

// A head of one dimension and two keys, values 0 and 1: the second score is 0 and the best, the
// first is x, and what comes out is 1 / (1 + 2^x).
TEST(Ops, WeightsArePowersOfTwo) {
  const KvShape shape = {1, 1};
  std::vector<uint16_t> k(shape.k_values(), 0), v(shape.v_values(), 0);
  k[0] = f32_to_f16(1.0f);
  v[shape.v_stride()] = f32_to_f16(1.0f);
  const KeyRange both = {0, 2};
  KvSpan span;
  span.k[0] = k.data(), span.v[0] = v.data();
  double worst = 0;
  for (float x = 0.0f; x > -140.0f; x -= 0.00317f) {
    std::vector<float> out(16);
    float max, sum;
    kOpsScalar.attention_span(&x, &both, 1, shape, span, 0.0f, out.data(), &max, &sum);
    const double weight = std::exp2(double{x});
    EXPECT_EQ(max, 0.0f);
    EXPECT_EQ(out[0], 1.0f);
    EXPECT_NEAR(sum, 1.0 + weight, 1.2e-7) << x;
    // With the values exchanged the weight itself comes out.
    std::vector<uint16_t> other = v;
    std::swap(other[0], other[shape.v_stride()]);
    span.v[0] = other.data();
    kOpsScalar.attention_span(&x, &both, 1, shape, span, 0.0f, out.data(), &max, &sum);
    span.v[0] = v.data();
    if (x < -125.0f) {
      EXPECT_EQ(out[0], 0.0f) << x;
    } else {
      worst = std::max(worst, std::abs(out[0] / weight - 1.0));
    }
  }
  EXPECT_LT(worst * 0x1p24, 1.4);  // in units of 2^-24: 0.7 ulp
}

TEST(Ops, AttentionOfAQueryDoesNotDependOnItsNeighbours) {
  Values values(7);
  const AttentionCase c(values, {32, 32}, 11, 3, 0.0f);
  for (const NamedOps& table : runnable_tables()) {
    const auto together = c.run(*table.ops);
    for (size_t r = 0; r < c.n_q; ++r) {
      AttentionCase alone = c;
      alone.n_q = 1;
      alone.q.assign(c.q.begin() + static_cast<ptrdiff_t>(r * 32),
                     c.q.begin() + static_cast<ptrdiff_t>((r + 1) * 32));
      alone.keys.clear();
      for (size_t s = 0; s < c.n_spans; ++s) alone.keys.push_back(c.keys[s * c.n_q + r]);
      EXPECT_EQ(std::memcmp(alone.run(*table.ops).data(), together.data() + r * 32, 128), 0);
    }
  }
}

}  // namespace
}  // namespace maru::kernels
