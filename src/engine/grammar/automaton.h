// Rules as automata over bytes that call each other (a pushdown automaton).
//
// Each rule is one deterministic automaton: a state has edges for ranges of bytes and, at most one
// for each rule, edges that call a rule and go on at their target when it is over. Small rules, and
// those called from one place, are written into their caller, so that most forms become few and
// deterministic automata; what stays nondeterministic (a byte or a call, one call or another) the
// matcher follows side by side.
//
// Every state can reach an end: rules and edges that lead nowhere are taken out, so a matcher that
// has somewhere to be can always be finished.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/grammar/rules.h"

namespace weir::grammar {

using StateId = int32_t;

struct Automaton {
  struct Edge {
    uint8_t first, last;
    StateId to;
  };
  struct CallEdge {
    StateId start;  // of the rule that is called
    StateId to;     // where it goes on
    bool last;      // nothing follows at `to`: the caller need not be remembered
  };
  struct State {
    uint32_t edges = 0, edge_count = 0;  // in `edges`, by first byte
    uint32_t calls = 0, call_count = 0;  // in `calls`
    bool end = false;                    // the rule may end here
  };
  std::vector<State> states;
  std::vector<Edge> edges;
  std::vector<CallEdge> calls;
  StateId start = 0;
};

// Errors: kInvalidArgument for a rule that calls itself before it reads anything, or a form that no
// text has; kTooLarge.
Result<Automaton> Build(const Rules& rules, RuleId root);

}  // namespace weir::grammar
