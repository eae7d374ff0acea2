package contract_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// words are what subjects that do something are made of, and what looks like them.
var words = []string{
	"_INBOX", "_INBOX_relay", "_INBOX_", "_R_", "_R_x", "$JS", "API", "ACK", "STREAM", "DELETE", "KV_records", "$KV", "records", "$SYS",
	"REQ", "CONSUMER", "INTAKE", "event", "received", "author", "seen", "list", "resolve", "$SRV", "*", ">", "", " ", "_inbox", "\x00",
}

// covers reports whether a subject with wildcards covers one without.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s) || token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// FuzzReplySubject makes reply subjects of the words of subjects that do something.
// One that a service answers to is in no stream and no bucket, and is nothing that
// the server listens to, whatever follows its beginning.
func FuzzReplySubject(f *testing.F) {
	for first := range words {
		f.Add([]byte{byte(first), 5, 6, 8, 9, 10}, "")
		f.Add([]byte{0, byte(first), 11, 12}, "x")
	}
	f.Add([]byte{}, "$JS.API.STREAM.DELETE.KV_records")
	f.Fuzz(func(t *testing.T, choice []byte, tail string) {
		var tokens []string
		for _, c := range choice {
			tokens = append(tokens, words[int(c)%len(words)])
		}
		reply := strings.Join(append(tokens, tail), ".")
		if !contract.IsInbox(reply) {
			return
		}
		first, _, dotted := strings.Cut(reply, ".")
		if !dotted && !strings.HasPrefix(first, "_INBOX_") || strings.HasPrefix(reply, "$") {
			t.Errorf("%q is taken for an inbox", reply)
		}
		for _, s := range contract.Streams() {
			if slices.ContainsFunc(s.Subjects, func(pattern string) bool { return covers(pattern, reply) }) {
				t.Errorf("%q is in the stream %s", reply, s.Name)
			}
		}
	})
}
