#include "engine/scheduler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "model/model.h"

namespace maru::engine {
namespace {

using model::blocks_for;

// What it holds once it has grown by the headroom.
size_t n_blocks_ahead(const Entry& entry) {
  if (entry.is_fixed) return blocks_for(entry.n_tokens_end);
  return blocks_for(std::min(entry.n_tokens_end, entry.n_tokens + kHeadroomTokens));
}

size_t n_blocks_to_come(const Entry& entry) {
  return n_blocks_ahead(entry) - blocks_for(entry.n_computed);
}

size_t n_left(const Entry& entry) { return entry.n_tokens - entry.n_computed; }
bool decodes(const Entry& entry) { return n_left(entry) == 1; }

}  // namespace

Scheduler::Scheduler(const SchedulerLimits& limits) : limits_(limits) {
  CHECK(limits.n_running_max >= 1 && limits.n_running_user_max >= 1);
}

Scheduler::User& Scheduler::arrive(const Claim& claim) {
  User& user = users_[claim.user];
  user.weight = claim.weight;
  if (user.is_away()) user.served = std::max(user.served, floor_ - kCreditTokens);
  return user;
}

// The counts of users who left long ago, of those that had the least, are given up.
void Scheduler::leave(const std::string& name) {
  if (!users_.at(name).is_away() || users_.size() <= kUsersAwayMax) return;
  auto least = users_.end();
  for (auto each = users_.begin(); each != users_.end(); ++each) {
    if (!each->second.is_away()) continue;
    if (least == users_.end() || each->second.served < least->second.served) least = each;
  }
  users_.erase(least);
}

void Scheduler::raise_floor() {
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [name, user] : users_) {
    if (!user.is_away()) least = std::min(least, user.served);
  }
  if (std::isfinite(least)) floor_ = std::max(floor_, least);
}

double Scheduler::served(const std::string& user) const {
  const auto found = users_.find(user);
  return found == users_.end() ? 0 : found->second.served;
}

size_t Scheduler::level(const Place& place, int64_t now_ns) const {
  const auto n_aged = static_cast<size_t>((now_ns - place.arrived_ns) / kAgingNs);
  const auto own = static_cast<size_t>(place.entry.claim.work_class);
  return own - std::min(own, n_aged);
}

Scheduler::Answer Scheduler::enqueue(const Entry& entry, int64_t now_ns) {
  CHECK(entry.n_tokens >= 1 && entry.n_tokens <= entry.n_tokens_end && entry.claim.weight >= 1);
  CHECK(entry.n_chunk_max >= 1 && entry.n_computed == 0 && entry.n_cut < entry.n_tokens);
  CHECK(blocks_for(entry.n_tokens_end) <= limits_.n_blocks);
  if (waiting_.size() >= limits_.n_waiting_max) return Answer::kTooManyWait;
  const auto known = users_.find(entry.claim.user);
  if (known != users_.end() && known->second.n_waiting >= limits_.n_waiting_user_max) {
    return Answer::kTooManyOfUserWait;
  }
  ++arrive(entry.claim).n_waiting;
  waiting_.push_back({.entry = entry, .number = ++n_arrived_, .arrived_ns = now_ns});
  return Answer::kAccepted;
}

std::vector<size_t> Scheduler::waiting_order(int64_t now_ns) const {
  struct Rank {
    size_t level;
    double served;
    uint64_t number;
    size_t i;
    auto operator<=>(const Rank&) const = default;
  };
  std::vector<Rank> ranks;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    const Place& place = waiting_[i];
    ranks.push_back({level(place, now_ns), user_of(place).served, place.number, i});
  }
  std::ranges::sort(ranks, [](const Rank& a, const Rank& b) { return (a <=> b) < 0; });
  std::vector<size_t> order;
  for (const Rank& rank : ranks) order.push_back(rank.i);
  return order;
}

std::optional<Scheduler::Decision> Scheduler::decide(
    int64_t now_ns, size_t n_available, FunctionRef<std::optional<size_t>(SequenceId)> n_shared) {
  if (waiting_.empty()) return std::nullopt;
  raise_floor();
  size_t n_promised = 0;
  for (const Place& place : running_) n_promised += n_blocks_to_come(place.entry);
  for (const size_t i : waiting_order(now_ns)) {
    const Place& first = waiting_[i];
    if (user_of(first).n_running >= limits_.n_running_user_max) continue;
    const auto shared = n_shared(first.entry.id);
    if (!shared) continue;
    const size_t n_need = n_blocks_ahead(first.entry) - *shared;
    const bool has_place = running_.size() < limits_.n_running_max;
    if (has_place && n_need + n_promised <= n_available) {
      User& user = user_of(first);
      ++user.n_running;
      --user.n_waiting;
      running_.push_back(first);
      running_.back().n_since_admission = 0;
      waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(i));
      return Decision{true, running_.back().entry.id};
    }
    // Nobody overtakes the first: what is large would never fit.
    const auto victim = find_victim(first, n_need, has_place, now_ns);
    if (!victim) return std::nullopt;
    return Decision{false, step_back(*victim)};
  }
  return std::nullopt;
}

size_t Scheduler::n_blocks_of(const std::string& user) const {
  size_t n = 0;
  for (const Place& place : running_) {
    if (place.entry.claim.user == user) n += n_blocks_ahead(place.entry);
  }
  return n;
}

// What its user holds of what is scarce, for its weight.
double Scheduler::share(const Place& place, bool of_blocks, size_t n_more) const {
  const User& user = user_of(place);
  const size_t n = of_blocks ? n_blocks_of(place.entry.claim.user) : user.n_running;
  return static_cast<double>(n + n_more) / user.weight;
}

// One of a worse class; or, of no better one, of a user who even without it would hold as much as
// the user of `waiting` with it. It has got something done since it was admitted: two that displace
// each other in turns still come to an end.
std::optional<size_t> Scheduler::find_victim(const Place& waiting, size_t n_need, bool of_blocks,
                                             int64_t now_ns) const {
  const size_t own_level = level(waiting, now_ns);
  const double own_share = share(waiting, of_blocks, of_blocks ? n_need : 1);
  std::optional<size_t> victim;
  std::tuple<size_t, double, uint64_t> worst;
  for (size_t i = 0; i < running_.size(); ++i) {
    const Place& place = running_[i];
    if (place.entry.is_fixed || place.n_since_admission < kResidenceTokens) continue;
    const size_t its_level = level(place, now_ns);
    const double its_share = share(place, of_blocks, 0);
    const bool is_worse = its_level > own_level;
    const bool has_more = its_level >= own_level && its_share > own_share &&
                          place.entry.claim.user != waiting.entry.claim.user;
    if (!is_worse && !has_more) continue;
    const std::tuple rank(its_level, its_share, place.number);
    if (victim && rank < worst) continue;
    victim = i;
    worst = rank;
  }
  return victim;
}

SequenceId Scheduler::step_back(size_t i) {
  Place place = running_[i];
  running_.erase(running_.begin() + static_cast<ptrdiff_t>(i));
  User& user = user_of(place);
  --user.n_running;
  ++user.n_waiting;
  place.entry.n_computed = 0;
  const auto later = std::ranges::upper_bound(waiting_, place.number, {}, &Place::number);
  waiting_.insert(later, place);
  return place.entry.id;
}

void Scheduler::skip(SequenceId id, size_t n) {
  Entry& entry = running(id).entry;
  CHECK(entry.n_computed == 0 && n < entry.n_tokens);
  entry.n_computed = n;
}

std::vector<Work> Scheduler::plan(size_t n_tokens_max, int64_t now_ns) const {
  struct Rank {
    size_t level;
    double turn;  // users who were served about the same go in order of arrival
    uint64_t number;
    size_t i;
    auto operator<=>(const Rank&) const = default;
  };
  std::vector<Rank> prompts, answers;
  double weights = 0;
  std::set<std::string> users;
  for (size_t i = 0; i < running_.size(); ++i) {
    const Place& place = running_[i];
    const User& user = user_of(place);
    if (users.insert(place.entry.claim.user).second) weights += user.weight;
    const bool is_answer = decodes(place.entry);
    (is_answer ? answers : prompts)
        .push_back({level(place, now_ns), std::floor(user.served / kTurnTokens),
                    is_answer ? place.last_served : place.number, i});
  }
  const auto less = [](const Rank& a, const Rank& b) { return (a <=> b) < 0; };
  std::ranges::sort(prompts, less);
  std::ranges::sort(answers, less);

  // Every answer gets its token, unless a prompt with a better claim waits for this step: then a
  // user's answers get a part of what is its share, in turns.
  std::vector<size_t> n_tokens(running_.size(), 0);
  std::map<std::string, size_t> n_contested;
  size_t n_decodes = 0;
  for (const Rank& answer : answers) {
    const std::string& name = running_[answer.i].entry.claim.user;
    const bool is_contested =
        !prompts.empty() &&
        std::pair(prompts[0].level, prompts[0].turn) < std::pair(answer.level, answer.turn) &&
        (running_[prompts[0].i].entry.claim.user != name || prompts[0].level < answer.level);
    if (is_contested) {
      const double share = static_cast<double>(n_tokens_max) * users_.at(name).weight / weights;
      const auto part = static_cast<size_t>(share * kContestedShare);
      if (++n_contested[name] > std::max<size_t>(1, part)) continue;
    }
    n_tokens[answer.i] = 1;
    ++n_decodes;
  }
  size_t n_prefill = std::max(kPrefillTokensMin, n_tokens_max - std::min(n_decodes, n_tokens_max));
  for (const Rank& prompt : prompts) {
    const Entry& entry = running_[prompt.i].entry;
    size_t n = std::min({n_left(entry), entry.n_chunk_max, n_prefill});
    if (entry.n_computed < entry.n_cut) n = std::min(n, entry.n_cut - entry.n_computed);
    n_prefill -= n;
    n_tokens[prompt.i] = n;
  }
  std::vector<Work> work;
  for (size_t i = 0; i < running_.size(); ++i) {
    if (n_tokens[i] > 0) work.push_back({running_[i].entry.id, n_tokens[i]});
  }
  return work;
}

size_t Scheduler::n_blocks_needed(std::span<const Work> plan) const {
  size_t n_need = 0;
  for (const Place& place : running_) {
    if (place.entry.is_fixed) n_need += n_blocks_to_come(place.entry);
  }
  for (const Work& work : plan) {
    const Entry& entry = running(work.id).entry;
    if (entry.is_fixed) continue;
    const size_t end = entry.n_computed + work.n_tokens + work.n_guesses;
    n_need += blocks_for(end) - blocks_for(entry.n_computed);
  }
  return n_need;
}

std::optional<SequenceId> Scheduler::make_room(std::span<const Work> plan, size_t n_available,
                                               int64_t now_ns) {
  if (n_blocks_needed(plan) <= n_available) return std::nullopt;
  std::optional<size_t> victim;
  std::tuple<size_t, double, uint64_t> worst;
  for (size_t i = 0; i < running_.size(); ++i) {
    if (running_[i].entry.is_fixed) continue;
    const std::tuple rank(level(running_[i], now_ns), share(running_[i], true, 0),
                          running_[i].number);
    if (victim && rank < worst) continue;
    victim = i;
    worst = rank;
  }
  CHECK(victim && running_.size() > 1);  // one alone fits
  return step_back(*victim);
}

// Wrong guesses count as well: they are work, and their user's.
void Scheduler::advance(const Work& work, size_t n_new, size_t n_right) {
  Place& place = running(work.id);
  Entry& entry = place.entry;
  CHECK(work.n_tokens <= n_left(entry) && n_right <= std::min(work.n_guesses, n_new));
  entry.n_computed += work.n_tokens + n_right;
  entry.n_tokens += n_new;
  CHECK(entry.n_tokens <= entry.n_tokens_end);
  place.n_since_admission += work.n_tokens + n_right;
  place.last_served = ++n_pieces_;
  User& user = user_of(place);
  user.served += static_cast<double>(work.n_tokens + work.n_guesses) / user.weight;
}

void Scheduler::remove(SequenceId id) {
  for (auto* places : {&waiting_, &running_}) {
    const auto found =
        std::ranges::find_if(*places, [&](const Place& place) { return place.entry.id == id; });
    if (found == places->end()) continue;
    User& user = user_of(*found);
    --(places == &waiting_ ? user.n_waiting : user.n_running);
    const std::string name = found->entry.claim.user;
    places->erase(found);
    leave(name);
  }
}

const Scheduler::Place& Scheduler::running(SequenceId id) const {
  const auto found =
      std::ranges::find_if(running_, [&](const Place& place) { return place.entry.id == id; });
  CHECK(found != running_.end());
  return *found;
}

Scheduler::Place& Scheduler::running(SequenceId id) {
  return const_cast<Place&>(std::as_const(*this).running(id));
}

void Scheduler::check_integrity() const {
  std::map<std::string, std::pair<size_t, size_t>> counts;
  for (const Place& place : running_) {
    const Entry& entry = place.entry;
    CHECK(entry.n_computed < entry.n_tokens && entry.n_tokens <= entry.n_tokens_end);
    ++counts[entry.claim.user].first;
  }
  for (size_t i = 0; i < waiting_.size(); ++i) {
    CHECK(waiting_[i].entry.n_computed == 0);
    CHECK(i == 0 || waiting_[i - 1].number < waiting_[i].number);
    ++counts[waiting_[i].entry.claim.user].second;
  }
  size_t n_away = 0;
  for (const auto& [name, user] : users_) {
    CHECK(std::pair(user.n_running, user.n_waiting) == counts[name]);
    CHECK(user.n_running <= limits_.n_running_user_max);
    if (user.is_away()) ++n_away;
  }
  CHECK(counts.size() == users_.size() && n_away <= kUsersAwayMax);
  CHECK(running_.size() <= limits_.n_running_max);
  CHECK(waiting_.size() <= limits_.n_waiting_max + limits_.n_running_max);  // some stepped back
}

}  // namespace maru::engine
