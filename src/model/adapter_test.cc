// model/adapter_test.cc - adapters on a small Llama of float32 weights: against the merged weights,
// against an independent program, in batches, and files that do not fit.
#include "model/adapter.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"
#include "gguf/writer.h"
#include "model_truth.h"
#include "source_dir.h"

namespace maru::model {
namespace {

namespace fs = std::filesystem;
using gguf::Writer;
using tensor::DType;
using testing::LoadedModel;

fs::path tiny(const std::string& name) {
  return fs::path(MARU_SOURCE_DIR) / "tests/data/tiny_models" / name;
}

std::vector<float> random_floats(Rng& rng, size_t n, double scale) {
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>((rng.uniform() - 0.5) * scale);
  return values;
}

// One changed tensor of an adapter.
struct Part {
  std::string tensor;
  size_t n_rows, n_cols, rank;
  std::vector<float> a;  // [rank, n_cols]
  std::vector<float> b;  // [n_rows, rank]
};

void add_floats(Writer& writer, const std::string& name, std::vector<uint64_t> dims,
                const std::vector<float>& values) {
  writer.add_tensor(name, DType::kF32, dims, std::as_bytes(std::span(values)));
}

struct AdapterFile {
  std::string architecture = "llama";
  std::string general_type = "adapter";
  std::string adapter_type = "lora";
  float alpha = 0;
  std::vector<Part> parts = {};

  std::string bytes() const {
    Writer writer;
    writer.set_string("general.type", general_type);
    writer.set_string("general.architecture", architecture);
    writer.set_string("adapter.type", adapter_type);
    writer.set_f32("adapter.lora.alpha", alpha);
    for (const Part& p : parts) {
      add_floats(writer, p.tensor + ".lora_a", {p.n_cols, p.rank}, p.a);
      add_floats(writer, p.tensor + ".lora_b", {p.rank, p.n_rows}, p.b);
    }
    return writer.finish();
  }
  float scale(const Part& part) const {
    return alpha == 0 ? 1.0f : alpha / static_cast<float>(part.rank);
  }
};

constexpr const char* kChangeable[] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                       "ffn_gate", "ffn_up", "ffn_down"};

// Changes the named tensors of every layer, and the output where asked for.
AdapterFile random_adapter(const gguf::File& base, uint64_t seed, size_t rank, float alpha,
                           std::span<const char* const> names = kChangeable, bool output = true) {
  Rng rng(seed);
  AdapterFile file{.alpha = alpha};
  const auto add = [&](const std::string& tensor) {
    const auto view = base.tensor(tensor);
    ASSERT_TRUE(view.ok()) << view.error().message;
    const size_t n_rows = view->n_rows(), n_cols = view->n_cols();
    file.parts.push_back({tensor, n_rows, n_cols, rank, random_floats(rng, rank * n_cols, 0.5),
                          random_floats(rng, n_rows * rank, 0.5)});
  };
  for (size_t i = 0; i < 2; ++i) {
    for (const char* name : names) add("blk." + std::to_string(i) + "." + name + ".weight");
  }
  if (output) add("output.weight");
  return file;
}

// The base with W + scale B A in place of W.
std::string merged(const gguf::File& base, const AdapterFile& adapter) {
  Writer writer;
  for (const gguf::Entry& entry : base.metadata().entries()) writer.copy(entry);
  for (const gguf::TensorView& view : base.tensors()) {
    EXPECT_EQ(view.dtype, DType::kF32);
    std::vector<float> w(view.n_elements());
    std::memcpy(w.data(), view.bytes.data(), view.bytes.size());
    for (const Part& p : adapter.parts) {
      if (p.tensor != view.name) continue;
      for (size_t r = 0; r < p.n_rows; ++r) {
        for (size_t c = 0; c < p.n_cols; ++c) {
          double sum = 0;
          for (size_t k = 0; k < p.rank; ++k) {
            sum += double{p.b[r * p.rank + k]} * p.a[k * p.n_cols + c];
          }
          w[r * p.n_cols + c] += static_cast<float>(adapter.scale(p) * sum);
        }
      }
    }
    const std::vector<uint64_t> dims(view.dims.begin(),
                                     view.dims.begin() + static_cast<ptrdiff_t>(view.n_dims));
    writer.add_tensor(view.name, view.dtype, dims, std::as_bytes(std::span(w)));
  }
  return writer.finish();
}

std::unique_ptr<gguf::File> parse(const std::string& bytes) {
  auto file = gguf::File::parse(std::as_bytes(std::span(bytes)));
  EXPECT_TRUE(file.ok()) << file.error().message;
  return std::make_unique<gguf::File>(std::move(file).value());
}

class AdapterTest : public ::testing::Test {
 protected:
  static LoadedModel load(const std::string& name,
                          const kernels::KernelTable& kernels = *kernels::find_kernels("")) {
    auto loaded = LoadedModel::load(tiny(name), kernels, 2);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    return std::move(loaded).value();
  }
  static Result<AdapterId> add(LoadedModel& base, const std::string& bytes,
                               const kernels::KernelTable& kernels = *kernels::find_kernels("")) {
    return base.model->add_adapter(*parse(bytes), {base.pool.get(), &kernels});
  }
  // The message that a file is refused with.
  static std::string refusal(LoadedModel& base, const AdapterFile& file) {
    const auto added = add(base, file.bytes());
    return added.ok() ? "accepted" : added.error().message;
  }

  struct Want {
    std::vector<TokenId> ids;
    AdapterId adapter;
  };
  // All of them in one batch, cut at `n_first` tokens each: the logits of every token.
  static std::vector<std::vector<float>> eval(model::Model& model, const std::vector<Want>& wants,
                                              size_t n_first = SIZE_MAX) {
    const size_t n_vocab = model.info().n_vocab;
    auto kv = model.make_kv_store(8 * wants.size(), wants.size()).value();
    std::vector<std::vector<BlockId>> blocks(wants.size());
    for (size_t i = 0; i < wants.size(); ++i) {
      for (size_t b = 0; b < 8; ++b) blocks[i].push_back(static_cast<BlockId>(8 * i + b));
    }
    std::vector<std::vector<float>> logits(wants.size());
    for (int half = 0; half < 2; ++half) {
      std::vector<Slice> slices;
      std::vector<size_t> of;
      size_t n_rows = 0;
      for (size_t i = 0; i < wants.size(); ++i) {
        const std::span ids(wants[i].ids);
        const size_t cut = std::min(n_first, ids.size());
        const auto part = half == 0 ? ids.first(cut) : ids.subspan(cut);
        if (part.empty()) continue;
        slices.push_back({.tokens = part,
                          .position = half == 0 ? 0 : cut,
                          .blocks = blocks[i],
                          .n_logits = part.size(),
                          .state = static_cast<StateId>(i),
                          .adapter = wants[i].adapter});
        of.push_back(i);
        n_rows += part.size();
      }
      std::vector<float> rows(n_rows * n_vocab);
      model.forward(slices, *kv, rows);
      auto next = rows.begin();
      for (size_t s = 0; s < slices.size(); ++s) {
        const auto end = next + static_cast<ptrdiff_t>(slices[s].tokens.size() * n_vocab);
        logits[of[s]].insert(logits[of[s]].end(), next, end);
        next = end;
      }
    }
    return logits;
  }
  static std::vector<TokenId> ids(uint64_t seed, size_t n) {
    Rng rng(seed);
    std::vector<TokenId> ids(n);
    for (TokenId& id : ids) id = static_cast<TokenId>(rng.uniform() * 380);
    return ids;
  }
  static double difference(const std::vector<float>& a, const std::vector<float>& b) {
    EXPECT_EQ(a.size(), b.size());
    double most = 0;
    for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(double{a[i]} - b[i]));
    return most;
  }
};

// The tolerance is that of the tiny models: keys and values are kept in f16.
TEST_F(AdapterTest, IsTheModelWithMergedWeights) {
  const auto base_file = gguf::File::open(tiny("llama.gguf"));
  ASSERT_TRUE(base_file.ok());
  for (const size_t rank : {1u, 3u, 16u, 20u}) {
    const AdapterFile file = random_adapter(*base_file, rank, rank, rank == 3 ? 0.0f : 8.0f);
    const std::string bytes = merged(*base_file, file);
    const auto merged_file = parse(bytes);
    LoadedModel base = load("llama.gguf");
    const auto merged_model =
        load_model(*merged_file, {base.pool.get(), kernels::find_kernels("")}).value();
    const auto adapter = add(base, file.bytes());
    ASSERT_TRUE(adapter.ok()) << adapter.error().message;
    const Want want = {ids(rank, 40), *adapter};
    const auto got = eval(*base.model, {want})[0];
    const auto expected = eval(*merged_model, {{want.ids, 0}})[0];
    const auto without = eval(*base.model, {{want.ids, 0}})[0];
    EXPECT_LT(difference(got, expected), 5e-2) << rank;
    EXPECT_GT(difference(got, without), 0.5) << rank;  // it does change something
  }
}

// make_adapter.py computes the same in float64, from the file's halves as they are.
TEST_F(AdapterTest, AgreesWithAnIndependentProgram) {
  const auto truth = testing::read_json(tiny("llama-lora.json"));
  const auto expected = testing::read_floats(tiny("llama-lora.f32"));
  const auto file = gguf::File::open(tiny("llama-lora.gguf"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  for (const kernels::KernelTable* kernels : kernels::available_kernels()) {
    LoadedModel base = load("llama.gguf", *kernels);
    const auto adapter = base.model->add_adapter(*file, {base.pool.get(), kernels});
    ASSERT_TRUE(adapter.ok()) << adapter.error().message;
    const auto got = eval(*base.model, {{truth["ids"].get<std::vector<TokenId>>(), *adapter}})[0];
    EXPECT_LT(difference(got, expected), 5e-2) << kernels->isa;
  }
}

// Alone, in a batch with other adapters and without, cut in two, longer than one pass: the same
// bits, on every instruction set; and those without an adapter have the bits of a model that has
// none.
TEST_F(AdapterTest, ARowDoesNotDependOnTheOthers) {
  for (const char* name : {"llama.gguf", "qwen3-q8_0.gguf"}) {
    const auto base_file = gguf::File::open(tiny(name));
    ASSERT_TRUE(base_file.ok());
    const std::string architecture(
        base_file->metadata().get_string("general.architecture").value());
    std::vector<std::vector<float>> first;
    for (const kernels::KernelTable* kernels : kernels::available_kernels()) {
      LoadedModel plain = load(name, *kernels);
      LoadedModel base = load(name, *kernels);
      const bool has_output = base_file->find_tensor("output.weight") != nullptr;
      AdapterFile one = random_adapter(*base_file, 1, 8, 4, kChangeable, has_output);
      const char* const few[] = {"attn_v", "ffn_down"};
      AdapterFile two = random_adapter(*base_file, 2, 33, 16, few, false);
      one.architecture = two.architecture = architecture;
      ASSERT_EQ(add(base, one.bytes(), *kernels).value(), 1u);
      ASSERT_EQ(add(base, two.bytes(), *kernels).value(), 2u);
      const std::vector<Want> wants = {{ids(1, 70), 1}, {ids(2, 3), 0},   {ids(3, 90), 2},
                                       {ids(4, 1), 1},  {ids(5, 130), 0}, {ids(6, 1), 2}};
      const auto together = eval(*base.model, wants);
      EXPECT_EQ(eval(*base.model, wants, 2), together) << kernels->isa;
      for (size_t i = 0; i < wants.size(); ++i) {
        EXPECT_EQ(eval(*base.model, {wants[i]})[0], together[i]) << kernels->isa << i;
        if (wants[i].adapter != 0) continue;
        EXPECT_EQ(eval(*plain.model, {wants[i]})[0], together[i]) << kernels->isa << i;
      }
      if (first.empty()) first = together;
      EXPECT_EQ(together, first) << kernels->isa;
    }
  }
}

TEST_F(AdapterTest, WhatDoesNotFitIsRefusedWithWhatWasExpected) {
  LoadedModel base = load("llama.gguf");
  const AdapterFile good = random_adapter(*base.file, 1, 4, 8);
  const auto expect = [&](const std::function<void(AdapterFile&)>& change,
                          const std::string& message) {
    AdapterFile file = good;
    change(file);
    EXPECT_NE(refusal(base, file).find(message), std::string::npos) << refusal(base, file);
  };
  expect([](AdapterFile& f) { f.architecture = "qwen2"; },
         "the adapter is for architecture 'qwen2', the model is 'llama'");
  expect([](AdapterFile& f) { f.general_type = "model"; }, "this file is no adapter");
  expect([](AdapterFile& f) { f.adapter_type = "loha"; }, "accepted: lora");
  expect([](AdapterFile& f) { f.alpha = NAN; }, "adapter.lora.alpha is not a finite number");
  expect([](AdapterFile& f) { f.parts.clear(); }, "the adapter has no tensors");
  expect([](AdapterFile& f) { f.parts[0].tensor = "blk.7.attn_q.weight"; },
         "'blk.7.attn_q.weight.lora_a' changes what cannot be adapted in this model; accepted:");
  expect([](AdapterFile& f) { f.parts[0].tensor = "token_embd.weight"; },
         "'token_embd.weight.lora_a' changes what cannot be adapted");
  expect(
      [](AdapterFile& f) {
        f.parts[0].n_cols -= 1;
        f.parts[0].a.resize(f.parts[0].rank * f.parts[0].n_cols);
      },
      "tensor 'blk.0.attn_q.weight.lora_a' is [4, 63], expected [4, 64]");
  expect(
      [](AdapterFile& f) {
        f.parts[0].n_rows = 32;
        f.parts[0].b.resize(f.parts[0].rank * 32);
      },
      "tensor 'blk.0.attn_q.weight.lora_b' is [32, 4], expected [64, 4]");
  expect(
      [](AdapterFile& f) {
        f.parts[0].rank = kAdapterRankMax + 1;
        f.parts[0].a.resize(f.parts[0].rank * f.parts[0].n_cols);
        f.parts[0].b.resize(f.parts[0].rank * f.parts[0].n_rows);
      },
      "has rank 1025; 1 to 1024 are accepted");
  EXPECT_EQ(refusal(base, good), "accepted");
  // A half alone.
  Writer writer;
  writer.set_string("general.type", "adapter");
  writer.set_string("general.architecture", "llama");
  writer.set_string("adapter.type", "lora");
  add_floats(writer, "output.weight.lora_a", {64, 1}, std::vector<float>(64));
  const auto half = add(base, writer.finish());
  ASSERT_FALSE(half.ok());
  EXPECT_NE(half.error().message.find("output.weight.lora_b"), std::string::npos)
      << half.error().message;
}

}  // namespace
}  // namespace maru::model
