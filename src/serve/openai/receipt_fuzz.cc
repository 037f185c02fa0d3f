// Mutated receipts: parse_receipt() answers with a receipt or with an error. The hash would stop
// nearly all of them, so half are changed as values and get one that fits.
//
// MARU_FUZZ_ITERATIONS sets how many (default 3,000), MARU_FUZZ_SEED the first; a failure prints
// its seed.
#include <gtest/gtest.h>

#include "memory_meter.h"
#include "mutate.h"
#include "serve/openai/receipt.h"

namespace maru::serve::openai {
namespace {

using testing_support::setting;

constexpr uint64_t kIterations = 3000;

Receipt sample() {
  Receipt receipt;
  receipt.id = "chatcmpl-1";
  receipt.created = 1'764'316'800;
  receipt.source.model_sha256 = {"a", "b"};
  receipt.source.adapter = "x";
  receipt.request = Json::parse(R"({"model":"m","seed":1,"messages":[{"role":"user"}]})");
  receipt.choices = Json::parse(R"([{"index":0,"message":{"content":"Hi"}}])");
  return receipt;
}

// Some value below `value`, or itself, becomes another one.
void change(Json& value, Rng& rng) {
  if (!value.empty() && value.is_structured() && rng.below(4) != 0) {
    auto member = value.begin();
    for (uint64_t i = rng.below(value.size()); i > 0; --i) ++member;
    return change(*member, rng);
  }
  const Json kValues[] = {nullptr,
                          true,
                          -1,
                          18446744073709551615u,
                          1e300,
                          "",
                          "x",
                          Json::array(),
                          Json::object(),
                          Json::array({1, "a"})};
  value = kValues[rng.below(std::size(kValues))];
}

TEST(ReceiptFuzz, MutatedReceipts) {
  const Json original = receipt_json(sample());
  ASSERT_TRUE(parse_receipt(dump_json(original)).ok());
  const uint64_t first = setting("MARU_FUZZ_SEED", 1);
  const uint64_t n = setting("MARU_FUZZ_ITERATIONS", kIterations);
  uint64_t n_read = 0;
  for (uint64_t seed = first; seed < first + n; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    Json json = original;
    std::string text;
    if (rng.below(2) == 0) {
      change(json, rng);
      if (json.is_object() && json.contains("sha256")) json["sha256"] = receipt_sha256(json);
      text = dump_json(json);
    } else {
      text = dump_json(json);
      testing_support::mutate_bytes(text, rng, text.size());
    }
    const auto read = parse_receipt(text);
    if (!read.ok()) {
      EXPECT_FALSE(read.error().message.empty());
      continue;
    }
    ++n_read;
    first_difference(read->choices, original["choices"]);
  }
  EXPECT_GT(n_read, n / 20);
}

}  // namespace
}  // namespace maru::serve::openai
