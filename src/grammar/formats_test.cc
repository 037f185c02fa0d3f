#include "grammar/formats.h"

#include "grammar/test_grammars.h"

namespace maru::grammar {
namespace {

struct Case {
  std::string format;
  std::vector<std::string> valid;
  std::vector<std::string> invalid;
};

const Case kCases[] = {
    {"date",
     {"2024-02-29", "2000-02-29", "1999-12-31", "2023-04-30"},
     {"2023-02-29", "1900-02-29", "2023-04-31", "2023-13-01", "2023-00-10", "23-01-01", ""}},
    {"time",
     {"12:30:15Z", "00:00:00+09:00", "23:59:60Z", "08:05:00.25-05:30"},
     {"12:30:15", "24:00:00Z", "12:60:00Z", "22:59:60Z"}},
    {"date-time",
     {"2024-02-29T23:59:59Z", "1999-01-01t00:00:00.1+01:00"},
     {"2024-02-30T00:00:00Z", "2024-02-29 00:00:00Z", "2024-02-29"}},
    {"duration", {"P1Y2M3DT4H5M6S", "P4W", "PT0S", "P1D"}, {"P", "PT", "1D", "P1W2D", "P1S"}},
    {"uuid", {"f47ac10b-58cc-4372-a567-0e02b2c3d479"}, {"f47ac10b-58cc-4372-a567-0e02b2c3d47"}},
    {"ipv4", {"0.0.0.0", "255.255.255.255"}, {"256.0.0.1", "1.2.3", "01.2.3.4"}},
    {"ipv6",
     {"::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3::8", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4",
      "1::8:9", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8"},
     {":", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", ":::"}},
    {"hostname", {"a", "a-b.c", "xn--p1ai.example"}, {"-a", "a-", "a..b", "a_b", ""}},
    {"email", {"a@b", "a.b+c@d-e.org", "x@[1.2.3.4]"}, {"a", "a@", "@b", "a b@c", ".a@b", "a@-b"}},
    {"idn-email", {"김@예시.한국"}, {"김"}},
    {"uri",
     {"http://a.b/c?d#e", "urn:x:y", "mailto:a@b.c", "http://[::1]:80/", "a:"},
     {"a", "//a", "http://a b", "http://[::1", ""}},
    {"uri-reference", {"", "a/b", "//a", "#x", "?q", "../a:b", "http://x"}, {"a b", "\\x", "%zz"}},
    {"iri", {"http://예시/길"}, {"예시"}},
    {"json-pointer", {"", "/a", "/a~1b/~0", "/"}, {"a", "/~2", "#/a"}},
    {"relative-json-pointer", {"0", "1/a", "12#"}, {"/a", "01", ""}},
};

TEST(Formats, Texts) {
  for (const Case& each : kCases) {
    const std::string schema = R"({"type":"string","format":")" + each.format + R"("})";
    for (const auto& text : each.valid) {
      EXPECT_EQ(verdict(GrammarKind::kJsonSchema, schema, dump_json(Json(text))), "yes")
          << each.format << " " << text;
    }
    for (const auto& text : each.invalid) {
      EXPECT_EQ(verdict(GrammarKind::kJsonSchema, schema, dump_json(Json(text))), "no")
          << each.format << " " << text;
    }
  }
}

TEST(Formats, AnUnknownOneSaysNothing) {
  EXPECT_EQ(verdict(GrammarKind::kJsonSchema, R"({"type":"string","format":"colour"})", "\"x\""),
            "yes");
}

}  // namespace
}  // namespace maru::grammar
