"""Lets a program that runs beside this one end and start the servers.

It connects, sends one line, `stop home`, `kill away` or `start home`, and gets one line back.
"""

import socketserver
import threading

WORDS = ("start", "stop", "kill")


class Control:
    def __init__(self, home, away):
        servers = {"home": home, "away": away}

        class Line(socketserver.StreamRequestHandler):
            def handle(self):
                word, role = self.rfile.readline().decode().split()
                try:
                    assert word in WORDS, word
                    getattr(servers[role], word)()
                    self.wfile.write(b"done\n")
                except (Exception, SystemExit) as error:
                    self.wfile.write(f"{error!r}\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Line)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
