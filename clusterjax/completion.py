"""``clusterjax completion bash``: a script that completes commands, options, configs, networks and files.

eval "$(clusterjax completion bash)"            # in ~/.bashrc
eval "$(clusterjax completion zsh)"             # in ~/.zshrc
clusterjax completion fish | source             # in ~/.config/fish/config.fish
"""

import sys

from absl import flags

from clusterjax import main as program  # its flags
from clusterjax import networks
from clusterjax.cli import COMMANDS, MODULES
from clusterjax.config_files import config_names

_BASH = """\
_clusterjax() {
    local files=yes words="{commands}" current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"
    if [ "$current" = "=" ]; then current=""; elif [ "$before" = "=" ]; then before="${COMP_WORDS[COMP_CWORD-2]}"
    elif [ "$COMP_CWORD" -gt 1 ]; then before=""; fi
    case "$COMP_CWORD,${COMP_WORDS[1]}" in
        1,*) files= ;;
        *,configs | *,completion | *,networks) before="${COMP_WORDS[1]}" ;;&
        *,compare | *,fuse | *,merge | *,scan) words="{options}" ;;
        *) words="{options}"; [ "$COMP_CWORD" -ne 2 ] || words+=" {configs}" ;;
    esac
    case "$before" in
        --config | configs) words="{configs}" ;;
        --network | networks) files= words="{networks}" ;;
        completion) files= words="bash zsh fish" ;;
        --*) words="" ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [ -z "$files" ] || COMPREPLY+=($(compgen -f -- "$current"))
    case "${COMPREPLY[*]}" in --*=) compopt -o nospace 2>/dev/null ;; esac
}
complete -o filenames -F _clusterjax clusterjax
"""
_ZSH = "autoload -Uz compinit bashcompinit && compinit -u && bashcompinit\n"


def option_names() -> list[str]:
    """--workdir= and so on: of the program, without those of the libraries."""
    own = flags.FLAGS.get_flags_for_module(program)
    return sorted(
        f"--{flag.name}" + ("" if flag.boolean else "=")
        for flag in own
        if flag.name != "job" and not flag.name.startswith("config.")
    )


def bash_script() -> str:
    script = _BASH
    for name, words in (
        ("commands", COMMANDS), ("options", option_names()), ("configs", config_names()), ("networks", networks.NAMES),
    ):  # fmt: skip
        script = script.replace(f"{{{name}}}", " ".join(words))
    return script


def fish_script() -> str:
    begin = "complete -c clusterjax"
    jobs = " ".join(name for name in COMMANDS if name not in MODULES)
    lines = [
        f"{begin} -f -n __fish_use_subcommand -a {name} -d '{about.replace(chr(39), '')}'"
        for name, (about, *_) in COMMANDS.items()
    ]
    values = {"config": config_names(), "network": networks.NAMES}
    for option in option_names():
        name = option[2:].removesuffix("=")
        words = f" -x -a '{' '.join(values[name])}'" if name in values else " -r" if option.endswith("=") else ""
        lines.append(f"{begin} -l {name} -n '__fish_seen_subcommand_from {jobs}'{words}")
    for command, words in (("configs", config_names()), ("networks", networks.NAMES), ("completion", SHELLS)):
        lines.append(f"{begin} -f -n '__fish_seen_subcommand_from {command}' -a '{' '.join(words)}'")
    return "\n".join(lines) + "\n"


SHELLS = {"bash": bash_script, "zsh": lambda: _ZSH + bash_script(), "fish": fish_script}


def main(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        print(f"error: name the shell: clusterjax completion {'|'.join(SHELLS)}", file=sys.stderr)
        sys.exit(2)
    print(SHELLS[arguments[0]](), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
