// Rings on their own and between two threads, and the way of their memory over a socket. That a stream over a ring keeps
// all that a stream promises is the conformance suite's to say.
#include "async/ring.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "async/loop_test_support.h"

namespace colony::async::test {
namespace {

using ::testing::HasSubstr;

struct OneRing {
  RingState state;
  std::unique_ptr<char[]> bytes = std::make_unique<char[]>(kRingBytes);
  RingReader reader{state, bytes.get()};
  RingWriter writer{state, bytes.get()};
};

TEST(Ring, TakesWhatThereIsRoomForAndWrapsAround) {
  OneRing r;
  std::string got(kRingBytes, 0);
  const std::string data(kRingBytes - 10, 'a');
  EXPECT_EQ(r.writer.write(data, "bbbbbbbbbbbbbbb"), kRingBytes);
  EXPECT_EQ(r.writer.write("c", {}), 0u);
  EXPECT_EQ(r.reader.read(got.data(), 100), 100u);
  EXPECT_TRUE(r.reader.must_tell_writer());
  EXPECT_FALSE(r.reader.must_tell_writer()) << "it is told once";
  EXPECT_EQ(r.writer.write("wrapped", {}), 7u);
  EXPECT_EQ(r.reader.read(got.data(), got.size()), kRingBytes - 100 + 7);
  EXPECT_EQ(got.substr(kRingBytes - 110, 17), "bbbbbbbbbbwrapped");
  EXPECT_EQ(r.reader.read(got.data(), got.size()), 0u);
}

TEST(Ring, WakesTheReaderOnceAndOnlyWhenItSleeps) {
  OneRing r;
  r.writer.write("a", {});
  EXPECT_FALSE(r.writer.must_wake_reader());
  EXPECT_FALSE(r.reader.sleep()) << "there are bytes";
  char c;
  r.reader.read(&c, 1);
  EXPECT_TRUE(r.reader.sleep());
  r.writer.write("b", {});
  EXPECT_TRUE(r.writer.must_wake_reader());
  EXPECT_FALSE(r.writer.must_wake_reader());
}

TEST(Ring, APositionThatCannotBeEndsIt) {
  char to[16];
  for (const uint64_t tail : {kRingBytes + uint64_t{4}, ~uint64_t{0}, uint64_t{1} << 63}) {
    OneRing r;
    r.state.tail = tail;
    EXPECT_FALSE(r.reader.read(to, sizeof to).has_value()) << tail;
  }
  OneRing back;
  back.writer.write("abcd", {});
  back.reader.read(to, 4);
  back.state.tail = 3;
  EXPECT_FALSE(back.reader.read(to, sizeof to).has_value());
  for (const uint64_t head : {uint64_t{kRingBytes} + 1, ~uint64_t{0}}) {
    OneRing r;
    const std::string data(kRingBytes, 'x');
    r.writer.write(data, {});
    r.state.head = head;
    EXPECT_FALSE(r.writer.write("more", {}).has_value()) << head;
  }
}

TEST(Ring, CarriesEveryByteBetweenTwoThreadsThatSleepAndWakeEachOther) {
  OneRing r;
  std::atomic<int> reader_bell{0}, writer_bell{0};
  constexpr size_t kTotal = 3'000'000;
  const auto wait = [](std::atomic<int>& bell) {
    bell.wait(0);
    bell.store(0);
  };
  const auto ring = [](std::atomic<int>& bell) {
    bell.store(1);
    bell.notify_one();
  };
  std::thread writer([&] {
    std::string piece;
    for (size_t at = 0; at < kTotal;) {
      piece.clear();
      for (size_t k = 0; k < 1 + at % 9000 && at + k < kTotal; ++k) piece += static_cast<char>((at + k) * 7);
      for (std::string_view left = piece; !left.empty();) {
        const size_t n = *r.writer.write(left.substr(0, left.size() / 2), left.substr(left.size() / 2));
        if (r.writer.must_wake_reader()) ring(reader_bell);
        left.remove_prefix(n);
        if (!left.empty()) wait(writer_bell);
      }
      at += piece.size();
    }
  });
  std::string got(50'000, 0);
  bool good = true;
  for (size_t at = 0; at < kTotal;) {
    const size_t n = *r.reader.read(got.data(), got.size());
    for (size_t k = 0; k < n; ++k) good &= got[k] == static_cast<char>((at + k) * 7);
    at += n;
    if (r.reader.must_tell_writer()) ring(writer_bell);
    if (n == 0 && r.reader.sleep()) wait(reader_bell);
  }
  writer.join();
  EXPECT_TRUE(good);
}

// Two loops on two threads, as proxy and replica are two processes.
TEST(RingStream, TwoLoopsAnswerEachOtherAndSleepInBetween) {
  TempDir dir;
  auto near_loop = EpollLoop::create(), far_loop = EpollLoop::create();
  struct Echo : Recorder {
    std::unique_ptr<Stream> stream;
  } echo;
  echo.consume = [&](std::string_view d) {
    if (d == "offer") {
      EXPECT_TRUE(link_stream(*echo.stream)->accept_ring("yes"));
    } else {
      echo.stream->write(d);
    }
    return d.size();
  };
  auto listener = far_loop->listen({"unix:" + dir.file("s")}, [&](std::unique_ptr<Stream> s) {
    echo.stream = std::move(s);
    echo.stream->set_handler(&echo);
    EXPECT_TRUE(link_stream(*echo.stream)->expect_ring());
  });
  ASSERT_TRUE(listener.has_value());
  std::thread far([&] { far_loop->run(); });
  constexpr int kRounds = 3000;
  Recorder events;
  std::unique_ptr<Stream> stream;
  int round = 0;
  events.consume = [&](std::string_view d) {
    if (d == "yes") link_stream(*stream)->use_ring();
    if (++round > kRounds) {
      near_loop->stop();
    } else {
      stream->write(std::to_string(round));
    }
    return d.size();
  };
  near_loop->connect((*listener)->endpoint(), Deadline::never(), [&](Result<std::unique_ptr<Stream>> s) {
    stream = std::move(*s);
    stream->set_handler(&events);
    EXPECT_TRUE(link_stream(*stream)->offer_ring("offer"));
  });
  near_loop->run();
  EXPECT_TRUE(link_stream(*stream)->on_ring());
  EXPECT_LE(link_stream(*stream)->bells(), static_cast<uint64_t>(kRounds));
  stream.reset();
  far_loop->post([&] {
    echo.stream.reset();
    listener->reset();
    far_loop->stop();
  });
  far.join();
}

// What a process offers that is not Colony, or not well.
struct RingOffer : ::testing::Test {
  TempDir dir;
  EpollDriver driver;
  Recorder events;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Stream> stream;
  int peer = -1;

  void SetUp() override {
    listener = std::move(*driver.loop->listen({"unix:" + dir.file("s")}, [this](std::unique_ptr<Stream> s) {
      stream = std::move(s);
      stream->set_handler(&events);
      EXPECT_TRUE(link_stream(*stream)->expect_ring());
    }));
    peer = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    dir.file("s").copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_TRUE(driver.run_until([this] { return stream != nullptr; }));
  }
  void TearDown() override { ::close(peer); }

  void offer(std::vector<int> fds) {
    iovec part{const_cast<char*>("offer"), 5};
    std::vector<char> control(CMSG_SPACE(sizeof(int) * fds.size()));
    msghdr m{};
    m.msg_iov = &part;
    m.msg_iovlen = 1;
    if (!fds.empty()) {
      m.msg_control = control.data();
      m.msg_controllen = control.size();
      cmsghdr* c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
    }
    ASSERT_EQ(::sendmsg(peer, &m, 0), 5);
    for (int fd : fds) ::close(fd);
    ASSERT_TRUE(driver.run_until([this] { return events.bytes == "offer"; }));
  }
  std::string why_not() {
    const auto accepted = link_stream(*stream)->accept_ring("yes");
    if (accepted) return "accepted";
    stream->write("no");
    char answer[8] = {};
    EXPECT_TRUE(driver.run_until([&] { return ::recv(peer, answer, sizeof answer, MSG_DONTWAIT) > 0; }));
    EXPECT_STREQ(answer, "no") << "the socket goes on";
    return accepted.error().message;
  }
  static int memory(off_t size, int seals) {
    const int fd = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT_EQ(::ftruncate(fd, size), 0);
    EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
  }
  static int bell(int flags = EFD_NONBLOCK) { return ::eventfd(0, flags); }
  static constexpr off_t kSize = 4096 + 2 * kRingBytes;
  static constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
};

TEST_F(RingOffer, SealedMemoryAndTwoBellsAreAccepted) {
  offer({memory(kSize, kSeals), bell(), bell()});
  EXPECT_EQ(why_not(), "accepted");
}
TEST_F(RingOffer, WithoutMemoryTheSocketGoesOn) {
  offer({});
  EXPECT_THAT(why_not(), HasSubstr("without its memory"));
}
TEST_F(RingOffer, MemoryThatCouldShrinkIsRefused) {
  offer({memory(kSize, F_SEAL_GROW | F_SEAL_SEAL), bell(), bell()});
  EXPECT_THAT(why_not(), HasSubstr("not sealed"));
}
TEST_F(RingOffer, MemoryOfAnotherSizeIsRefused) {
  offer({memory(kSize - 4096, kSeals), bell(), bell()});
  EXPECT_THAT(why_not(), HasSubstr("not sealed at the size"));
}
TEST_F(RingOffer, ABellThatCouldBlockIsRefused) {
  offer({memory(kSize, kSeals), bell(), bell(0)});
  EXPECT_THAT(why_not(), HasSubstr("could block"));
}
TEST_F(RingOffer, DescriptorsThatBelongToNoRingAreClosed) {
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const auto before = open_files();
  offer({memory(kSize, kSeals), bell(), bell(), bell(), bell()});
  EXPECT_EQ(why_not(), "accepted");
  EXPECT_EQ(open_files(), before + 2) << "the two bells";
}
TEST_F(RingOffer, APeerThatBreaksTheRingIsToldDead) {
  const int fd = memory(kSize, kSeals), there = bell();
  auto* state = static_cast<RingState*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  const int its_bell = ::dup(there);
  offer({fd, there, bell()});
  ASSERT_EQ(why_not(), "accepted");
  state->tail = uint64_t{1} << 40;
  const uint64_t one = 1;
  ASSERT_EQ(::write(its_bell, &one, sizeof one), 8);
  EXPECT_TRUE(driver.run_until([this] { return events.closed == 1; }));
  ::close(its_bell);
  ::munmap(state, kSize);
}

}  // namespace
}  // namespace colony::async::test
