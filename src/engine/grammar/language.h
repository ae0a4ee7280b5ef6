// Regular languages as deterministic automata over characters: for what rules cannot say by
// themselves, that two forms hold at once (a pattern and a length) or that one does not (a negative
// look-ahead).
//
// Method  Thompson's construction, the subset construction, products and complements; states from
//         which no end is reached are taken out. All of it bounded by kMaxLanguageStates.
// Threads: values.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "engine/grammar/regex_rules.h"
#include "engine/grammar/rules.h"
#include "engine/model/utf8_regex.h"

namespace weir::grammar {

inline constexpr size_t kMaxLanguageStates = 6000;

class Language {
 public:
  // The texts that match. Look-aheads may stand at the beginning, behind ^. kUnimplemented for what
  // no automaton is made of here; kTooLarge.
  static Result<Language> Of(const model::RegexNode& tree, Anchoring anchoring);
  static Result<Language> OfLength(int min, int max);  // in characters; max -1: no end

  Result<Language> And(const Language& other) const;
  Language Not() const;
  bool empty() const;

  NodeId Node(Rules& rules, Spelling spelling) const;

 private:
  friend class Subsets;
  struct Edge {
    uint32_t first, last;
    int to;
  };
  struct State {
    std::vector<Edge> edges;  // disjoint, by first; a character without one leads nowhere
    bool end = false;
  };
  void Trim();
  std::vector<State> states_;  // the first is the start; none: no text at all
};

}  // namespace weir::grammar
