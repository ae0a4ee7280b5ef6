#include "engine/template/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/template/chat_template.h"
#include "engine/template/lexer.h"

namespace weir::templates {
namespace {

using TokenKind = Token::Kind;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<std::shared_ptr<const Program>> Whole() {
    auto program = std::make_shared<Program>();
    program->body = TRY(Statements({}));
    if (Now().kind != TokenKind::kEnd) return Unexpected();
    program->names = std::move(names_);
    return std::shared_ptr<const Program>(std::move(program));
  }

 private:
  // --- Tokens.

  const Token& Now() const { return tokens_[i_]; }
  const Token& Ahead() const { return tokens_[std::min(i_ + 1, tokens_.size() - 1)]; }
  bool AtOp(std::string_view op) const {
    return Now().kind == TokenKind::kOperator && Now().text == op;
  }
  bool AtName(std::string_view name) const {
    return Now().kind == TokenKind::kName && Now().text == name;
  }
  bool EatOp(std::string_view op) {
    if (!AtOp(op)) return false;
    ++i_;
    return true;
  }
  bool EatName(std::string_view name) {
    if (!AtName(name)) return false;
    ++i_;
    return true;
  }
  static std::string Shown(const Token& token) {
    switch (token.kind) {
      case TokenKind::kText:
        return "text";
      case TokenKind::kBlockBegin:
        return "{%";
      case TokenKind::kBlockEnd:
        return "%}";
      case TokenKind::kOutputBegin:
        return "{{";
      case TokenKind::kOutputEnd:
        return "}}";
      case TokenKind::kEnd:
        return "the end of the template";
      default:
        return "'" + token.text.substr(0, 40) + "'";
    }
  }
  Error Unexpected() const { return ErrorAt(Now().place, "unexpected " + Shown(Now())); }
  Status Need(std::string_view op) {
    if (EatOp(op)) return {};
    return ErrorAt(Now().place, fmt::format("'{}' is expected, not {}", op, Shown(Now())));
  }
  Status BlockEnd() {
    if (Now().kind != TokenKind::kBlockEnd) {
      return ErrorAt(Now().place, "%} is expected, not " + Shown(Now()));
    }
    ++i_;
    return {};
  }
  Result<std::string> NameToken() {
    if (Now().kind != TokenKind::kName) {
      return ErrorAt(Now().place, "a name is expected, not " + Shown(Now()));
    }
    return tokens_[i_++].text;
  }

  struct Deeper {  // counts nesting for as long as it lives
    explicit Deeper(int& depth) : depth_(depth) { ++depth_; }
    ~Deeper() { --depth_; }
    int& depth_;
  };
  Status CheckDepth() const {
    if (depth_ <= kMaxNesting) return {};
    return ErrorAt(Now().place, fmt::format("nested more than {} deep", kMaxNesting));
  }

  // --- Statements.

  // Up to a tag whose name is one of `ends`, which is left to be read ({% is
  // passed).
  Result<Body> Statements(std::initializer_list<std::string_view> ends) {
    const Deeper deeper(depth_);
    TRY(CheckDepth());
    const Place begin = Now().place;
    Body body;
    for (;;) {
      const Token& token = Now();
      Statement made;
      made.place = token.place;
      switch (token.kind) {
        case TokenKind::kEnd:
          if (ends.size() == 0) return body;
          return ErrorAt(begin, fmt::format("{{% {} %}} is missing", *(ends.end() - 1)));
        case TokenKind::kText:
          made.kind = Statement::Kind::kText;
          made.text = token.text;
          ++i_;
          break;
        case TokenKind::kOutputBegin:
          ++i_;
          made.kind = Statement::Kind::kOutput;
          made.expr = TRY(Tuple(true));
          if (Now().kind != TokenKind::kOutputEnd) {
            return ErrorAt(Now().place, "}} is expected, not " + Shown(Now()));
          }
          ++i_;
          break;
        case TokenKind::kBlockBegin: {
          ++i_;
          if (Now().kind != TokenKind::kName) return Unexpected();
          if (std::find(ends.begin(), ends.end(), Now().text) != ends.end()) return body;
          made = TRY(Tag());
          break;
        }
        default:
          return Unexpected();
      }
      body.push_back(std::move(made));
    }
  }
  // ... and past the tag that ends them, if it takes no arguments.
  Result<Body> BodyUntil(std::string_view end) {
    Body body = TRY(Statements({end}));
    ++i_;
    TRY(BlockEnd());
    return body;
  }

  Result<Statement> Tag() {
    Statement made;
    made.place = Now().place;
    const std::string name = TRY(NameToken());
    using S = Statement::Kind;
    if (name == "if") {
      made.kind = S::kIf;
      for (bool more = true; more;) {
        ExprPtr condition = TRY(Expression());
        TRY(BlockEnd());
        Body body = TRY(Statements({"elif", "else", "endif"}));
        made.branches.emplace_back(std::move(condition), std::move(body));
        more = EatName("elif");
      }
      if (EatName("else")) {
        TRY(BlockEnd());
        made.branches.emplace_back(nullptr, TRY(Statements({"endif"})));
      }
      ++i_;
      TRY(BlockEnd());
    } else if (name == "for") {
      made.kind = S::kFor;
      made.names = TRY(Targets("in"));
      if (!EatName("in")) return ErrorAt(Now().place, "'in' is expected, not " + Shown(Now()));
      made.expr = TRY(Tuple(false));
      if (EatName("if")) made.filter = TRY(Expression());
      if (AtName("recursive")) return ErrorAt(Now().place, "recursive loops are not offered");
      TRY(BlockEnd());
      ++loops_;
      made.body = TRY(Statements({"else", "endfor"}));
      --loops_;
      if (EatName("else")) {
        TRY(BlockEnd());
        made.otherwise = TRY(Statements({"endfor"}));
      }
      ++i_;
      TRY(BlockEnd());
    } else if (name == "set") {
      TRY(Set(made));
    } else if (name == "macro") {
      made.kind = S::kMacro;
      made.text = TRY(NameToken());
      TRY(Parameters(made));
      TRY(BlockEnd());
      made.body = TRY(InMacro("endmacro"));
    } else if (name == "call") {
      made.kind = S::kCallBlock;
      if (AtOp("(")) TRY(Parameters(made));
      made.expr = TRY(Expression());
      if (made.expr->kind != Expr::Kind::kCall) {
        return ErrorAt(made.place, "{% call %} needs a call");
      }
      TRY(BlockEnd());
      made.body = TRY(InMacro("endcall"));
    } else if (name == "filter") {
      made.kind = S::kFilterBlock;
      auto source = std::make_unique<Expr>();
      source->place = made.place;
      source->value = Value::String("");
      made.expr = TRY(Filters(std::move(source), /*first=*/true));
      TRY(BlockEnd());
      made.body = TRY(BodyUntil("endfilter"));
    } else if (name == "generation") {
      made.kind = S::kBlock;
      TRY(BlockEnd());
      made.body = TRY(BodyUntil("endgeneration"));
    } else if (name == "break" || name == "continue") {
      made.kind = name == "break" ? S::kBreak : S::kContinue;
      if (loops_ == 0) return ErrorAt(made.place, name + " outside of a loop");
      TRY(BlockEnd());
    } else {
      return ErrorAt(made.place, fmt::format("the tag {{% {:.40} %}} is not offered", name));
    }
    return made;
  }

  Result<Body> InMacro(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Result<Body> body = BodyUntil(end);
    loops_ = loops;
    return body;
  }

  // a, b or (a, b)
  Result<std::vector<std::string>> Targets(std::string_view until) {
    std::vector<std::string> names;
    const bool bracket = EatOp("(");
    do {
      if (!names.empty() && (AtName(until) || AtOp(")"))) break;
      names.push_back(TRY(NameToken()));
    } while (EatOp(","));
    if (bracket) TRY(Need(")"));
    return names;
  }

  Status Set(Statement& made) {
    using S = Statement::Kind;
    made.kind = S::kSet;
    if (Now().kind == TokenKind::kName && Ahead().kind == TokenKind::kOperator &&
        Ahead().text == ".") {
      made.kind = S::kSetAttribute;
      made.object = TRY(NameToken());
      names_.insert(made.object);
      ++i_;
      made.text = TRY(NameToken());
    } else {
      made.names = TRY(Targets("="));
    }
    if (EatOp("=")) {
      made.expr = TRY(Tuple(true));
      return BlockEnd();
    }
    if (made.kind == S::kSetAttribute || made.names.size() != 1) {
      return ErrorAt(Now().place, "'=' is expected, not " + Shown(Now()));
    }
    made.kind = S::kSetBlock;
    if (AtOp("|")) {
      auto source = std::make_unique<Expr>();
      source->place = made.place;
      source->value = Value::String("");
      made.expr = TRY(Filters(std::move(source), /*first=*/false));
    }
    TRY(BlockEnd());
    made.body = TRY(BodyUntil("endset"));
    return {};
  }

  Status Parameters(Statement& made) {
    TRY(Need("("));
    while (!AtOp(")")) {
      made.names.push_back(TRY(NameToken()));
      if (EatOp("=")) {
        made.defaults.push_back(TRY(Expression()));
      } else if (!made.defaults.empty()) {
        return ErrorAt(Now().place, "a parameter without a default behind one with");
      }
      if (!EatOp(",")) break;
    }
    return Need(")");
  }

  // --- Expressions, from the loosest to the tightest.

  ExprPtr New(Expr::Kind kind, Place place) {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->place = place;
    return e;
  }

  // A node whose parts are complete.
  Result<ExprPtr> Done(ExprPtr e) {
    for (const ExprPtr& part : e->parts) {
      if (part) e->height = std::max(e->height, 1 + part->height);
    }
    for (const auto& [name, part] : e->named) e->height = std::max(e->height, 1 + part->height);
    if (e->height > kMaxHeight) return ErrorAt(e->place, "an expression of too many steps");
    return e;
  }

  // One expression, or several with commas between them.
  Result<ExprPtr> Tuple(bool conditions) {
    const Place place = Now().place;
    ExprPtr first = TRY(conditions ? Expression() : Or());
    if (!AtOp(",")) return first;
    ExprPtr tuple = New(Expr::Kind::kTuple, place);
    tuple->parts.push_back(std::move(first));
    while (EatOp(",")) {
      if (Now().kind == TokenKind::kBlockEnd || Now().kind == TokenKind::kOutputEnd || AtOp(")"))
        break;
      tuple->parts.push_back(TRY(conditions ? Expression() : Or()));
    }
    return Done(std::move(tuple));
  }

  Result<ExprPtr> Expression() {
    const Deeper deeper(depth_);
    TRY(CheckDepth());
    ExprPtr value = TRY(Or());
    while (AtName("if")) {
      ExprPtr choice = New(Expr::Kind::kIfElse, Now().place);
      ++i_;
      choice->parts.push_back(std::move(value));
      choice->parts.push_back(TRY(Or()));
      choice->parts.push_back(nullptr);
      if (EatName("else")) choice->parts[2] = TRY(Expression());
      value = TRY(Done(std::move(choice)));
    }
    return value;
  }
  Result<ExprPtr> Or() {
    ExprPtr left = TRY(And());
    while (AtName("or")) {
      ExprPtr e = New(Expr::Kind::kOr, Now().place);
      ++i_;
      e->parts.push_back(std::move(left));
      e->parts.push_back(TRY(And()));
      left = TRY(Done(std::move(e)));
    }
    return left;
  }
  Result<ExprPtr> And() {
    ExprPtr left = TRY(Not());
    while (AtName("and")) {
      ExprPtr e = New(Expr::Kind::kAnd, Now().place);
      ++i_;
      e->parts.push_back(std::move(left));
      e->parts.push_back(TRY(Not()));
      left = TRY(Done(std::move(e)));
    }
    return left;
  }
  Result<ExprPtr> Not() {
    const Deeper deeper(depth_);
    TRY(CheckDepth());
    if (!AtName("not")) return Compare();
    ExprPtr e = New(Expr::Kind::kNot, Now().place);
    ++i_;
    e->parts.push_back(TRY(Not()));
    return Done(std::move(e));
  }
  Result<ExprPtr> Compare() {
    ExprPtr left = TRY(Sum());
    ExprPtr chain;
    for (;;) {
      std::string op;
      if (Now().kind == TokenKind::kOperator) {
        for (const char* known : {"==", "!=", "<", "<=", ">", ">="}) {
          if (Now().text == known) op = known;
        }
      } else if (AtName("in")) {
        op = "in";
      } else if (AtName("not") && Ahead().kind == TokenKind::kName && Ahead().text == "in") {
        op = "not in";
        ++i_;
      }
      if (op.empty()) break;
      if (!chain) {
        chain = New(Expr::Kind::kCompare, Now().place);
        chain->parts.push_back(std::move(left));
      }
      ++i_;
      chain->ops.push_back(op);
      chain->parts.push_back(TRY(Sum()));
    }
    if (chain) return Done(std::move(chain));
    return left;
  }
  Result<ExprPtr> Sum() {
    ExprPtr left = TRY(Concat());
    while (AtOp("+") || AtOp("-")) {
      ExprPtr e = New(Expr::Kind::kBinary, Now().place);
      e->name = tokens_[i_++].text;
      e->parts.push_back(std::move(left));
      e->parts.push_back(TRY(Concat()));
      left = TRY(Done(std::move(e)));
    }
    return left;
  }
  Result<ExprPtr> Concat() {
    ExprPtr left = TRY(Product());
    if (!AtOp("~")) return left;
    ExprPtr e = New(Expr::Kind::kConcat, Now().place);
    e->parts.push_back(std::move(left));
    while (EatOp("~")) e->parts.push_back(TRY(Product()));
    return Done(std::move(e));
  }
  Result<ExprPtr> Product() {
    ExprPtr left = TRY(Power());
    while (AtOp("*") || AtOp("/") || AtOp("//") || AtOp("%")) {
      ExprPtr e = New(Expr::Kind::kBinary, Now().place);
      e->name = tokens_[i_++].text;
      e->parts.push_back(std::move(left));
      e->parts.push_back(TRY(Power()));
      left = TRY(Done(std::move(e)));
    }
    return left;
  }
  Result<ExprPtr> Power() {
    ExprPtr left = TRY(Unary(true));
    while (AtOp("**")) {
      ExprPtr e = New(Expr::Kind::kBinary, Now().place);
      e->name = tokens_[i_++].text;
      e->parts.push_back(std::move(left));
      e->parts.push_back(TRY(Unary(true)));
      left = TRY(Done(std::move(e)));
    }
    return left;
  }
  Result<ExprPtr> Unary(bool filters) {
    const Deeper deeper(depth_);
    TRY(CheckDepth());
    ExprPtr e;
    if (AtOp("-") || AtOp("+")) {
      e = New(AtOp("-") ? Expr::Kind::kNegative : Expr::Kind::kPositive, Now().place);
      ++i_;
      e->parts.push_back(TRY(Unary(false)));
      e = TRY(Done(std::move(e)));
    } else {
      e = TRY(Primary());
    }
    e = TRY(Postfix(std::move(e)));
    if (filters) return Filters(std::move(e), false);
    return e;
  }

  Result<ExprPtr> Primary() {
    const Token& token = Now();
    const Place place = token.place;
    ExprPtr e = New(Expr::Kind::kLiteral, place);
    switch (token.kind) {
      case TokenKind::kName: {
        const std::string& name = token.text;
        if (name == "true" || name == "True") {
          e->value = Value::Bool(true);
        } else if (name == "false" || name == "False") {
          e->value = Value::Bool(false);
        } else if (name == "none" || name == "None") {
          e->value = Value::Nothing();
        } else {
          e->kind = Expr::Kind::kName;
          e->name = name;
          names_.insert(name);
        }
        ++i_;
        return e;
      }
      case TokenKind::kString: {
        std::string text;
        while (Now().kind == TokenKind::kString) text += tokens_[i_++].text;  // neighbours are one
        e->value = Value::String(std::move(text));
        return e;
      }
      case TokenKind::kInteger: {
        int64_t number = 0;
        const auto [end, error] =
            std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
        if (error != std::errc()) return ErrorAt(place, "a number beyond 64 bits");
        e->value = Value::Int(number);
        ++i_;
        return e;
      }
      case TokenKind::kFloat: {
        double number = 0;
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), number);
        e->value = Value::Float(number);
        ++i_;
        return e;
      }
      default:
        break;
    }
    if (EatOp("(")) {
      if (EatOp(")")) {
        e->kind = Expr::Kind::kTuple;
        return e;
      }
      e = TRY(Tuple(true));
      TRY(Need(")"));
      return e;
    }
    if (EatOp("[")) {
      e->kind = Expr::Kind::kList;
      while (!AtOp("]")) {
        e->parts.push_back(TRY(Expression()));
        if (!EatOp(",")) break;
      }
      TRY(Need("]"));
      return Done(std::move(e));
    }
    if (EatOp("{")) {
      e->kind = Expr::Kind::kDict;
      while (!AtOp("}")) {
        e->parts.push_back(TRY(Expression()));
        TRY(Need(":"));
        e->parts.push_back(TRY(Expression()));
        if (!EatOp(",")) break;
      }
      TRY(Need("}"));
      return Done(std::move(e));
    }
    return Unexpected();
  }

  Result<ExprPtr> Postfix(ExprPtr e) {
    for (int n = 0;; ++n) {
      if (n > kMaxNesting) return ErrorAt(Now().place, "a chain of more than 100 links");
      const Place place = Now().place;
      if (AtOp(".")) {
        ++i_;
        if (Now().kind == TokenKind::kInteger) {
          ExprPtr index = New(Expr::Kind::kIndex, place);
          index->parts.push_back(std::move(e));
          index->parts.push_back(TRY(Primary()));
          e = TRY(Done(std::move(index)));
        } else {
          ExprPtr attribute = New(Expr::Kind::kAttribute, place);
          attribute->name = TRY(NameToken());
          attribute->parts.push_back(std::move(e));
          e = TRY(Done(std::move(attribute)));
        }
      } else if (EatOp("[")) {
        e = TRY(Subscript(std::move(e), place));
      } else if (AtOp("(")) {
        e = TRY(Call(std::move(e)));
      } else {
        return e;
      }
    }
  }

  Result<ExprPtr> Subscript(ExprPtr object, Place place) {
    ExprPtr bounds[3];
    int colons = 0;
    while (!AtOp("]")) {
      if (EatOp(":")) {
        if (++colons > 2) return Unexpected();
        continue;
      }
      if (bounds[colons]) return Unexpected();
      bounds[colons] = TRY(Tuple(true));
    }
    TRY(Need("]"));
    ExprPtr e = New(colons > 0 ? Expr::Kind::kSlice : Expr::Kind::kIndex, place);
    e->parts.push_back(std::move(object));
    if (colons == 0 && !bounds[0]) return ErrorAt(place, "[] without an index");
    for (int k = 0; k < (colons > 0 ? 3 : 1); ++k) e->parts.push_back(std::move(bounds[k]));
    return Done(std::move(e));
  }

  Status CallArguments(Expr& e) {
    TRY(Need("("));
    while (!AtOp(")")) {
      if (AtOp("*") || AtOp("**")) return ErrorAt(Now().place, "* arguments are not offered");
      if (Now().kind == TokenKind::kName && Ahead().kind == TokenKind::kOperator &&
          Ahead().text == "=") {
        std::string name = TRY(NameToken());
        ++i_;
        e.named.emplace_back(std::move(name), TRY(Expression()));
      } else {
        if (!e.named.empty()) return ErrorAt(Now().place, "an argument without its name");
        e.parts.push_back(TRY(Expression()));
      }
      if (!EatOp(",")) break;
    }
    return Need(")");
  }
  Result<ExprPtr> Call(ExprPtr callee) {
    ExprPtr e = New(Expr::Kind::kCall, Now().place);
    e->parts.push_back(std::move(callee));
    TRY(CallArguments(*e));
    return Done(std::move(e));
  }

  // | name(...), "is" tests, and calls of what they give. `first`: the first
  // filter has no bar.
  Result<ExprPtr> Filters(ExprPtr e, bool first) {
    for (int n = 0;; ++n) {
      if (n > kMaxNesting) return ErrorAt(Now().place, "a chain of more than 100 links");
      const Place place = Now().place;
      if (first || EatOp("|")) {
        first = false;
        ExprPtr filter = New(Expr::Kind::kFilter, place);
        filter->name = TRY(NameToken());
        filter->parts.push_back(std::move(e));
        if (AtOp("(")) TRY(CallArguments(*filter));
        e = TRY(Done(std::move(filter)));
      } else if (AtName("is")) {
        ++i_;
        ExprPtr test = New(Expr::Kind::kTest, place);
        test->negate = EatName("not");
        test->name = TRY(NameToken());
        test->parts.push_back(std::move(e));
        const bool argument = Now().kind == TokenKind::kString ||
                              Now().kind == TokenKind::kInteger ||
                              Now().kind == TokenKind::kFloat || AtOp("[") || AtOp("{") ||
                              (Now().kind == TokenKind::kName && !AtName("else") && !AtName("or") &&
                               !AtName("and") && !AtName("if") && !AtName("is") && !AtName("in") &&
                               !AtName("not") && !AtName("recursive"));
        if (AtOp("(")) {
          TRY(CallArguments(*test));
        } else if (argument) {
          ExprPtr value = TRY(Primary());
          test->parts.push_back(TRY(Postfix(std::move(value))));
        }
        e = TRY(Done(std::move(test)));
      } else if (AtOp("(") && (e->kind == Expr::Kind::kFilter || e->kind == Expr::Kind::kTest)) {
        e = TRY(Call(std::move(e)));
      } else {
        return e;
      }
    }
  }

  std::vector<Token> tokens_;
  size_t i_ = 0;
  int depth_ = 0, loops_ = 0;
  std::set<std::string, std::less<>> names_;
};

}  // namespace

Error ErrorAt(Place place, std::string_view what, Code code) {
  return Error(code, fmt::format("template:{}:{}: {}", place.line, place.column, what));
}

Result<std::shared_ptr<const Program>> ParseTemplate(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return Error(Code::kTooLarge, fmt::format("a template of {} bytes; at most {} are taken",
                                              source.size(), kMaxTemplateBytes));
  }
  return Parser(TRY(Lex(source))).Whole();
}

}  // namespace weir::templates
