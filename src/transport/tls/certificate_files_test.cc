// Files that change under a server: on a simulated loop by the slow look, on a real one by inotify.
#include "transport/tls/certificate_files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>

#include "async/epoll_loop.h"
#include "tests/support/epoll_drive.h"
#include "tests/support/temp_dir.h"
#include "transport/tls/tls_test_support.h"

namespace colony::tls {
namespace {

namespace fs = std::filesystem;
using testing::Identity;
using testing::write_file;

struct Server {
  explicit Server(async::Loop& loop) {
    auto opened = CertificateFiles::open(loop, files, [this](Reload r) { (r == Reload::kDone ? done : failed) += 1; });
    CHECK(opened.has_value());
    watched = std::move(*opened);
  }
  colony::testing::TempDir folder;
  Identity first{"first"}, second{"second"};
  Files files = testing::write_files(folder.path(), first);
  int done = 0, failed = 0;
  std::unique_ptr<CertificateFiles> watched;
};

TEST(CertificateFiles, a_new_pair_is_taken_and_a_broken_one_leaves_the_old_one_in_use) {
  auto loop = async::SimLoop::create({});
  Server s(*loop);
  EXPECT_EQ(s.watched->current()->subject(), "CN=first");
  loop->run_for(60s);
  EXPECT_EQ(s.done + s.failed, 0) << "nothing has changed";
  write_file(s.files.key, s.second.key_pem());
  loop->run_for(11s);
  EXPECT_EQ(s.failed, 1) << "certificate and key do not belong together";
  EXPECT_EQ(s.watched->current()->subject(), "CN=first");
  loop->run_for(60s);
  EXPECT_EQ(s.failed, 1) << "what was refused for the same reason is not said again and again";
  write_file(s.files.cert, s.second.certificate_pem());
  loop->run_for(11s);
  EXPECT_EQ(s.done, 1);
  EXPECT_EQ(s.watched->current()->subject(), "CN=second");
  fs::remove(s.files.cert);
  loop->run_for(11s);
  EXPECT_EQ(s.failed, 2);
  EXPECT_EQ(s.watched->current()->subject(), "CN=second");
}

TEST(CertificateFiles, a_pair_that_could_not_be_read_for_a_while_is_taken_afterwards) {
  auto loop = async::SimLoop::create({});
  Server s(*loop);
  testing::write_files(s.folder.path(), s.second);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  loop->run_for(25s);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(s.failed, 1);
  EXPECT_EQ(s.watched->current()->subject(), "CN=first");
  loop->run_for(11s);
  EXPECT_EQ(s.done, 1);
  EXPECT_EQ(s.watched->current()->subject(), "CN=second");
}

TEST(CertificateFiles, a_changed_mode_is_a_change_of_the_file) {
  auto loop = async::SimLoop::create({});
  Server s(*loop);
  fs::permissions(s.files.key, fs::perms::owner_read);
  loop->run_for(11s);
  EXPECT_EQ(s.done, 1);
}

TEST(CertificateFiles, a_first_pair_that_is_broken_is_an_error) {
  auto loop = async::SimLoop::create({});
  colony::testing::TempDir folder;
  const Identity one("one"), other("other");
  Files files = testing::write_files(folder.path(), one);
  write_file(files.key, other.key_pem());
  EXPECT_FALSE(CertificateFiles::open(*loop, files, [](Reload) {}).has_value());
}

TEST(CertificateFiles, a_change_is_seen_at_once_by_writing_renaming_and_swapping_a_link) {
  auto loop = async::EpollLoop::create();
  Server s(*loop);
  const auto becomes = [&](std::string_view name) {
    // Well below the slow look's ten seconds: inotify it was.
    return colony::testing::run_until(*loop, [&] { return s.watched->current()->subject() == name; }, 8s);
  };
  testing::write_files(s.folder.path(), s.second);
  EXPECT_TRUE(becomes("CN=second")) << "written in place";

  fs::create_directory(s.folder / "next");
  testing::write_files(s.folder / "next", s.first);
  fs::rename(s.folder / "next/key.pem", s.files.key);
  fs::rename(s.folder / "next/cert.pem", s.files.cert);
  EXPECT_TRUE(becomes("CN=first")) << "renamed over";
}

// FOLDER/cert.pem -> ..data/cert.pem, FOLDER/..data -> ..1: how Kubernetes shows a secret, and swaps it.
TEST(CertificateFiles, a_link_that_is_swapped_is_seen_at_once) {
  auto loop = async::EpollLoop::create();
  colony::testing::TempDir folder;
  const Identity first("first"), second("second");
  for (const auto& [name, identity] : {std::pair{"..1", &first}, {"..2", &second}}) {
    fs::create_directory(folder / name);
    testing::write_files(folder / name, *identity);
  }
  fs::create_symlink("..1", folder / "..data");
  for (const auto* name : {"cert.pem", "key.pem"}) fs::create_symlink(std::string("..data/") + name, folder / name);
  auto watched = *CertificateFiles::open(*loop, {folder / "cert.pem", folder / "key.pem", ""}, [](Reload) {});
  EXPECT_EQ(watched->current()->subject(), "CN=first");
  fs::create_symlink("..2", folder / "next");
  fs::rename(folder / "next", folder / "..data");
  EXPECT_TRUE(colony::testing::run_until(*loop, [&] { return watched->current()->subject() == "CN=second"; }, 8s));
}

}  // namespace
}  // namespace colony::tls
