"""The reference: every public name on a page, or the build fails."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

import npoptim as npo

#: Page -> its title and the names of npoptim on it. Optimizers have pages of their own.
PAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "optimizers": (
        "Optimizers",
        ("optimizers", "get_optimizer", "Optimizer", "Groups", "pseudocode", "check_optimizer",
         "ContractError", "NonFiniteError"),
    ),
    "runs": (
        "Runs and training",
        ("run", "Trajectory", "train", "History", "clip_by_global_norm", "clip_by_value"),
    ),
    "traces": ("Traces and pages", ("trace", "Trace", "first_difference", "explore")),
    "landscapes": ("Maps and sweeps", ("sweep", "basins", "sensitivity")),
    "files": ("Checkpoints", ("save", "load", "CheckpointError")),
    "devices": (
        "Devices and machines",
        ("use_backend", "to_device", "to_host", "BackendUnavailable", "DataParallel"),
    ),
    "checks": ("Checks and libraries", ("check_gradients", "equivalent")),
}  # fmt: skip

#: Modules that are part of the interface; each has a page with all of its public names.
MODULES = (
    "data", "gradients", "homework", "libraries", "models", "parallel", "schedules", "surfaces",
    "sweeps",
)  # fmt: skip


class MissingPage(RuntimeError):
    """A public name that no page documents."""


def pages() -> dict[str, str]:
    """File name -> page; the first is the list of all names.

    Raises MissingPage for a public name that is on no page or has no docstring.
    """
    found = {"api.md": _index()}
    for page, (title, names) in PAGES.items():
        body = [_directive(name, getattr(npo, name)) for name in names]
        found[f"api/{page}.md"] = f"# {title}\n\n" + "\n\n".join(body) + "\n"
    for module in MODULES:
        found[f"api/{module}.md"] = _module(module)
    return found


def members(module: str) -> dict[str, Any]:
    """The public names of a module of the interface: `__all__`, or what it defines itself."""
    source = import_module(f"npoptim.{module}")
    if hasattr(source, "__all__"):
        names = list(source.__all__)
    else:
        names = [
            name
            for name, thing in vars(source).items()
            if not name.startswith("_") and getattr(thing, "__module__", "") == source.__name__
        ]
    found = {name: getattr(source, name) for name in names}
    return {k: v for k, v in found.items() if inspect.isclass(v) or inspect.isroutine(v)}


def page_of(name: str) -> str:
    """The page of a public name, below `_generated`."""
    if name.lower() in npo.optimizers() and inspect.isclass(getattr(npo, name)):
        return f"optimizers/{name.lower()}.md"
    for page, (_, names) in PAGES.items():
        if name in names:
            return f"api/{page}.md"
    if name in MODULES:
        return f"api/{name}.md"
    raise MissingPage(
        f"npoptim.{name} is public and on no page of the reference: add it to docs/reference.py."
    )


def _index() -> str:
    rows = [f"| [`{name}`]({page_of(name)}) | {_summary(name)} |" for name in npo.__all__]
    listed = "\n".join(f"api/{page}" for page in (*PAGES, *MODULES))
    return (
        "# Public names\n\nEverything that `import npoptim as npo` offers, and the modules among "
        "it with their own names. What is not here is machinery and may change.\n\n"
        "| name | what it is |\n|---|---|\n"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def _summary(name: str) -> str:
    thing = getattr(npo, name)
    if isinstance(thing, ModuleType) and callable(thing):
        thing = getattr(thing, name)
    if not (doc := inspect.getdoc(thing)):
        raise MissingPage(f"npoptim.{name} is public and has no docstring.")
    return doc.partition("\n")[0].replace("|", "\\|")


def _module(module: str) -> str:
    source = import_module(f"npoptim.{module}")
    about = (source.__doc__ or "").strip()
    things = members(module)
    if not things:
        raise MissingPage(f"npoptim.{module} is public and has no public names of its own.")
    body = []
    for name, thing in things.items():
        if not inspect.getdoc(thing):
            raise MissingPage(f"npoptim.{module}.{name} is public and has no docstring.")
        kind = "class" if inspect.isclass(thing) else "function"
        options = "\n   :no-index:" if _elsewhere(module, name, thing) else ""
        body.append(
            f"## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: npoptim.{module}.{name}{options}\n```"
        )
    return f"# npoptim.{module}\n\n{about}\n\n" + "\n\n".join(body) + "\n"


def _elsewhere(module: str, name: str, thing: Any) -> bool:
    """Whether the same thing has its place on another page already."""
    return any(name in names and getattr(npo, name) is thing for _, names in PAGES.values()) or any(
        members(other).get(name) is thing for other in MODULES[: MODULES.index(module)]
    )


def _directive(name: str, thing: Any) -> str:
    if isinstance(thing, ModuleType):  # a folder or file that is a function too
        path, thing = f"npoptim.{name}.{name}", getattr(thing, name)
    else:
        path = f"npoptim.{name}"
    kind = "class" if inspect.isclass(thing) else "function"
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        kind = "exception"
    return f"## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: {path}\n```"
