import numpy as np
import pytest

from fedcxr.config.arithmetic import Arithmetic
from fedcxr.errors import ArtefactError
from fedcxr.parameters import Parameters, ParameterSpec, save_parameters
from fedcxr.runs.checkpoint_files import checkpoint_file
from fedcxr.runs.saved_model import read_weights

ARITHMETIC = Arithmetic({"seed": 0, "train.learning_rate": 0.001})


def spec_of(labels):
    return ParameterSpec(("head.weight",), ((labels, 4),), ("trainable",))


SPEC = spec_of(14)
VALUES = Parameters(np.arange(56, dtype=np.float32), np.zeros(0, np.int64))


def saved(folder, **beside):
    file = checkpoint_file(folder, 1)
    save_parameters(file, VALUES, SPEC, beside)
    return file


def test_a_model_that_is_only_used_must_be_the_runs_own(tmp_path):
    file = saved(tmp_path, arithmetic=ARITHMETIC.to_json())
    assert read_weights(file, SPEC, ARITHMETIC.digest).sha256() == VALUES.sha256()
    with pytest.raises(ArtefactError, match=r"belongs to another run .*Put the run's own"):
        read_weights(file, SPEC, "b" * 64)


def test_weights_of_another_label_list_name_the_difference(tmp_path):
    file = saved(tmp_path, arithmetic=ARITHMETIC.to_json())
    with pytest.raises(ArtefactError, match=r"head\.weight is \[14, 4\], expected \[5, 4\]"):
        read_weights(file, spec_of(5), ARITHMETIC.digest)


@pytest.mark.parametrize("beside", [{}, {"arithmetic": "no json"}])
def test_weights_that_no_run_wrote_are_refused(beside, tmp_path):
    with pytest.raises(ArtefactError, match="not a checkpoint of a run, or of an earlier version"):
        read_weights(saved(tmp_path, **beside), SPEC, ARITHMETIC.digest)
