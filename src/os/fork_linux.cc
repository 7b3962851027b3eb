// Fork handlers. pthread_atfork is in libc's static part and ties the handlers to this library, so
// that they go with it if it is unloaded.
#include <pthread.h>

#include "os/errno_keeper.h"
#include "os/thread.h"

namespace ream::os {

bool at_fork(void (*prepare)() noexcept, void (*parent)() noexcept,
             void (*child)() noexcept) noexcept {
  const ErrnoKeeper keep;
  return ::pthread_atfork(prepare, parent, child) == 0;
}

}  // namespace ream::os
