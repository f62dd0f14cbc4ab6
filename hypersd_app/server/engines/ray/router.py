"""Which replica a batch goes to."""

from __future__ import annotations

import json

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica


class WarmFirstRouter(RequestRouter):
    """Idle replicas first; among them those that have the base and styles of the request, then those that have the base.

    Ray's own router waits for a replica that has the model, even while others are idle: right where a model is hours of
    loading, but a style is loaded in a moment, and one that all visitors choose would be drawn by a single replica.
    A base takes longer: for one, a replica that has it and is busy with no more than one batch is better than an idle one.
    """

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Ranks of replicas; Ray takes the shortest queue of the first rank that has room."""
        wanted = pending_request.metadata.multiplexed_model_id if pending_request is not None else ""
        ranks: dict[int, list[RunningReplica]] = {}
        for replica in candidate_replicas:
            waiting = self.replica_queue_len_cache.get(replica.replica_id) or 0
            ranks.setdefault(rank(wanted, replica.multiplexed_model_ids, waiting), []).append(replica)
        return [ranks[number] for number in sorted(ranks)]


def rank(wanted: str, loaded: set[str], waiting: int) -> int:
    """How well a replica suits that has `loaded` and is busy with `waiting` calls; 0 is best."""
    if not wanted:
        return 0  # nothing to draw with: the shortest queue it is
    has_base = base_of(wanted) in {base_of(name) for name in loaded}
    if has_base and waiting == 0:
        return 0 if wanted in loaded else 1
    if has_base and waiting == 1:
        return 2
    return 3 if waiting == 0 else 4


def base_of(name: str) -> str:
    """The model in a name made by `BatchKey.weights`."""
    return str(json.loads(name)[0])
