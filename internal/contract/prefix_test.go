package contract

import (
	"slices"
	"strings"
	"testing"
)

func TestAPrefixStandsBeforeEachName(t *testing.T) {
	const p = Prefix("alice")
	for name, want := range map[string]string{StreamIntake: "alice_INTAKE", BucketAuthors: "alice_authors", "KV_authors": "KV_alice_authors"} {
		if got := p.Name(name); got != want || p.PlainName(got) != name || Prefix("").Name(name) != name || Prefix("").PlainName(name) != name {
			t.Errorf("%s is %s, and without the prefix %s", name, got, p.PlainName(got))
		}
	}
	for subject, want := range map[string]string{
		RecordDueSubject("0d"):                   "alice.record.due.0d",
		PrefixSchedule + RecordDueSubject("0d"):  "alice.schedule.record.due.0d",
		"$KV.records.0d.x":                       "$KV.alice_records.0d.x",
		AdvisoryMaxDeliveries + ".NOTE.fetch":    AdvisoryMaxDeliveries + ".alice_NOTE.fetch",
		AdvisoryMaxDeliveries + "." + "INTAKE.*": AdvisoryMaxDeliveries + ".alice_INTAKE.*",
	} {
		if got := p.Subject(subject); got != want || p.PlainSubject(got) != subject ||
			Prefix("").Subject(subject) != subject || Prefix("").PlainSubject(subject) != subject {
			t.Errorf("%s is %s, and without the prefix %s", subject, got, p.PlainSubject(got))
		}
	}
}

// No subject that one pipeline stores or reads is one of another's, whether that has a prefix or none.
func TestPipelinesWithPrefixesShareNothing(t *testing.T) {
	all := func(p Prefix) (tokens [][]string) {
		var list []string
		services, outcomes := p.Exported()
		list = slices.Concat(services, outcomes)
		for _, s := range p.Streams() {
			list = append(append(list, "stream "+s.Name), s.Subjects...)
		}
		for _, c := range p.Consumers() {
			list = append(append(list, "consumer "+c.Stream+"/"+c.Name), c.Filters...)
		}
		for _, b := range p.Buckets() {
			list = append(list, "bucket "+b.Name)
		}
		for _, name := range append(Stages(), RoleRelay, RoleGateway, RoleConsole) {
			permissions, _ := p.PermissionsOf(name)
			list = append(append(list, permissions.Publish...), permissions.Subscribe...)
		}
		slices.Sort(list)
		for _, s := range slices.Compact(list) {
			if !strings.HasPrefix(s, "$SRV.") { // which asks all services of an account
				tokens = append(tokens, strings.Split(s, "."))
			}
		}
		return tokens
	}
	prefixes := []Prefix{"", "alice", "alice2"}
	for i, p := range prefixes {
		mine := all(p)
		for _, other := range prefixes[:i] {
			theirs := all(other)
			for _, mine := range mine {
				for _, theirs := range theirs {
					if overlap(mine, theirs) {
						t.Errorf("%q of prefix %q and %q of %q", mine, p, theirs, other)
					}
				}
			}
		}
	}
}

// overlap reports whether some subject matches both patterns.
func overlap(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == ">" || b[i] == ">":
			return true
		case a[i] != "*" && b[i] != "*" && a[i] != b[i]:
			return false
		}
	}
	return len(a) == len(b)
}

func TestWhatCannotBeAPrefix(t *testing.T) {
	for _, p := range []Prefix{
		"a.b", "a*", ">", "a b", "ä", "$JS", "a\n", Prefix(strings.Repeat("a", 33)), "event", "schedule", "retry", "record", "relaymesh",
		"KV", "KV_a", "OBJ_a",
	} {
		if p.Check() == nil {
			t.Errorf("%q is a prefix", p)
		}
	}
	for _, p := range []Prefix{"", "a", "Alice-2_x", "KVa", "events", Prefix(strings.Repeat("a", 32))} {
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
}
