// The part that lives on the home loop (Home) is created, used and destroyed there; the caller's side only posts to it.
#include "discovery/threaded.h"

#include <utility>

namespace colony::discovery {
namespace {

constexpr Duration kLongestCall = 10s;  // LIMIT: a home loop that has stopped must not hold its callers

struct Listening {
  std::function<void(const TableUpdate&)> on_update;  // touched on the caller's loop only
};

class RemoteEnd final : public Subscription {
 public:
  RemoteEnd(async::Loop& home, std::shared_ptr<Listening> listening,
            std::shared_ptr<std::unique_ptr<Subscription>> there)
      : home_(home), listening_(std::move(listening)), there_(std::move(there)) {}
  ~RemoteEnd() override {
    listening_->on_update = nullptr;
    home_.post([there = std::move(there_)] { there->reset(); });
  }

 private:
  async::Loop& home_;
  std::shared_ptr<Listening> listening_;
  std::shared_ptr<std::unique_ptr<Subscription>> there_;
};

}  // namespace

struct Threaded::Home {
  Home(async::Loop& l, Discovery& t) : loop(l), target(t), scope(l) {}
  async::Loop& loop;
  Discovery& target;
  async::Scope scope;

  static async::Task<void> run(std::shared_ptr<Home> self, std::function<async::Task<Result<void>>(Discovery&)> what,
                               async::Loop& caller, async::OneShot<Result<void>>::Setter answer) {
    auto r = co_await what(self->target);
    caller.post([answer, r = std::move(r)] { answer.set(r); });
    // The last reference must not go while the scope is still winding this task up.
    async::Loop& home = self->loop;
    home.post([self = std::move(self)] {});
  }
};

Threaded::Threaded(async::Loop& caller, async::Loop& home, Discovery& target)
    : caller_(caller), home_(std::make_shared<Home>(home, target)) {}

// Calls in flight hold the Home themselves; the last of them lets it go on its own loop.
Threaded::~Threaded() {
  async::Loop& loop = home_->loop;
  loop.post([home = std::move(home_)] {});
}

async::Task<Result<void>> Threaded::ask(std::function<async::Task<Result<void>>(Discovery&)> what) {
  async::OneShot<Result<void>> answer(caller_);
  home_->loop.post([home = home_, what = std::move(what), &caller = caller_, setter = answer.setter()]() mutable {
    Home* h = home.get();
    h->scope.spawn(Home::run(std::move(home), std::move(what), caller, setter));
  });
  auto r = co_await answer.wait(Deadline::after(caller_.now(), kLongestCall));
  if (!r) co_return fail(std::move(r).error());
  co_return std::move(*r);
}

async::Task<Result<void>> Threaded::publish(AppRecord record) {
  co_return co_await ask([record = std::move(record)](Discovery& d) { return d.publish(record); });
}

async::Task<Result<void>> Threaded::withdraw(std::string app, uint64_t epoch) {
  co_return co_await ask([app = std::move(app), epoch](Discovery& d) { return d.withdraw(app, epoch); });
}

async::Task<Result<void>> Threaded::register_proxy(ProxyRecord record, Duration lease) {
  co_return co_await ask([record = std::move(record), lease](Discovery& d) { return d.register_proxy(record, lease); });
}

async::Task<Result<void>> Threaded::unregister_proxy(std::string id) {
  co_return co_await ask([id = std::move(id)](Discovery& d) { return d.unregister_proxy(id); });
}

async::Task<Result<void>> Threaded::acknowledge(std::string proxy, uint64_t revision) {
  co_return co_await ask([proxy = std::move(proxy), revision](Discovery& d) { return d.acknowledge(proxy, revision); });
}

std::unique_ptr<Subscription> Threaded::subscribe(std::function<void(const TableUpdate&)> on_update) {
  auto listening = std::make_shared<Listening>();
  listening->on_update = std::move(on_update);
  auto there = std::make_shared<std::unique_ptr<Subscription>>();
  home_->loop.post([home = home_, there, listening, &caller = caller_] {
    *there = home->target.subscribe([listening, &caller](const TableUpdate& update) {
      caller.post([listening, update] {
        // A copy, because the callback may end the subscription and with it the function.
        if (auto fn = listening->on_update) fn(update);
      });
    });
  });
  return std::make_unique<RemoteEnd>(home_->loop, std::move(listening), std::move(there));
}

}  // namespace colony::discovery
