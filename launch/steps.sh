# shellcheck shell=bash
# Sourced by the scripts beside it: their options, errors in one line, --dry-run, quoting for another shell.
# Works with the bash 3.2 of macOS.

dry_run=false
command=""  # what to do: the first word
program=()  # what stands after --: the flags of clusterjax.main

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# The comment at the top of the script is its help.
show_help() {
  sed -n '2,/^[^#]/{s/^# \{0,1\}//p;}' "$0"
  exit 0
}

# parse_options "COMMANDS" "NAMES" "SWITCHES" "$@": COMMAND --name=value ... --switch ... [-- flags of the program]
# A value goes to the variable of that name, which the script has set to its default, with _ for -.
parse_options() {
  local commands=$1 names=$2 switches=$3 key
  shift 3
  while [ $# -gt 0 ]; do
    key=${1%%=*}
    key=${key#--}
    case $1 in
      --help | -h) show_help ;;
      --dry-run) dry_run=true ;;
      --)
        shift
        program=(${@+"$@"})
        break
        ;;
      --*=*)
        [[ " $names " == *" $key "* ]] || fail "unknown option --$key; use $(dashed "$names $switches") --dry-run"
        printf -v "${key//-/_}" %s "${1#*=}"
        ;;
      --*)
        [[ " $names " != *" $key "* ]] || fail "--$key needs a value: --$key=VALUE"
        [[ " $switches " == *" $key "* ]] || fail "unknown option --$key; use $(dashed "$names $switches") --dry-run"
        printf -v "${key//-/_}" true
        ;;
      *)
        [ -z "$command" ] || fail "unexpected argument $1; the program's flags come after --"
        command=$1
        ;;
    esac
    shift
  done
  [[ -n $command && " $commands " == *" $command "* ]] || fail "give one of: $commands; --help says more"
}

dashed() {
  local word words=""
  for word in $1; do words="$words --$word"; done
  printf %s "${words# }"
}

# need NAME ...: each of these options has a value.
need() {
  local key variable
  for key; do
    variable=${key//-/_}
    [ -n "${!variable}" ] ||
      fail "--$key is missing; give --$key=VALUE or set CLUSTERJAX_$(printf %s "$variable" | tr '[:lower:]' '[:upper:]')"
  done
}

need_program() {
  [ ${#program[@]} -gt 0 ] || fail "the program's flags are missing; give them after --, as in -- --config=configs/alexnet_ir.py"
}

# need_tool NAME WHERE: it is on PATH. A dry run goes without.
need_tool() {
  $dry_run || command -v "$1" >/dev/null || fail "$1 is not installed; see $2"
}

# need_number NAME ...: whole numbers from 0.
need_number() {
  local key variable
  for key; do
    variable=${key//-/_}
    [[ ${!variable} =~ ^[0-9]+$ ]] || fail "--$key=${!variable} is no whole number"
  done
}

# step COMMAND ...: print the command, and run it unless this is a dry run.
step() {
  local line
  line=$(quoted "$@")
  if $dry_run; then
    printf '%s\n' "$line"
    return
  fi
  printf '+ %s\n' "$line" >&2
  "$@"
}

# The arguments as words for any POSIX shell.
quoted() {
  local word line=""
  for word; do
    if [[ ! $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then
      word="'${word//\'/\'\\\'\'}'"
    fi
    line="$line $word"
  done
  printf %s "${line# }"
}
