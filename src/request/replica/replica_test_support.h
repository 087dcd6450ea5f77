// For the tests of this room: a runtime whose models do what the test says, a pool whose threads are the test's own calls,
// and a replica behind a real server on a simulated loop.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <memory>
#include <string>

#include "async/sim_loop.h"
#include "request/replica/replica.h"
#include "transport/frame/link.h"
#include "transport/http/client.h"
#include "transport/http/server.h"

namespace colony::replica::testing {

// Work waits until the test runs it.
class HandPool final : public async::BlockingPool {
 public:
  bool submit(std::function<void()> work) override {
    if (full) return false;
    queue_.push_back(std::move(work));
    return true;
  }
  size_t queued() const override { return queue_.size(); }
  size_t refused() const override { return 0; }
  bool run_one() {
    if (queue_.empty()) return false;
    auto work = std::move(queue_.front());
    queue_.pop_front();
    work();
    return true;
  }
  bool full = false;

 private:
  std::deque<std::function<void()>> queue_;
};

// Shared by all models of one test.
struct FakeWorld {
  std::atomic<int> loads{0}, infers{0}, cancelled{0}, live{0};  // models run on several threads in some tests
  std::string fail_load;                                        // the next load fails with this
  std::string fail_infer;                                       // every inference does
  std::function<void()> on_infer;                               // called in every inference
};

// Answers one tensor "said", BYTES [1]: "PATH:first input's bytes".
class FakeModel final : public runtime::Model {
 public:
  FakeModel(FakeWorld& world, const ModelSpec& spec, const std::string& name) : world_(world), path_(spec.path) {
    info_.name = name;
    info_.version = spec.version;
    info_.platform = "fake";
    info_.inputs = {{"x", runtime::DataType::kBytes, {-1}}};
    info_.outputs = {{"said", runtime::DataType::kBytes, {1}}};
    ++world_.live;
  }
  ~FakeModel() override { --world_.live; }
  const runtime::ModelInfo& info() const override { return info_; }
  Result<runtime::InferReply> infer(runtime::InferRequest&& request) override {
    ++world_.infers;
    if (world_.on_infer) world_.on_infer();
    if (request.cancel && request.cancel->cancelled()) {
      ++world_.cancelled;
      return fail(cancelled("told to stop"));
    }
    if (!world_.fail_infer.empty()) return fail(internal_error(world_.fail_infer));
    std::string said = path_ + ":";
    for (const auto e : runtime::bytes_elements(request.inputs.at(0).data)) said += e;
    std::string data;
    runtime::append_bytes_element(data, said);
    runtime::InferReply reply{info_.name, info_.version, {}};
    reply.outputs.push_back(runtime::own_tensor("said", runtime::DataType::kBytes, {1}, std::move(data)));
    return reply;
  }

 private:
  FakeWorld& world_;
  runtime::ModelInfo info_;
  std::string path_;
};

class FakeRuntime final : public runtime::Runtime {
 public:
  explicit FakeRuntime(FakeWorld& world) : world_(world) {}
  Result<std::shared_ptr<runtime::Model>> load(const ModelSpec& spec, const std::string& name,
                                               const std::string&) override {
    ++world_.loads;
    if (!world_.fail_load.empty()) return fail(invalid_argument(std::exchange(world_.fail_load, {})));
    return std::make_shared<FakeModel>(world_, spec, name);
  }

 private:
  FakeWorld& world_;
};

// What came back over a frame link.
class LinkCall final : public frame::CallHandler {
 public:
  void on_reply(const http::ReplyHead& head, std::string_view data, bool end) override {
    status = head.status;
    fields = head.block;
    body += data;
    done = end;
  }
  void on_body(std::string_view data, bool end) override {
    body += data;
    done = end;
  }
  void on_end(std::string_view lines) override {
    trailers = lines;
    done = true;
  }
  void on_failed(const Error& e) override {
    error = e.message;
    done = true;
  }
  int status = 0;
  std::string fields, body, trailers, error;
  bool done = false;
};

inline DeploymentSpec fake_spec(const std::string& path = "v1", int max_ongoing = 2) {
  DeploymentSpec spec;
  spec.name = "d";
  spec.runtime = "onnx";
  spec.model = ModelSpec{.path = path};
  spec.max_ongoing_requests = max_ongoing;
  spec.request_timeout_s = 30;
  return spec;
}

// "x" as one BYTES element.
inline std::string question(const std::string& text) {
  return R"({"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":[")" + text + R"("]}]})";
}

class ReplicaWorld {
 public:
  explicit ReplicaWorld(DeploymentSpec spec, async::SimLoop::Options sim = {}, size_t max_body = 1 << 20,
                        size_t max_buffered = size_t{1} << 30)
      : loop(async::SimLoop::create(sim)), client_(*loop), scope_(*loop) {
    ReplicaOptions options;
    options.id = "app.d.1";
    options.app = "app";
    options.spec = spec;
    options.model_names = {"m"};
    options.revision = 1;
    options.epoch = 5;
    options.max_body = max_body;
    options.max_buffered = max_buffered;
    if (spec.runtime != "echo")
      options.make_runtime = [this](const std::string&) -> Result<std::unique_ptr<runtime::Runtime>> {
        return std::make_unique<FakeRuntime>(fake);
      };
    options.on_drain = [this] { server->drain_connections(); };
    replica = Replica::create(*loop, pool, std::move(options));
    auto listening = http::Server::listen(*loop, at, *replica, {.accept_frames = true});
    CHECK(listening.has_value());
    server = std::move(*listening);
  }
  ~ReplicaWorld() {
    link_.reset();
    client_.close();
    loop->run_ready();
    server.reset();
    bool stopped = false;
    scope_.spawn(stop(replica.get(), &stopped));
    settle([&] { return stopped; });
    replica.reset();
    while (pool.run_one()) {
    }
    loop->run_ready();
    EXPECT_EQ(fake.live, 0) << "a model was not given back";
  }

  // Runs loop and pool until `done`; the pool only where the test did not say otherwise.
  bool settle(std::function<bool()> done) {
    for (int i = 0; i < 1000 && !done(); ++i) {
      loop->run_ready();
      if (!done() && !pool.run_one()) loop->run_for(10ms);
    }
    return done();
  }
  void ready() {
    replica->start();
    CHECK(settle([&] { return replica->report().state != ReplicaState::kStarting; }));
  }

  struct Fetch {
    bool done = false;
    int status = 0;
    std::string body;
    http::ClientReply reply;
  };
  std::shared_ptr<Fetch> begin(std::string method, std::string target, std::string body = {},
                               std::vector<std::pair<std::string, std::string>> headers = {}) {
    auto out = std::make_shared<Fetch>();
    scope_.spawn(fetch(&client_, at, {std::move(method), std::move(target), std::move(headers), std::move(body)}, out));
    loop->run_ready();
    return out;
  }
  std::shared_ptr<Fetch> infer(const std::string& text) { return begin("POST", "/v2/models/m/infer", question(text)); }
  Fetch get(std::string target) { return finish(begin("GET", std::move(target))); }
  Fetch post(std::string target, std::string body, std::vector<std::pair<std::string, std::string>> headers = {}) {
    return finish(begin("POST", std::move(target), std::move(body), std::move(headers)));
  }
  Fetch finish(const std::shared_ptr<Fetch>& f) {
    EXPECT_TRUE(settle([&] { return f->done; }));
    return *f;
  }

  frame::Link& link() {
    if (link_) return *link_;
    link_ = frame::Link::connect(*loop, at, Deadline::never(), {.on_goaway = [this] { goaway = true; }});
    CHECK(loop->run_until([&] { return link_->ready(); }));
    return *link_;
  }
  frame::CallId call(LinkCall& handler, const std::string& head_text, const std::string& body,
                     Deadline deadline = Deadline::never()) {
    http::RequestHead head;
    http::ParseError why;
    CHECK(http::parse_request_head(head_text, head, why) == http::ParseState::kComplete);
    const auto id = link().call(head, {}, body, true, deadline, handler);
    loop->run_ready();
    return id;
  }

  template <class T>
  struct Later {
    bool done = false;
    std::optional<T> value;
  };
  template <class T>
  std::shared_ptr<Later<T>> run(async::Task<T> task) {
    auto out = std::make_shared<Later<T>>();
    scope_.spawn(keep<T>(std::move(task), out));
    loop->run_ready();
    return out;
  }

  const async::Endpoint at{"unix:/r"};
  FakeWorld fake;
  HandPool pool;
  std::unique_ptr<async::SimLoop> loop;
  std::unique_ptr<Replica> replica;
  std::unique_ptr<http::Server> server;
  bool goaway = false;

 private:
  static async::Task<void> stop(Replica* r, bool* stopped) {
    co_await r->stop();
    *stopped = true;
  }
  static async::Task<void> fetch(http::Client* client, async::Endpoint to, http::ClientRequest request,
                                 std::shared_ptr<Fetch> out) {
    auto reply = co_await client->fetch(to, std::move(request), Deadline::never());
    out->done = true;
    if (!reply) co_return;
    out->status = reply->status;
    out->body = reply->body;
    out->reply = std::move(*reply);
  }
  template <class T>
  static async::Task<void> keep(async::Task<T> task, std::shared_ptr<Later<T>> out) {
    out->value.emplace(co_await std::move(task));
    out->done = true;
  }

  http::Client client_;
  std::unique_ptr<frame::Link> link_;
  async::Scope scope_;
};

}  // namespace colony::replica::testing
