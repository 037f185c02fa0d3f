// text/jinja/methods_str.cc - the methods of Python's str. Pieces keep their origins.
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/access.h"
#include "text/jinja/convert.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"

namespace maru::text::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

// Binds and requires strings in the first n_text slots (None and absent pass where not required).
bool bind_text(Runtime& rt, std::string_view method, Args& args, Names names, size_t n_required,
               size_t n_text, Value* slots) {
  if (!bind(rt, method, args, names, n_required, slots)) return false;
  for (size_t i = 0; i < n_text; ++i) {
    if (slots[i].is_string()) continue;
    if (i >= n_required && (slots[i].is_none() || slots[i].is_undefined())) continue;
    rt.fail(
        fmt::format("{}() argument {} must be str, not {}", method, i + 1, type_name(slots[i])));
    return false;
  }
  return true;
}

Value strip_method(Runtime& rt, const Value& self, Args& args, bool left, bool right) {
  Value chars;
  if (!bind_text(rt, "strip", args, {"chars"}, 0, 1, &chars)) return {};
  return str_strip(rt, self, chars, left, right);
}

int64_t int_or(const Value& v, int64_t fallback) { return v.is_integral() ? v.as_int() : fallback; }

Value split_method(Runtime& rt, const Value& self, Args& args, bool from_right) {
  Value slots[2];
  if (!bind_text(rt, "split", args, {"sep", "maxsplit"}, 0, 1, slots)) return {};
  int64_t left = int_or(slots[1], -1);
  if (left < 0) left = INT64_MAX;
  const Str& s = self.s;
  const std::string_view text = s.view();
  const bool by_space = !slots[0].is_string();
  if (by_space && !rt.work(2 * kCharCost * text.size())) return {};
  std::vector<Value> parts;
  const auto part = [&](size_t begin, size_t end) {
    if (rt.charge_memory(2 * sizeof(Value)) && rt.step()) {
      parts.push_back(Value::string(s.sub(begin, end - begin), self.markup));
    }
  };
  if (!by_space && slots[0].s.len == 0) return rt.fail("empty separator");
  const std::string_view sep = by_space ? std::string_view() : slots[0].text();
  // [begin, end) is what is left to split.
  size_t begin = 0;
  size_t end = text.size();
  if (by_space) {
    // The side that the search starts from loses its white space at once, the other one only when
    // the search gets there.
    if (from_right && left == INT64_MAX) from_right = false;
    if (!from_right) begin = leading_space(text);
    if (from_right || left == INT64_MAX) end -= std::min(trailing_space(text), end - begin);
  }
  while (left > 0 && begin < end && !rt.failed()) {
    const std::string_view rest = text.substr(begin, end - begin);
    if (by_space && from_right) {
      size_t at = rest.size();
      while (at > 0 && trailing_space(rest.substr(0, at)) == 0) --at;
      if (at == 0) break;
      part(begin + at, end);
      end = begin + at - trailing_space(rest.substr(0, at));
    } else if (by_space) {
      size_t at = 0;
      while (at < rest.size() && leading_space(rest.substr(at)) == 0) {
        at += decode_utf8(rest.substr(at)).n_bytes;
      }
      if (at == rest.size()) break;
      part(begin, begin + at);
      begin += at + leading_space(rest.substr(at));
    } else if (from_right) {
      const size_t at = find_last_text(rt, rest, sep);
      if (at == std::string_view::npos) break;
      part(begin + at + sep.size(), end);
      end = begin + at;
      if (--left == 0 || begin == end) break;
      continue;
    } else {
      const size_t at = find_text(rt, rest, sep);
      if (at == std::string_view::npos) break;
      part(begin, begin + at);
      begin += at + sep.size();
    }
    --left;
  }
  if (by_space && left > 0) {
    // Nothing but one word is left, with white space on the far side.
    const std::string_view rest = text.substr(begin, end - begin);
    const size_t front = leading_space(rest);
    end -= front < rest.size() ? trailing_space(rest) : 0;
    begin += front;
  }
  if (!by_space || begin < end) part(begin, end);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return rt.list(Kind::kList, std::move(parts));
}

Value affix(Runtime& rt, const Value& self, Args& args, bool front) {
  Value slots[3];
  if (!bind(rt, front ? "startswith" : "endswith", args, {"affix", "start", "end"}, 1, slots)) {
    return {};
  }
  Value text = self;
  if (slots[1].is_integral() || slots[2].is_integral()) {
    const Value none = Value::none();
    text = get_slice(rt, self, slots[1].is_undefined() ? none : slots[1],
                     slots[2].is_undefined() ? none : slots[2], none);
    if (rt.failed()) return {};
  }
  std::vector<Value> wanted{slots[0]};
  if (slots[0].is(Kind::kTuple)) wanted = slots[0].list->items;
  for (const Value& w : wanted) {
    if (!w.is_string()) {
      return rt.fail(fmt::format("{} first arg must be str or a tuple of str, not {}",
                                 front ? "startswith" : "endswith", type_name(w)));
    }
    if (!rt.step() || !rt.work(std::min(text.s.len, w.s.len))) return {};
    if (front ? text.text().starts_with(w.text()) : text.text().ends_with(w.text())) {
      return Value::boolean(true);
    }
  }
  return Value::boolean(false);
}

Value find_method_of(Runtime& rt, const Value& self, Args& args, bool last, bool must) {
  Value slots[3];
  if (!bind_text(rt, "find", args, {"sub", "start", "end"}, 1, 1, slots)) return {};
  const Value none = Value::none();
  const Value begin = slots[1].is_undefined() ? none : slots[1];
  const Value part = get_slice(rt, self, begin, slots[2].is_undefined() ? none : slots[2], none);
  if (rt.failed()) return {};
  const std::string_view text = part.text();
  const size_t at =
      last ? find_last_text(rt, text, slots[0].text()) : find_text(rt, text, slots[0].text());
  if (at == std::string_view::npos) {
    return must ? rt.fail("substring not found") : Value::integer(-1);
  }
  // `part` is a slice of self: characters in front of it count too.
  const size_t in_front = part.s.len == 0 ? 0 : part.s.off - self.s.off;
  return Value::integer(static_cast<int64_t>(count_chars(self.text().substr(0, in_front + at))));
}

Value partition(Runtime& rt, const Value& self, Args& args, bool last) {
  Value sep;
  if (!bind_text(rt, "partition", args, {"sep"}, 1, 1, &sep)) return {};
  if (sep.s.len == 0) return rt.fail("empty separator");
  const Value empty = Value::string({nullptr, 0, 0});
  const std::string_view text = self.text();
  const size_t at = last ? find_last_text(rt, text, sep.text()) : find_text(rt, text, sep.text());
  if (at == std::string_view::npos) {
    return last ? rt.list(Kind::kTuple, {empty, empty, self})
                : rt.list(Kind::kTuple, {self, empty, empty});
  }
  const size_t end = at + sep.s.len;
  return rt.list(Kind::kTuple, {Value::string(self.s.sub(0, at)), sep,
                                Value::string(self.s.sub(end, text.size() - end))});
}

Value justify(Runtime& rt, const Value& self, Args& args, bool left) {
  Value slots[2];
  if (!bind(rt, "justify", args, {"width", "fillchar"}, 1, slots)) return {};
  const std::string_view fill = slots[1].is_string() ? slots[1].text() : " ";
  const int64_t missing = int_or(slots[0], 0) - length(rt, self);
  StrBuilder out(rt);
  if (left) out.append(self.s);
  for (int64_t i = 0; i < missing && rt.step(); ++i) out.append(fill, Origin::kData);
  if (!left) out.append(self.s);
  return out.finish_value();
}

template <class Fn>
Value all_chars(Runtime& rt, const Value& self, Fn&& fn) {
  bool any = false;
  for (std::string_view text = self.text(); !text.empty() && rt.step();) {
    const Utf8Char c = decode_utf8(text);
    if (!fn(c.code)) return Value::boolean(false);
    any = true;
    text.remove_prefix(c.n_bytes);
  }
  return Value::boolean(any);
}

bool is_letter(char32_t c) {
  const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
}

// True where there is a cased character and all of them are of that case.
Value is_case(Runtime& rt, const Value& self, bool upper) {
  bool found = false;
  for (std::string_view text = self.text(); !text.empty() && rt.step();) {
    const Utf8Char c = decode_utf8(text);
    text.remove_prefix(c.n_bytes);
    const auto k = utf8proc_category(static_cast<utf8proc_int32_t>(c.code));
    if (k == (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL)) {
      found = true;
    } else if (k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL) {
      return Value::boolean(false);
    }
  }
  return Value::boolean(found);
}

Value remove_affix(Runtime& rt, const Value& self, Args& args, bool front) {
  Value cut;
  if (!bind_text(rt, "removeprefix", args, {"affix"}, 1, 1, &cut)) return {};
  const std::string_view text = self.text();
  if (!rt.work(std::min(self.s.len, cut.s.len))) return {};
  if (front && text.starts_with(cut.text())) {
    return Value::string(self.s.sub(cut.s.len, text.size() - cut.s.len));
  }
  if (!front && text.ends_with(cut.text())) {
    return Value::string(self.s.sub(0, text.size() - cut.s.len));
  }
  return self;
}

struct Method {
  std::string_view name;
  NativeFn fn;
};

#define METHOD(body) [](Runtime& rt, const Value& self, Args& args) -> Value { body }
#define CASE(to) \
  [](Runtime& rt, const Value& self, Args&) -> Value { return str_case(rt, self, to); }

constexpr Method kMethods[] = {
    {"strip", METHOD(return strip_method(rt, self, args, true, true);)},
    {"lstrip", METHOD(return strip_method(rt, self, args, true, false);)},
    {"rstrip", METHOD(return strip_method(rt, self, args, false, true);)},
    {"split", METHOD(return split_method(rt, self, args, false);)},
    {"rsplit", METHOD(return split_method(rt, self, args, true);)},
    {"startswith", METHOD(return affix(rt, self, args, true);)},
    {"endswith", METHOD(return affix(rt, self, args, false);)},
    {"find", METHOD(return find_method_of(rt, self, args, false, false);)},
    {"rfind", METHOD(return find_method_of(rt, self, args, true, false);)},
    {"index", METHOD(return find_method_of(rt, self, args, false, true);)},
    {"rindex", METHOD(return find_method_of(rt, self, args, true, true);)},
    {"partition", METHOD(return partition(rt, self, args, false);)},
    {"rpartition", METHOD(return partition(rt, self, args, true);)},
    {"ljust", METHOD(return justify(rt, self, args, true);)},
    {"rjust", METHOD(return justify(rt, self, args, false);)},
    {"removeprefix", METHOD(return remove_affix(rt, self, args, true);)},
    {"removesuffix", METHOD(return remove_affix(rt, self, args, false);)},
    {"upper", CASE(Case::kUpper)},
    {"lower", CASE(Case::kLower)},
    {"casefold", CASE(Case::kLower)},
    {"title", CASE(Case::kTitle)},
    {"capitalize", CASE(Case::kCapitalize)},
    {"swapcase", CASE(Case::kSwap)},
    {"format", METHOD(return brace_format(rt, self.s, args);)},
    {"center", METHOD(Value slots[2];
                      if (!bind(rt, "center", args, {"width", "fillchar"}, 1, slots)) return {};
                      return str_center(rt, self.s, int_or(slots[0], 0),
                                        slots[1].is_string() ? slots[1].text() : " ");)},
    {"zfill",
     METHOD(Value width; if (!bind(rt, "zfill", args, {"width"}, 1, &width)) return {};
            const bool sign = self.text().starts_with("-") || self.text().starts_with("+");
            StrBuilder out(rt); if (sign) out.append(self.s.sub(0, 1));
            for (int64_t i = length(rt, self); i < int_or(width, 0) && rt.step(); ++i)
                out.append("0", Origin::kData);
            out.append(sign ? self.s.sub(1, self.s.len - 1) : self.s); return out.finish_value();)},
    {"join", METHOD(Value items; std::vector<Value> list;
                    if (!bind(rt, "join", args, {"iterable"}, 1, &items)) return {};
                    if (!iterate(rt, items, list)) return {};
                    for (const Value& v : list) if (!v.is_string()) return rt.fail(fmt::format(
                        "sequence item: expected str instance, {} found", type_name(v)));
                    return str_join(rt, self, list);)},
    {"replace",
     METHOD(Value slots[3];
            if (!bind_text(rt, "replace", args, {"old", "new", "count"}, 2, 2, slots)) return {};
            return str_replace(rt, self, slots[0].s, slots[1].s, int_or(slots[2], -1));)},
    {"count", METHOD(Value sub; if (!bind_text(rt, "count", args, {"sub"}, 1, 1, &sub)) return {};
                     if (sub.s.len == 0) return Value::integer(length(rt, self) + 1); int64_t n = 0;
                     for (size_t at = find_text(rt, self.text(), sub.text());
                          at != std::string_view::npos && rt.step();
                          at = find_text(rt, self.text(), sub.text(), at + sub.s.len))++ n;
                     return Value::integer(n);)},
    {"splitlines",
     METHOD(Value keep; if (!bind(rt, "splitlines", args, {"keepends"}, 0, &keep)) return {};
            std::vector<Value> lines; for (const Str& line : str_lines(rt, self.s, truthy(keep)))
                                          lines.push_back(Value::string(line));
            return rt.list(Kind::kList, std::move(lines));)},
    {"isspace", METHOD((void)args; return all_chars(rt, self, is_space);)},
    {"isalpha", METHOD((void)args; return all_chars(rt, self, is_letter);)},
    {"isdigit", METHOD((void)args; return all_chars(rt, self, is_decimal);)},
    {"isdecimal", METHOD((void)args; return all_chars(rt, self, is_decimal);)},
    {"isnumeric", METHOD((void)args; return all_chars(rt, self, is_decimal);)},
    {"isalnum", METHOD((void)args; return all_chars(
                           rt, self, [](char32_t c) { return is_letter(c) || is_decimal(c); });)},
    {"isupper", METHOD((void)args; return is_case(rt, self, true);)},
    {"islower", METHOD((void)args; return is_case(rt, self, false);)},
    {"isascii",
     METHOD((void)args; return Value::boolean(rt.work(self.s.len) && is_ascii(self.text()));)},
};
#undef METHOD
#undef CASE

void append_cased(StrBuilder& out, char32_t c, bool upper, Origin origin) {
  if (upper && c == 0xDF) return out.append("SS", origin);  // the one in common use
  const auto code = static_cast<utf8proc_int32_t>(c);
  out.append_char(static_cast<char32_t>(upper ? utf8proc_toupper(code) : utf8proc_tolower(code)),
                  origin);
}

}  // namespace

NativeFn find_str_method(std::string_view name) {
  for (const Method& method : kMethods) {
    if (method.name == name) return method.fn;
  }
  return nullptr;
}

Value str_strip(Runtime& rt, const Value& text, const Value& chars, bool left, bool right) {
  const std::string_view view = text.text();
  size_t begin = 0;
  size_t end = view.size();
  if (!chars.is_string()) {
    if (left) begin = leading_space(view);
    if (right && begin < end) end -= trailing_space(view.substr(begin));
    if (!rt.work(kCharCost * (view.size() - (end - begin)))) return {};
  } else {
    const auto strips = [&](std::string_view c) {
      return chars.text().find(c) != std::string_view::npos;
    };
    const size_t n_read = kAppendCost + chars.s.len;
    while (left && begin < end && rt.work(n_read)) {
      const size_t n = decode_utf8(view.substr(begin)).n_bytes;
      if (!strips(view.substr(begin, n))) break;
      begin += n;
    }
    while (right && begin < end && rt.work(n_read)) {
      size_t at = end - 1;
      while (at > begin && (static_cast<unsigned char>(view[at]) & 0xC0) == 0x80) --at;
      if (!strips(view.substr(at, end - at))) break;
      end = at;
    }
  }
  return Value::string(text.s.sub(begin, end - begin), text.markup);
}

Value str_replace(Runtime& rt, const Value& text, const Str& from, const Str& to, int64_t count) {
  StrBuilder out(rt);
  const std::string_view view = text.text();
  size_t begin = 0;
  if (count < 0) count = INT64_MAX;
  if (from.len == 0) {
    for (; count > 0 && rt.step(); --count) {
      out.append(to);
      if (begin >= view.size()) break;
      const size_t n = decode_utf8(view.substr(begin)).n_bytes;
      out.append(text.s.sub(begin, n));
      begin += n;
    }
  } else {
    const std::string_view wanted = from.view();
    size_t at = find_text(rt, view, wanted);
    if (at == std::string_view::npos) return text;
    for (; at != std::string_view::npos && count > 0 && rt.step(); --count) {
      out.append(text.s.sub(begin, at - begin));
      out.append(to);
      begin = at + wanted.size();
      at = find_text(rt, view, wanted, begin);
    }
  }
  out.append(text.s.sub(begin, view.size() - begin));
  return Value::string(out.finish(), text.markup);
}

Value str_join(Runtime& rt, const Value& separator, const std::vector<Value>& items) {
  StrBuilder out(rt);
  for (size_t i = 0; i < items.size() && rt.step(); ++i) {
    if (i > 0) out.append(separator.s);
    append_str(rt, out, separator.markup ? escape_html(rt, items[i]) : items[i]);
  }
  return Value::string(out.finish(), separator.markup);
}

Value str_case(Runtime& rt, const Value& text, Case to) {
  if (!rt.work(4 * kCharCost * text.s.len)) return {};
  StrBuilder out(rt);
  bool first = true;
  bool in_word = false;
  text.s.for_each_run([&](std::string_view run, Origin origin) {
    while (!run.empty() && !rt.failed()) {
      const Utf8Char c = decode_utf8(run);
      const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c.code));
      bool upper = to == Case::kUpper;
      if (to == Case::kTitle) upper = !in_word;
      if (to == Case::kCapitalize) upper = first;
      if (to == Case::kSwap) upper = category == UTF8PROC_CATEGORY_LL;
      if (c.valid) {
        append_cased(out, c.code, upper, origin);
      } else {
        out.append(run.substr(0, 1), origin);
      }
      first = false;
      in_word = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT;
      run.remove_prefix(c.n_bytes);
    }
  });
  return Value::string(out.finish(), text.markup);
}

std::vector<Str> str_lines(Runtime& rt, const Str& s, bool keep_ends) {
  std::vector<Str> lines;
  const std::string_view text = s.view();
  if (!rt.work(kCharCost * text.size())) return {};
  size_t begin = 0;
  for (size_t i = 0; i < text.size() && !rt.failed();) {
    const Utf8Char c = decode_utf8(text.substr(i));
    const bool ends = (c.code >= 0x0A && c.code <= 0x0D) || (c.code >= 0x1C && c.code <= 0x1E) ||
                      c.code == 0x85 || c.code == 0x2028 || c.code == 0x2029;
    const size_t n = text.substr(i).starts_with("\r\n") ? 2 : c.n_bytes;
    if (ends) {
      if (!rt.step() || !rt.charge_memory(2 * sizeof(Value))) break;
      lines.push_back(s.sub(begin, (keep_ends ? i + n : i) - begin));
      begin = i + n;
    }
    i += n;
  }
  if (begin < text.size()) lines.push_back(s.sub(begin, text.size() - begin));
  return lines;
}

Value str_center(Runtime& rt, const Str& text, int64_t width, std::string_view fill) {
  const int64_t pad = width - length(rt, Value::string(text));
  if (pad <= 0) return Value::string(text);
  const int64_t left = pad / 2 + (pad & width & 1);
  StrBuilder out(rt);
  for (int64_t i = 0; i < left && rt.step(); ++i) out.append(fill, Origin::kData);
  out.append(text);
  for (int64_t i = left; i < pad && rt.step(); ++i) out.append(fill, Origin::kData);
  return out.finish_value();
}

}  // namespace maru::text::jinja
