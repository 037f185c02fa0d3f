#include "text/jinja/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "text/jinja/access.h"
#include "text/jinja/convert.h"

namespace maru::text::jinja {
namespace {

// Precisions and widths beyond this are a budget error, not a number.
constexpr int64_t kWidthMax = static_cast<int64_t>(kRenderBytesMax);
constexpr int kPrecisionMax = 300;

// One conversion: what stands between '%' or ':' and its type letter.
struct Spec {
  std::string fill = " ";
  char align = 0;  // '<' '>' '^' '='
  char sign = 0;   // '+' or ' '
  bool alternate = false;
  bool grouped = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

bool read_number(std::string_view& text, int64_t& value) {
  size_t n = 0;
  while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
  if (n == 0) return true;
  const auto result = std::from_chars(text.data(), text.data() + n, value);
  text.remove_prefix(n);
  return result.ec == std::errc() && value <= kWidthMax;
}

std::string grouped(std::string digits) {
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  for (size_t i = end; i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

// The digits of a number without its sign.
bool number_text(Runtime& rt, const Value& v, const Spec& spec, std::string& out) {
  const bool is_long = std::fabs(v.as_float()) > 1e20 || spec.precision > 20;
  if (!rt.work(is_long ? kLongNumberCost : kNumberCost)) return false;
  const int precision = static_cast<int>(std::min<int64_t>(spec.precision, kPrecisionMax));
  const char type = spec.type == 'i' || spec.type == 'u' ? 'd' : spec.type;
  if (v.is_integral() &&
      (type == 0 || std::string_view("dxXobnc").find(type) != std::string::npos)) {
    const int64_t i = v.as_int();
    const uint64_t magnitude = i < 0 ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i);
    if (type == 'x')
      out = fmt::format("{}{:x}", spec.alternate ? "0x" : "", magnitude);
    else if (type == 'X')
      out = fmt::format("{}{:X}", spec.alternate ? "0X" : "", magnitude);
    else if (type == 'o')
      out = fmt::format("{}{:o}", spec.alternate ? "0o" : "", magnitude);
    else if (type == 'b')
      out = fmt::format("{}{:b}", spec.alternate ? "0b" : "", magnitude);
    else if (type == 'c')
      append_utf8(out, static_cast<char32_t>(magnitude));
    else
      out = fmt::format("{}", magnitude);
    return true;
  }
  const double f = std::fabs(v.as_float());
  if (!std::isfinite(f)) {
    out = std::isnan(f) ? "nan" : "inf";
    return true;
  }
  const int digits = precision < 0 ? 6 : precision;
  switch (type) {
    case 'f':
    case 'F':
      out = fmt::format("{:.{}f}", f, digits);
      return true;
    case 'e':
      out = fmt::format("{:.{}e}", f, digits);
      return true;
    case 'E':
      out = fmt::format("{:.{}E}", f, digits);
      return true;
    case 'g':
      out = fmt::format("{:.{}g}", f, digits);
      return true;
    case 'G':
      out = fmt::format("{:.{}G}", f, digits);
      return true;
    case '%':
      out = fmt::format("{:.{}f}%", f * 100, digits);
      return true;
    case 0:
      out = precision < 0 ? float_repr(f) : fmt::format("{:.{}g}", f, precision);
      return true;
    default:
      rt.fail(fmt::format("Unknown format code '{}' for object of type '{}'", type, type_name(v)));
      return false;
  }
}

void append_padded(Runtime& rt, StrBuilder& out, const Spec& spec, std::string_view sign,
                   Origin sign_origin, const Str& body, char default_align) {
  const char align = spec.align != 0 ? spec.align : default_align;
  const int64_t pad = std::max<int64_t>(
      0, spec.width - static_cast<int64_t>(count_chars(body.view()) + sign.size()));
  const int64_t left = align == '<' ? 0 : align == '^' ? pad / 2 : pad;
  const auto fill = [&](int64_t n) {
    for (int64_t i = 0; i < n && rt.step(); ++i) out.append(spec.fill, Origin::kData);
  };
  if (align == '=') out.append(sign, sign_origin);
  fill(left);
  if (align != '=') out.append(sign, sign_origin);
  out.append(body);
  fill(pad - left);
}

void append_number(Runtime& rt, StrBuilder& out, const Value& v, const Spec& spec) {
  std::string digits;
  if (!number_text(rt, v, spec, digits)) return;
  if (spec.grouped) digits = grouped(std::move(digits));
  const bool negative = v.is_integral() ? v.as_int() < 0 : std::signbit(v.as_float());
  const std::string sign = negative ? "-" : spec.sign != 0 ? std::string(1, spec.sign) : "";
  append_padded(rt, out, spec, sign, v.origin, rt.str(digits, v.origin), '>');
}

void append_text(Runtime& rt, StrBuilder& out, Str text, const Spec& spec, char default_align) {
  if (spec.precision >= 0) {
    text = text.sub(0, char_offset(text.view(), static_cast<size_t>(spec.precision)));
  }
  append_padded(rt, out, spec, "", Origin::kData, text, default_align);
}

// [[fill]align][sign][#][0][width][,][.precision][type]
bool parse_spec(Runtime& rt, std::string_view text, Spec& spec) {
  constexpr std::string_view kAligns = "<>^=";
  const auto is_align = [&](std::string_view at) {
    return !at.empty() && kAligns.find(at[0]) != std::string_view::npos;
  };
  const size_t n_fill = text.empty() ? 0 : decode_utf8(text).n_bytes;
  if (n_fill > 0 && is_align(text.substr(n_fill))) {
    spec.fill = std::string(text.substr(0, n_fill));
    spec.align = text[n_fill];
    text.remove_prefix(n_fill + 1);
  } else if (is_align(text)) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  const auto skip = [&text](char c) {
    if (!text.starts_with(c)) return false;
    text.remove_prefix(1);
    return true;
  };
  if (skip('+'))
    spec.sign = '+';
  else if (skip(' '))
    spec.sign = ' ';
  else
    skip('-');
  spec.alternate = skip('#');
  if (skip('0') && spec.align == 0) {
    spec.fill = "0";
    spec.align = '=';
  }
  bool ok = read_number(text, spec.width);
  spec.grouped = skip(',');
  if (skip('.')) {
    spec.precision = 0;
    ok = read_number(text, spec.precision) && ok;
  }
  if (!ok) {
    rt.exhausted("a format's width or precision is too large");
    return false;
  }
  if (!text.empty()) {
    spec.type = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty()) rt.fail("Invalid format specifier");
  return !rt.failed();
}

// Walks a format string with '%'.
class PercentFormatter {
 public:
  PercentFormatter(Runtime& rt, const Str& format, const Value& args)
      : rt_(rt), out_(rt), format_(format), args_(args) {}

  Value run() {
    const std::string_view text = format_.view();
    size_t at = 0;
    while (at < text.size() && rt_.step()) {
      const size_t percent = std::min(text.find('%', at), text.size());
      out_.append(format_.sub(at, percent - at));
      if (percent == text.size()) break;
      at = percent + 1;
      if (!convert(at)) return {};
    }
    const bool is_tuple = args_.is(Kind::kTuple);
    const size_t n_args = is_tuple ? args_.list->items.size() : 1;
    if (!rt_.failed() && next_ < n_args &&
        (is_tuple || args_.is_string() || args_.is_number() || args_.is_none())) {
      return rt_.fail("not all arguments converted during string formatting");
    }
    return out_.finish_value();
  }

 private:
  bool next(Value& value) {
    if (!args_.is(Kind::kTuple)) {
      value = args_;
    } else if (next_ < args_.list->items.size()) {
      value = args_.list->items[next_];
    } else {
      next_ = SIZE_MAX - 1;
    }
    const size_t n_args = args_.is(Kind::kTuple) ? args_.list->items.size() : 1;
    if (next_ >= n_args) {
      rt_.fail("not enough arguments for format string");
      return false;
    }
    ++next_;
    return true;
  }

  // "%(key)s": the value, if the conversion at `rest` has a key.
  bool keyed(std::string_view& rest, Value& value, bool& has_key) {
    has_key = rest.starts_with('(');
    if (!has_key) return true;
    const size_t close = rest.find(')');
    if (close == std::string_view::npos) {
      rt_.fail("incomplete format key");
      return false;
    }
    const Value* found =
        args_.is_dict() ? find(rt_, *args_.dict, rest.substr(1, close - 1)) : nullptr;
    if (found == nullptr) {
      rt_.fail(args_.is_dict() ? "a format key is missing" : "format requires a mapping");
      return false;
    }
    value = *found;
    rest.remove_prefix(close + 1);
    return true;
  }

  bool star_or_number(std::string_view& rest, int64_t& number) {
    if (!rest.starts_with('*')) return read_number(rest, number);
    rest.remove_prefix(1);
    Value value;
    if (!next(value)) return false;
    number = value.is_integral() ? value.as_int() : 0;
    return number <= kWidthMax;
  }

  bool convert(size_t& at) {
    std::string_view rest = format_.view().substr(at);
    Value value;
    bool has_key = false;
    if (!keyed(rest, value, has_key)) return false;
    Spec spec;
    bool left = false;
    bool zero = false;
    for (; !rest.empty() && std::string_view("-+ #0").find(rest[0]) != std::string_view::npos;
         rest.remove_prefix(1)) {
      left |= rest[0] == '-';
      zero |= rest[0] == '0';
      spec.alternate |= rest[0] == '#';
      if (rest[0] == '+' || (rest[0] == ' ' && spec.sign == 0)) spec.sign = rest[0];
    }
    bool ok = star_or_number(rest, spec.width);
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      spec.precision = 0;
      ok = star_or_number(rest, spec.precision) && ok;
    }
    if (!ok) {
      rt_.exhausted("a format's width or precision is too large");
      return false;
    }
    if (rest.empty()) {
      rt_.fail("incomplete format");
      return false;
    }
    spec.type = rest[0];
    at = static_cast<size_t>(rest.data() - format_.view().data()) + 1;
    if (spec.type == '%') {
      out_.append("%", Origin::kLiteral);
      return true;
    }
    spec.align = left ? '<' : 0;
    if (!has_key && !next(value)) return false;
    if (zero && !left) {
      spec.fill = "0";
      spec.align = '=';
    }
    return append(value, spec);
  }

  bool append(const Value& value, Spec& spec) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a':
        if (spec.align == '=') spec = {.align = '>', .width = spec.width, .type = spec.type};
        append_text(rt_, out_, spec.type == 's' ? to_str(rt_, value) : repr(rt_, value), spec, '>');
        break;
      case 'c':
        if (value.is_string()) {
          if (count_chars(value.text()) != 1) {
            rt_.fail("%c requires int or char");
            return false;
          }
          append_text(rt_, out_, value.s, spec, '>');
          break;
        }
        append_number(rt_, out_, value, spec);
        break;
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        if (!value.is_number()) {
          rt_.fail(fmt::format("%{} format: a real number is required, not {}", spec.type,
                               type_name(value)));
          return false;
        }
        const bool integral = std::string_view("diuxXo").find(spec.type) != std::string_view::npos;
        if (integral && value.is(Kind::kFloat)) {
          if (spec.type == 'x' || spec.type == 'X' || spec.type == 'o') {
            rt_.fail(fmt::format("%{} format: an integer is required, not float", spec.type));
            return false;
          }
          if (!(std::fabs(value.f) < 9.2e18)) {
            rt_.fail("cannot convert float to an integer of 64 bits");
            return false;
          }
          append_number(rt_, out_, Value::integer(static_cast<int64_t>(value.f), value.origin),
                        spec);
        } else {
          append_number(rt_, out_, value, spec);
        }
        break;
      }
      default:
        rt_.fail(fmt::format("unsupported format character '{}'", spec.type));
    }
    return !rt_.failed();
  }

  Runtime& rt_;
  StrBuilder out_;
  Str format_;
  Value args_;
  size_t next_ = 0;
};

// Walks a format string with braces.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& rt, const Args& args) : rt_(rt), args_(args) {}

  // Fields may stand in a spec, one level deep, as in Python.
  Str run(const Str& format, int levels) {
    StrBuilder out(rt_);
    const std::string_view text = format.view();
    size_t at = 0;
    while (at < text.size() && rt_.step()) {
      const size_t brace = std::min(text.find_first_of("{}", at), text.size());
      if (!rt_.work(kCharCost * (brace - at))) break;
      out.append(format.sub(at, brace - at));
      if (brace == text.size()) break;
      if (text.substr(brace).starts_with("{{") || text.substr(brace).starts_with("}}")) {
        out.append(format.sub(brace, 1));
        at = brace + 2;
        continue;
      }
      const size_t end = text[brace] == '{' ? matching(text, brace) : std::string_view::npos;
      if (end == std::string_view::npos || levels == 0) {
        rt_.fail("Single '{' or '}' encountered in format string");
        break;
      }
      field(format.sub(brace + 1, end - brace - 1), levels, out);
      at = end + 1;
    }
    return out.finish();
  }

 private:
  static size_t matching(std::string_view text, size_t open) {
    size_t depth = 0;
    for (size_t i = open; i < text.size(); ++i) {
      if (text[i] == '{') ++depth;
      if (text[i] == '}' && --depth == 0) return i;
    }
    return std::string_view::npos;
  }

  void field(const Str& field, int levels, StrBuilder& out) {
    std::string_view text = field.view();
    size_t name_end = 0;
    for (bool in_index = false; name_end < text.size(); ++name_end) {
      const char c = text[name_end];
      if (c == '[') in_index = true;
      if (c == ']') in_index = false;
      if (!in_index && (c == ':' || c == '!')) break;
    }
    Value value = lookup(text.substr(0, name_end));
    size_t at = name_end;
    if (at < text.size() && text[at] == '!') {
      const char conversion = at + 1 < text.size() ? text[at + 1] : '\0';
      if (conversion != 's' && conversion != 'r' && conversion != 'a') {
        rt_.fail("Unknown conversion specifier");
        return;
      }
      value = Value::string(conversion == 's' ? to_str(rt_, value) : repr(rt_, value));
      at += 2;
    }
    std::string spec;
    if (at < text.size() && text[at] == ':') {
      spec = std::string(run(field.sub(at + 1, text.size() - at - 1), levels - 1).view());
    } else if (at < text.size()) {
      rt_.fail("expected ':' after conversion specifier");
    }
    if (!rt_.failed()) out.append(format_value(rt_, value, spec));
  }

  Value lookup(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    const std::string_view name = path.substr(0, end);
    int64_t index = 0;
    const auto number = std::from_chars(name.data(), name.data() + name.size(), index);
    if (name.empty()) {
      if (next_ < 0) return rt_.fail("cannot switch from manual to automatic field numbering");
      index = next_++;
    } else if (number.ec == std::errc() && number.ptr == name.data() + name.size()) {
      if (next_ > 0) return rt_.fail("cannot switch from automatic to manual field numbering");
      next_ = -1;
    } else {
      if (!rt_.step(args_.named.size() / kEntriesPerStep)) return {};
      const auto it = std::find_if(args_.named.begin(), args_.named.end(),
                                   [&](const auto& arg) { return arg.first == name; });
      if (it == args_.named.end()) return rt_.fail(fmt::format("KeyError: '{}'", name));
      return walk(it->second, path.substr(end));
    }
    if (index < 0 || static_cast<size_t>(index) >= args_.positional.size()) {
      return rt_.fail(
          fmt::format("Replacement index {} out of range for positional args tuple", index));
    }
    return walk(args_.positional[static_cast<size_t>(index)], path.substr(end));
  }

  Value walk(Value value, std::string_view path) {
    while (!path.empty() && rt_.step()) {
      if (path[0] == '.') {
        const size_t end = std::min(path.find_first_of(".[", 1), path.size());
        value = get_attribute(rt_, value, path.substr(1, end - 1));
        path.remove_prefix(end);
        continue;
      }
      const size_t close = path.find(']');
      if (path[0] != '[' || close == std::string_view::npos) {
        return rt_.fail("Missing ']' in format string");
      }
      const std::string_view key = path.substr(1, close - 1);
      int64_t index = 0;
      const auto [ptr, ec] = std::from_chars(key.data(), key.data() + key.size(), index);
      value = get_item(rt_, value,
                       ec == std::errc() && ptr == key.data() + key.size()
                           ? Value::integer(index)
                           : rt_.text(key, Origin::kData));
      path.remove_prefix(close + 1);
    }
    return value;
  }

  Runtime& rt_;
  const Args& args_;
  int64_t next_ = 0;  // of automatic numbering; -1 once a number was written
};

}  // namespace

Value percent_format(Runtime& rt, const Str& format, const Value& args) {
  return PercentFormatter(rt, format, args).run();
}

Value brace_format(Runtime& rt, const Str& format, const Args& args) {
  const Str text = BraceFormatter(rt, args).run(format, 2);
  return rt.failed() ? Value{} : Value::string(text);
}

Str format_value(Runtime& rt, const Value& value, std::string_view text) {
  if (text.empty()) return to_str(rt, value);
  StrBuilder out(rt);
  Spec spec;
  if (!parse_spec(rt, text, spec)) return out.finish();
  if (value.is_number()) {
    if (value.is(Kind::kFloat) && spec.type != 0 &&
        std::string_view("dxXobc").find(spec.type) != std::string_view::npos) {
      rt.fail(fmt::format("Unknown format code '{}' for object of type 'float'", spec.type));
      return out.finish();
    }
    append_number(rt, out, value, spec);
  } else if (value.is_string()) {
    if (spec.type != 0 && spec.type != 's') {
      rt.fail(fmt::format("Unknown format code '{}' for object of type 'str'", spec.type));
      return out.finish();
    }
    append_text(rt, out, to_str(rt, value), spec, '<');
  } else {
    rt.fail(fmt::format("unsupported format string passed to {}.__format__", type_name(value)));
  }
  return out.finish();
}

}  // namespace maru::text::jinja
