// model/packer.h - repacks matrices of a GGUF file into one arena, in parallel.
//
// First every matrix is added, which checks its tensor and adds up the memory; then pack() does the
// work. Used by weights.cc at load time only.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "gguf/file.h"
#include "model/arena.h"
#include "model/model.h"
#include "model/weights.h"

namespace maru::model {

// Rows [begin, begin + n_rows) of a tensor's rows (fused tensors hold several matrices).
struct RowRange {
  size_t begin = 0;
  size_t n_rows = 0;
  size_t n_rows_total = 0;  // that the tensor must have
};

class Packer {
 public:
  explicit Packer(const gguf::File& file) : file_(file) {}

  // matrix is filled in now except for its data, which pack() sets; it must stay where it is.
  // as_floats: packed as float32 whatever the tensor's type, so that plain floats are its input.
  Result<void> add(std::string_view tensor, RowRange rows, size_t n_cols, Matrix& matrix,
                   bool as_floats = false);

  // The matrix added last is kept in planes, which are filled by pack() and must stay where they
  // are. Requires: it is Q8_0.
  void keep_in_planes(OutputPlanes& planes);

  // Errors: kResourceExhausted; kIo; kCancelled.
  Result<Arena> pack(const LoadOptions& options);

  uint64_t n_params() const { return n_params_; }

 private:
  struct Item {
    gguf::TensorView view;
    const std::byte* rows;  // of the first row
    Matrix* matrix;
    size_t arena_offset;
    OutputPlanes* planes = nullptr;
  };
  // Groups [begin, end) of an item, for one worker.
  struct Chunk {
    const Item* item;
    size_t begin;
    size_t end;
  };

  std::vector<Chunk> cut_chunks() const;
  // One worker's memory for a chunk: rows of the file, and groups on their way into planes.
  struct Scratch {
    std::vector<std::byte> rows;
    std::vector<std::byte> groups;
  };

  Result<void> pack_chunk(const Chunk& chunk, const kernels::KernelTable& kernels, Arena& arena,
                          Scratch& scratch) const;

  const gguf::File& file_;
  std::vector<Item> items_;
  size_t n_bytes_ = 0;
  uint64_t n_params_ = 0;
};

}  // namespace maru::model
