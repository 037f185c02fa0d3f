// text/jinja/runtime.h - one render: its memory, its budget and its first error.
//
// Everything that evaluates gets a Runtime&. Errors are sticky: fail() keeps the first one and
// returns an undefined value, so that code goes on harmlessly until the next `failed()` check;
// every loop over outside sizes calls step(), which is false from then on.
// Memory is only given back when the render ends, so the total allocated is what is bounded.
// Threads: one Runtime belongs to one render.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/jinja/value.h"

namespace maru::text::jinja {

// All strings, lists and scopes of one render together.
inline constexpr size_t kRenderMemoryMax = 8 * kRenderBytesMax;
// range() in Jinja's sandbox has the same bound.
inline constexpr int64_t kRangeMax = 100'000;
// Bytes copied or compared that cost as much as one step.
inline constexpr size_t kBytesPerStep = 128;
// One character decoded, one piece appended, one number written cost as much as so many bytes.
inline constexpr size_t kCharCost = 8;
inline constexpr size_t kAppendCost = 24;
inline constexpr size_t kNumberCost = 512;
inline constexpr size_t kLongNumberCost = 131'072;  // hundreds of digits
// Dictionary entries scanned that cost as much as one step.
inline constexpr size_t kEntriesPerStep = 16;

struct Pos {
  uint32_t line = 0;  // from 1; 0 = unknown
  uint32_t column = 0;
};

// Arguments of a call. Keyword names point into the template or into a Dict key.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

class Runtime {
 public:
  explicit Runtime(int64_t now_unix_seconds) : now_unix_seconds_(now_unix_seconds) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // The first error wins. Returns undefined.
  Value fail(std::string message);
  Value fail_raised(std::string message);  // raise_exception(): the message alone, no position
  Value exhausted(std::string message);
  // The error an undefined value makes when it is used.
  Value fail_undefined(const Value& value);
  bool failed() const { return error_.has_value(); }
  // Gives the error a position unless it has one.
  void locate(Pos pos);
  // Requires: failed().
  Error take_error();

  // False where the render has failed or this step was one too many.
  bool step(size_t n = 1) {
    if (n > steps_left_) return out_of_steps();
    steps_left_ -= n;
    return !failed();
  }
  // The same for so many bytes read or written; what is less than a step adds up.
  bool work(size_t n_bytes) {
    n_bytes += worked_bytes_;
    worked_bytes_ = n_bytes % kBytesPerStep;
    return step(n_bytes / kBytesPerStep);
  }
  bool charge_memory(size_t bytes);

  Str str(std::string_view text, Origin origin);
  Value text(std::string_view text, Origin origin) { return Value::string(str(text, origin)); }
  // Borrows: `text` must outlive the render.
  Value borrowed(std::string_view text, Origin origin);
  // a + b; appends in place where a ends its buffer.
  Str concat(const Str& a, const Str& b);
  Buf* new_buf() {
    charge_memory(sizeof(Buf));
    return &bufs_.emplace_back();
  }
  // Appends to a growable buffer; false where the budget or a text's length does not allow it.
  bool append(Buf& buf, std::string_view text, Origin origin);

  // Nothing but an empty list; add() charges.
  List* new_list(size_t n_expected = 0);
  void add(List* list, const Value& value);
  Value list(Kind kind, std::vector<Value> items);
  Value pair(const Value& a, const Value& b);  // a tuple
  Dict* new_dict();
  Namespace* new_namespace();
  Value callable(Callable callable);
  Value undefined_name(std::string_view name);
  Value undefined_attribute(const Value& object, std::string_view name);
  Value undefined_element(const Value& object, const Value& key);
  Value undefined_unsafe(const Value& object, std::string_view name);
  Value undefined_text(std::string_view sentence);

  // Anything else that must live as long as the render.
  template <class T>
  T* keep(T object) {
    charge_memory(sizeof(T));
    auto* holder = new Holder<T>(std::move(object));
    kept_.emplace_back(holder);
    return &holder->object;
  }

  int64_t now_unix_seconds() const { return now_unix_seconds_; }

 private:
  struct HolderBase {
    virtual ~HolderBase() = default;
  };
  template <class T>
  struct Holder : HolderBase {
    explicit Holder(T o) : object(std::move(o)) {}
    T object;
  };

  bool out_of_steps();
  Value undefined(UndefinedInfo info);

  int64_t now_unix_seconds_;
  size_t steps_left_ = kRenderStepsMax;
  size_t worked_bytes_ = 0;  // less than a step's
  size_t memory_left_ = kRenderMemoryMax;
  std::optional<Error> error_;
  bool located_ = false;
  std::deque<Buf> bufs_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<UndefinedInfo> undefineds_;
  std::vector<std::unique_ptr<HolderBase>> kept_;
};

// Builds one string piece by piece. Stops growing once the render has failed.
class StrBuilder {
 public:
  explicit StrBuilder(Runtime& rt) : rt_(rt), buf_(rt.new_buf()) {}
  void append(std::string_view text, Origin origin) { rt_.append(*buf_, text, origin); }
  void append(const Str& text) {
    text.for_each_run([this](std::string_view run, Origin origin) { append(run, origin); });
  }
  void append_char(char32_t c, Origin origin);
  size_t size() const { return buf_->size(); }
  const Buf& buf() const { return *buf_; }
  Str finish() const { return {buf_, 0, static_cast<uint32_t>(buf_->size())}; }
  Value finish_value() const { return Value::string(finish()); }

 private:
  Runtime& rt_;
  Buf* buf_;
};

// A function of C++ that templates can call: a filter's body, a method, a global.
// `self` is what it is bound to (undefined for globals).
using NativeFn = Value (*)(Runtime& rt, const Value& self, Args& args);

struct Callable {
  std::string_view name;
  NativeFn fn;
  Value self;
};

// Puts arguments into the slots of a signature. Slots that were not given are undefined.
// Errors: fails the render for too many, unknown, repeated or missing (the first n_required).
bool bind(Runtime& rt, std::string_view function, Args& args,
          std::initializer_list<std::string_view> names, size_t n_required, Value* slots);

}  // namespace maru::text::jinja
