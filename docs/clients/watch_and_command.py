"""python3 watch_and_command.py URL TOKEN TENANT: watches a tenant, protects it, ends when it sees that."""
import base64, json, os, socket, ssl, struct, sys, time, uuid
from urllib.parse import urlsplit
class WebSocket:  # RFC 6455 as far as a client of photon.v1 needs it
    def __init__(self, url, ca=None):
        at = urlsplit(url)
        self.tcp = socket.create_connection((at.hostname, at.port), timeout=60)
        if at.scheme == "wss":
            self.tcp = ssl.create_default_context(cafile=ca).wrap_socket(self.tcp, server_hostname=at.hostname)
        self.file = self.tcp.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.tcp.sendall((f"GET {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: photon.v1\r\n\r\n").encode())
        status, *_ = [line.decode().strip() for line in iter(self.file.readline, b"\r\n")]
        if " 101 " not in status:
            raise SystemExit(status)
    def send(self, data, opcode=1):
        size, mask = len(data), os.urandom(4)
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
        self.tcp.sendall(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))
    def read(self):
        text = b""
        while True:
            first, size = self.file.read(2)
            size = int.from_bytes(self.file.read({126: 2, 127: 8}[size]), "big") if size > 125 else size
            data, opcode = self.file.read(size), first & 15
            if opcode == 8:
                raise SystemExit(f"closed: {data[2:].decode()}")
            if opcode == 9:
                self.send(data, 10)
            elif opcode in (0, 1):
                text += data
                if first & 0x80:
                    return json.loads(text)
url, token, tenant = sys.argv[1:4]
link, actors, answers, state = WebSocket(url, os.environ.get("PHOTON_CA")), {}, {}, {"id": 0, "window": 2, "cursor": None}
def send(method, params):
    state["id"] += 1
    link.send(json.dumps({"jsonrpc": "2.0", "id": state["id"], "method": method, "params": params}).encode())
    return state["id"]
def read():
    frame = link.read()
    if frame.get("method") != "watch.event":
        answers[frame.get("id", frame.get("method"))] = frame
        return
    event = frame["params"]
    some = event.get("actors") or ([event["actor"]] if "actor" in event else [])
    if event["type"] == "reset":
        actors.clear()
    for actor in some:
        actors[actor["id"]] = actor
        if event["type"] == "removed":
            del actors[actor["id"]]
    state["cursor"] = event.get("cursor", state["cursor"])  # watch.open with since: cursor continues here
    print(event["type"], " ".join(actor["id"] for actor in some))
    if event["n"] % max(1, state["window"] // 2) == 0:
        send("watch.ack", {"watch": event["watch"], "upTo": event["n"]})
def call(method, params):
    number = send(method, params)
    while number not in answers:
        read()
    answer = answers.pop(number)
    if "error" in answer:
        raise SystemExit(f"{answer['error']['data']['type']}: {answer['error']['data']['detail']}")
    return answer["result"]
def command(protect, **more):
    return {"scope": tenant, "name": tenant, "idempotencyKey": f"{time.time_ns() // 10**6}-{uuid.uuid4()}", "params": {"protect": protect}, **more}
call("auth", {"token": token})
call("tenant.apply", command(False))
state["window"] = call("watch.open", {"kind": "tenant", "scope": tenant})["window"]
own = f"tenant/{tenant}/{tenant}"
while own not in actors:
    read()
before = actors[own]["version"]
print("dry run", call("tenant.apply", command(True, dryRun=True))["result"]["changed"])
call("tenant.apply", command(True))
while actors[own]["version"] <= before:
    read()
print("done", state["cursor"] is not None)
