// The store port's contract, on every adapter.
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "async/sim_loop.h"
#include "store/data_dir.h"
#include "store/memory.h"
#include "store/sqlite.h"

namespace colony::store {
namespace {

struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "colony-store-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() {
    ::chmod(path.c_str(), 0700);
    std::filesystem::remove_all(path);
  }
  std::string path;
};

class StoreConformance : public testing::TestWithParam<const char*> {
 protected:
  StoreConformance() { reopen(); }
  // What a restart does: the same file (the same object for memory).
  void reopen() {
    if (std::string_view(GetParam()) == "memory") {
      if (!store_) store_ = std::make_unique<MemoryStore>(*loop_);
      return;
    }
    store_.reset();
    auto opened = SqliteStore::open(*loop_, *pool_, folder_.path);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    store_ = std::move(*opened);
  }
  uint64_t begin() { return *loop_->run(store_->begin_term()); }
  Result<AppEntry> put(uint64_t term, AppEntry e, uint64_t expected, Epoch epoch = Epoch::kNext) {
    return loop_->run(store_->put(term, std::move(e), expected, epoch));
  }
  std::vector<AppEntry> load() { return *loop_->run(store_->load()); }

  Folder folder_;
  std::unique_ptr<async::SimLoop> loop_ = async::SimLoop::create({});
  std::unique_ptr<async::BlockingPool> pool_ = async::BlockingPool::inline_for_tests();
  std::unique_ptr<Store> store_;
};

AppEntry entry(std::string name, uint64_t revision) {
  AppEntry e{std::move(name), R"({"name":"x","emoji":"é"})"};
  e.revision = revision;
  e.created = WallTime(std::chrono::milliseconds(1772366400123));
  e.updated = e.created;
  return e;
}

TEST_P(StoreConformance, KeepsWhatWasAcknowledgedOverARestart) {
  const uint64_t term = begin();
  auto a = put(term, entry("b", 1), 0);
  ASSERT_TRUE(a.has_value()) << a.error().message;
  AppEntry removing = entry("a", 1);
  removing.removing = true;
  auto b = put(term, removing, 0);
  ASSERT_TRUE(b.has_value());
  EXPECT_GT(b->epoch, a->epoch);
  reopen();
  EXPECT_EQ(load(), (std::vector{*b, *a}));
}

TEST_P(StoreConformance, ComparesRevisionsBeforeItWrites) {
  const uint64_t term = begin();
  ASSERT_TRUE(put(term, entry("a", 1), 0).has_value());
  auto again = put(term, entry("a", 1), 0);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().reason, "revision_conflict");
  EXPECT_EQ(http_status(again.error().code), 409);
  EXPECT_EQ(put(term, entry("a", 3), 2).error().reason, "revision_conflict");
  EXPECT_EQ(put(term, entry("z", 3), 2).error().reason, "revision_conflict");
  ASSERT_TRUE(put(term, entry("a", 2), 1).has_value());
  EXPECT_EQ(load().at(0).revision, 2U);
}

TEST_P(StoreConformance, EpochsNeverGoBackNotEvenAfterErase) {
  const uint64_t term = begin();
  const uint64_t first = put(term, entry("a", 1), 0)->epoch;
  EXPECT_EQ(put(term, AppEntry(load().at(0)), 1, Epoch::kKeep)->epoch, first);
  EXPECT_EQ(loop_->run(store_->erase(term, "a", 7)).error().reason, "revision_conflict");
  EXPECT_TRUE(loop_->run(store_->erase(term, "a", 1)).has_value());
  EXPECT_TRUE(loop_->run(store_->erase(term, "a", 1)).has_value());
  EXPECT_TRUE(load().empty());
  reopen();
  EXPECT_GT(put(term, entry("a", 1), 0)->epoch, first);
}

TEST_P(StoreConformance, ANewTermFencesTheOldKeeper) {
  const uint64_t old = begin();
  ASSERT_TRUE(put(old, entry("a", 1), 0).has_value());
  const uint64_t now = begin();
  EXPECT_GT(now, old);
  EXPECT_EQ(put(old, entry("a", 2), 1).error().reason, "fenced");
  EXPECT_EQ(loop_->run(store_->erase(old, "a", 1)).error().reason, "fenced");
  EXPECT_EQ(loop_->run(store_->erase(old, "none", 1)).error().reason, "fenced");
  EXPECT_TRUE(put(now, entry("a", 2), 1).has_value());
}

INSTANTIATE_TEST_SUITE_P(Adapters, StoreConformance, testing::Values("memory", "sqlite"),
                         [](const auto& info) { return std::string(info.param); });

class SqliteFiles : public testing::Test {
 protected:
  Result<std::unique_ptr<SqliteStore>> open() { return SqliteStore::open(*loop_, *pool_, folder_.path); }
  std::string db() const { return folder_.path + "/colony.db"; }
  Folder folder_;
  std::unique_ptr<async::SimLoop> loop_ = async::SimLoop::create({});
  std::unique_ptr<async::BlockingPool> pool_ = async::BlockingPool::inline_for_tests();
};

TEST_F(SqliteFiles, ASecondOwnerOfTheDirectoryIsRefusedWithThePidOfTheFirst) {
  auto first = open();
  ASSERT_TRUE(first.has_value()) << first.error().message;
  auto second = open();
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().reason, "data_dir_in_use");
  EXPECT_EQ(exit_code(second.error().code), 2);
  EXPECT_NE(second.error().message.find("process " + std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  first->reset();
  EXPECT_TRUE(open().has_value());
}

TEST_F(SqliteFiles, ADamagedFileIsNamedWithTheWayOut) {
  std::ofstream(db()) << std::string(8192, 'x');
  auto store = open();
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().reason, "corrupt");
  EXPECT_NE(store.error().message.find(db()), std::string::npos);
  EXPECT_NE(store.error().message.find("Move the file away"), std::string::npos);
}

TEST_F(SqliteFiles, APathThatIsNoDirectoryIsRefused) {
  std::ofstream(folder_.path + "/file") << "x";
  auto store = SqliteStore::open(*loop_, *pool_, folder_.path + "/file/data");
  ASSERT_FALSE(store.has_value());
  EXPECT_NE(store.error().message.find("/file/data"), std::string::npos);
}

TEST_F(SqliteFiles, AFullDiskRefusesTheWriteAndLosesNothing) {
  auto store = open();
  ASSERT_TRUE(store.has_value());
  const uint64_t term = *loop_->run((*store)->begin_term());
  ASSERT_TRUE(loop_->run((*store)->put(term, entry("a", 1), 0, Epoch::kNext)).has_value());
  // The kernel's own way to say "no room" to one process: a limit on the size of files.
  struct rlimit before{}, tight{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* old_handler = ::signal(SIGXFSZ, SIG_IGN);
  tight = before;
  tight.rlim_cur = 16 * 1024;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  AppEntry big = entry("b", 1);
  big.spec_json.assign(512 * 1024, 'x');
  auto refused = loop_->run((*store)->put(term, big, 0, Epoch::kNext));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find(db()), std::string::npos) << refused.error().message;
  auto all = loop_->run((*store)->load());
  ASSERT_TRUE(all.has_value()) << all.error().message;
  EXPECT_EQ(all->size(), 1U);
  EXPECT_TRUE(loop_->run((*store)->put(term, big, 0, Epoch::kNext)).has_value());
}

TEST_F(SqliteFiles, AFileOfAnotherSchemaIsRefused) {
  {
    ASSERT_TRUE(open().has_value());
  }
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(db().c_str(), &raw), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(raw, "UPDATE schema_version SET version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(raw);
  auto store = open();
  ASSERT_FALSE(store.has_value());
  EXPECT_EQ(store.error().reason, "schema_version");
}

}  // namespace
}  // namespace colony::store
