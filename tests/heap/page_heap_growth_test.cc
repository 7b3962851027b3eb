// How the page heap grows: around what others have mapped, up to limits, and through failures of
// any call of the OS.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <vector>

#include "heap/page_heap_model.h"
#include "support/effort.h"

namespace ream {
namespace {

using fake_os::Call;

class PageHeapGrowthTest : public PageHeapTest {};
INSTANTIATE_TEST_SUITE_P(OsPages, PageHeapGrowthTest, testing::Values(4_KiB, 64_KiB), os_page_name);

// Memory that is not the heap's, at a place that is free.
class Foreign {
 public:
  explicit Foreign(Addr at, Bytes bytes = 64_KiB) : bytes_(bytes) {
    p_ = ::mmap(at.ptr(), bytes.n, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes_ <= kStamped) Stamps::write(p_, bytes_.n, 1234);
  }
  ~Foreign() {
    if (p_ != MAP_FAILED) ::munmap(p_, bytes_.n);
  }
  Foreign(const Foreign&) = delete;
  Foreign& operator=(const Foreign&) = delete;

  bool is_at(Addr at) const { return p_ == at.ptr(); }
  bool untouched() const { return bytes_ <= kStamped && Stamps::hold(p_, bytes_.n, 1234); }

 private:
  static constexpr Bytes kStamped = 1_GiB;

  void* p_;
  Bytes bytes_;
};

TEST_P(PageHeapGrowthTest, GrowsAroundForeignMappings) {
  const std::uint64_t first = large(4_MiB).base;
  // Single chunks free between them; then one that is far larger than a growth.
  std::vector<std::unique_ptr<Foreign>> others;
  for (std::uint64_t i = 1; i <= 5; ++i)
    others.push_back(std::make_unique<Foreign>(Addr(first + i * (8 << 20))));
  others.push_back(std::make_unique<Foreign>(Addr(first + (64 << 20)), 512_MiB));
  Random random(1);
  PageHeapModel model(*heap, random);
  for (unsigned i = 0; i < 40; ++i) {
    model.make_large();
    model.make_small();
  }
  Span& big = large(300_MiB);
  for (const auto& other : others) EXPECT_TRUE(other->untouched());
  heap->free_span(big);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapGrowthTest, ManyForeignMappingsInTheWayAreLeftBehind) {
  const std::uint64_t first = large(4_MiB).base;
  std::vector<std::unique_ptr<Foreign>> others;
  for (std::uint64_t i = 1; i <= 40; ++i)
    others.push_back(std::make_unique<Foreign>(Addr(first + i * (6 << 20))));
  for (unsigned i = 0; i < 30; ++i) {
    Span& span = large(4_MiB);
    Stamps::write(Addr(span.base).ptr(), span.bytes(), i);
  }
  for (const auto& other : others) EXPECT_TRUE(other->untouched());
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapGrowthTest, NoGrowthLiesInTwoWindows) {
  // All but the last 100 MiB of the first window is another's; what does not fit into these is at
  // the next window's begin.
  const std::uint64_t first = large(4_MiB).base;
  const Addr border(std::uint64_t{1} << page::HeapWindow::kAddressBits);
  const Addr begin(first + (64 << 20));
  const Foreign other(begin, border - 100_MiB - begin);
  if (!other.is_at(begin)) GTEST_SKIP() << "no 16 TiB to be mapped, as under sanitizers";
  Span& low = large(90_MiB);
  Span& high = large(90_MiB);
  EXPECT_LT(Addr(low.base), border);
  EXPECT_GE(Addr(high.base), border);
  EXPECT_TRUE(heap->is_valid());
  Span& next = large(90_MiB);
  EXPECT_GE(Addr(next.base), border);
}

TEST_P(PageHeapGrowthTest, OutOfAddressSpaceIsNullAndNothingIsLost) {
  start_again({.address_limit = 100_GiB});
  Span* big = heap->new_large_span(80_GiB, 16_B, true);
  if (big == nullptr) GTEST_SKIP() << "metadata takes more address space than expected";
  EXPECT_EQ(heap->new_large_span(80_GiB, 16_B, false), nullptr);
  Span& little = large(1_MiB);
  EXPECT_TRUE(heap->is_valid());
  heap->free_span(*big);
  big = heap->new_large_span(80_GiB, 16_B, false);
  EXPECT_NE(big, nullptr);
  heap->free_span(little);
  EXPECT_TRUE(heap->is_valid());
}

TEST_P(PageHeapGrowthTest, OutOfCommitIsNullAndNothingIsLost) {
  start_again({.commit_limit = 64_MiB});
  Random random(2);
  PageHeapModel model(*heap, random);
  model.may_fail = true;
  for (unsigned i = 0; i < 2000 && model.refused == 0; ++i) {
    model.make_large();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(model.refused, 0u);
  model.expect_valid();
  EXPECT_LE(fake_os::committed(), 64_MiB);
  model.free_all();
  model.may_fail = false;
  for (unsigned i = 0; i < 5; ++i) model.make_large();
  model.expect_valid();
}

// The n-th call of each kind fails, once or from then on. A request may be refused meanwhile; what
// there is stays as it was, and later requests are served.
class PageHeapFailureTest : public PageHeapGrowthTest {
 protected:
  // True when the call was reached.
  bool survives(Call call, std::size_t n, std::size_t times) {
    start_again();
    Random random(n);
    PageHeapModel model(*heap, random);
    model.may_fail = true;
    // A moved object's memory is renewed at its end; a commit refused there ends the program.
    model.moves = call != Call::kCommit;
    fake_os::fail(call, n, times);
    for (unsigned i = 0; i < 40 && !HasFatalFailure(); ++i) {
      model.step();
      if (i % 4 == 0 && model.moves) model.move_one();
      if (i % 8 == 0) fake_os::advance_clock(PurgePace::kMinWindowNs);
    }
    if (!HasFatalFailure()) model.expect_valid();
    const bool reached = fake_os::calls(call) >= n;
    fake_os::succeed_again();
    model.may_fail = false;
    for (unsigned i = 0; i < 10 && !HasFatalFailure(); ++i) model.step();
    if (!HasFatalFailure()) model.expect_valid();
    if (!HasFatalFailure()) model.free_all();
    if (!HasFatalFailure()) model.expect_valid();
    return reached;
  }

  void survives_every(Call call) {
    for (const std::size_t times : {std::size_t{1}, ~std::size_t{0}}) {
      std::size_t n = 1;
      while (n <= 25 * kEffort && survives(call, n, times) && !HasFatalFailure()) ++n;
      ASSERT_FALSE(HasFatalFailure()) << "call number " << n << ", " << times << " times";
      // Objects of odd lengths do not move by larger pages of the OS.
      if (GetParam() == 4_KiB) {
        EXPECT_GT(n, 1u) << "never called";
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(OsPages, PageHeapFailureTest, testing::Values(4_KiB, 16_KiB),
                         os_page_name);

TEST_P(PageHeapFailureTest, Reserve) { survives_every(Call::kReserve); }
TEST_P(PageHeapFailureTest, Commit) { survives_every(Call::kCommit); }
TEST_P(PageHeapFailureTest, MapAt) { survives_every(Call::kMapAt); }
TEST_P(PageHeapFailureTest, MapAnywhere) { survives_every(Call::kMapAnywhere); }
TEST_P(PageHeapFailureTest, Purge) { survives_every(Call::kPurge); }
TEST_P(PageHeapFailureTest, MovePages) { survives_every(Call::kMovePages); }

}  // namespace
}  // namespace ream
