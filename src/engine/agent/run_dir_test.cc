// The run directory: records written and read back, private folders, epochs, log tails, rotation and sweeping.
#include "engine/agent/run_dir.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/agent/file.h"
#include "tests/support/temp_dir.h"

namespace colony::engine {
namespace {

namespace fs = std::filesystem;
using colony::testing::TempDir;

std::unique_ptr<RunDir> open_at(const TempDir& temp, LogOptions options = {}) {
  auto dir = RunDir::open(temp / "run", temp / "logs", options);
  CHECK(dir.has_value());
  return std::move(*dir);
}

ActorRecord record_of(std::string id) {
  ActorRecord r;
  r.spec.id = std::move(id);
  r.spec.role = "replica";
  r.spec.app = "app";
  r.spec.deployment = "d";
  r.spec.payload = "{\"x\":\"\xc3\xa9\"}";
  r.spec.env = {{"A", "b=c"}};
  r.spec.labels = {{"revision", "3"}};
  r.spec.resources = {.num_cpus = 0.5, .num_gpus = 0, .memory = 1ULL << 33, .resources = {{"tpu", 2}}};
  r.spec.placement = {.node = "n", .spread = false, .max_per_node = 2};
  r.fence = {.owner = "app", .epoch = UINT64_MAX};
  r.node = "n";
  r.cookie = "00ff";
  r.incarnation = 4;
  r.pid = 123;
  r.start_time = 456;
  r.last_exit = "exit code 3";
  r.started = true;
  return r;
}

mode_t mode_of(const std::string& path) {
  struct stat s{};
  CHECK(::stat(path.c_str(), &s) == 0);
  return s.st_mode & 0777;
}

void append(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::app) << text; }

TEST(RunDir, ARecordComesBackAsItWasWritten) {
  TempDir temp;
  auto dir = open_at(temp);
  auto r = record_of("app.d.a");
  ASSERT_TRUE(dir->prepare(r).has_value());
  ASSERT_TRUE(write_record(dir->folder("app.d.a"), r).has_value());
  EXPECT_EQ(mode_of(dir->folder("app.d.a")), 0700U);
  EXPECT_EQ(mode_of(record_path(dir->folder("app.d.a"))), 0600U);
  const auto back = read_record(dir->folder("app.d.a"));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(back->spec.payload, r.spec.payload);
  EXPECT_EQ(back->spec.env, r.spec.env);
  EXPECT_EQ(back->spec.labels, r.spec.labels);
  EXPECT_EQ(back->spec.resources, r.spec.resources);
  EXPECT_EQ(back->spec.placement.node, "n");
  EXPECT_FALSE(back->spec.placement.spread);
  EXPECT_EQ(back->fence.epoch, UINT64_MAX);
  EXPECT_EQ(back->socket, temp / "run/app.d.a/sock");
  EXPECT_EQ(back->log, temp / "logs/app.d.a.log");
  EXPECT_EQ(back->cookie, "00ff");
  EXPECT_EQ(back->incarnation, 4U);
  EXPECT_EQ(back->pid, 123);
  EXPECT_TRUE(back->started);
  EXPECT_FALSE(back->stopping);
  EXPECT_EQ(dir->actors(), std::vector<std::string>{"app.d.a"});
  dir->forget("app.d.a", r.socket);
  EXPECT_TRUE(dir->actors().empty());
}

TEST(RunDir, ARecordThatCannotBeReadIsAnErrorAndNoCrash) {
  TempDir temp;
  for (const std::string text : {"", "{", "[]", "null", "{\"id\":1}", "{\"id\":\"a\"}", "\xff\xfe"}) {
    append(temp / "actor.json", text);
    const auto back = read_record(temp.path());
    ASSERT_FALSE(back.has_value()) << text;
    EXPECT_EQ(back.error().code, Code::kDataLoss) << text;
    fs::remove(temp / "actor.json");
  }
  EXPECT_EQ(read_record(temp.path()).error().code, Code::kNotFound);
}

TEST(RunDir, OnlyOneAgentHasIt) {
  TempDir temp;
  auto dir = open_at(temp);
  const auto second = RunDir::open(temp / "run", temp / "logs", {});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().reason, "run_dir_in_use");
  dir.reset();
  EXPECT_TRUE(RunDir::open(temp / "run", temp / "logs", {}).has_value());
  EXPECT_FALSE(RunDir::open("run", "logs", {}).has_value()) << "relative paths are refused";
}

TEST(RunDir, AFolderInTheWayIsNamed) {
  TempDir temp;
  append(temp / "run", "a file");
  const auto refused = RunDir::open(temp / "run", temp / "logs", {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find(temp / "run"), std::string::npos) << refused.error().message;
  fs::remove(temp / "run");
  fs::create_directory(temp / "run");
  fs::permissions(temp / "run", fs::perms::all);
  ASSERT_TRUE(RunDir::open(temp / "run", temp / "logs", {}).has_value());
  EXPECT_EQ(mode_of(temp / "run"), 0700U) << "one of ours is closed to others";
}

TEST(RunDir, EpochsSurviveAndAnUnreadableTableIsSaid) {
  TempDir temp;
  auto dir = open_at(temp);
  EXPECT_TRUE(dir->read_epochs()->highest().empty());
  Fences fences;
  ASSERT_TRUE(fences.admit({.owner = "app", .epoch = UINT64_MAX}).has_value());
  ASSERT_TRUE(fences.admit({.owner = "b", .epoch = 0}).has_value());
  ASSERT_TRUE(dir->write_epochs(fences).has_value());
  EXPECT_EQ(dir->read_epochs()->highest().at("app"), UINT64_MAX);
  append(temp / "run/epochs.json", "x");
  EXPECT_EQ(dir->read_epochs().error().reason, "bad_epochs");
}

TEST(RunDir, ALongPathGetsAShortSocketThatIsCleanedUp) {
  TempDir temp;
  auto opened = RunDir::open(temp / (std::string(60, 'x') + "/run"), temp / "logs", {});
  ASSERT_TRUE(opened.has_value());
  auto r = record_of(std::string(100, 'a'));
  ASSERT_TRUE((*opened)->prepare(r).has_value());
  EXPECT_LE(r.socket.size(), 100U);
  EXPECT_NE(r.socket.find(std::to_string(::geteuid())), std::string::npos);
  const auto folder = fs::path(r.socket).parent_path();
  EXPECT_EQ(mode_of(folder), 0700U);
  append(r.socket, "");
  (*opened)->forget(r.spec.id, r.socket);
  EXPECT_FALSE(fs::exists(r.socket));
  EXPECT_FALSE(fs::exists(folder));
}

TEST(RunDir, TheTailGoesBackIntoRotatedFiles) {
  TempDir temp;
  auto dir = open_at(temp, {.max_bytes = 20, .max_rotated = 2, .max_ended = 10});
  const std::string log = dir->log_path("a");
  for (int i = 1; i <= 9; ++i) {
    append(log, "line " + std::to_string(i) + "\n");
    dir->rotate_log("a");
  }
  // Three lines to a file: 7-9 have just been moved to .1, 4-6 are in .2, 1-3 are gone.
  EXPECT_EQ(fs::file_size(log), 0U);
  EXPECT_EQ(dir->tail_log("a", 100), "line 4\nline 5\nline 6\nline 7\nline 8\nline 9\n");
  EXPECT_EQ(dir->tail_log("a", 4), "line 6\nline 7\nline 8\nline 9\n");
  append(log, "no end");
  EXPECT_EQ(dir->tail_log("a", 2), "line 9\nno end\n");
  EXPECT_EQ(dir->tail_log("b", 5), "");
  EXPECT_FALSE(fs::exists(log + ".3"));
}

TEST(RunDir, RotationKeepsTheFileThatAChildWritesTo) {
  TempDir temp;
  auto dir = open_at(temp, {.max_bytes = 10, .max_rotated = 1, .max_ended = 10});
  const std::string log = dir->log_path("a");
  const int child = ::open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0600);
  ASSERT_EQ(::write(child, "0123456789ab\n", 13), 13);
  dir->rotate_log("a");
  ASSERT_EQ(::write(child, "after\n", 6), 6);
  ::close(child);
  EXPECT_EQ(fs::file_size(log), 6U) << "appended at the new end, no hole";
  EXPECT_EQ(dir->tail_log("a", 10), "0123456789ab\nafter\n");
}

TEST(RunDir, LogsOfActorsThatAreGoneAreSweptOldestFirst) {
  TempDir temp;
  auto dir = open_at(temp, {.max_bytes = 100, .max_rotated = 1, .max_ended = 2});
  auto live = record_of("live");
  ASSERT_TRUE(dir->prepare(live).has_value());
  ASSERT_TRUE(write_record(dir->folder("live"), live).has_value());
  append(dir->log_path("live"), "x\n");
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(dir->log_path("live"), now - std::chrono::hours(9));
  for (int i = 0; i < 4; ++i) {
    const std::string log = dir->log_path("gone" + std::to_string(i));
    append(log, "x\n");
    fs::last_write_time(log, now - std::chrono::hours(4 - i));
  }
  dir->forget("gone3", temp / "run/gone3/sock");
  EXPECT_TRUE(dir->has_log("live"));
  EXPECT_FALSE(dir->has_log("gone0"));
  EXPECT_FALSE(dir->has_log("gone1"));
  EXPECT_TRUE(dir->has_log("gone2"));
  EXPECT_TRUE(dir->has_log("gone3"));
}

TEST(RunDir, LastLinesCutsAtLineEnds) {
  EXPECT_EQ(last_lines("a\nb\nc\n", 2), (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(last_lines("a\n\nc", 5), (std::vector<std::string>{"a", "", "c"}));
  EXPECT_TRUE(last_lines("", 5).empty());
  EXPECT_TRUE(last_lines("a\n", 0).empty());
}

TEST(File, AtomicWritesLeaveTheOldTextWhenTheyFail) {
  TempDir temp;
  ASSERT_TRUE(write_file_atomic(temp / "f", "old", Sync::kYes).has_value());
  fs::create_directory(temp / "f.new");
  EXPECT_FALSE(write_file_atomic(temp / "f", "new", Sync::kNo).has_value());
  EXPECT_EQ(read_file(temp / "f", 100).value(), "old");
  EXPECT_EQ(read_file(temp / "f", 2).error().reason, "file_too_large");
  EXPECT_EQ(write_file_atomic(temp / "no/such", "x", Sync::kNo).error().code, Code::kNotFound);
}

}  // namespace
}  // namespace colony::engine
