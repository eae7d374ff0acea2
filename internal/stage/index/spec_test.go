package index

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The vectors of docs/spec/list-index.md hold here as they are to hold elsewhere.
func TestVectorsOfTheSpecification(t *testing.T) {
	text, err := os.ReadFile("../../../docs/spec/list-index.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Infohashes []struct {
			Now            int64
			Find, Announce []string
		}
		Announcement struct {
			Now   int64
			Event nostr.Event
		}
		Resolving []struct {
			Name, Author string
			Now          int64
			Answers      [][]nostr.Event
			List         *string
			Ended        bool
			Outcomes     []string
		}
	}
	if err := json.Unmarshal(text, &spec); err != nil || len(spec.Infohashes) < 5 || len(spec.Resolving) < 8 {
		t.Fatalf("%d and %d vectors, %v", len(spec.Infohashes), len(spec.Resolving), err)
	}
	texts := func(list [][20]byte) (out []string) {
		for _, h := range list {
			out = append(out, hex.EncodeToString(h[:]))
		}
		return out
	}
	for _, v := range spec.Infohashes {
		at := time.Unix(v.Now, 0)
		if !slices.Equal(texts(Infohashes(at)), v.Find) || !slices.Equal(texts(Announced(at)), v.Announce) {
			t.Errorf("infohashes at %d are %v", v.Now, texts(Announced(at)))
		}
	}
	said, err := ReadAnnouncement(spec.Announcement.Event, false, spec.Announcement.Now)
	again := said.Event(spec.Announcement.Now)
	if err != nil || said.URL != "wss://index.example" || again.Hash() != spec.Announcement.Event.ID {
		t.Errorf("the announcement is read as %+v, %v", said, err)
	}
	names := map[Outcome]string{Nothing: "nothing", Delivered: "delivered", Missed: "missed", Lied: "lied"}
	for _, v := range spec.Resolving {
		var answers []Answer
		for _, events := range v.Answers {
			answers = append(answers, Answer{Events: events})
		}
		j := Judge(v.Author, []int{10002}, answers, v.Now)
		var outcomes []string
		for _, o := range j.Outcomes {
			outcomes = append(outcomes, names[o])
		}
		won, found := j.Lists[10002]
		if found != (v.List != nil) || found && won.ID != *v.List || j.Ended[10002] != v.Ended || !slices.Equal(outcomes, v.Outcomes) {
			t.Errorf("%s: %+v", v.Name, j)
		}
	}
}
