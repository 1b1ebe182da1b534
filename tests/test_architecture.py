"""Who may import whom. The lines are drawn in docs/ARCHITECTURE.md; here they are held."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imports():
    """(module that imports, name imported, whether at the top of the file) for every file of the project."""
    for package in ("core", "playground", "remote"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(tree):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        yield module, alias.name, node in tree.body
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield module, node.module, node in tree.body


def test_there_is_something_to_check():
    assert len(list(imports())) > 200


def test_core_knows_nothing_of_the_page_and_the_cloud():
    for module, name, _ in imports():
        if module.startswith("core"):
            assert name.split(".")[0] not in ("gradio", "modal", "playground", "remote"), f"{module} imports {name}"


def test_lightning_and_wandb_stay_in_the_training_room():
    for module, name, _ in imports():
        if name.split(".")[0] in ("lightning", "wandb"):
            assert module.startswith("core.train"), f"{module} imports {name}"


def test_views_do_not_need_torch():
    for module, name, _ in imports():
        if module.startswith("playground.views"):
            assert name.split(".")[0] not in ("torch", "gradio"), f"{module} imports {name}"


def test_modal_is_imported_by_remote_only():
    for module, name, _ in imports():
        if name.split(".")[0] == "modal":
            assert module.startswith("remote"), f"{module} imports {name}"
        if module.startswith("playground") and name.startswith("remote"):
            assert name == "remote.client", f"{module} imports {name}"


def test_nothing_that_is_loaded_can_run_code():
    for path in [*ROOT.glob("core/**/*.py"), *ROOT.glob("playground/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        for unsafe in ("import pickle", "weights_only=False", "trust_remote_code=True", "yaml.load(", "shell=True"):
            assert unsafe not in text, f"{unsafe} in {path.relative_to(ROOT)}"


def test_no_circles():
    """Modules of the project that import each other at the top of their files."""
    edges: dict[str, set[str]] = {}
    modules = {module for module, _, _ in imports()}
    for module, name, top in imports():
        if top and name in modules and name != module:
            edges.setdefault(module, set()).add(name)

    def visit(module, path):
        assert module not in path, "a circle: " + " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        for other in edges.get(module, ()):
            visit(other, [*path, module])
        done.add(module)

    done: set[str] = set()
    for module in sorted(edges):
        visit(module, [])


def test_starting_is_light():
    """The command line and the configuration do not pull in the heavy packages."""
    code = (
        "import sys, core, core.config, core.presets, core.tokenizer, core.data.grammar, playground.cli\n"
        "heavy = {'torch', 'gradio', 'lightning', 'wandb', 'datasets', 'transformers', 'plotly', 'modal'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
