// grammar/matcher.h - follows one text through a grammar, byte by byte.
//
// Threads: one owner, which also owns the program while it is used.
#pragma once
#include <memory>
#include <string_view>

#include "base/result.h"
#include "grammar/program.h"
#include "grammar/stacks.h"

namespace maru::grammar {

class Matcher {
 public:
  // Requires: the program outlives this.
  explicit Matcher(Program& program);

  // False where the text can't go on so; nothing has changed then.
  bool accept(std::string_view bytes);
  // Whether accept() would be true; changes nothing.
  bool allows(std::string_view bytes);
  // Whether the text can go on with nothing but these bytes, and can't end before them.
  bool is_only_way(std::string_view bytes);
  // Whether the text may end here.
  bool may_end() const { return tops_.ended; }
  // False once a limit was met: the text must not go on.
  bool ok() const { return stacks_.ok(); }

  const Tops& tops() const { return tops_; }
  Stacks& stacks() { return stacks_; }

 private:
  bool follow(std::string_view bytes, Tops& at);

  Program& program_;
  Stacks stacks_;
  Tops tops_;
};

// Whether the whole text belongs to the grammar. Errors: kResourceExhausted where a limit was met.
Result<bool> accepts(Program& program, std::string_view text);

}  // namespace maru::grammar
