// The group `limits` of the settings as the proxy takes it.
#pragma once

#include <map>
#include <string>

#include "request/proxy/proxy.h"

namespace colony::app {

void set_limits(proxy::ProxyOptions& options, const std::map<std::string, double>& limits);

}  // namespace colony::app
