"""The run's configuration: what it refuses, and keys that never change."""

import dataclasses
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stnlib import models, optim, sampler, transforms
from stnlib.checks.values import choice, number, optional, whole
from stnlib.data import alter, catalogue
from stnlib.errors import ConfigError
from stnlib.models.transformer import METHODS
from stnlib.training.config import RunConfig, defaults, explained
from stnlib.training.loop import make_model
from stnlib.training.settings import parse_settings

PINNED = {
    "44136fa355b3": {},
    "8887ac84a197": {"model": "baseline"},
    "fbe47f6d82b4": {"seed": 1},
    "ae47742e8a62": {"data": "digits", "model": "stn_frozen", "n_train": 500, "epochs": 3},
    "042f8d42be4a": {
        "sampler": "clipped",
        "transform": "tps",
        "output_size": 28,
        "loc_lr_factor": 0.1,
    },
    "772a13c90090": {
        "model": "baseline_wide",
        "optimizer": "adamw",
        "lr": 3e-4,
        "weight_decay": 0.01,
        "schedule": "cosine",
        "warmup": 0.1,
        "batch_size": 64,
        "shuffle": False,
        "augment": "warp+clutter",
        "dropout": 0.5,
        "precision": "bfloat16",
    },
    "d76fac2de636": {"data": "c10d", "model": "oracle", "augment": "flip"},
    "adf011c0877f": {"data": "c10", "optimizer": "keras_adam", "precision": "auto"},
    "487279ec4cef": {"locnet": "normalised", "bound": 0.5, "theta_init": "small_random"},
    "c240dc5b8ed6": {
        "loc_clip": 0.5,
        "outside_penalty": 0.1,
        "recovery": "rollback",
        "alter": "frame2",
    },
    "da0920f86dcc": {"padding": "border", "schedule": "step", "augment": "warp", "seed": 109},
}


@pytest.mark.parametrize("key", PINNED)
def test_a_configuration_keeps_its_key_for_good(key):
    assert RunConfig(**PINNED[key]).key == key


def test_defaults_never_change():
    first = {
        "data": "cm",
        "model": "stn",
        "n_train": None,
        "sampler": "bilinear",
        "padding": "zeros",
        "transform": "affine",
        "output_size": None,
        "optimizer": "adam",
        "lr": 0.001,
        "weight_decay": 0.0,
        "loc_lr_factor": 1.0,
        "schedule": "constant",
        "warmup": 0.0,
        "epochs": 10,
        "batch_size": 128,
        "shuffle": True,
        "augment": "none",
        "dropout": 0.0,
        "precision": "float32",
        "seed": 0,
        "locnet": "paper",
        "bound": None,
        "theta_init": "identity",
        "loc_clip": None,
        "outside_penalty": 0.0,
        "recovery": "none",
        "alter": "none",
    }
    assert {name: defaults().get(name) for name in first} == first


@pytest.mark.parametrize("name", sorted(defaults()))
def test_spelling_out_a_default_leaves_the_key_alone(name):
    assert RunConfig(**{name: defaults()[name]}).key == RunConfig().key


@pytest.mark.parametrize("field", dataclasses.fields(RunConfig), ids=lambda field: field.name)
def test_a_field_that_differs_changes_the_key(field):
    others = {
        "data": "digits",
        "model": "stn_frozen",
        "sampler": "clipped",
        "padding": "border",
        "transform": "tps",
        "optimizer": "adamw",
        "schedule": "cosine",
        "augment": "warp",
        "precision": "bfloat16",
        "shuffle": False,
        "n_train": 7,
        "output_size": 17,
        "warmup": 0.5,
        "dropout": 0.5,
        "locnet": "deep",
        "theta_init": "glorot",
        "recovery": "reset",
        "alter": "frame1",
        "distortion": 0.5,
        "loc_beta2": 0.5,
        "hidden_scale": 0.5,
        "warmup_of": "classifier",
        "architecture": "cnn",
        "width": 16,
    }
    needed = {"distortion": {"data": "c10"}, "warmup_of": {"warmup": 0.1}}
    needed |= {"width": {"architecture": "resnet"}}
    base = RunConfig(**needed.get(field.name, {}))
    other = others.get(field.name, 7)
    assert base.replace(**{field.name: other}).key != base.key


def test_one_and_one_point_zero_are_one_configuration():
    assert RunConfig(lr=1, loc_lr_factor=2) == RunConfig(lr=1.0, loc_lr_factor=2.0)
    assert RunConfig(lr=1).key == RunConfig(lr=1.0).key


def test_a_number_that_may_be_none_is_one_configuration_too():
    assert RunConfig(bound=1).key == RunConfig(bound=1.0).key


def test_zero_has_no_sign():
    assert RunConfig(loc_lr_factor=-0.0).key == RunConfig(loc_lr_factor=0).key


ALLOWED = {
    "lr": "a number > 0",
    "weight_decay": "a number >= 0",
    "loc_lr_factor": "a number >= 0",
    "loc_beta2": "a number >= 0 and < 1",
    "hidden_scale": "a number > 0",
    "warmup": "a number >= 0 and < 1",
    "dropout": "a number >= 0 and < 1",
    "epochs": "a whole number >= 1",
    "batch_size": "a whole number >= 1",
    "n_train": "a whole number >= 1 or None",
    "output_size": "a whole number >= 1 and <= 256 or None",
    "seed": "a whole number >= 0",
    "shuffle": "True or False",
    "data": "one of cm, digits, mnist, fashion, c10, c10d, shapes10, shapes10d, "
    "mnist-r, mnist-rts, mnist-p, mnist-e, mnist-tc",
    "model": "one of baseline, baseline_wide, stn, stn_frozen, oracle, crop",
    "sampler": "one of bilinear, clipped, linearised",
    "padding": "one of zeros, border, reflection",
    "transform": "one of translation, attention, similarity, affine, projective, tps",
    "optimizer": "one of adam, adamw, keras_adam, sgd",
    "schedule": "one of constant, step, cosine, onecycle, plateau",
    "augment": "one of none, flip, warp, clutter, warp+clutter",
    "precision": "one of float32, bfloat16, auto",
    "locnet": "one of paper, x4, x16, relu, groupnorm, deep, shared, bounded, normalised, "
    "centred, cnn, fcn, canonical",
    "bound": "a number > 0 or None",
    "theta_init": "one of identity, small_random, glorot",
    "scale_init": "a number > 0",
    "loc_clip": "a number > 0 or None",
    "outside_penalty": "a number >= 0",
    "identity_penalty": "a number >= 0",
    "area_penalty": "a number >= 0",
    "phi_penalty": "a number >= 0",
    "loc_grad_factor": "a number > 0",
    "blur": "a number >= 0",
    "warps": "a whole number >= 1",
    "recovery": "one of none, rollback, reset",
    "distortion": "a number >= 0 and <= 1 or None",
    "alter": "one of none, standard, frame1, frame2, inverted",
    "architecture": "one of paper, cnn, fcn, resnet, vit",
    "width": "a whole number >= 1 or None",
}
NUMBERS = ["fast", "1e-3", None, True, -1, float("nan"), float("inf"), 10**400, [1e-3], 1j]
WHOLE = ["3", 2.5, 3.0, True, -1, float("nan"), [3], 10**400]
BAD = (
    [("lr", value) for value in [*NUMBERS, 0]]
    + [("weight_decay", value) for value in NUMBERS]
    + [("loc_lr_factor", value) for value in NUMBERS]
    + [(name, value) for name in ("warmup", "dropout") for value in [*NUMBERS, 1, 1.5]]
    + [(name, value) for name in ("epochs", "batch_size") for value in [*WHOLE, 0, None]]
    + [(name, value) for name in ("n_train", "output_size", "width") for value in [*WHOLE, 0]]
    + [("seed", value) for value in [*WHOLE, None]]
    + [(name, v) for name in ("bound", "loc_clip") for v in [*NUMBERS, 0] if v is not None]
    + [
        (name, v)
        for name in ("outside_penalty", "identity_penalty", "area_penalty", "phi_penalty")
        for v in NUMBERS
    ]
    + [("blur", value) for value in NUMBERS]
    + [("loc_grad_factor", value) for value in [*NUMBERS, 0]]
    + [("warps", value) for value in [*WHOLE, 0, None]]
    + [("shuffle", value) for value in (1, 0, "true", None)]
    + [
        (name, value)
        for name, allowed in ALLOWED.items()
        if allowed.startswith("one of")
        for value in ("nonsense", "", None, 1, ["cm"])
    ]
)


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda part: repr(part)[:12])
def test_a_bad_value_is_one_line_that_says_what_is_allowed(name, value):
    with pytest.raises(ConfigError) as caught:
        RunConfig(**{name: value})
    assert str(caught.value) == f"{name} must be {ALLOWED[name]}, not {value!r}"


@pytest.mark.parametrize(
    ("data_set", "size", "table"), [("cm", 9, "II"), ("digits", 9, "II"), ("c10d", 21, "III")]
)
def test_an_output_that_is_too_small_for_the_network_is_refused_before_there_is_one(
    data_set, size, table
):
    allowed = RunConfig(data=data_set, output_size=size + 1)
    make_model(allowed, data_of(allowed))
    with pytest.raises(ConfigError) as caught:
        RunConfig(data=data_set, output_size=size)
    least = f"output_size must be at least {size + 1} pixels for Table {table}'s network"
    assert str(caught.value) == f"{least}, not {size}"


def data_of(config):
    """Something of the size of a configuration's images."""
    size = {"cm": (1, 40), "digits": (1, 40), "c10d": (3, 64)}[config.data]
    return SimpleNamespace(channels=size[0], size=(size[1],) * 2, classes=range(10))


def test_every_field_is_explained_with_its_default_and_what_is_allowed():
    rows = {name: (default, meaning, allowed) for name, default, meaning, allowed in explained()}
    assert {name: row[0] for name, row in rows.items()} == defaults()
    assert {name: row[2] for name, row in rows.items()}.items() >= ALLOWED.items()
    assert all(len(row[1].splitlines()) == 1 for row in rows.values())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lr=1e-4", 1e-4),
        ("seed=3", 3),
        ("dropout=.5", 0.5),
        ("shuffle=False", False),
        ("shuffle=true", True),
        ("n_train=none", None),
        ("n_train=None", None),
        ("loc_clip=none", None),
        ("augment=none", "none"),
        ("recovery=none", "none"),
        ("alter=none", "none"),
        ("model=stn", "stn"),
        ("seed=1_0", "1_0"),
        ("seed=٣", "٣"),
        ("seed= 3", " 3"),
        ("lr=fast", "fast"),
        ("lr=none", None),
        ("epochs=2.5", 2.5),
    ],
)
def test_a_setting_is_read_as_its_field_allows(setting, value):
    (found,) = parse_settings([setting]).values()
    assert found == value and type(found) is type(value)


def test_a_setting_that_comes_twice_is_refused():
    with pytest.raises(ConfigError, match="seed is set twice: 'seed=2' is the second"):
        parse_settings(["seed=1", "lr=1", "seed=2"])


def test_an_unknown_name_is_one_line_that_names_the_known():
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_dict({"learning_rate": 1e-3})
    assert str(caught.value) == (
        f"unknown parameter 'learning_rate': allowed are {', '.join(defaults())}"
    )


@pytest.mark.parametrize("model", ["baseline", "baseline_wide"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sampler", "clipped"),
        ("padding", "border"),
        ("transform", "tps"),
        ("output_size", 28),
        ("loc_lr_factor", 0.1),
        ("locnet", "x4"),
        ("bound", 1.0),
        ("theta_init", "glorot"),
        ("scale_init", 0.5),
        ("loc_clip", 1.0),
        ("outside_penalty", 0.1),
        ("identity_penalty", 0.1),
        ("area_penalty", 0.1),
        ("phi_penalty", 0.1),
        ("loc_grad_factor", 0.1),
        ("blur", 4.0),
        ("warps", 2),
        ("recovery", "reset"),
    ],
)
def test_a_baseline_takes_nothing_that_only_a_transformer_has(model, name, value):
    with pytest.raises(ConfigError) as caught:
        RunConfig(model=model, **{name: value})
    assert str(caught.value) == f"{name} is for models with a transformer, not {model!r}"
    assert not RunConfig(model=model, **{name: defaults()[name]}).has_transformer


@pytest.mark.parametrize("padding", ["border", "reflection"])
def test_the_clipped_sampler_takes_no_padding_but_zeros(padding):
    with pytest.raises(ConfigError, match=f"clipped knows only padding zeros, not '{padding}'"):
        RunConfig(sampler="clipped", padding=padding)


@pytest.mark.parametrize("transform", ["translation", "tps"])
def test_a_first_scale_needs_a_transform_that_has_it(transform):
    with pytest.raises(ConfigError, match=r"translations or splines, not 0\.5"):
        RunConfig(scale_init=0.5, transform=transform)
    with pytest.raises(ConfigError, match="scale_init must be 1 with a bound"):
        RunConfig(scale_init=0.5, bound=1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 32}, "width is for architecture resnet and vit, not paper"),
        ({"architecture": "vit", "width": 48}, "width must be a multiple of 32 for vit, not 48"),
        (
            {"architecture": "resnet", "width": 8},
            "width must be a multiple of 16 for resnet, not 8",
        ),
        (
            {"architecture": "vit", "output_size": 30},
            "output_size must be a multiple of 4 for the ViT, not 30",
        ),
        *(
            (
                {"locnet": "canonical", name: value},
                f"{name} is for other localisation networks than canonical",
            )
            for name, value in {
                **{"bound": 1.0, "theta_init": "glorot", "scale_init": 0.5, "warps": 2},
                **{"hidden_scale": 2.0, "transform": "translation", "recovery": "reset"},
            }.items()
        ),
    ],
)
def test_a_classifier_and_a_canonicaliser_take_what_they_have(settings, message):
    with pytest.raises(ConfigError) as caught:
        RunConfig(**settings)
    assert str(caught.value) == message


def test_splines_cannot_be_composed():
    with pytest.raises(ConfigError, match=r"^warps must be 1 for splines, not 2$"):
        RunConfig(warps=2, transform="tps")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("data", catalogue.NAMES),
        ("model", models.MODELS),
        ("sampler", tuple(METHODS)),
        ("padding", sampler.PADDINGS),
        ("transform", tuple(transforms.FAMILIES)),
        ("locnet", (*models.LOCNETS, "canonical")),
        ("architecture", ("paper", *list(models.CLASSIFIERS)[2:])),
        ("theta_init", models.THETA_INITS),
        ("alter", alter.ALTERATIONS),
        ("schedule", optim.SCHEDULES),
    ],
)
def test_a_choice_is_between_what_the_package_has(name, known):
    assert ALLOWED[name] == "one of " + ", ".join(known)


@pytest.mark.parametrize("model", ["oracle", "crop"])
def test_what_undoes_a_distortion_is_for_distorted_data(model):
    with pytest.raises(ConfigError) as caught:
        RunConfig(data="c10", model=model)
    names = "c10d, shapes10d, mnist-r, mnist-rts, mnist-tc"
    assert str(caught.value) == f"model {model} is for data {names} or with distortion, not 'c10'"
    assert not RunConfig(data="c10d", model=model).has_transformer


def test_keras_adam_has_no_weight_decay():
    with pytest.raises(ConfigError, match=r"^optimizer keras_adam has no weight_decay, not 0.1$"):
        RunConfig(optimizer="keras_adam", weight_decay=0.1)


def test_one_cycle_warms_up_by_itself():
    with pytest.raises(ConfigError, match=r"^schedule onecycle has its own warm-up, not 0.1$"):
        RunConfig(schedule="onecycle", warmup=0.1)


@pytest.mark.parametrize("augment", ["warp", "clutter", "warp+clutter"])
def test_altered_images_take_no_augmentation_that_fills_in_black(augment):
    with pytest.raises(ConfigError) as caught:
        RunConfig(alter="inverted", augment=augment)
    assert str(caught.value) == f"alter goes with augment none or flip, not {augment!r}"
    assert RunConfig(alter="inverted", augment="flip").key != RunConfig(augment="flip").key


def test_the_classifier_is_the_papers_for_the_data():
    classifiers = {name: RunConfig(data=name).classifier for name in catalogue.NAMES}
    assert {name for name, classifier in classifiers.items() if classifier == "cm"} == {
        "cm",
        *("digits", "fashion"),
        *("mnist", "mnist-r", "mnist-rts", "mnist-p", "mnist-e", "mnist-tc"),
    }
    others = {RunConfig(architecture=name).classifier for name in ("cnn", "fcn", "resnet", "vit")}
    assert {*classifiers.values(), *others} == set(models.CLASSIFIERS)


@pytest.mark.parametrize("change", [{"model": "baseline_wide"}, {"locnet": "shared"}])
def test_what_fits_the_papers_network_alone_is_refused_elsewhere(change):
    ((name, value),) = change.items()
    message = f"^{name} {value} is for architecture paper, not 'cnn'$"
    with pytest.raises(ConfigError, match=message):
        RunConfig(architecture="cnn", **change)


@pytest.mark.parametrize(("architecture", "least"), [("cnn", 20), ("fcn", 1)])
def test_a_network_says_what_output_it_needs(architecture, least):
    assert RunConfig(architecture=architecture, output_size=least)
    if least > 1:
        message = "^output_size must be at least 20 pixels for the CNN, not 19$"
        with pytest.raises(ConfigError, match=message):
            RunConfig(architecture=architecture, output_size=least - 1)


def test_a_configuration_cannot_be_changed_but_replaced():
    config = RunConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.lr = 1.0
    assert config.replace(lr=0.1).changed() == {"lr": 0.1}
    with pytest.raises(ConfigError, match="unknown parameter 'rate'"):
        config.replace(rate=0.1)


def test_in_a_notebook_a_bad_configuration_shows_as_one_line():
    with pytest.raises(ConfigError) as caught:
        RunConfig(lr=-1)
    shown = caught.value._render_traceback_()
    assert shown == ["ConfigError: lr must be a number > 0, not -1"]


def test_rules_return_what_is_allowed_only_when_it_is_not():
    assert number(least=1)(1) is None and number(least=1)(0.5) == "a number >= 1"
    assert whole(2)(2) is None and whole(2)(1) == "a whole number >= 2"
    assert optional(whole(2))(None) is None and optional(whole(2))(2) is None
    assert optional(whole(2))(1) == "a whole number >= 2 or None"
    assert choice("a", "b")("a") is None and choice("a", "b")("c") == "one of a, b"


POSITIVE = st.floats(min_value=0, max_value=sys.float_info.max, exclude_min=True)
COUNT = st.integers(min_value=1, max_value=2**63 - 1)
SHARE = st.floats(min_value=0, max_value=1, exclude_max=True)
VALID = st.fixed_dictionaries(
    {
        "data": st.sampled_from(catalogue.NAMES),
        "n_train": st.none() | COUNT,
        "optimizer": st.sampled_from(["adam", "adamw"]),
        "lr": POSITIVE,
        "weight_decay": POSITIVE,
        "schedule": st.sampled_from(["constant", "step", "cosine", "plateau"]),
        "warmup": SHARE,
        "epochs": COUNT,
        "batch_size": COUNT,
        "shuffle": st.booleans(),
        "augment": st.sampled_from(["none", "warp", "clutter", "warp+clutter"]),
        "dropout": SHARE,
        "precision": st.sampled_from(["float32", "bfloat16"]),
        "seed": COUNT,
    },
    optional={
        "sampler": st.just("clipped"),
        "transform": st.sampled_from(list(transforms.FAMILIES)),
        "output_size": st.none() | st.integers(min_value=22, max_value=256),
        "loc_lr_factor": POSITIVE,
    },
)


@given(VALID)
@settings(max_examples=100, deadline=None)
def test_any_valid_configuration_survives_being_a_dict(values):
    config = RunConfig.from_dict(values)
    assert RunConfig.from_dict(config.to_dict()) == config
    assert RunConfig.from_dict(config.changed()) == config
    assert RunConfig.from_dict(config.changed()).key == config.key
