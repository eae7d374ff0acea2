package bep44_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

func TestRelayListRoundTrip(t *testing.T) {
	for _, urls := range [][]string{
		{},
		{"wss://relay.example.com"},
		{"wss://relay.example.com", "ws://x.onion:7777/a?b=1&c=<2>"},
		slices.Repeat([]string{"wss://relay.example"}, bep44.MaxRelays),
	} {
		value, err := bep44.EncodeRelayList(urls)
		if err != nil {
			t.Fatal(err)
		}
		got, err := bep44.DecodeRelayList(value)
		if err != nil || !slices.Equal(got, urls) {
			t.Errorf("%s: got %q, %v", value, got, err)
		}
	}
	value, _ := bep44.EncodeRelayList([]string{"wss://a/?x&y"})
	if want := `16:["wss://a/?x&y"]`; string(value) != want {
		t.Errorf("got %s, want %s: an ampersand must stay one byte", value, want)
	}
}

func TestRelayListIsAtMost1000Bytes(t *testing.T) {
	fits := []string{"wss://" + strings.Repeat("a", 986)}
	if value, err := bep44.EncodeRelayList(fits); err != nil || len(value) != bep44.MaxValue {
		t.Errorf("%d bytes, %v", len(value), err)
	}
	_, err := bep44.EncodeRelayList([]string{fits[0] + "a"})
	if !errors.Is(err, bep44.ErrValueTooBig) {
		t.Errorf("1001 bytes: %v", err)
	}
	var urls []string
	for i := range 15 {
		urls = append(urls, fmt.Sprintf("wss://%02d.%s", i, strings.Repeat("b", 90)))
	}
	_, err = bep44.EncodeRelayList(urls)
	want := `relay list takes 1536 bytes of at most 1000: drop the last 6 of 15 URLs, from "wss://09.bbb`
	if !errors.Is(err, bep44.ErrValueTooBig) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := bep44.EncodeRelayList(urls[:9]); err != nil {
		t.Errorf("after dropping what the error named: %v", err)
	}
	_, err = bep44.EncodeRelayList(slices.Repeat([]string{"ws://a"}, 22))
	if !errors.Is(err, bep44.ErrValueTooBig) || !strings.Contains(err.Error(), "drop the last 2") {
		t.Errorf("22 URLs: %v", err)
	}
	for _, u := range []string{"", "wss://\xff"} {
		if _, err := bep44.EncodeRelayList([]string{u}); !errors.Is(err, bep44.ErrMalformed) {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestDecodeRelayListRefuses(t *testing.T) {
	str := func(s string) string { return string(bep44.EncodeString([]byte(s))) }
	for _, value := range []string{
		"", "i1e", "le", "2:[]x", "3:[]", "02:[]",
		str("null"), str("{}"), str(`"wss://a"`), str(`[`), str(`[1]`), str(`[null]`), str(`[""]`), str(`["a"]]`), str(`[["a"]]`),
		str("[\"wss://\xff\"]"),
		str("[" + strings.Repeat(`"a",`, bep44.MaxRelays) + `"a"]`),
		str("[" + strings.Repeat("[", 900)),
		str(`["` + strings.Repeat("a", 1000) + `"]`),
	} {
		if urls, err := bep44.DecodeRelayList([]byte(value)); err == nil {
			t.Errorf("accepted %.60q as %q", value, urls)
		}
	}
}

func FuzzDecodeRelayList(f *testing.F) {
	f.Add([]byte(`47:["wss://relay.example.com","wss://nos.example"]`))
	f.Add([]byte(`2:[]`))
	f.Add([]byte(`12:["\u0000\ud800"]`))
	f.Fuzz(func(t *testing.T, value []byte) {
		urls, err := bep44.DecodeRelayList(value)
		if err != nil {
			return
		}
		again, err := bep44.EncodeRelayList(urls)
		if errors.Is(err, bep44.ErrValueTooBig) {
			return // an escape may be written shorter than it must be written
		}
		if err != nil {
			t.Fatalf("%q decodes to %q, which does not encode: %v", value, urls, err)
		}
		if got, err := bep44.DecodeRelayList(again); err != nil || !slices.Equal(got, urls) {
			t.Fatalf("%q -> %q -> %q, %v", value, urls, got, err)
		}
	})
}
