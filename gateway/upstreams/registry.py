"""The upstreams that we know, by kind; a new one is one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.upstreams.adapters.evolution import Evolution
from gateway.upstreams.adapters.evolution_go import EvolutionGo
from gateway.upstreams.adapters.gowa import Gowa
from gateway.upstreams.adapters.quepasa import QuePasa
from gateway.upstreams.adapters.ryzeapi import RyzeApi
from gateway.upstreams.adapters.sandbox import Sandbox
from gateway.upstreams.adapters.uazapi import Uazapi
from gateway.upstreams.adapters.waha import Waha
from gateway.upstreams.adapters.wppconnect import WppConnect
from gateway.upstreams.adapters.wuzapi import Wuzapi
from gateway.upstreams.adapters.wwebjs import WwebJs
from gateway.upstreams.base import Adapter

_ALL: tuple[Adapter, ...] = (
    Sandbox(),
    RyzeApi(),
    Evolution(),
    EvolutionGo(),
    Waha(),
    Wuzapi(),
    Gowa(),
    WppConnect(),
    WwebJs(),
    Uazapi(),
    QuePasa(),
)

ADAPTERS: Mapping[str, Adapter] = MappingProxyType({adapter.kind: adapter for adapter in _ALL})
"""Stateless, so one object of each kind serves every instance."""
