"""What the engine does differently on an accelerator."""

from __future__ import annotations

import torch


def on_host(device: torch.device) -> bool:
    """Return whether the host's own processor computes.

    Then sizes that depend on data save work, activations are kept for the backward pass, and chunks fit its cache. An
    accelerator waits for the host whenever a size depends on data, has less memory, and needs time for every launch:
    there sizes are fixed in advance, activations are computed again, and chunks are large.
    """
    return device.type == "cpu"
