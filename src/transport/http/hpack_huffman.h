// HPACK's Huffman code (RFC 7541, 5.2 and appendix B), decoding only: what we send is written as it is, for coding costs
// more than the bytes that it saves on the way of a reply. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace colony::http {

// At most so many bytes come out of n: the shortest code has five bits.
constexpr size_t huffman_room(size_t n) { return n * 8 / 5; }

// Decodes all of `in` to `out`, which has huffman_room(in.size()) bytes. Null, or the end of what was written: null for a
// code that does not exist, the code that ends strings, and padding that is longer than seven bits or holds a zero.
char* huffman_decode(std::string_view in, char* out);

}  // namespace colony::http
