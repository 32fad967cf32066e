"""The state of a training run between two steps, as plain data that loads without running code."""

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Raised by hand when the content of a state changes; an older state is refused, not misread.
STATE_FORMAT = 2
READABLE_FORMATS = (1, 2)
"""1 has no `within` (steps of an unfinished epoch) and no `selection` (best network, early stop): both are None."""
STATE_KEYS = ("format", "spec", "epoch", "network", "optimizer", "schedule", "scaler")


def to_cpu(value: Any) -> Any:
    """Return a copy of nested dicts, lists and tuples whose tensors are copies on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_cpu(item) for item in value)
    return value


def changing_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of `network` that training changes: all but its frozen parameters."""
    frozen = _frozen(network)
    return {name: value for name, value in network.state_dict().items() if name not in frozen}


def take_on(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give `network` what `changing_state` returned; its frozen parameters stay as they are.

    Raises RuntimeError: tensors are missing, have no place, or have another shape.
    """
    unlike = sorted((set(network.state_dict()) - _frozen(network)) ^ set(state))
    if unlike:
        raise RuntimeError(f"The state does not fit the network: {len(unlike)} tensors differ, first {unlike[:3]}.")
    network.load_state_dict(dict(state), strict=False)


def _frozen(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if not parameter.requires_grad}


def state_to_bytes(state: Mapping[str, Any]) -> bytes:
    """Return a training state as the bytes of a checkpoint file."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def state_from_bytes(data: bytes) -> dict[str, Any]:
    """Return the training state of a checkpoint file, on the CPU.

    Raises ValueError: the bytes are not such a file; code in it is refused, never run.
    """
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch each raise their own kinds
        raise ValueError(f"These {len(data)} bytes are not a checkpoint of a training run: {error}") from error
    check_state(state)
    return state


def check_state(state: Mapping[str, Any]) -> None:
    """Raise ValueError unless `state` is complete and of this format."""
    absent = [key for key in STATE_KEYS if key not in state]
    if absent or state["format"] not in READABLE_FORMATS:
        raise ValueError(
            f"A training state of format {READABLE_FORMATS} has {list(STATE_KEYS)}; found {sorted(state)}, format "
            f"{state.get('format')}. Resume from a checkpoint that this version wrote, or start again."
        )


def check_same_run(state: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """Raise ValueError unless the state was saved by a run with the same settings as `spec`."""
    saved = state["spec"]
    unlike = sorted(key for key in saved.keys() | spec.keys() if saved.get(key) != spec.get(key))
    if unlike:
        found = ", ".join(f"{key}: {saved.get(key)!r} -> {spec.get(key)!r}" for key in unlike)
        raise ValueError(
            f"The checkpoint comes from a run with other settings ({found}). Resume with the settings of "
            "that run, or start a new one from its bundle (weights: recipe:...)."
        )
