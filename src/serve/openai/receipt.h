// serve/openai/receipt.h - the receipt of an answer: what gave it, what was asked with every
// default written out, and what came, so that `maru replay` can have the same bytes made again.
//
// Generation writes it, app/cmd_replay.cc reads it. A receipt is from outside: nothing in it is
// trusted. Format: docs/receipts.md. Threads: free functions without state.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "serve/fields.h"

namespace maru::serve::openai {

inline constexpr int kReceiptVersion = 1;
inline constexpr size_t kReceiptBytesMax = 256 << 20;
// A request's own depth, and what the receipt and an answer around it add.
inline constexpr size_t kReceiptDepthMax = kJsonDepthMax + 4;

// What an answer depends on besides its request. The instruction set, the threads, the cache and
// the load of the machine are not among it.
struct AnswerSource {
  std::string version;  // of Maru
  std::string commit;
  std::string model;
  std::vector<std::string> model_sha256;  // of each file of the model
  std::string template_sha256;            // empty: it has no chat template
  size_t n_ctx = 0;
  std::string adapter = {};  // its name; empty: none
  std::string adapter_sha256 = {};

  bool operator==(const AnswerSource&) const = default;
};

// "fp_" and 16 digits: equal where version, commit, model, template and adapter are.
std::string system_fingerprint(const AnswerSource& source);

struct Receipt {
  std::string id;
  int64_t created = 0;  // Units: seconds since 1970; the time that the chat template was told
  AnswerSource source;
  Endpoint endpoint = kChatEndpoint;
  Json request;  // a body for the endpoint; its seed is the one that was used
  Json choices;  // as a whole answer has them
};

// With "sha256" over all the rest, which tells an accident, not a forger: replaying tells both.
Json receipt_json(const Receipt& receipt);
// Of a receipt without its sha256.
std::string receipt_sha256(const Json& receipt);

// Takes a receipt, or a whole answer that has one in its `receipt`.
// Errors: kInvalidArgument naming the field; kUnsupported for a later version; kCorrupt where the
// content is not what its sha256 was made from.
Result<Receipt> parse_receipt(std::string_view text);

struct Difference {
  std::string where;  // "choices[0].message.content, from byte 12 on"
  std::string receipt;
  std::string replay;
};
// Nothing where both are the same value: the order of keys and the spelling of numbers are free.
std::optional<Difference> first_difference(const Json& receipt, const Json& replay,
                                           const std::string& where = "choices");

}  // namespace maru::serve::openai
