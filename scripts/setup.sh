#!/usr/bin/env bash
# Installs what Pyrite's build, tests and benchmarks need, and nothing twice.
#
#   scripts/setup.sh            system packages of the build, and a Python environment with the Spark Connect client
#   scripts/setup.sh --test     also Java, Apache Kafka, pytest, a Kafka client for Python, and the whole `pyspark`
#   scripts/setup.sh --oracle   also real Spark's Kafka connector (makes the oracle's goldens)
#   scripts/setup.sh --bench    the same as --oracle: the benchmark runs real Spark beside Pyrite
#   scripts/setup.sh --print    only prints where things are, as shell assignments
#
# All downloads go to ${PYRITE_HOME:-${XDG_CACHE_HOME:-~/.cache}/pyrite}, outside the checkout. Each finished step
# leaves a stamp named by its versions, so that a second run does no work. Without the right to install system
# packages the script names all that the step lacks (the build, Java, Maven) in one message and ends with 1.
set -euo pipefail

readonly spark_version=4.2.0
readonly kafka_version=4.1.1
readonly home="${PYRITE_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/pyrite}"
readonly stamps="$home/stamps"
readonly venv="$home/venv"
readonly spark_venv="$home/spark-venv"
readonly kafka_dir="$home/kafka"
readonly spark_jars="$home/spark-jars"

readonly client_packages=("pyspark-client==$spark_version" "pandas>=2.2,<3")
readonly test_packages=("pytest>=8,<10" "confluent-kafka>=2.8,<3")
readonly spark_packages=("pyspark[connect]==$spark_version" "pandas>=2.2,<3" "pyarrow>=18" "confluent-kafka>=2.8,<3")

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

stamp_of() { # name, words that the step depends on
  local name="$1"; shift
  printf '%s/%s-%s' "$stamps" "$name" "$(printf '%s\n' "$@" | cksum | cut -d' ' -f1)"
}
done_already() { [[ -e "$1" ]]; }
mark_done() { mkdir -p "$stamps"; : > "$1"; }

# ---- system packages ------------------------------------------------------------------------------------------

missing_packages=()
need() { # package, then a command that succeeds when the package is there
  local package="$1"; shift
  "$@" >/dev/null 2>&1 || missing_packages+=("$package")
}
has_libclang() {
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib/*/libclang*.so*' \
    || compgen -G '/usr/lib64/libclang*.so*' || [[ -n "${LIBCLANG_PATH:-}" ]]
}
has_openssl_headers() { [[ -e /usr/include/openssl/ssl.h || -n "${OPENSSL_DIR:-}" ]] || pkg-config --exists openssl; }
has_protobuf_includes() {
  [[ -e /usr/include/google/protobuf/any.proto || -e /usr/local/include/google/protobuf/any.proto || -n "${PROTOC_INCLUDE:-}" ]]
}
has_venv() { [[ -n "$1" ]] && "$1" -c 'import ensurepip, venv'; }

find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$candidate" >/dev/null 2>&1 \
      && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
      command -v "$candidate"; return
    fi
  done
}

java_command() {
  if [[ -n "${JAVA_HOME:-}" && -x "$JAVA_HOME/bin/java" ]]; then echo "$JAVA_HOME/bin/java"; else command -v java || true; fi
}
has_java() { # 17 or newer
  local java major; java="$(java_command)"
  [[ -n "$java" ]] || return 1
  major="$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')"
  [[ "${major:-0}" -ge 17 ]]
}
java_package() {
  if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then echo openjdk-17-jre-headless; else echo default-jre-headless; fi
}

install_missing() {
  [[ ${#missing_packages[@]} -gt 0 ]] || return 0
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then as_root=(sudo -n); fi
  if ! command -v apt-get >/dev/null 2>&1; then
    die "these packages (Debian's names) are missing and this system has no apt-get: ${missing_packages[*]}"
  fi
  if [[ $(id -u) -ne 0 ]] && ! sudo -n true >/dev/null 2>&1; then
    die "these packages are missing; run: sudo apt-get install -y ${missing_packages[*]}"
  fi
  say "installing ${missing_packages[*]}"
  local log; log="$(mktemp)"
  if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
         apt-get install -y --no-install-recommends "${missing_packages[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get could not install: ${missing_packages[*]} (whole log: $log)"
  fi
  rm -f "$log"
  missing_packages=()
  hash -r
}

system_packages() {
  local stamp; stamp="$(stamp_of system 2)"
  # The stamp spares the slower looks; the commands are looked for each time, as a package can go away.
  local command
  if done_already "$stamp"; then
    local all=1
    for command in clang cmake protoc pkg-config make git g++; do command -v "$command" >/dev/null 2>&1 || all=0; done
    [[ $all -eq 1 ]] && return 0
  fi
  need build-essential command -v g++
  need clang command -v clang
  need libclang-dev has_libclang
  need cmake command -v cmake
  need protobuf-compiler command -v protoc
  need libprotobuf-dev has_protobuf_includes
  need pkg-config command -v pkg-config
  need libssl-dev has_openssl_headers
  need zlib1g-dev test -e /usr/include/zlib.h
  need make command -v make
  need git command -v git
  local python; python="$(find_python)"
  if [[ -z "$python" ]]; then
    if command -v python3 >/dev/null 2>&1; then die "python 3.10 or newer is needed; $(python3 --version) is the newest found"; fi
    missing_packages+=(python3 python3-venv)
  else
    need python3-venv has_venv "$python"
  fi
  install_missing
  mark_done "$stamp"
}

java_packages() {
  local stamp; stamp="$(stamp_of java "$(java_command)")"
  if [[ -n "$(java_command)" ]] && done_already "$stamp"; then return 0; fi
  if ! has_java; then missing_packages+=("$(java_package)"); fi
  install_missing
  has_java || die "java 17 or newer is needed; found: $("$(java_command)" -version 2>&1 | head -n 1)"
  mark_done "$(stamp_of java "$(java_command)")"
}

maven_package() { need maven command -v mvn; install_missing; }

# ---- Python ---------------------------------------------------------------------------------------------------

python_environment() { # directory, stamp name, packages...
  local directory="$1" name="$2"; shift 2
  local stamp; stamp="$(stamp_of "$name" "$directory" "$@")"
  if done_already "$stamp" && [[ -x "$directory/bin/python" ]]; then return 0; fi
  local python; python="$(find_python)"
  [[ -n "$python" ]] || die "python 3.10 or newer is needed"
  mkdir -p "$home"
  if ! "$directory/bin/python" -m pip --version >/dev/null 2>&1; then
    say "making the Python environment $directory"
    rm -rf "$directory"
    "$python" -m venv "$directory"
  fi
  say "installing $* (into $directory)"
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2 \
    || die "pip could not install: $*"
  mark_done "$stamp"
}

# ---- jars -----------------------------------------------------------------------------------------------------

copy_jars() { # directory, stamp name, whether "transitive" or "alone", group:artifact:version...
  local directory="$1" name="$2" depth="$3"; shift 3
  local stamp; stamp="$(stamp_of "$name" "$directory" "$@")"
  if done_already "$stamp" && compgen -G "$directory/*.jar" >/dev/null; then return 0; fi
  maven_package
  say "fetching $* with Maven (into $directory)"
  local work; work="$(mktemp -d)"
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>pyrite</groupId><artifactId>peers</artifactId><version>1</version><dependencies>'
    local artifact group rest
    for artifact in "$@"; do
      group="${artifact%%:*}"; rest="${artifact#*:}"
      echo "<dependency><groupId>$group</groupId><artifactId>${rest%%:*}</artifactId><version>${rest#*:}</version>"
      if [[ "$depth" == alone ]]; then
        echo '<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>'
      fi
      echo '</dependency>'
    done
    echo '</dependencies></project>'
  } > "$work/pom.xml"
  if ! mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/jars" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" >&2
    die "Maven could not fetch: $* (whole log: $work/log)"
  fi
  rm -rf "$directory"; mkdir -p "$(dirname "$directory")"
  mv "$work/jars" "$directory"
  rm -rf "$work"
  mark_done "$stamp"
}

kafka_jars() {
  copy_jars "$kafka_dir" kafka transitive "org.apache.kafka:kafka_2.13:$kafka_version" \
    "org.apache.kafka:kafka-tools:$kafka_version" "org.slf4j:slf4j-simple:1.7.36"
}

# The token provider's newer versions name a repository that does not always answer; 4.0.0 serves this Spark too.
spark_connector_jars() {
  copy_jars "$spark_jars" spark-jars alone "org.apache.spark:spark-sql-kafka-0-10_2.13:$spark_version" \
    "org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.0.0" \
    "org.apache.kafka:kafka-clients:3.9.1" "org.apache.commons:commons-pool2:2.12.1"
}

# ---- what was asked for ---------------------------------------------------------------------------------------

print_places() {
  printf 'PYRITE_HOME=%q\nPYRITE_VENV=%q\nPYRITE_SPARK_VENV=%q\nPYRITE_KAFKA=%q\nPYRITE_SPARK_JARS=%q\n' \
    "$home" "$venv" "$spark_venv" "$kafka_dir" "$spark_jars"
}

with_test=0 with_spark=0
for argument in "$@"; do
  case "$argument" in
    --test) with_test=1 ;;
    --oracle|--bench) with_test=1 with_spark=1 ;;
    --print) print_places; exit 0 ;;
    -h|--help) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown argument \`$argument\`; one of: --test --oracle --bench --print" ;;
  esac
done

system_packages
python_environment "$venv" client "${client_packages[@]}"
if [[ $with_test -eq 1 ]]; then
  java_packages
  python_environment "$venv" test "${test_packages[@]}"
  # Programs are tried with it too, and it is the real Spark of the oracle.
  python_environment "$spark_venv" spark "${spark_packages[@]}"
  kafka_jars
fi
if [[ $with_spark -eq 1 ]]; then
  spark_connector_jars
fi
