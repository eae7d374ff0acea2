package bep44_test

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// What must be refused before any signature is looked at, with the reason of each.
var mustRefuse = map[string]string{
	"empty":                   "",
	"leading zero in seq":     "3:seqi01e1:v1:x",
	"minus zero":              "3:seqi-0e1:v1:x",
	"plus sign":               "3:seqi+1e1:v1:x",
	"negative seq":            "3:seqi-1e1:v1:x",
	"empty seq":               "3:seqie1:v1:x",
	"seq above 2^53-1":        "3:seqi9007199254740992e1:v1:x",
	"seq above int64":         "3:seqi9223372036854775808e1:v1:x",
	"endless seq":             "3:seqi" + strings.Repeat("1", 500) + "e1:v1:x",
	"empty salt":              "4:salt0:3:seqi1e1:v1:x",
	"salt over 64":            "4:salt65:" + strings.Repeat("s", 65) + "3:seqi1e1:v1:x",
	"salt as integer":         "4:salti1e3:seqi1e1:v1:x",
	"salt twice":              "4:salt1:s4:salt1:s3:seqi1e1:v1:x",
	"salt after seq":          "3:seqi1e4:salt1:s1:v1:x",
	"bytes after the value":   "3:seqi1e1:v1:xx",
	"leading zero in length":  "3:seqi1e1:v01:x",
	"length beyond the end":   "3:seqi1e1:v2:x",
	"length of many digits":   "3:seqi1e1:v99999999999:x",
	"unsorted keys":           "3:seqi1e1:vd1:bi1e1:ai1ee",
	"duplicate keys":          "3:seqi1e1:vd1:ai1e1:ai1ee",
	"duplicate empty keys":    "3:seqi1e1:vd0:i1e0:i1ee",
	"key that is no string":   "3:seqi1e1:vdi1ei1ee",
	"dictionary not closed":   "3:seqi1e1:vd1:ai1e",
	"list not closed":         "3:seqi1e1:vl1:x",
	"key without a value":     "3:seqi1e1:vd1:ae",
	"integer of value":        "3:seqi1e1:vi00e",
	"missing v":               "3:seqi1e",
	"v without a value":       "3:seqi1e1:v",
	"missing seq":             "1:v1:x",
	"v before seq":            "1:v1:x3:seqi1e",
	"wrapped in a dictionary": "d3:seqi1e1:v1:xe",
	"value over 1000":         "3:seqi1e1:v997:" + strings.Repeat("x", 997),
	"deep nesting":            "3:seqi1e1:v" + string(nested(400)),
	"JSON":                    `{"seq":1,"v":"x"}`,
}

func TestParseSignedBufferRefuses(t *testing.T) {
	for what, buf := range mustRefuse {
		if it, err := bep44.ParseSignedBuffer([]byte(buf)); err == nil {
			t.Errorf("%s: accepted %q as %+v", what, buf, it)
		}
	}
}

func TestHornetsDictIsTheSameItemWrapped(t *testing.T) {
	for i, v := range vectors {
		it, err := bep44.ParseHornetsDict([]byte("d" + v.buf + "e"))
		if err != nil {
			t.Fatal(err)
		}
		want := parseVector(t, i)
		it.Key, it.Sig = want.Key, want.Sig
		if !it.Equal(&want) {
			t.Errorf("d%se: got %+v, want %+v", v.buf, it, want)
		}
	}
	for what, buf := range mustRefuse {
		if _, err := bep44.ParseHornetsDict([]byte("d" + buf + "e")); err == nil {
			t.Errorf("%s: accepted wrapped", what)
		}
	}
	for _, buf := range []string{"", "d", "de", "3:seqi1e1:v1:x", "d3:seqi1e1:v1:x", "d3:seqi1e1:v1:xee"} {
		if _, err := bep44.ParseHornetsDict([]byte(buf)); err == nil {
			t.Errorf("accepted %q", buf)
		}
	}
}

func TestHornetsDictSignatureCoversTheWrapping(t *testing.T) {
	payload := []byte("d3:seqi1e1:v1:xe")
	key := [32]byte(testKey().Public().(ed25519.PublicKey))
	sig := [64]byte(ed25519.Sign(testKey(), payload))
	if err := bep44.VerifyHornetsDict(payload, key, sig); err != nil {
		t.Error(err)
	}
	it, err := bep44.ParseHornetsDict(payload)
	if err != nil {
		t.Fatal(err)
	}
	it.Key, it.Sig = key, sig
	if err := it.Verify(); !errors.Is(err, bep44.ErrBadSignature) {
		t.Errorf("a signature over the dictionary passed for the item: %v", err)
	}
	payload[len(payload)-2] = 'y'
	if err := bep44.VerifyHornetsDict(payload, key, sig); !errors.Is(err, bep44.ErrBadSignature) {
		t.Errorf("changed payload: %v", err)
	}
}

func FuzzParseSignedBuffer(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.buf))
	}
	for _, buf := range mustRefuse {
		f.Add([]byte(buf))
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		it, err := bep44.ParseSignedBuffer(buf)
		if err != nil {
			var refusal *bep44.Error
			if !errors.As(err, &refusal) || refusal.Code < 201 || refusal.Code > 207 {
				t.Fatalf("error without a code: %v", err)
			}
			return
		}
		if got := it.SignedBuffer(); string(got) != string(buf) {
			t.Fatalf("accepted %q, which is not canonical: %q", buf, got)
		}
		if err := it.Check(); err != nil {
			t.Fatalf("accepted what Check refuses: %v", err)
		}
	})
}
