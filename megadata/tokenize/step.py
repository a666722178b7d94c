"""`tokenize`: documents to indexed datasets, in two passes, resumable, the same bytes for any workers and memory."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from megadata.config import to_dict
from megadata.documents.inputs import Inputs, plan, refuse_unfit, source_versions
from megadata.documents.registry import READERS
from megadata.documents.source import ReadOptions
from megadata.documents.unpack import unpack
from megadata.errors import ConfigError, CorpusError, TokenizerError
from megadata.indexed.format import best_dtype, bin_path, docs_path, idx_path, meta_path, tokenizer_path
from megadata.indexed.meta import Meta, pack_bits
from megadata.runtime.executor import Executor
from megadata.runtime.files import lock_folder, read_json, write_json
from megadata.runtime.manifest import STATE, Manifest, StepSpec, input_digests
from megadata.runtime.owned import claim, refuse_foreign, settle_claim
from megadata.runtime.receipts import Receipt
from megadata.runtime.settings import RunSettings
from megadata.runtime.step import map_units, work_folder
from megadata.runtime.units import InputFile, Unit
from megadata.tokenize.config import TokenizeConfig
from megadata.tokenize.encode import Choice
from megadata.tokenize.keys import group_hash
from megadata.tokenize.layout import CountRange, Totals, cut_ranges, place, read_sums
from megadata.tokenize.load import load_tokenizer
from megadata.tokenize.pack import PACKED_SCHEMA, PlaceRows, pack_datasets, padding_id
from megadata.tokenize.records import DOCS_SCHEMA
from megadata.tokenize.report import TokenizeReport, report_of
from megadata.tokenize.tokenizer import Tokenizer
from megadata.tokenize.unit import EncoderDiffersError, EncodeUnit, Prepare
from megadata.tokenize.write import PlaceRange, complete, is_finished, write_ranges

VERSION = "2"
"""Raised whenever the same documents would be written differently."""


def tokenize(
    inputs: Inputs | Sequence[InputFile],
    prefix: Path | str,
    tokenizer: Tokenizer | Path | str,
    config: TokenizeConfig,
    settings: RunSettings,
    options: ReadOptions | None = None,
) -> TokenizeReport:
    """Encode documents and write them as indexed datasets whose names begin with `prefix`.

    A dataset is ``.bin``, ``.idx``, ``.meta.json``, ``.docs.parquet`` (row d is document d) and ``.tokenizer.json``. A document
    without tokens keeps its place, with no sequence and no end-of-document token, as Megatron's ``preprocess_data.py`` has it.
    With `config.pack` a dataset's documents and sequences are rows of that many tokens, and row d of ``.docs.parquet`` lists what
    lies in row d.
    What is under way lies in the folder ``.NAME.megadata`` beside the prefix; run again after a kill, it goes on from there.

    Raises
    ------
    TokenizerError
        When the tokenizer cannot be read, or lacks the end-of-document token that `config` asks for.
    CorpusError
        When the inputs hold no documents.
    ConfigError
        When the vocabulary does not fit `config.dtype`, or `prefix` names a folder.
    """
    given = inputs if isinstance(inputs, Inputs) else Inputs(list(inputs))
    loaded = _loaded(tokenizer, config)
    where = "the tokenizer" if isinstance(tokenizer, Tokenizer) else str(tokenizer)
    return _Run(given, _checked_prefix(prefix), loaded, config, settings, options or ReadOptions(), where)()


def _checked_prefix(prefix: Path | str) -> Path:
    path = Path(prefix)
    if str(prefix).endswith("/") or path.is_dir():
        raise ConfigError(
            f"-o {prefix}: expected the beginning of file names, found a folder; add a name, as in {path / 'corpus'}"
        )
    return path


def _loaded(tokenizer: Tokenizer | Path | str, config: TokenizeConfig) -> Tokenizer:
    loaded = tokenizer if isinstance(tokenizer, Tokenizer) else load_tokenizer(tokenizer, check=False)
    if config.eod and loaded.eod is None:
        raise TokenizerError(
            "the tokenizer has no end-of-document token (<|endoftext|>, </s> or the like); "
            "write without one (--no-eod) or train a tokenizer that has it"
        )
    return replace(loaded, parses_special=config.parse_special)


@dataclass(frozen=True, slots=True)
class _Run:
    inputs: Inputs
    prefix: Path
    tokenizer: Tokenizer
    config: TokenizeConfig
    settings: RunSettings
    options: ReadOptions
    where: str
    """How messages name the tokenizer."""

    @property
    def state(self) -> Path:
        return self.prefix.parent / f".{self.prefix.name}{STATE}"

    @property
    def dtype(self) -> str:
        return best_dtype(self.tokenizer.vocabulary_size, self.config.dtype).str

    def spec(self, encoder: str) -> StepSpec:
        used = ("tokenizers", "gigatoken") if encoder == "gigatoken" else ("tokenizers",)
        return StepSpec(
            name="tokenize",
            version=VERSION,
            config={
                **to_dict(self.config),
                "tokenizer": self.tokenizer.sha256,
                "encoder": encoder,
                "read": to_dict(self.options),
                "sources": source_versions(self.inputs.files),
                "labels": sorted({(f.name, f.source) for f in self.inputs.files}),
            },
            libraries=(*used, *READERS, *(("sentencex",) if self.config.sentences else ())),
            upstream=self.inputs.upstream,
        )

    def __call__(self) -> TokenizeReport:
        _ = self.dtype
        if self.config.pack:
            padding_id(self.tokenizer)
        units = plan(self.inputs.files)
        with lock_folder(self.state):
            manifest = Manifest.load(self.state)
            for encoder in ("gigatoken", "tokenizers"):
                if manifest is not None and manifest.is_current(self.state, self.spec(encoder).identity, units):
                    self.settings.progress.note(f"{self.prefix}: up to date")
                    return report_of(manifest.totals, self.prefix.parent, skipped=True)
            if not self.config.by and not self.config.split:  # else what names there will be is not known yet
                refuse_foreign(self.state, (), map(_beside_state, _files_of(str(self.prefix))))
            with self.settings.executor() as executor:
                choice = self._choose(executor, units)
                try:
                    return self._write(executor, choice, manifest)
                except EncoderDiffersError as difference:
                    choice = Choice("tokenizers", str(difference))
                    write_json(self._remembered, {"inputs": self._stamps(), "reason": choice.reason})
                    self.settings.progress.note(f"{choice.reason}; starting over with `tokenizers`")
            with self.settings.executor() as executor:
                return self._write(executor, choice, manifest)

    @property
    def _remembered(self) -> Path:
        """Why a killed run had changed to `tokenizers`, so that the next does not try again."""
        return self.state / f"encoder-{self.spec('gigatoken').identity[:16]}.json"

    def _stamps(self) -> list[list[Any]]:
        return [[f.name, f.size, f.mtime_ns] for f in self.inputs.files]

    def _choose(self, executor: Executor, units: list[Unit]) -> Choice:
        """What the first worker chooses; the others load the encoders meanwhile. This process needs none."""
        if self._remembered.exists():
            known = read_json(self._remembered)
            if known.get("inputs") == self._stamps():
                return Choice("tokenizers", known["reason"])
        task = Prepare(self.tokenizer, self.options, units[0] if units else None)
        try:
            choice = dict(executor.run(task, iter(range(executor.workers))))[0]
        except TokenizerError as error:
            raise TokenizerError(f"{self.where}: {error}") from error
        if choice.reason:
            self.settings.progress.note(f"encoding with `tokenizers`: {choice.reason}")
        return choice

    def _write(self, executor: Executor, choice: Choice, before: Manifest | None) -> TokenizeReport:
        spec, config, progress = self.spec(choice.name), self.config, self.settings.progress
        folder = work_folder(self.state, spec)
        encode = EncodeUnit(folder, self.tokenizer, choice.name, config, self.options, self.dtype)
        units = plan(unpack(executor, self.inputs.files, folder / "unpacked", progress, self.options))
        receipts = map_units(executor, encode, units, folder, progress, "tokenize")
        names = sorted({name for receipt in receipts for name in receipt.parts})
        if not names:
            refuse_unfit(self.inputs.files, self.options)
            raise CorpusError(f"expected documents in {len(self.inputs.files)} files, found none; check the inputs")
        ranges = cut_ranges(folder, self.settings)
        limit = config.max_tokens_per_file if config.pack is None else None
        counted = {r.ordinal: counts for r, counts in executor.run(CountRange(folder, limit is not None), ranges)}
        finals = {group_hash(name): f"{self.prefix}{name}" for name in names}
        claim(self.state, [_beside_state(path) for prefix in finals.values() for path in _files_of(prefix)])
        apart = folder / "unpacked"
        prefixes = {hash: str(apart / Path(final).name) for hash, final in finals.items()} if config.pack else finals
        apart.mkdir(exist_ok=True)
        placed, files = place(ranges, counted, prefixes, limit, read_sums(folder))
        write_ranges(executor, PlaceRange(folder, self.dtype, config.sentences), placed, files, spec.identity, progress)
        self._complete(folder, files, spec.identity, self._meta(spec.identity))
        notes: list[str] = []
        if config.pack:
            targets = {one: finals[hash] for hash, one in prefixes.items() if one in files}
            files, note = self._pack(executor, folder, targets, spec.identity)
            notes.append(note)
        return self._publish(spec, receipts, files, choice, before, notes)

    def _pack(
        self, executor: Executor, folder: Path, targets: dict[str, str], identity: str
    ) -> tuple[dict[str, Totals], str]:
        """Pack finished datasets; the files of rows, and what there is to say about them."""
        length, padding = self.config.pack or 0, padding_id(self.tokenizer)
        task = PlaceRows(folder / "packed", self.dtype, length, padding, tuple(targets))
        most, progress = self.config.max_tokens_per_file, self.settings.progress
        files, packed = pack_datasets(executor, targets, task, most, identity, progress)
        meta = replace(self._meta(identity), appended_eod=False, pack=length, padding=padding)
        self._complete(task.folder, files, identity, meta, PACKED_SCHEMA)
        share = packed.padding / max(packed.rows * length, 1)
        return files, (
            f"packed into {packed.rows:,} rows of {length:,} tokens: {share:.2%} padding, nothing left out, "
            f"{packed.cut:,} documents longer than a row were cut"
        )

    def _complete(
        self, folder: Path, files: dict[str, Totals], identity: str, meta: Meta, schema: pa.Schema = DOCS_SCHEMA
    ) -> None:
        for one, totals in files.items():
            if not is_finished(one, identity):
                named = replace(meta, tokenizer_path=tokenizer_path(one).name)
                complete(folder, one, totals, self.dtype, self.tokenizer, named, self.settings.workers, schema)

    def _meta(self, identity: str) -> Meta:
        config = self.config
        return Meta(
            vocabulary_size=self.tokenizer.vocabulary_size,
            eod=self.tokenizer.eod,
            appended_eod=config.eod,
            special_tokens=dict(self.tokenizer.special),
            tokenizer_sha256=self.tokenizer.sha256,
            word_start=pack_bits(self.tokenizer.word_start),
            shuffled=config.shuffle,
            seed=config.seed if config.shuffle else None,
            level="sentence" if config.sentences else "document",
            config=to_dict(config),
            identity=identity,
        )

    def _publish(
        self,
        spec: StepSpec,
        receipts: list[Receipt],
        files: dict[str, Totals],
        choice: Choice,
        before: Manifest | None,
        notes: list[str],
    ) -> TokenizeReport:
        counts: Counter[str] = Counter()
        for receipt in receipts:
            counts.update({name: int(count) for name, count in receipt.counts.items()})
        known = ("documents", "copies", "bytes", "tokens", "sequences", "empty")
        totals = {
            "datasets": [{"prefix": Path(p).name, **asdict(t)} for p, t in files.items()],
            **{name: counts.pop(name, 0) for name in known},
            "problems": dict(sorted(counts.items())),
            "dtype": best_dtype(self.tokenizer.vocabulary_size, self.config.dtype).name,
            "encoder": choice.name,
            "notes": [*notes, *self._notes(files, choice)],
        }
        made = [path for p in files for path in _files_of(p)]
        outputs = [{"name": _beside_state(path), "size": path.stat().st_size} for path in made]
        for old in before.outputs if before is not None else []:
            if all(old["name"] != new["name"] for new in outputs):
                (self.state / old["name"]).unlink(missing_ok=True)
        manifest = Manifest(spec.name, spec.identity, spec.describe(), input_digests(receipts), outputs, totals)
        manifest.save(self.state, receipts)
        settle_claim(self.state, [_beside_state(path) for path in made])
        shutil.rmtree(self.state / STATE / "work", ignore_errors=True)
        self._remembered.unlink(missing_ok=True)
        return report_of(totals, self.prefix.parent)

    def _notes(self, files: dict[str, Totals], choice: Choice) -> list[str]:
        notes = [f"encoded with `tokenizers`: {choice.reason}"] if choice.reason else []
        for name in self.config.split or {}:
            if not any(Path(p).name.split("-")[-1] == name or f"-{name}-" in Path(p).name for p in files):
                notes.append(f"split {name} has no documents, so nothing was written for it")
        return notes


def _beside_state(path: Path) -> str:
    """A file of a dataset as it is named from the folder of the step's state."""
    return f"../{path.name}"


def _files_of(prefix: str) -> list[Path]:
    return [of(prefix) for of in (bin_path, idx_path, meta_path, docs_path, tokenizer_path)]
