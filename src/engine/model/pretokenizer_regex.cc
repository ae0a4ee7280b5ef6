#include "engine/model/pretokenizer_regex.h"

#include <algorithm>

#include "engine/model/utf8_class.h"

namespace weir::model {
namespace {

using Kind = RegexNode::Kind;
constexpr size_t kMaxProgram = 1 << 16;

bool MayBeEmpty(const RegexNode& node) {
  switch (node.kind) {
    case Kind::kSet:
      return false;
    case Kind::kSequence:
      return std::all_of(node.children.begin(), node.children.end(), MayBeEmpty);
    case Kind::kAlternatives:
      return std::any_of(node.children.begin(), node.children.end(), MayBeEmpty);
    case Kind::kRepeat:
      return node.min == 0 || MayBeEmpty(node.children.front());
    default:
      return true;
  }
}

}  // namespace

struct SplitRegex::Run {
  std::span<const uint32_t> codes;
  int64_t steps = 0;
  int depth = 0;
  std::vector<int64_t> slots;
  struct Back {
    int pc;             // below 0: slot -1 - pc gets the value `low` back
    int64_t low, high;  // positions to try, from the high end (a lazy span: from the low one)
    bool lazy;
  };
  std::vector<Back> backs;
};

int SplitRegex::AddSet(const CodeSet& codes) {
  for (size_t i = 0; i < sets_.size(); ++i) {
    if (sets_[i].codes == codes) return static_cast<int>(i);
  }
  Set set;
  set.codes = codes;
  for (uint32_t c = 0; c < 128; ++c) {
    if (codes.Contains(c)) set.ascii[c >> 6] |= uint64_t{1} << (c & 63);
  }
  sets_.push_back(std::move(set));
  return static_cast<int>(sets_.size()) - 1;
}

Status SplitRegex::Compile(const RegexNode& node) {
  if (program_.size() > kMaxProgram) {
    return Error(Code::kTooLarge, "the pattern is too large once its repetitions are written out");
  }
  const auto here = [&] { return static_cast<int>(program_.size()); };
  const auto emit = [&](Instruction i) {
    program_.push_back(i);
    return here() - 1;
  };
  switch (node.kind) {
    case Kind::kEmpty:
      return {};
    case Kind::kSet:
      emit({.op = Op::kSet, .a = AddSet(node.set)});
      return {};
    case Kind::kSequence:
      for (const RegexNode& child : node.children) TRY(Compile(child));
      return {};
    case Kind::kAlternatives: {
      std::vector<int> jumps;
      for (size_t i = 0; i < node.children.size(); ++i) {
        const bool last = i + 1 == node.children.size();
        const int split = last ? -1 : emit({.op = Op::kSplit});
        TRY(Compile(node.children[i]));
        if (last) break;
        jumps.push_back(emit({.op = Op::kJump}));
        program_[static_cast<size_t>(split)].a = split + 1;
        program_[static_cast<size_t>(split)].b = here();
      }
      for (const int jump : jumps) program_[static_cast<size_t>(jump)].a = here();
      return {};
    }
    case Kind::kRepeat: {
      int atomic = -1;
      if (node.possessive) atomic = emit({.op = Op::kAtomic});
      const RegexNode& body = node.children.front();
      if (body.kind == Kind::kSet) {
        emit({.op = Op::kSpan,
              .lazy = node.lazy,
              .a = AddSet(body.set),
              .min = node.min,
              .max = node.max});
      } else {
        for (int i = 0; i < node.min; ++i) TRY(Compile(body));
        std::vector<int> splits;
        const int optional = node.max < 0 ? 1 : node.max - node.min;
        for (int i = 0; i < optional; ++i) {
          splits.push_back(emit({.op = Op::kSplit, .lazy = node.lazy}));
          const int slot = node.max < 0 && MayBeEmpty(body) ? slots_++ : -1;
          if (slot >= 0) emit({.op = Op::kMark, .a = slot});
          TRY(Compile(body));
          if (slot >= 0) emit({.op = Op::kProgress, .a = slot});
        }
        if (node.max < 0) emit({.op = Op::kJump, .a = splits.back()});
        for (const int split : splits) {
          Instruction& s = program_[static_cast<size_t>(split)];
          s.a = node.lazy ? here() : split + 1;
          s.b = node.lazy ? split + 1 : here();
        }
      }
      if (atomic >= 0) {
        emit({.op = Op::kMatch});
        program_[static_cast<size_t>(atomic)].a = here();
      }
      return {};
    }
    case Kind::kLookAhead: {
      const int look = emit({.op = Op::kLook, .flag = node.negative});
      TRY(Compile(node.children.front()));
      emit({.op = Op::kMatch});
      program_[static_cast<size_t>(look)].a = here();
      return {};
    }
    case Kind::kBegin:
    case Kind::kEnd:
      emit({.op = node.kind == Kind::kBegin ? Op::kBegin : Op::kEnd, .flag = node.of_line});
      return {};
    case Kind::kWordEdge:
      emit({.op = Op::kWordEdge,
            .flag = node.negative,
            .a = AddSet(SetOfCategories(kLetters | kMarks | BitOf(kNd) | BitOf(kPc)))});
      return {};
  }
  return {};
}

Result<std::shared_ptr<const SplitRegex>> SplitRegex::Create(std::string_view pattern) {
  const RegexNode tree = TRY(ParseRegex(pattern, RegexDialect::kOniguruma));
  auto made = std::make_shared<SplitRegex>();
  TRY(made->Compile(tree));
  made->program_.push_back({.op = Op::kMatch});
  return std::shared_ptr<const SplitRegex>(std::move(made));
}

int64_t SplitRegex::Match(Run& run, int pc, int64_t at) const {
  if (run.depth > kMaxRegexDepth) return -1;
  const auto size = static_cast<int64_t>(run.codes.size());
  const auto code = [&](int64_t i) { return run.codes[static_cast<size_t>(i)]; };
  const size_t floor = run.backs.size();  // what is below belongs to a caller
  ++run.depth;
  int64_t result = -1;
  for (;;) {
    if (++run.steps > kMaxPatternSteps) break;
    const Instruction& i = program_[static_cast<size_t>(pc)];
    bool ok = true;
    switch (i.op) {
      case Op::kSet:
        ok = at < size && In(i.a, code(at));
        at += ok;
        ++pc;
        break;
      case Op::kSpan: {
        const int64_t most = i.max < 0 ? size : std::min(size, at + i.max);
        int64_t end = at;
        while (end < most && In(i.a, code(end))) ++end;
        ok = end - at >= i.min;
        run.steps += (end - at) / 8;
        if (!ok) break;
        ++pc;
        if (end - at > i.min) {
          const int64_t low = at + i.min;
          if (i.lazy) {
            run.backs.push_back({pc, low + 1, end, true});
          } else {
            run.backs.push_back({pc, low, end - 1, false});
          }
          at = i.lazy ? low : end;
        } else {
          at = end;
        }
        break;
      }
      case Op::kSplit:
        run.backs.push_back({i.b, at, at, false});
        pc = i.a;
        break;
      case Op::kJump:
        pc = i.a;
        break;
      case Op::kBegin:
        ok = at == 0 || (i.flag && code(at - 1) == '\n');
        ++pc;
        break;
      case Op::kEnd:
        ok = at == size || (i.flag && code(at) == '\n');
        ++pc;
        break;
      case Op::kWordEdge: {
        const bool before = at > 0 && In(i.a, code(at - 1)), after = at < size && In(i.a, code(at));
        ok = (before != after) != i.flag;
        ++pc;
        break;
      }
      case Op::kLook:
        ok = (Match(run, pc + 1, at) >= 0) != i.flag;
        pc = i.a;
        break;
      case Op::kAtomic: {
        const int64_t end = Match(run, pc + 1, at);
        ok = end >= 0;
        at = end;
        pc = i.a;
        break;
      }
      case Op::kMark: {
        int64_t& slot = run.slots[static_cast<size_t>(i.a)];
        run.backs.push_back({-1 - i.a, slot, slot, false});
        slot = at;
        ++pc;
        break;
      }
      case Op::kProgress:
        ok = at != run.slots[static_cast<size_t>(i.a)];
        ++pc;
        break;
      case Op::kMatch:
        result = at;
        break;
    }
    if (result >= 0) break;
    if (ok) continue;
    while (run.backs.size() > floor && run.backs.back().pc < 0) {
      run.slots[static_cast<size_t>(-1 - run.backs.back().pc)] = run.backs.back().low;
      run.backs.pop_back();
    }
    if (run.backs.size() == floor) break;
    Run::Back& back = run.backs.back();
    pc = back.pc;
    if (back.lazy) {
      at = back.low++;
    } else {
      at = back.high--;
    }
    if (back.low > back.high) run.backs.pop_back();
  }
  run.backs.resize(floor);
  --run.depth;
  return result;
}

std::vector<std::pair<size_t, size_t>> SplitRegex::FindAll(std::string_view text) const {
  std::vector<uint32_t> codes;
  std::vector<size_t> offsets;
  codes.reserve(text.size());
  offsets.reserve(text.size() + 1);
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = Utf8At(text, i);
    codes.push_back(c.code == kNoCode ? kInvalidByte : c.code);
    offsets.push_back(i);
    i += c.size;
  }
  offsets.push_back(text.size());
  Run run;
  run.codes = codes;
  run.slots.assign(static_cast<size_t>(slots_), -1);
  std::vector<std::pair<size_t, size_t>> found;
  for (size_t at = 0; at <= codes.size();) {
    run.steps = 0;
    const int64_t end = Match(run, 0, static_cast<int64_t>(at));
    if (end < 0) {
      ++at;
      continue;
    }
    found.emplace_back(offsets[at], offsets[static_cast<size_t>(end)]);
    at = std::max(static_cast<size_t>(end), at + 1);
  }
  return found;
}

}  // namespace weir::model
