"""The upstreams that we know, by kind; a new one is one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.upstreams.base import Adapter
from gateway.upstreams.evolution import Evolution
from gateway.upstreams.evolution_go import EvolutionGo
from gateway.upstreams.gowa import Gowa
from gateway.upstreams.quepasa import QuePasa
from gateway.upstreams.ryzeapi import RyzeApi
from gateway.upstreams.sandbox import Sandbox
from gateway.upstreams.uazapi import Uazapi
from gateway.upstreams.waha import Waha
from gateway.upstreams.wppconnect import WppConnect
from gateway.upstreams.wuzapi import Wuzapi
from gateway.upstreams.wwebjs import WwebJs

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
