// The file that this process was started from, which its actors are started from as well.
#pragma once

#include <string>

#include "base/result.h"

namespace colony::app {

Result<std::string> own_binary();  // absolute

}  // namespace colony::app
