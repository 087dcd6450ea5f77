// Where CHECK ends. Writes with stdio alone, so that it works in any state of the process.
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace colony {

void check_failed(const char* file, int line, const char* condition) noexcept {
  std::fprintf(stderr, "%s:%d: CHECK(%s) failed: this is a bug in Colony\n", file, line, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace colony
