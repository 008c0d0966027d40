"""What inputs are: numbers, ids, seconds of a day; how a net reads them, and the same in NumPy."""

import numpy as np

from tests.support.generated.kinds import Feature

DAY = 86400.0  # seconds
VOCABULARY = 30
EMBEDDING = f"self.embedding = nn.Embedding({VOCABULARY}, {{X}}{{padding}})"

FEATURES: dict[str, Feature] = {
    "plain": Feature("raw", lambda _, raw: raw, "normal"),
    "logarithm": Feature("torch.log(raw + 1e-6)", lambda _, raw: np.log(raw + 1e-6), "positive"),
    "log_of_positive": Feature("torch.log(raw)", lambda _, raw: np.log(raw), "above_zero"),
    "root": Feature("torch.sqrt(raw)", lambda _, raw: np.sqrt(raw), "positive"),
    "log1p": Feature("torch.log1p(raw)", lambda _, raw: np.log1p(raw), "positive"),
    "category": Feature(
        "torch.cat([self.kind(raw[:, :, 0].long()), raw[:, :, 1:]], -1)",
        lambda p, raw: np.concatenate([p["kind.weight"][raw[..., 0].astype(int)], raw[..., 1:]], -1),
        "category",
        "self.kind = nn.Embedding(12, 3)",
        more=2,
    ),
    "clock": Feature(
        f"torch.cat([torch.sin(raw[..., :1] * (6.2831853 / {DAY})), "
        f"torch.cos(raw[..., :1] * (6.2831853 / {DAY})), raw[..., 1:]], dim=-1)",
        lambda _, raw: np.concatenate(
            [
                np.sin(raw[..., :1] * (6.2831853 / DAY)),
                np.cos(raw[..., :1] * (6.2831853 / DAY)),
                raw[..., 1:],
            ],
            -1,
        ),
        "clock",
        more=1,
    ),
    "hour": Feature(
        "torch.cat([torch.floor(raw[..., :1] / 3600.0) / 24.0, raw[..., 1:]], dim=-1)",
        lambda _, raw: np.concatenate([np.floor(raw[..., :1] / 3600.0) / 24.0, raw[..., 1:]], -1),
        "clock",
    ),
    "missing": Feature(
        "torch.where(torch.isnan(raw), torch.zeros_like(raw), raw)",
        lambda _, raw: np.where(np.isnan(raw), 0.0, raw),
        "missing",
    ),
    "clipped": Feature("raw.clamp(-3.0, 3.0)", lambda _, raw: np.clip(raw, -3, 3), "normal"),
    "threshold": Feature(
        "torch.where(raw > 5.0, -raw, raw)", lambda _, raw: np.where(raw > 5, -raw, raw), "normal"
    ),
    "standardised": Feature(
        "(raw - self.mean) / self.std",
        lambda p, raw: (raw - p["mean"]) / p["std"],
        "large",
        "self.register_buffer('mean', torch.full(({F},), 1000.0))\n"
        "self.register_buffer('std', torch.full(({F},), 300.0))",
    ),
    "flag": Feature("raw", lambda _, raw: raw, "flag"),
    "tokens": Feature("self.embedding(raw)", lambda p, raw: p["embedding.weight"][raw], "tokens", EMBEDDING),
    "one_hot": Feature(
        f"F.one_hot(raw, {VOCABULARY}).float()",
        lambda _, raw: np.eye(VOCABULARY)[raw],
        "tokens",
        more=VOCABULARY,
        words=("float32", "dtype"),
    ),
    "unknown_ids": Feature(
        "self.embedding(torch.where(raw >= 20, torch.ones_like(raw), raw))",
        lambda p, raw: p["embedding.weight"][np.where(raw >= 20, 1, raw)],
        "tokens",
        EMBEDDING,
    ),
}
TOKENS = tuple(name for name, feature in FEATURES.items() if feature.draw == "tokens")
FLOATS = tuple(name for name in FEATURES if name not in TOKENS)
