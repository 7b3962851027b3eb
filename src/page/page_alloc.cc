#include "page/page_alloc.h"

namespace ream::page {

template class PageAlloc<Go48>;
template class PageAlloc<HeapWindow>;
template class PageAlloc<Pages4K>;
template class PageAlloc<Pages16K>;
template class PageAlloc<Pages64K>;
template class PageAlloc<Wide57>;
template class PageAlloc<Narrow32>;
template class PageAlloc<Window1T>;
template class PageAlloc<Tiny4>;
template class PageAlloc<Tiny64>;

}  // namespace ream::page
