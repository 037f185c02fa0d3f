// bench/load.cc - where the time and the memory of loading a model go.
//
// Usage: bench_load [--threads N] [--isa NAME] MODEL.gguf... Per file and stage the best of five
// runs, with the file in the page cache, beside two floors: zeroing as many bytes as the packed
// weights have on fresh pages, and reading the file from the cache. Memory is the peak of the
// process after the first run.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "engine/token_table.h"
#include "gguf/file.h"
#include "kernels/kernel_table.h"
#include "model/arena.h"
#include "model/load_vocab.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace {

using namespace maru;

constexpr int kRuns = 5;
constexpr size_t kChunk = size_t{2} << 20;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Stage {
  std::string_view name;
  double seconds = 1e9;  // of the fastest run
};

class Stages {
 public:
  // Runs the work, and keeps its time where it was the fastest.
  auto time(std::string_view name, auto&& work) {
    const double begin = now();
    auto result = work();
    const double seconds = now() - begin;
    auto at = std::ranges::find(stages_, name, &Stage::name);
    if (at == stages_.end()) at = stages_.insert(stages_.end(), Stage{name});
    at->seconds = std::min(at->seconds, seconds);
    return result;
  }
  const std::vector<Stage>& all() const { return stages_; }

 private:
  std::vector<Stage> stages_;
};

uint64_t peak_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// Zeroes fresh memory, as much as the weights take, with all threads.
Result<void> touch(size_t n_bytes, ThreadPool& pool) {
  MARU_TRY(arena, model::Arena::create(n_bytes));
  pool.parallel_for((n_bytes + kChunk - 1) / kChunk, [&](size_t chunk, size_t) {
    const size_t begin = chunk * kChunk;
    std::memset(arena.data() + begin, 0, std::min(kChunk, n_bytes - begin));
  });
  return {};
}

Result<void> read_all(const gguf::File& file, ThreadPool& pool) {
  for (const gguf::TensorView& view : file.tensors()) {
    pool.parallel_for((view.bytes.size() + kChunk - 1) / kChunk, [&](size_t chunk, size_t) {
      const auto part = view.bytes.subspan(chunk * kChunk);
      uint64_t sum = 0;
      for (size_t i = 0; i + 8 <= std::min(kChunk, part.size()); i += 8) {
        uint64_t word = 0;
        std::memcpy(&word, part.data() + i, 8);
        sum ^= word;
      }
      asm volatile("" : : "r"(sum));
    });
  }
  return {};
}

Result<void> measure(const std::string& path, ThreadPool& pool, const kernels::KernelTable* isa) {
  Stages stages;
  uint64_t weight_bytes = 0, peak = 0;
  for (int run = 0; run < kRuns; ++run) {
    MARU_TRY(file, stages.time("open", [&] { return gguf::File::open(path); }));
    MARU_TRY(vocab, stages.time("vocabulary", [&] { return model::load_vocab(file.metadata()); }));
    MARU_TRY(tokenizer,
             stages.time("tokenizer", [&] { return text::Tokenizer::create(std::move(vocab)); }));
    stages.time("token table", [&] { return engine::TokenTable(tokenizer, {}); });
    MARU_TRY(model, stages.time("weights", [&] {
      return model::load_model(file, {.pool = &pool, .kernels = isa});
    }));
    weight_bytes = model->info().weight_bytes;
    if (run == 0) peak = peak_bytes();
    model.reset();
    MARU_TRY_VOID(stages.time("floor: fresh pages", [&] { return touch(weight_bytes, pool); }));
  }
  for (int run = 0; run < kRuns; ++run) {
    MARU_TRY(file, gguf::File::open(path));
    MARU_TRY_VOID(stages.time("floor: read file", [&] { return read_all(file, pool); }));
  }
  fmt::print("{}: {:.0f} MB of weights, peak memory {:.0f} MB\n", path,
             static_cast<double>(weight_bytes) / 1e6, static_cast<double>(peak) / 1e6);
  for (const Stage& stage : stages.all()) {
    fmt::print("  {:<20} {:8.1f} ms\n", stage.name, 1e3 * stage.seconds);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  size_t n_threads = default_thread_count();
  std::string_view isa;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--threads" && i + 1 < argc) {
      n_threads = std::max<size_t>(1, std::strtoull(argv[++i], nullptr, 10));
    } else if (arg == "--isa" && i + 1 < argc) {
      isa = argv[++i];
    } else {
      paths.emplace_back(arg);
    }
  }
  const kernels::KernelTable* table = kernels::find_kernels(isa);
  if (paths.empty() || table == nullptr) {
    fmt::print(stderr, "usage: bench_load [--threads N] [--isa NAME] MODEL.gguf...\n");
    return 2;
  }
  ThreadPool pool(n_threads);
  for (const std::string& path : paths) {
    if (const auto done = measure(path, pool, table); !done.ok()) {
      fmt::print(stderr, "{}: {}\n", path, done.error().message);
      return 1;
    }
  }
  return 0;
}
