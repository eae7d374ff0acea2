package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// Prefix sets a pipeline apart from others in the same NATS account. It stands before the
// names of its streams and buckets, with an underscore (alice_INTAKE, and alice_authors, whose
// stream is KV_alice_authors), and before its subjects, with a dot (alice.event.received). All code
// names them without it; where they go to NATS or come from there, it is put before them
// or taken away. The zero value is none.
type Prefix string

// maxPrefix leaves the names short enough for files.
const maxPrefix = 32

// Check says why that cannot be a prefix, nil if it can: one token, that no subject of
// a pipeline without a prefix begins with, nor the name of a bucket's stream.
func (p Prefix) Check() error {
	if p == "" {
		return nil
	}
	if strings.Trim(string(p), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" || len(p) > maxPrefix {
		return fmt.Errorf("%.40q: want at most %d letters, digits, - and _", string(p), maxPrefix)
	}
	taken := []string{"KV", "OBJ"} // KV_INTAKE would be the bucket INTAKE
	services, _ := Prefix("").Exported()
	for _, s := range append(Streams(), Stream{Subjects: services}) {
		for _, subject := range s.Subjects {
			first, _, _ := strings.Cut(subject, ".")
			taken = append(taken, first)
		}
	}
	first, _, _ := strings.Cut(string(p), "_")
	if slices.Contains(taken, string(p)) || slices.Contains(taken[:2], first) {
		return fmt.Errorf("%q: names of relaymesh or NATS begin like that, choose another one", string(p))
	}
	return nil
}

// Name is the name that NATS has for a stream or a bucket.
func (p Prefix) Name(name string) string {
	bucket, isBucket := strings.CutPrefix(name, "KV_")
	switch {
	case p == "":
		return name
	case isBucket:
		return "KV_" + p.Name(bucket)
	}
	return string(p) + "_" + name
}

// PlainName takes away what [Prefix.Name] puts before the name of a stream.
func (p Prefix) PlainName(name string) string {
	bucket, isBucket := strings.CutPrefix(name, "KV_")
	switch {
	case p == "":
		return name
	case isBucket:
		return "KV_" + p.PlainName(bucket)
	}
	return strings.TrimPrefix(name, string(p)+"_")
}

// ofName are the subjects in which a name of a stream or bucket follows, and no prefix comes first.
var ofName = []string{"$KV.", AdvisoryMaxDeliveries + "."}

// Subject is the subject that NATS has for one of ours, or for a pattern of them.
func (p Prefix) Subject(subject string) string {
	if p == "" {
		return subject
	}
	for _, begin := range ofName {
		if name, is := strings.CutPrefix(subject, begin); is {
			return begin + p.Name(name)
		}
	}
	return string(p) + "." + subject
}

// PlainSubject takes away what [Prefix.Subject] puts there.
func (p Prefix) PlainSubject(subject string) string {
	if p == "" {
		return subject
	}
	for _, begin := range ofName {
		if name, is := strings.CutPrefix(subject, begin); is {
			return begin + p.PlainName(name)
		}
	}
	return strings.TrimPrefix(subject, string(p)+".")
}

func (p Prefix) subjects(list []string) []string {
	out := make([]string, len(list))
	for i, subject := range list {
		out[i] = p.Subject(subject)
	}
	return out
}

// Streams are those of [Streams], as NATS has them.
func (p Prefix) Streams() []Stream {
	list := Streams()
	for i, s := range list {
		list[i].Name, list[i].Subjects = p.Name(s.Name), p.subjects(s.Subjects)
	}
	return list
}

// Consumers are those of [Consumers], as NATS has them.
func (p Prefix) Consumers() []Consumer {
	list := Consumers()
	for i, c := range list {
		list[i].Stream, list[i].Filters = p.Name(c.Stream), p.subjects(c.Filters)
	}
	return list
}

// Buckets are those of [Buckets], as NATS has them.
func (p Prefix) Buckets() []Bucket {
	list := Buckets()
	for i, b := range list {
		list[i].Name = p.Name(b.Name)
	}
	return list
}

// Exported are the subjects that the account of the pipeline exports and
// [AccountFeeders] imports. The public subjects are services, too, so that the
// acknowledgements of JetStream find their way back, and so are the keys of the one bucket
// that feeders write; the outcomes are streams.
func (p Prefix) Exported() (services, streams []string) {
	services = append(slices.Clone(intake), events.ServiceNoteFetch, events.ServiceListResolve, subjectGateways)
	return p.subjects(services), p.subjects(streamNamed(StreamOutcome).Subjects)
}
