// The forms that requests ask their answers to have, compiled and kept: engine/grammar's machines
// behind the engine's Constraint.
//
// The same form asked for again (an application sends the same schema all day) is found in a small
// cache with all the masks that it has worked out.
// Threads: any; compiling happens on the caller's thread, outside of the lock. It may take a second
// for the largest forms, and the first one makes the vocabulary's trie.
// Memory: at most kKept grammars, each at most grammar::kMaxCachedMaskBytes of masks.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/grammar/grammar.h"
#include "engine/model/tokenizer.h"
#include "engine/serve/constraint.h"
#include "wire/openai_request.h"

namespace weir::serve {

class OutputConstraints {
 public:
  static constexpr size_t kKept = 8;

  // The tokenizer outlives this.
  explicit OutputConstraints(const model::Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // Whether For has nothing to compile: no form, or one that is kept.
  bool Has(const wire::OutputFormat& format);
  // Null for kText. `thinks`: the prompt has opened a thinking, and the form holds from its closing
  // mark on. Errors name the place in the schema, the pattern or the grammar.
  Result<std::shared_ptr<const Constraint>> For(const wire::OutputFormat& format, bool thinks);

 private:
  Result<grammar::GrammarPtr> Compile(const wire::OutputFormat& format);

  struct Kept {
    std::string key;
    grammar::GrammarPtr grammar;
  };
  const model::Tokenizer& tokenizer_;
  std::mutex mutex_;  // guards what follows
  std::shared_ptr<const grammar::Vocabulary>
      vocabulary_;        // made by the first request that needs it
  std::list<Kept> kept_;  // used last first
};

}  // namespace weir::serve
