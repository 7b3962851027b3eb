#pragma once

#include <ream/page.h>

using OwnGeometry = ream::page::Geometry<36, 12, ream::page::WindowBase::kZero, 3, 3, 3, 3, 3>;

bool works_in_second_file(ream::page::PageAlloc<OwnGeometry>& pages);
