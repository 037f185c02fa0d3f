#include "importer/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "safetensors_writer.h"

namespace maru::importer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::SafetensorsWriter;

std::span<const std::byte> bytes_of(const std::string& file) {
  return std::as_bytes(std::span(file));
}

std::string why_not(const std::string& file) {
  const auto opened = parse_safetensors(bytes_of(file));
  return opened.ok() ? "it was taken" : opened.error().message;
}

// One tensor "a" with this entry, over four bytes.
std::string refusal_of(const std::string& entry) {
  return why_not(SafetensorsWriter::with_header("{\"a\":" + entry + "}", "abcd"));
}

TEST(Safetensors, GivesNamesTypesShapesAndBytes) {
  SafetensorsWriter writer;
  writer.add_f32("w", {2, 3}, {1, 2, 3, 4, 5, 6});
  writer.add("b", "BF16", {2}, "abcd");
  writer.add("one", "F16", {}, "xy");
  const std::string file = writer.finish();
  const auto opened = parse_safetensors(bytes_of(file));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  ASSERT_EQ((*opened).size(), 3u);
  const SourceTensor& w = (*opened)[0];
  EXPECT_EQ(w.name, "w");
  EXPECT_EQ(w.type, SourceType::kF32);
  EXPECT_THAT(w.shape, ElementsAre(2, 3));
  EXPECT_EQ(w.n_rows(), 2u);
  EXPECT_EQ(w.n_cols(), 3u);
  EXPECT_EQ(w.bytes.size(), 24u);
  EXPECT_EQ((*opened)[1].type, SourceType::kBF16);
  EXPECT_EQ((*opened)[2].n_elements(), 1u);
}

TEST(Safetensors, MetadataIsNoTensorAndOrderIsThatOfTheBytes) {
  const std::string file = SafetensorsWriter::with_header(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},)"
      R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
      "abcd");
  const auto opened = parse_safetensors(bytes_of(file));
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  ASSERT_EQ((*opened).size(), 2u);
  EXPECT_EQ((*opened)[0].name, "a");
}

TEST(Safetensors, SaysWhatIsWrongWithTheFile) {
  EXPECT_THAT(why_not("abc"), HasSubstr("no safetensors file"));
  EXPECT_THAT(why_not(std::string(8, '\xFF') + "{}"), HasSubstr("at most"));
  EXPECT_THAT(why_not(SafetensorsWriter::with_header("{}", "").substr(0, 9)),
              HasSubstr("truncated"));
  EXPECT_THAT(why_not(SafetensorsWriter::with_header("{", "")), HasSubstr("no JSON"));
  EXPECT_THAT(why_not(SafetensorsWriter::with_header("[]", "")), HasSubstr("object"));
  EXPECT_THAT(why_not(SafetensorsWriter::with_header("{}", "x")), HasSubstr("behind the last"));
  EXPECT_THAT(why_not(SafetensorsWriter::with_header(std::string(100, '['), "")),
              HasSubstr("nested"));
}

TEST(Safetensors, SaysWhatIsWrongWithATensor) {
  EXPECT_THAT(refusal_of("1"), HasSubstr("lacks"));
  EXPECT_THAT(refusal_of(R"({"dtype":"F32","shape":[1]})"), HasSubstr("lacks"));
  EXPECT_THAT(refusal_of(R"({"dtype":"Q4","shape":[1],"data_offsets":[0,4]})"),
              HasSubstr("unknown type 'Q4'"));
  EXPECT_THAT(refusal_of(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"),
              HasSubstr("list of sizes"));
  EXPECT_THAT(refusal_of(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,4]})"),
              HasSubstr("list of sizes"));
  EXPECT_THAT(refusal_of(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
              HasSubstr("takes 8"));
  EXPECT_THAT(refusal_of(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"),
              HasSubstr("outside"));
  EXPECT_THAT(refusal_of(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})"),
              HasSubstr("outside"));
  EXPECT_THAT(refusal_of(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})"),
              HasSubstr("larger than any file"));
  EXPECT_THAT(refusal_of(R"({"dtype":"U8","shape":[2],"data_offsets":[2,4]})"),
              HasSubstr("nobody owns"));
  EXPECT_THAT(refusal_of(R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4]})"),
              HasSubstr("dimensions"));
}

TEST(Safetensors, TensorsDoNotShareBytes) {
  EXPECT_THAT(why_not(SafetensorsWriter::with_header(
                  R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                  R"("b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
                  "abcd")),
              HasSubstr("shares bytes"));
}

}  // namespace
}  // namespace maru::importer
