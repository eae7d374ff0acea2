package reconcile

import (
	"errors"
	"strings"
	"testing"
)

func TestReasonsThatPass(t *testing.T) {
	for words, want := range map[string]bool{
		"rate-limited: slow down": true, "Rate-Limited: slow down": true, "error: disk": true, "error": true, "": false,
		"error: blocked: no": false, "ERROR: error: Rate-limited: no": true, "error:invalid": false, "error: disk: invalid: no": true,
		"error:": true, "error: duplicate: have it": false, "blocked: error: no": false, "invalid: bad": false, "error at line 3: no": false,
	} {
		if got := ParseReason(words).Passes(); got != want {
			t.Errorf("%q passes: %t", words, got)
		}
	}
	if (Reason{Cause: ByRules, Code: PrefixError}).Passes() {
		t.Error("a rule passes")
	}
}

// "error" may stand before what is meant.
func TestReasonsBehindError(t *testing.T) {
	for words, want := range map[string]Code{
		"error: auth-required: who are you": PrefixAuthRequired, "ERROR: Restricted: no": PrefixRestricted,
		"error: read auth-required: no": PrefixError,
	} {
		if e := NewQueryRefusal(words); e.Reason.Code != want || errors.Is(e, ErrRefused) != (want != PrefixError) {
			t.Errorf("%q is %q, %v", words, e.Reason.Code, e)
		}
	}
	if r := ParseReply(false, "error: duplicate: have it"); r.Outcome != Duplicate {
		t.Errorf("it has the event: %+v", r)
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
