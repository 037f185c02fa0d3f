#include "text/jinja/runtime.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "text/jinja/convert.h"

namespace maru::text::jinja {

Value Runtime::fail(std::string message) {
  if (!error_) error_ = Error::invalid(std::move(message));
  return {};
}

Value Runtime::fail_raised(std::string message) {
  if (!error_) {
    error_ = Error::invalid(std::move(message));
    located_ = true;
  }
  return {};
}

Value Runtime::exhausted(std::string message) {
  if (!error_) error_ = Error::exhausted(std::move(message));
  return {};
}

Value Runtime::fail_undefined(const Value& value) {
  const UndefinedInfo* info = value.undefined;
  if (info == nullptr) return fail("an undefined value was used");
  switch (info->why) {
    case UndefinedInfo::Why::kName:
      return fail(fmt::format("'{}' is undefined", info->name));
    case UndefinedInfo::Why::kAttribute:
      return fail(fmt::format("'{}' has no attribute '{}'", object_type(info->object), info->name));
    case UndefinedInfo::Why::kElement:
      return fail(fmt::format("{} has no element {}", object_type(info->object), info->name));
    case UndefinedInfo::Why::kUnsafe:
      return fail(fmt::format("access to attribute '{}' of '{}' object is unsafe.", info->name,
                              type_name(info->object)));
    case UndefinedInfo::Why::kText:
      return fail(info->name);
  }
  return {};
}

void Runtime::locate(Pos pos) {
  if (!error_ || located_ || pos.line == 0) return;
  located_ = true;
  error_->message =
      fmt::format("chat template, line {}, column {}: {}", pos.line, pos.column, error_->message);
}

Error Runtime::take_error() {
  CHECK(error_.has_value());
  return std::move(*error_);
}

bool Runtime::out_of_steps() {
  steps_left_ = 0;
  exhausted(fmt::format("the template takes more than {} steps", kRenderStepsMax));
  return false;
}

bool Runtime::charge_memory(size_t bytes) {
  if (bytes > memory_left_) {
    memory_left_ = 0;
    exhausted(fmt::format("the template needs more than {} bytes of memory", kRenderMemoryMax));
    return false;
  }
  memory_left_ -= bytes;
  return !failed();
}

Str Runtime::str(std::string_view text, Origin origin) {
  StrBuilder out(*this);
  out.append(text, origin);
  return out.finish();
}

Value Runtime::borrowed(std::string_view text, Origin origin) {
  if (text.empty()) return Value::string({nullptr, 0, 0});
  if (text.size() > UINT32_MAX) return exhausted("an input string is longer than 4 GiB");
  charge_memory(sizeof(Buf));
  return Value::string(
      {&bufs_.emplace_back(Buf::borrow(text, origin)), 0, static_cast<uint32_t>(text.size())});
}

Str Runtime::concat(const Str& a, const Str& b) {
  if (a.len == 0) return b;
  if (b.len == 0) return a;
  if (size_t{a.len} + b.len > kRenderBytesMax) {
    exhausted(fmt::format("a text is longer than {} bytes", kRenderBytesMax));
    return {nullptr, 0, 0};
  }
  if (a.buf->growable() && a.off + a.len == a.buf->size()) {
    if (a.buf->size() + b.len <= kRenderBytesMax) {
      bool ok = true;
      b.for_each_run(
          [&](std::string_view run, Origin origin) { ok = ok && append(*a.buf, run, origin); });
      return ok ? Str{a.buf, a.off, a.len + b.len} : Str{nullptr, 0, 0};
    }
  }
  StrBuilder out(*this);
  out.append(a);
  out.append(b);
  return out.finish();
}

bool Runtime::append(Buf& buf, std::string_view text, Origin origin) {
  if (text.empty()) return !failed();
  if (text.size() > kRenderBytesMax - std::min(buf.size(), kRenderBytesMax)) {
    exhausted(fmt::format("a text is longer than {} bytes", kRenderBytesMax));
    return false;
  }
  if (!work(kAppendCost + text.size())) return false;
  const size_t was = buf.bytes_held();
  if (text.size() > memory_left_) return charge_memory(text.size());
  buf.append(text, origin);
  return charge_memory(buf.bytes_held() - was);
}

List* Runtime::new_list(size_t n_expected) {
  List* list = &lists_.emplace_back();
  if (!work(n_expected * kCharCost)) return list;
  if (charge_memory(sizeof(List) + n_expected * sizeof(Value))) list->items.reserve(n_expected);
  return list;
}

void Runtime::add(List* list, const Value& value) {
  if (list->items.size() == list->items.capacity() &&
      !charge_memory((list->items.size() + 1) * 2 * sizeof(Value))) {
    return;
  }
  list->items.push_back(value);
}

Value Runtime::list(Kind kind, std::vector<Value> items) {
  charge_memory(sizeof(List) + items.size() * sizeof(Value));
  List* made = &lists_.emplace_back();
  made->items = std::move(items);
  return Value::of(kind, made);
}

Value Runtime::pair(const Value& a, const Value& b) { return list(Kind::kTuple, {a, b}); }

Dict* Runtime::new_dict() {
  charge_memory(sizeof(Dict));
  return &dicts_.emplace_back();
}

Namespace* Runtime::new_namespace() { return keep(Namespace{}); }

Value Runtime::callable(Callable callable) { return Value::of(keep(callable)); }

Value Runtime::undefined(UndefinedInfo info) {
  charge_memory(sizeof(UndefinedInfo) + info.name.size());
  Value v;
  v.undefined = &undefineds_.emplace_back(std::move(info));
  return v;
}

Value Runtime::undefined_name(std::string_view name) {
  return undefined({UndefinedInfo::Why::kName, {}, std::string(name)});
}
Value Runtime::undefined_attribute(const Value& object, std::string_view name) {
  return undefined({UndefinedInfo::Why::kAttribute, object, std::string(name)});
}
Value Runtime::undefined_element(const Value& object, const Value& key) {
  return undefined({UndefinedInfo::Why::kElement, object, std::string(repr(*this, key).view())});
}
Value Runtime::undefined_unsafe(const Value& object, std::string_view name) {
  return undefined({UndefinedInfo::Why::kUnsafe, object, std::string(name)});
}
Value Runtime::undefined_text(std::string_view sentence) {
  return undefined({UndefinedInfo::Why::kText, {}, std::string(sentence)});
}

void StrBuilder::append_char(char32_t c, Origin origin) {
  std::string bytes;
  append_utf8(bytes, c);
  append(bytes, origin);
}

bool bind(Runtime& rt, std::string_view function, Args& args,
          std::initializer_list<std::string_view> names, size_t n_required, Value* slots) {
  if (args.positional.size() > names.size()) {
    rt.fail(fmt::format("{}() takes at most {} arguments ({} given)", function, names.size(),
                        args.positional.size()));
    return false;
  }
  std::copy(args.positional.begin(), args.positional.end(), slots);
  uint32_t given = (1u << args.positional.size()) - 1;
  for (const auto& [name, value] : args.named) {
    const auto it = std::find(names.begin(), names.end(), name);
    const auto slot = static_cast<size_t>(it - names.begin());
    if (it == names.end()) {
      rt.fail(fmt::format("{}() got an unexpected keyword argument '{}'", function, name));
      return false;
    }
    if ((given >> slot & 1) != 0) {
      rt.fail(fmt::format("{}() got multiple values for argument '{}'", function, name));
      return false;
    }
    slots[slot] = value;
    given |= 1u << slot;
  }
  for (size_t i = 0; i < n_required; ++i) {
    if ((given >> i & 1) == 0) {
      rt.fail(fmt::format("{}() misses its argument '{}'", function, names.begin()[i]));
      return false;
    }
  }
  return true;
}

}  // namespace maru::text::jinja
