# Sourced. `need PACKAGE REASON COMMAND...` notes a system package when the command fails; `install_needed` installs what
# was noted where we may (as root, with apt-get), and otherwise says in one line what to type.
packages=() reasons=()

need() {
  local package=$1 reason=$2
  shift 2
  "$@" >/dev/null 2>&1 || { packages+=("$package") reasons+=("$package ($reason)"); }
}

join() { local joined; printf -v joined ', %s' "$@"; printf '%s' "${joined:2}"; }

install_needed() {
  [ ${#packages[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: missing: $(join "${reasons[@]}"); type: sudo apt-get install ${packages[*]}" >&2
    return 1
  fi
  echo "installing $(join "${reasons[@]}")"
  local said
  # RUNLEVEL=1: a database server is installed for its programs; it is not to be started as a service.
  said=$({ apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}"; } 2>&1) || {
    echo "error: apt-get could not install ${packages[*]}: ${said##*$'\n'}" >&2
    return 1
  }
}
