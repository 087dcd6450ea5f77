#include "app/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace colony::app {
namespace {

char* text(const char* s) { return const_cast<char*>(s); }
char* no_env(const char* name) { return std::string_view(name) == "HOME" ? text("/home/ada") : nullptr; }
char* some_env(const char* name) {
  if (std::string_view(name) == "COLONY_HTTP") return text("127.0.0.1:1111");
  if (std::string_view(name) == "COLONY_LOOPS") return text("3");
  return no_env(name);
}

std::string file(const std::string& content) {
  const auto path =
      std::filesystem::temp_directory_path() / ("colony-config-test-" + std::to_string(getpid()) + ".yaml");
  std::ofstream(path) << content;
  return path.string();
}

TEST(Config, DefaultsBindToLoopbackAndLiveInTheHomeFolder) {
  auto c = resolve({}, "", no_env);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->http, "127.0.0.1:8000");
  EXPECT_EQ(c->control, "127.0.0.1:8270");
  EXPECT_EQ(c->data_dir, "/home/ada/.local/share/colony");
  EXPECT_FALSE(c->processes);
}

TEST(Config, FlagBeatsVariableBeatsFileBeatsDefaultAndPrintSaysWhich) {
  const auto path = file("http: 127.0.0.1:2222\nloops: 5\nlog_level: debug\n");
  auto c = resolve({{"http", ":3333"}}, path, some_env);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->http, "127.0.0.1:3333");
  EXPECT_EQ(c->loops, 3);
  EXPECT_EQ(c->log_level, "debug");
  const auto shown = print_config(*c, false);
  EXPECT_NE(shown.find("127.0.0.1:3333"), std::string::npos);
  EXPECT_NE(shown.find("# flag"), std::string::npos);
  EXPECT_NE(shown.find("# COLONY_LOOPS"), std::string::npos);
  EXPECT_NE(shown.find(":3\n"), std::string::npos) << shown;
  std::filesystem::remove(path);
}

TEST(Config, EveryProblemIsNamedAllAtOnce) {
  const auto path = file("htp: 127.0.0.1:1\nlog_level: loud\nprocesses: maybe\n");
  auto c = resolve({{"http", "nowhere"}, {"loops", "-1"}, {"trusted_proxies", "10.0.0.0/99"}}, path, no_env);
  ASSERT_FALSE(c);
  for (const char* part : {"htp: unknown key", "loud", "processes", "'nowhere' is no HOST:PORT", "--loops",
                           "--trusted-proxies", "'10.0.0.0/99' is no address or network"})
    EXPECT_NE(c.error().message.find(part), std::string::npos) << part << " in\n" << c.error().message;
  EXPECT_EQ(exit_code(c.error().code), 2);
  std::filesystem::remove(path);
}

TEST(Config, FilesAreAListOfAbsolutePathsWhereverTheyComeFrom) {
  const auto path = file("file: a.yaml,/b.yaml\ndetach: true\n");
  const auto here = std::filesystem::current_path().string();
  auto c = resolve({}, path, no_env);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->files, (std::vector<std::string>{here + "/a.yaml", "/b.yaml"}));
  EXPECT_TRUE(c->detach);
  c = resolve({{"file", "-"}}, path, no_env);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->files, (std::vector<std::string>{"-"}));
  std::filesystem::remove(path);
}

TEST(Config, ControlOffLoopbackNeedsAToken) {
  auto c = resolve({{"control", "0.0.0.0:8270"}}, "", no_env);
  ASSERT_FALSE(c);
  EXPECT_NE(c.error().message.find("--token-file"), std::string::npos);
  const auto token = file("0123456789abcdef0123456789abcdef\n");
  c = resolve({{"control", "0.0.0.0:8270"}, {"token_file", token}}, "", no_env);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->token.size(), 32u);
  EXPECT_EQ(print_config(*c, true).find(c->token), std::string::npos) << "the token is a secret";
  std::filesystem::remove(token);
}

TEST(Config, AShortTokenIsRefused) {
  const auto token = file("abc\n");
  EXPECT_FALSE(resolve({{"token_file", token}}, "", no_env));
  std::filesystem::remove(token);
}

}  // namespace
}  // namespace colony::app
