"""The functions that Octave lacks, held against scipy and numpy, under Octave itself."""

import shutil
import subprocess

import numpy as np
import pytest
from scipy import io, ndimage

from nwbpipe.processors.imaging.extract._compute import FUNCTIONS

pytestmark = [pytest.mark.tool, pytest.mark.slow]

SCRIPT = """
warning('off', 'all');
addpath('{functions}');
load('{folder}/in.mat');
same = imfilter(stack, kernel);
edged = imfilter(single(stack), kernel, 'replicate');
flags = imfilter(stack(:, :, 1) > 0, ones(3));
median3 = medfilt2(stack(:, :, 1));
median5 = medfilt2(stack(:, :, 1), [5 3]);
parts = conncomp(graph(sparse(links)), 'OutputForm', 'cell');
members = zeros(1, rows(links));
for k = 1:numel(parts) members(parts{{k}}) = k; end
[low, lowat] = mink(vector, 3);
[high, highat] = maxk(vector, 99);
counts = histcounts(vector, [-1 0 0.5 2]);
spread = nanstd([vector(:); NaN]);
seconds = posixtime(datetime) - posixtime(datetime);
count = gpuDeviceCount; same2 = gather(vector);
kind = class(edged);
save('-v6', '{folder}/out.mat', 'same', 'edged', 'flags', 'median3', 'median5', 'members', 'low', 'lowat', ...
     'high', 'highat', 'counts', 'spread', 'seconds', 'count', 'same2', 'kind');
"""


def test_they_do_what_matlabs_do(tmp_path):
    octave = shutil.which("octave-cli")
    if octave is None:
        pytest.skip("GNU Octave is not installed")
    rng = np.random.default_rng(0)
    stack, kernel = rng.normal(size=(9, 7, 3)), rng.normal(size=(4, 3))
    vector = rng.normal(size=12).clip(-0.99, 1.99)
    links = np.zeros((6, 6))
    for one, other in ((0, 3), (3, 5), (1, 2)):
        links[one, other] = 1
    io.savemat(tmp_path / "in.mat", {"stack": stack, "kernel": kernel, "vector": vector[None], "links": links})
    script = SCRIPT.format(functions=FUNCTIONS, folder=tmp_path)
    done = subprocess.run([octave, "--no-init-file", "--eval", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    out = io.loadmat(tmp_path / "out.mat", squeeze_me=True)

    def correlated(values, mode):
        # MATLAB's centre of an even kernel is floor((size + 1) / 2).
        origin = [(size - 1) // 2 - size // 2 for size in kernel.shape]
        return np.stack(
            [ndimage.correlate(one, kernel, mode=mode, origin=origin) for one in np.moveaxis(values, 2, 0)], axis=2
        )

    np.testing.assert_allclose(out["same"], correlated(stack, "constant"), atol=1e-12)
    np.testing.assert_allclose(out["edged"], correlated(stack, "nearest"), atol=1e-5)
    assert out["kind"] == "single"
    flags = ndimage.correlate((stack[..., 0] > 0).astype(float), np.ones((3, 3)), mode="constant")
    np.testing.assert_array_equal(out["flags"], flags)
    for name, size in (("median3", (3, 3)), ("median5", (5, 3))):
        np.testing.assert_allclose(out[name], ndimage.median_filter(stack[..., 0], size, mode="constant"))
    assert out["members"].tolist() == [1, 2, 2, 1, 3, 1]
    np.testing.assert_array_equal(out["low"], np.sort(vector)[:3])
    np.testing.assert_array_equal(vector[out["lowat"].astype(int) - 1], out["low"])
    np.testing.assert_array_equal(out["high"], np.sort(vector)[::-1])
    np.testing.assert_array_equal(out["counts"], np.histogram(vector, [-1, 0, 0.5, 2])[0])
    assert out["spread"] == pytest.approx(vector.std(ddof=1))
    assert abs(out["seconds"]) < 1
    assert out["count"] == 0
    np.testing.assert_array_equal(out["same2"], vector)
