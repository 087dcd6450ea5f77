// How long to wait before what died is started again: 0, 1, 2, 4, ... 60 s, back to 0 after it has lived for a while.
// A pure state machine per actor, used by the agent and by its fakes; time is an argument.
#pragma once

#include <algorithm>

#include "base/time.h"

namespace colony::policy {

struct RestartOptions {
  Duration first = 1s;     // the wait after the second death in a row (the first is restarted at once)
  Duration longest = 60s;  // bound of the doubling
  Duration stable = 60s;   // a life at least this long makes the next death the first again
};

class Restart {
 public:
  explicit Restart(RestartOptions options = {}) : options_(options) {}

  // It died (or could not be started: lived = 0). How long to wait before the next start.
  Duration died(Duration lived) {
    if (lived >= options_.stable) row_ = 0;
    const int n = row_;
    row_ = std::min(row_ + 1, kMostDoublings);
    if (n == 0) return Duration::zero();
    Duration wait = options_.first;
    for (int i = 1; i < n && wait < options_.longest; ++i) wait *= 2;
    return std::min(wait, options_.longest);
  }
  int deaths_in_a_row() const { return row_; }

 private:
  static constexpr int kMostDoublings = 30;
  RestartOptions options_;
  int row_ = 0;
};

}  // namespace colony::policy
