// grammar/gbnf.cc - rules that never come back to themselves become terms; the others become states
// with terms between them.
#include "grammar/gbnf.h"

#include <fmt/format.h>

#include <algorithm>

#include "grammar/gbnf_parser.h"

namespace maru::grammar {
namespace {

class Builder {
 public:
  Builder(GbnfTree tree, Program& program)
      : tree_(std::move(tree)), program_(program), terms_(program.terms()) {}

  Result<void> build() {
    find_regular();
    for (uint32_t rule = 0; rule < tree_.rules.size(); ++rule) {
      starts_.push_back(regular_[rule] ? kNone : program_.add_state());
    }
    if (regular_[0]) {
      program_.root = {.kind = Frame::kTerm, .x = rule_term(0)};
      if (!exhausted() && !terms_.is_live(program_.root.x)) return no_text();
    } else {
      program_.root = {.kind = Frame::kRule, .id = starts_[0]};
      for (uint32_t rule = 0; rule < tree_.rules.size() && !exhausted(); ++rule) {
        if (regular_[rule]) continue;
        const uint32_t end = program_.add_state();
        program_.rules[end].ends = true;
        add_path(tree_.rules[rule], starts_[rule], end);
      }
      if (!exhausted()) prune();
      if (!exhausted() && !live_[starts_[0]]) return no_text();
      if (!exhausted()) MARU_TRY_VOID(check_left_recursion());
    }
    if (exhausted()) return Error::exhausted("the GBNF grammar is too large to compile");
    return {};
  }

 private:
  static Error no_text() { return Error::invalid("GBNF: no text belongs to the grammar"); }
  bool exhausted() const { return program_.budget().exhausted(); }
  static bool is_rule(const RuleState::Edge& edge) { return edge.part.kind == Frame::kRule; }

  template <class Visit>
  void for_each_rule(uint32_t node, Visit visit) const {
    const GbnfNode& own = tree_.nodes[node];
    if (own.kind == GbnfNode::kRule) visit(own.id);
    for (const uint32_t part : own.parts) for_each_rule(part, visit);
  }

  // A rule is regular where everything that it names is: what is left over leads into a circle.
  void find_regular() {
    const size_t n = tree_.rules.size();
    std::vector<std::vector<uint32_t>> users(n);
    std::vector<size_t> n_open(n, 0);
    std::vector<uint32_t> ready;
    for (uint32_t rule = 0; rule < n; ++rule) {
      for_each_rule(tree_.rules[rule], [&](uint32_t used) {
        users[used].push_back(rule);
        ++n_open[rule];
      });
      if (n_open[rule] == 0) ready.push_back(rule);
    }
    regular_.assign(n, false);
    rule_terms_.assign(n, kNone);
    while (!ready.empty()) {
      const uint32_t rule = ready.back();
      ready.pop_back();
      regular_[rule] = true;
      rule_terms_[rule] = term_of(tree_.rules[rule]);
      for (const uint32_t user : users[rule]) {
        if (--n_open[user] == 0) ready.push_back(user);
      }
    }
  }

  TermId rule_term(uint32_t rule) const { return rule_terms_[rule]; }

  bool is_regular(uint32_t node) const {
    bool regular = true;
    for_each_rule(node, [&](uint32_t rule) { regular = regular && regular_[rule]; });
    return regular;
  }

  // Requires: is_regular(node), and the terms of the rules in it are known.
  TermId term_of(uint32_t node) {
    const GbnfNode& own = tree_.nodes[node];
    switch (own.kind) {
      case GbnfNode::kTerm:
        return own.id;
      case GbnfNode::kRule:
        return rule_term(own.id);
      case GbnfNode::kSequence: {
        TermId term = kEmpty;
        for (size_t i = own.parts.size(); i > 0; --i) {
          term = terms_.concat(term_of(own.parts[i - 1]), term);
        }
        return term;
      }
      case GbnfNode::kAlternatives: {
        std::vector<TermId> ways;
        for (const uint32_t part : own.parts) ways.push_back(term_of(part));
        return terms_.either(std::move(ways));
      }
      case GbnfNode::kRepeat:
        return terms_.repeat(term_of(own.parts[0]), own.min, own.max);
    }
    return kNever;
  }

  // Ways from one state to another that spell the node.
  void add_path(uint32_t node, uint32_t from, uint32_t to) {
    if (exhausted()) return;
    const GbnfNode& own = tree_.nodes[node];
    if (is_regular(node)) return program_.add_term(from, term_of(node), to);
    switch (own.kind) {
      case GbnfNode::kTerm:
        return;
      case GbnfNode::kRule:
        return program_.add_edge(from, {.kind = Frame::kRule, .id = starts_[own.id]}, to);
      case GbnfNode::kAlternatives:
        for (const uint32_t part : own.parts) add_path(part, from, to);
        return;
      case GbnfNode::kSequence:
        for (size_t i = 0; i < own.parts.size(); ++i) {
          const uint32_t next = i + 1 == own.parts.size() ? to : program_.add_state();
          add_path(own.parts[i], from, next);
          from = next;
        }
        return;
      case GbnfNode::kRepeat:
        return add_repeat(own, from, to);
    }
  }

  void add_repeat(const GbnfNode& own, uint32_t from, uint32_t to) {
    for (uint32_t i = 0; i < own.min && !exhausted(); ++i) {
      const uint32_t next = program_.add_state();
      add_path(own.parts[0], from, next);
      from = next;
    }
    if (own.max == kNoMax) {
      const uint32_t loop = program_.add_state();
      program_.add_term(from, kEmpty, loop);
      add_path(own.parts[0], loop, loop);
      return program_.add_term(loop, kEmpty, to);
    }
    for (uint32_t i = own.min; i < own.max && !exhausted(); ++i) {
      const uint32_t next = program_.add_state();
      program_.add_term(from, kEmpty, to);
      add_path(own.parts[0], from, next);
      from = next;
    }
    program_.add_term(from, kEmpty, to);
  }

  // Takes out the ways from which no end can be reached.
  void prune() {
    live_.assign(program_.rules.size(), false);
    const auto leads_on = [this](const RuleState::Edge& edge) {
      return live_[edge.next] &&
             (is_rule(edge) ? live_[edge.part.id] : terms_.is_live(edge.part.x));
    };
    for (bool changed = true; changed && !exhausted();) {
      changed = false;
      for (size_t i = program_.rules.size(); i > 0; --i) {
        const RuleState& state = program_.rules[i - 1];
        program_.budget().step(1 + state.edges.size());
        if (live_[i - 1] || !(state.ends || std::ranges::any_of(state.edges, leads_on))) continue;
        live_[i - 1] = changed = true;
      }
    }
    for (RuleState& state : program_.rules) {
      std::erase_if(state.edges, [&](const RuleState::Edge& edge) { return !leads_on(edge); });
    }
  }

  // Which rules can begin at the very place where a rule begins.
  Result<void> check_left_recursion() {
    std::vector<bool> nullable(program_.rules.size(), false);
    const auto is_empty = [&](const RuleState::Edge& edge) {
      return is_rule(edge) ? nullable[edge.part.id] : terms_.nullable(edge.part.x);
    };
    for (bool changed = true; changed && !exhausted();) {
      changed = false;
      for (size_t i = 0; i < program_.rules.size(); ++i) {
        const RuleState& state = program_.rules[i];
        program_.budget().step(1 + state.edges.size());
        if (nullable[i]) continue;
        const bool empty = state.ends || std::ranges::any_of(state.edges, [&](const auto& edge) {
                             return is_empty(edge) && nullable[edge.next];
                           });
        if (empty) nullable[i] = changed = true;
      }
    }
    const size_t n = tree_.rules.size();
    std::map<uint32_t, uint32_t> rule_at;
    for (uint32_t rule = 0; rule < n; ++rule) {
      if (starts_[rule] != kNone) rule_at[starts_[rule]] = rule;
    }
    std::vector<std::vector<uint32_t>> begins(n);
    std::vector<size_t> n_open(n, 0);
    for (const auto& [start, rule] : rule_at) {
      std::vector<bool> seen(program_.rules.size(), false);
      std::vector<uint32_t> open{start};
      seen[start] = true;
      while (!open.empty() && !exhausted()) {
        const uint32_t at = open.back();
        open.pop_back();
        for (const RuleState::Edge& edge : program_.rules[at].edges) {
          program_.budget().step();
          if (is_rule(edge)) {
            begins[rule_at.at(edge.part.id)].push_back(rule);
            ++n_open[rule];
          }
          if (!is_empty(edge) || seen[edge.next]) continue;
          seen[edge.next] = true;
          open.push_back(edge.next);
        }
      }
    }
    std::vector<uint32_t> ready;
    for (uint32_t rule = 0; rule < n; ++rule) {
      if (n_open[rule] == 0) ready.push_back(rule);
    }
    size_t n_done = 0;
    for (; n_done < ready.size(); ++n_done) {
      for (const uint32_t user : begins[ready[n_done]]) {
        if (--n_open[user] == 0) ready.push_back(user);
      }
    }
    if (n_done == n || exhausted()) return {};
    for (uint32_t rule = 0; rule < n; ++rule) {
      if (n_open[rule] == 0) continue;
      return Error::unsupported(fmt::format(
          "GBNF: rule \"{:.100}\" begins with itself, or leads to one that does; write the "
          "repetition to the right",
          tree_.names[rule]));
    }
    return {};
  }

  GbnfTree tree_;
  Program& program_;
  Terms& terms_;
  std::vector<bool> regular_;
  std::vector<TermId> rule_terms_;
  std::vector<uint32_t> starts_;  // first state of each rule that is not regular
  std::vector<bool> live_;
};

}  // namespace

Result<void> compile_gbnf(std::string_view source, Program& program) {
  MARU_TRY(tree, parse_gbnf(program.terms(), source));
  return Builder(std::move(tree), program).build();
}

}  // namespace maru::grammar
