// SIGTERM and SIGINT as events of a loop. Made before any other thread, so that every thread inherits the blocked mask.
#pragma once

#include <functional>
#include <memory>

#include "async/loop.h"

namespace colony::app {

class Signals {
 public:
  // `fn` gets the signal's number, once per signal.
  static Result<std::unique_ptr<Signals>> watch(async::Loop& loop, std::function<void(int)> fn);
  ~Signals();

 private:
  Signals() = default;
  int fd_ = -1;
  std::unique_ptr<async::FdWatch> watch_;
};

}  // namespace colony::app
