"""Arrays come out of pickles as NumPy reads them; states that would upset NumPy do not reach it."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mito_instance.detection import safe_pickle  # noqa: E402
from mito_instance.detection.safe_pickle import check_tuples, load_pickle  # noqa: E402
from mito_instance.detection.weights import read_weights_file  # noqa: E402
from mito_instance.errors import WeightsError  # noqa: E402

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


NESTED = b")q\0" + b"h\0h\0\x86q\0" * 64
"""A tuple of shared tuples: 2^64 visits to hash it."""

HOSTILE = [
    pytest.param(b"\x80\x02}" + NESTED + b"K\x01s.", id="key"),
    pytest.param(b"\x80\x02}(" + NESTED + b"K\x01u.", id="keys"),
    pytest.param(
        b"\x80\x02ccollections\nOrderedDict\n]]" + NESTED + b"aK\x01aa\x85R.", id="reduced"
    ),
    pytest.param(b"\x80\x02ccollections\nOrderedDict\n)R}" + NESTED + b"K\x01sb.", id="state"),
    pytest.param(b"\x80\x02(X\x07\0\0\0storageX\x01\0\0\0a" + NESTED + b"tQ.", id="place"),
]


@pytest.mark.parametrize("data", HOSTILE)
def test_tuples_that_take_for_ever_to_hash_are_refused(data):
    with pytest.raises(pickle.UnpicklingError, match="a tuple of tuples with more than"):
        load_pickle(io.BytesIO(data))


@pytest.mark.parametrize("data", HOSTILE)
@pytest.mark.parametrize("is_zip", [True, False])
def test_so_are_those_of_a_file_of_torch(tmp_path, data, is_zip):
    path = tmp_path / "w.pth"
    content = {"model": OrderedDict(a=torch.ones(2)), ("plain", 3): {0.5: (1, (2, 3))}}
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    read_weights_file(path)
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, held in entries.items():
                archive.writestr(name, data if name.endswith("data.pkl") else held)
    else:
        path.write_bytes(data)
    with pytest.raises(WeightsError, match="a tuple of tuples with more than"):
        read_weights_file(path)


def test_a_storage_in_a_pickle_is_looked_at_too():
    hostile = b"\x80\x02}" + NESTED + b"K\x01s."
    data = b"\x80\x04ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(hostile))
    with pytest.raises(pickle.UnpicklingError, match="a tuple of tuples with more than"):
        load_pickle(io.BytesIO(data + hostile + b"\x85R."))


def test_keys_may_be_numbers_of_numpy_and_tuples():
    content = {np.int64(3): 1, ("a", 2): 2, (1, (2, (3,))): 3}
    assert load_pickle(io.BytesIO(pickle.dumps(content, 2))) == content


def test_what_takes_memory_by_a_number_alone_is_refused(tmp_path):
    data = b"\x80\x02cbuiltins\nbytearray\nJ\x00\x94\x35\x77\x85R."
    path = tmp_path / "data.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3")
    with path.open("rb") as file, pytest.raises(pickle.UnpicklingError, match="bytearray"):
        check_tuples(file)


def test_arrays_that_are_repeated_by_a_few_words_are_counted(monkeypatch):
    monkeypatch.setattr(safe_pickle, "MAX_MADE_BYTES", 5000)
    text = b"X" + struct.pack("<I", 1000) + b"a" * 1000
    begin = b"\x80\x02c_codecs\nencode\nq\x00" + text + b"X\x06\x00\x00\x00latin1\x86q\x01"
    for n_times, is_refused in ((4, False), (6, True)):
        data = begin + b"h\x00h\x01R" * n_times + b"."
        if is_refused:
            with pytest.raises(pickle.UnpicklingError, match="more than 5000 bytes"):
                load_pickle(io.BytesIO(data))
        else:
            assert load_pickle(io.BytesIO(data)) == b"a" * 1000


def test_a_place_in_the_memo_takes_no_memory_of_its_size():
    """That of C makes room for all places before it."""
    assert issubclass(safe_pickle._Unpickler, pickle._Unpickler)
    assert load_pickle(io.BytesIO(b"\x80\x02Nr\x00\x00\x00\x20.")) is None


def test_an_array_of_bytes_that_the_file_lacks_takes_no_memory():
    data = b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc."
    with pytest.raises(EOFError):
        load_pickle(io.BytesIO(data))
