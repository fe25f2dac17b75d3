"""Kills all processes of a pod on its own node, with SIGKILL: POST /kill {"pod": "NAME"} answers how many there were.

Needs the node's process namespace and root. A deletion through the API would let the process say goodbye; a crash does not.
"""
import glob
import http.server
import json
import os
import signal


class Killer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer("ready")

    def do_POST(self):
        pod = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["pod"]
        killed = 0
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                with open(path, "rb") as environ:
                    if f"HOSTNAME={pod}".encode() in environ.read().split(b"\0"):
                        os.kill(int(path.split("/")[2]), signal.SIGKILL)
                        killed += 1
            except OSError:
                continue  # gone meanwhile, or not to be read
        self.answer(str(killed))

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


http.server.ThreadingHTTPServer(("", 9001), Killer).serve_forever()
