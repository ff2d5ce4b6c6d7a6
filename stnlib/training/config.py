"""The run's configuration: everything that a person decides about one training.

What the machine decides (device, threads, versions, wall time) is no part of it and
stands in a record's provenance.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from stnlib.checks.values import Rule, choice, flag, number, optional, whole
from stnlib.errors import ConfigError

__all__ = ["RunConfig", "check", "defaults", "explained", "key_of", "rules"]


def _decided(default: Any, rule: Rule, meaning: str) -> Any:
    return field(default=default, metadata={"rule": rule, "meaning": meaning})


_JADERBERG = ("mnist-r", "mnist-rts", "mnist-p", "mnist-e", "mnist-tc")
_DISTORTED = ("c10d", "shapes10d", "mnist-r", "mnist-rts", "mnist-tc")
_CIFAR_LIKE = ("c10", "c10d", "shapes10", "shapes10d")
_SCATTERED = ("mnist", "fashion", "c10", "shapes10")
_DISTORTED_ONLY = ("oracle", "crop")
_SIDES = dict(cm=40, digits=40, mnist=28, fashion=28, c10=32, c10d=64, shapes10=32, shapes10d=64)
_SIDES |= dict.fromkeys(_JADERBERG, 28) | {"mnist-rts": 42, "mnist-tc": 60}
_LEAST = {  # what the classifiers need in pixels, and their names
    **{"cm": (10, "Table II's network"), "c10": (22, "Table III's network")},
    **{"cnn": (20, "the CNN"), "fcn": (1, "the FCN")},
    **{"resnet": (1, "the ResNet"), "vit": (4, "the ViT")},
}
_SCHEDULES = ("constant", "step", "cosine", "onecycle", "plateau")
_LOCNETS = (
    *("paper", "x4", "x16", "relu", "groupnorm", "deep", "shared", "bounded", "normalised"),
    *("centred", "cnn", "fcn"),
)
_WIDTHS = {"resnet": 16, "vit": 32}  # whose width can be chosen, and what it is a multiple of


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training, as decided by a person; checks itself when it is made.

    Each field stands with its meaning and what is allowed, and ``stn run --help`` lists them.
    Besides, `output_size` is for `oracle` and `crop`, too; θ, grid and sampling are float32 in
    every `precision`; an epoch's last batch may be smaller.

    Raises
    ------
    ConfigError
        Names the parameter, what it was and what is allowed.

    See Also
    --------
    stnlib.data : `catalogue`, `augment`, `alter`, `scattered`; `distorted` for `oracle` and `crop`.
    stnlib.models : `build` and `LocNet`, for the networks.
    stnlib.optim : For optimisers and schedules.
    stnlib.transforms.penalties : `outside`, `displacement`, `resizing`, for the penalties.
    stnlib.training.recovery : For `recovery`.
    """

    data: str = _decided(
        "cm", choice("cm", "digits", "mnist", "fashion", *_CIFAR_LIKE, *_JADERBERG), "the data set"
    )
    model: str = _decided(
        "stn",
        choice("baseline", "baseline_wide", "stn", "stn_frozen", *_DISTORTED_ONLY),
        "the network; oracle and crop are baselines that see distorted images undone, or cut out",
    )
    n_train: int | None = _decided(
        None, optional(whole(1)), "number of training images, None for all"
    )
    sampler: str = _decided(
        "bilinear",
        choice("bilinear", "clipped", "linearised"),
        "the transformer's sampler; clipped is the paper's",
    )
    padding: str = _decided(
        "zeros",
        choice("zeros", "border", "reflection"),
        "what the sampler sees outside of the image",
    )
    transform: str = _decided(
        "affine",
        choice("translation", "attention", "similarity", "affine", "projective", "tps"),
        "the family of transformations",
    )
    output_size: int | None = _decided(
        None,
        optional(whole(1, 256)),
        "height and width of the transformer's output in pixels, None for the input's",
    )
    optimizer: str = _decided(
        "adam",
        choice("adam", "adamw", "keras_adam", "sgd"),
        "Adam, with decoupled decay, or Keras's; or gradient descent without momentum",
    )
    lr: float = _decided(1e-3, number(above=0), "learning rate")
    weight_decay: float = _decided(0.0, number(least=0), "weight decay")
    loc_lr_factor: float = _decided(
        1.0, number(least=0), "learning rate of the localisation network over the rest's"
    )
    schedule: str = _decided("constant", choice(*_SCHEDULES), "course of the learning rate")
    warmup: float = _decided(
        0.0, number(least=0, below=1), "share of all steps over which the rate first rises from 0"
    )
    epochs: int = _decided(10, whole(1), "passes over the training images")
    batch_size: int = _decided(
        128, whole(1), "images a step, at most as many as there are to train on"
    )
    shuffle: bool = _decided(True, flag, "new order of the images in each epoch")
    augment: str = _decided(
        "none",
        choice("none", "flip", "warp", "clutter", "warp+clutter"),
        "what is done to training images",
    )
    dropout: float = _decided(
        0.0, number(least=0, below=1), "probability, before the classifier's last layer"
    )
    precision: str = _decided(
        "float32",
        choice("float32", "bfloat16", "auto"),
        "of the arithmetic; auto is bfloat16 where the machine gains by it",
    )
    seed: int = _decided(0, whole(0), "of initial weights, order, dropout and augmentation")
    locnet: str = _decided("paper", choice(*_LOCNETS, "canonical"), "the localisation network")
    bound: float | None = _decided(
        None,
        optional(number(above=0)),
        "largest change of θ that the localisation network can ask for, None for any",
    )
    theta_init: str = _decided(
        "identity",
        choice("identity", "small_random", "glorot"),
        "how the last layer of the localisation network begins",
    )
    loc_clip: float | None = _decided(
        None,
        optional(number(above=0)),
        "largest norm of the localisation network's gradient, None for any",
    )
    outside_penalty: float = _decided(
        0.0,
        number(least=0),
        "weight of the grid's mean squared distance from the image in the loss",
    )
    recovery: str = _decided(
        "none",
        choice("none", "rollback", "reset"),
        "what is done after an epoch whose outputs are black",
    )
    scale_init: float = _decided(1.0, number(above=0), "scale with which θ begins")
    alter: str = _decided(
        "none",
        choice("none", "standard", "frame1", "frame2", "inverted"),
        "what is done to all images, to train on or to judge by",
    )
    distortion: float | None = _decided(
        None,
        optional(number(least=0, most=1)),
        "strength with which images are scattered over a canvas, None for not at all",
    )
    loc_beta2: float = _decided(
        0.999,
        number(least=0, below=1),
        "decay of Adam's mean of squared gradients in the localisation network",
    )
    hidden_scale: float = _decided(
        1.0, number(above=0), "factor on what the localisation network's first dense layer is given"
    )
    warmup_of: str = _decided(
        "both",
        choice("both", "localisation", "classifier"),
        "for which part of the network the rate rises from 0",
    )
    warps: int = _decided(
        1, whole(1), "how often the localisation network looks, each time at the view so far"
    )
    blur: float = _decided(
        0.0,
        number(least=0),
        "first blur of what the sampler reads, a deviation in pixels, gone at half of all steps",
    )
    identity_penalty: float = _decided(
        0.0, number(least=0), "weight of the grid's mean squared displacement in the loss"
    )
    area_penalty: float = _decided(
        0.0, number(least=0), "weight of the view's squared relative change of area in the loss"
    )
    loc_grad_factor: float = _decided(
        1.0,
        number(above=0),
        "factor on the localisation network's gradient; one on θ's gradient does the same",
    )
    phi_penalty: float = _decided(
        0.0,
        number(least=0),
        "weight of the mean square of φ before its last activation in the loss",
    )
    architecture: str = _decided(
        "paper",
        choice("paper", "cnn", "fcn", "resnet", "vit"),
        "what classifies: the paper's baseline, Jaderberg et al.'s for distorted MNIST, or today's",
    )
    width: int | None = _decided(
        None, optional(whole(1)), "resnet's first channels, vit's features; None for 64 and 192"
    )

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            check(f.name, value)
            # 1 and 1.0 are one value and must have one key; so are 0.0 and -0.0.
            if f.type.startswith("float") and value is not None:
                object.__setattr__(self, f.name, float(value) + 0.0)
        if not self.has_transformer:
            shown = {"output_size"} if self.model in _DISTORTED_ONLY else set()
            for name in sorted((_TRANSFORMER_ONLY - shown) & set(self.changed())):
                raise ConfigError(f"{name} is for models with a transformer, not {self.model!r}")
        self._check_classifier()
        if self.locnet == "canonical":
            others = {*_LOCNET[1:], "transform", "recovery", "phi_penalty"}
            for name in sorted(others & set(self.changed())):
                raise ConfigError(f"{name} is for other localisation networks than canonical")
        if self.optimizer == "keras_adam" and self.weight_decay:
            raise ConfigError(f"optimizer keras_adam has no weight_decay, not {self.weight_decay}")
        if self.schedule == "onecycle" and self.warmup:
            raise ConfigError(f"schedule onecycle has its own warm-up, not {self.warmup}")
        if self.warmup_of != "both" and not self.warmup:
            raise ConfigError(f"warmup_of {self.warmup_of} needs a warmup above 0")
        if self.scale_init != 1 and (self.bound or self.transform in ("translation", "tps")):
            raise ConfigError(
                f"scale_init must be 1 with a bound, translations or splines, not {self.scale_init}"
            )
        if self.warps > 1 and self.transform == "tps":
            raise ConfigError(f"warps must be 1 for splines, not {self.warps}")
        if self.alter != "none" and self.augment not in ("none", "flip"):
            raise ConfigError(f"alter goes with augment none or flip, not {self.augment!r}")
        if self.distortion is not None and self.data not in _SCATTERED:
            allowed = ", ".join(_SCATTERED)
            raise ConfigError(f"distortion is for data {allowed}, not {self.data!r}")
        if self.model in _DISTORTED_ONLY and not self.distorted:
            allowed = ", ".join(_DISTORTED)
            raise ConfigError(
                f"model {self.model} is for data {allowed} or with distortion, not {self.data!r}"
            )
        if self.sampler == "clipped" and self.padding != "zeros":
            raise ConfigError(f"sampler clipped knows only padding zeros, not {self.padding!r}")

    def _check_classifier(self) -> None:
        """Raise `ConfigError` where the classifier cannot be of the width, or see the output."""
        least, name = _LEAST[self.classifier]
        if self.output_size is not None and self.output_size < least:
            raise ConfigError(
                f"output_size must be at least {least} pixels for {name}, not {self.output_size}"
            )
        for name, value in (("model", "baseline_wide"), ("locnet", "shared")):
            if getattr(self, name) == value and self.architecture != "paper":
                allowed = f"architecture paper, not {self.architecture!r}"
                raise ConfigError(f"{name} {value} is for {allowed}")
        if self.architecture == "vit" and (side := self.output_size or self.side) % 4:
            raise ConfigError(f"output_size must be a multiple of 4 for the ViT, not {side}")
        if self.width and self.architecture not in _WIDTHS:
            raise ConfigError(f"width is for architecture resnet and vit, not {self.architecture}")
        if self.width and self.width % (unit := _WIDTHS[self.architecture]):
            allowed = f"a multiple of {unit} for {self.architecture}"
            raise ConfigError(f"width must be {allowed}, not {self.width}")

    @property
    def has_transformer(self) -> bool:
        """Whether the network begins with a spatial transformer."""
        return self.model.startswith("stn")

    @property
    def distorted(self) -> bool:
        """Whether there is a distortion to undo, with the true θ known."""
        return self.data in _DISTORTED or self.distortion is not None

    @property
    def side(self) -> int:
        """Height and width in pixels of the images that the network is given."""
        return _SIDES[self.data] * (1 if self.distortion is None else 2)

    @property
    def classifier(self) -> str:
        """What classifies, by its name in `stnlib.models.build`: the paper's for this data."""
        if self.architecture != "paper":
            return self.architecture
        return "c10" if self.data in _CIFAR_LIKE else "cm"

    @property
    def network(self) -> dict[str, Any]:
        """What `stnlib.models.build` is told but the model's name and the images' shape."""
        return {name: getattr(self, name) for name in _NETWORK}

    def changed(self) -> dict[str, Any]:
        """The fields that differ from their defaults, in the order of the class."""
        return {n: v for n, d in defaults().items() if (v := getattr(self, n)) != d}

    @property
    def key(self) -> str:
        """Name of the run: the key of the changed fields.

        A field that is added later leaves it alone, because defaults never change.
        """
        return key_of(self.changed())

    def to_dict(self) -> dict[str, Any]:
        """Every field's name and value."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """Make a configuration of names and values, refusing names that it lacks."""
        for name in values:
            _known(name)
        return cls(**values)

    def replace(self, **changes: Any) -> RunConfig:
        """The same with other values for some fields."""
        return type(self).from_dict(self.to_dict() | changes)


_LOCNET = ("locnet", "bound", "theta_init", "scale_init", "hidden_scale", "warps")
_TRANSFORMER = ("sampler", "padding", "transform", "output_size", *_LOCNET)
_NETWORK = (*_TRANSFORMER, "dropout", "classifier", "width")
_LEARNING = ("loc_lr_factor", "loc_beta2", "loc_clip", "recovery", "warmup_of", "loc_grad_factor")
_PENALTIES = ("outside_penalty", "identity_penalty", "area_penalty", "phi_penalty")
_TRANSFORMER_ONLY = {*_TRANSFORMER, *_LEARNING, *_PENALTIES, "blur"}
_FIELDS = {f.name: f for f in dataclasses.fields(RunConfig)}


def key_of(values: dict[str, Any]) -> str:
    """12 hex digits of SHA-256 over names and values as canonical JSON."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def defaults() -> dict[str, Any]:
    """Every field's name and default."""
    return {name: f.default for name, f in _FIELDS.items()}


def rules() -> dict[str, Rule]:
    """Every field's name and rule."""
    return {name: f.metadata["rule"] for name, f in _FIELDS.items()}


def explained() -> list[tuple[str, Any, str, str]]:
    """Every field: its name, its default, what it means and what is allowed."""
    return [
        (name, f.default, f.metadata["meaning"], f.metadata["rule"](object()))
        for name, f in _FIELDS.items()
    ]


def _known(name: str) -> None:
    if name not in _FIELDS:
        raise ConfigError(f"unknown parameter {name!r}: allowed are {', '.join(_FIELDS)}")


def check(name: str, value: Any) -> None:
    """Raise `ConfigError` unless `value` is allowed for the field `name`."""
    _known(name)
    if allowed := _FIELDS[name].metadata["rule"](value):
        raise ConfigError(f"{name} must be {allowed}, not {value!r}")
