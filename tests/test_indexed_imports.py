"""Reader, order, blend and loader need numpy and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest
from oracles_indexed import make

BLOCK = """
import sys
KNOWN = {{*sys.stdlib_module_names, "numpy", "megadata", "_distutils_hack", "sitecustomize"}}
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in KNOWN:
            raise ImportError(f"blocked: {{name}}")
sys.meta_path.insert(0, Block())
try:
    import yaml
except ImportError:
    pass
else:
    raise SystemExit("packages besides numpy can be imported")
"""
USE = """
import megadata
from megadata.indexed.merge import merge
from megadata.indexed.packing import pack
ds = megadata.IndexedDataset({prefix!r})
assert ds.verify(deep=True).ok
assert ds[0].size and ds.document(0).size
from megadata.indexed.blend import Phase
from megadata.indexed.gpt import GptSamples
inner = megadata.Blend.of({{"d": ds}})
phases = [Phase(from_tokens=800, to_tokens=3200, weights={{"all": 2}})]
blend = megadata.Blend.of({{"all": inner}}, {{"all": 1}}, phases=phases, seed=3)
samples = blend.samples(16)
assert samples.showing("all/d", 20, 50, 400).size
assert samples[5].shape == (17,)
assert samples.provenance(3)
assert blend.plan(1000, 16).lines()
loader = megadata.Loader(GptSamples(samples, document_aware=True, eod=11), 4)
assert next(loader).input_ids.shape == (4, 16)
resumed = megadata.Loader(GptSamples(blend.samples(16), document_aware=True, eod=11), 4, 0, 2)
resumed.load_state_dict(loader.state_dict())
assert resumed.rebase(loader.state_dict()) == []
assert next(resumed).input_ids.shape == (2, 16)
assert blend.validation(16) == {{}}
merge([{prefix!r}], {prefix!r} + "-merged", shuffle=True)
assert pack([3, 4], 8).rows == 1
megadata.adapters.nanogpt({{"train": ds}}, {prefix!r} + "-nano")
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_runs_where_only_numpy_is_installed(tmp_path):
    run(BLOCK.format() + USE.format(prefix=make(tmp_path / "d", 500)))


def test_importing_megadata_loads_not_even_numpy():
    loaded = run("import sys, megadata; print(megadata.__version__, 'numpy' in sys.modules, dir(megadata))")
    assert loaded.startswith("0.1.0 False ['Batch', 'Blend',")


def test_a_name_that_does_not_exist_is_an_attribute_error():
    import megadata

    with pytest.raises(AttributeError, match="module 'megadata' has no attribute 'Blendd'"):
        _ = megadata.Blendd
