"""A TCP proxy that imitates a faulty network between two programs."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 65_536


class FaultProxy:
    """Forwards connections to a port of this machine.

    Attributes:
        port: the port of 127.0.0.1 on which it listens.
        latency_s: delay of each piece of data, in each direction, in seconds.
        accepted: number of connections that it has accepted so far.
    """

    def __init__(self, target: int) -> None:
        """Starts to listen. `target` is the port that it forwards to."""
        self.latency_s = 0.0
        self.accepted = 0
        self._target = target
        self._forwards = threading.Event()
        self._forwards.set()
        self._refuses = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lost: list[tuple[socket.socket, socket.socket]] = []  # silent for good, and open until the proxy closes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends all connections and stops listening."""
        self._forwards.set()
        self._listener.close()
        self._pairs += self._lost
        self.cut()

    def cut(self) -> None:
        """Resets all connections; new ones are accepted."""
        pairs, self._pairs = self._pairs, []
        for one in (end for pair in pairs for end in pair):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Cuts all connections, and closes each new one at once until the block ends."""
        self._refuses = True
        self.cut()
        try:
            yield
        finally:
            self._refuses = False

    @contextmanager
    def half_open(self) -> Iterator[None]:
        """Accepts connections and keeps all of them open, but forwards nothing until the block ends.

        Afterwards, only new connections work. The others stay silent, as if the other machine had vanished.
        """
        self._forwards.clear()
        try:
            yield
        finally:
            self._lost += self._pairs
            self._pairs = []
            self._forwards = threading.Event()
            self._forwards.set()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._refuses:
                near.close()
                continue
            with suppress(OSError):
                far = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, sink, self._forwards), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, forwards: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                forwards.wait()  # forever, if the connection became half open
                time.sleep(self.latency_s)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
