"""Storages that live as long as Python holds them, as those of torch's tensors do.

Code that makes storages here where other code makes tensors, and forgets them where it does, follows its memory.
"""


class Heap:
    """Bytes that are there: now and at most. Some of them are gradients of parameters (`learned`), which stay."""

    def __init__(self) -> None:
        self.live = self.learned = 0
        self.high = self.learned_at_high = 0

    def new(self, size: int) -> "Storage":
        """A tensor's storage."""
        return Storage(self, size)

    def learn(self, size: int) -> None:
        """A gradient of parameters."""
        self.learned += size
        self.live += size
        self.reach(0)

    def reach(self, more: int, learned: int = 0) -> None:
        """For a moment there is more, some of it `learned`."""
        if self.live + more > self.high:
            self.high = self.live + more
            self.learned_at_high = self.learned + learned


class Storage:
    """So many bytes of a heap, until the last name for it is gone."""

    __slots__ = ("heap", "size")

    def __init__(self, heap: Heap, size: int) -> None:
        self.heap, self.size = heap, size
        heap.live += size
        if heap.live > heap.high:
            heap.reach(0)

    def __del__(self) -> None:
        self.heap.live -= self.size
