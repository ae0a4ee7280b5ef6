#include "wire/lab.h"

#include <gtest/gtest.h>

namespace weir::wire {
namespace {

TEST(Schema, AMessageReadsBackFromItsOwnText) {
  Job job;
  job.id = "job-1";
  job.spec.name = "a";
  job.spec.team = "research";
  job.spec.command = {"true"};
  job.spec.env = {{"A", "b"}};
  job.phase = JobPhase::kPaused;
  job.progress = Progress{.step = 3, .loss = 1.5};
  const std::string text = ToText(job);
  const Result<Job> back = FromText<Job>(text);
  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_EQ(ToText(*back), text);
}

TEST(Schema, WrongInputIsRefusedWithItsPath) {
  const struct {
    const char* name;
    const char* text;
    const char* expected;
  } kCases[] = {
      {"Missing", R"({"name":"a","team":"t"})", "command: missing; it is required"},
      {"WrongType", R"({"name":"a","team":"t","command":"x"})",
       "command: expected an array, got a string"},
      {"Element", R"({"name":"a","team":"t","command":[1]})",
       "command[0]: expected a string, got a number"},
      {"Unknown", R"({"name":"a","team":"t","command":["x"],"slots":2})",
       "slots: not a known field"},
      {"Fraction", R"({"name":"a","team":"t","command":["x"],"min_slots":1.5})",
       "min_slots: expected an integer, got a fraction"},
      {"Range", R"({"name":"a","team":"t","command":["x"],"min_slots":18446744073709551615})",
       "min_slots: 18446744073709551615 is out of range"},
      {"NotJson", R"({"name":)", "not valid JSON at byte"},
      {"InvalidUtf8", "{\"name\":\"\xff\"}", "not valid JSON at byte"},
      {"NotAnObject", "[]", "the body: expected an object, got an array"},
  };
  for (const auto& c : kCases) {
    const Result<JobSpec> got = FromText<JobSpec>(c.text);
    ASSERT_FALSE(got) << c.name;
    EXPECT_EQ(got.error().message().substr(0, std::string(c.expected).size()), c.expected)
        << c.name;
    EXPECT_EQ(got.error().code(), Code::kInvalidArgument);
  }
}

TEST(Schema, DeepNestingIsRefusedBeforeItIsParsed) {
  EXPECT_FALSE(ParseJson(std::string(100'000, '[')));
}

TEST(Schema, DescribesEnumsAndRequiredFields) {
  const Json schema = SchemaOf<Team>();
  EXPECT_EQ(schema["properties"]["class"]["enum"], Json::array({"research", "product"}));
  EXPECT_EQ(schema["required"], Json::array({"name", "class"}));
}

}  // namespace
}  // namespace weir::wire
