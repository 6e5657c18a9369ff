"""What the code never does, read from its syntax: run data, unpack where an archive says, write a file in place."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted(path for folder in ("clusterjax", "tfds_builders", "configs") for path in (ROOT / folder).rglob("*.py"))
FILES += sorted((ROOT / "launch").rglob("*.py"))
WEIGHTS = "clusterjax/models/pretrained/read.py"  # an unpickler that refuses all names but those of tensors
FORBIDDEN = {
    "eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "joblib.load",
    "dill.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "tempfile.mktemp", "torch.load",
    "jsonpickle.decode",    "shutil.unpack_archive", "ET.parse", "ElementTree.parse", "lxml.etree.parse",
}  # fmt: skip
FORBIDDEN_METHODS = ("extractall", "extract")  # of archives: they write where a name says
# Who may ask a server, start a program, or write a file that is not whole at once; and why.
MAY_ASK = {"clusterjax/sky/surveys/transfer.py"}
MAY_START = {"clusterjax/jobs/provenance.py"}  # git, with a fixed list of arguments
MAY_APPEND = {
    "clusterjax/training/writer.py": "metrics.jsonl, of which a last line cut short is left out",
    "clusterjax/sky/surveys/cache.py": "the manifest, likewise; its lock",
    "clusterjax/sky/surveys/transfer.py": "bodies while they come, in the cache's folder partial/",
    "clusterjax/sky/surveys/images.py": "a temporary folder",
    "clusterjax/sky/fits/tiles.py": "tiles of a HiPS, whose folder is renamed when it is whole",
    "clusterjax/sky/hips_writing.py": "likewise",
    "clusterjax/remote.py": "an object store has a file when it is whole",
    "tfds_builders/on_beam.py": "a shard in the data set's folder, which is renamed when it is whole",
    "clusterjax/writing.py": "the one place",
    "tfds_builders/generation.py": "a lock, and files of a data set, whose folder is renamed when it is whole",
}
MEMORY = ("buffer", "stream", "header", "text")  # what streams in memory are called
WRITERS = ("write_text", "write_bytes", "writeto", "to_xml", "tofile", "savefig", "savez", "savez_compressed")


def name_of(node: ast.expr) -> str:
    """``a.b.c`` of nested attributes."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST, *, within: bool = False) -> Iterator[tuple[ast.Call, bool]]:
    """All calls, and whether each stands in a ``with replacing...(...)``."""
    for child in ast.iter_child_nodes(tree):
        inside = within or (
            isinstance(child, ast.With)
            and any(
                isinstance(item.context_expr, ast.Call) and name_of(item.context_expr.func).startswith("replacing")
                for item in child.items
            )
        )
        if isinstance(child, ast.Call):
            yield child, inside
        yield from calls(child, within=inside)


def keyword(call: ast.Call, name: str):
    found = next((word.value for word in call.keywords if word.arg == name), None)
    return found.value if isinstance(found, ast.Constant) else found


def faults(source: str, where: str) -> list[str]:
    found = []
    tree = ast.parse(source)
    for call, inside in calls(tree):
        name, line = name_of(call.func), f"{where}:{call.lineno}"
        method = name.rpartition(".")[2] if name else getattr(call.func, "attr", "")
        if name in FORBIDDEN or method in FORBIDDEN_METHODS:
            found.append(f"{line} calls {name or method}")
        if any(word.arg == "shell" for word in call.keywords):
            found.append(f"{line} starts a shell")
        if name.startswith("subprocess.") and where not in MAY_START:
            found.append(f"{line} starts a program")
        if method == "urlopen" and where not in MAY_ASK:
            found.append(f"{line} asks a server")
        if name in ("np.load", "numpy.load") and keyword(call, "allow_pickle") is not False:
            found.append(f"{line} may load a pickle")
        modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        opens = method == "open" and any(set(mode) & set("wax+") and len(mode) < 4 for mode in modes)
        to_memory = any(name_of(arg) in MEMORY for arg in call.args)
        options = {word.arg for word in call.keywords}
        tables = method == "write" and "." in name and bool(options & {"format", "overwrite"})
        # The functions of clusterjax/writing.py have no dot.
        if (
            ((method in WRITERS and "." in name) or opens or tables)
            and not inside
            and not to_memory
            and where not in MAY_APPEND
        ):
            found.append(f"{line} writes a file in place: {method}")
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if {"pickle", "marshal", "shelve", "dill", "cloudpickle"} & set(names) and where != WEIGHTS:
            found.append(f"{where}:{node.lineno} imports {names}")
    return found


def test_no_data_is_run_and_no_file_is_half_written():
    assert len(FILES) > 200
    found = [fault for path in FILES for fault in faults(path.read_text(), path.relative_to(ROOT).as_posix())]
    assert not [fault for fault in found if not (fault.startswith(WEIGHTS) and "pickle.Unpickler" in fault)]


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)", "import pickle", "from pickle import loads", "np.load(path)", "np.load(path, allow_pickle=True)",
        "subprocess.run('x', shell=True)", "os.system('x')", "archive.extractall()", "tar.extract(member)",
        "yaml.load(text)", "path.write_text('x')", "open(path, 'w')", "path.open('ab')", "hdu.writeto(path)",
        "urllib.request.urlopen(url)", "np.savez(path, a=a)", "table.write(path, format='csv')",
        "table.write(path, overwrite=True)",
    ],
)  # fmt: skip
def test_each_of_them_would_be_seen(source):
    assert faults(source, "clusterjax/x.py")


def test_what_is_allowed():
    good = "with replacing(path) as partial:\n    partial.write_text('x')\n    np.savez(partial)\n"
    assert not faults(good + "write_text(path, 'x')\nnp.load(a, allow_pickle=False)", "clusterjax/x.py")
