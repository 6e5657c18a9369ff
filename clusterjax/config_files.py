"""The shipped configs, by name, wherever clusterjax is installed: ``clusterjax configs``."""

import ast
import difflib
import pathlib
import sys

from clusterjax.errors import InputError

_HERE = pathlib.Path(__file__).parent
# Beside the package in a clone; in an installed package within it (pyproject.toml puts them there).
FOLDER = _HERE / "configs" if (_HERE / "configs").is_dir() else _HERE.parent / "configs"


def config_names() -> list[str]:
    """alexnet_ir, ..., sweeps/all_ir, ..."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.py"))


def find_config(text: str) -> str:
    """FILE.py[:VARIANT] of a config file that is there, or of the shipped one of this NAME[:VARIANT].

    ``configs/NAME.py`` is the shipped one too where there is no such file. Raises InputError for anything else.
    """
    path, variant = _split(text)
    if pathlib.Path(path).is_file():
        return text
    name = path.removeprefix("configs/").removesuffix(".py")
    names = config_names()
    if name in names:
        return f"{FOLDER / name}.py" + (f":{variant}" if variant else "")
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" ({near[0]}?)" if near else ""
    raise InputError(f"config file {path} does not exist{hint}; clusterjax configs lists the shipped ones")


def _split(text: str) -> tuple[str, str]:
    """(path or name, variant)."""
    path, ending, variant = text.partition(".py:")
    if ending:
        return path + ".py", variant
    path, _, variant = text.partition(":")
    return path, variant


def main(arguments: list[str]) -> None:
    """List the shipped configs, each with what it is; with a name, print that file, to be changed."""
    if arguments:
        try:
            print(pathlib.Path(_split(find_config(arguments[0]))[0]).read_text(), end="")
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        return
    names = config_names()
    for name in names:
        docstring = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or ""
        print(f"{name:{max(map(len, names))}}  {docstring.partition(chr(10))[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
