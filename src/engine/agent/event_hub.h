// Hands events to watchers, in order, from a turn of their own: whoever changes something never runs a watcher's code.
// Shared by the agent, the remote agent and the embedded engine. Lives on its loop.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "async/loop.h"
#include "engine/contract.h"

namespace colony::engine {

class EventHub {
 public:
  explicit EventHub(async::Loop& loop) : state_(std::make_shared<State>(loop)) {}
  ~EventHub() { state_->watchers.clear(); }
  EventHub(const EventHub&) = delete;
  EventHub& operator=(const EventHub&) = delete;

  std::unique_ptr<Subscription> watch(std::function<void(const Event&)> on_event) {
    auto watcher = std::make_shared<Watcher>(std::move(on_event));
    state_->watchers.push_back(watcher);
    return std::make_unique<Held>(std::move(watcher));
  }

  void emit(Event event) {
    std::erase_if(state_->watchers, [](const auto& w) { return w.expired(); });
    if (state_->watchers.empty()) return;
    // LIMIT: a thousand actors change at once without loss; beyond twice that, everybody lists again.
    if (state_->events.size() >= 2048) {
      state_->events.clear();
      event = {.kind = Event::Kind::kResync, .actor = {}};
    }
    state_->events.push_back(std::move(event));
    if (std::exchange(state_->posted, true)) return;
    state_->loop.post([state = state_] { state->deliver(); });
  }

 private:
  struct Watcher {
    explicit Watcher(std::function<void(const Event&)> f) : fn(std::move(f)) {}
    std::function<void(const Event&)> fn;
  };
  struct Held final : Subscription {
    explicit Held(std::shared_ptr<Watcher> w) : watcher(std::move(w)) {}
    std::shared_ptr<Watcher> watcher;
  };
  struct State {
    explicit State(async::Loop& l) : loop(l) {}
    void deliver() {
      posted = false;
      auto now = std::exchange(events, {});
      for (const Event& event : now) {
        const auto all = watchers;
        for (const auto& weak : all) {
          if (auto watcher = weak.lock()) watcher->fn(event);
        }
      }
    }
    async::Loop& loop;
    std::vector<std::weak_ptr<Watcher>> watchers;
    std::deque<Event> events;
    bool posted = false;
  };
  std::shared_ptr<State> state_;
};

}  // namespace colony::engine
