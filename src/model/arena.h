// model/arena.h - one large block of zeroed memory on huge pages where the system has them: weights
// and KV caches.
//
// Threads: the owner's; the memory may be used from any.
#pragma once
#include <cstddef>
#include <span>

#include "base/result.h"

namespace maru::model {

class Arena {
 public:
  Arena() = default;
  // Aligned to 2 MiB; pages are taken as they are touched.
  // Errors: kResourceExhausted with the size asked for.
  static Result<Arena> create(size_t n_bytes);
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;  // within the mapping
  size_t size_ = 0;
  std::span<std::byte> mapping_;
};

}  // namespace maru::model
