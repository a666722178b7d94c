"""Each adapter in the library it is made for: what arrives there is the blend, in its order, and goes on where it stopped."""

from __future__ import annotations

import numpy as np
import pytest
from oracles_indexed import make, numbered

import megadata
from megadata.indexed.blend import Blend
from megadata.indexed.loader import Loader

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

L = 16


@pytest.fixture(scope="module")
def blend(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    data = {
        name: make(folder / name, size, seed=i, high=64) for i, (name, size) in enumerate((("a", 3000), ("b", 900)))
    }
    held_out = {"a": make(folder / "v", 400, seed=9, high=64)}
    return Blend.of(data, {"a": 3, "b": 1}, validation=held_out)


@pytest.fixture(scope="module")
def samples(blend):
    return blend.samples(L)


def inputs(batches):
    return np.concatenate([np.asarray(batch["input_ids"]) for batch in batches]).tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stateful_dataloader_goes_on_where_it_stopped(samples, workers):
    from torchdata.stateful_dataloader import StatefulDataLoader

    def loader():
        stream = megadata.adapters.torch_batches(Loader(samples, 8, rank=1, world_size=2), 12)
        return StatefulDataLoader(stream, batch_size=None, num_workers=workers)

    whole = list(loader())
    expected = np.concatenate([samples.batch(8 * i + 4, 8 * i + 8)[:, :-1] for i in range(12)])
    assert inputs(whole) == expected.tolist()
    first = loader()
    taken = [batch for _, batch in zip(range(5), first, strict=False)]
    again = loader()
    again.load_state_dict(first.state_dict())
    assert inputs([*taken, *again]) == expected.tolist()


def gpt2(**more):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=64, n_positions=L, n_embd=32, n_layer=1, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **more
    )
    return GPT2LMHeadModel(config)


@pytest.mark.parametrize("kind", ["map", "iterable"])
def test_a_tiny_gpt2_trains_from_the_blend_with_transformers_trainer(samples, tmp_path, kind):
    import torch
    from transformers import Trainer, TrainingArguments

    torch.manual_seed(0)
    seen = []

    class InOrder(Trainer):
        def _get_train_sampler(self, *args, **kwargs):
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def training_step(self, model, batch, *args, **kwargs):
            seen.append(batch["input_ids"].numpy().copy())
            assert torch.equal(batch["input_ids"], batch["labels"])
            return super().training_step(model, batch, *args, **kwargs)

    make_dataset = {"map": megadata.adapters.torch_dataset, "iterable": megadata.adapters.hf_dataset}[kind]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=40, per_device_train_batch_size=8, learning_rate=1e-2, report_to=[], use_cpu=True,
        logging_steps=1, save_strategy="no", disable_tqdm=True, lr_scheduler_type="constant",
    )  # fmt: skip
    dataset = make_dataset(samples, 320, shifted=False)
    trainer = InOrder(gpt2(), arguments, train_dataset=dataset.with_format("torch") if kind == "iterable" else dataset)
    trainer.train()
    assert np.concatenate(seen).tolist() == samples.batch(0, 320)[:, :-1].tolist()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.05


def test_labels_of_transformers_and_ours_give_the_same_loss(samples):
    import torch

    model = gpt2().eval()
    shifted, plain = (megadata.adapters.torch_dataset(samples, 4, shifted=s)[2] for s in (True, False))
    theirs = model(input_ids=plain["input_ids"][None], labels=plain["labels"][None]).loss
    logits = model(input_ids=shifted["input_ids"][None]).logits
    ours = torch.nn.functional.cross_entropy(logits[0, :-1], shifted["labels"][:-1])
    torch.testing.assert_close(ours, theirs)


def test_megatron_reads_our_files_as_its_own_datasets(tmp_path):
    """The whole of it is in test_indexed_megatron_peers; here the tokens of a plain file, document by document."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    ours = megadata.IndexedDataset(make(tmp_path / "d", 1000))
    theirs = IndexedDataset(ours.prefix)
    assert [t.tolist() for t in ours[:]] == [theirs[i].tolist() for i in range(len(theirs))]


def test_nanogpts_loop_reads_an_exported_file(tmp_path):
    import torch

    prefix = numbered(tmp_path / "d", 5000)
    megadata.adapters.nanogpt({"train": prefix}, tmp_path)

    def get_batch(data_dir, block_size, batch_size):  # as it stands in nanoGPT's train.py
        data = np.memmap(data_dir / "train.bin", dtype=np.uint16, mode="r")
        ix = torch.randint(len(data) - block_size, (batch_size,))
        x = torch.stack([torch.from_numpy((data[i : i + block_size]).astype(np.int64)) for i in ix])
        y = torch.stack([torch.from_numpy((data[i + 1 : i + 1 + block_size]).astype(np.int64)) for i in ix])
        return x, y

    torch.manual_seed(0)
    x, y = get_batch(tmp_path, L, 64)
    assert torch.equal(x + 1, y)
    assert torch.equal(x[:, :1] + torch.arange(L), x)
    assert len(np.memmap(tmp_path / "train.bin", dtype=np.uint16)) == 5000


def test_lightning_trains_validates_and_goes_on_where_it_stopped(blend, samples, tmp_path):
    import lightning
    import torch

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.seen, self.held_out = gpt2(), [], []

        def training_step(self, batch, _):
            self.seen.append(batch["input_ids"].numpy().copy())
            return torch.nn.functional.cross_entropy(
                self.model(input_ids=batch["input_ids"]).logits.transpose(1, 2), batch["labels"]
            )

        def validation_step(self, batch, _):
            self.held_out.append(batch["input_ids"].numpy().copy())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(steps, checkpoint=None):
        torch.manual_seed(0)
        model = Model()
        trainer = lightning.Trainer(
            max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path, enable_checkpointing=False, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(model, datamodule=megadata.adapters.lightning_data(blend, L, 4, 10), ckpt_path=checkpoint)
        trainer.save_checkpoint(tmp_path / "at.ckpt", weights_only=False)
        return model

    whole = fit(10)
    assert np.concatenate(whole.seen).tolist() == samples.batch(0, 40)[:, :-1].tolist()
    windows = blend.validation(L)["a"]
    assert np.concatenate(whole.held_out).tolist() == windows.batch(0, len(windows))[:, :-1].tolist()
    assert len(fit(4).seen) == 4
    rest = fit(10, tmp_path / "at.ckpt")
    assert np.concatenate(rest.seen).tolist() == samples.batch(16, 40)[:, :-1].tolist()


def test_hugging_face_datasets_batch_format_and_resume(samples):
    dataset = megadata.adapters.hf_dataset(samples, 50)
    rows = list(dataset.with_format("numpy").batch(10))
    assert inputs(rows) == samples.batch(0, 50)[:, :-1].tolist()
    rows = iter(dataset)
    first = [next(rows)["input_ids"] for _ in range(20)]
    state = dataset.state_dict()
    again = megadata.adapters.hf_dataset(samples, 50)
    again.load_state_dict(state)
    assert first + [row["input_ids"] for row in again] == samples.batch(0, 50)[:, :-1].tolist()


@pytest.mark.parametrize("threads", [0, 4])
def test_grain_reads_the_source_and_resumes(samples, threads):
    import grain

    def iterator():
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=8 if threads else 0)
        source = megadata.adapters.grain_source(samples, 60)
        return iter(grain.MapDataset.source(source).batch(6).to_iter_dataset(options))

    one = iterator()
    first = [next(one) for _ in range(4)]
    state = one.get_state()
    other = iterator()
    other.set_state(state)
    assert inputs([*first, *other]) == samples.batch(0, 60)[:, :-1].tolist()


def test_grains_dataloader_with_workers_and_shards(samples):
    import grain

    source = megadata.adapters.grain_source(samples, 40)
    found = []
    for shard in range(2):
        sampler = grain.samplers.IndexSampler(
            40, shard_options=grain.sharding.ShardOptions(shard, 2), shuffle=False, num_epochs=1
        )
        found += [
            row["labels"].tolist() for row in grain.DataLoader(data_source=source, sampler=sampler, worker_count=0)
        ]
    assert sorted(found) == sorted(samples.batch(0, 40)[:, 1:].tolist())


def test_jax_gets_arrays_laid_out_over_devices(samples):
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    loader = Loader(samples, 8)
    batches = megadata.adapters.jax_batches(loader)
    found = [next(batches) for _ in range(3)]
    assert inputs(found) == samples.batch(0, 24)[:, :-1].tolist()
    assert found[0]["labels"].dtype == jax.numpy.int32
    state = loader.state_dict()
    loader.close()
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:1]), ("data",)), PartitionSpec("data"))
    again = Loader(samples, 8)
    again.load_state_dict(state)
    batch = next(megadata.adapters.jax_batches(again, sharding))
    again.close()
    assert batch["input_ids"].sharding == sharding
    assert np.asarray(batch["input_ids"]).tolist() == samples.batch(24, 32)[:, :-1].tolist()
