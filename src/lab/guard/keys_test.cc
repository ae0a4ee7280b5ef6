#include "lab/guard/keys.h"

#include <gtest/gtest.h>

namespace weir::guard {
namespace {

constexpr Time kNow{1'767'225'600'000'000};

wire::Key Wanted(wire::Role role, std::string team = "", std::string service = "") {
  wire::Key key;
  key.name = "alice";
  key.role = role;
  key.team = std::move(team);
  key.service = std::move(service);
  return key;
}

TEST(Keys, ASecretIsKnownByItsHashAlone) {
  const NewKey made = MakeKey(Wanted(wire::Role::kClient, "", "chat"), kNow).value();
  EXPECT_EQ(made.secret.substr(0, 5), "weir_");
  EXPECT_EQ(wire::ToText(made.key).find(made.secret), std::string::npos);
  KeyRing ring;
  EXPECT_EQ(ring.Authenticate(made.secret, kNow).error().code(), Code::kUnauthenticated);
  ring.Replace({made.key});
  const Principal who = ring.Authenticate(made.secret, kNow).value();
  EXPECT_EQ(who.name, "alice");
  EXPECT_EQ(who.who, Who::kClient);
  EXPECT_EQ(who.service, "chat");
  // The stored hash is not a secret.
  EXPECT_FALSE(ring.Authenticate(made.key.hash, kNow));
  EXPECT_FALSE(ring.Authenticate("", kNow));
  EXPECT_NE(MakeKey(Wanted(wire::Role::kAdmin), kNow)->secret, made.secret);
}

TEST(Keys, RevokedAndExpiredKeysAreRefusedAndSaySo) {
  NewKey made = MakeKey(Wanted(wire::Role::kAdmin), kNow).value();
  KeyRing ring;
  made.key.expires = kNow + Duration::Seconds(10);
  ring.Replace({made.key});
  EXPECT_TRUE(ring.Authenticate(made.secret, kNow + Duration::Seconds(9)));
  const auto expired = ring.Authenticate(made.secret, kNow + Duration::Seconds(10));
  EXPECT_NE(expired.error().message().find("expired at"), std::string::npos);
  EXPECT_EQ(expired.error().message().find(made.secret), std::string::npos);
  made.key.revoked = true;
  ring.Replace({made.key});
  EXPECT_NE(ring.Authenticate(made.secret, kNow).error().message().find("revoked"),
            std::string::npos);
}

TEST(Keys, RoleAndRestMustAgree) {
  struct Row {
    const char* name;
    wire::Key key;
    const char* says;  // nullptr: fine
  };
  wire::Key expired = Wanted(wire::Role::kAdmin);
  expired.expires = kNow;
  wire::Key tier = Wanted(wire::Role::kClient);
  tier.tier = 0;
  wire::Key unnamed = Wanted(wire::Role::kAdmin);
  unnamed.name = "a b";
  const Row rows[] = {
      {"admin", Wanted(wire::Role::kAdmin), nullptr},
      {"member", Wanted(wire::Role::kMember, "nlp"), nullptr},
      {"client of any", Wanted(wire::Role::kClient), nullptr},
      {"member without team", Wanted(wire::Role::kMember), "team:"},
      {"admin with team", Wanted(wire::Role::kAdmin, "nlp"), "team:"},
      {"client with team", Wanted(wire::Role::kClient, "nlp"), "team:"},
      {"member with service", Wanted(wire::Role::kMember, "nlp", "chat"), "service:"},
      {"expired", expired, "expires_us:"},
      {"tier", tier, "tier:"},
      {"name", unnamed, "name:"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto made = MakeKey(row.key, kNow);
    EXPECT_EQ(made.has_value(), row.says == nullptr);
    if (!made && row.says) {
      EXPECT_EQ(made.error().message().find(row.says), 0u);
    }
  }
}

}  // namespace
}  // namespace weir::guard
