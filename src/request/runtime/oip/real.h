// A number of a text as the floating type that a tensor has.
#pragma once

#include <cmath>

namespace colony::runtime::oip {

// False: it is finite, and T has no such number. What T rounds to its largest is that: the shortest text of FLT_MAX,
// 3.4028235e+38, is a double above FLT_MAX.
template <class T>
bool narrow(double v, T& to) {
  to = static_cast<T>(v);
  return std::isfinite(to) || !std::isfinite(v);
}

}  // namespace colony::runtime::oip
