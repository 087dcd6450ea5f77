// Lines of the log: their form, their safety against what is in them, and files that are cut under the writer.
#include "observe/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace colony::observe {
namespace {

using nlohmann::json;

LogLine line(LogLevel level, std::string_view message, std::string_view context = {}) {
  // 2026-01-31 08:15:30.123 UTC
  return {WallTime(1769847330123ms), level, "proxy", 42, "/src/request/proxy/route.cc", 7, message, context};
}

class LogFile : public ::testing::Test {
 protected:
  LogFile() {
    std::string pattern = (std::filesystem::temp_directory_path() / "colony-log-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    path = folder + "/log";
  }
  ~LogFile() override {
    uninstall_log();
    set_log_level(LogLevel::kInfo);
    std::filesystem::remove_all(folder);
  }
  std::vector<std::string> lines() const {
    std::ifstream in(path);
    std::vector<std::string> out;
    for (std::string s; std::getline(in, s);) out.push_back(s);
    return out;
  }
  std::string folder, path;
};

TEST(LogLineFormat, TextIsForPeople) {
  EXPECT_EQ(format_text(line(LogLevel::kInfo, "ready", "request_id=r1 app=a")),
            "2026-01-31T08:15:30.123Z info  proxy[42] ready request_id=r1 app=a");
  EXPECT_EQ(format_text(line(LogLevel::kWarn, "late")), "2026-01-31T08:15:30.123Z warn  proxy[42] late (route.cc:7)");
}

TEST(LogLineFormat, JsonHoldsTheFieldsAndThePairs) {
  const json j =
      json::parse(format_json(line(LogLevel::kError, "it \"broke\"", "request_id=r1 trace_id=t=1 odd  =x level=no")));
  EXPECT_EQ(j, json::parse(R"({"time":"2026-01-31T08:15:30.123Z","level":"error","role":"proxy","pid":42,
    "message":"it \"broke\"","request_id":"r1","trace_id":"t=1","source":"route.cc:7"})"));
}

TEST(LogLineFormat, NoMessageCanForgeALine) {
  const std::string evil = "a\nb\r\x1b[31m\x7f\xff\xfe";
  const std::string text = format_text(line(LogLevel::kInfo, evil, "k=\x01"));
  EXPECT_TRUE(text.ends_with("a\\nb\\x0d\\x1b[31m\\x7f\xff\xfe k=\\x01")) << text;
  const std::string j = format_json(line(LogLevel::kInfo, evil));
  EXPECT_EQ(j.find('\n'), std::string::npos);
  EXPECT_NO_THROW(static_cast<void>(json::parse(j)));
}

TEST_F(LogFile, LinesCarryTheirContextAndRespectTheLevel) {
  ASSERT_TRUE(install_log({.role = "keeper", .path = path}));
  LOG(debug, "not this");
  LOG(info, "plain {}", 1);
  {
    const std::string fields = "request_id=r7";
    LogContext context(fields);
    LOG(warn, "inside");
  }
  LOG(info, "after");
  const auto all = lines();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(json::parse(all[0])["message"], "plain 1");
  EXPECT_EQ(json::parse(all[0])["role"], "keeper");
  EXPECT_EQ(json::parse(all[0])["pid"], ::getpid());
  EXPECT_EQ(json::parse(all[1])["request_id"], "r7");
  EXPECT_FALSE(json::parse(all[2]).contains("request_id"));
}

TEST_F(LogFile, AFileThatIsTruncatedUnderTheWriterStartsAfresh) {
  ASSERT_TRUE(install_log({.role = "r", .path = path}));
  LOG(info, "before");
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  LOG(info, "after");
  const auto all = lines();
  ASSERT_EQ(all.size(), 1u) << "no hole of zeros";
  EXPECT_EQ(json::parse(all[0])["message"], "after");
}

TEST_F(LogFile, ManyThreadsWriteWholeLines) {
  ASSERT_TRUE(install_log({.role = "r", .format = LogFormat::kJson, .path = path}));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) LOG(info, "thread {} line {} {}", t, i, std::string(500, 'x'));
    });
  }
  for (auto& t : threads) t.join();
  const auto all = lines();
  EXPECT_EQ(all.size(), 800u);
  for (const auto& l : all) EXPECT_NO_THROW(static_cast<void>(json::parse(l)));
}

TEST_F(LogFile, AFileThatCannotBeOpenedIsAnErrorAndTheOldSinkStays) {
  ASSERT_TRUE(install_log({.role = "r", .path = path}));
  auto bad = install_log({.role = "r", .path = "/proc/no/such/log"});
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("/proc/no/such/log"), std::string::npos);
  LOG(info, "still here");
  EXPECT_EQ(lines().size(), 1u);
}

TEST_F(LogFile, AFullDiskLosesLinesAndCountsThem) {
  ASSERT_TRUE(install_log({.role = "r", .path = "/dev/full"}));
  const uint64_t before = log_lines_lost();
  LOG(info, "never written");
  EXPECT_EQ(log_lines_lost(), before + 1);
}

TEST(LogOptions, WordsAreParsedStrictly) {
  EXPECT_EQ(*parse_log_level("warn"), LogLevel::kWarn);
  EXPECT_EQ(*parse_log_format("json"), LogFormat::kJson);
  EXPECT_NE(parse_log_level("WARN").error().message.find("debug, info, warn, error"), std::string::npos);
  EXPECT_FALSE(parse_log_format(""));
}

}  // namespace
}  // namespace colony::observe
