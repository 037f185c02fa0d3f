// serve/fields_test.cc - every row of the field table at and beyond its borders, and the documents
// that are written from the tables.
#include "serve/fields.h"

#include <gtest/gtest.h>

#include <set>

#include "base/files.h"
#include "serve/errors.h"
#include "source_dir.h"

namespace maru::serve {
namespace {

constexpr size_t kDocumentBytesMax = 1 << 20;

constexpr Endpoint kEndpoints[] = {kChatEndpoint, kCompletionEndpoint, kEmbeddingsEndpoint,
                                   kRerankEndpoint};

Result<Fields> check(Endpoint endpoint, std::string_view name, Json value) {
  Json body = Json::object();
  body[std::string(name)] = std::move(value);
  return Fields::check(endpoint, std::move(body));
}

Endpoint endpoint_of(const FieldRow& row) {
  for (const Endpoint endpoint : kEndpoints) {
    if ((row.endpoints & endpoint) != 0) return endpoint;
  }
  return kChatEndpoint;
}

TEST(FieldsTest, NamesAreUniqueForAnEndpoint) {
  for (const Endpoint endpoint : kEndpoints) {
    std::set<std::string_view> seen;
    for (const FieldRow& row : field_table()) {
      if ((row.endpoints & endpoint) == 0) continue;
      EXPECT_TRUE(seen.insert(row.name).second) << row.name;
    }
  }
}

TEST(FieldsTest, RangesAreEnforcedAtTheirBorders) {
  for (const FieldRow& row : field_table()) {
    const bool is_number = row.type == FieldType::kInteger || row.type == FieldType::kNumber;
    if (!is_number || row.min == row.max) continue;
    const Endpoint endpoint = endpoint_of(row);
    EXPECT_EQ(check(endpoint, row.name, row.min).ok(), !row.above_min && row.name != "seed")
        << row.name;
    if (row.name == "seed") continue;  // wider than a double holds exactly
    EXPECT_TRUE(check(endpoint, row.name, row.max).ok()) << row.name;
    for (const double outside : {row.min - 1, row.max + 1, 1e300, -1e300}) {
      const auto refused = check(endpoint, row.name, outside);
      ASSERT_FALSE(refused.ok()) << row.name << " " << outside;
      EXPECT_EQ(refused.error().param, row.name);
      EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    }
  }
}

TEST(FieldsTest, WrongTypesAreRefused) {
  const std::vector<Json> values = {true, 1, 1.5, "text", Json::array({1}), {{"a", 1}}};
  for (const FieldRow& row : field_table()) {
    if (row.use != FieldUse::kHonoured) continue;
    size_t n_accepted = 0;
    for (const Json& value : values) {
      n_accepted += check(endpoint_of(row), row.name, value).ok() ? 1 : 0;
    }
    // A number takes 1 (and 1.5 where the range allows it), two kinds take string and array.
    EXPECT_GE(n_accepted, 1u) << row.name;
    EXPECT_LE(n_accepted, 2u) << row.name;
  }
}

TEST(FieldsTest, RefusedFieldsPassOnlyTheirNeutralValues) {
  for (const FieldRow& row : field_table()) {
    if (row.use != FieldUse::kRefused) continue;
    EXPECT_TRUE(check(endpoint_of(row), row.name, nullptr).ok()) << row.name;
    const auto refused = check(endpoint_of(row), row.name, "something else");
    ASSERT_FALSE(refused.ok()) << row.name;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(refused.error().param, row.name);
    EXPECT_FALSE(row.note.empty()) << row.name << " must say why";
    if (row.neutral.empty()) continue;
    for (const Json& value : Json::parse(row.neutral)) {
      EXPECT_TRUE(check(endpoint_of(row), row.name, value).ok()) << row.name;
    }
  }
}

TEST(FieldsTest, IgnoredAndUnknownFieldsAreNamedAndNullIsAbsent) {
  const auto fields = Fields::check(
      kChatEndpoint, Json::parse(R"({"metadata":"u","nonsense":[1],"store":null,"suffix":"x"})"));
  ASSERT_TRUE(fields.ok());
  EXPECT_EQ(fields->ignored(), (std::vector<std::string>{"metadata", "nonsense", "suffix"}));
  EXPECT_EQ(fields->number("temperature"), 0.8);
  EXPECT_EQ(fields->integer("n"), 1);
  EXPECT_EQ(fields->find("stop"), nullptr);
}

// To bring it up to date, put what the failure prints into the file.
TEST(FieldsTest, TheDocumentIsTheTable) {
  const auto document = read_file(MARU_SOURCE_DIR "/docs/api-fields.md", kDocumentBytesMax);
  ASSERT_TRUE(document.ok()) << document.error().message;
  EXPECT_EQ(*document, field_table_markdown());
}

TEST(ErrorsTest, TheDocumentHasEveryCodeWithItsStatus) {
  const auto document = read_file(MARU_SOURCE_DIR "/docs/errors.md", kDocumentBytesMax);
  ASSERT_TRUE(document.ok()) << document.error().message;
  for (const ErrorRow& row : error_table()) {
    const std::string line = "| `" + std::string(error_code_name(row.code)) + "` | " +
                             std::to_string(row.status) + " | " + std::string(row.advice) + " |";
    EXPECT_NE(document->find(line), std::string::npos) << line;
  }
}

TEST(ErrorsTest, EveryCodeHasARow) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    EXPECT_GE(error_row(static_cast<ErrorCode>(code)).status, 400);
  }
}

TEST(ErrorsTest, TheBodyHasTheOfficialShape) {
  const Json json = Json::parse(error_body(Error::invalid("say \"what\"", "messages[0].role")));
  EXPECT_EQ(json.dump(), R"({"error":{"message":"say \"what\"","type":"invalid_request_error",)"
                         R"("param":"messages[0].role","code":"invalid_argument"}})");
  EXPECT_TRUE(Json::parse(error_body(Error::internal("x")))["error"]["param"].is_null());
}

}  // namespace
}  // namespace maru::serve
