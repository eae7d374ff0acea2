package relay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
)

const zeroTime = "fffffff1886e0900" // Unix seconds of the year 1, which an unset time is in Go

// signHornets signs a document whose packing is written by hand, with the
// pubkey for PUBKEY.
func signHornets(t *testing.T, key *schnorr.SecretKey, packing, pubkey string) string {
	t.Helper()
	raw, err := hex.DecodeString(pubkey)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.SignHash(sha256.Sum256(bytes.Replace([]byte(packing), []byte("PUBKEY"), raw, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// hornetsKeys returns keys whose points have an even and an odd y.
func hornetsKeys(t *testing.T) (keys []*schnorr.SecretKey) {
	t.Helper()
	for _, text := range []string{strings.Repeat("0", 63) + "1", strings.Repeat("0", 63) + "6"} {
		key, err := schnorr.ParseSecret(text)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func document(t *testing.T, pubkey, sig string, changes map[string]any) Info {
	t.Helper()
	ext := map[string]any{
		"libp2p_id": "16Uiu2HAm", "libp2p_addrs": []string{"/ip4/192.0.2.1/udp/9001/quic-v1", "/dns4/r.example/udp/9001/quic-v1"},
		"signature": sig, "last_updated": "2025-01-02T03:04:05.6Z",
	}
	doc := map[string]any{
		"name": "r", "description": "two\nlines", "pubkey": pubkey, "contact": "c", "supported_nips": []int{11, 1, 300},
		"software": "s", "version": "1", "icon": "not signed", "hornet_extension": ext,
	}
	for name, value := range changes {
		if inner, ok := strings.CutPrefix(name, "ext."); ok {
			ext[inner] = value
		} else {
			doc[name] = value
		}
	}
	maps.DeleteFunc(doc, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var info Info
	if err := json.Unmarshal(data, &info); err != nil {
		t.Fatal(err)
	}
	return info
}

func packing(updated string) string {
	raw, _ := hex.DecodeString(updated) // a constant
	return "r\x00two\nlines\x00PUBKEYc\x00\x00\x00\x00\x01\x00\x00\x00\x0b\x00\x00\x01\x2cs\x001\x0016Uiu2HAm\x00" +
		"/ip4/192.0.2.1/udp/9001/quic-v1\x00/dns4/r.example/udp/9001/quic-v1\x00\x00" + string(raw)
}

const oldPacking = "16Uiu2HAm\x00r\x00/ip4/192.0.2.1/udp/9001/quic-v1\x00/dns4/r.example/udp/9001/quic-v1\x00\x00" +
	"PUBKEY\x00\x00\x00\x01\x00\x00\x00\x0b\x00\x00\x01\x2c"

func TestHornetsVerifiesEveryPackingWithKeysOfBothParities(t *testing.T) {
	signedAt := time.Unix(1735787045, 0)
	for _, key := range hornetsKeys(t) {
		for _, prefix := range []string{"", "02", "03"} {
			for name, tc := range map[string]struct {
				packing string
				updated time.Time
			}{
				"time not signed": {packing(zeroTime), time.Time{}},
				"time signed":     {packing("0000000067760225"), signedAt},
				"old":             {oldPacking, time.Time{}},
			} {
				pubkey := prefix + key.PublicKey()
				info := document(t, pubkey, signHornets(t, key, tc.packing, pubkey), nil)
				h, err := info.Hornets()
				if err != nil {
					t.Errorf("%s, key %s: %v", name, pubkey, err)
					continue
				}
				if h.PubKey != key.PublicKey() || h.PeerID != "16Uiu2HAm" || len(h.Addrs) != 2 ||
					h.Addrs[0] != "/ip4/192.0.2.1/udp/9001/quic-v1" || h.Updated.Unix() != tc.updated.Unix() {
					t.Errorf("%s: %+v", name, h)
				}
			}
		}
	}
}

func TestHornetsRefusesWhatTheKeyDidNotSign(t *testing.T) {
	keys := hornetsKeys(t)
	pubkey := keys[0].PublicKey()
	sig := signHornets(t, keys[0], packing(zeroTime), pubkey)
	for name, changes := range map[string]map[string]any{
		"another key":     {"pubkey": keys[1].PublicKey()},
		"another peer":    {"ext.libp2p_id": "16Uiu2HAn"},
		"another address": {"ext.libp2p_addrs": []string{"/ip4/192.0.2.1/udp/9001/quic-v1", "/dns4/x.example/udp/9001/quic-v1"}},
		"one address":     {"ext.libp2p_addrs": []string{"/ip4/192.0.2.1/udp/9001/quic-v1"}},
		"another name":    {"name": "x"},
		"other NIPs":      {"supported_nips": []int{1, 11}},
	} {
		info := document(t, pubkey, sig, changes)
		if h, err := info.Hornets(); !errors.Is(err, ErrHornetsSignature) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	for want, changes := range map[string]map[string]any{
		"pubkey:":                                {"pubkey": "04" + pubkey},
		"pubkey: want":                           {"pubkey": nil},
		"hornet_extension:":                      {"hornet_extension": []int{1}},
		"hornet_extension: sig":                  {"ext.signature": ""},
		"hornet_extension: libp2p_id":            {"ext.libp2p_id": ""},
		"hornet_extension: libp2p_addrs: want 1": {"ext.libp2p_addrs": slices.Repeat([]string{"/ip4/192.0.2.1"}, maxHornetsAddrs+1)},
		"hornet_extension: libp2p_addrs:":        {"ext.libp2p_addrs": []string{"/ip4/192.0.2.1/udp/9001/quic-v1", ""}},
		`"c\x00": holds a zero byte`:             {"contact": "c\x00"},
		"no HORNETS":                             {"hornet_extension": nil},
	} {
		info := document(t, pubkey, sig, changes)
		if h, err := info.Hornets(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v, %v; want an error %q", h, err, want)
		}
	}
}
