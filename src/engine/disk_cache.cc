#include "engine/disk_cache.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/files.h"
#include "model/model.h"

namespace maru::engine {
namespace {

using model::kBlockTokens;

constexpr size_t kPage = 4096;
constexpr char kMagic[16] = "maru kv file 1\n";
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;

size_t whole_pages(size_t n_bytes) { return (n_bytes + kPage - 1) / kPage * kPage; }

bool read_all(int fd, uint64_t offset, std::span<std::byte> to) {
  return read_at(fd, offset, to) == static_cast<ssize_t>(to.size());
}

bool write_at(int fd, uint64_t offset, std::span<const std::byte> from) {
  while (!from.empty()) {
    const ssize_t n = ::pwrite(fd, from.data(), from.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    offset += static_cast<uint64_t>(n);
    from = from.subspan(static_cast<size_t>(n));
  }
  return true;
}

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

struct FileHead {
  char magic[16];
  DiskCache::Key proof;
  uint64_t block_bytes;
};

}  // namespace

struct DiskCache::Header {
  uint64_t last_use = 0;  // 0: the slot is free. Not authenticated: it decides only who goes first
  Key key = {};
  std::array<std::byte, kNonceBytes> nonce = {};
  std::array<std::byte, kTagBytes> tag = {};
};

struct DiskCache::Cipher {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  std::array<std::byte, 32> secret;

  explicit Cipher(const std::array<std::byte, 32>& secret) : secret(secret) {
    CHECK(context != nullptr);
  }
  ~Cipher() { EVP_CIPHER_CTX_free(context); }
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;

  // Requires: n <= INT_MAX (a block is some MiB).
  void seal(Header& header, std::span<const std::byte> plain, std::span<std::byte> sealed) {
    int n = 0;
    CHECK(RAND_bytes(raw(header.nonce.data()), kNonceBytes) == 1);
    CHECK(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr, raw(secret.data()),
                             raw(header.nonce.data())) == 1);
    CHECK(EVP_EncryptUpdate(context, nullptr, &n, raw(header.key.data()),
                            static_cast<int>(header.key.size())) == 1);
    CHECK(EVP_EncryptUpdate(context, raw(sealed.data()), &n, raw(plain.data()),
                            static_cast<int>(plain.size())) == 1);
    CHECK(EVP_EncryptFinal_ex(context, raw(sealed.data()) + n, &n) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, kTagBytes, header.tag.data()) == 1);
  }

  bool open(const Header& header, std::span<const std::byte> sealed, std::span<std::byte> plain) {
    int n = 0;
    std::array<std::byte, kTagBytes> tag = header.tag;
    CHECK(EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nullptr, raw(secret.data()),
                             raw(header.nonce.data())) == 1);
    CHECK(EVP_DecryptUpdate(context, nullptr, &n, raw(header.key.data()),
                            static_cast<int>(header.key.size())) == 1);
    CHECK(EVP_DecryptUpdate(context, raw(plain.data()), &n, raw(sealed.data()),
                            static_cast<int>(sealed.size())) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1);
    return EVP_DecryptFinal_ex(context, raw(plain.data()) + n, &n) == 1;
  }
};

DiskCache::DiskCache(const DiskCacheOptions& options)
    : options_(options),
      slot_bytes_(kPage + whole_pages(options.block_bytes)),
      n_slots_max_(std::min<uint64_t>(
          kDiskSlotsMax,
          (options.bytes_max - std::min<uint64_t>(kPage, options.bytes_max)) / slot_bytes_)),
      cipher_(std::make_unique<Cipher>(options.secret)),
      sealed_(options.block_bytes) {}

DiskCache::~DiskCache() = default;

uint64_t DiskCache::offset_of(size_t slot) const { return kPage + uint64_t{slot} * slot_bytes_; }

DiskCache::Key DiskCache::hash(std::string_view what, std::span<const std::byte> bytes) const {
  std::vector<std::byte> text(what.size() + 1 + bytes.size());
  std::memcpy(text.data(), what.data(), what.size());
  std::copy(bytes.begin(), bytes.end(), text.begin() + static_cast<ptrdiff_t>(what.size()) + 1);
  Key key;
  unsigned n = 0;
  CHECK(HMAC(EVP_sha256(), options_.secret.data(), static_cast<int>(options_.secret.size()),
             raw(text.data()), text.size(), raw(key.data()), &n) != nullptr);
  CHECK(n == key.size());
  return key;
}

std::vector<DiskCache::Key> DiskCache::keys(std::span<const TokenId> tokens,
                                            const std::string& salt) const {
  std::vector<Key> keys;
  Key last = hash("salt", std::as_bytes(std::span(salt)));
  for (size_t begin = 0; begin + kBlockTokens <= tokens.size(); begin += kBlockTokens) {
    const auto block = std::as_bytes(tokens.subspan(begin, kBlockTokens));
    std::vector<std::byte> text(last.begin(), last.end());
    text.insert(text.end(), block.begin(), block.end());
    last = hash("block", text);
    keys.push_back(last);
  }
  return keys;
}

Result<std::unique_ptr<DiskCache>> DiskCache::open(const DiskCacheOptions& options) {
  CHECK(options.block_bytes > 0 && options.block_bytes < (size_t{1} << 30));
  std::unique_ptr<DiskCache> cache(new DiskCache(options));
  if (cache->n_slots_max_ == 0) {
    return Error::exhausted(fmt::format("{} bytes on disk do not hold one block of {} bytes",
                                        options.bytes_max, options.block_bytes));
  }
  const off_t n_bytes = ::lseek(options.fd, 0, SEEK_END);
  if (n_bytes < 0) return Error::io(fmt::format("the KV file: {}", std::strerror(errno)));
  FileHead head{};
  const bool is_ours = read_all(options.fd, 0, std::as_writable_bytes(std::span(&head, 1))) &&
                       std::memcmp(head.magic, kMagic, sizeof kMagic) == 0 &&
                       head.block_bytes == options.block_bytes &&
                       head.proof == cache->hash("file", bytes_of(head.block_bytes));
  MARU_TRY_VOID(is_ours ? cache->scan(static_cast<uint64_t>(n_bytes)) : cache->begin());
  return cache;
}

Result<void> DiskCache::begin() {
  FileHead head{};
  std::memcpy(head.magic, kMagic, sizeof kMagic);
  head.block_bytes = options_.block_bytes;
  head.proof = hash("file", bytes_of(head.block_bytes));
  if (::ftruncate(options_.fd, 0) == 0 && write_at(options_.fd, 0, bytes_of(head))) return {};
  return Error::io(fmt::format("the KV file cannot be written: {}", std::strerror(errno)));
}

Result<void> DiskCache::scan(uint64_t n_bytes) {
  // A smaller limit than last time gives back what is above it.
  const uint64_t end_max = offset_of(n_slots_max_);
  if (n_bytes > end_max && ::ftruncate(options_.fd, static_cast<off_t>(end_max)) != 0) {
    return Error::io(fmt::format("the KV file cannot be cut: {}", std::strerror(errno)));
  }
  n_slots_ = std::min<uint64_t>(
      n_slots_max_, n_bytes <= kPage ? 0 : (n_bytes - kPage + slot_bytes_ - 1) / slot_bytes_);
  for (size_t slot = 0; slot < n_slots_; ++slot) {
    Header header;
    const bool is_read =
        read_all(options_.fd, offset_of(slot), std::as_writable_bytes(std::span(&header, 1)));
    if (!is_read || header.last_use == 0 || slots_.contains(header.key)) {
      free_.push_back(slot);
      continue;
    }
    header.last_use = std::min(header.last_use, UINT64_MAX / 2);  // whatever stands there
    now_ = std::max(now_, header.last_use);
    slots_[header.key] = slot;
    last_use_[slot] = header.last_use;
    order_[{header.last_use, slot}] = header.key;
  }
  return {};
}

void DiskCache::use(size_t slot, const Key& key) {
  const auto known = last_use_.find(slot);
  if (known != last_use_.end()) order_.erase({known->second, slot});
  last_use_[slot] = ++now_;
  order_[{now_, slot}] = key;
}

void DiskCache::forget(const Key& key) {
  const auto found = slots_.find(key);
  const size_t slot = found->second;
  order_.erase({last_use_.at(slot), slot});
  last_use_.erase(slot);
  slots_.erase(found);
  free_.push_back(slot);
}

bool DiskCache::load(const Key& key, std::span<std::byte> block) {
  CHECK(block.size() == options_.block_bytes);
  const auto found = slots_.find(key);
  if (found == slots_.end()) return false;
  const size_t slot = found->second;
  Header header;
  const bool is_whole =
      read_all(options_.fd, offset_of(slot), std::as_writable_bytes(std::span(&header, 1))) &&
      read_all(options_.fd, offset_of(slot) + kPage, sealed_) && header.key == key &&
      cipher_->open(header, sealed_, block);
  if (!is_whole) {
    forget(key);
    return false;
  }
  return touch(key);
}

bool DiskCache::touch(const Key& key) {
  const auto found = slots_.find(key);
  if (found == slots_.end()) return false;
  use(found->second, key);
  // Where this fails the block counts as older than it is, which is no harm.
  write_at(options_.fd, offset_of(found->second), bytes_of(now_));
  return true;
}

bool DiskCache::save(const Key& key, std::span<const std::byte> block) {
  CHECK(block.size() == options_.block_bytes);
  if (touch(key)) return true;
  if (free_.empty() && n_slots_ == n_slots_max_) {
    const Key oldest = order_.begin()->second;
    forget(oldest);
  }
  if (free_.empty()) free_.push_back(n_slots_++);
  const size_t slot = free_.back();
  Header header{.last_use = now_ + 1, .key = key};
  cipher_->seal(header, block, sealed_);
  // The header last: a slot whose block is not whole still has the tag of another.
  if (!write_at(options_.fd, offset_of(slot) + kPage, sealed_) ||
      !write_at(options_.fd, offset_of(slot), bytes_of(header))) {
    return false;
  }
  free_.pop_back();
  slots_[key] = slot;
  use(slot, key);
  return true;
}

void DiskCache::check_integrity() const {
  CHECK(slots_.size() == last_use_.size() && slots_.size() == order_.size());
  CHECK(slots_.size() + free_.size() == n_slots_ && n_slots_ <= n_slots_max_);
  std::set<size_t> all(free_.begin(), free_.end());
  for (const auto& [key, slot] : slots_) {
    CHECK(slot < n_slots_ && all.insert(slot).second);
    CHECK(order_.at({last_use_.at(slot), slot}) == key);
  }
}

}  // namespace maru::engine
