// The program has folders and files of the same names as ream.
#pragma once

inline int bits_of_the_program() { return 3; }
