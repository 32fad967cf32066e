import torch

from models.task import Batch


def test_parts_cut_inputs_and_truth_alike_and_lose_nothing():
    inputs = torch.arange(24).reshape(6, 4), torch.arange(6)
    batch = Batch(inputs, (torch.arange(6) * 10,), torch.tensor(6))
    parts = list(batch.parts(3))
    assert [part[0][1].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert [part[1][0].tolist() for part in parts] == [[0, 10], [20, 30], [40, 50]]
    assert torch.equal(torch.cat([part[0][0] for part in parts]), inputs[0])
    assert [truth for _, truth in Batch(inputs, (), torch.tensor(6)).parts(2)] == [(), ()]
