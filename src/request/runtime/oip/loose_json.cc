#include "request/runtime/oip/loose_json.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace colony::runtime::oip {
namespace {

struct Word {
  std::string_view bare, put;
};
constexpr Word kWords[] = {{"NaN", "{\"\":0}"}, {"Infinity", "{\"\":1}"}, {"-Infinity", "{\"\":-1}"}};

// What stands for a number or is none at all: the parser will tell.
std::string_view number_at(std::string_view rest) {
  return rest.substr(0, std::min(rest.find_first_not_of("+-.0123456789eE"), rest.size()));
}

bool beyond_64_bits(std::string_view number) {
  const auto fits = [number]<class T>(T v) {
    const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), v);
    return code != std::errc::result_out_of_range || end != number.data() + number.size();
  };
  return number.starts_with('-') ? !fits(int64_t{}) : !fits(uint64_t{});
}

}  // namespace

bool loosen(std::string_view text, std::string& out) {
  bool in_string = false, changed = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string || c == '"') {
      out += c;
      if (in_string && c == '\\' && i + 1 < text.size())
        out += text[++i];
      else if (c == '"')
        in_string = !in_string;
      continue;
    }
    const bool number = c == '-' || (c >= '0' && c <= '9');
    if (!number && c != 'N' && c != 'I') {
      out += c;
      continue;
    }
    const std::string_view rest = text.substr(i);
    const Word* word = nullptr;
    for (const Word& known : kWords)
      if (rest.starts_with(known.bare)) word = &known;
    if (word) {
      out += word->put;
      i += word->bare.size() - 1;
      changed = true;
    } else if (number) {
      const std::string_view whole = number_at(rest);
      out += whole;
      if (beyond_64_bits(whole)) {
        out += "e0";
        changed = true;
      }
      i += whole.size() - 1;
    } else {
      out += c;
    }
  }
  return changed;
}

double bare_word(int64_t sign) {
  if (sign == 0) return std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  return sign < 0 ? -infinity : infinity;
}

}  // namespace colony::runtime::oip
