// Identifiers that must be unique or unguessable, from the kernel's random source; and the hex forms of request and
// trace ids, which come from an injected Rng because tests replay them.
#pragma once

#include <cstddef>
#include <string>

#include "base/rng.h"

namespace colony {

uint64_t random_seed();                      // getrandom(2)
std::string random_hex(size_t bytes);        // getrandom(2): cookies, tokens
std::string hex_id(Rng& rng, size_t bytes);  // request ids (16), trace ids (16), span ids (8)

}  // namespace colony
