// What common writers put where JSON, or the parser, has no value for it. Private to the codec.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace colony::runtime::oip {

// For a text that is no JSON as it stands; false: nothing in it is of this kind.
// The bare words NaN, Infinity and -Infinity (Python, RapidJSON) become {"":0}, {"":1} and {"":-1}, which nobody takes for a
// text or a number but who knows of it: only where a floating number is read they mean something.
// Whole numbers beyond 64 bits (JavaScript's 1e20 is 100000000000000000000) become real ones.
bool loosen(std::string_view text, std::string& out);
double bare_word(int64_t sign);  // of the number in that object

}  // namespace colony::runtime::oip
