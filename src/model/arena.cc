#include "model/arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <utility>

namespace maru::model {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

Result<Arena> Arena::create(size_t n_bytes) {
  Arena arena;
  const size_t n_mapped = n_bytes + kHugePage;
  void* memory = n_mapped < n_bytes ? MAP_FAILED
                                    : ::mmap(nullptr, n_mapped, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Error::exhausted(fmt::format("cannot get {} bytes of memory for the model", n_bytes));
  }
  arena.mapping_ = {static_cast<std::byte*>(memory), n_mapped};
  const size_t past = reinterpret_cast<uintptr_t>(memory) % kHugePage;
  arena.data_ = arena.mapping_.data() + (past == 0 ? 0 : kHugePage - past);
  arena.size_ = n_bytes;
  ::madvise(memory, n_mapped, MADV_HUGEPAGE);  // a wish; 4 KiB pages work too
  return arena;
}

Arena::Arena(Arena&& other) noexcept { *this = std::move(other); }

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  return *this;
}

Arena::~Arena() {
  if (!mapping_.empty()) ::munmap(mapping_.data(), mapping_.size());
}

}  // namespace maru::model
