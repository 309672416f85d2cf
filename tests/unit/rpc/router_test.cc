#include "server/rpc/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsNull;
using ::testing::NotNull;

Method Unary(const char* path) {
  return {path, [](const CallPtr&, std::string_view) {}, nullptr};
}

TEST(RouterTest, FindsThePathItWasGivenAndNoOther) {
  Router router;
  router.Add(Unary("/a.B/Get"));
  ASSERT_THAT(router.Find("/a.B/Get"), NotNull());
  EXPECT_EQ(router.Find("/a.B/Get")->path, "/a.B/Get");
  for (const char* path : {"", "/", "a.B/Get", "/a.B/get", "/a.B/Get/", "/a.B"}) {
    EXPECT_THAT(router.Find(path), IsNull()) << path;
  }
}

TEST(RouterTest, AMethodStaysWhereItIsWhileOthersAreAdded) {
  Router router;
  router.Add(Unary("/a.B/Get"));
  const Method* method = router.Find("/a.B/Get");
  for (int i = 0; i < 1000; ++i) router.Add(Unary(("/a.B/M" + std::to_string(i)).c_str()));
  EXPECT_EQ(router.Find("/a.B/Get"), method);
}

TEST(RouterTest, SaysWhatIsUnknown) {
  Router router;
  router.Add(Unary("/a.B/Get"));
  EXPECT_EQ(router.WhyUnknown("/a.B/Put"), "unknown method Put for service a.B");
  EXPECT_EQ(router.WhyUnknown("/a.C/Get"), "unknown service a.C");
  for (const char* path : {"", "/", "Get", "//Get", "/Get"}) {
    EXPECT_EQ(router.WhyUnknown(path), "malformed method name: \"" + std::string(path) + "\"");
  }
}

TEST(RouterTest, ServicesAreListedOnceAndSorted) {
  Router router;
  router.Add(Unary("/b.Y/One"));
  router.Add(Unary("/a.X/One"));
  router.Add(Unary("/b.Y/Two"));
  EXPECT_THAT(router.ServiceNames(), ElementsAre("a.X", "b.Y"));
}

TEST(RouterDeathTest, APathIsRegisteredOnce) {
  Router router;
  router.Add(Unary("/a.B/Get"));
  EXPECT_DEATH(router.Add(Unary("/a.B/Get")), "registered twice");
  EXPECT_DEATH(router.Add(Unary("Get")), "not of the form");
}

}  // namespace
}  // namespace cairn::rpc
