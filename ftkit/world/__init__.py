"""A seeded micro-world with an answer key: `entities` → `turns` → `corpus` → `skills`, and `pretrain`, which makes the pocket model."""
