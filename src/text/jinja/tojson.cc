#include "text/jinja/tojson.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "text/jinja/convert.h"

namespace maru::text::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& rt, const Value* slots) : rt_(rt), out_(rt) {
    ensure_ascii_ = truthy(slots[0]);
    const Value& indent = slots[1];
    if (indent.is_string()) {
      has_indent_ = true;
      indent_ = indent.text();
    } else if (indent.is_integral()) {
      has_indent_ = true;
      if (indent.as_int() > static_cast<int64_t>(kTemplateBytesMax)) {
        rt_.exhausted("the indent of tojson is too large");
      } else if (rt_.work(static_cast<size_t>(std::max<int64_t>(indent.as_int(), 0)))) {
        indent_ = std::string(static_cast<size_t>(std::max<int64_t>(indent.as_int(), 0)), ' ');
      }
    }
    item_separator_ = has_indent_ ? "," : ", ";
    if (slots[2].is(Kind::kTuple) || slots[2].is(Kind::kList)) {
      const std::vector<Value>& pair = slots[2].list->items;
      if (pair.size() == 2 && pair[0].is_string() && pair[1].is_string()) {
        item_separator_ = pair[0].text();
        key_separator_ = pair[1].text();
      } else {
        rt_.fail("tojson: separators must be two strings");
      }
    }
    sort_keys_ = truthy(slots[3]);
  }

  Value run(const Value& value) {
    write(value, 0);
    return out_.finish_value();
  }

 private:
  void put(std::string_view text) { out_.append(text, Origin::kData); }

  void newline(size_t depth) {
    if (!has_indent_) return;
    put("\n");
    for (size_t i = 0; i < depth && !indent_.empty(); ++i) put(indent_);
  }

  void write(const Value& v, size_t depth) {
    if (depth > kTemplateDepthMax) {
      rt_.exhausted(fmt::format("tojson: nested deeper than {} levels", kTemplateDepthMax));
    }
    if (!rt_.step()) return;
    switch (v.kind) {
      case Kind::kNone:
        return out_.append("null", v.origin);
      case Kind::kBool:
        return out_.append(v.b ? "true" : "false", v.origin);
      case Kind::kInt:
        return out_.append(fmt::format_int(v.i).c_str(), v.origin);
      case Kind::kFloat:
        return out_.append(number(v.f), v.origin);
      case Kind::kString:
        return write_string(v.s);
      case Kind::kList:
      case Kind::kTuple:
        return write_list(v.list->items, depth);
      case Kind::kDict:
        return write_dict(*v.dict, depth);
      default:
        rt_.fail(fmt::format("Object of type {} is not JSON serializable", type_name(v)));
    }
  }

  static std::string number(double f) {
    if (std::isnan(f)) return "NaN";
    if (std::isinf(f)) return f < 0 ? "-Infinity" : "Infinity";
    return float_repr(f);
  }

  void write_list(const std::vector<Value>& items, size_t depth) {
    if (items.empty()) return put("[]");
    put("[");
    for (size_t i = 0; i < items.size() && !rt_.failed(); ++i) {
      if (i > 0) put(item_separator_);
      newline(depth + 1);
      write(items[i], depth + 1);
    }
    newline(depth);
    put("]");
  }

  void write_dict(const Dict& dict, size_t depth) {
    if (dict.items.empty()) return put("{}");
    std::vector<Value> keys;
    if (sort_keys_ && rt_.charge_memory(dict.items.size() * 2 * sizeof(Value))) {
      for (const auto& [key, value] : dict.items) keys.push_back(key);
    }
    const std::vector<size_t> order = sorted_order(rt_, keys, false);
    put("{");
    for (size_t i = 0; i < dict.items.size() && !rt_.failed(); ++i) {
      const auto& [key, value] = dict.items[order.empty() ? i : order[i]];
      if (i > 0) put(item_separator_);
      newline(depth + 1);
      write_key(key);
      put(key_separator_);
      write(value, depth + 1);
    }
    newline(depth);
    put("}");
  }

  void write_key(const Value& key) {
    if (key.is_string()) return write_string(key.s);
    if (!key.is_number() && !key.is_none()) {
      rt_.fail(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
      return;
    }
    put("\"");
    write(key, 0);
    put("\"");
  }

  std::string escaped(char32_t c) const {
    switch (c) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\b':
        return "\\b";
      case '\f':
        return "\\f";
      default:
        break;
    }
    if (c < 0x10000) return fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    const uint32_t v = static_cast<uint32_t>(c) - 0x10000;
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (v >> 10), 0xDC00 + (v & 0x3FF));
  }

  void write_string(const Str& s) {
    put("\"");
    s.for_each_run([this](std::string_view run, Origin origin) {
      size_t plain = 0;
      for (size_t i = 0; i < run.size();) {
        const auto byte = static_cast<unsigned char>(run[i]);
        if (byte >= 0x20 && byte != '"' && byte != '\\' && (byte < 0x7F || !ensure_ascii_)) {
          ++i;
          continue;
        }
        const Utf8Char c = decode_utf8(run.substr(i));
        out_.append(run.substr(plain, i - plain), origin);
        out_.append(escaped(c.code), origin);
        i += c.n_bytes;
        plain = i;
      }
      out_.append(run.substr(plain), origin);
    });
    put("\"");
  }

  Runtime& rt_;
  StrBuilder out_;
  bool ensure_ascii_ = false;
  bool has_indent_ = false;
  bool sort_keys_ = false;
  std::string indent_;
  std::string item_separator_;
  std::string key_separator_ = ": ";
};

}  // namespace

Value tojson(Runtime& rt, const Value& value, Args& args) {
  Value slots[4];
  if (!bind(rt, "tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0, slots)) {
    return {};
  }
  return JsonWriter(rt, slots).run(value);
}

}  // namespace maru::text::jinja
