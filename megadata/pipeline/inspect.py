"""`megadata inspect`: what a file or folder holds, in a few rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from megadata.errors import CorpusError
from megadata.pipeline.datasets import foreign_kind, is_dataset
from megadata.runtime.manifest import Manifest
from megadata.runtime.progress import human
from megadata.runtime.streams import is_url


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a path."""

    kind: str
    rows: dict[str, Any]
    text: str = ""
    """A sample to read, where there is one."""
    pieces: tuple[str, ...] = ()
    """A sample in tokens, where there is one."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        sample: dict[str, Any] = {"text": self.text} if self.text else {}
        return {"kind": self.kind, **self.rows, **sample, **({"pieces": self.pieces} if self.pieces else {})}


def inspect(place: Path | str, document: int | None = None) -> Found:
    """Recognise what lies at `place`, a path or a URL, and describe it.

    Raises
    ------
    CorpusError
        If nothing lies there, or nothing that megadata reads or writes.
    """
    if str(place) != "-" and is_dataset(str(place)):
        return _dataset(str(place), document)
    if is_url(str(place)) or str(place) == "-":
        return _input(str(place))
    path = Path(place)
    if not path.exists():
        raise CorpusError(f"{path}: nothing lies here; expected a file, a folder or the prefix of an indexed dataset")
    if (foreign := foreign_kind(path)) is not None:
        return Found(
            f"token files of {foreign}", {"read with": f"megadata import-dataset {path} -o PREFIX --tokenizer T"}
        )
    if path.is_dir():
        return _folder(path)
    if path.name.endswith((".yaml", ".yml")):
        return _yaml(path)
    if path.suffix == ".json":
        found = _tokenizer(path)
        if found is not None:
            return found
    return _input(path)


def _folder(path: Path) -> Found:
    if (path / "checkpoints").is_dir() or (path / "metrics.jsonl").exists():
        return _run(path)
    if (path / "recipe.yaml").exists() and (path / "clean").is_dir():
        return _pipeline(path)
    manifest = Manifest.load(path)
    if manifest is not None:
        made = [(Path(o["name"]), o) for o in manifest.outputs]
        shards = [o for name, o in made if name.name.startswith("docs-") and name.parent.name != "removed"]
        removed = [o for name, o in made if name.name.startswith("docs-") and name.parent.name == "removed"]
        rows = {
            "made by": f"{manifest.step} (identity {manifest.identity[:12]})",
            "inputs": len(manifest.inputs),
            "shards": len(shards),
            "documents": f"{sum(o.get('documents', 0) for o in shards):,}",
            "text as JSON": human(sum(o.get("bytes", 0) for o in shards)),
            "removed": f"{sum(o.get('documents', 0) for o in removed):,}",
        }
        first = next((path / o["name"] for o in shards if o.get("documents")), None)
        return Found("documents", rows, _input(first).text if first else "")
    return _input(path)


def _pipeline(path: Path) -> Found:
    """The results of a recipe: each stage's outputs, to be inspected one by one."""
    rows: dict[str, Any] = {}
    for stage in ("clean", "unique", "decontaminated", "tokens", "sentences", "runs"):
        folder = path / stage
        if folder.is_dir():
            names = {
                p.stem if p.suffix == ".idx" else p.name for p in folder.iterdir() if p.is_dir() or p.suffix == ".idx"
            }
            rows[stage] = ", ".join(sorted(n for n in names if not n.startswith(".") and n != "removed"))
    return Found("results of a recipe", rows)


def _input(path: Path | str) -> Found:
    from megadata.documents.inputs import expand, plan, read_unit, some
    from megadata.documents.source import Problems, ReadOptions

    found = expand([str(path)])
    kinds: dict[str, int] = {}
    for file in found.files:
        kinds[file.kind] = kinds.get(file.kind, 0) + 1
    units = plan(found.files)
    problems = Problems()
    rows: dict[str, Any] = {
        "files": ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())),
        "size": human(sum(f.size for f in found.files)),
        "units of work": len(units),
    }
    if found.passed_over:
        rows["passed over"] = some(found.passed_over)
    try:
        for unit in units[:4]:
            for batch in read_unit(unit, ReadOptions(), problems):
                if len(batch):
                    record = next(iter(batch))
                    rows["first document"] = record["id"]
                    if record["url"]:
                        rows["its url"] = record["url"]
                    return Found("raw input", rows, str(record["text"])[:800])
    except CorpusError as error:  # a table whose column of text has another name, say
        rows["not read"] = str(error)
        return Found("raw input", rows)
    rows["problems"] = dict(problems.counts)
    return Found("raw input", rows)


def _dataset(path: str, document: int | None) -> Found:
    from megadata.indexed.reader import IndexedDataset
    from megadata.pipeline.datasets import describe, show

    data = IndexedDataset(path)
    rows = describe(data)
    if not data.documents:
        return Found("indexed dataset", rows)
    shown, pieces = show(data, document or 0)
    return Found("indexed dataset", rows | shown, pieces=tuple(pieces))


def _yaml(path: Path) -> Found:
    from megadata.config import load_yaml

    content = load_yaml(path)
    if "recipe" in content:
        from megadata.pipeline.recipe import load_recipe

        recipe = load_recipe(path)
        rows = {"sources": ", ".join(recipe.sources), "runs": ", ".join(recipe.train) or "-", "output": recipe.output}
        return Found("recipe", rows)
    if content.get("format") == "blend":
        from megadata.indexed.blend import Blend

        blend = Blend.load(path)
        return Found("blend", {source.name: ", ".join(source.data) for source in blend.leaves})
    return Found("YAML", dict(content))


def _tokenizer(path: Path) -> Found | None:
    try:
        content = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict):
        return None
    if "model" in content and "added_tokens" in content:
        model = content["model"]
        special = ", ".join(token["content"] for token in content["added_tokens"][:12])
        return Found(
            "tokenizer", {"model": model.get("type"), "entries": len(model.get("vocab", ())), "special": special}
        )
    if "format" in content:
        return Found(str(content["format"]), {k: v for k, v in content.items() if not isinstance(v, (dict, list))})
    return None


def _run(path: Path) -> Found:
    rows: dict[str, Any] = {}
    metrics = path / "metrics.jsonl"
    if metrics.exists():
        lines = [orjson.loads(line) for line in metrics.read_bytes().splitlines()]
        steps = [line for line in lines if "loss" in line and "step" in line]
        if steps:
            rows["steps"] = steps[-1]["step"]
            rows["loss"] = " -> ".join(
                "not finite" if line["loss"] is None else f"{line['loss']:.3f}" for line in (steps[0], steps[-1])
            )
    checkpoints = (
        sorted(p.name for p in (path / "checkpoints").glob("step-*")) if (path / "checkpoints").is_dir() else []
    )
    rows["checkpoints"] = ", ".join(checkpoints) or "none"
    return Found("training run", rows)
