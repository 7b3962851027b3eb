"""Interpreters, each with a script of bench/programs."""

from .program import SCRIPTS, Program


class Python(Program):
    name, about = "python", "JSON, dicts and sorting, with Python's own pools for small objects"
    executable = "/usr/bin/python3"
    environment = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}

    def arguments(self, folder):
        return [self.executable, "-S", SCRIPTS / "records.py"]


class PythonMalloc(Python):
    name, about = "python_malloc", "the same with every object from malloc (PYTHONMALLOC=malloc)"
    environment = {**Python.environment, "PYTHONMALLOC": "malloc"}


class Lua(Program):
    name, about = "lua", "tables, closures and strings"
    executable = "lua5.4"
    version_argument = "-v"

    def arguments(self, folder):
        return ["lua5.4", SCRIPTS / "tables.lua"]


class Perl(Program):
    name, about = "perl", "hashes, regular expressions and string building"
    executable = "perl"
    environment = {"PERL_HASH_SEED": "0"}

    def arguments(self, folder):
        return ["perl", SCRIPTS / "words.pl"]


class Node(Program):
    name, about = "node", "objects, maps, buffers and JSON"
    executable = "node"

    def arguments(self, folder):
        return ["node", SCRIPTS / "objects.js"]


class Ruby(Program):
    name, about = "ruby", "hashes, strings, regular expressions and JSON"
    executable = "ruby"

    def arguments(self, folder):
        return ["ruby", "--disable-gems", SCRIPTS / "lists.rb"]


class Php(Program):
    name, about = "php", "arrays, strings, regular expressions and JSON, with PHP's own pools"
    executable = "php"

    def probe(self):
        # Without php.ini: extensions from there would be bound to libc's malloc (RTLD_DEEPBIND).
        return ["php", "-n", self.version_argument]

    def arguments(self, folder):
        return ["php", "-n", "-d", "memory_limit=-1", SCRIPTS / "arrays.php"]


class PhpMalloc(Php):
    name, about = "php_malloc", "the same with every object from malloc (USE_ZEND_ALLOC=0)"
    environment = {"USE_ZEND_ALLOC": "0"}
