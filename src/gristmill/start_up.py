"""Publish bundles once each, before the server says that it is ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gristmill.bundles import Bundle, Step
from gristmill.errors import GristmillError
from gristmill.off_loop import Work, off_loop
from gristmill.ports import BundleStore

__all__ = ["PublishingFailed", "StartUp"]


class PublishingFailed(GristmillError):
    """A bundle could not be published: the server must not take calls as if it had been."""


class StartUp:
    """Runs what has not been applied to this state yet, one step after another."""

    def __init__(
        self,
        bundles: Sequence[Bundle],
        store: BundleStore,
        run: Callable[[Step], Awaitable[None]],
        tell: Callable[[int, int, str], None],
    ) -> None:
        self._bundles = bundles
        self._store = store
        self._run = run
        self._tell = tell

    async def pending(self) -> list[tuple[str, Bundle]]:
        """Bundles that are still to be published, with their digests; each once."""
        digests = await off_loop(Work.READ, lambda: [bundle.digest() for bundle in self._bundles])
        named = dict(zip(digests, self._bundles, strict=True))
        applied = await self._store.applied(named)
        return [(digest, bundle) for digest, bundle in named.items() if digest not in applied]

    async def publish(self, pending: Sequence[tuple[str, Bundle]]) -> None:
        """Run their steps; a bundle is recorded once all of its own are done. Raises PublishingFailed."""
        steps = sum(len(bundle.steps) for _, bundle in pending)
        done = 0
        for digest, bundle in pending:
            for step in bundle.steps:
                done += 1
                self._tell(done, steps, _shown(bundle, step))
                await self._run(step)
            await self._store.record(digest, bundle.name)


def _shown(bundle: Bundle, step: Step) -> str:
    return step.path if bundle.name == step.path else f"{bundle.name}/{step.path}"
