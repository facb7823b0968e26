#!/usr/bin/env python3
"""Details, version 1: a second implementation of docs/details.md, both ends, for the tests.

    details.py serve --claim 127.0.0.1:8000 --name printer --key key.pem
    details.py discover 127.0.0.1 --pin ID

Signatures need the package `cryptography`. The server has no limits on what it answers, so it belongs on
networks that a test made.
"""

import argparse
import base64
import ipaddress
import json
import re
import secrets
import select
import socket
import struct
import sys
import threading
import time
import unicodedata

LEN = 512
RESERVED = ("id", "run", "name", "sig")
MESSAGE, PREFIX = b"DISCOVER_SERVER", b"SERVER_IP:"


class Refused(Exception):
    """A datagram breaks a rule; the text says which."""


def refuse_unless(condition, why):
    if not condition:
        raise Refused(why)


# Text


def encode64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def decode64(text, length):
    """Canonical base64url of `length` bytes: unused bits are zero."""
    refuse_unless(re.fullmatch(rb"[A-Za-z0-9_-]*", text), "base64url")
    refuse_unless(len(text) == (length * 8 + 5) // 6, "length of base64url")
    data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    refuse_unless(encode64(data) == text, "base64url is not canonical")
    return data


def decode_text(line):
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("not UTF-8") from error
    refuse_unless(all(unicodedata.category(it) != "Cc" for it in text), "control character")
    return text


def is_key(key):
    return bool(re.fullmatch(rb"[ -<>-~]+", key)) and key.lower().decode() not in RESERVED


# The plain response


def is_host(ip):
    """Whether an address can be that of a host."""
    if ip.is_multicast or ip.is_unspecified:
        return False
    if ip.version == 6:
        return ip.ipv4_mapped is None
    return ip not in ipaddress.ip_network("0.0.0.0/8") and ip not in ipaddress.ip_network("240.0.0.0/4")


def encode_response(ip, port, prefix=PREFIX):
    ip = ipaddress.ip_address(ip)
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    return prefix + (host if port is None else f"{host}:{port}").encode()


def decode_response(line, prefix=PREFIX):
    refuse_unless(line.startswith(prefix), "prefix")
    parts = re.fullmatch(rb"(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::([0-9]+))?", line[len(prefix) :])
    refuse_unless(parts, "response")
    port = parts[3] and int(parts[3])
    try:
        kind = ipaddress.IPv6Address if parts[1] else ipaddress.IPv4Address
        ip = kind((parts[1] or parts[2]).decode())
    except ValueError as error:
        raise Refused("address") from error
    refuse_unless(is_host(ip) and (port is None or 1 <= port <= 65535), "address or port")
    refuse_unless(encode_response(ip, port, prefix) == line, "response is not canonical")
    return str(ip), port


# Request and answer


def encode_request(nonce, message=MESSAGE):
    return (message + b"\n1 " + encode64(nonce) + b"\n").ljust(LEN)


def decode_request(datagram, message=MESSAGE):
    """The nonce."""
    refuse_unless(datagram.startswith(message + b"\n"), "message")
    refuse_unless(len(datagram) == LEN, "length")
    rest = datagram[len(message) + 1 :]
    refuse_unless(rest.startswith(b"1 "), "version")
    nonce = decode64(rest[2:24], 16)
    refuse_unless(rest[24:25] == b"\n", "line end")
    refuse_unless(rest[25:].strip(b" ") == b"", "padding")
    return nonce


def encode_answer(request, claim, offer, message=MESSAGE, prefix=PREFIX):
    nonce = decode_request(request, message)
    lines = [encode_response(*claim, prefix), b"1 " + encode64(nonce)]
    lines += [b"id=" + encode64(offer["id"]), b"run=" + encode64(offer["run"])]
    if offer["name"] is not None:
        lines.append(b"name=" + offer["name"].encode())
    lines += [f"{key}={value}".encode() for key, value in offer["properties"]]
    answer = b"".join(line + b"\n" for line in lines)
    if offer["key"]:
        answer += b"sig=" + encode64(offer["key"].sign(signed(request, answer))) + b"\n"
    return answer


def decode_answer(datagram, prefix=PREFIX):
    refuse_unless(len(datagram) <= LEN, "length")
    refuse_unless(datagram.endswith(b"\n"), "line end")
    lines = datagram[:-1].split(b"\n")
    refuse_unless(len(lines) >= 4, "missing lines")
    first, version, id_line, run_line, *rest = lines
    ip, port = decode_response(first, prefix)
    refuse_unless(version.startswith(b"1 "), "version")
    refuse_unless(id_line.startswith(b"id=") and run_line.startswith(b"run="), "id or run")
    answer = {"ip": ip, "port": port, "nonce": decode64(version[2:], 16)}
    answer |= {"id": decode64(id_line[3:], 32), "run": decode64(run_line[4:], 8)}
    answer |= {"name": None, "properties": {}, "sig": None, "signed": datagram}
    if rest and rest[-1].startswith(b"sig="):
        line = rest.pop()
        answer |= {"sig": decode64(line[4:], 64), "signed": datagram[: -len(line) - 1]}
    if rest and rest[0].startswith(b"name="):
        name = rest.pop(0)[5:]
        refuse_unless(len(name) <= 63, "length of name")
        answer["name"] = decode_text(name)
    seen = set()
    for line in rest:
        key, equals, value = line.partition(b"=")
        refuse_unless(equals and is_key(key), "property")
        text = decode_text(value)
        if key.lower() not in seen:
            seen.add(key.lower())
            answer["properties"][key.decode()] = text
    return answer


# Signature

P = 2**255 - 19
D = -121665 * pow(121666, -1, P)


def signed(request, answer):
    return b"udp-discovery/1\0" + struct.pack(">H", len(request)) + request + answer


def is_small_order(point):
    """Whether an encoded point has an order of 1, 2, 4 or 8, which its y coordinate tells."""
    y = (int.from_bytes(point, "little") & (2**255 - 1)) % P
    return y in (0, 1, P - 1) or (D * y**4 + 2 * y**2 - 1) % P == 0


def verify(answer, request):
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    sig = answer["sig"]
    if sig is None or is_small_order(answer["id"]) or is_small_order(sig[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(answer["id"]).verify(sig, signed(request, answer["signed"]))
    except (InvalidSignature, ValueError):
        return False
    return True


def load_key(path):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with open(path, "rb") as file:
        return load_pem_private_key(file.read(), None)


# Server


def make_offer(args):
    key = load_key(args.key) if args.key else None
    if key:
        identity = key.public_key().public_bytes_raw()
    else:
        identity = decode64(args.id.encode(), 32) if args.id else secrets.token_bytes(32)
    offer = {"key": key, "id": identity, "name": args.name}
    offer["run"] = decode64(args.run_id.encode(), 8) if args.run_id else secrets.token_bytes(8)
    offer["properties"] = [tuple(it.split("=", 1)) for it in args.property]
    check_offer(offer, args)
    return offer


def check_offer(offer, args):
    """Refuses what the longest answer could not hold, or a client would refuse."""
    longest = ("1111:2222:3333:4444:5555:6666:7777:8888", 65535)
    request = encode_request(bytes(16), args.message.encode())
    answer = encode_answer(request, longest, offer, args.message.encode(), args.prefix.encode())
    decoded = decode_answer(answer, args.prefix.encode())
    refuse_unless(len(decoded["properties"]) == len(offer["properties"]), "a key stands twice")


def respond(datagram, claim, offer, message, prefix):
    """The answer to a datagram, or None."""
    if datagram == message:
        return encode_response(*claim, prefix)
    try:
        return encode_answer(datagram, claim, offer, message, prefix)
    except Refused:
        return None


def serve(args):
    offer = make_offer(args)
    message, prefix = args.message.encode(), args.prefix.encode()
    claim = decode_response(prefix + args.claim.encode(), prefix)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((args.bind, args.port))
        print(json.dumps({"port": server.getsockname()[1], "id": encode64(offer["id"]).decode()}), flush=True)
        # Serves until standard input ends.
        ended = threading.Thread(target=sys.stdin.read, daemon=True)
        ended.start()
        while ended.is_alive():
            if not select.select([server], [], [], 0.1)[0]:
                continue
            datagram, source = server.recvfrom(65535)
            answer = respond(datagram, claim, offer, message, prefix)
            if answer:
                server.sendto(answer, source)


# Client


class Search:
    """Collects the answers to the probes of one search."""

    def __init__(self, args):
        self.message, self.prefix, self.pins = args.message.encode(), args.prefix.encode(), args.pin
        self.random = secrets.token_bytes(15)
        self.sent = {}  # probe: request and time
        self.found = {}  # id, run, verified: server
        self.plain = {}  # source, first line: answer
        self.failures = {}  # source: number
        self.dropped = {}  # reason: number

    def probe(self, number):
        request = encode_request(self.random + bytes([number]), self.message)
        self.sent[number] = (request, time.monotonic())
        return [self.message, request]

    def receive(self, datagram, source):
        try:
            if b"\n" in datagram.rstrip():
                self.receive_details(decode_answer(datagram, self.prefix), datagram, source)
            else:
                first_line = datagram.strip()
                ip, port = decode_response(first_line, self.prefix)
                refuse_unless(not self.pins, "plain")
                self.plain[source, first_line] = {"ip": ip, "port": port}
        except Refused as why:
            self.dropped[str(why)] = self.dropped.get(str(why), 0) + 1

    def receive_details(self, answer, datagram, source):
        probe = answer["nonce"][15]
        refuse_unless(answer["nonce"][:15] == self.random and probe in self.sent, "nonce")
        request, sent = self.sent[probe]
        identity = encode64(answer["id"]).decode()
        refuse_unless(not self.pins or identity in self.pins, "another id")
        verified = answer["sig"] is not None and self.verify(answer, request, source)
        refuse_unless(verified or not self.pins, "not verified")
        key = (identity, answer["run"], verified)
        details = {"id": identity, "run": encode64(answer["run"]).decode(), "name": answer["name"]}
        details |= {"properties": answer["properties"], "verified": verified, "endpoints": []}
        server = self.found.setdefault(key, details)
        endpoint = {"ip": answer["ip"], "port": answer["port"], "source": source[0]}
        if not any(endpoint.items() <= it.items() for it in server["endpoints"]):
            server["endpoints"].append(endpoint | {"rtt": time.monotonic() - sent})
        self.plain.pop((source, datagram.split(b"\n")[0]), None)

    def verify(self, answer, request, source):
        failed = self.failures.get(source, 0)
        if failed >= 2 or sum(self.failures.values()) >= 1000:
            return False
        verified = verify(answer, request)
        if not verified:
            self.failures[source] = failed + 1
        return verified


def discover(args):
    search = Search(args)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for number in range(args.probes):
            for datagram in search.probe(number):
                for target in args.target:
                    client.sendto(datagram, (target, args.port))
            deadline = time.monotonic() + args.timeout / args.probes
            while (left := deadline - time.monotonic()) > 0:
                if select.select([client], [], [], left)[0]:
                    search.receive(*client.recvfrom(65535))
    servers = list(search.found.values()) + list(search.plain.values())
    print(json.dumps({"servers": servers, "dropped": search.dropped}))


# One datagram at a time


def request_command(args):
    random = bytes.fromhex(args.random) if args.random else secrets.token_bytes(15)
    print(encode_request(random + bytes([args.probe]), args.message.encode()).hex())


def answer_command(args):
    """Answers each request on standard input, one a line in hexadecimal; an empty line is silence."""
    offer, message, prefix = make_offer(args), args.message.encode(), args.prefix.encode()
    claim = decode_response(prefix + args.claim.encode(), prefix)
    for line in sys.stdin:
        print((respond(bytes.fromhex(line), claim, offer, message, prefix) or b"").hex())


def read_command(args):
    """Reads each answer on standard input, one a line in hexadecimal, and verifies it if it is signed."""
    request = bytes.fromhex(args.request)
    for line in sys.stdin:
        try:
            answer = decode_answer(bytes.fromhex(line), args.prefix.encode())
        except Refused as why:
            print(json.dumps({"refused": str(why)}))
            continue
        answer["verified"] = answer["sig"] is not None and verify(answer, request)
        del answer["signed"], answer["sig"]
        encode = lambda value: encode64(value).decode() if isinstance(value, bytes) else value
        print(json.dumps({name: encode(value) for name, value in answer.items()}))


def main():
    parser = argparse.ArgumentParser(description="Details, version 1, for the tests.")
    commands = parser.add_subparsers(required=True)

    def command(name, run):
        it = commands.add_parser(name, help=run.__doc__)
        it.set_defaults(run=run)
        it.add_argument("--message", default=MESSAGE.decode())
        it.add_argument("--prefix", default=PREFIX.decode())
        return it

    serving, discovering = command("serve", serve), command("discover", discover)
    requesting, answering = command("request", request_command), command("answer", answer_command)
    reading = command("read", read_command)
    for it in (serving, answering):
        it.add_argument("--claim", default="127.0.0.1", help="the address that answers name")
        it.add_argument("--id", help="43 characters; default: random")
        it.add_argument("--run", dest="run_id", help="11 characters; default: random")
        it.add_argument("--name")
        it.add_argument("--property", action="append", default=[], metavar="KEY=VALUE")
        it.add_argument("--key", help="an Ed25519 key in PEM, which makes the id")
    for it in (serving, discovering):
        it.add_argument("--port", type=int, default=9999)
    serving.add_argument("--bind", default="127.0.0.1")
    discovering.add_argument("target", nargs="+")
    discovering.add_argument("--timeout", type=float, default=0.5, help="seconds, in all")
    discovering.add_argument("--probes", type=int, default=2)
    discovering.add_argument("--pin", action="append", default=[], metavar="ID")
    requesting.add_argument("--random", help="15 bytes in hexadecimal; default: random")
    requesting.add_argument("--probe", type=int, default=0)
    reading.add_argument("--request", required=True, help="what was asked, in hexadecimal")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(f"refused: {error}")
