"""Classes that a run may map."""

import pytest

from jobs.classes import check_classes
from jobs.map_config import FuseConfig

NAMES = ("background", "industrial", "quarry")


def test_a_threshold_means_nothing_for_several_classes():
    check_classes(("industrial",), FuseConfig(threshold=0.2))
    check_classes(NAMES, FuseConfig(threshold=0.5))
    with pytest.raises(ValueError, match=r"threshold 0.2 is set, but .* 3 classes .*industrial.* leave it at 0.5"):
        check_classes(NAMES, FuseConfig(threshold=0.2))
    with pytest.raises(ValueError, match="rename"):
        check_classes(("a", "b", "b"), FuseConfig())
