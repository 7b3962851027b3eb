// What the parser makes of environments, and what it says about them.
#include "heap/options.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "base/check.h"
#include "os/process.h"

namespace ream {
namespace {

std::string g_messages;
void collect(const char* text, std::size_t bytes) noexcept { g_messages.append(text, bytes); }

class OptionsTest : public testing::Test {
 protected:
  OptionsTest() {
    g_messages.clear();
    set_message_sink(collect);
  }
  ~OptionsTest() override { set_message_sink(os::write_stderr); }  // as the heap has it

  static Options parse(std::initializer_list<const char*> entries) {
    std::vector<const char*> environment(entries);
    environment.push_back(nullptr);
    return parse_options(environment.data());
  }
  static Bytes retain(const char* entry) { return parse({entry}).retain; }
};

TEST_F(OptionsTest, NothingSetGivesDefaultsWithoutAWord) {
  for (const Options& o : {parse({}), parse({"PATH=/bin", "REAMS=3", "X_REAM_RETAIN=1", "REAM=1"}),
                           parse_options(nullptr)}) {
    EXPECT_EQ(o.retain, Options{}.retain);
    EXPECT_EQ(o.report, nullptr);
  }
  EXPECT_EQ(g_messages, "");
}

TEST_F(OptionsTest, SizesWithEachSuffix) {
  EXPECT_EQ(retain("REAM_RETAIN=0"), Bytes());
  EXPECT_EQ(retain("REAM_RETAIN=12345"), 12345_B);
  EXPECT_EQ(retain("REAM_RETAIN=7K"), 7_KiB);
  EXPECT_EQ(retain("REAM_RETAIN=64M"), 64_MiB);
  EXPECT_EQ(retain("REAM_RETAIN=2G"), 2_GiB);
  EXPECT_EQ(retain("REAM_RETAIN=0000000000000000000000000000009"), 9_B);
  EXPECT_EQ(retain("REAM_RETAIN=18446744073709551615"), Bytes(~0ULL));
  EXPECT_EQ(retain("REAM_RETAIN=17179869183G"), Bytes(17179869183ULL << 30));
  EXPECT_EQ(g_messages, "");
}

TEST_F(OptionsTest, ABadSizeIsNamedOnceAndTheDefaultStays) {
  for (const char* value :
       {"", "M", "-1", "+1", " 1", "1 ", "1k", "1MB", "1T", "0x10", "1.5M", "1M1", "all",
        "18446744073709551616", "99999999999999999999999", "17179869184G", "18014398509481984K"}) {
    g_messages.clear();
    const std::string entry = std::string("REAM_RETAIN=") + value;
    EXPECT_EQ(retain(entry.c_str()), Options{}.retain) << entry;
    EXPECT_EQ(g_messages,
              std::string("ream: bad value for REAM_RETAIN: \"") + value + "\" ignored\n");
  }
}

TEST_F(OptionsTest, ABadValueDoesNotUndoAGoodOne) {
  EXPECT_EQ(parse({"REAM_RETAIN=3M", "REAM_RETAIN=x"}).retain, 3_MiB);
}

TEST_F(OptionsTest, MemoryLimits) {
  struct Case {
    const char* value;
    Bytes soft, hard;
  };
  for (const Case& k : {Case{"512M", 448_MiB, 512_MiB}, Case{"soft=3G", 3_GiB, Bytes()},
                        Case{"hard=80K", Bytes(), 80_KiB}, Case{"soft=1K,hard=1M", 1_KiB, 1_MiB},
                        Case{"soft=1M,hard=1M", 1_MiB, 1_MiB}, Case{"0", Bytes(), Bytes()}}) {
    const Options o = parse({(std::string("REAM_MEMORY_LIMIT=") + k.value).c_str()});
    EXPECT_EQ(o.soft_limit, k.soft) << k.value;
    EXPECT_EQ(o.hard_limit, k.hard) << k.value;
    EXPECT_FALSE(o.limit_of_group);
  }
  const Options o = parse({"REAM_MEMORY_LIMIT=auto"});
  EXPECT_TRUE(o.limit_of_group);
  EXPECT_EQ(o.hard_limit, Bytes());
  EXPECT_EQ(g_messages, "");
}

TEST_F(OptionsTest, ABadMemoryLimitIsNamedOnceAndIgnored) {
  for (const char* value :
       {"", "x", "12Q", "soft", "soft=", "soft=1M,", "soft=1M,hard=", "hard=1M,soft=1K", "soft=0",
        "hard=0", "soft=2M,hard=1M", "soft=1M,soft=1M", "Auto", "auto,hard=1M", "1M,hard=2M",
        "soft=1M hard=2M", "soft=1M,hard=2M,", ",", "hard=99999999999G"}) {
    g_messages.clear();
    const Options o = parse({(std::string("REAM_MEMORY_LIMIT=") + value).c_str()});
    EXPECT_EQ(o.soft_limit, Bytes()) << value;
    EXPECT_EQ(o.hard_limit, Bytes()) << value;
    EXPECT_FALSE(o.limit_of_group) << value;
    EXPECT_EQ(g_messages,
              std::string("ream: bad value for REAM_MEMORY_LIMIT: \"") + value + "\" ignored\n");
  }
}

TEST_F(OptionsTest, HugePagesHaveFourModes) {
  EXPECT_EQ(parse({}).huge_pages, HugePageMode::kAdaptive);
  EXPECT_EQ(parse({"REAM_HUGE_PAGES=never"}).huge_pages, HugePageMode::kNever);
  EXPECT_EQ(parse({"REAM_HUGE_PAGES=adaptive"}).huge_pages, HugePageMode::kAdaptive);
  EXPECT_EQ(parse({"REAM_HUGE_PAGES=always"}).huge_pages, HugePageMode::kAlways);
  EXPECT_EQ(parse({"REAM_HUGE_PAGES=explicit"}).huge_pages, HugePageMode::kExplicit);
  EXPECT_EQ(g_messages, "");
  EXPECT_EQ(parse({"REAM_HUGE_PAGES=alway"}).huge_pages, HugePageMode::kAdaptive);
  EXPECT_EQ(g_messages, "ream: bad value for REAM_HUGE_PAGES: \"alway\" ignored\n");
}

TEST_F(OptionsTest, Nodes) {
  EXPECT_TRUE(parse({}).numa);
  EXPECT_TRUE(parse({"REAM_NUMA=on"}).numa);
  EXPECT_FALSE(parse({"REAM_NUMA=off"}).numa);
  EXPECT_EQ(g_messages, "");
  EXPECT_TRUE(parse({"REAM_NUMA=2"}).numa);
  EXPECT_EQ(g_messages, "ream: bad value for REAM_NUMA: \"2\" ignored\n");
}

TEST_F(OptionsTest, TheReportIsAName) {
  const char* entry = "REAM_REPORT=/tmp/a=b.json";
  EXPECT_EQ(parse({entry}).report, entry + std::string("REAM_REPORT=").size());
  EXPECT_EQ(g_messages, "");
  EXPECT_EQ(parse({"REAM_REPORT="}).report, nullptr);
  EXPECT_EQ(g_messages, "ream: bad value for REAM_REPORT: \"\" ignored\n");
}

TEST_F(OptionsTest, AnUnknownNameIsNamedOnce) {
  const Options o = parse({"REAM_RETAINS=1M", "REAM_RETAIN=1M", "REAM_=", "REAM_retain=2M"});
  EXPECT_EQ(o.retain, 1_MiB);
  EXPECT_EQ(g_messages,
            "ream: unknown option REAM_RETAINS ignored\n"
            "ream: unknown option REAM_ ignored\n"
            "ream: unknown option REAM_retain ignored\n");
}

TEST_F(OptionsTest, AnEntryWithoutAValueIsNoVariable) {
  EXPECT_EQ(parse({"REAM_RETAIN", "REAM_WHAT"}).retain, Options{}.retain);
  EXPECT_EQ(g_messages, "");
}

TEST_F(OptionsTest, LongNamesAndValuesAreCutInTheMessage) {
  const std::string name = "REAM_" + std::string(5000, 'N');
  const std::string value(5000, '9');
  parse({(name + "=1").c_str()});
  EXPECT_EQ(g_messages, "ream: unknown option " + name.substr(0, 63) + " ignored\n");
  g_messages.clear();
  EXPECT_EQ(retain(("REAM_RETAIN=" + value).c_str()), Options{}.retain);
  EXPECT_LT(g_messages.size(), 300u);
  EXPECT_EQ(g_messages.find("ream: bad value for REAM_RETAIN: \"999"), 0u);
  EXPECT_EQ(g_messages.back(), '\n');
}

}  // namespace
}  // namespace ream
