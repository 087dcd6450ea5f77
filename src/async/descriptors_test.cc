// Descriptors cross a socket and stay what they were, also when their lender is gone.
#include "async/descriptors.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "async/loop_test_support.h"
#include "async/scope.h"
#include "async/socket_address.h"

namespace colony::async {
namespace {

struct Borrower {
  test::EpollDriver driver;
  Scope scope{*driver.loop};
  Result<std::vector<Descriptor>> got = fail(unavailable("nothing yet"));
  bool done = false;
  Task<void> ask(std::string path, Duration patience) {
    got = co_await borrow_descriptors(*driver.loop, path, Deadline::after(driver.loop->now(), patience));
    done = true;
  }
  void run() {
    EXPECT_TRUE(driver.run_until([this] { return done; }));
  }
};

std::vector<Descriptor> pipe_ends() {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  std::vector<Descriptor> out;
  out.emplace_back(ends[0]);
  out.emplace_back(ends[1]);
  return out;
}

TEST(Descriptors, copies_work_after_their_lender_has_gone_and_its_file_with_it) {
  Borrower b;
  test::TempDir folder;
  const std::string path = folder.file("lent");
  auto lender = DescriptorLender::open(*b.driver.loop, path, pipe_ends());
  ASSERT_TRUE(lender) << lender.error().message;
  b.scope.spawn(b.ask(path, 60s));
  b.run();
  ASSERT_TRUE(b.got) << b.got.error().message;
  lender->reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  ASSERT_EQ(b.got->size(), 2u);
  ASSERT_EQ(::write((*b.got)[1].get(), "x", 1), 1);
  char c = 0;
  EXPECT_EQ(::read((*b.got)[0].get(), &c, 1), 1);
  EXPECT_EQ(c, 'x');
}

TEST(Descriptors, a_borrower_waits_for_its_lender_until_the_deadline) {
  Borrower b;
  test::TempDir folder;
  const std::string path = folder.file("lent");
  std::unique_ptr<DescriptorLender> lender;
  Timer later(*b.driver.loop, [&] { lender = *DescriptorLender::open(*b.driver.loop, path, pipe_ends()); });
  later.arm_after(30ms);
  b.scope.spawn(b.ask(path, 60s));
  b.run();
  EXPECT_TRUE(b.got);
  Borrower alone;
  alone.scope.spawn(alone.ask(folder.file("nothing"), 30ms));
  alone.run();
  EXPECT_FALSE(alone.got);
}

TEST(Descriptors, a_lender_without_free_descriptors_rests_and_lends_afterwards) {
  test::EpollDriver driver;
  test::TempDir folder;
  const std::string path = folder.file("lent");
  auto lender = *DescriptorLender::open(*driver.loop, path, pipe_ends());
  auto address = parse_address({"unix:" + path});
  ASSERT_TRUE(address);
  const Descriptor first(::socket(AF_UNIX, SOCK_STREAM, 0)), second(::socket(AF_UNIX, SOCK_STREAM, 0));
  const auto served = [](const Descriptor& borrower) {
    char c = 0;
    return ::recv(borrower.get(), &c, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
  };
  // All code has run once before the limit: a sanitizer that meets a new type opens a pipe.
  ASSERT_EQ(::connect(first.get(), address->get(), address->size), 0);
  EXPECT_TRUE(driver.run_until([&] { return served(first); }));
  ASSERT_EQ(::connect(second.get(), address->get(), address->size), 0);
  ASSERT_TRUE(driver.loop->watch_fd(first.get(), [] {}));
  std::optional<test::NoDescriptors> scarce(std::in_place);
  const uint64_t turns = driver.loop->turns();
  const TimePoint start = driver.loop->now();
  driver.run_until([&] { return driver.loop->now() - start >= 500ms; });
  const uint64_t used = driver.loop->turns() - turns;
  scarce.reset();
  EXPECT_LT(used, 2000u) << "the driver's own timer makes one turn per ms";
  EXPECT_FALSE(served(second));
  EXPECT_TRUE(driver.run_until([&] { return served(second); }));
}

TEST(Descriptors, the_file_of_a_successor_is_left_alone) {
  test::EpollDriver driver;
  test::TempDir folder;
  const std::string path = folder.file("lent");
  auto first = *DescriptorLender::open(*driver.loop, path, pipe_ends());
  auto second = *DescriptorLender::open(*driver.loop, path, pipe_ends());
  first.reset();
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
}

TEST(Descriptors, a_listening_socket_that_was_given_is_listened_on) {
  test::EpollDriver driver;
  auto socket = open_listening_socket({"127.0.0.1:0"}, {});
  ASSERT_TRUE(socket) << socket.error().message;
  const int fd = (*socket->copy()).release();
  test::Pair<test::EpollDriver> pair(driver, {"fd:" + std::to_string(fd)});
  EXPECT_TRUE(pair.listener->endpoint().text.starts_with("127.0.0.1:"));
  EXPECT_FALSE(driver.loop->listen({"fd:" + std::to_string(fd + 1000)}, [](auto) {}));
  EXPECT_FALSE(driver.loop->listen({"fd:x"}, [](auto) {}));
}

}  // namespace
}  // namespace colony::async
