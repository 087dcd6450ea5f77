// See h2_work.h.
#include "transport/http/h2_work.h"

#include <utility>

#include "transport/http/h2_connection.h"

namespace colony::http {
namespace {

struct Stock {
  static constexpr size_t kMost = 1024;                         // LIMIT
  static constexpr size_t kMostSlots = 128, kMostVector = 128;  // LIMIT: of one that waits here
  std::vector<std::unique_ptr<H2Work>> works;
  size_t lent = 0;

  static Stock& of_this_thread() {
    static thread_local Stock stock;
    return stock;
  }
};

}  // namespace

H2Work& H2Work::lend(H2Connection& to) {
  Stock& stock = Stock::of_this_thread();
  std::unique_ptr<H2Work> work;
  if (stock.works.empty()) {
    work = std::make_unique<H2Work>();
  } else {
    work = std::move(stock.works.back());
    stock.works.pop_back();
  }
  ++stock.lent;
  work->connection = &to;
  return *work.release();
}

void H2Work::give_back(H2Work& work) {
  Stock& stock = Stock::of_this_thread();
  std::unique_ptr<H2Work> owned(&work);
  --stock.lent;
  if (stock.works.size() == Stock::kMost || work.open.slots() > Stock::kMostSlots ||
      work.closed.capacity() > Stock::kMostVector)
    return;
  stock.works.push_back(std::move(owned));
}

void H2Work::drop(H2Work& work) {
  work.connection = nullptr;
  if (work.queued) return;
  --Stock::of_this_thread().lent;
  delete &work;
}

void H2Work::run() {
  queued = false;
  if (connection == nullptr) return drop(*this);
  connection->end_of_turn();
}

size_t H2Work::lent_here() { return Stock::of_this_thread().lent; }

void H2Connection::wake() {
  if (work_ == nullptr) work_ = &H2Work::lend(*this);
}

void H2Connection::rest() { H2Work::give_back(*std::exchange(work_, nullptr)); }

}  // namespace colony::http
