// What the text of an answer must obey: a JSON Schema, a regular expression, a grammar. The engine
// knows only this; engine/grammar has the machines.
//
// Threads: a Constraint is immutable and shared; each answer has a Follower of its own, used by one
// thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace weir::serve {

class Constraint {
 public:
  class Follower {
   public:
    virtual ~Follower() = default;
    // Sets bit t % 64 of word t / 64 for every token t that may come next, clears the others. The
    // model's stop tokens are set exactly where the text may end. words: (vocabulary + 63) / 64.
    virtual void Allowed(std::span<uint64_t> words) = 0;
    // `token` came, one that was allowed. Not called for the token that ends the answer.
    virtual void Accept(int32_t token) = 0;
  };
  virtual ~Constraint() = default;
  virtual std::unique_ptr<Follower> Follow() const = 0;  // from the beginning of an answer
};

}  // namespace weir::serve
