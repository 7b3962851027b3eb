// The report at exit (report.cc) is no function that anyone calls: it is tied to malloc by this
// object, so that a program linked with libream.a gets it, and the root symbol, along with malloc.
//
// Thread safety: a constant.
#pragma once

namespace ream {

extern const bool kHasReport;

}  // namespace ream
