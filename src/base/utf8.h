// Is it UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF)? Pure.
#pragma once

#include <string_view>

namespace colony {

bool is_utf8(std::string_view s);

}  // namespace colony
