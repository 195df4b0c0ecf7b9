"""When a substitute steps back, and the reference runs in its place."""

import torch
from torch import nn


def rewritten() -> bool:
    """Whether what runs is being compiled, exported, traced or transformed: then torch should see plain operations."""
    traced = torch._C._get_tracing_state() is not None  # what torch.jit.is_tracing asks
    return torch.compiler.is_compiling() or traced or torch._C._are_functorch_transforms_active()


class Guard:
    """Watches the layers inside a module: whether they are those that were built, and whether anyone listens to them.

    Layers that were folded away (nn.Identity) do no harm.
    """

    def __init__(self, module: nn.Module) -> None:
        self.built = [type(layer) for layer in module.modules()]
        self.look(module)

    def look(self, module: nn.Module) -> None:
        """Note the layers as they are, to see at a glance whether they still are."""
        layers = list(module.modules())
        self.places = [
            (layer._modules, name, child, type(child)) for layer in layers for name, child in layer._modules.items()
        ]
        kinds = [type(layer) for layer in layers]
        self.known = len(kinds) == len(self.built) and all(
            kind in (built, nn.Identity) for kind, built in zip(kinds, self.built, strict=True)
        )

    def parameters(self, module: nn.Module) -> list[nn.Parameter] | None:
        """The parameters inside, or None where the reference must run.

        It must where what runs is rewritten, where a layer has hooks or was exchanged, and where parameters are shared
        or given from outside.
        """
        if rewritten() or self.places[0][0] is not module._modules:  # a replica
            return None
        if any(place.get(name) is not child or type(child) is not kind for place, name, child, kind in self.places):
            self.look(module)
        layers = [child for _, _, child, _ in self.places if child is not None]
        if not self.known or any(_has_hooks(layer) for layer in layers):
            return None
        parameters = [p for layer in layers for p in layer._parameters.values() if p is not None]
        own = all(isinstance(p, nn.Parameter) for p in parameters) and len(set(map(id, parameters))) == len(parameters)
        return parameters if own else None


def _has_hooks(layer: nn.Module) -> bool:
    hooks = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
    return bool(hooks)
