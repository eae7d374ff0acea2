package mainline

import (
	"errors"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// maxPacket is longer than any packet that real nodes send; one with an item, nodes and nodes6 has 1800 bytes.
const maxPacket = 4096

var (
	errTooLong  = errors.New("packet is longer than 4096 bytes")
	errBencode  = errors.New("packet is not one canonical bencoded dictionary")
	errEntry    = errors.New("an entry of the packet has the wrong type or length")
	errMissing  = errors.New("the packet lacks an entry that its kind must have")
	errWithheld = errors.New("the reply holds a key without seq, value and signature")
)

// packet is a KRPC message that passed validation. Its slices point into the bytes that were read.
type packet struct {
	kind byte   // 'q' query, 'r' reply, 'e' error
	tid  []byte // transaction id
	body []byte // the dictionary "a" or "r", the list "e"
	self []byte // how the sender sees us (BEP 42 "ip"), compact; empty if it does not say
}

// A rule says whether a bencoded value, already known to be canonical, may stand under a key.
type rule func(value []byte) bool

// The keys that any KRPC node looks at, and what they must hold. Others may hold anything. A length that is not checked
// here is an out-of-range slice in the library.
var (
	messageRules = map[string]rule{
		"t": text(1, 64), "y": text(1, 1), "q": text(1, 64), "a": dict(argumentRules), "r": dict(returnRules), "e": errorList,
		"ip": address, "ro": integer, "v": text(0, 64),
	}
	argumentRules = map[string]rule{
		"id": text(20, 20), "target": text(20, 20), "info_hash": text(20, 20), "token": text(0, 256),
		"port": integer, "implied_port": integer, "noseed": integer, "scrape": integer, "want": listOf(text(0, 16)),
		"k": text(32, 32), "sig": text(64, 64), "salt": text(0, 1024), "seq": integer, "cas": integer,
	}
	returnRules = map[string]rule{
		"id": text(20, 20), "nodes": records(compactSize), "nodes6": records(20 + 16 + 2), "token": text(0, 256),
		"values": listOf(address), "BFsd": text(256, 256), "BFpe": text(256, 256), "samples": records(20),
		"interval": integer, "num": integer, "k": text(32, 32), "sig": text(64, 64), "seq": integer,
	}
)

// parsePacket validates a KRPC message strictly. What it lets through neither kills the library nor makes it log.
func parsePacket(b []byte) (packet, error) {
	if len(b) > maxPacket {
		return packet{}, errTooLong
	}
	if _, rest, err := bep44.ScanValue(b); err != nil || len(rest) != 0 || b[0] != 'd' {
		return packet{}, errBencode
	}
	var p packet
	var args, ret, failure, method []byte
	for e := entriesOf(b); e.next(); {
		if check, known := messageRules[string(e.key)]; known && !check(e.value) {
			return packet{}, errEntry
		}
		switch string(e.key) {
		case "t":
			p.tid = content(e.value)
		case "y":
			p.kind = content(e.value)[0]
		case "ip":
			p.self = content(e.value)
		case "q":
			method = e.value
		case "a":
			args = e.value
		case "r":
			ret = e.value
		case "e":
			failure = e.value
		}
	}
	switch p.kind {
	case 'q':
		p.body = args
	case 'r':
		p.body = ret
	case 'e':
		p.body = failure
	}
	if p.tid == nil || p.body == nil || p.kind == 'q' && method == nil {
		return packet{}, errMissing
	}
	if p.kind != 'e' && entry(p.body, "id") == nil {
		return packet{}, errMissing
	}
	// A reply with k but no seq is one of the packets that kill the library.
	if p.kind == 'r' && entry(p.body, "k") != nil &&
		(entry(p.body, "seq") == nil || entry(p.body, "v") == nil || entry(p.body, "sig") == nil) {
		return packet{}, errWithheld
	}
	return p, nil
}

// entries walks over a bencoded dictionary that ScanValue has accepted. It is no iterator function because those allocate, and it runs
// several times for every packet.
type entries struct {
	key   []byte // decoded
	value []byte // raw
	rest  []byte
}

func entriesOf(dict []byte) entries { return entries{rest: dict[1:]} }

func (e *entries) next() bool {
	if e.rest[0] == 'e' {
		return false
	}
	key, rest, _ := bep44.ScanValue(e.rest)
	e.key = content(key)
	e.value, e.rest, _ = bep44.ScanValue(rest)
	return true
}

// entry returns the raw value under a key of an accepted dictionary, nil if there is none.
func entry(dict []byte, key string) []byte {
	for e := entriesOf(dict); e.next(); {
		if string(e.key) == key {
			return e.value
		}
	}
	return nil
}

// content returns the bytes of an accepted bencoded string.
func content(value []byte) []byte {
	s, _ := bep44.DecodeString(value)
	return s
}

func text(shortest, longest int) rule {
	return func(value []byte) bool {
		s, err := bep44.DecodeString(value)
		return err == nil && len(s) >= shortest && len(s) <= longest
	}
}

func records(size int) rule {
	return func(value []byte) bool {
		s, err := bep44.DecodeString(value)
		return err == nil && len(s)%size == 0
	}
}

func integer(value []byte) bool { return value[0] == 'i' }

// address is a compact address of either family.
func address(value []byte) bool {
	s, err := bep44.DecodeString(value)
	return err == nil && (len(s) == 4+2 || len(s) == 16+2)
}

func listOf(element rule) rule {
	return func(value []byte) bool {
		if value[0] != 'l' {
			return false
		}
		for b := value[1:]; b[0] != 'e'; {
			e, rest, _ := bep44.ScanValue(b)
			if !element(e) {
				return false
			}
			b = rest
		}
		return true
	}
}

// errorList is [code, message] of BEP 5.
func errorList(value []byte) bool {
	if value[0] != 'l' || value[1] != 'i' {
		return false
	}
	_, rest, _ := bep44.ScanValue(value[1:])
	return text(0, maxPacket)(rest[:len(rest)-1])
}

func dict(rules map[string]rule) rule {
	return func(value []byte) bool {
		if value[0] != 'd' {
			return false
		}
		for e := entriesOf(value); e.next(); {
			if check, known := rules[string(e.key)]; known && !check(e.value) {
				return false
			}
		}
		return true
	}
}
