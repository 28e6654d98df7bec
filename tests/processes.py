"""What torchrun starts in the tests of several processes.

python -m torch.distributed.run --nproc_per_node 2 tests/processes.py train RECIPE.json OUT
python -m torch.distributed.run --nproc_per_node 2 tests/processes.py shard OUT.json
"""

import json
import sys
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from ftkit import models
from ftkit.core.session import processes, setup
from ftkit.train import Experiment, checkpoint, train_into


def train(recipe, out):
    """A small run with a checkpoint after every step."""
    checkpoint.EVERY, checkpoint.SHARE = 0.0, 1e9
    setup(seed=0)
    train_into(Experiment.from_dict(json.loads(Path(recipe).read_text())), Path(out))


def shard(out):
    """Three steps of the pocket model with its layers cut up (FSDP2), and what each process holds.

    Every process sees the same rows, so that the losses are those of one process.
    """
    mesh = init_device_mesh("cpu", (processes(),))
    setup(seed=0)
    model, _ = models.load("pocket")
    whole = sum(p.numel() for p in model.parameters())
    for layer in [*model.model.layers, model]:
        fully_shard(layer, mesh=mesh)
    held = sum(p.to_local().numel() for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    ids = torch.randint(3, 200, (2, 32), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(3):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    moments = sum(s["exp_avg"].to_local().numel() for s in optimizer.state.values())
    if distributed.get_rank() == 0:
        seen = {"whole": whole, "held": held, "moments": moments, "losses": losses}
        Path(out).write_text(json.dumps(seen), encoding="utf-8")
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"train": train, "shard": shard}[sys.argv[1]](*sys.argv[2:])
