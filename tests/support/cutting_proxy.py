"""A TCP proxy on loopback that counts, delays, cuts and resets what passes through it."""

import random
import socket
import struct
import threading
import time


class CuttingProxy:
    """`with CuttingProxy(port, seed) as p:` listens on p.port. `cut_share` of the pieces that pass end their connection:
    half of them before they are handed on and half behind, some by RST and some by FIN; `delay_s` holds each back; behind
    `silent_after` no answer comes through, as from a host that is cut off; `cut_before` ends a connection once, where an
    answer has these bytes."""

    def __init__(self, port, seed=0):
        self.target = port
        self.random = random.Random(seed)
        self.cut_share = 0.0
        self.delay_s = 0.0
        self.silent_after = None  # bytes of a client that are handed on, and behind which nobody hears anything more
        self.silent = threading.Event()
        self.cut_before = None
        self.cuts = 0
        self.commands = []  # the first bytes of each command of a MySQL client
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = set()
        self.lock = threading.Lock()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.cut_all()

    def speak_again(self):
        self.silent_after = None
        self.silent.clear()
        self.cut_all()

    def cut_all(self):
        with self.lock:
            sockets = list(self.sockets)
        for one in sockets:
            self._end(one, by_reset=True)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.sockets |= {client, server}
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _end(self, one, by_reset):
        try:
            if by_reset:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        with self.lock:
            self.sockets.discard(one)
        one.close()

    def _pump(self, source, target, from_client):
        try:
            while True:
                piece = source.recv(65536)
                if not piece:
                    break
                if from_client and len(piece) > 4 and piece[3] == 0:
                    self.commands.append(piece[5:40])
                if not from_client and self.silent.is_set():
                    continue
                if not from_client and self.cut_before and self.cut_before in piece:
                    target.sendall(piece[:piece.index(self.cut_before)])
                    self.cut_before = None
                    self.cuts += 1
                    break
                if from_client and self.silent_after and self.silent_after in piece:
                    self.silent.set()
                if self.delay_s:
                    time.sleep(self.delay_s)
                cut = self.random.random() < self.cut_share
                if cut and self.random.random() < 0.5:
                    target.sendall(piece[:self.random.randrange(len(piece) + 1)])
                    self.cuts += 1
                    break
                target.sendall(piece)
                if cut:
                    self.cuts += 1
                    break
        except OSError:
            pass
        by_reset = self.random.random() < 0.5
        self._end(source, by_reset)
        self._end(target, by_reset)
