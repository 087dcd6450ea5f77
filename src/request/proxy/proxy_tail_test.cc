// One slow replica's request or one slow client is nobody else's business: the 99th percentile of all other requests, in
// simulated time, with and without them.
#include <algorithm>

#include "request/proxy/test_world.h"

namespace colony::proxy::testing {
namespace {

using std::string;

// Answers inference after the time that the body names in microseconds, with as many bytes as it names behind that.
class Model final : public http::Service {
 public:
  explicit Model(async::SimLoop& loop) : loop_(loop) {}
  http::ExchangeHandler* on_request(http::Exchange& exchange, const http::RequestHead&) override {
    most = std::max(most, ++now);
    return new Call(*this, exchange);
  }
  int now = 0, most = 0;

 private:
  struct Call final : http::ExchangeHandler {
    Call(Model& m, http::Exchange& e) : model(m), exchange(e), timer(m.loop_, [this] { answer(); }) {}
    void on_body(std::string_view data) override {
      body += data;
      exchange.consumed(data.size());
    }
    void on_end(std::string_view) override { timer.arm_after(std::chrono::microseconds(std::stoi(body))); }
    void answer() {
      --model.now;
      computed = true;
      http::reply_with(exchange, 200, "text/plain", string(std::stoul(body.substr(body.find(' '))), 'r'));
    }
    void on_done(bool) override {
      if (!computed) --model.now;
      delete this;
    }
    Model& model;
    http::Exchange& exchange;
    string body;
    bool computed = false;
    async::Timer timer;
  };
  async::SimLoop& loop_;
};

constexpr int kReplicas = 4, kSlots = 2;

class Tail {
 public:
  Tail() {
    std::vector<ReplicaRecord> records;
    for (int i = 0; i < kReplicas; ++i) {
      models_.push_back(std::make_unique<Model>(w.loop()));
      const string address = "unix:/m" + std::to_string(i);
      auto server = http::Server::listen(w.loop(), {address}, *models_.back(), {.accept_frames = true});
      EXPECT_TRUE(server);
      servers_.push_back(std::move(*server));
      records.push_back({.id = "m" + std::to_string(i), .address = address, .node = "n1"});
    }
    w.deploy("app", "/", records, [](DeploymentRecord& d) { d.max_ongoing_requests = kSlots; });
  }
  ~Tail() {
    for (const auto& m : models_) EXPECT_LE(m->most, kSlots);
  }
  // Open loop: 1,000 requests a second of 2 ms each for five seconds; every hundredth takes `slow_us` instead. The 99th
  // percentile of the others, from the intended start.
  Duration p99(int slow_us) {
    struct One {
      std::unique_ptr<RawPeer> peer;
      TimePoint begun{};
      bool busy = false, slow = false;
    };
    std::vector<One> pool;
    std::vector<Duration> took;
    Rng rng(5);
    TimePoint next = w.loop().now();
    for (int sent = 0, open = 0; sent < 5000 || open > 0;) {
      for (One& one : pool) {
        if (!one.busy || !one.peer->text.ends_with("\r\n\r\nrrr")) continue;
        EXPECT_TRUE(one.peer->text.starts_with("HTTP/1.1 200"));
        if (!one.slow) took.push_back(w.loop().now() - one.begun);
        one.busy = false;
        one.peer->text.clear();
        --open;
      }
      if (sent < 5000 && w.loop().now() >= next) {
        auto it = std::find_if(pool.begin(), pool.end(), [](const One& o) { return !o.busy; });
        if (it == pool.end()) {
          pool.push_back({w.client()});
          it = pool.end() - 1;
        }
        ++sent;
        ++open;
        it->busy = true;
        it->begun = next;
        it->slow = sent % 100 == 0;
        it->peer->send(
            ProxyWorld::text("POST", "/v2/models/app/infer", std::to_string(it->slow ? slow_us : 2000) + " 3"));
        next += std::chrono::microseconds(rng.below(2000));
      }
      w.loop().run_for(200us);
      if (w.loop().now() - next > 20s) {
        ADD_FAILURE() << open << " requests have no answer";
        break;
      }
    }
    std::sort(took.begin(), took.end());
    return took.empty() ? Duration::max() : took[took.size() * 99 / 100];
  }
  ProxyWorld w;

 private:
  std::vector<std::unique_ptr<Model>> models_;
  std::vector<std::unique_ptr<http::Server>> servers_;
};

Duration undisturbed() {
  static const Duration p99 = Tail().p99(2000);
  return p99;
}

TEST(ProxyTail, AHundredthOfSlowRequestsSlowsNoOther) {
  EXPECT_LE(undisturbed(), 4ms);
  EXPECT_LE(Tail().p99(50000), undisturbed() * 3 / 2);
}

TEST(ProxyTail, TwoHundredClientsThatDoNotReadTheirAnswersSlowNobody) {
  Tail t;
  std::vector<std::unique_ptr<RawPeer>> slow;
  for (int i = 0; i < 200; ++i) {
    slow.push_back(t.w.client());
    slow.back()->stream->pause();
    slow.back()->send(ProxyWorld::text("POST", "/v2/models/app/infer", "2000 1000000"));
  }
  t.w.loop().run_for(100ms);
  EXPECT_LE(t.p99(2000), undisturbed() * 3 / 2);
  slow.front()->stream->resume();
  EXPECT_EQ(t.w.reply(*slow.front()).body.size(), 1'000'000u) << "and it is all there when they do";
}

TEST(ProxyTail, TwoHundredClientsThatSendAByteASecondSlowNobody) {
  Tail t;
  const string request = ProxyWorld::text("POST", "/v2/models/app/infer", "2000                                     3");
  std::vector<std::unique_ptr<RawPeer>> slow;
  for (int i = 0; i < 200; ++i) {
    slow.push_back(t.w.client());
    slow.back()->send(request.substr(0, request.size() - 2));
  }
  t.w.loop().run_for(1s);
  for (auto& c : slow) c->send(request.substr(request.size() - 2, 1));
  EXPECT_LE(t.p99(2000), undisturbed() * 3 / 2);
  slow.front()->send(request.substr(request.size() - 1));
  EXPECT_EQ(t.w.reply(*slow.front()).body, "rrr");
}

}  // namespace
}  // namespace colony::proxy::testing
