"""`megadata run`: all stages of a recipe, in order; what is done is skipped.

The folder of a recipe's results::

    clean/NAME/             documents of each source, removed ones beside them
    unique/NAME/            without duplicates
    decontaminated/NAME/    without text of evaluation sets
    tokenizer.json
    tokens/NAME-SPLIT.*     indexed datasets for GPT (documents)
    sentences/NAME-SPLIT.*  indexed datasets for BERT (sentences), where a run needs them
    blend.yaml, blend-sentences.yaml
    runs/NAME/              trained models
    recipe.yaml             the recipe as it was run
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megadata.config import build, override, to_dict
from megadata.documents.inputs import Inputs, expand, split_label
from megadata.documents.source import read_options
from megadata.errors import ConfigError, CorpusError, TrainingError
from megadata.pipeline.recipe import DecontaminateSection, Recipe, SourceConfig, TrainSection, recipe_text
from megadata.runtime.files import atomic_write, digest_file, read_json, write_json
from megadata.runtime.manifest import Manifest, StepSpec
from megadata.runtime.settings import RunSettings
from megadata.runtime.streams import is_url

if TYPE_CHECKING:
    from megadata.corpus.clean import CleanReport
    from megadata.corpus.decontaminate import DecontaminateReport
    from megadata.corpus.dedup import DedupReport
    from megadata.tokenize.report import TokenizeReport
    from megadata.trainer.run import TrainResult

TOKENIZER_STEP = "1"
"""Version of the tokenizer stage; part of its identity."""


Show = Callable[[str, Any], None]
Listen = Callable[[str], Callable[[dict[str, Any]], None]]


@dataclass(slots=True)
class RunReport:
    """What each stage reported."""

    output: Path
    cleaned: dict[str, CleanReport] = field(default_factory=dict)
    unique: DedupReport | None = None
    decontaminated: DecontaminateReport | None = None
    tokenized: dict[str, dict[str, TokenizeReport]] = field(default_factory=dict)
    """Level (`tokens`, `sentences`) -> source -> report."""
    trained: dict[str, TrainResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One recipe, its folder and settings; each method is a stage."""

    recipe: Recipe
    base: Path
    """Folder that relative paths of the recipe are relative to."""
    settings: RunSettings

    @property
    def output(self) -> Path:
        """Folder of all results."""
        return self.base / self.recipe.output

    def run(self, show: Show | None = None, listen: Listen | None = None) -> RunReport:
        """All stages; `show` gets each stage's name and report as it ends, `listen` makes what hears a training run."""
        say = show or (lambda stage, report: None)
        if self.recipe.train and importlib.util.find_spec("torch") is None:
            raise ConfigError("train: training needs torch; install it with `pip install '.[train]'`, or empty `train`")
        if self.output.resolve() == self.base.resolve():
            raise ConfigError("output: the folder of the recipe itself cannot hold the results; name one below it")
        levels = self._levels()
        report = RunReport(self.output)
        self.output.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.output / "recipe.yaml") as file:
            file.write(recipe_text(self.recipe).encode())
        with self.settings.keep_workers() as settings:
            replace(self, settings=settings)._data(report, levels, say)
        for name, section in self.recipe.train.items():
            trained = report.trained[name] = self._train(name, section, listen)
            if not trained.finished:
                raise TrainingError(
                    f"train.{name}: stopped at step {trained.step}; run the same command to go on from there"
                )
            say("train", trained)
        return report

    def _data(self, report: RunReport, levels: list[str], say: Show) -> None:
        """The stages before training."""
        for name, source in self.recipe.sources.items():
            report.cleaned[name] = self._clean(name, source)
            say("clean", report.cleaned[name])
        folder = self.output / "clean"
        left = self._with_documents(folder, list(self.recipe.sources))
        if self.recipe.dedup is not None:
            report.unique = self._dedup(left)
            folder = self.output / "unique"
            left = self._with_documents(folder, left)
            say("dedup", report.unique)
        if self.recipe.decontaminate is not None:
            report.decontaminated = self._decontaminate(self.recipe.decontaminate, folder, left)
            folder = self.output / "decontaminated"
            left = self._with_documents(folder, left)
            say("decontaminate", report.decontaminated)
        tokenizer = self._tokenizer(folder, left)
        for level in levels:
            report.tokenized[level] = {}
            for name in left:
                report.tokenized[level][name] = self._tokenize(folder / name, level, name, tokenizer)
                say("tokenize", report.tokenized[level][name])
            self._blend(level, report.tokenized[level])

    def _levels(self) -> list[str]:
        """Which indexed datasets the runs need: documents always, sentences for BERT."""
        kinds = {self._level_of(section) for section in self.recipe.train.values()}
        return [level for level in ("tokens", "sentences") if level in kinds or level == "tokens"]

    def _level_of(self, section: TrainSection) -> str:
        from megadata.trainer.config import load_config

        config = load_config(self._config_name(section), _assignments(section.set))
        return "sentences" if config.model.kind == "bert" else "tokens"

    def _config_name(self, section: TrainSection) -> str:
        beside = self.base / section.config
        return str(beside) if beside.is_file() else section.config

    def _inputs(self, source: SourceConfig) -> list[str]:
        return [_beside(self.base, _expand(one)) for one in source.input]

    def _clean(self, name: str, source: SourceConfig) -> CleanReport:
        from megadata.corpus.clean import CleanConfig, clean

        rules = source.rules
        if rules is not None:
            parts = [rules] if (self.base / rules).is_file() else [part.strip() for part in rules.split(",")]
            rules = ",".join(str(self.base / part) if (self.base / part).is_file() else part for part in parts)
        fields = {"text_field": source.text_field, "id_field": source.id_field, "extractor": source.extractor}
        read, _ = read_options({**fields, **source.read})
        config = CleanConfig(
            rules=rules,
            overrides=_assignments(source.set),
            languages=source.languages,
            newest=source.newest,
            url_rules=tuple(_beside(self.base, _expand(one)) for one in source.url_rules),
            removed=source.removed,
            read=read,
        )
        family = None if source.kind == "auto" else source.kind
        found = expand([f"{name}={one}" for one in self._inputs(source)], family, read=read)
        return clean(found, self.output / "clean" / name, config, self.settings)

    def _with_documents(self, folder: Path, names: list[str]) -> list[str]:
        """The sources of which something is left; the others are named."""
        left = [name for name in names if _has_documents(folder / name)]
        for name in names:
            if name not in left:
                self.settings.progress.note(f"{name}: no document is left of this source; look at removed/")
        if not left:
            raise CorpusError(f"{folder}: no document is left to train on; look at removed/ and loosen the rules")
        return left

    def _dedup(self, names: list[str]) -> DedupReport:
        from megadata.corpus.dedup import DedupConfig, dedup

        found = _inputs_of(self.output / "clean", names)
        return dedup(found, self.output / "unique", DedupConfig(**to_dict(self.recipe.dedup)), self.settings)

    def _decontaminate(self, section: DecontaminateSection, folder: Path, names: list[str]) -> DecontaminateReport:
        from megadata.corpus.decontaminate import DecontaminateConfig, decontaminate

        values = override({"fields": section.fields, "mode": section.mode}, _assignments(section.set))
        config = build(DecontaminateConfig, values, "decontaminate.set")
        named = [_labelled(self.base, one) for one in section.against]
        return decontaminate(_inputs_of(folder, names), named, self.output / "decontaminated", config, self.settings)

    def _tokenizer(self, folder: Path, names: list[str]) -> Path:
        """Train the tokenizer, unless the one that lies there was trained on these documents with these settings."""
        section = self.recipe.tokenizer
        if section.path is not None:
            path = Path(_beside(self.base, section.path))
            if not path.exists():
                raise ConfigError(f"tokenizer.path: {path} does not exist; train one by leaving `path` out")
            return path
        from megadata.tokenize.train import TokenizerConfig, train_tokenizer

        target, note = self.output / "tokenizer.json", self.output / ".megadata" / "tokenizer.json"
        fields = {name: value for name, value in to_dict(section).items() if name != "path"}
        config = build(TokenizerConfig, fields, "tokenizer")
        contents = [o["sha256"] for name in names for o in _outputs(folder / name)]
        spec = StepSpec(
            name="train-tokenizer",
            version=TOKENIZER_STEP,
            config={**to_dict(config), "documents": hashlib.sha256("".join(contents).encode()).hexdigest()},
            libraries=("tokenizers", "gigatoken"),
        )
        if target.exists() and note.exists() and read_json(note) == [spec.identity, digest_file(target)]:
            return target
        report = train_tokenizer(_inputs_of(folder, names), target, config, self.settings)
        for line in report.notes:
            self.settings.progress.note(f"tokenizer: {line}")
        write_json(note, [spec.identity, digest_file(target)])
        return target

    def _tokenize(self, folder: Path, level: str, name: str, tokenizer: Path) -> TokenizeReport:
        from megadata.tokenize.config import TokenizeConfig
        from megadata.tokenize.step import tokenize

        config = TokenizeConfig(
            split=dict(self.recipe.tokenize.split),
            sentences=level == "sentences",
            seed=self.recipe.tokenize.seed,
        )
        return tokenize(expand([f"{name}={folder}"]), self.output / level / name, tokenizer, config, self.settings)

    def _blend(self, level: str, written: dict[str, TokenizeReport]) -> Path:
        from megadata.indexed.blend import Blend

        section = self.recipe.blend
        data: dict[str, list[str]] = {"train": [], "validation": []}
        for split, names in data.items():
            made = {Path(one.prefix).name for report in written.values() for one in report.datasets if one.documents}
            names += [name for name in self.recipe.sources if f"{name}-{split}" in made]
            for name in written:
                if name not in names:
                    self.settings.progress.note(
                        f"{name}: too few documents for any in {split}; larger shares give it some"
                    )
        if not data["train"]:
            raise CorpusError(
                f"{self.output / level}: no document is left to train on; look at removed/ and loosen the rules"
            )
        blend = Blend.of(
            {name: str(self.output / level / f"{name}-train") for name in data["train"]},
            {n: w for n, w in section.weights.items() if n in data["train"]} or None,
            weigh_by=section.weigh_by,
            temperature=section.temperature,
            seed=section.seed,
            max_epochs={n: e for n, e in section.max_epochs.items() if n in data["train"]} or None,
            validation={
                name: str(self.output / level / f"{name}-validation")
                for name in data["validation"]
                if name in data["train"]
            },
        )
        return blend.save(self.blend_path(level))

    def blend_path(self, level: str) -> Path:
        """Where the blend of a level lies."""
        return self.output / ("blend.yaml" if level == "tokens" else f"blend-{level}.yaml")

    def _train(self, name: str, section: TrainSection, listen: Listen | None) -> TrainResult:
        try:
            from megadata.trainer import train
        except ImportError as error:
            raise ConfigError(
                f"train.{name}: training needs torch; install it with `pip install '.[train]'`"
            ) from error
        from megadata.trainer.config import load_config

        config = load_config(self._config_name(section), _assignments(section.set))
        return train(
            config,
            self.blend_path(self._level_of(section)),
            self.output / "runs" / name,
            nproc=section.nproc,
            resume="auto",
            report=listen(name) if listen is not None else None,
        )


def _expand(path: str) -> str:
    """A path with ``$NAME`` and ``${NAME}`` replaced by variables of the environment."""
    expanded = os.path.expandvars(path)
    if "$" in expanded:
        raise ConfigError(
            f"sources: {path}: expected the variable to be set in the environment, found none; set it first"
        )
    return expanded


def _beside(base: Path, path: str) -> str:
    """A path of the recipe, relative to the recipe's folder; URLs stay as they are."""
    if is_url(path):
        return path
    prefix = "@" if path.startswith("@") else ""
    rest = path.removeprefix("@")
    return path if Path(rest).is_absolute() else f"{prefix}{base / rest}"


def _labelled(base: Path, argument: str) -> str:
    """A path of the recipe, or ``NAME=PATH``, relative to the recipe's folder."""
    name, path = split_label(argument)
    place = _beside(base, _expand(path))
    return f"{name}={place}" if name else place


def _outputs(folder: Path) -> list[dict[str, Any]]:
    manifest = Manifest.load(folder)
    if manifest is None:
        raise CorpusError(f"{folder}: expected the finished output of a stage, found none; run the recipe again")
    return [o for o in manifest.outputs if not o["name"].startswith("removed/")]


def _inputs_of(folder: Path, names: list[str]) -> Inputs:
    """The outputs of a stage, each labelled with its source."""
    return expand([f"{name}={folder / name}" for name in names])


def _has_documents(folder: Path) -> bool:
    return any(o.get("documents", 0) for o in _outputs(folder))


def _assignments(changes: dict[str, Any]) -> tuple[str, ...]:
    """`set` sections as `a.b=c` assignments."""
    from megadata.config import dump_yaml

    return tuple(f"{key}={dump_yaml({'v': value}).partition(':')[2].strip()}" for key, value in changes.items())
