"""A logging proxy: forwards every request to the server under test and keeps method, path and body."""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        there = http.client.HTTPConnection(self.server.target, timeout=300)
        try:
            self.forward_to(there)
        except OSError:  # the client or the server hung up: the other side notices by itself
            pass
        finally:
            there.close()
            self.close_connection = True

    def forward_to(self, there):
        length = int(self.headers.get("Content-Length") or 0)
        body = (
            self.rfile.read(length)
            if length
            else self.chunks()
            if "chunked" in self.headers.get("Transfer-Encoding", "")
            else b""
        )
        self.server.log.append((self.command, self.path, body))
        skip = {"host", "transfer-encoding", "content-length", "connection"}
        there.request(self.command, self.path, body, {k: x for k, x in self.headers.items() if k.lower() not in skip})
        answer = there.getresponse()
        self.send_response(answer.status, answer.reason)
        for k, x in answer.getheaders():
            if k.lower() not in self.server.drop or (self.command == "HEAD" and k.lower() == "content-length"):
                self.send_header(k, x)
        self.send_header("Connection", "close")
        self.end_headers()
        while data := answer.read1(65536):
            self.wfile.write(data)
            self.wfile.flush()

    def chunks(self):
        out = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            out += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return out

    do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = forward

    def log_message(self, *args):
        pass


class Proxy:
    def __init__(self, target):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.target, self.server.log = target, []
        self.server.drop = {"transfer-encoding", "connection", "date", "server"}
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def take(self):
        """The requests since the last call, HEAD / left out."""
        log, self.server.log[:] = list(self.server.log), []
        out = []
        for method, path, body in log:
            if (method, path) == ("HEAD", "/"):
                continue
            entry = {"method": method, "path": path}
            if path.startswith("/api/blobs/"):
                entry["bytes"] = len(body)
            elif body:
                entry["json"] = json.loads(body)
            out.append(entry)
        return out
