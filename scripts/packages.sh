# Debian packages, installed only where they are missing. Sourced by ./check and ./try.

# need_packages NAME...: true when all are installed afterwards. Package lists are read again and the
# installation retried twice, because mirrors are sometimes busy.
need_packages() {
  local name attempt missing=()
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "needs root or sudo to install: ${missing[*]}" >&2; return 1; }
    as_root=(sudo)
  fi
  echo "installing: ${missing[*]}"
  local log
  log=$(mktemp)
  for attempt in 1 2 3; do
    if {
      "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=900 update -q &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=900 \
          install -q -y --no-install-recommends "${missing[@]}"
    } >"$log" 2>&1 </dev/null; then
      rm -f "$log"
      return 0
    fi
    echo "installation failed (attempt $attempt of 3)" >&2
    sleep $((attempt * 5))
  done
  tail -n 20 "$log" >&2
  rm -f "$log"
  return 1
}

# The names in a package list file: one a line, # begins a comment.
packages_in() {
  sed -e 's/#.*//' "$@" | tr -s '[:space:]' '\n' | sed '/^$/d'
}
