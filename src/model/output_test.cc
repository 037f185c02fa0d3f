// The output matrix in planes: all logits have the bits they have without, and where few are
// wanted, those are among them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "model/model.h"
#include "model_truth.h"
#include "source_dir.h"

namespace maru::model {
namespace {

namespace fs = std::filesystem;

constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr size_t kThreads = 2;

struct Loaded {
  Loaded(const fs::path& path, const kernels::KernelTable& kernels, bool output_planes)
      : pool(kThreads) {
    auto opened = gguf::File::open(path);
    if (!opened.ok()) return;
    file = std::make_unique<gguf::File>(std::move(opened).value());
    auto made =
        load_model(*file, {.pool = &pool, .kernels = &kernels, .output_planes = output_planes});
    if (made.ok()) model = std::move(made).value();
  }
  ThreadPool pool;
  std::unique_ptr<gguf::File> file;
  std::unique_ptr<Model> model;
};

// What one row wants, with the memory behind it.
struct Wish {
  WantedLogits wanted;
  std::vector<TokenId> listed;
  std::vector<uint64_t> allowed;
};

Wish wish(size_t kind, size_t n_vocab, Rng& rng) {
  Wish wish;
  wish.wanted.n_best = std::array<size_t, 3>{1, 40, 3}[kind % 3];
  if (kind % 4 == 1) wish.wanted.within = 3.0f;
  if (kind % 4 >= 2) {
    for (int i = 0; i < 20; ++i) wish.listed.push_back(static_cast<TokenId>(rng.below(n_vocab)));
    std::ranges::sort(wish.listed);
  }
  if (kind % 5 >= 3) {
    for (size_t i = 0; i < n_vocab / 64; ++i) {
      wish.allowed.push_back(kind % 5 == 3 ? rng.next() : rng.below(8) == 0 ? 1 << 5 : 0);
    }
  }
  wish.wanted.listed = wish.listed;
  wish.wanted.allowed = wish.allowed;
  return wish;
}

// Whether `got` is `all` where it must be, and -inf or the same elsewhere. Adds up those that are
// there.
void expect_wanted(std::span<const float> all, std::span<const float> got,
                   const WantedLogits& wanted, size_t& n_there) {
  const auto is_listed = [&](size_t i) {
    return std::ranges::binary_search(wanted.listed, static_cast<TokenId>(i));
  };
  const auto is_allowed = [&](size_t i) {
    if (wanted.allowed.empty()) return true;
    return i / 64 < wanted.allowed.size() && (wanted.allowed[i / 64] >> (i % 64) & 1) != 0;
  };
  std::vector<float> counted;
  for (size_t i = 0; i < all.size(); ++i) {
    if (is_allowed(i) && !is_listed(i)) counted.push_back(all[i]);
  }
  float cut = kLowest;
  if (counted.size() >= wanted.n_best) {
    const auto nth = counted.begin() + static_cast<ptrdiff_t>(wanted.n_best - 1);
    std::ranges::nth_element(counted, nth, std::greater<>());
    cut = *nth - wanted.within;
  }
  size_t n_wrong = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const bool is_same = std::memcmp(&all[i], &got[i], sizeof(float)) == 0;
    const bool must_be = is_listed(i) || (is_allowed(i) && all[i] >= cut);
    n_there += is_same ? 1 : 0;
    n_wrong += is_same || (!must_be && got[i] == kLowest) ? 0 : 1;
  }
  EXPECT_EQ(n_wrong, 0u);
}

// n_streams sequences that share ids, each one token further than the one before; the last token
// of each in one batch. Returns the batch's logits.
class Streams {
 public:
  Streams(Model& model, std::span<const TokenId> ids, size_t n_streams)
      : model_(model), ids_(ids), n_streams_(n_streams) {
    const size_t n_blocks = blocks_for(ids.size());
    kv_ = std::move(model.make_kv_store(n_blocks * n_streams, n_streams)).value();
    for (size_t s = 0; s < n_streams; ++s) {
      for (size_t b = 0; b < n_blocks; ++b) {
        blocks_.push_back(static_cast<BlockId>(s * n_blocks + b));
      }
    }
    for (size_t s = 0; s < n_streams; ++s) {
      const Slice before = {ids.first(length(s) - 1), 0, blocks(s), 0, static_cast<StateId>(s)};
      model.forward({&before, 1}, *kv_, {});
    }
  }

  std::vector<float> eval(std::span<const Wish> wishes) {
    std::vector<Slice> batch;
    for (size_t s = 0; s < n_streams_; ++s) {
      Slice slice = {ids_.subspan(length(s) - 1, 1), length(s) - 1, blocks(s), 1,
                     static_cast<StateId>(s)};
      if (!wishes.empty()) slice.wanted = wishes[s].wanted;
      batch.push_back(slice);
    }
    std::vector<float> logits(n_streams_ * model_.info().n_vocab, -12345.0f);
    model_.forward(batch, *kv_, logits);
    return logits;
  }

 private:
  size_t length(size_t s) const { return ids_.size() - n_streams_ + 1 + s; }
  std::span<const BlockId> blocks(size_t s) const {
    const size_t n = blocks_.size() / n_streams_;
    return std::span(blocks_).subspan(s * n, n);
  }

  Model& model_;
  std::span<const TokenId> ids_;
  size_t n_streams_;
  std::unique_ptr<KvStore> kv_;
  std::vector<BlockId> blocks_;
};

// Returns which part of the logits was computed where few were wanted.
double compare(Model& with, Model& without, const std::vector<TokenId>& ids, size_t n_kinds) {
  const size_t n_vocab = with.info().n_vocab;
  Rng rng(5);
  size_t n_there = 0, n_all = 0;
  for (const size_t n_streams : {1, 3, 7}) {
    for (size_t kind = 0; kind < n_kinds; ++kind) {
      const size_t n = std::min(ids.size(), n_streams + 5 + 7 * kind);
      const auto some = std::span(ids).first(n);
      const auto want = Streams(without, some, n_streams).eval({});
      const auto all = Streams(with, some, n_streams).eval({});
      EXPECT_EQ(std::memcmp(all.data(), want.data(), all.size() * sizeof(float)), 0);
      std::vector<Wish> wishes;
      for (size_t s = 0; s < n_streams; ++s) wishes.push_back(wish(kind + s, n_vocab, rng));
      for (size_t s = 0; s < n_streams; ++s) {
        wishes[s].wanted.listed = wishes[s].listed;  // they have moved
        wishes[s].wanted.allowed = wishes[s].allowed;
      }
      const auto got = Streams(with, some, n_streams).eval(wishes);
      for (size_t s = 0; s < n_streams; ++s) {
        const auto row = [&](const std::vector<float>& rows) {
          return std::span(rows).subspan(s * n_vocab, n_vocab);
        };
        size_t n_same = 0;
        expect_wanted(row(want), row(got), wishes[s].wanted, n_same);
        if (n_streams > 1) continue;
        n_there += n_same;
        n_all += n_vocab;
      }
    }
  }
  return static_cast<double>(n_there) / static_cast<double>(n_all);
}

TEST(OutputPlanes, TinyModelOnEveryInstructionSet) {
  const fs::path path = fs::path(MARU_SOURCE_DIR) / "tests/data/tiny_models/qwen3-q8_0.gguf";
  std::vector<TokenId> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(i * 7 % 200);
  for (const kernels::KernelTable* table : kernels::available_kernels()) {
    SCOPED_TRACE(table->isa);
    const Loaded with(path, *table, true), without(path, *table, false);
    ASSERT_TRUE(with.model && without.model);
    EXPECT_LT(compare(*with.model, *without.model, ids, 10), 1.0);  // else nothing was left out
  }
}

TEST(OutputPlanes, RealModels) {
  for (const char* name : {"qwen2.5-coder-0.5b", "gemma3-270m"}) {
    const fs::path path = testing::stored_model(name);
    if (!fs::exists(path)) GTEST_SKIP() << "not pulled: " << path;
    const auto truth = testing::read_json(fs::path(MARU_SOURCE_DIR) / "tests/data/real_models" /
                                          (std::string(name) + ".json"));
    const auto ids = truth["sequences"][4]["ids"].get<std::vector<TokenId>>();
    const kernels::KernelTable& table = *kernels::available_kernels().back();
    const Loaded with(path, table, true), without(path, table, false);
    ASSERT_TRUE(with.model && without.model);
    EXPECT_LT(compare(*with.model, *without.model, ids, 4), 0.3) << name;
  }
}

// The weights that one token reads where the best one is wanted: five of eight bits of the output
// matrix, and little of the rest.
TEST(OutputPlanes, ReadFewerBytesForTheBest) {
  const fs::path path = testing::stored_model("qwen2.5-coder-0.5b");
  if (!fs::exists(path)) GTEST_SKIP() << "not pulled: " << path;
  const Loaded loaded(path, *kernels::available_kernels().back(), true);
  ASSERT_TRUE(loaded.model);
  const auto truth = testing::read_json(fs::path(MARU_SOURCE_DIR) /
                                        "tests/data/real_models/qwen2.5-coder-0.5b.json");
  const auto ids = truth["sequences"][3]["ids"].get<std::vector<TokenId>>();
  Streams streams(*loaded.model, ids, 1);
  const auto bytes_of = [&](std::span<const Wish> wishes) {
    const uint64_t before = loaded.model->counters().weight_bytes;
    streams.eval(wishes);
    return loaded.model->counters().weight_bytes - before;
  };
  const uint64_t all = bytes_of({});
  const Wish best{.wanted = {.n_best = 1}, .listed = {}, .allowed = {}};
  const uint64_t few = bytes_of({&best, 1});
  const double output = 151936.0 * 896 / 32 * 34;
  const double saved = static_cast<double>(all - few) / output;
  EXPECT_GT(saved, 0.3);
  EXPECT_LT(saved, 3.0 / 8.5);
}

}  // namespace
}  // namespace maru::model
