// The tests of this program look at what the heap does at which step, so its worker must not come
// in between. Set before the heap reads its options, at its first allocation.
#include <cstdlib>

namespace {

const bool g_no_worker = ::setenv("REAM_WORKER", "off", 1) == 0;

}  // namespace
