package bep44_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// FuzzDirectory reads what DHT nodes return for the slots of the HORNETS
// directory, and the wrapped items of HORNETS events.
func FuzzDirectory(f *testing.F) {
	for _, text := range []string{
		`22:wss://relay.example.com`, `33:["wss://a.example","ws://b.test"]`, `26:{"name":"x","pubkey":"00"}`, "0:", "1:", "01:x",
		"99999999999999999999:x", "i1e", "le", "d1:ai1ee",
		"d4:salt6:foobar3:seqi1e1:v12:Hello World!e", "d3:seqi1e1:v12:Hello World!e", "de", "d", "d3:seqi01e1:v1:xe", "d3:seqi-1e1:v1:xe",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if text, err := bep44.DecodeString(data); err == nil && !bytes.Equal(bep44.EncodeString(text), data) {
			t.Errorf("%q is read as %q, which is written %q", data, text, bep44.EncodeString(text))
		}
		if urls, err := bep44.DecodeRelayList(data); err == nil {
			value, err := bep44.EncodeRelayList(urls)
			if err != nil {
				t.Errorf("%q: %q cannot be written: %v", data, urls, err)
			}
			if again, err := bep44.DecodeRelayList(value); err != nil || len(again) != len(urls) {
				t.Errorf("%q: %q, then %q, %v", data, urls, again, err)
			}
		}
		it, err := bep44.ParseHornetsDict(data)
		if err != nil {
			return
		}
		if back := append(append([]byte("d"), it.SignedBuffer()...), 'e'); !bytes.Equal(back, data) {
			t.Errorf("%q is written %q", data, back)
		}
		if err := bep44.VerifyHornetsDict(data, [32]byte{}, [64]byte{}); err == nil {
			t.Errorf("%s is signed by nobody", hex.EncodeToString(data))
		}
	})
}
