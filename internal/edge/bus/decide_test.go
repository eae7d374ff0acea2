package bus

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/relaymesh/relaymesh/internal/contract"
)

func TestDecide(t *testing.T) {
	retry := func(after time.Duration) contract.Verdict { return contract.Retry(after, "busy") }
	for _, c := range []struct {
		name    string
		verdict contract.Verdict
		attempt int
		fate    outcome
		wait    time.Duration // without jitter
		reason  string
	}{
		{"done", contract.Done(), 1, ack, 0, ""},
		{"done at last", contract.Done(), contract.MaxAttempts + 5, ack, 0, ""},
		{"reject", contract.Reject("bad signature"), 1, toDLQ, 0, "bad signature"},
		{"first retry", retry(2 * time.Second), 1, delayedNak, 2 * time.Second, "busy"},
		{"third retry", retry(2 * time.Second), 3, delayedNak, 8 * time.Second, "busy"},
		{"retry at once", retry(0), 1, delayedNak, time.Second, "busy"},
		{"negative wait", retry(-time.Hour), 1, delayedNak, time.Second, "busy"},
		{"a minute", retry(time.Minute), 1, delayedNak, time.Minute, "busy"},
		{"over a minute", retry(time.Minute), 2, scheduledRetry, 2 * time.Minute, "busy"},
		{"never over an hour", retry(time.Second), 19, scheduledRetry, time.Hour, "busy"},
		{"asks for more than an hour", retry(1 << 62), 1, scheduledRetry, time.Hour, "busy"},
		{"no attempt left", retry(time.Second), contract.MaxAttempts, toDLQ, 0, "gave up after 20 attempts: busy"},
	} {
		f, wait, reason := decide(c.verdict, c.attempt, 24*time.Hour, 0.5)
		if f != c.fate || wait != c.wait || reason != c.reason {
			t.Errorf("%s: fate %d, wait %s, reason %q; want %d, %s, %q", c.name, f, wait, reason, c.fate, c.wait, c.reason)
		}
	}
	if _, low, _ := decide(retry(10*time.Second), 1, 0, 0); low != 7500*time.Millisecond {
		t.Errorf("least wait %s, want a quarter less", low)
	}
	if _, high, _ := decide(retry(10*time.Second), 1, 0, 0.999999); high.Round(time.Millisecond) != 12500*time.Millisecond {
		t.Errorf("longest wait %s, want a quarter more", high)
	}
}

// Nine deliveries within six minutes, most of them of workers that died.
func TestNoWaitIsMuchLongerThanAllThatWereBefore(t *testing.T) {
	busy := contract.Retry(5*time.Second, "busy")
	for age, want := range map[time.Duration]time.Duration{
		-time.Hour: 7500 * time.Millisecond, 0: 7500 * time.Millisecond, 6 * time.Minute: 547500 * time.Millisecond,
		time.Hour: 1280 * time.Second,
	} {
		if _, wait, _ := decide(busy, 9, age, 0.5); wait != want {
			t.Errorf("at the age of %s it waits for %s, want %s", age, wait, want)
		}
	}
	age := time.Duration(0)
	for attempt := 1; attempt < 10; attempt++ { // undisturbed
		_, wait, _ := decide(busy, attempt, age, 0.5)
		if age += wait; wait != 5*time.Second<<(attempt-1) {
			t.Errorf("wait %d is %s", attempt, wait)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a", false},
		{"a", "a.b", false},
		{"a.*", "a.b", true},
		{"a.*", "a.b.c", false},
		{"a.*", "a", false},
		{"*.b", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{">", "a", true},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.d", false},
	} {
		if got := matches(c.pattern, c.subject); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.subject, got)
		}
	}
}

func TestShorten(t *testing.T) {
	long := make([]byte, 0, 2*maxReason)
	for range maxReason {
		long = append(long, "é"...)
	}
	if got := shorten("x" + string(long)); len(got) > maxReason+len("…") || !utf8.ValidString(got) {
		t.Errorf("shortened to %d bytes, valid UTF-8: %v", len(got), utf8.ValidString(got))
	}
	if got := shorten("why"); got != "why" {
		t.Errorf("a short reason became %q", got)
	}
}
