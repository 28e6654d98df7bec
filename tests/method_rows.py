"""Rows of a small grid of methods, made up: what is drawn and compared of them is known."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    method: str
    lr: float
    exact: float
    kept: float
    seed: int = 0
    start: str = ""
    task: str = "tickets"
    trainable: int = 100
    seconds: float = 10.0
    gap: float | None = None
    skills: dict = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "skills", {"copy": self.kept, "sort": self.kept})

    @property
    def label(self):
        return f"{self.method}, {self.start}" if self.start else self.method


def three(method, lr, exact, kept, **more):
    return [Row(method, lr, exact, k, seed, **more) for seed, k in enumerate(kept)]


ROWS = [
    *three("lora", 4e-3, 0.95, (0.90, 0.92, 0.94), gap=2e-5),
    *three("lora", 1e-3, 0.5, (0.99, 0.99, 0.99)),
    *three("lora", 1e-2, 0.99, (0.5, 0.5, 0.5)),
    *three("ia3", 1e-1, 0.96, (0.50, 0.53, 0.52), gap=1e-5),
    *three("ia3", 4e-3, 0.0, (1.0, 1.0, 1.0)),
    *three("prompt", 1e-1, 0.6, (0.9, 0.9, 0.9), start="text"),
    *three("prompt", 3e-1, 0.8, (0.8, 0.8, 0.8), start="text"),
    *three("full", 1e-3, 0.93, (0.93, 0.95, 0.97)),
    *three("full", 1e-3, 0.2, (0.9, 0.9, 0.9), task="facts"),
]
