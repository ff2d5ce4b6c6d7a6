"""CIFAR-10 from an archive or a folder, its cache, and what happens when they are bad."""

import hashlib
import http.server
import io
import os
import pickle
import tarfile
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torchvision.datasets import CIFAR10

from stnlib.data import catalogue, cifar, imagefolder, sources
from stnlib.data.sets import DataError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty data folder of the test's own, without a network."""
    monkeypatch.setenv("STNLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:9/{sources.ARCHIVE}")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def there():
    """Whether something is there that can be used as CIFAR-10."""
    return {source.name: source.here for source in sources.available()}["c10"]


def pixels(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def fill(folder, train=3, test=1, suffix="png"):
    """An image folder; what it holds, by class: images (n, 32, 32, 3)."""
    held = {}
    for part, n in (("train", train), ("test", test)):
        for label, name in enumerate(cifar.CLASSES):
            (folder / part / name).mkdir(parents=True)
            held[part, label] = pixels(n, label + 10 * n)
            for i, image in enumerate(held[part, label]):
                Image.fromarray(image).save(folder / part / name / f"{i:04}.{suffix}")
    return held


def failure(action, *arguments):
    """The message of the DataError that an action ends in: it is one line."""
    with pytest.raises(DataError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def caches(place):
    return sorted(path.name for path in place.iterdir() if path.is_file())


# An image folder


@pytest.mark.parametrize("where", [".", "cifar10"])
def test_a_folder_gives_each_of_its_images_once_with_its_label(place, where):
    held = fill(place / where, train=3)
    whole = cifar.dataset()
    assert (len(whole.train), len(whole.val), len(whole.test)) == (27, 3, 10)
    assert whole.name == "c10" and whole.classes == cifar.CLASSES and whole.size == (32, 32)
    train = [(whole.train.images, whole.train.labels), (whole.val.images, whole.val.labels)]
    found = sorted(
        (label, image.permute(1, 2, 0).numpy().tobytes())
        for images, labels in train
        for image, label in zip(images, labels.tolist(), strict=True)
    )
    expected = [
        (k, image.tobytes()) for (p, k), ims in held.items() if p == "train" for image in ims
    ]
    assert found == sorted(expected)
    test = zip(whole.test.images, whole.test.labels.tolist(), strict=True)
    for image, label in test:
        assert np.array_equal(image.permute(1, 2, 0).numpy(), held["test", label][0])


def test_the_images_of_a_folder_do_not_come_class_by_class(place):
    fill(place, train=10)
    labels = cifar.dataset().train.labels
    assert (labels.diff() != 0).float().mean() > 0.7


def test_a_folder_says_what_it_is(place):
    fill(place)
    assert "a copy as image files (30 and 10), not the official" in cifar.dataset().source


def test_a_folder_of_jpeg_files_says_so(place):
    fill(place, suffix="jpg")
    assert "JPEG" in cifar.dataset().source


def test_grey_images_become_rgb_and_hidden_files_do_not_count(place):
    fill(place)
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(place / "test" / "frog" / "0000.png")
    (place / "test" / "frog" / ".DS_Store").write_bytes(b"x")
    whole = cifar.dataset()
    (frog,) = whole.test.images[whole.test.labels == cifar.CLASSES.index("frog")]
    assert (frog == 7).all()


def remove(folder):
    for path in folder.iterdir():
        path.unlink()


def spoil(kind, place):
    victim = place / "train" / "cat"
    if kind == "missing class":
        remove(victim)
        victim.rmdir()
    elif kind == "unknown class":
        (place / "train" / "lizard").mkdir()
    elif kind == "empty class":
        remove(victim)
    elif kind == "no test images":
        (place / "test").rename(place / "testing")
    elif kind == "text":
        (victim / "0001.png").write_text("no image")
    elif kind == "truncated":
        content = (victim / "0001.png").read_bytes()
        (victim / "0001.png").write_bytes(content[: len(content) // 2])
    elif kind == "folder":
        (victim / "more").mkdir()
    elif kind == "size":
        Image.new("RGB", (32, 28)).save(victim / "0001.png")


SPOILT = {
    "missing class": "train must have one folder a class: missing are cat, unknown are none",
    "unknown class": "train must have one folder a class: missing are none, unknown are lizard",
    "empty class": "cat has no images: each class needs at least one",
    "no test images": "cannot read the folder",
    "text": "0001.png cannot be read: it is no image",
    "truncated": "0001.png cannot be read",
    "folder": "more cannot be read: ",
    "size": "0001.png must be 32×32 pixels, not 32×28",
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_bad_folder_is_one_line_and_leaves_nothing_behind(place, kind):
    fill(place)
    spoil(kind, place)
    assert SPOILT[kind] in failure(cifar.dataset)
    assert caches(place) == []


def test_a_decoder_that_fails_in_its_own_way_is_one_line_too(place, monkeypatch):
    fill(place)

    def decoded(*_):
        raise RuntimeError("Failed to decode frame 0")  # what Pillow's AVIF plugin raises

    monkeypatch.setattr(Image.Image, "convert", decoded)
    assert "cannot be read: Failed to decode frame 0" in failure(cifar.dataset)
    assert caches(place) == []


def test_data_behind_a_closed_folder_count_as_not_there(place, monkeypatch):
    real = os.stat

    def closed(path, *args, **options):
        if str(place) in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", closed)
    assert not there()


# The cache


def test_a_folder_is_decoded_once_and_then_mapped(place, monkeypatch):
    fill(place)
    first = cifar.dataset()
    assert caches(place) == ["cifar10-folder.safetensors"]
    monkeypatch.setattr(imagefolder, "decode", None)
    second = cifar.dataset()
    assert second.fingerprint == first.fingerprint and second.source == first.source
    for part in ("train", "val", "test"):
        ours, theirs = getattr(first, part), getattr(second, part)
        assert torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)


@pytest.mark.parametrize("lost", ["source", "fingerprint", "train.images", "test.labels"])
def test_a_cache_that_lacks_a_part_is_made_again(place, lost):
    fill(place)
    first = cifar.dataset()
    path = place / "cifar10-folder.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata.pop(lost, None)
    tensors.pop(lost, None)
    save_file(tensors, path, metadata)
    assert cifar.dataset().fingerprint == first.fingerprint


@pytest.mark.parametrize("damage", ["truncated", "one byte", "empty", "not of this folder"])
def test_a_damaged_or_outdated_cache_is_made_again(place, damage):
    fill(place)
    first = cifar.dataset()
    path = place / "cifar10-folder.safetensors"
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-1000])
    elif damage == "one byte":
        path.write_bytes(content[:-1000] + bytes([content[-1000] ^ 1]) + content[-999:])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        Image.fromarray(pixels(1, 99)[0]).save(place / "train" / "dog" / "9999.png")
    again = cifar.dataset()
    assert len(again.train) == len(first.train) + (damage == "not of this folder")
    assert (again.fingerprint == first.fingerprint) == (damage != "not of this folder")


def test_an_interrupted_decoding_leaves_nothing_that_counts(place, monkeypatch):
    fill(place)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", interrupt)
        cifar.dataset()
    assert caches(place) == []
    assert len(cifar.dataset().train) == 27


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_folder_that_cannot_be_written_to_is_one_line(place, monkeypatch):
    fill(place / "cifar10")
    (place / "cifar10-folder.safetensors").mkdir()
    assert "could not write" in failure(cifar.dataset)


# The official archive


def pack(value):
    return pickle.dumps(value, protocol=2)


@pytest.fixture
def archive(monkeypatch):
    """Bytes of an archive laid out like the official one, with ten images a batch."""
    files = {"batches.meta": pack({"label_names": list(cifar.CLASSES)})}
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        images = pixels(10, i).transpose(0, 3, 1, 2).reshape(10, -1)
        files[name] = pack({"data": images, "labels": list(range(10))})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{sources.BATCHES}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

    def md5(content):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    monkeypatch.setattr(
        CIFAR10, "train_list", [[n, md5(c)] for n, c in files.items() if n.startswith("data")]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(files["batches.meta"])})
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(buffer.getvalue()))
    monkeypatch.setattr(cifar, "MD5", md5(buffer.getvalue()))
    return buffer.getvalue()


def test_the_archive_keeps_its_order_but_for_the_images_that_validate(place, archive):
    (place / sources.ARCHIVE).write_bytes(archive)
    whole = cifar.dataset()
    assert whole.source == "CIFAR-10, the official archive"
    pool = np.concatenate([pixels(10, i) for i in range(5)]).transpose(0, 3, 1, 2)
    places = [
        [int((pool == image.numpy()).all((1, 2, 3)).nonzero()[0][0]) for image in split.images]
        for split in (whole.train, whole.val)
    ]
    assert sorted(places[0] + places[1]) == list(range(50)) and len(places[1]) == 5
    assert all(part == sorted(part) for part in places)
    assert whole.train.labels.tolist() == [place % 10 for place in places[0]]
    assert np.array_equal(whole.test.images.numpy(), pixels(10, 5).transpose(0, 3, 1, 2))
    assert caches(place) == [sources.ARCHIVE, "cifar10-official.safetensors"]


def test_the_archive_comes_before_a_folder_and_is_not_needed_any_more_once_decoded(place, archive):
    fill(place)
    (place / sources.ARCHIVE).write_bytes(archive)
    first = cifar.dataset()
    assert "official archive" in first.source and "not" not in first.source
    (place / sources.ARCHIVE).unlink()
    assert cifar.dataset().fingerprint == first.fingerprint


def test_an_archive_that_torchvision_has_unpacked_will_do(place, archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # not in Python 3.11.2
        tar.extractall(place)
    assert sources.cifar_where() == place / sources.BATCHES
    assert cifar.dataset().source == "CIFAR-10, the official archive"


def test_a_damaged_archive_is_named_with_what_to_do(place, archive):
    (place / sources.ARCHIVE).write_bytes(archive[:-10])
    message = failure(cifar.dataset)
    assert message.startswith(f"{place / sources.ARCHIVE} is damaged or incomplete (md5 ")
    assert message.endswith("delete it, and it is downloaded again")
    assert caches(place) == [sources.ARCHIVE]


def test_damaged_files_of_torchvisions_are_named(place, archive):
    (place / sources.BATCHES).mkdir()
    (place / sources.BATCHES / "test_batch").write_bytes(b"")
    assert (
        failure(cifar.dataset) == f"{place / sources.BATCHES} is damaged or incomplete: delete it"
    )
    assert caches(place) == []


# The official binary version


@pytest.fixture
def binary(place, monkeypatch):
    """A folder of the binary version's files that holds the images of `archive`."""
    folder = place / sources.BINARY
    folder.mkdir()
    for i, name in enumerate([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]):
        images = pixels(10, i).transpose(0, 3, 1, 2).reshape(10, -1)
        content = b"".join(bytes([label]) + image.tobytes() for label, image in enumerate(images))
        (folder / name).write_bytes(content)
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        monkeypatch.setitem(cifar.BINARY_MD5, name, md5)
    return folder


def test_the_binary_version_and_the_archive_are_one_data_set(place, binary, archive):
    of_binary = cifar.dataset()
    assert sources.cifar_where() == binary and "binary" in of_binary.source
    (place / "cifar10-official.safetensors").unlink()
    (place / sources.ARCHIVE).write_bytes(archive)
    of_archive = cifar.dataset()
    assert of_archive.source == "CIFAR-10, the official archive"
    assert of_archive.fingerprint == of_binary.fingerprint
    for part in ("train", "val", "test"):
        one, other = getattr(of_binary, part), getattr(of_archive, part)
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_the_binary_version_comes_before_a_folder(place, binary):
    fill(place)
    assert "binary" in cifar.dataset().source


def test_the_checksums_are_those_of_the_official_binary_version():
    digest = hashlib.sha256("".join(cifar.BINARY_MD5.values()).encode()).hexdigest()
    assert list(cifar.BINARY_MD5) == [
        *(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin",
    ]
    assert digest.startswith("d47d648dcc594ca9")


@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
@pytest.mark.parametrize("damage", ["one bit", "short", "missing", "a folder"])
def test_a_damaged_file_of_the_binary_version_is_named(place, binary, name, damage):
    path = binary / name
    content = path.read_bytes()
    if damage in ("missing", "a folder"):
        path.unlink()
    if damage == "a folder":
        path.mkdir()
    if damage == "one bit":
        path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    if damage == "short":
        path.write_bytes(content[:-3073])
    message = failure(cifar.dataset)
    reason = "damaged or incomplete" if damage in ("one bit", "short") else "missing"
    assert message.startswith(f"{path} is {reason}")
    assert caches(place) == []


@pytest.fixture
def serve(place, tmp_path, monkeypatch):
    """Publish bytes at the archive's address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{sources.ARCHIVE}")
    yield (tmp_path / sources.ARCHIVE).write_bytes
    server.shutdown()
    server.server_close()


def test_the_archive_is_downloaded_where_there_is_nothing(place, archive, serve):
    serve(archive)
    assert not there()
    assert len(cifar.dataset().train) == 45
    assert there() and (place / sources.ARCHIVE).read_bytes() == archive


def test_a_download_of_something_else_does_not_count(place, archive, serve):
    serve(archive[:-10])
    assert "what arrived is damaged or incomplete" in failure(cifar.dataset)
    assert caches(place) == []


def test_without_a_network_the_ways_out_are_named(place):
    message = failure(cifar.dataset)
    for way in (sources.ARCHIVE, "cifar10/train/<class>/", str(place), "STNLIB_DATA", "shapes10"):
        assert way in message
    assert list(place.iterdir()) == []


# By name


def test_cifar_and_its_distortion_load_by_name(place):
    fill(place)
    plain, distorted = catalogue.load("c10"), catalogue.load("c10d", n_train=20)
    assert plain.size == (32, 32) and distorted.size == (64, 64) and len(distorted.train) == 20
    assert distorted.name == "c10d" and plain.source in distorted.source


def test_of_distorted_cifar_half_of_the_images_are_flipped_but_none_to_test(place):
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:, :16] = 200  # bright on the left
    for part, n in (("train", 40), ("test", 6)):
        for name in cifar.CLASSES:
            (place / part / name).mkdir(parents=True)
            for i in range(n):
                Image.fromarray(pixels).save(place / part / name / f"{i:04}.png")
    made = catalogue.load("c10d")
    line = torch.linspace(-1, 1, 64)
    shares = {}
    for name in ("train", "val", "test"):
        split = getattr(made, name)
        split = split.batch(torch.arange(len(split)), 0, 1)
        light = split.images[:, 0].double().sum(1)
        middle = (light * line).sum(1) / light.sum(1)
        shares[name] = (middle > split.positions[:, 0]).double().mean().item()
    assert (len(made.train), len(made.val), len(made.test)) == (360, 40, 60)
    assert shares["train"] == pytest.approx(0.5, abs=0.1)
    assert shares["val"] == pytest.approx(0.5, abs=0.3) and shares["test"] == 0


@pytest.mark.parametrize("name", ["c10", "c10d"])
def test_the_table_of_what_is_here_sees_cifar_and_fetching_makes_sure_of_it(place, name):
    def row():
        return next(row for row in sources.available() if row.name == name)

    assert row() == (name, False, str(place / sources.ARCHIVE))
    assert "could not be downloaded" in failure(catalogue.fetch, name)
    fill(place / "cifar10")
    assert row() == (name, True, str(place / "cifar10"))
    assert catalogue.fetch(name) == place / "cifar10"
    assert "cifar10-folder.safetensors" in caches(place)


def test_shapes_need_no_fetching(place):
    assert catalogue.fetch("shapes10d") is None
