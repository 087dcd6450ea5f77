// docs/errors.md is the table that people read: it holds the same rows as error.cc.
#include "base/error.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

namespace colony {
namespace {

// The cells of a row, without the spaces around them.
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out;
  std::istringstream in(line.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) {
    const auto first = cell.find_first_not_of(' ');
    const auto last = cell.find_last_not_of(' ');
    out.push_back(first == std::string::npos ? std::string() : cell.substr(first, last - first + 1));
  }
  return out;
}

TEST(Error, TheDocumentedTableIsTheOneInTheCode) {
  const char* root = std::getenv("COLONY_SOURCE_DIR");
  std::ifstream in(std::string(root ? root : ".") + "/docs/errors.md");
  ASSERT_TRUE(in) << "docs/errors.md cannot be read; set COLONY_SOURCE_DIR";
  int rows = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("## Reasons")) break;
    if (!line.starts_with("| ") || line.starts_with("| code")) continue;
    const auto c = cells(line);
    ASSERT_GE(c.size(), 4U) << line;
    const auto code = static_cast<Code>(rows++);
    EXPECT_EQ(c[0], code_name(code));
    EXPECT_EQ(c[1], std::to_string(http_status(code))) << line;
    EXPECT_EQ(c[2], std::to_string(static_cast<int>(code))) << line;
    EXPECT_EQ(c[3], std::to_string(exit_code(code))) << line;
  }
  EXPECT_EQ(rows, static_cast<int>(Code::kUnauthenticated) + 1);
}

TEST(Error, ACodeThatDoesNotExistReadsAsUnknown) {
  const auto none = static_cast<Code>(200);
  EXPECT_EQ(code_name(none), "UNKNOWN");
  EXPECT_EQ(http_status(none), 500);
}

TEST(Error, WithinPutsWhatWasBeingDoneInFront) {
  EXPECT_EQ(not_found("no such file").within("model x").message, "model x: no such file");
}

}  // namespace
}  // namespace colony
