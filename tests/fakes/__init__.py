"""Every upstream that people run, played on a loopback socket from its own contract."""

from fakes.base import FakeUpstream
from fakes.evolution import FakeEvolution
from fakes.evolution_go import FakeEvolutionGo
from fakes.gowa import FakeGowa
from fakes.quepasa import FakeQuepasa
from fakes.ryzeapi import FakeRyzeapi
from fakes.uazapi import FakeUazapi
from fakes.waha import FakeWaha
from fakes.wppconnect import FakeWppconnect
from fakes.wuzapi import FakeWuzapi
from fakes.wwebjs import FakeWhatsappApi, FakeWwebjs

FAKES: tuple[type[FakeUpstream], ...] = (
    FakeEvolution,
    FakeEvolutionGo,
    FakeGowa,
    FakeQuepasa,
    FakeRyzeapi,
    FakeUazapi,
    FakeWaha,
    FakeWhatsappApi,
    FakeWppconnect,
    FakeWuzapi,
    FakeWwebjs,
)
