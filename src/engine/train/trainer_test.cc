// Goal:   a run that is paused, resumed, moved to other worker counts or robbed of its newest
//         checkpoint goes on as if nothing had happened.
// Method: tiny models on a made-up text; ranks are threads of this process, joined by the real
// ring.
#include "engine/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/random.h"
#include "engine/train/checkpoint.h"
#include "engine/train/corpus.h"
#include "engine/train/train_test_util.h"
#include "io/files.h"

namespace weir::train {
namespace {

using testing::HasSubstr;

std::string MadeUpText() {
  const char* words[] = {"river ", "weir ", "water ", "rises ", "over ", "the ", "crest ", "and "};
  Random random(11);
  std::string text;
  while (text.size() < 40'000) {
    text += words[random.Below(std::size(words))];
    if (random.Below(9) == 0) text += ".\n";
  }
  return text;
}

class TrainerTest : public testing::Test {
 protected:
  TrainerTest() : dir_(*io::TempDir::Create()) {
    EXPECT_TRUE(io::WriteFileAtomically(dir_ / "text.txt", MadeUpText()));
  }
  Options Base(const std::string& out) const {
    Options o;
    o.text = dir_ / "text.txt";
    o.out = dir_ / out;
    o.vocab = 290;
    o.dim = 16;
    o.heads = 4;
    o.kv_heads = 2;
    o.layers = 2;
    o.ffn = 32;
    o.seq = 16;
    o.batch = 6;
    o.steps = 8;
    o.warmup = 2;
    o.lr = 1e-2;
    o.checkpoint_interval = Duration::Minutes(10);
    return o;
  }
  // All ranks of one attempt; rank 0's summary.
  Result<Summary> Attempt(Options options, int world, bool stop = false) {
    const std::string rendezvous = FreeRendezvous();
    notes_.clear();
    const std::atomic<bool> stopping{stop};
    std::vector<std::thread> others;
    const auto rank = [&](int r) {
      Options o = options;
      o.ring = {.rank = r, .world = world, .rendezvous = rendezvous, .run = "test"};
      return train::Run(o, stopping, [&](const std::string& line) { notes_ += line + "\n"; });
    };
    for (int r = 1; r < world; ++r) {
      others.emplace_back([&, r] {
        const Result<Summary> s = rank(r);
        EXPECT_TRUE(s) << s.error().ToString();
      });
    }
    Result<Summary> first = rank(0);
    for (std::thread& t : others) t.join();
    return first;
  }
  io::TempDir dir_;
  std::string notes_;
};

TEST_F(TrainerTest, LossFallsOnATinyText) {
  Options o = Base("run");
  o.steps = 120;
  o.progress_file = dir_ / "progress";
  const Result<Summary> s = Attempt(o, 1);
  ASSERT_TRUE(s) << s.error().ToString();
  EXPECT_EQ(s->outcome, Outcome::kDone);
  EXPECT_GT(s->losses.front(), 5.0);
  EXPECT_LT(*s->held_out_loss, 2.4);  // 8 words in any order: ln 8 = 2.08 is the floor
  // Progress lines are what docs/formats.md says.
  const std::string progress = *io::ReadFile(o.progress_file, 1 << 20);
  std::istringstream lines(progress);
  std::set<std::string> types;
  for (std::string line; std::getline(lines, line);) {
    const auto j = nlohmann::json::parse(line);
    types.insert(j.at("type"));
    if (j.at("type") == "progress") {
      for (const char* key :
           {"step", "steps", "loss", "tokens", "tokens_per_s", "mfu", "lr", "eta_s"})
        EXPECT_TRUE(j.at(key).is_number()) << key;
    }
    if (j.at("type") == "checkpoint") {
      EXPECT_EQ(j.at("path"), s->checkpoint);
      EXPECT_EQ(j.at("step"), 120);
      EXPECT_EQ(j.at("sha256"), VerifyCheckpoint(s->checkpoint)->manifest_sha256);
    }
  }
  EXPECT_EQ(types, (std::set<std::string>{"note", "progress", "checkpoint"}));
  // Run again: nothing left to do.
  const Result<Summary> again = Attempt(o, 1);
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->losses.empty());
  EXPECT_THAT(notes_, HasSubstr("already done"));
}

TEST_F(TrainerTest, PausedAtEveryStepGivesTheSameLossesBitForBit) {
  const struct {
    int world;
    Storage storage;
  } rows[] = {{1, Storage::kF32}, {1, Storage::kBf16}, {2, Storage::kBf16}};
  for (const auto& row : rows) {
    const std::string name =
        fmt::format("{}{}", row.world, row.storage == Storage::kBf16 ? "b" : "f");
    Options whole = Base("whole" + name);
    whole.storage = row.storage;
    whole.steps = 3;
    const Result<Summary> straight = Attempt(whole, row.world);
    ASSERT_TRUE(straight) << straight.error().ToString();
    Options paused = whole;
    paused.out = Base("paused" + name).out;
    std::vector<double> losses;
    for (int attempt = 0; attempt < 3; ++attempt) {
      const Result<Summary> s = Attempt(paused, row.world, /*stop=*/true);  // stops after one step
      ASSERT_TRUE(s) << s.error().ToString();
      EXPECT_EQ(s->outcome, attempt < 2 ? Outcome::kStopped : Outcome::kDone);
      losses.insert(losses.end(), s->losses.begin(), s->losses.end());
    }
    EXPECT_EQ(losses, straight->losses) << name;
    // And so are the weights that come out.
    const auto weights = [&](const Summary& s) {
      return *io::Sha256OfFile(s.checkpoint + "/model.safetensors");
    };
    EXPECT_EQ(weights(*Attempt(paused, 1)), weights(*straight));
  }
}

TEST_F(TrainerTest, AnotherNumberOfWorkersGoesOnWithinFloatNoise) {
  const Result<Summary> straight = Attempt(Base("straight"), 1);
  ASSERT_TRUE(straight);
  std::vector<double> losses;
  for (const int world : {1, 3, 2, 1, 2, 3, 1, 2}) {
    const Result<Summary> s = Attempt(Base("changing"), world, /*stop=*/true);
    ASSERT_TRUE(s) << s.error().ToString();
    losses.insert(losses.end(), s->losses.begin(), s->losses.end());
  }
  ASSERT_EQ(losses.size(), straight->losses.size());
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], straight->losses[i], 1e-4);
}

TEST_F(TrainerTest, ThreadsDoNotChangeALoss) {
  Options one = Base("one"), two = Base("two");
  two.threads = 2;
  EXPECT_EQ(Attempt(one, 1)->losses, Attempt(two, 1)->losses);
}

TEST_F(TrainerTest, ADamagedCheckpointIsPassedOverForTheOneBefore) {
  Options o = Base("run");
  o.checkpoint_every = 2;
  o.steps = 4;
  const Result<Summary> done = Attempt(o, 1);
  ASSERT_TRUE(done);
  const auto damage = [&](const std::string& file, const std::function<void(std::string&)>& how) {
    const std::string path = o.out + "/step-000004/" + file;
    const std::string good = *io::ReadFile(path, 64 << 20);
    std::string bad = good;
    how(bad);
    ASSERT_TRUE(io::WriteFileAtomically(path, bad));
    std::vector<std::string> notes;
    const auto found = NewestCheckpoint(o.out, notes);
    ASSERT_TRUE(found);
    ASSERT_TRUE(*found);
    EXPECT_EQ((**found).state.step, 2) << file;
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_THAT(notes[0], HasSubstr("passed over step-000004"));
    ASSERT_TRUE(io::WriteFileAtomically(path, good));
  };
  damage("model.safetensors", [](std::string& b) { b[b.size() / 2] ^= 1; });
  damage("optimizer.safetensors", [](std::string& b) { b.resize(b.size() - 1); });
  damage("trainer.json", [](std::string& b) { b.clear(); });
  damage("manifest.json", [](std::string& b) { b.resize(b.size() / 2); });
  damage("manifest.json", [](std::string& b) { b = "[]"; });

  // A writer that was killed half way leaves a folder that is swept, and one that lost a file.
  ASSERT_TRUE(io::MakeDirs(o.out + "/.tmp-step-000006-1"));
  ASSERT_TRUE(io::RemoveFile(o.out + "/step-000004/tokenizer.json"));
  const Result<Summary> again = Attempt(o, 1);
  ASSERT_TRUE(again) << again.error().ToString();
  EXPECT_EQ(again->losses, (std::vector<double>{done->losses[2], done->losses[3]}));
  EXPECT_THAT(notes_, HasSubstr("passed over step-000004"));
  EXPECT_FALSE(io::FileExists(o.out + "/.tmp-step-000006-1"));
  EXPECT_TRUE(VerifyCheckpoint(again->checkpoint));
}

TEST_F(TrainerTest, OldCheckpointsAreRemoved) {
  Options o = Base("run");
  o.checkpoint_every = 1;
  o.keep = 3;
  ASSERT_TRUE(Attempt(o, 1));
  int count = 0;
  const auto entries = *io::ListDir(o.out);
  for (const io::DirEntry& e : entries) count += e.name.starts_with("step-") ? 1 : 0;
  EXPECT_EQ(count, 3);
  EXPECT_TRUE(io::FileExists(o.out + "/step-000008/manifest.json"));
}

TEST_F(TrainerTest, NanInWeightsIsRefused) {
  Options o = Base("run");
  o.steps = 1;
  const Result<Summary> s = Attempt(o, 1);
  ASSERT_TRUE(s);
  const Found found = *VerifyCheckpoint(s->checkpoint);
  Model model(found.config, o.seq, o.seq, Storage::kF32, nullptr);
  Buffer m(model.parameter_count()), v(model.parameter_count());
  ASSERT_TRUE(LoadCheckpoint(found, model, m, v, nullptr));
  model.parameters()[100] = std::numeric_limits<float>::quiet_NaN();
  TrainerState state = found.state;
  state.step = 2;
  ASSERT_TRUE(WriteCheckpoint(o.out, model, m, v, state, {}, ""));
  const Result<Summary> refused = Attempt(o, 1);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("NaN"));
  EXPECT_THAT(refused.error().hint(), HasSubstr("remove this checkpoint"));
}

TEST_F(TrainerTest, ALossThatIsNotFiniteEndsTheRunWithASentence) {
  Options o = Base("run");
  o.lr = 9.0;
  o.clip = 1e30;
  o.steps = 4000;
  o.weight_decay = 100;
  const Result<Summary> s = Attempt(o, 1);
  ASSERT_FALSE(s);
  EXPECT_THAT(s.error().message(), HasSubstr("the loss became"));
}

TEST_F(TrainerTest, BadInputIsRefusedInOneSentence) {
  const auto refused = [&](const std::function<void(Options&)>& change, const std::string& why) {
    Options o = Base("bad");
    change(o);
    const std::atomic<bool> stop{false};
    const Result<Summary> s = train::Run(o, stop, [](const std::string&) {});
    ASSERT_FALSE(s) << why;
    EXPECT_THAT(s.error().ToString(), HasSubstr(why));
  };
  const auto text = [&](const std::string& bytes) {
    return [this, bytes](Options& o) {
      o.text = dir_ / "other.txt";
      ASSERT_TRUE(io::WriteFileAtomically(o.text, bytes));
    };
  };
  refused(text(""), "has no text");
  refused(text(" \n\t \n"), "has no text");
  refused(text(std::string(5000, '\0')), "has no text");
  refused(text("a few words"), "too few");
  refused([](Options& o) { o.text += ".missing"; }, "missing");
  refused([](Options& o) { o.text.clear(); }, "--dataset DIR or --text FILE");
  refused([](Options& o) { o.dataset = o.text; }, "one of them");
  refused([](Options& o) { o.dataset = "/nowhere", o.text.clear(); }, "weir dataset build");
  refused([](Options& o) { o.preset = "huge"; }, "one of tiny, small, gpt124m");
  refused([](Options& o) { o.heads = 3; }, "--heads 3");
  refused([](Options& o) { o.kv_heads = 3; }, "--kv-heads");
  refused([](Options& o) { o.vocab = 100; }, "--vocab");
  refused([](Options& o) { o.batch = -1; }, "--batch");
  refused([](Options& o) { o.lr = -1; }, "--lr");
  refused([](Options& o) { o.held_out = 0.9; }, "--heldout");
  refused([](Options& o) { o.seq = 1; }, "--seq");
  refused([](Options& o) { o.out.clear(); }, "--out");
  refused([](Options& o) { o.progress_file = "/nowhere/file"; }, "/nowhere/file");
}

TEST_F(TrainerTest, ACheckpointOfAnotherModelIsRefused) {
  Options o = Base("run");
  o.steps = 1;
  ASSERT_TRUE(Attempt(o, 1));
  Options wider = o;
  wider.dim = 32;
  EXPECT_THAT(Attempt(wider, 1).error().ToString(), HasSubstr("another --out"));
  Options seeded = o;
  seeded.seed = 5;
  EXPECT_THAT(Attempt(seeded, 1).error().ToString(), HasSubstr("--seed 1"));
}

TEST(Corpus, AnEpochHasEachWindowOnceAndDependsOnTheSeedAlone) {
  std::vector<int32_t> tokens(1003);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i);
  Corpus a = *Corpus::Create(tokens, 8, 0.1, 1), b = *Corpus::Create(tokens, 8, 0.1, 1),
         c = *Corpus::Create(tokens, 8, 0.1, 2);
  const int64_t windows = (a.train_tokens() - 1) / 8;
  EXPECT_NEAR(static_cast<double>(a.held_out_tokens()), 100, 40);
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::set<int32_t> starts;
    int same = 0;
    for (int64_t i = 0; i < windows; ++i) {
      const int64_t w = epoch * windows + i;
      ASSERT_EQ(a.Window(w).size(), 9u);
      starts.insert(a.Window(w)[0]);
      same += a.Window(w)[0] == c.Window(w)[0];
    }
    EXPECT_GE(static_cast<int64_t>(starts.size()), windows - 1);  // the last may be moved to fit
    EXPECT_LT(same, windows / 4);
  }
  // In any order of asking.
  const int32_t late = a.Window(2 * windows + 3)[0];
  EXPECT_EQ(b.Window(2 * windows + 3)[0], late);
  for (int64_t i = 0; i < a.held_out_windows(); ++i) EXPECT_EQ(a.HeldOut(i).size(), 9u);
}

TEST(LearningRate, RisesThenFallsToATenth) {
  EXPECT_DOUBLE_EQ(LearningRate(0, 10, 100, 1.0), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(9, 10, 100, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(10, 10, 100, 1.0), 1.0);
  EXPECT_NEAR(LearningRate(55, 10, 100, 1.0), 0.55, 1e-12);
  EXPECT_NEAR(LearningRate(100, 10, 100, 1.0), 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(LearningRate(0, 0, 1, 1.0), 1.0);
}

}  // namespace
}  // namespace weir::train
