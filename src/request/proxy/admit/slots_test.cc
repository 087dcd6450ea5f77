// The gate's promise under real concurrency: while somebody waits, a free slot is never left lying about. Threads play
// loops; a stuck waiter would hang the test, so it counts with a limit.
#include "request/proxy/admit/slots.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "async/epoll_loop.h"

namespace colony::proxy {
namespace {

// One loop's part: takes `total` slots, each held until the next post, with as many waiting as the rest allows.
class Player final : public SlotTaker {
 public:
  Player(async::EpollLoop& loop, size_t index, std::shared_ptr<DeploymentGate> gate,
         std::shared_ptr<ReplicaSlots> slots, std::atomic<int>& held, int total)
      : loop_(loop), index_(index), gate_(std::move(gate)), slots_(std::move(slots)), held_(held), left_(total) {}
  void begin() {
    gate_->attach(index_, this);
    for (int i = 0; i < 3; ++i) want();
  }
  void on_handed(const std::shared_ptr<ReplicaSlots>&) override {
    // Now and then it has "no use" for what it was handed, although it waits.
    if (waiting_ == 0 || loop_.rng().below(5) == 0) {
      gate_->give_back(index_, slots_);
      loop_.post([this] { on_maybe_free(); });
      return;
    }
    leave();
    hold();
  }
  void on_maybe_free() override {
    while (waiting_ > 0 && slots_->try_acquire()) {
      leave();
      hold();
    }
  }
  bool done() const { return left_ <= 0 && running_ == 0 && waiting_ == 0; }
  int most = 0;

 private:
  void want() {
    if (left_ <= 0) return;
    --left_;
    if (slots_->try_acquire()) return hold();
    ASSERT_TRUE(gate_->enter(index_, 1000));
    ++waiting_;
    on_maybe_free();
  }
  void leave() {
    --waiting_;
    gate_->leave(index_);
  }
  void hold() {
    ++running_;
    most = std::max(most, held_.fetch_add(1) + 1);
    loop_.post([this] {
      held_.fetch_sub(1);
      --running_;
      if (gate_->keep_released(index_, waiting_ > 0, slots_)) {
        leave();
        hold();
      }
      want();
      if (done()) loop_.stop();
    });
  }
  async::EpollLoop& loop_;
  const size_t index_;
  std::shared_ptr<DeploymentGate> gate_;
  std::shared_ptr<ReplicaSlots> slots_;
  std::atomic<int>& held_;
  int left_, waiting_ = 0, running_ = 0;
};

TEST(DeploymentGate, NoWaiterIsForgottenWhileSlotsComeFree) {
  constexpr int kEach = 3000;
  std::unique_ptr<async::EpollLoop> loops[3];
  std::vector<async::Loop*> list;
  for (auto& l : loops) list.push_back((l = async::EpollLoop::create()).get());
  auto gate = std::make_shared<DeploymentGate>(list);
  auto slots = std::make_shared<ReplicaSlots>(2);
  std::atomic<int> held{0}, ended{0};
  std::vector<std::unique_ptr<Player>> players;
  for (size_t i = 0; i < 3; ++i) players.push_back(std::make_unique<Player>(*loops[i], i, gate, slots, held, kEach));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 3; ++i)
    threads.emplace_back([&, i] {
      loops[i]->post([&, i] { players[i]->begin(); });
      async::Timer limit(*loops[i], [&, i] { loops[i]->stop(); });
      limit.arm_after(60s);
      loops[i]->run();
      ended += players[i]->done() ? 1 : 0;
      // What is still handed to a loop that has its share is passed on as long as others play.
      async::Timer tick(*loops[i], [&, i] { loops[i]->stop(); });
      while (ended.load() < 3 && limit.armed() && loops[i]->now() < limit.at()) {
        tick.arm_after(5ms);
        loops[i]->run();
      }
      limit.cancel();
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(ended.load(), 3) << "somebody waited for ever";
  for (auto& p : players) EXPECT_LE(p->most, 2);
}

}  // namespace
}  // namespace colony::proxy
