// The yardstick of tools/build/times.py: always the same work for the compiler, so that its time tells how slow the machine
// is at this moment. No part of Colony.
#include <regex>
#include <string>

bool matches(const std::string& text) { return std::regex_match(text, std::regex("(a|b)+[c-x]*")); }
