// link/messages.h - what gateway and engine say to each other, as C++ types.
//
// The bytes on the socket are in docs/formats/engine-protocol.md; link/wire.h converts both ways.
// serve/ and app/ build requests and read events; nothing here knows HTTP or a wire API of a
// vendor. Threads: plain values.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "engine/check_job.h"
#include "engine/request.h"
#include "engine/stop_matcher.h"
#include "grammar/grammar.h"
#include "model/pooling.h"

namespace maru::link {

using TokenId = int32_t;

// A LoRA adapter of the model that is loaded.
struct AdapterFile {
  std::string name = {};  // that requests choose it by
  std::string path = {};  // of a GGUF file
};
inline constexpr size_t kAdaptersMax = 64;

struct LoadRequest {
  std::string path = {};  // of a GGUF file
  size_t n_threads = 0;   // 0 = one per core
  size_t n_ctx = 0;       // longest sequence admitted; 0 = the model's own, bounded by memory
  std::string isa = {};   // empty = the best
  uint64_t memory_bytes_max = 0;  // weights and caches; 0 = what the machine has
  bool vocab_only = false;        // tokenizer and template, no weights
  bool guesses = true;            // engine::EngineOptions::guesses
  std::string template_path =
      {};  // render only: a Jinja file instead of a model (path is then empty)
  // Of the file behind kKvFileFd, in which conversations outlive the process; 0: there is none.
  uint64_t kv_file_bytes_max = 0;
  std::string kv_file_secret = {};         // kKvSecretBytes; of this model, build and settings
  std::vector<AdapterFile> adapters = {};  // at most kAdaptersMax
};
inline constexpr size_t kKvSecretBytes = 32;

// How far a load is: bytes of weights that are ready for the kernels.
struct Loading {
  uint64_t n_bytes = 0;
  uint64_t n_bytes_total = 0;
};
// May be empty.
using LoadProgress = std::function<void(const Loading&)>;

struct AdapterCard {
  std::string name = {};
  std::string sha256 = {};  // of its file
};

// What an engine says of itself once loaded.
struct ModelCard {
  std::string architecture = {};
  std::string name = {};
  std::string isa = {};
  size_t n_ctx = 0;  // longest sequence that this engine admits
  size_t n_ctx_train = 0;
  size_t n_vocab = 0;
  size_t d_model = 0;  // values of a vector
  uint64_t n_params = 0;
  uint64_t weight_bytes = 0;
  uint64_t cache_bytes_max = 0;  // of keys, values and recurrent states; touched as they fill
  uint64_t bytes_per_token = 0;  // weights read for one decoded token
  uint64_t macs_per_token = 0;   // multiplications with weights for one prompt token
  bool has_chat_template = false;
  std::string template_sha256 = {};  // of the model's own chat template; empty: it has none
  bool generates = true;             // false: an encoder, which makes embeddings and no text
  // "mean", "cls" or "last"; "rank": it scores pairs of texts; empty: the model does not say.
  std::string pooling = {};
  // Rows of text/answer_format.h; empty: none.
  std::string call_format = {};
  std::string reasoning_format = {};
  std::vector<AdapterCard> adapters = {};
  double load_seconds = 0;
  std::string sandbox = {};  // the protection reached: "none", or for example "seccomp"
};

// A conversation in the shape of the Chat Completions API: an array of {"role", "content", ...}.
struct ChatPrompt {
  Json messages = Json::array();
  Json tools = nullptr;
  Json template_kwargs = Json::object();
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // go on with the last message, which is the assistant's
};
struct TextPrompt {
  std::string text = {};       // may end in the middle of anything
  bool parse_special = false;  // true only where the caller explicitly asked for control tokens
  bool add_special = true;     // BOS as the model wants
};
struct TokensPrompt {
  std::vector<TokenId> ids = {};
};
using Prompt = std::variant<ChatPrompt, TextPrompt, TokensPrompt>;

// Which of a chat prompt's tools an answer may call, and how often.
struct CallRule {
  size_t n_min = 0;
  size_t n_max = 0;                     // 0: it may not call any
  std::vector<std::string> names = {};  // of functions
  bool operator==(const CallRule&) const = default;
};
inline constexpr size_t kToolsMax = 128;
inline constexpr size_t kCallsMax = 32;  // of one answer

struct GenerateRequest {
  Prompt prompt = {};
  engine::SamplingParams sampling = {};
  std::vector<std::string> stop = {};     // at most kStopMax, each 1 to kStopBytesMax bytes
  std::optional<size_t> max_tokens = {};  // absent: up to the end of the context
  bool ignore_eos = false;
  bool echo_prompt_ids = false;  // Started carries the prompt's ids
  bool want_progress = false;    // Progress after each step that leaves some of the prompt
  std::string cache_salt = {};   // from the caller's rights; KV is shared between equal salts only
  bool keep_kv = true;           // after the end, for later prompts that begin alike
  // What the answer must look like; beside calls, what its text must.
  std::optional<grammar::GrammarSpec> grammar = {};
  std::optional<CallRule> calls = {};  // absent: no tools are in play
  engine::Claim claim = {};            // whose it is, from the caller's rights, and how urgent
  std::optional<int64_t> now_unix_seconds = {};  // for the template; absent: the engine's clock
  std::string prediction = {};                   // text that the answer may repeat
  std::string adapter = {};                      // one of the card's, by name; empty: none
};
// Error::param of a grammar that is refused.
inline constexpr std::string_view kGrammarParam = "grammar";
inline constexpr size_t kStopMax = engine::kStopStringsMax;
inline constexpr size_t kStopBytesMax = engine::kStopStringBytesMax;

// Error::param of a prompt that does not fit; the message has all counts.
using engine::kContextLengthExceeded;

using engine::Candidate;
using engine::FinishReason;
using engine::TokenLogprob;
using engine::Usage;

// Events of one request, in this order: Started, Progress*, Delta*, then exactly one of Done and
// Failed.
using engine::Delta;
using engine::Done;
using engine::Failed;
using engine::Progress;
using engine::Started;
using GenerateEvent = std::variant<Started, Progress, Delta, Done, Failed>;

struct ScoreRequest {
  std::vector<TokenId> ids = {};
  size_t last = 1;  // how many final positions report their likeliest tokens; 0 = every position
  size_t top = 0;   // how many tokens each
};
struct ScoreResult {
  std::optional<double> nll = {};  // mean; null for one id
  std::vector<double> nlls = {};
  std::vector<std::vector<std::pair<TokenId, float>>> top = {};
};

struct EmbedRequest {
  Prompt prompt = {};
  // Of a model that ranks: what the prompt, a text, is compared with. The one value of the result
  // is the score.
  std::optional<std::string> query = {};
  model::Pooling pooling = model::Pooling::kNone;  // none: as the model says
  bool normalize = false;
  bool want_tokens = false;
};
struct EmbedResult {
  std::vector<float> values = {};               // [d_model]
  std::vector<std::vector<float>> tokens = {};  // [n_prompt][d_model] where asked for
  size_t n_prompt = 0;
};

struct TokenizeRequest {
  std::string text = {};
  bool parse_special = false;
  bool add_special = false;
};

struct RenderRequest {
  ChatPrompt prompt = {};
  std::optional<int64_t> now_unix_seconds = {};  // absent: the engine's clock
  Json tokens = nullptr;                         // overrides the model's own special tokens
};

struct EngineStats {
  size_t n_running = 0;
  size_t n_waiting = 0;
  size_t n_kv_blocks = 0;
  size_t n_kv_blocks_free = 0;
  // Since the start.
  uint64_t n_tokens_prompt = 0;  // evaluated
  uint64_t n_tokens_cached = 0;  // of prompts, that were not evaluated again
  uint64_t n_tokens_generated = 0;
  uint64_t n_tokens_guessed = 0;  // and evaluated
  uint64_t n_guesses_right = 0;   // of them, those that became tokens of answers
  uint64_t n_cancelled = 0;       // generations that a cancel ended
  uint64_t n_refused = 0;         // because too many waited
  uint64_t n_stepped_back = 0;    // times that a sequence made room for others
  uint64_t n_blocks_saved = 0;    // of conversations, to disk
  uint64_t n_blocks_brought_back = 0;
  uint64_t n_steps = 0;           // of generations and scores
  uint64_t n_step_tokens = 0;     // evaluated by all steps
  uint64_t n_step_sequences = 0;  // that took part in a step, of all steps
};

}  // namespace maru::link
