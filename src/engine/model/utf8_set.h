// A set of characters as sorted ranges of code points. The universe is 0..kInvalidByte: a byte that
// is not UTF-8 is a character too, one that only negated sets hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::model {

inline constexpr uint32_t kInvalidByte = 0x110000;

class CodeSet {
 public:
  using Range = std::pair<uint32_t, uint32_t>;  // both ends are in the set
  CodeSet() = default;
  CodeSet(std::initializer_list<Range> ranges) {
    for (const Range& r : ranges) Add(r.first, r.second);
    Normalize();
  }
  // Any order; Normalize() before reading.
  void Add(uint32_t first, uint32_t last) { ranges_.emplace_back(first, last); }
  void Add(const CodeSet& other) {
    ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  }
  void Normalize();
  void Negate();
  void Intersect(const CodeSet& other);
  // Adds the other case of the letters in it, as far as a single character has one.
  void FoldCase();
  bool Contains(uint32_t code) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& ranges() const { return ranges_; }
  bool operator==(const CodeSet&) const = default;

 private:
  std::vector<Range> ranges_;
};

// "L", "Lu", "P", "White_Space", "Letter", ... ; nullopt: not known here.
std::optional<CodeSet> SetOfProperty(std::string_view name);
CodeSet SetOfCategories(uint32_t mask);  // bits of Category
const CodeSet& WhiteSpaceSet();

}  // namespace weir::model
