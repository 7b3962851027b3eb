"""The real programs, as Debian ships them, on inputs made here."""

from .interpreters import Lua, Node, Perl, Php, PhpMalloc, Python, PythonMalloc, Ruby
from .servers import Memcached, Postgresql, Redis
from .tools import Clang, Compile, Ghostscript, GitGc, Sqlite, Xz, Z3

PROGRAMS = [Python, PythonMalloc, Sqlite, Lua, Perl, Ruby, Php, PhpMalloc, Node, Xz, GitGc, Compile, Clang,
            Z3, Ghostscript, Redis, Memcached, Postgresql]
