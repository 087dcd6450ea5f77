// JSON of what is observed: the body of the control API and of `colony status --json`. Keys are the members' names of
// domain/status.h; times are RFC 3339 in UTC with milliseconds, null when never.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "domain/status.h"

namespace colony {

std::string to_json_text(const AppStatus& status);  // one line
std::string to_json_text(const std::vector<AppStatus>& statuses);
// kInvalidArgument for text that is no such object. Unknown keys are passed over: the peer may be newer.
Result<AppStatus> app_status_from_json(std::string_view text);
Result<std::vector<AppStatus>> app_statuses_from_json(std::string_view text);

std::string to_rfc3339(WallTime t);  // "2026-03-01T12:00:00.123Z"; "" for WallTime{}
Result<WallTime> parse_rfc3339(std::string_view text);

}  // namespace colony
