"""Arrays come out of pickles as NumPy reads them; states that would upset NumPy do not reach it."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest

pytest.importorskip("torch")

from mito_instance.detection.safe_pickle import load_pickle

ARRAYS = {
    "f2": np.arange(6, dtype=np.float16).reshape(2, 3),
    "big-endian": np.arange(6, dtype=">f4").reshape(3, 2),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "permuted": np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    "bool": np.array([True, False]),
    "i8": np.array([[[-(2**40)]]]),
    "0-d": np.array(2.5, np.float32),
    "empty": np.zeros((0, 3), np.uint8),
    "scalar": np.float64(2.5),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_those_that_were_pickled(name, protocol):
    value = ARRAYS[name]
    data = pickle.dumps({"model": {"a": value}, "b": value}, protocol=protocol)
    loaded = load_pickle(io.BytesIO(data))
    for found in (loaded["model"]["a"], loaded["b"]):
        np.testing.assert_array_equal(found, value)
        assert found.dtype == value.dtype.newbyteorder("=")
        assert found.shape == value.shape


@pytest.mark.parametrize("axes", [(0, 0), (0, 2), (0,), ("a", "b"), 3, ([], 0)])
def test_an_order_of_axes_that_is_none_is_refused(axes):
    from_buffer = np.zeros(1).__reduce_ex__(5)[0]
    data = (bytearray(8), np.dtype("f4"), (1, 2), "K", axes)
    with pytest.raises(pickle.UnpicklingError):
        loaded(Call(from_buffer, data))


class Call:
    """Pickled as a call, then a state."""

    def __init__(self, function, args, state=None):
        self.reduced = (function, args, state) if state is not None else (function, args)

    def __reduce__(self):
        return self.reduced


def array(shape=(2,), dtype=None, data=b"\0" * 8, is_fortran=False):
    dtype = np.dtype("f4") if dtype is None else dtype
    reconstruct = np.zeros(1).__reduce__()[0]
    return Call(reconstruct, (np.ndarray, (0,), b"b"), (1, shape, dtype, is_fortran, data))


def dtype(name="f4", state=None):
    return Call(np.dtype, (name, False, True), state)


def loaded(value):
    return load_pickle(io.BytesIO(pickle.dumps({"a": value}, protocol=2)))["a"]


@pytest.mark.parametrize(
    "state",
    [
        pytest.param((3, "<", None, -1, -1, 0), id="a-field-is-lost"),  # NumPy crashed on these
        pytest.param((3, "<", None, None, None, -1, -1, 63), id="flags-of-objects"),
        pytest.param((3, "<", None, None, None, 2**40, 1, 0), id="huge-items"),
        pytest.param((3, "<", None, (), {}, -1, -1, 0), id="fields"),
    ],
)
def test_nothing_but_the_byte_order_of_a_dtype_is_believed(state):
    np.testing.assert_array_equal(loaded(array(dtype=dtype(state=state))), np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(array(shape=(3,)), "array of 12 bytes has 8", id="too-few-bytes"),
        pytest.param(array(shape=(2**40,)), "has 8", id="huge"),
        pytest.param(array(shape=(-1, -2)), "must be sizes", id="negative"),
        pytest.param(array(shape=(2.0,)), "must be sizes", id="fraction"),
        pytest.param(array(shape=5), "must be sizes", id="no-tuple"),
        pytest.param(array(shape=(1,) * 17 + (2,)), "must be sizes", id="dimensions"),
        pytest.param(array(data=7), "has int", id="no-bytes"),
        pytest.param(array(dtype="f4"), "must have a dtype", id="no-dtype"),
        pytest.param(array(dtype=dtype("O")), "must be of numbers", id="objects"),
        pytest.param(array(dtype=dtype("V8")), "must be of numbers", id="records"),
        pytest.param(array(dtype=dtype("f4", (3, 5))), "byte order must be", id="byte-order"),
        pytest.param(Call(np.ndarray, ((5,),)), "no content", id="uninitialised"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(value, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        loaded(value)


def test_a_pickle_that_is_no_mapping_is_returned_as_it_is():
    assert load_pickle(io.BytesIO(pickle.dumps([1, "a"]))) == [1, "a"]
