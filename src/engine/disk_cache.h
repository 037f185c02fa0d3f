// engine/disk_cache.h - KV blocks in a file: encrypted, authenticated, bounded, and never trusted.
//
// Engine saves the blocks of conversations that ended, and reads them back where the memory has
// them no more, or a new process never had them. A block is known by a key over its tokens, all
// tokens before it and the salt. Whatever is wrong with the file - another model or build, cut,
// changed, half written - is a miss and never an error. The descriptor and the secret come from
// the gateway; nothing is opened here, and nothing but this file can be written.
//
//   0      magic, proof that the secret fits, size of a block; the rest of 4,096 bytes is empty
//   4096   slot 0: Header (96 bytes; the rest of 4,096 is empty), then the block, AES-256-GCM
//   ...    slot 1, at the next multiple of 4,096
//
// Sources: NIST SP 800-38D (GCM; 96-bit random nonces), RFC 2104 (HMAC with SHA-256).
// Threads: the engine thread.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/request.h"

namespace maru::engine {

inline constexpr size_t kDiskSlotsMax = 1 << 20;

struct DiskCacheOptions {
  int fd = -1;                            // read and write, of a regular file; stays the caller's
  std::array<std::byte, 32> secret = {};  // of this model, this build and this file
  size_t block_bytes = 0;
  uint64_t bytes_max = 0;  // of the file
};

class DiskCache {
 public:
  using Key = std::array<std::byte, 32>;

  // Reads what slots there are; a file of anything else is begun anew.
  // Errors: kIo where the descriptor cannot be read or written; kResourceExhausted where bytes_max
  // does not hold one block.
  static Result<std::unique_ptr<DiskCache>> open(const DiskCacheOptions& options);
  ~DiskCache();

  // The keys of the full blocks of a text.
  std::vector<Key> keys(std::span<const TokenId> tokens, const std::string& salt) const;

  bool contains(const Key& key) const { return slots_.contains(key); }
  // The same, and it counts as used.
  bool touch(const Key& key);
  // Shapes: block [block_bytes]. False, and `block` undefined, where there is none that is whole.
  bool load(const Key& key, std::span<std::byte> block);
  // In the place of the one used longest ago where the file is full. False where it cannot be
  // written; the next save tries again.
  bool save(const Key& key, std::span<const std::byte> block);

  size_t n_blocks() const { return slots_.size(); }
  size_t n_blocks_max() const { return n_slots_max_; }
  // Aborts where the index contradicts itself.
  void check_integrity() const;

 private:
  struct Header;
  struct Cipher;

  explicit DiskCache(const DiskCacheOptions& options);
  Result<void> begin();
  Result<void> scan(uint64_t n_bytes);
  void use(size_t slot, const Key& key);
  void forget(const Key& key);
  uint64_t offset_of(size_t slot) const;
  Key hash(std::string_view what, std::span<const std::byte> bytes) const;

  const DiskCacheOptions options_;
  const size_t slot_bytes_;
  const size_t n_slots_max_;
  const std::unique_ptr<Cipher> cipher_;
  std::map<Key, size_t> slots_;
  std::map<size_t, uint64_t> last_use_;               // by slot, of those in use
  std::map<std::pair<uint64_t, size_t>, Key> order_;  // (last use, slot)
  std::vector<size_t> free_;                          // below n_slots_
  size_t n_slots_ = 0;                                // that the file has
  uint64_t now_ = 0;                                  // counts uses
  std::vector<std::byte> sealed_;                     // scratch
};

}  // namespace maru::engine
