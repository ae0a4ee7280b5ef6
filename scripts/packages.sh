# The Debian packages that Weir needs, and why. Sourced by ./start and ./check.
# One a line: package, then what it is for.
build_packages=(
  "g++|compiler (C++20)"
  "cmake|build"
  "ninja-build|build"
  "pkg-config|finds libraries"
  "lld|links in a fraction of the time"
  "ccache|makes the second build fast"
  "libboost1.81-dev|Asio and Beast: HTTP"
  "nlohmann-json3-dev|JSON"
  "libtomlplusplus-dev|the configuration file"
  "libcli11-dev|command line"
  "libfmt-dev|text formatting"
  "libspdlog-dev|logging"
  "libsqlite3-dev|the embedded store"
  "libsodium-dev|hashes and keys"
  "zlib1g-dev|compressed documentation"
  "coinor-libclp-dev|linear programs of the planner"
  "coinor-libcbc-dev|whole-number programs of the planner"
  "nodejs|builds the dashboard"
)
# npm comes with Node.js from elsewhere on some machines, and as a package of its own in Debian.
test_packages=(
  "libgtest-dev|unit tests"
  "libgmock-dev|unit tests"
  "librapidcheck-dev|property tests"
  "clang-format|formatting check"
  "python3|the example job, run by a test"
  "chromium|the dashboard in a real browser"
  "slurmctld|real Slurm clusters on this host, for tests/slurm"
  "slurmd|their nodes"
  "slurm-client|sbatch, squeue and the rest"
  "munge|their authentication"
)
bench_packages=(
  "libopenblas-dev|the limit beside bench/train"
  "haproxy|the peer beside bench/gateway"
)

# missing PACKAGE|WHY ... : those not installed, one a line
missing() {
  local entry name
  for entry in "$@"; do
    name=${entry%%|*}
    case $name in
      nodejs) command -v node >/dev/null && continue ;;
      g++ | cmake | ccache | clang-format | python3 | chromium) command -v "$name" >/dev/null && continue ;;
      ninja-build) command -v ninja >/dev/null && continue ;;
      lld) command -v ld.lld >/dev/null && continue ;;
    esac
    dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || echo "$entry"
  done
  if [[ " $* " == *"nodejs|"* ]] && ! command -v npm >/dev/null; then echo "npm|packages of the dashboard"; fi
}

# install_missing NO_INSTALL PACKAGE|WHY ... : one apt call, after saying what and why
install_missing() {
  local no_install=$1
  shift
  local list
  list=$(missing "$@")
  [ -n "$list" ] || return 0
  echo "Missing Debian packages:" >&2
  while IFS='|' read -r name why; do printf '  %-22s %s\n' "$name" "$why" >&2; done <<<"$list"
  if [ "$no_install" = 1 ]; then
    echo "Not installed (--no-install). To install them: apt-get install $(cut -d'|' -f1 <<<"$list" | tr '\n' ' ')" >&2
    return 1
  fi
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "Run this as root, or install sudo." >&2; return 1; }
    sudo=(sudo)
  fi
  # shellcheck disable=SC2046
  "${sudo[@]}" apt-get update -qq &&
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      $(cut -d'|' -f1 <<<"$list") >/dev/null || { echo "apt-get failed: see above." >&2; return 1; }
}
