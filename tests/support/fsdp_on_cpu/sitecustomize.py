"""On PYTHONPATH, lets accelerate shard over the processes of a CPU, which it offers for accelerators alone.

FSDP itself runs on a CPU (gloo); what is tested is then the stage under the libraries' own FSDP, saving included.
"""

import os
from typing import Any

if os.environ.get("ACCELERATE_USE_FSDP") == "true" and "WORLD_SIZE" in os.environ:
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    prepare = AcceleratorState.__init__

    def prepare_sharded(self: AcceleratorState, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        prepare(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None:
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin = fsdp_plugin
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = prepare_sharded  # type: ignore[method-assign]
