// max_ongoing_requests and max_queued_requests against a model that knows one number, how many requests are here, over one to
// three loops: what runs is what there is room for, what waits is the rest, and refused is exactly what finds the queue full.
#include <algorithm>

#include "request/proxy/test_world.h"

namespace colony::proxy::testing {
namespace {

using std::string;

class Bounds {
 public:
  Bounds(uint64_t seed, size_t loops) : w({.sim = {.seed = seed}, .loops = loops}), rng(seed * 31) {
    for (int i = 0; i < 3; ++i) replicas_.push_back(&w.replica("r" + std::to_string(i)));
  }
  void set(size_t per_replica, size_t max_queued) {
    per_replica_ = per_replica;
    max_queued_ = max_queued;
    std::vector<ReplicaRecord> records;
    for (auto* r : replicas_) records.push_back(r->record());
    w.deploy("app", "/", records, [&](DeploymentRecord& d) {
      d.max_ongoing_requests = static_cast<int>(per_replica_);
      d.max_queued_requests = static_cast<int>(max_queued_);
    });
    w.loop().run_ready();
  }
  void raise() { set(per_replica_ + rng.below(2), max_queued_ + rng.below(2)); }
  void arrive() {
    auto c = w.client();
    c->send(ProxyWorld::text("PUT", "/hold/x", "x"));
    w.loop().run_ready();
    const bool refused = c->text.starts_with("HTTP/1.1 503");
    ASSERT_EQ(refused, here_.size() >= room() + max_queued_) << c->text;
    if (refused)
      ASSERT_NE(c->text.find("x-colony-reason: queue_full"), string::npos) << c->text;
    else
      here_.push_back(std::move(c));
  }
  void answer_one() {
    std::vector<http::testing::ScriptService::Call*> calls;
    for (auto* r : replicas_)
      for (auto& c : r->service.calls)
        if (!c->done) calls.push_back(c.get());
    if (calls.empty()) return;
    calls[rng.below(calls.size())]->release("done");
    w.loop().run_ready();
    ASSERT_EQ(std::erase_if(here_, [](auto& c) { return c->text.starts_with("HTTP/1.1 200"); }), 1u);
  }
  void hang_up_one() {
    if (here_.empty()) return;
    here_.erase(here_.begin() + static_cast<ptrdiff_t>(rng.below(here_.size())));
    w.loop().run_ready();
  }
  void check() {
    size_t running = 0;
    for (auto* r : replicas_) {
      ASSERT_LE(r->ongoing(), per_replica_);
      running += r->ongoing();
    }
    ASSERT_EQ(running, std::min(here_.size(), room())) << "nobody waits beside a free slot";
  }
  void empty() {
    while (!here_.empty()) answer_one();
  }
  size_t room() const { return per_replica_ * replicas_.size(); }

  ProxyWorld w;
  Rng rng;

 private:
  std::vector<TestReplica*> replicas_;
  std::vector<std::unique_ptr<RawPeer>> here_;  // neither refused nor answered
  size_t per_replica_ = 1, max_queued_ = 0;
};

TEST(ProxyBounds, HoldExactlyWhateverComesAndGoes) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Bounds b(seed, 1 + seed % 3);
    for (int phase = 0; phase < 5; ++phase) {
      b.set(1 + b.rng.below(3), b.rng.below(6));
      for (int step = 0; step < 60; ++step) {
        SCOPED_TRACE(::testing::Message() << "seed " << seed << ", phase " << phase << ", step " << step);
        switch (b.rng.below(8)) {
          case 0: b.raise(); break;
          case 1:
          case 2: b.answer_one(); break;
          case 3: b.hang_up_one(); break;
          default: b.arrive();
        }
        b.check();
        if (::testing::Test::HasFatalFailure()) return;
      }
      b.empty();
    }
    EXPECT_TRUE(b.w.until([&] { return b.w.proxy().ongoing() == 0; }, 1s));
  }
}

}  // namespace
}  // namespace colony::proxy::testing
