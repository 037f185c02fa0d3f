#include "grammar/schema/compile_schema.h"

#include <algorithm>
#include <span>
#include <unordered_map>

#include "grammar/schema/shaper.h"

namespace maru::grammar {
namespace {

// Bytes of the program's own tables, roughly, for each key and each node.
constexpr size_t kKeyBytes = 96;
constexpr size_t kNodeBytes = 160;

class Compiler {
 public:
  Compiler(const Json& schema, Program& program)
      : program_(program),
        terms_(program.terms()),
        shaper_(schema, program.terms()),
        value_begin_(program.values.size()),
        array_begin_(program.arrays.size()),
        object_begin_(program.objects.size()) {}

  Result<void> compile() {
    const uint32_t root = value_of(shaper_.source().ref_of(shaper_.source().root()));
    // Values come one after another; each may add more.
    for (size_t i = 0; i < refs_.size() && !failed(); ++i) fill(i);
    if (!failed()) find_live();
    if (!failed() && !is_live(root)) {
      return Error::invalid("JSON schema: no value satisfies it");
    }
    if (!failed()) prune();
    if (shaper_.error()) return *shaper_.error();
    if (program_.budget().exhausted()) {
      return Error::exhausted("the JSON schema is too large or too intricate to compile");
    }
    // No white space before the first byte.
    program_.root = {.kind = Frame::kValue, .n_white = kWhitespaceMax, .id = root};
    return {};
  }

 private:
  bool failed() const { return shaper_.error() || program_.budget().exhausted(); }

  uint32_t value_of(Ref ref) {
    if (ref == kFalse) return kNone;
    const auto next = static_cast<uint32_t>(value_begin_ + refs_.size());
    const auto [found, is_new] = values_.try_emplace(ref, next);
    if (is_new) {
      refs_.push_back(ref);
      program_.values.emplace_back();
      program_.budget().take(kNodeBytes);
    }
    return found->second;
  }

  void fill(size_t i) {
    const Shape& shape = shaper_.shape(refs_[i]);
    if (failed()) return;
    std::vector<TermId> scalars{shape.number};
    if (shape.is_null) scalars.push_back(terms_.literal("null"));
    if (shape.is_true) scalars.push_back(terms_.literal("true"));
    if (shape.is_false) scalars.push_back(terms_.literal("false"));
    ValueNode node;
    node.scalar = terms_.either(std::move(scalars));
    node.string = shape.string;
    for (const ArrayShape& array : shape.arrays) node.arrays.push_back(add(array));
    for (const ObjectShape& object : shape.objects) node.objects.push_back(add(object));
    program_.values[value_begin_ + i] = std::move(node);
  }

  uint32_t add(const ArrayShape& shape) {
    ArrayNode node{
        .n_min = shape.n_min, .n_max = shape.n_max, .n_contains_min = shape.n_contains_min};
    for (const Ref ref : shape.prefix) {
      node.prefix.push_back(value_of(ref));
      if (shape.n_contains_min == 0) continue;
      node.contains_prefix.push_back(value_of(shaper_.source().both(ref, shape.contains)));
    }
    node.items = value_of(shape.items);
    if (shape.n_contains_min > 0) {
      node.contains = value_of(shaper_.source().both(shape.items, shape.contains));
    }
    program_.budget().take(kNodeBytes + 8 * node.prefix.size());
    program_.arrays.push_back(std::move(node));
    return static_cast<uint32_t>(program_.arrays.size() - 1);
  }

  uint32_t add(const ObjectShape& shape) {
    ObjectNode node{.n_min = shape.n_min, .n_max = shape.n_max};
    std::vector<std::string_view> names;
    size_t n_bytes = kNodeBytes;
    for (const auto& property : shape.properties) {  // sorted by name
      names.push_back(property.name);
      node.keys.push_back({property.name, value_of(property.ref), property.required, {}});
      n_bytes += kKeyBytes + 40 * property.name.size();
    }
    program_.budget().take(n_bytes);
    const auto key_of = [&](const std::string& name) {
      const auto found = std::ranges::lower_bound(node.keys, name, {}, &ObjectKey::name);
      return static_cast<uint32_t>(found - node.keys.begin());
    };
    for (const auto& [name, needed] : shape.needs) {
      node.keys[key_of(name)].needs.push_back(key_of(needed));
    }
    if (!shape.needs.empty() && shape.n_max != kNoMax) {
      shaper_.fail(Error::unsupported(
          "JSON schema: maxProperties beside dependencies of one object is not supported"));
    }
    const TermId others = terms_.negate(terms_.one_of(names));
    for (const auto& region : shape.regions) {
      const TermId own = names.empty() ? region.names : terms_.both({region.names, others});
      const uint32_t value = value_of(region.ref);
      if (value != kNone && terms_.is_live(own)) node.regions.push_back({own, value});
    }
    program_.objects.push_back(std::move(node));
    return static_cast<uint32_t>(program_.objects.size() - 1);
  }

  // Which values have any text: the least set, so that what needs itself has none.
  void find_live() {
    live_.assign(refs_.size(), false);
    for (bool changed = true; changed && !failed();) {
      changed = false;
      for (size_t i = 0; i < live_.size(); ++i) {
        program_.budget().step();
        if (live_[i] || !is_live(program_.values[value_begin_ + i])) continue;
        live_[i] = true;
        changed = true;
      }
    }
  }

  bool is_live(uint32_t value) const { return value != kNone && live_[value - value_begin_]; }

  bool is_live(const ValueNode& value) {
    return terms_.is_live(value.scalar) || terms_.is_live(value.string) ||
           std::ranges::any_of(value.objects,
                               [this](uint32_t id) { return is_live(program_.objects[id]); }) ||
           std::ranges::any_of(value.arrays,
                               [this](uint32_t id) { return is_live(program_.arrays[id]); });
  }

  bool is_live(const ObjectNode& object) {
    program_.budget().step(object.keys.size());
    uint64_t n_able = 0, n_required = 0;
    for (const ObjectKey& key : object.keys) {
      if (key.required && !is_live(key.value)) return false;
      n_able += is_live(key.value);
      n_required += key.required;
    }
    for (const auto& region : object.regions) {
      if (is_live(region.value)) n_able = kNoMax;
    }
    return n_required <= object.n_max && object.n_min <= n_able;
  }

  // How many items an array can have.
  uint32_t longest(const ArrayNode& array) const {
    for (uint32_t i = 0; i < array.prefix.size(); ++i) {
      if (!is_live(array.prefix[i])) return std::min(i, array.n_max);
    }
    if (is_live(array.items)) return array.n_max;
    return std::min(static_cast<uint32_t>(array.prefix.size()), array.n_max);
  }

  bool is_live(const ArrayNode& array) {
    program_.budget().step(array.prefix.size());
    const uint32_t n_max = longest(array);
    if (n_max < array.n_min) return false;
    uint32_t n_contained = 0;
    for (uint32_t i = 0; i < array.contains_prefix.size() && i < n_max; ++i) {
      n_contained += is_live(array.contains_prefix[i]);
    }
    if (is_live(array.contains)) n_contained = kNoMax;
    return n_contained >= array.n_contains_min;
  }

  // Takes out what has no text, so that no way leads into it.
  void prune() {
    for (ValueNode& value : std::span(program_.values).subspan(value_begin_)) {
      if (!terms_.is_live(value.scalar)) value.scalar = kNever;
      if (!terms_.is_live(value.string)) value.string = kNever;
      std::erase_if(value.objects, [this](uint32_t id) { return !is_live(program_.objects[id]); });
      std::erase_if(value.arrays, [this](uint32_t id) { return !is_live(program_.arrays[id]); });
    }
    for (ArrayNode& array : std::span(program_.arrays).subspan(array_begin_)) {
      array.n_max = longest(array);
      for (uint32_t& value : array.contains_prefix) {
        if (!is_live(value)) value = kNone;
      }
      if (!is_live(array.contains)) array.contains = kNone;
    }
    for (ObjectNode& object : std::span(program_.objects).subspan(object_begin_)) prune(object);
  }

  // Keys that can't come are left out of the tree; keys that need one of those can't come either.
  void prune(ObjectNode& object) {
    std::vector<bool> able;
    for (const ObjectKey& key : object.keys) able.push_back(is_live(key.value));
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t i = 0; i < able.size(); ++i) {
        const bool blocked = std::ranges::any_of(object.keys[i].needs,
                                                 [&](uint32_t needed) { return !able[needed]; });
        if (!able[i] || !blocked) continue;
        able[i] = false;
        changed = true;
      }
    }
    std::vector<uint32_t> place(able.size());
    std::vector<ObjectKey> keys;
    for (size_t i = 0; i < able.size(); ++i) {
      place[i] = static_cast<uint32_t>(keys.size());
      if (able[i]) keys.push_back(std::move(object.keys[i]));
    }
    for (ObjectKey& key : keys) {
      for (uint32_t& needed : key.needs) needed = place[needed];
    }
    object.keys = std::move(keys);
    std::erase_if(object.regions, [this](const auto& region) { return !is_live(region.value); });
    object.make_tree();
  }

  Program& program_;
  Terms& terms_;
  Shaper shaper_;
  // Where the schema's own part of the program begins.
  const size_t value_begin_;
  const size_t array_begin_;
  const size_t object_begin_;
  std::unordered_map<Ref, uint32_t> values_;
  std::vector<Ref> refs_;   // of each value of its own
  std::vector<bool> live_;  // likewise
};

}  // namespace

Result<void> compile_schema(const Json& schema, Program& program) {
  return Compiler(schema, program).compile();
}

}  // namespace maru::grammar
