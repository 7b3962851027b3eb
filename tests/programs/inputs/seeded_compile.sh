#!/bin/sh
# Runs a compiler with the name of its output as the seed of the names that it makes up (link-time
# optimisation has such), so that two runs give the same object.
previous=
for argument in "$@"; do
  [ "$previous" = -o ] && exec "$@" "-frandom-seed=$argument"
  previous=$argument
done
exec "$@"
