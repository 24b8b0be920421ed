"""The nodes of a cluster with what others hold of them, kept up to date object by object."""

from __future__ import annotations

from roadstead.world import Node
from roadstead_backends.kubernetes.nodes import NOTHING, Claim, claim_of, is_silent, node_view, silent_since
from roadstead_backends.kubernetes.objects import Node as NodeObject
from roadstead_backends.kubernetes.objects import StrangePod

__all__ = ["Ground"]


class Ground:
    """All nodes, and the room that pods of others take there, as running sums."""

    def __init__(self) -> None:
        self.is_seen = False
        self._nodes: dict[str, NodeObject] = {}
        self._strangers: dict[str, tuple[str, Claim]] = {}
        self._held: dict[str, Claim] = {}
        self._views: dict[str, Node] = {}
        self._shown: tuple[Node, ...] = ()
        self._stale: dict[str, None] = {}
        self._moved: set[str] = set()

    def put_node(self, name: str, node: NodeObject | None) -> None:
        """Note a node as it is now, or that there is none of that name any more."""
        before = self._nodes.get(name)
        if node is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = node
        was, now = (one is None or is_silent(one) for one in (before, node))
        if was != now or (before is None) != (node is None):
            self._moved.add(name)
        self._stale[name] = None

    def put_stranger(self, key: str, pod: StrangePod | None) -> None:
        """Note a pod of others as it is now, or that there is none of that name any more."""
        node, claim = self._strangers.pop(key, ("", NOTHING))
        if claim != NOTHING:
            self._held[node] -= claim
            self._stale[node] = None
        if pod is None:
            return
        claim = claim_of(pod)
        if claim != NOTHING:
            self._strangers[key] = pod.spec.node_name, claim
            self._held[pod.spec.node_name] = self._held.get(pod.spec.node_name, NOTHING) + claim
            self._stale[pod.spec.node_name] = None

    def is_silent(self, node: str) -> bool | None:
        """Return whether the cluster hears nothing of a node, or has none of that name; ``None`` if nobody can tell."""
        if not self.is_seen or not node:
            return None
        known = self._nodes.get(node)
        return known is None or is_silent(known)

    def silent_since(self, node: str) -> int:
        """Return since when (ms since the epoch) nothing was heard of a silent node; 0 where there is none, or no word.

        The cluster waits before it calls a node silent; this is when it did.
        """
        known = self._nodes.get(node)
        return silent_since(known) if known is not None else 0

    def take_moved(self) -> frozenset[str]:
        """Return the nodes that came, went, fell silent or were heard of again since this was last called."""
        moved, self._moved = frozenset(self._moved), set()
        return moved

    def node(self, name: str) -> Node | None:
        """Return one node as it is now; ``None`` where there is none of that name."""
        self.nodes()
        return self._views.get(name)

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes by name; the same object while none of them changed."""
        changed = False
        for name in self._stale:
            node = self._nodes.get(name)
            made = node_view(node, self._held.get(name, NOTHING)) if node is not None else None
            if self._views.get(name) == made:
                continue
            changed = True
            if made is None:
                del self._views[name]
            else:
                self._views[name] = made
        self._stale.clear()
        if changed:
            self._shown = tuple(self._views[name] for name in sorted(self._views))
        return self._shown
