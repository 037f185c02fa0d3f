#include "text/jinja/globals.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

#include "text/jinja/access.h"
#include "text/jinja/convert.h"
#include "text/jinja/loop.h"

namespace maru::text::jinja {
namespace {

Value make_range(Runtime& rt, const Value&, Args& args) {
  Value slots[3];
  if (!bind(rt, "range", args, {"start", "stop", "step"}, 1, slots)) return {};
  for (size_t i = 0; i < args.positional.size(); ++i) {
    if (slots[i].is_undefined()) return rt.fail_undefined(slots[i]);
    if (!slots[i].is_integral()) {
      return rt.fail(
          fmt::format("'{}' object cannot be interpreted as an integer", type_name(slots[i])));
    }
  }
  const bool one = args.positional.size() < 2;
  const int64_t begin = one ? 0 : slots[0].as_int();
  const int64_t end = one ? slots[0].as_int() : slots[1].as_int();
  const int64_t step = args.positional.size() > 2 ? slots[2].as_int() : 1;
  if (step == 0) return rt.fail("range() arg 3 must not be zero");
  List* list = rt.new_list();
  list->range = {begin, end, step};
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (list->items.size() >= kRangeMax) {
      return rt.exhausted(fmt::format("a range has more than {} items", kRangeMax));
    }
    if (!rt.step(list->items.size() % kEntriesPerStep == 0 ? 1 : 0)) return {};
    rt.add(list, Value::integer(i, slots[0].origin));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::of(Kind::kRange, list);
}

// Fills `dict` as Python's dict(mapping_or_pairs, **named) does.
void fill_dict(Runtime& rt, Args& args, Dict& dict) {
  if (args.positional.size() > 1) {
    rt.fail(fmt::format("dict expected at most 1 argument, got {}", args.positional.size()));
    return;
  }
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    std::vector<Value> items;
    if (from.is_dict()) {
      for (const auto& [key, value] : from.dict->items) set(rt, dict, key, value);
    } else if (iterate(rt, from, items)) {
      for (const Value& item : items) {
        std::vector<Value> pair;
        if (!iterate(rt, item, pair)) return;
        if (pair.size() != 2) {
          rt.fail("dictionary update sequence element has not length 2");
          return;
        }
        set(rt, dict, pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) {
    set(rt, dict, rt.text(name, Origin::kData), value);
  }
}

Value make_dict(Runtime& rt, const Value&, Args& args) {
  Dict* dict = rt.new_dict();
  fill_dict(rt, args, *dict);
  return Value::of(dict);
}

Value make_namespace(Runtime& rt, const Value&, Args& args) {
  Value v;
  v.kind = Kind::kNamespace;
  v.ns = rt.new_namespace();
  fill_dict(rt, args, v.ns->attributes);
  return v;
}

Value make_cycler(Runtime& rt, const Value&, Args& args) {
  if (args.positional.empty()) return rt.fail("at least one item has to be provided");
  if (!rt.charge_memory(args.positional.size() * sizeof(Value))) return {};
  Value v;
  v.kind = Kind::kCycler;
  v.cycler = rt.keep(Cycler{args.positional, 0});
  return v;
}

Value make_joiner(Runtime& rt, const Value&, Args& args) {
  Value separator = rt.text(", ", Origin::kLiteral);
  if (!bind(rt, "joiner", args, {"sep"}, 0, &separator)) return {};
  Value v;
  v.kind = Kind::kJoiner;
  v.joiner = rt.keep(Joiner{separator, false});
  return v;
}

Value raise_exception(Runtime& rt, const Value&, Args& args) {
  Value message;
  if (!bind(rt, "raise_exception", args, {"message"}, 1, &message)) return {};
  const Str text = to_str(rt, message);
  return rt.failed() ? Value{} : rt.fail_raised(std::string(text.view()));
}

Value strftime_now(Runtime& rt, const Value&, Args& args) {
  Value format;
  if (!bind(rt, "strftime_now", args, {"format"}, 1, &format)) return {};
  if (!format.is_string()) return rt.fail("strftime_now() needs a string");
  // The longest directive, %c, writes 24 bytes for its two.
  if (!rt.work(kNumberCost / 4 * format.s.len) || !rt.charge_memory(12 * format.s.len)) return {};
  return rt.text(format_time(rt.now_unix_seconds(), format.text()), Origin::kData);
}

struct Calendar {
  int year, month, day, hour, minute, second, weekday, yearday;  // weekday 0 = Sunday
};

Calendar calendar(int64_t unix_seconds) {
  using namespace std::chrono;
  const sys_seconds now{seconds{unix_seconds}};
  const sys_days today = floor<days>(now);
  const year_month_day date{today};
  const hh_mm_ss time{now - today};
  const auto first = sys_days{date.year() / January / 1};
  return {static_cast<int>(date.year()),
          static_cast<int>(static_cast<unsigned>(date.month())),
          static_cast<int>(static_cast<unsigned>(date.day())),
          static_cast<int>(time.hours().count()),
          static_cast<int>(time.minutes().count()),
          static_cast<int>(time.seconds().count()),
          static_cast<int>(weekday{today}.c_encoding()),
          static_cast<int>((today - first).count())};
}

std::string number(int value, int width, char flag) {
  if (flag == '-') return fmt::format("{}", value);
  return flag == '_' ? fmt::format("{:{}}", value, width) : fmt::format("{:0{}}", value, width);
}

// One directive; empty optional where it is unknown.
bool format_directive(const Calendar& t, int64_t unix_seconds, char directive, char flag,
                      std::string& out) {
  constexpr std::array<std::string_view, 12> kMonths{
      "January", "February", "March",     "April",   "May",      "June",
      "July",    "August",   "September", "October", "November", "December"};
  constexpr std::array<std::string_view, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                  "Thursday", "Friday", "Saturday"};
  const std::string_view month = kMonths[static_cast<size_t>(t.month - 1)];
  const std::string_view day = kDays[static_cast<size_t>(t.weekday)];
  const int hour12 = t.hour % 12 == 0 ? 12 : t.hour % 12;
  switch (directive) {
    case 'Y':
      out += fmt::format("{}", t.year);
      return true;
    case 'y':
      out += number(t.year % 100, 2, flag);
      return true;
    case 'C':
      out += number(t.year / 100, 2, flag);
      return true;
    case 'm':
      out += number(t.month, 2, flag);
      return true;
    case 'd':
      out += number(t.day, 2, flag);
      return true;
    case 'e':
      out += number(t.day, 2, flag == 0 ? '_' : flag);
      return true;
    case 'H':
      out += number(t.hour, 2, flag);
      return true;
    case 'I':
      out += number(hour12, 2, flag);
      return true;
    case 'k':
      out += number(t.hour, 2, flag == 0 ? '_' : flag);
      return true;
    case 'l':
      out += number(hour12, 2, flag == 0 ? '_' : flag);
      return true;
    case 'M':
      out += number(t.minute, 2, flag);
      return true;
    case 'S':
      out += number(t.second, 2, flag);
      return true;
    case 'j':
      out += number(t.yearday + 1, 3, flag);
      return true;
    case 'U':
      out += number((t.yearday + 7 - t.weekday) / 7, 2, flag);
      return true;
    case 'W':
      out += number((t.yearday + 7 - (t.weekday + 6) % 7) / 7, 2, flag);
      return true;
    case 'u':
      out += fmt::format("{}", t.weekday == 0 ? 7 : t.weekday);
      return true;
    case 'w':
      out += fmt::format("{}", t.weekday);
      return true;
    case 'f':
      out += "000000";
      return true;
    case 's':
      out += fmt::format("{}", unix_seconds);
      return true;
    case 'p':
      out += t.hour < 12 ? "AM" : "PM";
      return true;
    case 'P':
      out += t.hour < 12 ? "am" : "pm";
      return true;
    case 'B':
      out += month;
      return true;
    case 'b':
    case 'h':
      out += month.substr(0, 3);
      return true;
    case 'A':
      out += day;
      return true;
    case 'a':
      out += day.substr(0, 3);
      return true;
    case 'Z':
    case 'z':
      return true;  // a time without a zone
    case 'n':
      out += '\n';
      return true;
    case 't':
      out += '\t';
      return true;
    case '%':
      out += '%';
      return true;
    case 'F':
      out += fmt::format("{}-{:02}-{:02}", t.year, t.month, t.day);
      return true;
    case 'D':
    case 'x':
      out += fmt::format("{:02}/{:02}/{:02}", t.month, t.day, t.year % 100);
      return true;
    case 'T':
    case 'X':
      out += fmt::format("{:02}:{:02}:{:02}", t.hour, t.minute, t.second);
      return true;
    case 'R':
      out += fmt::format("{:02}:{:02}", t.hour, t.minute);
      return true;
    case 'r':
      out += fmt::format("{:02}:{:02}:{:02} {}", hour12, t.minute, t.second,
                         t.hour < 12 ? "AM" : "PM");
      return true;
    case 'c':
      out += fmt::format("{} {} {:2} {:02}:{:02}:{:02} {}", day.substr(0, 3), month.substr(0, 3),
                         t.day, t.hour, t.minute, t.second, t.year);
      return true;
    default:
      return false;
  }
}

Value cycler_next(Runtime&, const Value& self, Args&) {
  Cycler& c = *self.cycler;
  const Value value = c.items[c.position];
  c.position = (c.position + 1) % c.items.size();
  return value;
}

Value cycler_reset(Runtime&, const Value& self, Args&) {
  self.cycler->position = 0;
  return Value::none();
}

}  // namespace

std::string format_time(int64_t unix_seconds, std::string_view format) {
  // Years outside of 0..9999 do not happen; clamping keeps the calendar's arithmetic in range.
  constexpr int64_t kLast = 253402300799;
  if (unix_seconds < 0) unix_seconds = 0;
  if (unix_seconds > kLast) unix_seconds = kLast;
  const Calendar now = calendar(unix_seconds);
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 >= format.size()) {
      out += format[i];
      continue;
    }
    const char next = format[i + 1];
    const bool has_flag = (next == '-' || next == '_' || next == '0') && i + 2 < format.size();
    const size_t at = i + (has_flag ? 2 : 1);
    if (format_directive(now, unix_seconds, format[at], has_flag ? next : '\0', out)) {
      i = at;
    } else {
      out += '%';
    }
  }
  return out;
}

const std::vector<GlobalDef>& globals() {
  static const std::vector<GlobalDef> kGlobals{
      {"range", make_range},          {"dict", make_dict},     {"namespace", make_namespace},
      {"cycler", make_cycler},        {"joiner", make_joiner}, {"raise_exception", raise_exception},
      {"strftime_now", strftime_now},
  };
  return kGlobals;
}

bool object_attribute(Runtime& rt, const Value& object, std::string_view name, Value& value) {
  if (object.is(Kind::kCycler)) {
    const Cycler& c = *object.cycler;
    if (name == "current") {
      value = c.items[c.position];
    } else if (name == "next") {
      value = rt.callable({"next", cycler_next, object});
    } else if (name == "reset") {
      value = rt.callable({"reset", cycler_reset, object});
    } else {
      return false;
    }
    return true;
  }
  if (object.is(Kind::kMacro)) {
    if (name != "name") return false;
    value = rt.text(object.macro->def->name, Origin::kLiteral);
    return true;
  }
  return false;
}

}  // namespace maru::text::jinja
