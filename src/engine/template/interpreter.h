// Runs a parsed template. Only for files of this folder.
//
// Scopes are as in Jinja: a loop's body, a macro and a call block see what is
// around them and set names of their own; only a namespace carries a value out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/template/chat_template.h"
#include "engine/template/parser.h"
#include "engine/template/value.h"

namespace weir::templates {

class Interpreter {
 public:
  explicit Interpreter(const RenderOptions& options) : options_(options) {}
  ~Interpreter();
  Result<std::string> Run(const Program& program, const Value& variables);

  // --- For builtins*.cc.
  const RenderOptions& options() const { return options_; }
  Place place() const { return place_; }
  Error Bad(std::string_view what) const { return ErrorAt(place_, what); }
  // Counts what is made; the templates of a server must not eat it.
  Status Charge(size_t bytes);
  Result<Value> Text(std::string text);
  Result<Value> MakeList(std::vector<Value> items, bool tuple = false);
  Result<Value> MakeDict(std::vector<std::pair<Value, Value>> members);
  Value MakeNamespace(Dict members);
  Result<std::vector<Value>> Iterate(const Value& value);
  Result<Value> Attribute(const Value& object, std::string_view name);
  Result<Value> Item(const Value& object, const Value& key);
  Result<Value> Filter(std::string_view name, const Value& in, Arguments& arguments);
  Result<bool> Test(std::string_view name, const Value& in, Arguments& arguments);
  Result<bool> Contains(const Value& container, const Value& item);
  Result<Value> Binary(std::string_view op, const Value& a, const Value& b);
  Result<bool> Compare(std::string_view op, const Value& a, const Value& b);

 private:
  struct Scope {
    Scope* parent = nullptr;
    std::map<std::string, Value, std::less<>> names;
    bool kept = false;  // a macro may still look into it
  };
  enum class Flow : uint8_t { kOn, kBreak, kContinue };

  Result<Flow> Execute(const Body& body, Scope& scope, std::string& out);
  Result<Flow> For(const Statement& s, Scope& scope, std::string& out);
  Status Assign(const std::vector<std::string>& names, Value value, Scope& scope);
  Result<Value> Evaluate(const Expr& e, Scope& scope);
  Result<Value> Call(const Expr& e, Scope& scope);
  Result<Value> Slice(const Value& object, const Value* bounds);
  Result<Arguments> EvaluateArguments(const Expr& e, Scope& scope);
  Value Macro(const Statement& s, Scope& scope, std::string name);
  const Value* Look(std::string_view name, const Scope& scope) const;
  Status Step(Place place);
  Status Show(std::string_view text, std::string& out);
  Scope& NewScope(Scope& parent);
  void DropScope();

  const RenderOptions& options_;
  Place place_;
  int64_t steps_ = 0, bytes_ = 0;
  size_t shown_ = 0;
  int depth_ = 0;
  std::vector<std::unique_ptr<Scope>> scopes_;
  std::vector<std::shared_ptr<Dict>> namespaces_;  // emptied at the end: they may hold each other
  std::map<std::string, Value, std::less<>> globals_;
};

// builtins.cc, builtins_text.cc
using FilterFunction = Result<Value> (*)(Interpreter&, const Value&, Arguments&);
using TestFunction = Result<bool> (*)(Interpreter&, const Value&, Arguments&);
FilterFunction FindFilter(std::string_view name);
FilterFunction FindTextFilter(std::string_view name);
TestFunction FindTest(std::string_view name);
std::map<std::string, Value, std::less<>> Globals();
// A method of a string, list or dict; undefined: it has none of that name.
Result<Value> CallMethod(Interpreter& in, const Value& object, std::string_view name,
                         Arguments& arguments, bool& known);
bool HasMethod(const Value& object, std::string_view name);
// "%Y-%m-%d" and so on, of seconds since 1970 UTC.
std::string FormatTime(std::string_view format, int64_t seconds);

// The argument at a position or by its name; null where it is not given.
const Value* Given(const Arguments& arguments, size_t position, std::string_view name);

}  // namespace weir::templates
