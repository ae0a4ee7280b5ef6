#include "engine/template/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/nearest.h"

namespace weir::templates {
namespace {

constexpr int kMaxDepth = 400;      // evaluations within evaluations
constexpr size_t kValueBytes = 64;  // what a value is counted as, beside its text

using ExprKind = Expr::Kind;

}  // namespace

Interpreter::~Interpreter() {
  for (const auto& dict : namespaces_) dict->members.clear();
}

const Value* Given(const Arguments& arguments, size_t position, std::string_view name) {
  if (position < arguments.positional.size()) return &arguments.positional[position];
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return &value;
  }
  return nullptr;
}

Status Interpreter::Charge(size_t bytes) {
  bytes_ += static_cast<int64_t>(bytes);
  if (bytes_ <= options_.limits.memory_bytes) return {};
  return ErrorAt(place_, "the template makes more values than its bound allows", Code::kTooLarge);
}

Status Interpreter::Step(Place place) {
  place_ = place;
  if (++steps_ <= options_.limits.steps) return {};
  return ErrorAt(place, fmt::format("more than {} steps", options_.limits.steps), Code::kTooLarge);
}

Status Interpreter::Show(std::string_view text, std::string& out) {
  shown_ += text.size();
  if (shown_ > options_.limits.output_bytes) {
    return ErrorAt(place_, fmt::format("more than {} bytes of text", options_.limits.output_bytes),
                   Code::kTooLarge);
  }
  out += text;
  return {};
}

Result<Value> Interpreter::Text(std::string text) {
  TRY(Charge(text.size() + kValueBytes));
  if (text.size() > options_.limits.output_bytes) {
    return ErrorAt(place_, "a text beyond its bound", Code::kTooLarge);
  }
  return Value::String(std::move(text));
}

Result<Value> Interpreter::MakeList(std::vector<Value> items, bool tuple) {
  TRY(Charge(items.size() * kValueBytes + kValueBytes));
  auto list = std::make_shared<List>();
  for (const Value& item : items) {
    if (item.dict() && item.members()->is_namespace) continue;
    list->depth = std::max(list->depth, 1 + item.depth());
  }
  if (list->depth > kMaxValueDepth) return Bad("a list nested too deeply");
  list->items = std::move(items);
  list->tuple = tuple;
  return Value::Of(std::shared_ptr<const List>(std::move(list)));
}

Result<Value> Interpreter::MakeDict(std::vector<std::pair<Value, Value>> members) {
  TRY(Charge(members.size() * 2 * kValueBytes + kValueBytes));
  auto dict = std::make_shared<Dict>();
  for (auto& [key, value] : members) {
    if (key.list() || key.dict() || key.undefined() || key.Is(Value::Kind::kCallable)) {
      return Bad(fmt::format("a {} cannot be a key", key.TypeName()));
    }
    const bool open = value.dict() && value.members()->is_namespace;
    if (!open) dict->depth = std::max(dict->depth, 1 + value.depth());
    dict->Set(std::move(key), std::move(value));
  }
  if (dict->depth > kMaxValueDepth) return Bad("a dict nested too deeply");
  return Value::Of(std::move(dict));
}

Value Interpreter::MakeNamespace(Dict members) {
  auto dict = std::make_shared<Dict>(std::move(members));
  dict->is_namespace = true;
  dict->depth = 0;
  namespaces_.push_back(dict);
  return Value::Of(std::move(dict));
}

Interpreter::Scope& Interpreter::NewScope(Scope& parent) {
  scopes_.push_back(std::make_unique<Scope>());
  scopes_.back()->parent = &parent;
  return *scopes_.back();
}

void Interpreter::DropScope() {
  if (!scopes_.back()->kept) scopes_.pop_back();
}

const Value* Interpreter::Look(std::string_view name, const Scope& scope) const {
  for (const Scope* s = &scope; s != nullptr; s = s->parent) {
    const auto it = s->names.find(name);
    if (it != s->names.end()) return &it->second;
  }
  const auto it = globals_.find(name);
  return it == globals_.end() ? nullptr : &it->second;
}

Result<std::string> Interpreter::Run(const Program& program, const Value& variables) {
  globals_ = Globals();
  scopes_.push_back(std::make_unique<Scope>());
  Scope& top = *scopes_.back();
  for (const auto& [name, value] : variables.members()->members) top.names[name.text()] = value;
  std::string out;
  Result<Flow> flow = Execute(program.body, top, out);
  if (!flow) return std::move(flow).error();
  // Macros and the scopes that they look into hold each other.
  for (const auto& scope : scopes_) scope->names.clear();
  return out;
}

Status Interpreter::Assign(const std::vector<std::string>& names, Value value, Scope& scope) {
  if (names.size() == 1) {
    scope.names[names[0]] = std::move(value);
    return {};
  }
  const std::vector<Value> items = TRY(Iterate(value));
  if (items.size() != names.size()) {
    return Bad(fmt::format("{} values for {} names", items.size(), names.size()));
  }
  for (size_t i = 0; i < names.size(); ++i) scope.names[names[i]] = items[i];
  return {};
}

Result<Interpreter::Flow> Interpreter::Execute(const Body& body, Scope& scope, std::string& out) {
  using S = Statement::Kind;
  if (++depth_ > kMaxDepth) return ErrorAt(place_, "nested too deeply", Code::kTooLarge);
  struct Leave {
    int& depth;
    ~Leave() { --depth; }
  } leave{depth_};
  for (const Statement& s : body) {
    TRY(Step(s.place));
    switch (s.kind) {
      case S::kText:
        TRY(Show(s.text, out));
        break;
      case S::kOutput: {
        const Value value = TRY(Evaluate(*s.expr, scope));
        TRY(Show(value.string() ? value.text() : ToText(value), out));
        break;
      }
      case S::kIf:
        for (const auto& [condition, then] : s.branches) {
          if (condition && !TRY(Evaluate(*condition, scope)).Truthy()) continue;
          const Flow flow = TRY(Execute(then, scope, out));
          if (flow != Flow::kOn) return flow;
          break;
        }
        break;
      case S::kFor:
        TRY(For(s, scope, out));
        break;
      case S::kSet:
        TRY(Assign(s.names, TRY(Evaluate(*s.expr, scope)), scope));
        break;
      case S::kSetBlock:
      case S::kFilterBlock: {
        std::string inside;
        Scope& inner = NewScope(scope);
        Result<Flow> flow = Execute(s.body, inner, inside);
        DropScope();
        if (!flow) return std::move(flow).error();
        shown_ -= inside.size();  // it was not shown yet
        Value value = TRY(Text(std::move(inside)));
        // A chain of filters stands as an expression whose innermost part is to
        // be the text.
        std::vector<const Expr*> chain;
        for (const Expr* e = s.expr.get(); e != nullptr && e->kind == ExprKind::kFilter;
             e = e->parts[0].get()) {
          chain.push_back(e);
        }
        for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
          Arguments arguments = TRY(EvaluateArguments(**it, scope));
          value = TRY(Filter((*it)->name, value, arguments));
        }
        if (s.kind == S::kSetBlock) {
          scope.names[s.names[0]] = std::move(value);
        } else {
          TRY(Show(ToText(value), out));
        }
        break;
      }
      case S::kSetAttribute: {
        const Value* object = Look(s.object, scope);
        if (object == nullptr || !object->dict() || !object->members()->is_namespace) {
          return ErrorAt(s.place, fmt::format("{}.{} cannot be set: {} is no namespace", s.object,
                                              s.text, s.object));
        }
        const Value target = *object;
        Value value = TRY(Evaluate(*s.expr, scope));
        target.members()->Set(Value::String(s.text), std::move(value));
        break;
      }
      case S::kMacro:
        scope.names[s.text] = Macro(s, scope, s.text);
        break;
      case S::kCallBlock: {
        const Value callee = TRY(Evaluate(*s.expr->parts[0], scope));
        if (!callee.Is(Value::Kind::kCallable)) return Bad("{% call %} of what cannot be called");
        Arguments arguments = TRY(EvaluateArguments(*s.expr, scope));
        arguments.named.emplace_back("caller", Macro(s, scope, "caller"));
        const Value value = TRY(callee.callable().call(*this, arguments));
        TRY(Show(ToText(value), out));
        break;
      }
      case S::kBlock: {
        const Flow flow = TRY(Execute(s.body, scope, out));
        if (flow != Flow::kOn) return flow;
        break;
      }
      case S::kBreak:
        return Flow::kBreak;
      case S::kContinue:
        return Flow::kContinue;
    }
  }
  return Flow::kOn;
}

Result<Interpreter::Flow> Interpreter::For(const Statement& s, Scope& scope, std::string& out) {
  const Value source = TRY(Evaluate(*s.expr, scope));
  std::vector<Value> items = TRY(Iterate(source));
  if (s.filter) {
    std::vector<Value> passed;
    for (Value& item : items) {
      Scope& inner = NewScope(scope);
      Status assigned = Assign(s.names, item, inner);
      Result<Value> keep = assigned ? Evaluate(*s.filter, inner) : Result<Value>(assigned.error());
      DropScope();
      if (!keep) return std::move(keep).error();
      if (keep->Truthy()) passed.push_back(std::move(item));
    }
    items = std::move(passed);
  }
  if (items.empty()) return Execute(s.otherwise, scope, out);
  const auto n = static_cast<int64_t>(items.size());
  const auto last_changed = std::make_shared<std::optional<std::vector<Value>>>();
  struct Forget {  // what loop.changed() saw may hold the loop itself
    std::optional<std::vector<Value>>& values;
    ~Forget() { values.reset(); }
  } forget{*last_changed};
  for (int64_t i = 0; i < n; ++i) {
    TRY(Charge(8 * kValueBytes));
    Dict loop;
    const auto set = [&](const char* name, Value value) {
      loop.members.emplace_back(Value::String(name), std::move(value));
    };
    const auto at = [&](int64_t k) { return items[static_cast<size_t>(k)]; };
    set("index", Value::Int(i + 1));
    set("index0", Value::Int(i));
    set("first", Value::Bool(i == 0));
    set("last", Value::Bool(i + 1 == n));
    set("length", Value::Int(n));
    set("revindex", Value::Int(n - i));
    set("revindex0", Value::Int(n - i - 1));
    set("depth", Value::Int(1));
    set("depth0", Value::Int(0));
    set("previtem", i > 0 ? at(i - 1) : Value::Missing("loop.previtem"));
    set("nextitem", i + 1 < n ? at(i + 1) : Value::Missing("loop.nextitem"));
    const auto function = [](const char* name, auto call) {
      auto made = std::make_shared<Callable>();
      made->name = name;
      made->call = std::move(call);
      return Value::Of(std::shared_ptr<const Callable>(std::move(made)));
    };
    set("cycle", function("cycle", [i](Interpreter& in, Arguments& a) -> Result<Value> {
          if (a.positional.empty()) return in.Bad("loop.cycle() needs values");
          return a.positional[static_cast<size_t>(i) % a.positional.size()];
        }));
    set("changed", function("changed", [last_changed](Interpreter&, Arguments& a) -> Result<Value> {
          const bool same =
              *last_changed && (*last_changed)->size() == a.positional.size() &&
              std::equal(a.positional.begin(), a.positional.end(), (*last_changed)->begin(), Equal);
          *last_changed = a.positional;
          return Value::Bool(!same);
        }));
    auto members = std::make_shared<Dict>(std::move(loop));
    members->is_namespace = true;  // nothing prints or walks it
    members->depth = 0;
    Scope& inner = NewScope(scope);
    inner.names["loop"] = Value::Of(std::move(members));
    Status assigned = Assign(s.names, at(i), inner);
    Result<Flow> flow = assigned ? Execute(s.body, inner, out) : Result<Flow>(assigned.error());
    DropScope();
    if (!flow) return std::move(flow).error();
    if (*flow == Flow::kBreak) break;
  }
  return Flow::kOn;
}

Value Interpreter::Macro(const Statement& s, Scope& scope, std::string name) {
  for (Scope* at = &scope; at != nullptr; at = at->parent) at->kept = true;
  auto made = std::make_shared<Callable>();
  made->name = std::move(name);
  made->call = [&s, closure = &scope](Interpreter& in, Arguments& given) -> Result<Value> {
    Scope& inner = in.NewScope(*closure);
    const auto run = [&]() -> Result<Value> {
      const size_t n = s.names.size();
      std::vector<bool> set(n);
      for (size_t i = 0; i < std::min(n, given.positional.size()); ++i) {
        inner.names[s.names[i]] = given.positional[i];
        set[i] = true;
      }
      std::vector<std::pair<Value, Value>> more;
      for (auto& [key, value] : given.named) {
        const auto it = std::find(s.names.begin(), s.names.end(), key);
        if (it == s.names.end()) {
          if (key == "caller") {
            inner.names["caller"] = value;
          } else {
            more.emplace_back(Value::String(key), value);
          }
          continue;
        }
        inner.names[key] = value;
        set[static_cast<size_t>(it - s.names.begin())] = true;
      }
      for (size_t i = 0; i < n; ++i) {
        if (set[i]) continue;
        const size_t first = n - s.defaults.size();
        inner.names[s.names[i]] = i >= first ? TRY(in.Evaluate(*s.defaults[i - first], inner))
                       : Value::Missing(s.names[i]);
      }
      std::vector<Value> rest;
      for (size_t i = n; i < given.positional.size(); ++i) rest.push_back(given.positional[i]);
      inner.names["varargs"] = TRY(in.MakeList(std::move(rest), true));
      inner.names["kwargs"] = TRY(in.MakeDict(std::move(more)));
      std::string out;
      TRY(in.Execute(s.body, inner, out));
      in.shown_ -= out.size();
      return in.Text(std::move(out));
    };
    Result<Value> result = run();
    in.DropScope();
    return result;
  };
  return Value::Of(std::shared_ptr<const Callable>(std::move(made)));
}

Result<std::vector<Value>> Interpreter::Iterate(const Value& value) {
  std::vector<Value> items;
  if (value.list()) {
    items = value.items().items;
  } else if (value.dict() && !value.members()->is_namespace) {
    for (const auto& [key, member] : value.members()->members) items.push_back(key);
  } else if (value.string()) {
    for (const std::string_view c : Characters(value.text())) {
      items.push_back(Value::String(std::string(c)));
    }
  } else if (!value.undefined()) {
    return Bad(fmt::format("a {} cannot be iterated", value.TypeName()));
  }
  steps_ += static_cast<int64_t>(items.size());
  TRY(Charge(items.size() * kValueBytes));
  return items;
}

Result<Value> Interpreter::Attribute(const Value& object, std::string_view name) {
  if (object.undefined()) {
    return Bad(fmt::format("{} is undefined, so it has no {}",
                           object.missing_name().empty() ? "the value" : object.missing_name(),
                           name));
  }
  if (HasMethod(object, name)) {
    auto made = std::make_shared<Callable>();
    made->name = name;
    made->call = [object, method = std::string(name)](Interpreter& in, Arguments& a) {
      bool known = false;
      return CallMethod(in, object, method, a, known);
    };
    return Value::Of(std::shared_ptr<const Callable>(std::move(made)));
  }
  if (object.dict()) {
    if (const Value* found = object.members()->Find(name); found != nullptr) return *found;
  }
  return Value::Missing(std::string(name));
}

Result<Value> Interpreter::Item(const Value& object, const Value& key) {
  if (object.undefined()) {
    return Bad(fmt::format("{} is undefined, so it has no items",
                           object.missing_name().empty() ? "the value" : object.missing_name()));
  }
  if (object.dict()) {
    if (const Value* found = object.members()->Find(key); found != nullptr) return *found;
    return Value::Missing(key.string() ? key.text() : ToRepr(key));
  }
  if ((object.list() || object.string()) && key.integer()) {
    const auto pick = [&](size_t n) -> std::optional<size_t> {
      int64_t i = key.int_value();
      if (i < 0) i += static_cast<int64_t>(n);
      return i < 0 || i >= static_cast<int64_t>(n) ? std::nullopt
                                                   : std::optional(static_cast<size_t>(i));
    };
    if (object.list()) {
      const auto i = pick(object.items().items.size());
      return i ? object.items().items[*i] : Value::Missing("an item beyond the end");
    }
    const auto characters = Characters(object.text());
    steps_ += static_cast<int64_t>(characters.size() / 16);
    const auto i = pick(characters.size());
    return i ? Value::String(std::string(characters[*i]))
             : Value::Missing("an item beyond the end");
  }
  if (key.string()) return Attribute(object, key.text());
  return Value::Missing(ToRepr(key));
}

Result<Value> Interpreter::Slice(const Value& object, const Value* bounds) {
  std::vector<std::string_view> characters;
  size_t size = 0;
  if (object.string()) {
    characters = Characters(object.text());
    size = characters.size();
  } else if (object.list()) {
    size = object.items().items.size();
  } else {
    return Bad(fmt::format("a {} cannot be sliced", object.TypeName()));
  }
  const auto n = static_cast<int64_t>(size);
  for (int k = 0; k < 3; ++k) {
    if (!bounds[k].none() && !bounds[k].integer()) return Bad("a slice's bounds are integers");
  }
  const int64_t step = bounds[2].none() ? 1 : bounds[2].int_value();
  if (step == 0) return Bad("a slice with a step of 0");
  const auto clip = [&](const Value& bound, int64_t otherwise) {
    if (bound.none()) return otherwise;
    int64_t i = bound.int_value();
    if (i < 0) i = i < -n ? -1 : i + n;
    return step > 0 ? std::clamp<int64_t>(i, 0, n) : std::clamp<int64_t>(i, -1, n - 1);
  };
  const int64_t begin = clip(bounds[0], step > 0 ? 0 : n - 1);
  const int64_t end = clip(bounds[1], step > 0 ? n : -1);
  steps_ += n / 16;
  std::string text;
  std::vector<Value> items;
  for (int64_t i = begin; step > 0 ? i < end : i > end;) {
    if (object.string()) {
      text += characters[static_cast<size_t>(i)];
    } else {
      items.push_back(object.items().items[static_cast<size_t>(i)]);
    }
    if (step > 0 ? step > n : step < -n) break;
    i += step;
  }
  if (object.string()) return Text(std::move(text));
  return MakeList(std::move(items), object.items().tuple);
}

Result<bool> Interpreter::Contains(const Value& container, const Value& item) {
  if (container.string()) {
    if (!item.string()) return Bad(fmt::format("a {} cannot be in a str", item.TypeName()));
    return container.text().find(item.text()) != std::string::npos;
  }
  if (container.dict()) return container.members()->Find(item) != nullptr;
  if (container.list()) {
    const auto& items = container.items().items;
    steps_ += static_cast<int64_t>(items.size());
    return std::any_of(items.begin(), items.end(), [&](const Value& v) { return Equal(v, item); });
  }
  if (container.undefined()) return false;
  return Bad(fmt::format("nothing can be in a {}", container.TypeName()));
}

Result<bool> Interpreter::Compare(std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return Equal(a, b);
  if (op == "!=") return !Equal(a, b);
  if (op == "in") return Contains(b, a);
  if (op == "not in") return !TRY(Contains(b, a));
  const std::optional<int> order = Order(a, b);
  if (!order) {
    return Bad(fmt::format("'{}' between {} and {}", op, a.TypeName(), b.TypeName()));
  }
  if (op == "<") return *order < 0;
  if (op == "<=") return *order <= 0;
  if (op == ">") return *order > 0;
  return *order >= 0;
}

Result<Value> Interpreter::Binary(std::string_view op, const Value& a, const Value& b) {
  const auto wrong = [&] {
    const Value& missing = a.undefined() ? a : b;
    if (missing.undefined()) {
      return Bad(fmt::format("{} is undefined",
                             missing.missing_name().empty() ? "a value" : missing.missing_name()));
    }
    return Bad(fmt::format("'{}' between {} and {}", op, a.TypeName(), b.TypeName()));
  };
  const auto overflow = [&] { return Bad("a number beyond 64 bits"); };
  if (a.integer() && b.integer()) {
    const int64_t x = a.int_value(), y = b.int_value();
    int64_t z = 0;
    if (op == "+")
      return __builtin_add_overflow(x, y, &z) ? Result<Value>(overflow()) : Value::Int(z);
    if (op == "-")
      return __builtin_sub_overflow(x, y, &z) ? Result<Value>(overflow()) : Value::Int(z);
    if (op == "*")
      return __builtin_mul_overflow(x, y, &z) ? Result<Value>(overflow()) : Value::Int(z);
    if (op == "**") {
      if (y < 0) return Value::Float(std::pow(static_cast<double>(x), static_cast<double>(y)));
      int64_t power = 1, base = x;
      for (int64_t e = y; e > 0; e >>= 1) {
        if ((e & 1) && __builtin_mul_overflow(power, base, &power)) return overflow();
        if (e > 1 && __builtin_mul_overflow(base, base, &base)) return overflow();
      }
      return Value::Int(power);
    }
    if (y == 0) return Bad("division by zero");
    if (op == "/") return Value::Float(static_cast<double>(x) / static_cast<double>(y));
    if (y == -1) {
      if (op == "%") return Value::Int(0);
      return __builtin_sub_overflow(int64_t{0}, x, &z) ? Result<Value>(overflow()) : Value::Int(z);
    }
    const int64_t rest = x % y, floor = x / y - ((rest != 0 && (rest < 0) != (y < 0)) ? 1 : 0);
    return Value::Int(op == "//" ? floor : x - floor * y);
  }
  if (a.number() && b.number()) {
    const double x = a.number_value(), y = b.number_value();
    if (op == "+") return Value::Float(x + y);
    if (op == "-") return Value::Float(x - y);
    if (op == "*") return Value::Float(x * y);
    if (op == "**") return Value::Float(std::pow(x, y));
    if (y == 0) return Bad("division by zero");
    if (op == "/") return Value::Float(x / y);
    if (op == "//") return Value::Float(std::floor(x / y));
    return Value::Float(x - std::floor(x / y) * y);
  }
  if (op == "+" && a.string() && b.string()) return Text(a.text() + b.text());
  if (op == "+" && a.list() && b.list()) {
    std::vector<Value> items = a.items().items;
    items.insert(items.end(), b.items().items.begin(), b.items().items.end());
    return MakeList(std::move(items), a.items().tuple);
  }
  if (op == "*" && (a.string() || a.list() || b.string() || b.list())) {
    const Value& what = a.integer() ? b : a;
    const Value& times = a.integer() ? a : b;
    if (!times.integer()) return wrong();
    const auto n = static_cast<uint64_t>(std::max<int64_t>(0, times.int_value()));
    const uint64_t size = what.string() ? what.text().size() : what.items().items.size();
    if (size > 0 && n > options_.limits.output_bytes / size) {
      return ErrorAt(place_, "a text beyond its bound", Code::kTooLarge);
    }
    if (what.string()) {
      std::string text;
      TRY(Charge(n * size));
      for (uint64_t i = 0; i < n && size > 0; ++i) text += what.text();
      return Text(std::move(text));
    }
    TRY(Charge(n * size * kValueBytes));
    std::vector<Value> items;
    for (uint64_t i = 0; i < n && size > 0; ++i) {
      items.insert(items.end(), what.items().items.begin(), what.items().items.end());
    }
    return MakeList(std::move(items), what.items().tuple);
  }
  if (op == "%" && a.string()) {  // "%s of %d" % (a, b)
    Arguments arguments;
    arguments.positional = b.list() && b.items().tuple ? b.items().items : std::vector<Value>{b};
    return Filter("format", a, arguments);
  }
  return wrong();
}

Result<Arguments> Interpreter::EvaluateArguments(const Expr& e, Scope& scope) {
  Arguments arguments;
  for (size_t i = 1; i < e.parts.size(); ++i) {
    arguments.positional.push_back(TRY(Evaluate(*e.parts[i], scope)));
  }
  for (const auto& [name, part] : e.named) {
    arguments.named.emplace_back(name, TRY(Evaluate(*part, scope)));
  }
  place_ = e.place;
  return arguments;
}

Result<Value> Interpreter::Call(const Expr& e, Scope& scope) {
  const Value callee = TRY(Evaluate(*e.parts[0], scope));
  if (!callee.Is(Value::Kind::kCallable)) {
    const Expr& what = *e.parts[0];
    std::string name = what.name.empty() ? "the value" : what.name;
    place_ = e.place;
    if (callee.undefined()) return Bad(fmt::format("{} is not defined", name));
    return Bad(fmt::format("{} is a {}, which cannot be called", name, callee.TypeName()));
  }
  Arguments arguments = TRY(EvaluateArguments(e, scope));
  return callee.callable().call(*this, arguments);
}

Result<Value> Interpreter::Filter(std::string_view name, const Value& in, Arguments& arguments) {
  FilterFunction filter = FindFilter(name);
  if (filter == nullptr) filter = FindTextFilter(name);
  if (filter == nullptr) return Bad(fmt::format("the filter {:.40} is not known", name));
  return filter(*this, in, arguments);
}

Result<bool> Interpreter::Test(std::string_view name, const Value& in, Arguments& arguments) {
  const TestFunction test = FindTest(name);
  if (test == nullptr) return Bad(fmt::format("the test {:.40} is not known", name));
  return test(*this, in, arguments);
}

Result<Value> Interpreter::Evaluate(const Expr& e, Scope& scope) {
  TRY(Step(e.place));
  if (++depth_ > kMaxDepth) {
    --depth_;
    return ErrorAt(e.place, "calls nested too deeply", Code::kTooLarge);
  }
  struct Leave {
    int& depth;
    ~Leave() { --depth; }
  } leave{depth_};
  const auto part = [&](size_t i) { return Evaluate(*e.parts[i], scope); };
  switch (e.kind) {
    case ExprKind::kLiteral:
      return e.value;
    case ExprKind::kName: {
      const Value* found = Look(e.name, scope);
      return found != nullptr ? *found : Value::Missing(e.name);
    }
    case ExprKind::kList:
    case ExprKind::kTuple: {
      std::vector<Value> items;
      for (size_t i = 0; i < e.parts.size(); ++i) items.push_back(TRY(part(i)));
      place_ = e.place;
      return MakeList(std::move(items), e.kind == ExprKind::kTuple);
    }
    case ExprKind::kDict: {
      std::vector<std::pair<Value, Value>> members;
      for (size_t i = 0; i + 1 < e.parts.size(); i += 2) {
        Value key = TRY(part(i));
        members.emplace_back(std::move(key), TRY(part(i + 1)));
      }
      place_ = e.place;
      return MakeDict(std::move(members));
    }
    case ExprKind::kAttribute: {
      const Value object = TRY(part(0));
      place_ = e.place;
      return Attribute(object, e.name);
    }
    case ExprKind::kIndex: {
      const Value object = TRY(part(0));
      const Value key = TRY(part(1));
      place_ = e.place;
      return Item(object, key);
    }
    case ExprKind::kSlice: {
      const Value object = TRY(part(0));
      Value bounds[3];
      for (size_t k = 0; k < 3; ++k) {
        bounds[k] = e.parts[k + 1] ? TRY(part(k + 1)) : Value::Nothing();
      }
      place_ = e.place;
      return Slice(object, bounds);
    }
    case ExprKind::kCall:
      return Call(e, scope);
    case ExprKind::kFilter: {
      const Value in = TRY(part(0));
      Arguments arguments = TRY(EvaluateArguments(e, scope));
      return Filter(e.name, in, arguments);
    }
    case ExprKind::kTest: {
      const Value in = TRY(part(0));
      Arguments arguments = TRY(EvaluateArguments(e, scope));
      return Value::Bool(TRY(Test(e.name, in, arguments)) != e.negate);
    }
    case ExprKind::kNot:
      return Value::Bool(!TRY(part(0)).Truthy());
    case ExprKind::kNegative:
    case ExprKind::kPositive: {
      const Value value = TRY(part(0));
      place_ = e.place;
      if (!value.number()) return Bad(fmt::format("a sign before a {}", value.TypeName()));
      if (e.kind == ExprKind::kPositive) return value;
      return Binary("-", value.integer() ? Value::Int(0) : Value::Float(-0.0), value);
    }
    case ExprKind::kAnd: {
      const Value left = TRY(part(0));
      return left.Truthy() ? part(1) : Result<Value>(left);
    }
    case ExprKind::kOr: {
      const Value left = TRY(part(0));
      return left.Truthy() ? Result<Value>(left) : part(1);
    }
    case ExprKind::kBinary: {
      const Value left = TRY(part(0));
      const Value right = TRY(part(1));
      place_ = e.place;
      return Binary(e.name, left, right);
    }
    case ExprKind::kCompare: {
      Value left = TRY(part(0));
      for (size_t i = 0; i < e.ops.size(); ++i) {
        Value right = TRY(part(i + 1));
        place_ = e.place;
        if (!TRY(Compare(e.ops[i], left, right))) return Value::Bool(false);
        left = std::move(right);
      }
      return Value::Bool(true);
    }
    case ExprKind::kConcat: {
      std::string text;
      for (size_t i = 0; i < e.parts.size(); ++i) text += ToText(TRY(part(i)));
      return Text(std::move(text));
    }
    case ExprKind::kIfElse:
      if (TRY(part(1)).Truthy()) return part(0);
      if (e.parts[2]) return part(2);
      return Value::Missing("the other side of an if without else");
  }
  return Value();
}

}  // namespace weir::templates
