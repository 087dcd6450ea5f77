// What an engine refuses before it acts: ids that are no folder names, bounds, and epochs that are over.
#include "engine/admission.h"

#include <gtest/gtest.h>

namespace colony::engine {
namespace {

ActorSpec good() {
  ActorSpec spec;
  spec.id = "app.d.x1";
  spec.role = "replica";
  return spec;
}

TEST(Admission, AnIdMustBeAFolderName) {
  EXPECT_TRUE(check_id("filetype.classifier.k3m9x2").has_value());
  EXPECT_TRUE(check_id("a_b-c.9").has_value());
  EXPECT_TRUE(check_id(std::string(120, 'a')).has_value());
  for (const std::string bad : {"", ".", "..", ".x", "a/b", "A", "a b", "a\n", "é", "a\0b"}) {
    EXPECT_EQ(check_id(bad).error().code, Code::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(check_id(std::string_view("a\0b", 3)).has_value());
  EXPECT_FALSE(check_id(std::string(121, 'a')).has_value());
}

TEST(Admission, ASpecHasBounds) {
  EXPECT_TRUE(check_spec(good()).has_value());
  auto spec = good();
  spec.payload.assign(kMaxPayloadBytes + 1, 'x');
  EXPECT_NE(check_spec(spec).error().message.find("1048577 bytes"), std::string::npos);
  spec = good();
  spec.env["A=B"] = "x";
  EXPECT_FALSE(check_spec(spec).has_value());
  spec = good();
  spec.env["A"] = std::string("x\0y", 3);
  EXPECT_FALSE(check_spec(spec).has_value());
  spec = good();
  spec.labels["a"].assign(kMaxEnvironmentBytes + 1, 'x');
  EXPECT_FALSE(check_spec(spec).has_value());
  spec = good();
  spec.resources.num_cpus = -1;
  EXPECT_FALSE(check_spec(spec).has_value());
  spec = good();
  spec.role = "";
  EXPECT_FALSE(check_spec(spec).has_value());
}

TEST(Admission, AnEpochThatIsOverIsRefusedPerOwner) {
  Fences fences;
  EXPECT_TRUE(fences.admit({.owner = "a", .epoch = 3}).value().changed);
  EXPECT_FALSE(fences.admit({.owner = "a", .epoch = 3}).value().changed);
  EXPECT_TRUE(fences.admit({.owner = "b", .epoch = 1}).has_value());
  const auto stale = fences.admit({.owner = "a", .epoch = 2});
  ASSERT_FALSE(stale.has_value());
  EXPECT_EQ(stale.error().code, Code::kFailedPrecondition);
  EXPECT_EQ(stale.error().reason, "stale_epoch");
  fences.restore("a", 1);
  EXPECT_EQ(fences.highest().at("a"), 3U) << "restoring never lowers";
  EXPECT_FALSE(fences.admit({.owner = "", .epoch = 1}).has_value());
}

}  // namespace
}  // namespace colony::engine
