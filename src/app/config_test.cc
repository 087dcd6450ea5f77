#include "app/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "app/limits.h"
#include "app/role_payload.h"

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

TEST(Config, LimitsAreAGroupWithUnits) {
  const auto path = file("limits:\n  idle_s: 5\n  url_bytes: 4KiB\n  streams: 7\nlimits.body_bytes: 1.5MiB\n");
  auto c = resolve({{"limits.memory_bytes", "2GiB"}}, path, [](const char* name) {
    return std::string_view(name) == "COLONY_LIMITS_HEAD_TIME_S" ? text("3") : no_env(name);
  });
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->limits.at("idle_s"), 5);
  EXPECT_EQ(c->limits.at("url_bytes"), 4096);
  EXPECT_EQ(c->limits.at("streams"), 7);
  EXPECT_EQ(c->limits.at("body_bytes"), 1.5 * 1024 * 1024);
  EXPECT_EQ(c->limits.at("memory_bytes"), 2.0 * 1024 * 1024 * 1024);
  EXPECT_EQ(c->limits.at("head_time_s"), 3);
  EXPECT_EQ(c->limits.at("connections"), 20000);
  for (const auto& row : setting_rows())
    if (row.key == "limits.idle_s") EXPECT_EQ(flag_of(row), "--limits-idle-s");
  proxy::ProxyOptions options;
  set_limits(options, c->limits);
  EXPECT_EQ(options.server.idle_timeout, 5s);
  EXPECT_EQ(options.server.max_url, 4096u);
  EXPECT_EQ(options.max_memory, size_t{2} << 30);
  const auto again = role_payload_from_json(to_json(RolePayload{.limits = c->limits}));
  EXPECT_EQ(again->limits, c->limits) << "a proxy in a process of its own has the same";
  std::filesystem::remove(path);
}

TEST(Config, DefaultLimitsAreThoseOfTheServer) {
  auto c = resolve({}, "", no_env);
  proxy::ProxyOptions from_config, plain;
  set_limits(from_config, c->limits);
  const http::ServerOptions &a = from_config.server, &b = plain.server;
  EXPECT_EQ(
      std::tie(a.max_connections, a.max_per_address, a.max_streams, a.max_head_bytes, a.max_head_fields, a.max_url),
      std::tie(b.max_connections, b.max_per_address, b.max_streams, b.max_head_bytes, b.max_head_fields, b.max_url));
  EXPECT_EQ(std::tie(a.max_body, a.body_rate, a.send_rate, from_config.max_memory),
            std::tie(b.max_body, b.body_rate, b.send_rate, plain.max_memory));
  EXPECT_EQ(std::tie(a.head_timeout, a.body_timeout, a.send_timeout, a.idle_timeout, a.tunnel_idle),
            std::tie(b.head_timeout, b.body_timeout, b.send_timeout, b.idle_timeout, b.tunnel_idle));
}

TEST(Config, ALimitThatIsNoneOrTooMuchIsRefused) {
  auto c = resolve(
      {{"limits.head_bytes", "65KiB"}, {"limits.idle_s", "0"}, {"limits.url_bytes", "4kb"}, {"limits.streams", "x"}},
      "", no_env);
  ASSERT_FALSE(c);
  for (const char* part : {"--limits-url-bytes): '4kb' is no size", "--limits-streams", "limits.idle_s"})
    EXPECT_NE(c.error().message.find(part), std::string::npos) << part << " in\n" << c.error().message;
  c = resolve({{"limits.head_bytes", "65KiB"}}, "", no_env);
  ASSERT_FALSE(c);
  EXPECT_NE(c.error().message.find("'65KiB' is above 65536"), std::string::npos) << c.error().message;
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
