// Every operator new and delete: sized, aligned, nothrow, the loop of the new handler, bad_alloc.
#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <vector>

#include "abi/hide.h"
#include "gtest/gtest.h"

namespace abi_test {
namespace {

constexpr std::size_t kHuge[] = {SIZE_MAX, SIZE_MAX - 4096, std::size_t{PTRDIFF_MAX} + 1,
                                 std::size_t{PTRDIFF_MAX} - 4096, std::size_t{1} << 50};
constexpr std::align_val_t kAlignments[] = {
    std::align_val_t{1},    std::align_val_t{8},       std::align_val_t{16},
    std::align_val_t{32},   std::align_val_t{64},      std::align_val_t{256},
    std::align_val_t{4096}, std::align_val_t{1 << 16}, std::align_val_t{1 << 21}};

using Allocate = std::function<void*(std::size_t)>;

// All forms of operator new that may be asked for `n` bytes, with those that throw apart.
std::vector<Allocate> throwing_forms() {
  std::vector<Allocate> forms = {[](std::size_t n) { return ::operator new(n); },
                                 [](std::size_t n) { return ::operator new[](n); }};
  for (const std::align_val_t a : kAlignments) {
    forms.push_back([a](std::size_t n) { return ::operator new(n, a); });
    forms.push_back([a](std::size_t n) { return ::operator new[](n, a); });
  }
  return forms;
}

std::vector<Allocate> nothrow_forms() {
  std::vector<Allocate> forms = {[](std::size_t n) { return ::operator new(n, std::nothrow); },
                                 [](std::size_t n) { return ::operator new[](n, std::nothrow); }};
  for (const std::align_val_t a : kAlignments) {
    forms.push_back([a](std::size_t n) { return ::operator new(n, a, std::nothrow); });
    forms.push_back([a](std::size_t n) { return ::operator new[](n, a, std::nothrow); });
  }
  return forms;
}

struct HandlerGuard {
  explicit HandlerGuard(std::new_handler handler) : before(std::set_new_handler(handler)) {}
  ~HandlerGuard() { std::set_new_handler(before); }
  std::new_handler before;
};

void check_and_free(void* raw, std::size_t n, std::size_t alignment,
                    const std::function<void(void*)>& give_back) {
  auto* p = static_cast<unsigned char*>(hide(raw));
  ASSERT_NE(nullptr, p);
  EXPECT_TRUE(is_aligned(p, alignment < 16 ? 16 : alignment)) << n << " " << alignment;
  EXPECT_GE(malloc_usable_size(p), n);
  std::memset(p, 0x77, n);
  give_back(p);
}

TEST(OperatorNew, EverySizeWithEveryDelete) {
  for_sizes([](std::size_t n) {
    check_and_free(::operator new(n), n, 16, [](void* p) { ::operator delete(p); });
    check_and_free(::operator new(n), n, 16, [n](void* p) { ::operator delete(p, n); });
    check_and_free(::operator new(n), n, 16, [](void* p) { ::operator delete(p, std::nothrow); });
    check_and_free(::operator new[](n), n, 16, [](void* p) { ::operator delete[](p); });
    check_and_free(::operator new[](n), n, 16, [n](void* p) { ::operator delete[](p, n); });
    check_and_free(::operator new[](n), n, 16,
                   [](void* p) { ::operator delete[](p, std::nothrow); });
    check_and_free(::operator new(n, std::nothrow), n, 16, [](void* p) { ::operator delete(p); });
    check_and_free(::operator new[](n, std::nothrow), n, 16,
                   [](void* p) { ::operator delete[](p); });
  });
}

TEST(OperatorNew, EveryAlignmentWithEveryDelete) {
  for (const std::align_val_t a : kAlignments) {
    const auto alignment = static_cast<std::size_t>(a);
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, alignment, alignment + 1,
                                std::size_t{1000}, std::size_t{100000}}) {
      check_and_free(::operator new(n, a), n, alignment, [a](void* p) { ::operator delete(p, a); });
      check_and_free(::operator new(n, a), n, alignment,
                     [a, n](void* p) { ::operator delete(p, n, a); });
      check_and_free(::operator new(n, a), n, alignment,
                     [a](void* p) { ::operator delete(p, a, std::nothrow); });
      check_and_free(::operator new[](n, a), n, alignment,
                     [a](void* p) { ::operator delete[](p, a); });
      check_and_free(::operator new[](n, a), n, alignment,
                     [a, n](void* p) { ::operator delete[](p, n, a); });
      check_and_free(::operator new(n, a, std::nothrow), n, alignment,
                     [a](void* p) { ::operator delete(p, a); });
      check_and_free(::operator new[](n, a, std::nothrow), n, alignment,
                     [a](void* p) { ::operator delete[](p, a, std::nothrow); });
    }
  }
}

TEST(OperatorNew, DeleteOfNullDoesNothing) {
  const auto null = [] { return hide(static_cast<void*>(nullptr)); };
  ::operator delete(null());
  ::operator delete[](null());
  ::operator delete(null(), std::size_t{10});
  ::operator delete[](null(), std::size_t{10});
  ::operator delete(null(), std::nothrow);
  ::operator delete(null(), std::align_val_t{64});
  ::operator delete[](null(), std::size_t{10}, std::align_val_t{64});
}

TEST(OperatorNew, TooLargeThrowsBadAlloc) {
  for (const Allocate& form : throwing_forms()) {
    for (const std::size_t n : kHuge) {
      EXPECT_THROW(hide(form(hide(n))), std::bad_alloc);
    }
  }
}

TEST(OperatorNew, TooLargeNothrowGivesNull) {
  for (const Allocate& form : nothrow_forms()) {
    for (const std::size_t n : kHuge) EXPECT_EQ(nullptr, hide(form(hide(n))));
  }
}

int g_handler_calls = 0;

// The handler is asked again and again, until it throws, removes itself or memory is there.
TEST(OperatorNew, HandlerThatGivesUpThrows) {
  struct GaveUp : std::bad_alloc {};
  const HandlerGuard guard([] {
    if (++g_handler_calls == 3) throw GaveUp{};
  });
  for (const Allocate& form : throwing_forms()) {
    g_handler_calls = 0;
    EXPECT_THROW(hide(form(hide(SIZE_MAX / 4))), GaveUp);
    EXPECT_EQ(3, g_handler_calls);
  }
}

TEST(OperatorNew, HandlerThatRemovesItselfEndsInBadAlloc) {
  for (const Allocate& form : throwing_forms()) {
    const HandlerGuard guard([] {
      if (++g_handler_calls == 2) std::set_new_handler(nullptr);
    });
    g_handler_calls = 0;
    EXPECT_THROW(hide(form(hide(SIZE_MAX / 4))), std::bad_alloc);
    EXPECT_EQ(2, g_handler_calls);
  }
}

TEST(OperatorNew, NothrowFormsAskTheHandlerTooAndSwallowBadAlloc) {
  const HandlerGuard guard([] {
    if (++g_handler_calls == 3) throw std::bad_alloc{};
  });
  for (const Allocate& form : nothrow_forms()) {
    g_handler_calls = 0;
    EXPECT_EQ(nullptr, hide(form(hide(SIZE_MAX / 4))));
    EXPECT_EQ(3, g_handler_calls);
  }
}

TEST(OperatorNew, SuccessDoesNotAskTheHandler) {
  const HandlerGuard guard([] { ++g_handler_calls; });
  g_handler_calls = 0;
  ::operator delete(hide(::operator new(1 << 20)));
  ::operator delete(hide(::operator new(100, std::nothrow)));
  EXPECT_EQ(0, g_handler_calls);
}

TEST(OperatorNew, NewExpressionsUseIt) {
  struct alignas(128) Wide {
    char bytes[300];
  };
  auto* one = hide(new Wide);
  auto* many = hide(new Wide[10]);
  EXPECT_TRUE(is_aligned(one, 128));
  EXPECT_TRUE(is_aligned(many, 128));
  delete one;
  delete[] many;
  EXPECT_THROW(hide(new char[hide(SIZE_MAX / 2 - 100)]), std::bad_alloc);
  EXPECT_EQ(nullptr, hide(new (std::nothrow) char[hide(SIZE_MAX / 2 - 100)]));
}

}  // namespace
}  // namespace abi_test
