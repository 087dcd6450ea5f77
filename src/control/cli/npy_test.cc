#include "control/cli/npy.h"

#include <gtest/gtest.h>

namespace colony::cli {
namespace {

std::string npy(std::string header, std::string data) {
  while ((10 + header.size() + 1) % 64) header += ' ';
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 255);
  out += static_cast<char>(header.size() >> 8);
  return out + header + data;
}

TEST(Npy, ReadsAFloatMatrix) {
  auto a = parse_npy(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", std::string(24, 'x')));
  // The views point into a temporary: only what was copied is looked at.
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->datatype, "FP32");
  EXPECT_EQ(a->shape, (std::vector<int64_t>{2, 3}));
}

TEST(Npy, ReadsScalarsAndVectorsAndEmptyArrays) {
  EXPECT_TRUE(parse_npy(npy("{'descr': '<i8', 'fortran_order': False, 'shape': (), }", std::string(8, 0))));
  EXPECT_TRUE(parse_npy(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (5,), }", std::string(5, 0))));
  EXPECT_TRUE(parse_npy(npy("{'descr': '|b1', 'fortran_order': False, 'shape': (0, 4), }", "")));
}

TEST(Npy, RefusesWhatCannotBeATensorAndSaysWhy) {
  const std::pair<std::string, std::string> bad[] = {
      {"", "does not begin"},
      {"PK\x03\x04 a zip file, as np.savez writes", "does not begin"},
      {npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "xxxx"), "dtype '>f4'"},
      {npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "xxxx"), "dtype '|O'"},
      {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "xxxx"), "structured"},
      {npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", std::string(16, 0)), "Fortran"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", std::string(15, 0)), "15 bytes"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", ""), "shape"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999), }", ""), "shape"},
      {npy("{'descr': '<f4', 'fortran_order': False, }", ""), "no 'shape'"},
      {std::string("\x93NUMPY\x01\x00\xff\xff{", 11), "cut off"},
  };
  for (const auto& [bytes, part] : bad) {
    auto a = parse_npy(bytes);
    ASSERT_FALSE(a) << part;
    EXPECT_NE(a.error().message.find(part), std::string::npos) << a.error().message;
    EXPECT_EQ(a.error().code, Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace colony::cli
