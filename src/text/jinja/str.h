// text/jinja/str.h - immutable strings that remember, per byte, whether they are literal or data.
//
// A Str is a view (offset, length) of a Buf; a Buf owns or borrows bytes and keeps their origins as
// runs. Slices are therefore free, and text that ends its Buf can be appended to in place: older
// views stay what they were. Knows nothing of templates.
// Threads: Bufs made while rendering belong to one render; a frozen Buf may be read by any thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/span.h"

namespace maru::text::jinja {

class Buf {
 public:
  struct Run {
    uint32_t end;  // one past the last byte
    Origin origin;
  };

  Buf() = default;
  // Borrows `text`, which must outlive the Buf; never grows.
  static Buf borrow(std::string_view text, Origin origin);
  // Owns `text`; never grows.
  static Buf frozen(std::string text, Origin origin);

  std::string_view view() const { return borrowed_.data() != nullptr ? borrowed_ : owned_; }
  size_t size() const { return view().size(); }
  bool growable() const { return growable_; }
  // Memory taken for bytes and origins; what is borrowed is not counted.
  size_t bytes_held() const { return owned_.capacity() + runs_.capacity() * sizeof(Run); }
  size_t n_runs() const { return runs_.empty() ? 1 : runs_.size(); }
  // Requires: growable(). `text` may point into this Buf.
  void append(std::string_view text, Origin origin);

  // Calls fn(text, origin) for each run within [begin, end), in order.
  template <class Fn>
  void for_each_run(uint32_t begin, uint32_t end, Fn&& fn) const {
    if (begin == end) return;
    if (runs_.empty()) return fn(view().substr(begin, end - begin), origin_);
    for (size_t i = run_at(begin); begin < end; ++i) {
      const uint32_t stop = runs_[i].end < end ? runs_[i].end : end;
      fn(view().substr(begin, stop - begin), runs_[i].origin);
      begin = stop;
    }
  }

 private:
  size_t run_at(uint32_t offset) const;

  std::string owned_;
  std::string_view borrowed_;
  bool growable_ = true;
  Origin origin_ = Origin::kData;  // of every byte, while runs_ is empty
  std::vector<Run> runs_;          // by rising end; the last one ends at size()
};

// Trivial, so that a Value can hold it in a union.
struct Str {
  Buf* buf;  // null only where len is 0
  uint32_t off;
  uint32_t len;

  std::string_view view() const {
    return len == 0 ? std::string_view() : buf->view().substr(off, len);
  }
  // Requires: begin + n <= len.
  Str sub(size_t begin, size_t n) const {
    return {buf, off + static_cast<uint32_t>(begin), static_cast<uint32_t>(n)};
  }
  template <class Fn>
  void for_each_run(Fn&& fn) const {
    if (len > 0) buf->for_each_run(off, off + len, fn);
  }
};

// Code points, as Python counts them. Ill-formed bytes count one each.
size_t count_chars(std::string_view text);
// The byte offset of character `index`, or text.size() where there are fewer.
size_t char_offset(std::string_view text, size_t index);
bool is_ascii(std::string_view text);

// str.isspace() of one character.
bool is_space(char32_t c);
// The bytes of white space at the front or at the end of `text`.
size_t leading_space(std::string_view text);
size_t trailing_space(std::string_view text);

}  // namespace maru::text::jinja
