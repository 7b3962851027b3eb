#pragma once

inline int geometry_of_the_program() { return 4; }
