#include "link/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/files.h"
#include "base/log.h"
#include "base/sha256.h"
#include "kernels/kernel_table.h"
#include "link/memory.h"
#include "model/load_vocab.h"

namespace maru::link {
namespace {

using model::kBlockTokens;

constexpr size_t kThreadsMax = 256;

Json special_tokens(const text::Vocab& vocab) {
  Json tokens = Json::object();
  const auto add = [&](const char* name, const std::optional<text::TokenId>& id) {
    if (id) tokens[name] = vocab.pieces[static_cast<size_t>(*id)];
  };
  add("bos_token", vocab.bos);
  add("eos_token", vocab.eos);
  add("unk_token", vocab.unk);
  add("sep_token", vocab.sep);
  add("pad_token", vocab.pad);
  add("cls_token", vocab.cls);
  add("mask_token", vocab.mask);
  return tokens;
}

// A template that cannot be used is no hindrance to all that needs none.
Result<void> load_template(LoadedModel& loaded) {
  MARU_TRY(source, loaded.file->metadata().get_string_or("tokenizer.chat_template", ""));
  if (source.empty()) return {};
  loaded.card.template_sha256 = sha256_hex(source);
  auto chat_template = text::ChatTemplate::parse(source);
  if (!chat_template.ok()) {
    loaded.template_error = chat_template.error();
    log_warning("the model's chat template cannot be used: {}", chat_template.error().message);
    return {};
  }
  loaded.chat_template = std::move(chat_template).value();
  loaded.card.has_chat_template = true;
  const auto has_token = [&](std::string_view text) {
    const auto ids = loaded.tokenizer->encode(text, {.parse_special = true});
    return ids.size() == 1 && loaded.tokenizer->decode(ids) == text;
  };
  loaded.shape =
      text::ChatShape::find(*loaded.chat_template, source, loaded.template_tokens, has_token);
  const text::AnswerFormat& format = loaded.shape->format();
  if (format.calls != nullptr) loaded.card.call_format = format.calls->name;
  if (format.reasoning != nullptr) loaded.card.reasoning_format = format.reasoning->name;
  return {};
}

// What is of text: tokenizer, chat template and, for an engine that generates, the token table. May
// run beside load_weights(), which touches other members.
Result<void> load_text(LoadedModel& loaded, bool for_engine) {
  const gguf::Metadata& metadata = loaded.file->metadata();
  MARU_TRY(vocab, model::load_vocab(metadata));
  loaded.template_tokens = special_tokens(vocab);
  MARU_TRY(tokenizer, text::Tokenizer::create(std::move(vocab)));
  loaded.tokenizer = std::move(tokenizer);
  MARU_TRY_VOID(load_template(loaded));
  if (for_engine) {
    const auto format = loaded.shape ? loaded.shape->format() : text::AnswerFormat{};
    loaded.tokens.emplace(*loaded.tokenizer, [&format](std::string_view text) {
      return text::is_part_of(format, text);
    });
  }
  return {};
}

Result<const kernels::KernelTable*> find_table(const std::string& isa) {
  const kernels::KernelTable* kernels = kernels::find_kernels(isa);
  if (kernels != nullptr) return kernels;
  std::string known;
  for (const auto* table : kernels::available_kernels()) {
    known += (known.empty() ? "" : ", ") + std::string(table->isa);
  }
  return Error::invalid(
      fmt::format("isa \"{}\" is unknown or not on this machine, which has {}", isa, known), "isa");
}

// What is left of the machine's memory, or of what this engine may take, once its weights are
// there; 0 where nobody knows.
uint64_t memory_for_caches(const model::ModelInfo& info, uint64_t memory_bytes_max) {
  const uint64_t available = available_memory();
  if (memory_bytes_max == 0) return available;
  const uint64_t left = memory_bytes_max - std::min(memory_bytes_max - 1, info.weight_bytes);
  return available == 0 ? left : std::min(available, left);
}

Result<AdapterCard> load_adapter(LoadedModel& loaded, const AdapterFile& adapter,
                                 const model::LoadOptions& options) {
  MARU_TRY(file, gguf::File::open(adapter.path));
  MARU_TRY_VOID(loaded.model->add_adapter(file, options));
  MARU_TRY(hash, sha256_hex_of_file(adapter.path));
  return AdapterCard{adapter.name, std::move(hash)};
}

// Their ids are their places in the card, from 1.
Result<void> load_adapters(LoadedModel& loaded, const std::vector<AdapterFile>& adapters,
                           const model::LoadOptions& options) {
  for (const AdapterFile& adapter : adapters) {
    auto card = load_adapter(loaded, adapter, options);
    if (!card.ok()) {
      Error error = std::move(card).error();
      error.message =
          fmt::format("adapter \"{}\" ({}): {}", adapter.name, adapter.path, error.message);
      return error;
    }
    loaded.card.adapters.push_back(*std::move(card));
  }
  return {};
}

Result<void> load_decoder(LoadedModel& loaded, const model::LoadOptions& options,
                          const LoadRequest& load) {
  MARU_TRY(model, model::load_model(*loaded.file, options));
  loaded.model = std::move(model);
  MARU_TRY_VOID(load_adapters(loaded, load.adapters, options));
  const model::ModelInfo& info = loaded.model->info();
  MARU_TRY(sizes, size_kv(info, options.n_ctx, memory_for_caches(info, load.memory_bytes_max)));
  loaded.engine_options = sizes;
  loaded.card.cache_bytes_max =
      sizes.n_blocks * info.kv_block_bytes + sizes.n_states * info.state_bytes;
  loaded.engine_options.kernels = options.kernels;
  loaded.engine_options.guesses = load.guesses;
  for (const AdapterCard& adapter : loaded.card.adapters) {
    loaded.engine_options.adapter_keys.push_back(adapter.sha256);
  }
  // One that is unknown, or a reranker's, is no hindrance to making text.
  auto pooling = model::read_pooling(loaded.file->metadata(), loaded.card.architecture);
  if (!pooling.ok()) log_warning("{}", pooling.error().message);
  const bool is_vector = pooling.ok() && *pooling != model::Pooling::kRank;
  loaded.embeddings =
      model::embed_with_decoder(*loaded.model, is_vector ? *pooling : model::Pooling::kNone);
  return {};
}

Result<void> load_encoder(LoadedModel& loaded, const model::LoadOptions& options) {
  MARU_TRY(encoder, model::load_encoder(*loaded.file, options));
  loaded.embeddings = std::move(encoder);
  loaded.engine_options.n_ctx = encoder_context(loaded.embeddings->info(), options.n_ctx);
  return {};
}

Result<void> load_weights(LoadedModel& loaded, const LoadRequest& load,
                          const LoadProgress& on_progress, const std::atomic<bool>& stop) {
  MARU_TRY(kernels, find_table(load.isa));
  if (load.n_threads > kThreadsMax) {
    return Error::invalid(fmt::format("n_threads must be 0 to {}", kThreadsMax), "n_threads");
  }
  loaded.pool = std::make_unique<ThreadPool>(
      load.n_threads != 0 ? load.n_threads : std::min(default_thread_count(), kThreadsMax));
  model::LoadOptions options = {
      .pool = loaded.pool.get(), .kernels = kernels, .n_ctx = load.n_ctx, .stop = &stop};
  if (on_progress) {
    options.on_progress = [&](uint64_t n, uint64_t n_total) { on_progress({n, n_total}); };
  }
  if (!loaded.card.generates && !load.adapters.empty()) {
    return Error::unsupported("an encoder takes no adapters");
  }
  MARU_TRY_VOID(loaded.card.generates ? load_decoder(loaded, options, load)
                                      : load_encoder(loaded, options));
  const model::ModelInfo& info = loaded.embeddings->info();
  loaded.card.isa = kernels->isa;
  loaded.card.n_ctx = loaded.engine_options.n_ctx;
  loaded.card.n_ctx_train = info.n_ctx_train;
  loaded.card.n_vocab = info.n_vocab;
  loaded.card.d_model = info.d_model;
  loaded.card.n_params = info.n_params;
  loaded.card.weight_bytes = info.weight_bytes;
  loaded.card.bytes_per_token = info.bytes_per_token;
  loaded.card.macs_per_token = info.macs_per_token;
  loaded.card.pooling = model::pooling_name(loaded.embeddings->pooling());
  return {};
}

Result<void> load_names(LoadedModel& loaded) {
  const gguf::Metadata& metadata = loaded.file->metadata();
  MARU_TRY(architecture, metadata.get_string_or("general.architecture", ""));
  MARU_TRY(name, metadata.get_string_or("general.name", ""));
  loaded.card.architecture = architecture;
  loaded.card.name = name;
  return {};
}

// Text on a thread of its own, while the pool packs the weights.
Result<void> load_all(LoadedModel& loaded, const LoadRequest& load,
                      const LoadProgress& on_progress) {
  loaded.card.generates = !model::is_encoder(loaded.card.architecture);
  Result<void> text;
  std::atomic<bool> stop = false;
  std::thread thread([&] {
    text = load_text(loaded, loaded.card.generates);
    stop = !text.ok();
  });
  const auto weights = load_weights(loaded, load, on_progress, stop);
  thread.join();
  MARU_TRY_VOID(text);
  return weights;
}

// One setting serves models of all sizes: it is an upper bound. The card says what became of it.
size_t bounded_context(const model::ModelInfo& info, size_t n_ctx_wanted) {
  if (n_ctx_wanted <= info.n_ctx_train) return n_ctx_wanted;
  log_warning("a context of {} tokens was asked for; this model was made for at most {}",
              n_ctx_wanted, info.n_ctx_train);
  return info.n_ctx_train;
}

}  // namespace

size_t encoder_context(const model::ModelInfo& info, size_t n_ctx_wanted) {
  if (n_ctx_wanted == 0) return std::min(info.n_ctx_train, kContextDefaultMax);
  return bounded_context(info, n_ctx_wanted);
}

Result<engine::EngineOptions> size_kv(const model::ModelInfo& info, size_t n_ctx_wanted,
                                      uint64_t memory_available) {
  n_ctx_wanted = bounded_context(info, n_ctx_wanted);
  const uint64_t block_bytes = std::max<uint64_t>(1, info.kv_block_bytes);
  auto share = static_cast<uint64_t>(static_cast<double>(memory_available) * kKvMemoryShare);
  // Recurrent states first: for all that may run, or as many as half of the memory holds.
  engine::EngineOptions options;
  if (info.state_bytes > 0) {
    options.n_states = engine::kStatesPerSequence * options.n_running_max;
    if (memory_available > 0) {
      options.n_states = std::min<uint64_t>(options.n_states, share / 2 / info.state_bytes);
    }
    if (options.n_states < engine::kStatesPerSequence) {
      return Error::exhausted(fmt::format(
          "one sequence needs {} MiB of memory for its recurrent states; {} MiB may be used",
          engine::kStatesPerSequence * info.state_bytes >> 20, share / 2 >> 20));
    }
    share -= memory_available > 0 ? options.n_states * info.state_bytes : 0;
  }
  // Where the system does not say what it has, the context is taken on trust.
  const size_t n_blocks_memory = memory_available == 0 ? SIZE_MAX : share / block_bytes;
  size_t n_ctx = n_ctx_wanted;
  if (n_ctx == 0) {
    n_ctx = std::min(info.n_ctx_train, kContextDefaultMax);
    if (n_blocks_memory < n_ctx / kBlockTokens) n_ctx = n_blocks_memory * kBlockTokens;
  }
  const size_t n_blocks_needed = model::blocks_for(n_ctx);
  if (n_ctx < 2 || n_blocks_needed > n_blocks_memory) {
    return Error::exhausted(fmt::format(
        "a context of {} tokens needs {} MiB of memory for its keys and values; {} MiB may be used",
        n_ctx, n_blocks_needed * block_bytes >> 20, share >> 20));
  }
  options.n_ctx = n_ctx;
  options.n_blocks = std::min(n_blocks_memory, n_blocks_needed * kKvFullContextsMax);
  return options;
}

Result<std::unique_ptr<LoadedModel>> load_from_files(const LoadRequest& load,
                                                     const LoadProgress& on_progress) {
  auto loaded = std::make_unique<LoadedModel>();
  if (!load.template_path.empty()) {
    MARU_TRY(source, read_file(load.template_path, text::kTemplateBytesMax));
    MARU_TRY(chat_template, text::ChatTemplate::parse(source));
    loaded->chat_template = std::move(chat_template);
    loaded->card.has_chat_template = true;
    return loaded;
  }
  MARU_TRY(file, gguf::File::open(load.path));
  loaded->file = std::move(file);
  MARU_TRY_VOID(load_names(*loaded));
  if (load.vocab_only) {
    MARU_TRY_VOID(load_text(*loaded, false));
    loaded->card.n_vocab = loaded->tokenizer->n_vocab();
  } else {
    MARU_TRY_VOID(load_all(*loaded, load, on_progress));
  }
  return loaded;
}

}  // namespace maru::link
