// model/model.h - a loaded language model: weights in the kernels' layout and one forward pass over
// a batch.
//
// One file per family in model/ describes what its layer does; the rest is shared. Called by
// engine/ on the engine thread; the parallel parts run on the ThreadPool that load() was given. It
// must not know: requests, users, sampling, text.
//
// Batch invariance: the logits of a row depend on its own tokens and positions only, bit for bit,
// however they were chunked, whatever else is in the batch, and for any number of threads.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/counters.h"

namespace maru::gguf {
class File;
}

namespace maru::model {

using TokenId = int32_t;
using BlockId = uint32_t;
using StateId = uint32_t;
using AdapterId = uint32_t;  // of a model, in the order they were added, from 1; 0 = none

inline constexpr size_t kBlockTokens = 64;  // KV is kept in blocks of this many positions
constexpr size_t blocks_for(size_t n_tokens) {
  return (n_tokens + kBlockTokens - 1) / kBlockTokens;
}

// What the layers above need to know of a model. The family's own numbers stay in its file.
struct ModelInfo {
  std::string architecture;  // general.architecture
  std::string name;          // general.name, or empty
  size_t n_layer = 0;
  size_t d_model = 0;
  size_t n_vocab = 0;
  size_t n_ctx_train = 0;  // longest sequence the model was made for
  uint64_t n_params = 0;
  uint64_t weight_bytes = 0;     // as packed in memory
  uint64_t bytes_per_token = 0;  // weights read for one decoded token
  uint64_t macs_per_token = 0;   // multiplications with weights for one prompt token, head aside
  size_t kv_block_bytes = 0;     // memory of one block, all layers; 0: keeps no keys and values
  size_t state_bytes = 0;        // memory of one sequence's recurrent state; 0: has none
};

// Which logits of a row must be exact. Those that are not may be -inf instead: each of them is
// below the n_best largest (and those `within` of them), and not listed.
struct WantedLogits {
  size_t n_best = 0;  // so many of the largest that are allowed and not listed; 0 = all are wanted
  float within = 0;   // also those at most so far below the last of them
  std::span<const TokenId> listed = {};    // exact in any case; in order
  std::span<const uint64_t> allowed = {};  // a bit for each token that counts; empty: all do
};

// One sequence's part of a batch: consecutive tokens from `position` on.
struct Slice {
  std::span<const TokenId> tokens;
  size_t position = 0;  // of tokens[0]
  std::span<const BlockId>
      blocks;           // blocks[i] holds positions [64 i, 64 i + 64); covers the slice's end
  size_t n_logits = 0;  // logits are wanted for the last n_logits tokens of the slice
  StateId state = 0;    // of the sequence, where the model has states
  AdapterId adapter = 0;
  WantedLogits wanted = {};  // of each of these rows
};

// The memory behind BlockIds and StateIds. Contents of a block are defined once its positions were
// forwarded. A state stands at one position, the end of what was forwarded with it last; a slice
// from position 0 begins it anew.
class KvStore {
 public:
  virtual ~KvStore() = default;
  virtual size_t n_blocks() const = 0;
  // Copies the first n_tokens positions of a block (copy-on-write of a shared last block).
  virtual void copy_block(BlockId from, BlockId to, size_t n_tokens) = 0;
  virtual void copy_state(StateId from, StateId to) = 0;
  // All of a block, to be kept elsewhere and put back by a process of the same build.
  // Shapes: [info().kv_block_bytes].
  virtual std::span<std::byte> block_bytes(BlockId block) = 0;
};

struct LoadOptions;

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  // Adds a LoRA adapter (model/adapter.h) that slices can ask for. The file is needed no more.
  // Errors: those of Adapter::load(); kUnsupported where the model takes none.
  virtual Result<AdapterId> add_adapter(const gguf::File& file, const LoadOptions& options);
  // Errors: kResourceExhausted where the memory cannot be had.
  // n_states is of no account where info().state_bytes is 0.
  virtual Result<std::unique_ptr<KvStore>> make_kv_store(size_t n_blocks,
                                                         size_t n_states) const = 0;
  // Shapes: logits [sum of n_logits, n_vocab], slices in order.
  // Requires: token ids in range; positions contiguous per sequence and below n_blocks * 64; kv
  // made by this model. Two slices of one batch never share a writable block or a state; a state
  // stands at its slice's position.
  virtual void forward(std::span<const Slice> batch, KvStore& kv, std::span<float> logits) = 0;
  // The same, but gives the last layer's vectors after the final norm instead of logits.
  // Shapes: hidden [sum of n_logits, d_model].
  virtual void forward_hidden(std::span<const Slice> batch, KvStore& kv,
                              std::span<float> hidden) = 0;
  // What all forward passes so far cost.
  virtual Counters counters() const = 0;
};

struct LoadOptions {
  ThreadPool* pool = nullptr;                     // required; outlives the model
  const kernels::KernelTable* kernels = nullptr;  // required
  // The longest sequence that is wanted; 0 = what the model was made for. Some models have other
  // weights for long contexts.
  size_t n_ctx = 0;
  // Keeps an output matrix of Q8_0 in two planes, so that the best logits cost less memory traffic
  // (model/output_planes.h). The same results without.
  bool output_planes = true;
  // May be null. Once it is true, loading ends early with kCancelled.
  const std::atomic<bool>* stop = nullptr;
  // May be empty. Called on the loading thread, from time to time.
  std::function<void(uint64_t bytes_packed, uint64_t bytes_total)> on_progress = {};
};

// Reads config and weights, repacking in parallel.
// Requires: file outlives the model, which reads embedding rows from it as tokens come.
// Errors: kUnsupported names an unknown architecture or tensor type; kCorrupt names a missing
// tensor or a wrong shape (expected and found); kResourceExhausted; kIo; kCancelled.
Result<std::unique_ptr<Model>> load_model(const gguf::File& file, const LoadOptions& options);

}  // namespace maru::model
