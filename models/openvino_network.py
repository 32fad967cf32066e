"""OpenVINO in the place of a network on a CPU: the same weights through other kernels."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import torch
from torch import Tensor, nn

PACKAGE = "openvino"


class OpenVinoNetwork(nn.Module):
    """A network whose passes OpenVINO computes, with as many threads as torch has.

    It is converted at the first pass of each shape, which takes seconds for small networks and a minute for large ones.
    Where the weights are bfloat16, OpenVINO may compute in bfloat16 too; it leaves some layers in float32.
    """

    def __init__(self, network: nn.Module) -> None:
        """Keep the network: its parameters still tell the number format.

        Raises ValueError: the package is not installed, or the network lies on a GPU.
        """
        super().__init__()
        if importlib.util.find_spec(PACKAGE) is None:
            raise ValueError("infer.compile: openvino needs its package: pip install 'sandan[openvino]'")
        if next(network.parameters()).device.type != "cpu":
            raise ValueError("infer.compile: openvino is for CPUs; the networks are on a GPU: choose another mode")
        self._network = network
        self._converted: dict[tuple[int, ...], Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Return what the network returns, as float32. x: (n, C, h, w)."""
        shape = tuple(x.shape)
        if shape not in self._converted:
            self._converted[shape] = self._convert(shape)
        return torch.from_numpy(self._converted[shape](x.float().contiguous().numpy())[0])

    def _convert(self, shape: tuple[int, ...]) -> Any:
        import openvino

        half = next(self._network.parameters()).dtype == torch.bfloat16
        with torch.inference_mode(False), torch.no_grad():
            network = copy.deepcopy(self._network).float().to(memory_format=torch.contiguous_format).eval()
            model = openvino.convert_model(torch.export.export(network, (torch.zeros(shape),)))
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        return openvino.Core().compile_model(model, "CPU", settings)
