"""Small archives of CIFAR's format, and a server that gives them. Not tests."""

import hashlib
import http.server
import io
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from explorer.train.data.archives import Archive

PIXELS = 3 * 32 * 32


def records(count, labels, classes, seed):
    """Bytes of a member, and what is in it: labels (the coarse first, where there are two), then red, green, blue."""
    random = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    images = random.integers(0, 256, (count, PIXELS), np.uint8)
    coarse = np.full((count, labels - 1), 255, np.uint8)
    return np.hstack([coarse, truth[:, None].astype(np.uint8), images]).tobytes(), truth, images


def pack(members):
    """A gzipped tar of (name or header, bytes)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members:
            header = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return file.getvalue()


def published(like: Archive, packed: bytes, **more) -> Archive:
    """An archive that is published as these bytes."""
    return replace(like, size=len(packed), sha256=hashlib.sha256(packed).hexdigest(), **more)


def small(like: Archive, extra=()):
    """A small archive of the same format: 20 images of each class in all training members together, 5 to test."""
    per_member = 20 * like.classes // len(like.train)
    train = [(name, records(per_member, like.labels, like.classes, seed)[0]) for seed, name in enumerate(like.train)]
    packed = pack([*extra, *train, (like.test, records(5 * like.classes, like.labels, like.classes, 99)[0])])
    return packed, published(like, packed, records=per_member, test_records=5 * like.classes)


class Server(http.server.BaseHTTPRequestHandler):
    """Gives its content, from where it is asked to unless `whole`; stops after `limit` bytes."""

    content, whole, limit = b"", False, None
    asked: list  # ranges

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and not self.whole else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start : start + self.limit if self.limit else None])

    def log_message(self, *_):
        pass


@contextmanager
def serving(content):
    """A handler class of its own that gives this content, and its address."""
    handler = type("Own", (Server,), {"content": content, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield handler, f"http://127.0.0.1:{running.server_address[1]}/archive"
        running.shutdown()
