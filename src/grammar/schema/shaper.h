// grammar/schema/shaper.h - works out the Shape of each schema of a document.
//
// keywords.cc reads the assertions on each type, shaper.cc what combines schemas, meet.cc the
// algebra of shapes. The first error stays; what is made after it means nothing.
// Threads: one owner.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "grammar/schema/shape.h"

namespace maru::grammar {

// A union of so many objects or arrays is the most that is worked out.
inline constexpr size_t kAlternativesMax = 512;
// Names of one object that differ in which patterns they match.
inline constexpr size_t kRegionsMax = 32;

class Shaper {
 public:
  Shaper(const Json& document, Terms& terms);

  const Shape& shape(Ref ref);
  SchemaSource& source() { return source_; }
  // Errors: kInvalidArgument for what no schema may say, kUnsupported for what is not compiled,
  // kResourceExhausted where it would be too much. The message has the path.
  const std::optional<Error>& error() const { return error_; }
  void fail(Error error);

 private:
  Shape of_atom(Atom atom);
  const Shape& atom_shape(Atom atom);
  Shape of_schema(Atom atom);
  Shape keywords(Atom atom);
  Shape joined(Atom atom, const Json& list, const char* keyword);
  Shape one_of(Atom atom, const Json& list);
  Shape conditional(Atom atom);
  void dependent_schemas(Atom atom, const char* keyword, Shape& shape);
  Atom child(Atom atom, const char* keyword) {
    return source_.child(atom, *find(atom, keyword), keyword);
  }

  // Of keywords.cc.
  Shape typed(Atom atom);
  void constants(Atom atom, Shape& shape);
  Shape constant(const Json& value);
  void numbers(Atom atom, bool integer, Shape& shape);
  void strings(Atom atom, Shape& shape);
  ArrayShape array(Atom atom);
  ObjectShape object(Atom atom);
  void add_patterns(Atom atom, ObjectShape& object);
  void add_dependencies(Atom atom, const char* keyword, ObjectShape& object);
  const Json* find(Atom atom, const char* keyword) const;
  // Of a keyword whose value must be a whole number from 0.
  std::optional<uint32_t> count(Atom atom, const char* keyword);
  TermId pattern(Atom atom, const std::string& source);
  void wrong(Atom atom, std::string_view what, bool unsupported = false);

  // Of meet.cc.
  Shape any();
  Shape meet(const Shape& a, const Shape& b);
  void meet_arrays(const ArrayShape& a, const ArrayShape& b, std::vector<ArrayShape>& out);
  void meet_objects(const ObjectShape& a, const ObjectShape& b, std::vector<ObjectShape>& out);
  void join(Shape& into, const Shape& other);
  template <class Part>
  void add_alternative(std::vector<Part>& list, Part part);
  Shape negate(Atom atom, const Shape& shape);
  void negate_object(Atom atom, const ObjectShape& object, std::vector<ObjectShape>& out);
  void negate_array(Atom atom, const ArrayShape& array, std::vector<ArrayShape>& out);
  bool are_apart(const Shape& a, const Shape& b);
  bool are_apart(const ObjectShape& a, const ObjectShape& b);
  bool are_apart(const ArrayShape& a, const ArrayShape& b);
  Ref ref_for(const ObjectShape& object, const std::string& name);
  // Whether working it out now meets nothing that is being worked out.
  bool is_ready(Atom atom, size_t depth = 0);
  // True only where nothing can satisfy it; looks a few levels deep.
  bool surely_empty(Ref ref);
  bool surely_empty(const Shape& shape);
  bool surely_empty(const ObjectShape& object);
  bool surely_empty(const ArrayShape& array);

  Terms& terms_;
  SchemaSource source_;
  std::optional<Error> error_;
  std::unordered_map<Atom, std::unique_ptr<Shape>> atom_shapes_;  // null: being worked out
  std::unordered_map<Ref, std::unique_ptr<Shape>> ref_shapes_;
  std::map<std::string, TermId> patterns_;
  size_t depth_ = 0;        // of surely_empty()
  size_t shape_depth_ = 0;  // of of_schema()
};

}  // namespace maru::grammar
