"""Reader, order, blend and loader need numpy and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest
from oracles_indexed import make

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"blocked: {{name}}")
sys.meta_path.insert(0, Block())
"""
FOREIGN = (
    *("pyarrow", "yaml", "torch", "numba", "orjson", "zstandard", "pydantic", "click", "rich", "fsspec", "tokenizers"),
    *("gigatoken", "datasketch", "ftfy", "datasets"),
)
USE = """
import megadata
from megadata.indexed.merge import merge
from megadata.indexed.packing import pack
ds = megadata.IndexedDataset({prefix!r})
assert ds.verify(deep=True).ok
assert ds[0].size and ds.document(0).size
blend = megadata.Blend.of({{"d": ds}})
samples = blend.samples(16)
assert samples[5].shape == (17,)
assert samples.provenance(3)
assert blend.plan(1000, 16).lines()
assert next(iter(megadata.Loader(samples, 4))).input_ids.shape == (4, 16)
merge([{prefix!r}], {prefix!r} + "-merged", shuffle=True)
assert pack([3, 4], 8).rows == 1
megadata.adapters.nanogpt({{"train": ds}}, {prefix!r} + "-nano")
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_runs_where_only_numpy_is_installed(tmp_path):
    run(BLOCK.format(blocked=set(FOREIGN)) + USE.format(prefix=make(tmp_path / "d", 500)))


def test_importing_megadata_loads_not_even_numpy():
    loaded = run("import sys, megadata; print(megadata.__version__, 'numpy' in sys.modules, dir(megadata))")
    assert loaded.startswith("0.1.0 False ['Batch', 'Blend',")


def test_a_name_that_does_not_exist_is_an_attribute_error():
    import megadata

    with pytest.raises(AttributeError, match="module 'megadata' has no attribute 'Blendd'"):
        _ = megadata.Blendd
