// Replies that go on: the status of applications on every change, and logs that are followed. Bounded by what there is to
// say: a watcher that reads slowly gets the latest status of each application, not every one in between.
#include <fmt/format.h>

#include "control/keeper/api_state.h"
#include "domain/status_json.h"

namespace colony::keeper {
namespace {

constexpr Duration kLogPoll = 500ms;
constexpr uint64_t kDefaultLines = 100;
constexpr uint64_t kMaxLines = 100'000;
constexpr size_t kFollowLines = 2'000;  // of each replica, per poll

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// How many lines at the front of `now` were the last ones of `before` already.
size_t overlap(const std::vector<std::string>& before, const std::vector<std::string>& now) {
  for (size_t start = 0; start < before.size(); ++start) {
    const size_t n = before.size() - start;
    if (n <= now.size() && std::equal(before.begin() + static_cast<ptrdiff_t>(start), before.end(), now.begin()))
      return n;
  }
  return 0;
}

async::Task<void> refuse(http::ReplyStream& stream, http::Reply reply) {
  stream.start(reply.status, reply.content_type);
  co_await stream.write(reply.body);
}

struct LogQuery {
  std::string app, deployment, replica;
  uint64_t lines = kDefaultLines;
  bool follow = false;
};

Result<LogQuery> log_query(const http::Request& request) {
  TRY_VOID(check_params(request, {"deployment", "replica", "lines", "follow"}));
  LogQuery q;
  q.app = std::string(request.header("path.name"));
  q.deployment = request.param("deployment").value_or("");
  q.replica = request.param("replica").value_or("");
  TRY(const auto lines, number_param(request, "lines", 0, kMaxLines));
  if (lines) q.lines = *lines;
  TRY(q.follow, flag_param(request, "follow"));
  return q;
}

// The replicas that the query means; an error when it names one that is not there.
Result<std::vector<std::string>> replicas_of(const AppStatus& app, const LogQuery& q) {
  std::vector<std::string> ids;
  std::string deployments, all;
  bool found = q.deployment.empty();
  for (const DeploymentStatus& d : app.deployments) {
    deployments += (deployments.empty() ? "" : ", ") + d.name;
    if (!q.deployment.empty() && d.name != q.deployment) continue;
    found = true;
    for (const ReplicaStatus& r : d.replicas) {
      all += (all.empty() ? "" : ", ") + r.id;
      if (q.replica.empty() || r.id == q.replica) ids.push_back(r.id);
    }
  }
  if (!found)
    return fail(
        not_found(fmt::format("application {} has no deployment {}; it has {}", q.app, q.deployment, deployments),
                  "no_such_deployment"));
  if (!q.replica.empty() && ids.empty())
    return fail(not_found(
        fmt::format("application {} has no replica {}; it has {}", q.app, q.replica, all.empty() ? "none" : all),
        "no_such_replica"));
  return ids;
}

}  // namespace

async::Task<void> ControlApi::State::watch_all(http::Request request, http::ReplyStream& stream) {
  if (auto ok = check_params(request, {"app"}); !ok) {
    co_await refuse(stream, error_as_reply(ok.error()));
    co_return;
  }
  co_await watch(request.param("app").value_or(""), stream);
}

async::Task<void> ControlApi::State::watch_app(http::Request request, http::ReplyStream& stream) {
  if (auto ok = check_params(request, {}); !ok) {
    co_await refuse(stream, error_as_reply(ok.error()));
    co_return;
  }
  co_await watch(std::string(request.header("path.name")), stream);
}

// `app`: empty for all.
async::Task<void> ControlApi::State::watch(std::string app, http::ReplyStream& stream) {
  if (!app.empty())
    if (auto known = deps.keeper.status(app); !known) {
      co_await refuse(stream, error_as_reply(known.error()));
      co_return;
    }
  async::Signal news(deps.loop);
  std::map<std::string, std::string> pending;  // the latest line of each application
  bool over = false;
  auto subscription_ = deps.keeper.watch([&](const AppStatus& s) {
    if (!app.empty() && s.name != app) return;
    pending[s.name] = to_json_text(s) + "\n";
    over = over || (!app.empty() && s.status == "DELETED");
    news.notify();
  });
  stream.start(200, "application/jsonl");
  while (!scope.stopping() && !stream.closed()) {
    std::string text;
    for (auto& [name, line] : pending) text += line;
    pending.clear();
    const bool last = over;
    if (text.empty()) text = "\n";  // nothing for a while: the connection is alive
    if (!co_await stream.write(text) || last) co_return;
    if (pending.empty()) co_await news.wait(scope, Deadline::after(deps.loop.now(), options.keep_alive));
  }
}

async::Task<void> ControlApi::State::logs(http::Request request, http::ReplyStream& stream) {
  auto query = log_query(request);
  if (!query) {
    co_await refuse(stream, error_as_reply(query.error()));
    co_return;
  }
  const LogQuery q = *std::move(query);
  std::map<std::string, std::vector<std::string>> seen;
  bool started = false;
  TimePoint last_write = deps.loop.now();
  while (!scope.stopping() && !(started && stream.closed())) {
    auto status = deps.keeper.status(q.app);
    auto ids = status ? replicas_of(*status, q) : fail(status.error());
    if (!ids) {
      if (!started) co_await refuse(stream, error_as_reply(ids.error()));
      co_return;  // gone meanwhile: the log ends
    }
    std::string text;
    for (const std::string& id : *ids) {
      const bool first = !seen.contains(id);
      const uint64_t want = !first ? kFollowLines : q.follow ? std::max<uint64_t>(q.lines, kFollowLines) : q.lines;
      auto log = co_await deps.engine.logs(id, want);
      if (!log) {
        if (!started && !q.replica.empty()) {
          co_await refuse(stream, error_as_reply(log.error()));
          co_return;
        }
        continue;  // not started yet, or gone
      }
      std::vector<std::string> lines = split_lines(*log);
      size_t skip = overlap(seen[id], lines);
      if (first && lines.size() > q.lines) skip = lines.size() - q.lines;
      const std::string prefix = ids->size() > 1 ? id + " | " : "";
      for (size_t i = skip; i < lines.size(); ++i) text += prefix + lines[i] + "\n";
      if (lines.size() > kFollowLines) lines.erase(lines.begin(), lines.end() - kFollowLines);
      seen[id] = std::move(lines);
    }
    if (!started) stream.start(200, "text/plain; charset=utf-8");
    started = true;
    if (q.follow && text.empty() && deps.loop.now() - last_write < options.keep_alive) {
      co_await scope.sleep(kLogPoll);
      continue;
    }
    last_write = deps.loop.now();
    if (q.follow && text.empty()) text = "\n";
    if (!text.empty() && !co_await stream.write(text)) co_return;
    if (!q.follow) co_return;
    co_await scope.sleep(kLogPoll);
  }
}

}  // namespace colony::keeper
