package reconcile

import (
	"strings"
	"testing"
)

func TestReasonsThatPass(t *testing.T) {
	for words, want := range map[string]bool{
		"rate-limited: slow down": true, "Rate-Limited: slow down": true, "error: disk": true, "error": true, "": false,
		"blocked: error: no": false, "invalid: bad": false, "error at line 3: no": false,
	} {
		if got := ParseReason(words).Passes(); got != want {
			t.Errorf("%q passes: %t", words, got)
		}
	}
	if (Reason{Cause: ByRules, Code: PrefixError}).Passes() {
		t.Error("a rule passes")
	}
}

// What a relay says is quoted, and nothing else is.
func TestRefusalsQuoteTheRelay(t *testing.T) {
	for want, err := range map[string]*RefusedError{
		"refused without a reason":                           {},
		"refused without a reason (relay does not serve us)": {Means: ErrRefused},
		`refused: "error: no"`:                               {Reason: ParseReason("error: no")},
		`refused: "no" (relay does not serve us)`:            {Reason: ParseReason("no"), Means: ErrRefused},
	} {
		if err.Error() != want {
			t.Errorf("%s, want %s", err, want)
		}
	}
}

// Words are for people, and never empty; a store or a log takes 200 bytes of them.
func TestReasonsInWords(t *testing.T) {
	long := strings.Repeat("é", 500)
	for want, r := range map[string]Reason{
		"refused without a reason": {}, "blocked: no": ParseReason("blocked: no"),
		"private": {Cause: ByRules, Code: Private}, strings.Repeat("é", 100) + "…": ParseReason(long),
	} {
		if r.String() != want {
			t.Errorf("%q, want %q", r, want)
		}
	}
}
