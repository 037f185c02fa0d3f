#include "grammar/formats.h"

#include <fmt/format.h>

#include <string>

#include "base/check.h"
#include "grammar/regex.h"

namespace maru::grammar {
namespace {

// RFC 3339, with the days that each month has.
constexpr std::string_view kDate =
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)";
constexpr std::string_view kTime =
    "(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]+)?"
    "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])|23:59:60(?:\\.[0-9]+)?(?:[Zz]|[+-]00:00))";
constexpr std::string_view kDuration =
    "P(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
    "(?:T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))?"
    "|T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S))";
constexpr std::string_view kOctet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
// RFC 1123; the whole is at most 253 long.
constexpr std::string_view kLabel = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
constexpr std::string_view kIdnLabel =
    "[A-Za-z0-9\\u00b7-\\uffff](?:[A-Za-z0-9\\u00b7-\\uffff-]{0,61}[A-Za-z0-9\\u00b7-\\uffff])?";
constexpr std::string_view kUuid =
    "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}";
constexpr std::string_view kAtom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
constexpr std::string_view kIdnAtom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\u0080-\\uffff-]+";
constexpr std::string_view kJsonPointer = "(?:/(?:[^~/]|~[01])*)*";

std::string ipv4() { return fmt::format("{0}(?:\\.{0}){{3}}", kOctet); }

// RFC 4291: at most one run of zeros is left out; the end may be an IPv4 address.
std::string ipv6() {
  const std::string hex = "[0-9a-fA-F]{1,4}";
  const std::string last = fmt::format("(?:{0}:{0}|{1})", hex, ipv4());
  std::string ways = fmt::format("(?:{}:){{6}}{}", hex, last);
  ways += fmt::format("|::(?:{}:){{0,5}}{}|::(?:{}:){{0,0}}{}|::", hex, last, hex, hex);
  for (int n = 1; n <= 7; ++n) {  // groups before the gap
    const std::string before = fmt::format("{0}(?::{0}){{{1}}}::", hex, n - 1);
    ways += "|" + before;
    if (n <= 6) ways += "|" + before + hex;
    if (n <= 5) ways += fmt::format("|{}(?:{}:){{0,{}}}{}", before, hex, 5 - n, last);
  }
  return "(?:" + ways + ")";
}

// RFC 3986; `extra` are the characters that RFC 3987 adds.
std::string uri(bool relative, std::string_view extra) {
  const std::string unreserved = fmt::format("A-Za-z0-9._~!$&'()*+,;={}\\-", extra);
  const std::string encoded = "%[0-9A-Fa-f]{2}";
  const std::string pchar = fmt::format("(?:[{}:@]|{})", unreserved, encoded);
  const std::string userinfo = fmt::format("(?:(?:[{}:]|{})*@)?", unreserved, encoded);
  const std::string host = fmt::format("(?:\\[(?:{}|v[0-9A-Fa-f]+\\.[{}:]+)\\]|(?:[{}]|{})*)",
                                       ipv6(), unreserved, unreserved, encoded);
  const std::string authority = "//" + userinfo + host + "(?::[0-9]*)?";
  const std::string segments = fmt::format("(?:/{}*)*", pchar);
  const std::string rootless = fmt::format("{}+{}", pchar, segments);
  const std::string absolute = fmt::format("/(?:{})?", rootless);
  const std::string tail = fmt::format("(?:\\?(?:{0}|[/?])*)?(?:#(?:{0}|[/?])*)?", pchar);
  const std::string with_scheme = fmt::format("[A-Za-z][A-Za-z0-9+.-]*:(?:{}{}|{}|{}|){}",
                                              authority, segments, absolute, rootless, tail);
  if (!relative) return with_scheme;
  const std::string no_colon = fmt::format("(?:[{}@]|{})+{}", unreserved, encoded, segments);
  return fmt::format("(?:{}|(?:{}{}|{}|{}|){})", with_scheme, authority, segments, absolute,
                     no_colon, tail);
}

std::optional<std::string> pattern_of(std::string_view name) {
  constexpr std::string_view kMoreChars = "\\u00a0-\\ud7ff\\uf900-\\ufdcf\\ufdf0-\\uffef";
  if (name == "date") return std::string(kDate);
  if (name == "time") return std::string(kTime);
  if (name == "date-time") return fmt::format("{}[Tt]{}", kDate, kTime);
  if (name == "duration") return std::string(kDuration);
  if (name == "uuid") return std::string(kUuid);
  if (name == "ipv4") return ipv4();
  if (name == "ipv6") return ipv6();
  if (name == "hostname") return fmt::format("(?=.{{1,253}}$){0}(?:\\.{0})*", kLabel);
  if (name == "idn-hostname") return fmt::format("(?=.{{1,253}}$){0}(?:\\.{0})*", kIdnLabel);
  if (name == "email") {
    return fmt::format("{0}(?:\\.{0})*@(?:{1}(?:\\.{1})*|\\[{2}\\])", kAtom, kLabel, ipv4());
  }
  if (name == "idn-email") return fmt::format("{0}(?:\\.{0})*@{1}(?:\\.{1})*", kIdnAtom, kIdnLabel);
  if (name == "uri") return uri(false, "");
  if (name == "uri-reference") return uri(true, "");
  if (name == "iri") return uri(false, kMoreChars);
  if (name == "iri-reference") return uri(true, kMoreChars);
  if (name == "json-pointer") return std::string(kJsonPointer);
  if (name == "relative-json-pointer")
    return fmt::format("(?:0|[1-9][0-9]*)(?:#|{})", kJsonPointer);
  return std::nullopt;
}

}  // namespace

std::optional<TermId> format_term(Terms& terms, std::string_view name) {
  const auto pattern = pattern_of(name);
  if (!pattern) return std::nullopt;
  const auto term = parse_regex(terms, *pattern, RegexMatch::kWhole);
  CHECK(term.ok() || terms.budget().exhausted());
  return term.ok() ? *term : kNever;
}

}  // namespace maru::grammar
