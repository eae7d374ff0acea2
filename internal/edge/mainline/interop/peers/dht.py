"""DHT nodes of libtorrent, driven by one JSON command a line on stdin; one JSON answer a line on stdout."""

import hashlib
import json
import sys
import time

import libtorrent as lt

SETTINGS = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": True, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "dht_bootstrap_nodes": "",
    # All nodes share one loopback address, which libtorrent otherwise refuses in many ways.
    "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False, "dht_ignore_dark_internet": False,
    "dht_enforce_node_id": False, "dht_prefer_verified_node_ids": False,
    "dht_block_ratelimit": 1000, "dht_upload_rate_limit": 10_000_000,
    "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.dht_operation_notification
    | lt.alert.category_t.error_notification | lt.alert.category_t.status_notification,
}

nodes = []
clients = []


def deadline(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
    raise TimeoutError("libtorrent did not answer in time")


def start(bootstrap):
    session = lt.session(SETTINGS)
    for _ in deadline(10):
        if session.listen_port():
            break
        session.wait_for_alert(50)
        session.pop_alerts()
    for addr in bootstrap:
        host, port = addr.split(":")
        session.add_dht_node((host, int(port)))
    for _ in deadline(30):
        if len(bootstrap) == 0 or session.status().dht_nodes >= min(len(bootstrap), 3):
            return session
        session.wait_for_alert(50)
        session.pop_alerts()


def alerts(session, kind, seconds):
    for _ in deadline(seconds):
        session.wait_for_alert(200)
        for alert in session.pop_alerts():
            if isinstance(alert, kind):
                yield alert


def network(size):
    addrs = []
    for _ in range(size):
        session = start(addrs[:4])
        nodes.append(session)
        addrs.append("127.0.0.1:%d" % session.listen_port())
    return {"addrs": addrs}


def client(bootstrap):
    clients.append(start(bootstrap))
    return {"client": len(clients) - 1}


def expanded(seed):
    secret = bytearray(hashlib.sha512(seed).digest())
    secret[0] &= 248
    secret[31] &= 63
    secret[31] |= 64
    return bytes(secret)


def put(client, seed, key, salt, seq, value):
    """libtorrent signs by itself and chooses the seq: one more than the highest that it saw."""
    session = clients[client]
    session.pop_alerts()
    session.dht_put_mutable_item(expanded(bytes.fromhex(seed)), bytes.fromhex(key), value.encode(), salt.encode())
    for alert in alerts(session, lt.dht_put_alert, 40):
        return {"stored": alert.num_success, "seq": alert.seq}


def get(client, key, salt):
    session = clients[client]
    session.pop_alerts()
    session.dht_get_mutable_item(bytes.fromhex(key), salt.encode())
    for alert in alerts(session, lt.dht_mutable_item_alert, 40):
        if not alert.authoritative:
            continue
        try:
            value = alert.item
        except RuntimeError:  # how the binding says that there is none
            return {"found": False}
        value = value["value"] if isinstance(value, dict) else value
        if isinstance(value, bytes):
            value = value.decode()
        return {"found": True, "seq": alert.seq, "value": value, "sig": bytes(alert.signature).hex()}


def peers(client, infohash):
    session = clients[client]
    session.pop_alerts()
    session.dht_get_peers(lt.sha1_hash(bytes.fromhex(infohash)))
    found = set()
    try:
        for alert in alerts(session, lt.dht_get_peers_reply_alert, 5):
            found.update("%s:%d" % peer for peer in alert.peers())
    except TimeoutError:  # it has no other end
        pass
    return {"peers": sorted(found)}


for line in sys.stdin:
    command = json.loads(line)
    try:
        answer = globals()[command.pop("op")](**command)
    except Exception as err:  # the test reports it
        answer = {"error": repr(err)}
    print(json.dumps(answer), flush=True)
