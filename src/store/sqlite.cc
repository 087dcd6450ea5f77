// See sqlite.h. Every write is one transaction that first looks at the term and the revision, so that a check and its
// write cannot come apart. A failed COMMIT rolls back: the caller hears an error and the file holds what it held.
#include "store/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <mutex>

#include "base/log.h"
#include "store/data_dir.h"
#include "store/memory.h"

namespace colony::store {
namespace {

constexpr int64_t kSchemaVersion = 1;
constexpr int kBusyTimeoutMs = 5000;

constexpr const char* kSchema = R"sql(
  CREATE TABLE schema_version (version INTEGER NOT NULL);
  CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE app (
    name TEXT PRIMARY KEY, spec TEXT NOT NULL, revision INTEGER NOT NULL, epoch INTEGER NOT NULL,
    removing INTEGER NOT NULL, created_ns INTEGER NOT NULL, updated_ns INTEGER NOT NULL) WITHOUT ROWID;
  INSERT INTO counter VALUES ('term', 0), ('epoch', 0);
)sql";

int64_t nanos(WallTime t) { return t.time_since_epoch().count(); }
WallTime wall(int64_t ns) { return WallTime(Duration(ns)); }

class Database;

class Statement {
 public:
  Statement(Database& db, const char* sql);
  ~Statement() { sqlite3_finalize(stmt_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  Statement& bind(const std::string& s) {
    sqlite3_bind_text(stmt_, ++bound_, s.data(), static_cast<int>(s.size()), SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(int64_t i) {
    sqlite3_bind_int64(stmt_, ++bound_, i);
    return *this;
  }
  Statement& bind(uint64_t i) { return bind(static_cast<int64_t>(i)); }
  Result<bool> row();  // false: no further row
  Result<void> run() {
    TRY([[maybe_unused]] const bool more, row());
    return {};
  }
  int64_t integer(int column) { return sqlite3_column_int64(stmt_, column); }
  std::string text(int column) {
    const auto* s = reinterpret_cast<const char*>(sqlite3_column_text(stmt_, column));
    return s == nullptr ? std::string() : std::string(s, static_cast<size_t>(sqlite3_column_bytes(stmt_, column)));
  }

 private:
  Database& db_;
  sqlite3_stmt* stmt_ = nullptr;
  int bound_ = 0;
};

// The connection. Callers hold `mutex` around each use: the pool may have several threads.
class Database {
 public:
  explicit Database(std::string path) : path_(std::move(path)) {}
  ~Database() { sqlite3_close(db_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  sqlite3* handle() { return db_; }
  std::mutex mutex;

  Result<void> open() {
    if (sqlite3_open_v2(path_.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
                        nullptr) != SQLITE_OK)
      return fail(error("cannot open"));
    sqlite3_busy_timeout(db_, kBusyTimeoutMs);
    sqlite3_extended_result_codes(db_, 1);
    TRY_VOID(exec("PRAGMA journal_mode=WAL"));
    TRY_VOID(exec("PRAGMA synchronous=FULL"));
    Statement check(*this, "PRAGMA quick_check(1)");
    TRY(const bool any, check.row());
    if (!any || check.text(0) != "ok") return fail(corrupt(any ? check.text(0) : "no answer"));
    return prepare_schema();
  }

  Result<void> exec(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return fail(error("cannot write"));
    return {};
  }

  // Runs `body` in a transaction that holds the write lock from its start.
  template <class F>
  auto transaction(F body) -> decltype(body()) {
    const std::lock_guard lock(mutex);
    TRY_VOID(exec("BEGIN IMMEDIATE"));
    auto result = body();
    if (result) {
      if (auto done = exec("COMMIT"); !done) {
        sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
        return fail(std::move(done).error());
      }
      return result;
    }
    sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    return result;
  }

  Result<int64_t> next(const char* counter) {
    Statement up(*this, "UPDATE counter SET value = value + 1 WHERE name = ? RETURNING value");
    TRY(const bool any, up.bind(std::string(counter)).row());
    if (!any) return fail(corrupt(fmt::format("the counter {} is missing", counter)));
    const int64_t value = up.integer(0);
    TRY([[maybe_unused]] const bool more, up.row());  // an UPDATE is done once it has been stepped to its end
    return value;
  }

  Error corrupt(const std::string& what) const {
    return data_loss(
        fmt::format("the store {} is damaged: {}. Move the file away to start empty, or put a copy back", path_, what),
        "corrupt");
  }

  Error error(std::string_view doing) const {
    const int code = db_ == nullptr ? SQLITE_CANTOPEN : sqlite3_errcode(db_);
    const std::string text = db_ == nullptr ? "out of memory" : sqlite3_errmsg(db_);
    const std::string message = fmt::format("{} the store {}: {}", doing, path_, text);
    switch (code & 0xff) {
      case SQLITE_FULL: return resource_exhausted(message + "; make room on that disk", "no_space");
      case SQLITE_READONLY:
      case SQLITE_PERM:
      case SQLITE_AUTH:
      case SQLITE_CANTOPEN:
        return Error{Code::kPermissionDenied, message + "; is the data directory writable?", "not_permitted"};
      case SQLITE_CORRUPT:
      case SQLITE_NOTADB: return corrupt(text);
      case SQLITE_BUSY:
      case SQLITE_LOCKED: return unavailable(message, "store_busy");
      default: return internal_error(message, "store_failed");
    }
  }

 private:
  Result<void> prepare_schema() {
    return transaction([&]() -> Result<void> {
      Statement exists(*this, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'");
      TRY(const bool there, exists.row());
      if (!there) {
        TRY_VOID(exec(kSchema));
        Statement insert(*this, "INSERT INTO schema_version VALUES (?)");
        return insert.bind(kSchemaVersion).run();
      }
      Statement version(*this, "SELECT version FROM schema_version");
      TRY(const bool any, version.row());
      if (!any) return fail(corrupt("it has no schema version"));
      if (version.integer(0) != kSchemaVersion)
        return fail(failed_precondition(
            fmt::format("the store {} was written by another version of Colony (schema {}, this one reads {}); use "
                        "that version or another --data-dir",
                        path_, version.integer(0), kSchemaVersion),
            "schema_version"));
      return {};
    });
  }

  std::string path_;
  sqlite3* db_ = nullptr;
};

Statement::Statement(Database& db, const char* sql) : db_(db) {
  sqlite3_prepare_v2(db.handle(), sql, -1, &stmt_, nullptr);
}

Result<bool> Statement::row() {
  if (stmt_ == nullptr) return fail(db_.error("cannot read"));
  switch (sqlite3_step(stmt_)) {
    case SQLITE_ROW: return true;
    case SQLITE_DONE: return false;
    default: return fail(db_.error("cannot write"));
  }
}

class Adapter : public SqliteStore {
 public:
  Adapter(async::Loop& loop, async::BlockingPool& pool, std::unique_ptr<DataDirLock> lock, const std::string& path)
      : loop_(loop), pool_(pool), lock_(std::move(lock)), db_(path) {}
  Result<void> open() { return db_.open(); }

  async::Task<Result<uint64_t>> begin_term() override {
    co_return co_await pool_.run(loop_, [this]() -> Result<uint64_t> {
      return db_.transaction([&]() -> Result<uint64_t> {
        TRY(const int64_t term, db_.next("term"));
        return static_cast<uint64_t>(term);
      });
    });
  }
  async::Task<Result<std::vector<AppEntry>>> load() override {
    co_return co_await pool_.run(loop_, [this] { return read_all(); });
  }
  async::Task<Result<AppEntry>> put(uint64_t term, AppEntry entry, uint64_t expected, Epoch epoch) override {
    co_return co_await pool_.run(loop_, [this, term, expected, epoch, &entry]() -> Result<AppEntry> {
      return db_.transaction([&]() -> Result<AppEntry> {
        TRY_VOID(may_write(term, entry.name, expected));
        if (epoch == Epoch::kNext) {
          TRY(const int64_t next, db_.next("epoch"));
          entry.epoch = static_cast<uint64_t>(next);
        }
        Statement write(db_, "INSERT OR REPLACE INTO app VALUES (?, ?, ?, ?, ?, ?, ?)");
        TRY_VOID(write.bind(entry.name)
                     .bind(entry.spec_json)
                     .bind(entry.revision)
                     .bind(entry.epoch)
                     .bind(int64_t{entry.removing})
                     .bind(nanos(entry.created))
                     .bind(nanos(entry.updated))
                     .run());
        return entry;
      });
    });
  }
  async::Task<Result<void>> erase(uint64_t term, std::string name, uint64_t expected) override {
    co_return co_await pool_.run(loop_, [this, term, expected, &name]() -> Result<void> {
      return db_.transaction([&]() -> Result<void> {
        TRY_VOID(check_term(term));
        TRY(const uint64_t found, revision_of(name));
        if (found == 0) return {};
        if (found != expected) return fail(conflict_error(name, expected, found));
        Statement gone(db_, "DELETE FROM app WHERE name = ?");
        return gone.bind(name).run();
      });
    });
  }

 private:
  Result<std::vector<AppEntry>> read_all() {
    const std::lock_guard lock(db_.mutex);
    std::vector<AppEntry> all;
    Statement rows(db_, "SELECT name, spec, revision, epoch, removing, created_ns, updated_ns FROM app ORDER BY name");
    while (true) {
      TRY(const bool more, rows.row());
      if (!more) return all;
      AppEntry e{rows.text(0), rows.text(1)};
      e.revision = static_cast<uint64_t>(rows.integer(2));
      e.epoch = static_cast<uint64_t>(rows.integer(3));
      e.removing = rows.integer(4) != 0;
      e.created = wall(rows.integer(5));
      e.updated = wall(rows.integer(6));
      all.push_back(std::move(e));
    }
  }
  Result<void> check_term(uint64_t term) {
    Statement current(db_, "SELECT value FROM counter WHERE name = 'term'");
    TRY(const bool any, current.row());
    if (!any) return fail(db_.corrupt("the counter term is missing"));
    const auto now = static_cast<uint64_t>(current.integer(0));
    if (now != term) return fail(fenced_error(term, now));
    return {};
  }
  Result<uint64_t> revision_of(const std::string& name) {
    Statement row(db_, "SELECT revision FROM app WHERE name = ?");
    TRY(const bool any, row.bind(name).row());
    return any ? static_cast<uint64_t>(row.integer(0)) : 0;
  }
  Result<void> may_write(uint64_t term, const std::string& name, uint64_t expected) {
    TRY_VOID(check_term(term));
    TRY(const uint64_t found, revision_of(name));
    if (found != expected) return fail(conflict_error(name, expected, found));
    return {};
  }

  async::Loop& loop_;
  async::BlockingPool& pool_;
  std::unique_ptr<DataDirLock> lock_;
  Database db_;
};

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(async::Loop& loop, async::BlockingPool& pool,
                                                       const std::string& dir) {
  TRY(auto lock, lock_data_dir(dir, "keeper.lock"));
  auto store = std::make_unique<Adapter>(loop, pool, std::move(lock), dir + "/colony.db");
  TRY_VOID(store->open());
  return std::unique_ptr<SqliteStore>(std::move(store));
}

}  // namespace colony::store
