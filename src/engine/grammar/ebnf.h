// Grammars as text: GBNF as llama.cpp reads it, and two embeddings.
//
//   root  ::= "yes" | "no" | list          # the form is what `root` matches
//   list  ::= "[" (item ("," item)*)? "]"  # ( ) groups, ? * + {n} {n,} {n,m} repeat
//   item  ::= [a-z0-9]+ | [^"\n] | .       # sets of characters; . is any
//   tool  ::= <tool_call> call </tool_call>  # <name>: the token with this text, angle brackets and
//                                            # all; <[name]>: any name; <[151657]>: by id
//   call  ::= %json {"type": "object"}     # text of a JSON Schema
//   code  ::= %regex /[A-Z]{3}-\d+/        # a regular expression; \/ is a slash
//
// Text within quotes and sets knows the escapes \n \r \t \" \\ \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH.
// A rule ends where the next name is followed by ::=, so it may go on over any number of lines.
// Errors name line and column.
#pragma once

#include <string_view>

#include "base/result.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/rules.h"

namespace weir::grammar {

// `vocabulary` may be null: then tokens by id are taken on trust.
Result<RuleId> EbnfRules(Rules& rules, std::string_view text, const Vocabulary* vocabulary);

}  // namespace weir::grammar
