"""Loading: the promised files load, scalars mean what YAML 1.2 says, overrides are values like any other."""

import re
from pathlib import Path

import pytest

from spinlock.config import load_config
from spinlock.config.load import parse_override
from spinlock.config.yaml_source import parse_source
from spinlock.errors import ConfigError
from test_config.config_texts import TEXT, edited, line_of

EXPERIMENTS = Path(__file__).parents[2] / "configs" / "experiments"
FILES = sorted(EXPERIMENTS.glob("*.yaml"))

EXAMPLE = """\
version: "1.0"

parameter_space:
  architecture:
    num_layers:
      type: integer
      bounds: [2, 6]
    base_channels:
      type: integer
      bounds: [16, 64]
    activation:
      type: choice
      choices: ["relu", "gelu", "silu"]

  stochastic:
    noise_scale:
      type: continuous
      bounds: [0.00001, 1.0]  # Expanded range for diversity
      log_scale: true
    noise_schedule:
      type: choice
      choices: ["constant", "annealing", "periodic"]
    spatial_correlation:
      type: continuous
      bounds: [0.0, 0.3]

  operator:
    grid_size:  # Variable resolutions for multi-scale exploration
      type: choice
      choices: [64, 128, 256]

  rollout:  # Temporal dynamics configuration
    update_policy:
      type: choice
      choices: ["autoregressive", "residual", "convex"]
    alpha:
      type: continuous
      bounds: [0.1, 0.9]
    dt:
      type: continuous
      bounds: [0.001, 0.1]
      log_scale: true

sampling:
  total_samples: 10000
  batch_size: 1000
  sobol:
    scramble: true
    seed: 42

simulation:
  device: "cuda"
  num_realizations: 10
  input_generation:
    method: "sampled"  # Diverse IC sampling
    ic_type_weights:
      multiscale_grf: 0.30
      localized: 0.25
      composite: 0.25
      gaussian_random_field: 0.15
      heavy_tailed: 0.05

dataset:
  output_path: "./datasets/my_experiment.h5"
  storage:
    compression: "gzip"
    compression_level: 4
"""
"""The example that the project promises to load unchanged."""


def loaded(folder, text, overrides=()):
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, overrides)


def test_example_stands_in_the_experiments_to_the_letter():
    assert (EXPERIMENTS / "my_experiment.yaml").read_text(encoding="utf-8") == EXAMPLE


def test_example_loads_with_every_value(tmp_path):
    config = loaded(tmp_path, EXAMPLE)
    space = config.parameter_space.parameters()
    assert len(space) == 10
    assert space["num_layers"].bounds == [2, 6]
    assert space["noise_scale"].bounds == [1e-5, 1.0]
    assert space["noise_scale"].log_scale
    assert not space["spatial_correlation"].log_scale
    assert space["grid_size"].choices == [64, 128, 256]
    assert (config.sampling.total_samples, config.sampling.batch_size) == (10000, 1000)
    assert (config.simulation.device, config.simulation.num_realizations) == ("cuda", 10)
    assert (config.simulation.num_timesteps, config.simulation.num_channels) == (1, 3)
    weights = config.simulation.input_generation.ic_type_weights
    assert weights is not None
    assert list(weights.values()) == [0.3, 0.25, 0.25, 0.15, 0.05]
    assert (config.dataset.storage.compression, config.dataset.storage.compression_level) == ("gzip", 4)


def test_example_loads_with_ddp_over_four_devices(tmp_path):
    parallelism = '  parallelism: {strategy: "ddp", devices: [0, 1, 2, 3]}\n'
    text = EXAMPLE.replace("  num_realizations: 10\n", "  num_realizations: 10\n" + parallelism)
    chosen = loaded(tmp_path, text).simulation.parallelism
    assert chosen.strategy == "ddp"
    assert chosen.devices == ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_experiment_loads_from_str_and_path(file):
    config = load_config(file)
    assert config == load_config(str(file))
    if config.metadata.name is not None:
        assert config.metadata.name == file.stem
    assert Path(config.dataset.output_path).stem == file.stem


def test_experiments_are_found():
    assert {"my_experiment", "test_100", "benchmark_10k", "edge_of_chaos"} <= {file.stem for file in FILES}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("10_000", 10000),
        ("1_0.5", 10.5),
        ("0xff", 255),
        ("1:30", "1:30"),
        ("no", "no"),
        ("on", "on"),
        ("none", "none"),
        ("true", True),
        ("~", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("=", "="),
        ("-.inf", float("-inf")),
        ('"3"', "3"),
        ("'true'", "true"),
        ("1_", "1_"),
        ("0o17", "0o17"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(written, value):
    read = parse_source(f"key: {written}", "text").values["key"]
    assert read == value
    assert type(read) is type(value)


def test_lines_are_those_of_the_keys():
    source = parse_source("a:\n  b: 1\n  # c\n  c:\n    - x\n    - {d: 2,\n       e: 3}\n", "text")
    wanted = {("a",): 1, ("a", "b"): 2, ("a", "c"): 4, ("a", "c", 0): 5, ("a", "c", 1, "d"): 6}
    assert {key: source.lines[key] for key in wanted} == wanted
    assert source.line(("a", "c", 1, "e")) == 7
    assert source.line(("a", "missing")) == 1  # the section that would hold it
    assert source.line(("missing",)) is None


def test_byte_order_mark_and_windows_lines_are_read(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert load_config(file) == loaded(tmp_path, TEXT)


def test_nothing_but_the_version_space_count_initial_condition_and_output_is_required(tmp_path):
    text = (
        'version: "1.0"\nparameter_space: {}\nsampling: {total_samples: 1}\n'
        "simulation: {input_generation: {method: random}}\ndataset: {output_path: a.h5}\n"
    )
    assert loaded(tmp_path, text).parameter_space.parameters() == {}


def test_overrides_replace_values_and_make_sections(tmp_path):
    overrides = [
        ("--total-samples", "sampling.total_samples", 9),
        parse_override("simulation.parallelism.workers=2"),
        parse_override("dataset.storage.trajectories={every: 3}"),
        parse_override("parameter_space.architecture.gain.bounds=[1, 1.5]"),
        parse_override("dataset.storage.compression_level="),
        parse_override("metadata.description=a=b, c"),
    ]
    config = loaded(tmp_path, edited(("    compression: zstd\n", "    compression_level: 4\n")), overrides)
    assert config.sampling.total_samples == 9
    assert config.simulation.parallelism.workers == 2
    assert config.dataset.storage.trajectories == {"every": 3}
    assert config.parameter_space.parameters()["gain"].bounds == [1, 1.5]
    assert config.dataset.storage.compression_level is None
    assert config.metadata.description == "a=b, c"


def test_later_override_wins_and_an_empty_section_is_filled(tmp_path):
    text = edited(("  sobol:\n    seed: 42\n    scramble: true\n", "  sobol:\n"))
    overrides = [parse_override("sampling.sobol.seed=1"), ("--seed", "sampling.sobol.seed", 2)]
    assert loaded(tmp_path, text, overrides).sampling.sobol.seed == 2


def test_an_override_leaves_its_own_value_and_the_file_alone(tmp_path):
    override = parse_override("simulation.parallelism={workers: 2}")
    further = parse_override("simulation.parallelism.strategy=process")
    config = loaded(tmp_path, TEXT, [override, further])
    assert config.simulation.parallelism.strategy == "process"
    assert override[2] == {"workers": 2}
    assert (tmp_path / "config.yaml").read_text() == TEXT


FAULTY_OVERRIDES = {
    "sampling.total_samples=0": ("sampling.total_samples: 0 is not allowed", "an integer ≥ 1"),
    "sampling.total_sample=3": ("sampling.total_sample: unknown key", "did you mean 'total_samples'?"),
    "simulation.device=gpu": ("simulation.device: 'gpu' is not allowed", "auto, cpu, cuda"),
    "parameter_space.stochastic.noise_tpe.type=choice": ("noise_tpe", "did you mean 'noise_type'?"),
    "parameter_space.architecture.kernel_size.type=choice": ("kernel_size", "needs `choices: [...]`"),
    "sampling.total_samples.x=3": ("sampling.total_samples is a value, not a section",),
    "parameter_space.architecture.gain.bounds.0=1": ("gain.bounds is a value", "replace the whole of it"),
    "sampling={total_samples: 1, total_samples: 2}": ("stands twice",),
    "sampling.batch_size=[1": ("not valid YAML",),
    "sampling.batch_size=*x": ("aliases", "not allowed"),
}


@pytest.mark.parametrize("text", FAULTY_OVERRIDES)
def test_a_fault_of_an_override_names_the_flag(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, TEXT, [parse_override(text)])
    message = str(caught.value)
    assert f"--set {text.partition('=')[0]}" in message
    assert not re.search(r"line \d+: (sampling|parameter_space|simulation)", message)
    for part in FAULTY_OVERRIDES[text]:
        assert part in message


@pytest.mark.parametrize("text", ["sampling", "=3", "sampling..x=3", ".x=1", "", "x" + ".x" * 5000 + "=1"])
def test_an_override_without_a_key_is_refused(text):
    with pytest.raises(ConfigError, match="write key=value"):
        parse_override(text)


def test_a_flag_and_a_line_are_told_side_by_side(tmp_path):
    text = edited(("num_channels: 1", "num_channels: 0"))
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, [("--total-samples", "sampling.total_samples", -1)])
    assert "--total-samples: sampling.total_samples: -1 is not allowed" in str(caught.value)
    assert f"line {line_of(text, 'num_channels')}: simulation.num_channels: 0 is not" in str(caught.value)
