// Blocks are reused by size, grow with their content, and are not hoarded.
#include "transport/http/h2_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace colony::http {
namespace {

TEST(H2Blocks, AreReusedForTheSameRoom) {
  H2Blocks blocks;
  void* a = blocks.take(100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % alignof(std::max_align_t), 0u);
  blocks.give(a);
  EXPECT_EQ(blocks.kept(), 128u);
  EXPECT_EQ(blocks.take(65), a);
  EXPECT_EQ(blocks.kept(), 0u);
  void* b = blocks.take(64);
  EXPECT_NE(a, b);
  blocks.give(a);
  blocks.give(b);
  blocks.give(nullptr);
  EXPECT_EQ(blocks.kept(), 192u);
}

TEST(H2Blocks, KeepTheirContentWhenTheyGrow) {
  H2Blocks blocks;
  auto* a = static_cast<char*>(blocks.resize(nullptr, 10));
  std::memcpy(a, "0123456789", 10);
  EXPECT_EQ(blocks.resize(a, 60), a) << "there is room";
  auto* b = static_cast<char*>(blocks.resize(a, 5000));
  EXPECT_EQ(std::memcmp(b, "0123456789", 10), 0);
  b[4999] = 'x';
  blocks.give(b);
  EXPECT_EQ(blocks.kept(), 64u) << "large ones go back at once";
}

TEST(H2Blocks, NoMoreThanTheLimitIsKept) {
  H2Blocks blocks;
  std::vector<void*> all;
  for (size_t i = 0; i < 2 * H2Blocks::kMostKept / H2Blocks::kLargest; ++i)
    all.push_back(blocks.take(H2Blocks::kLargest));
  for (void* b : all) blocks.give(b);
  EXPECT_EQ(blocks.kept(), H2Blocks::kMostKept);
}

}  // namespace
}  // namespace colony::http
