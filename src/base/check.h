// CHECK: a lost invariant ends the process with file, line and condition. Never for input, never for I/O.
#pragma once

namespace colony {
[[noreturn]] void check_failed(const char* file, int line, const char* condition) noexcept;
}

#define CHECK(cond)                                      \
  do {                                                   \
    if (!(cond)) [[unlikely]]                            \
      ::colony::check_failed(__FILE__, __LINE__, #cond); \
  } while (false)
