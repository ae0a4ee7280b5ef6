// What a Grammar holds. Only for files of this folder.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/grammar/automaton.h"
#include "engine/grammar/grammar.h"

namespace weir::grammar {

// The tokens that may follow at a state, whoever called its rule.
struct LocalMask {
  std::vector<uint32_t> bits;     // where there are many
  std::vector<TokenId> tokens;    // where there are few
  std::vector<uint32_t> escapes;  // nodes of the trie at which the rule is over: what may follow in
                                  // the same token depends on the caller
};

class Grammar {
 public:
  Grammar(Automaton automaton, std::shared_ptr<const Vocabulary> vocabulary)
      : automaton_(std::move(automaton)), vocabulary_(std::move(vocabulary)) {}
  const Automaton& automaton() const { return automaton_; }
  bool has_vocabulary() const { return vocabulary_ != nullptr; }
  const Vocabulary& vocabulary() const { return *vocabulary_; }
  std::shared_ptr<const LocalMask> MaskOf(StateId state) const;

 private:
  const Automaton automaton_;
  const std::shared_ptr<const Vocabulary> vocabulary_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<StateId, std::shared_ptr<const LocalMask>> masks_;  // mutex_
  mutable size_t mask_bytes_ = 0;                                                // mutex_
};

}  // namespace weir::grammar
