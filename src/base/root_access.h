// Who may see the private fields of the heap's classes: the maker of the root symbol, which tells a
// reader in another process where they lie (inspect/root.h). A class that it tells about names
// RootAccess a friend.
//
// Thread safety: nothing here.
#pragma once

namespace ream::inspect {

struct RootAccess;

}  // namespace ream::inspect
