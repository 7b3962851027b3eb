#include "os/output_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace ream::os {
namespace {

class OutputFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "ream-output-XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/file";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string content() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  std::string folder_;
  std::string path_;
};

TEST_F(OutputFileTest, WritesInPieces) {
  OutputFile file;
  ASSERT_TRUE(file.open(path_.c_str()));
  EXPECT_TRUE(file.write("one ", 4));
  EXPECT_TRUE(file.write("", 0));
  EXPECT_TRUE(file.write("two", 3));
  EXPECT_TRUE(file.close());
  EXPECT_EQ(content(), "one two");
  struct stat status{};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 077, 0u);
}

TEST_F(OutputFileTest, EmptiesWhatIsThere) {
  std::ofstream(path_) << "a longer text";
  OutputFile file;
  ASSERT_TRUE(file.open(path_.c_str()));
  EXPECT_TRUE(file.write("x", 1));
  EXPECT_TRUE(file.close());
  EXPECT_EQ(content(), "x");
}

TEST_F(OutputFileTest, RefusesWhatIsNoFile) {
  OutputFile file;
  errno = 77;
  EXPECT_FALSE(file.open(folder_.c_str()));
  EXPECT_FALSE(file.open((folder_ + "/no/file").c_str()));
  EXPECT_FALSE(file.open("/dev/null"));
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  errno = 77;
  EXPECT_FALSE(file.open(path_.c_str()));
  EXPECT_EQ(errno, 77);
  EXPECT_TRUE(file.close());
}

}  // namespace
}  // namespace ream::os
