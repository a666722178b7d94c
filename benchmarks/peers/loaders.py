"""One loader in a process of its own: convert the tokens for it, or open them, read batches, and print what that took as JSON.

``python loaders.py prepare|read LOADER FOLDER SECONDS``. FOLDER holds the sources, `tokens/sNNN.bin` and `.idx`, and what each
loader made of them. Every loader blends all sources by their weights and gives shuffled batches of BATCH samples of LENGTH
tokens and their labels, in the form it gives by itself. See benchmarks/bench_loaders.py.
"""

from __future__ import annotations

import importlib.machinery
import json
import logging
import os
import resource
import sys
import time
import types
import warnings
from pathlib import Path

import numpy as np

LENGTH = 1024
BATCH = 32
SEED = 1234


def sources(folder):
    """Prefixes, and the weight of each: 1, 2, 3, 1, 2, ..."""
    found = sorted(str(path)[:-4] for path in (folder / "tokens").glob("*.idx"))
    return found, [float(1 + i % 3) for i in range(len(found))]


def windows(prefix):
    """The tokens of a source in rows of LENGTH + 1."""
    tokens = np.memmap(f"{prefix}.bin", np.uint16, "r")
    return tokens[: tokens.size // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)


def megadata(folder):
    """Ours."""
    from megadata.indexed.blend import Blend
    from megadata.indexed.loader import Loader

    prefixes, weights = sources(folder)
    names = [Path(prefix).name for prefix in prefixes]
    blend = Blend.of(dict(zip(names, prefixes, strict=True)), dict(zip(names, weights, strict=True)), seed=SEED)
    return lambda: Loader(blend.samples(LENGTH), BATCH, prefetch=0)


def megadata_torch(folder):
    """Ours as torch tensors, all fields."""
    import torch

    from megadata.indexed.adapters.pytorch import torch_batches

    torch.set_num_threads(1)
    opened = megadata(folder)
    return lambda: iter(torch_batches(opened()))


def megadata_megatron(folder):
    """Ours in Megatron's order."""
    from megadata.indexed.blend import Blend, MegatronOrder
    from megadata.indexed.loader import Loader

    prefixes, weights = sources(folder)
    names = [Path(prefix).name for prefix in prefixes]
    blend = Blend.of(
        dict(zip(names, prefixes, strict=True)),
        dict(zip(names, weights, strict=True)),
        seed=SEED,
        megatron=MegatronOrder(samples=run_samples(prefixes)),
    )
    return lambda: Loader(blend.samples(LENGTH), BATCH, prefetch=0)


def run_samples(prefixes):
    """Samples of a run: once through all tokens."""
    return sum(Path(f"{prefix}.bin").stat().st_size // 2 for prefix in prefixes) // LENGTH // BATCH * BATCH


def megatron(folder):
    """Megatron-core, its index files in FOLDER/megatron."""
    import torch
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig

    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    (folder / "megatron").mkdir(exist_ok=True)
    store = f"file://{folder}/megatron/store-{os.getpid()}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    prefixes, weights = sources(folder)
    tokenizer = types.SimpleNamespace(
        vocab_size=65536, eod=0, pad=-1, eos=0, unique_identifiers={"class": "none"}, special_tokens_dict={}
    )

    def opened():
        config = GPTDatasetConfig(
            random_seed=SEED,
            sequence_length=LENGTH,
            blend_per_split=[(prefixes, weights), None, None],
            path_to_cache=str(folder / "megatron"),
            tokenizer=tokenizer,
            reset_position_ids=False,
            reset_attention_mask=False,
            eod_mask_loss=False,
            create_attention_mask=False,
        )
        sizes = [run_samples(prefixes), None, None]
        data = BlendedMegatronDatasetBuilder(GPTDataset, sizes, lambda: True, config).build()[0]
        return iter(torch.utils.data.DataLoader(data, batch_size=BATCH))

    return opened


def without_torchvision():
    """mosaicml-streaming imports torchvision for its pictures; where that does not go with torch, without it."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in ("", ".datasets", ".transforms", ".transforms.functional"):
            module = types.ModuleType(f"torchvision{name}")
            module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
            sys.modules[module.__name__] = module
        sys.modules["torchvision.datasets"].VisionDataset = object
        sys.modules["torchvision.transforms.functional"].to_tensor = None


def streaming(folder):
    """mosaicml-streaming: MDS shards of samples."""
    without_torchvision()
    import streaming
    import torch

    torch.set_num_threads(1)
    _, weights = sources(folder)
    folders = sorted((folder / "mds").iterdir())

    def opened():
        streaming.base.util.clean_stale_shared_memory()
        streams = [
            streaming.Stream(local=str(one), proportion=weight / sum(weights))
            for one, weight in zip(folders, weights, strict=True)
        ]
        data = streaming.StreamingDataset(streams=streams, batch_size=BATCH, shuffle=True, shuffle_seed=SEED)
        return iter(torch.utils.data.DataLoader(data, batch_size=BATCH))

    return opened


def prepare_streaming(folder):
    """Write MDS."""
    without_torchvision()
    import streaming

    for prefix in sources(folder)[0]:
        target = folder / "mds" / Path(prefix).name
        with streaming.MDSWriter(out=str(target), columns={"tokens": f"ndarray:uint16:{LENGTH + 1}"}) as writer:
            for row in windows(prefix):
                writer.write({"tokens": row})


def litdata(folder):
    """Litdata: token chunks, its TokensLoader."""
    import litdata
    import torch

    torch.set_num_threads(1)
    _, weights = sources(folder)
    folders = sorted((folder / "litdata").iterdir())

    def opened():
        parts = [
            litdata.StreamingDataset(
                str(one),
                item_loader=litdata.TokensLoader(block_size=LENGTH + 1),
                shuffle=True,
                drop_last=True,
                seed=SEED,
            )
            for one in folders
        ]
        data = litdata.CombinedStreamingDataset(parts, seed=SEED, weights=weights, iterate_over_all=False)
        return iter(litdata.StreamingDataLoader(data, batch_size=BATCH))

    return opened


def prepare_litdata(folder):
    """Write chunks of 64 MiB."""
    import torch
    from litdata.streaming.item_loader import TokensLoader
    from litdata.streaming.writer import BinaryWriter

    for prefix in sources(folder)[0]:
        target = folder / "litdata" / Path(prefix).name
        target.mkdir(parents=True)
        writer = BinaryWriter(str(target), chunk_size=1 << 25, item_loader=TokensLoader(block_size=LENGTH + 1))
        rows = windows(prefix)
        for i, first in enumerate(range(0, len(rows), 64)):
            writer[i] = torch.from_numpy(rows[first : first + 64].ravel().copy())
        writer.done()
        writer.merge()


def grain(folder):
    """Grain over ArrayRecord."""
    from grain import MapDataset, ReadOptions
    from grain.sources import ArrayRecordDataSource

    _, weights = sources(folder)
    files = sorted((folder / "arrayrecord").iterdir())

    def opened():
        parts = [
            MapDataset.source(ArrayRecordDataSource(str(file)))
            .seed(SEED)
            .shuffle()
            .repeat()
            .map(lambda record: np.frombuffer(record, np.uint16).astype(np.int64))
            for file in files
        ]
        mixed = MapDataset.mix(parts, weights).batch(BATCH)
        return iter(mixed.to_iter_dataset(ReadOptions(num_threads=0, prefetch_buffer_size=0)))

    return opened


def prepare_grain(folder):
    """Write ArrayRecord files."""
    from array_record.python.array_record_module import ArrayRecordWriter

    (folder / "arrayrecord").mkdir()
    for prefix in sources(folder)[0]:
        writer = ArrayRecordWriter(str(folder / "arrayrecord" / f"{Path(prefix).name}.array_record"), "group_size:1")
        for row in windows(prefix):
            writer.write(row.tobytes())
        writer.close()


def datasets(folder):
    """HF datasets: Arrow, shuffled and interleaved, map-style."""
    import datasets
    import torch

    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    _, weights = sources(folder)
    folders = sorted((folder / "arrow").iterdir())

    def opened():
        datasets.disable_caching()
        parts = [datasets.load_from_disk(str(one)).shuffle(seed=SEED, keep_in_memory=True) for one in folders]
        shares = [weight / sum(weights) for weight in weights]
        data = datasets.interleave_datasets(parts, shares, seed=SEED, stopping_strategy="first_exhausted")
        return iter(torch.utils.data.DataLoader(data.with_format("torch"), batch_size=BATCH))

    return opened


def prepare_datasets(folder):
    """Write Arrow files."""
    import datasets
    import pyarrow as pa

    datasets.disable_progress_bars()
    for prefix in sources(folder)[0]:
        flat = pa.array(np.array(windows(prefix)).ravel().astype(np.int32))
        table = pa.table({"tokens": pa.FixedSizeListArray.from_arrays(flat, LENGTH + 1)})
        datasets.Dataset(table).save_to_disk(str(folder / "arrow" / Path(prefix).name))


def nanogpt(folder):
    """nanoGPT's loop: random offsets into one file, the map made anew for each batch. It has no epochs, sources or order."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEED)

    def get_batch():
        while True:
            data = np.memmap(folder / "nanogpt" / "train.bin", dtype=np.uint16, mode="r")
            ix = torch.randint(len(data) - LENGTH, (BATCH,))
            x = torch.stack([torch.from_numpy((data[i : i + LENGTH]).astype(np.int64)) for i in ix])
            y = torch.stack([torch.from_numpy((data[i + 1 : i + 1 + LENGTH]).astype(np.int64)) for i in ix])
            yield x, y

    return get_batch


def prepare_nanogpt(folder):
    """One file of all tokens."""
    (folder / "nanogpt").mkdir()
    with (folder / "nanogpt" / "train.bin").open("wb") as out:
        for prefix in sources(folder)[0]:
            out.write(Path(f"{prefix}.bin").read_bytes())


def rows_of(batch):
    """The tokens of a batch, whatever its form; int64, shape (BATCH, LENGTH or LENGTH + 1)."""
    if hasattr(batch, "input_ids"):
        batch = batch.input_ids
    elif isinstance(batch, dict):
        batch = batch["tokens" if "tokens" in batch else "input_ids"]
    elif isinstance(batch, (tuple, list)):
        batch = batch[0]
    return np.asarray(batch, np.int64)


def memory():
    """Bytes of this process: of its own, that no file backs; and resident altogether."""
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()
    found = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if line.endswith("kB")}
    return found["Anonymous"], found["Rss"]


def again(opened):
    """The batches of one pass after another; opening once more counts as reading."""
    while True:
        yield from opened()


def read(name, folder, seconds):
    """Open, take a first batch, then read on; what that took."""
    began = time.perf_counter()
    opened = globals()[name](folder)
    imported = time.perf_counter() - began
    own, resident = memory()
    began, cpu = time.perf_counter(), time.process_time()
    batches = again(opened)
    first = rows_of(next(batches))
    first_s, first_cpu = time.perf_counter() - began, time.process_time() - cpu
    for _ in range(20):
        next(batches)
    own_after, resident_after = memory()
    # Rates are of turns of a quarter of a second; the best third is what the machine gives when nobody else uses it.
    rates, cpu_rates, tokens = [], [], 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        count, began, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < 0.25:
            next(batches)
            count += BATCH * LENGTH
        rates.append(count / (time.perf_counter() - began))
        cpu_rates.append(count / max(1e-9, time.process_time() - cpu))
        tokens += count
    return {
        "import_s": round(imported, 3),
        "first_batch_s": round(first_s, 4),
        "first_batch_cpu_s": round(first_cpu, 4),
        "own_mb": round((own_after - own) / 1e6, 2),
        "resident_mb": round((resident_after - resident) / 1e6, 2),
        "process_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
        "tokens_per_s": float(f"{np.median(rates):.4g}"),
        "tokens_per_cpu_s": float(f"{np.median(cpu_rates):.4g}"),
        "tokens": tokens,
        "rows": [row[:24].tolist() for row in first[:4]],
    }


def main():
    """Do what the command line says."""
    what, name, folder, seconds = sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])
    warnings.simplefilter("ignore")
    if what == "prepare":
        began = time.perf_counter()
        globals()[f"prepare_{name}"](folder)
        print(json.dumps({"prepare_s": round(time.perf_counter() - began, 1)}))
    else:
        print(json.dumps(read(name, folder, seconds)))
    sys.stdout.flush()
    os._exit(0)  # threads of some loaders do not end


if __name__ == "__main__":
    main()
