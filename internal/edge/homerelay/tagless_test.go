package homerelay

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A relay of certain kinds keeps the tags of lists in no index: it finds lists by author and id, with tags, too, and what ends
// them by tags alone; other filters by tags it refuses, and does not call what it has nothing.
func TestTagsOfListsAreInNoIndex(t *testing.T) {
	t.Parallel()
	r := startConfig(t, Config{Kinds: []int{0, 10002}})
	author, now := newSigner(t), time.Now().Unix()
	list := author.event(10002, now-9, "", nostr.Tag{"r", "wss://a.example"}, nostr.Tag{"r", "wss://b.example"})
	deletion := author.event(5, now-8, "", nostr.Tag{"k", "10002"})
	mustInsert(t, r.store, list, deletion)
	entries := 0
	_ = r.store.view(func(tx *bbolt.Tx) error { entries = tx.Bucket(byTag).Stats().KeyN; return nil })
	if entries != 1 {
		t.Errorf("%d tags are in the index, want that of the deletion", entries)
	}
	c := dialRaw(t, r.URL())
	for filter, want := range map[string]*nostr.Event{
		fmt.Sprintf(`{"authors":[%q],"#r":["wss://b.example"]}`, list.PubKey):                 list,
		fmt.Sprintf(`{"authors":[%q],"kinds":[10002],"#r":["wss://c.example"]}`, list.PubKey): nil,
		fmt.Sprintf(`{"ids":[%q],"#r":["wss://a.example"]}`, list.ID):                         list,
		`{"kinds":[5],"#k":["10002"]}`:                                                        deletion,
		`{"kinds":[5],"#k":["10003"]}`:                                                        nil,
	} {
		c.send(`["REQ","x",` + filter + `]`)
		if want != nil {
			if got := c.expect("EVENT", "x")[2].(map[string]any); got["id"] != want.ID {
				t.Errorf("%s: %v", filter, got)
			}
		}
		c.expect("EOSE", "x")
	}
	for _, filter := range []string{
		`{"#r":["wss://a.example"]}`, `{"kinds":[10002],"#r":["wss://a.example"]}`, `{"kinds":[5,0],"#k":["10002"]}`,
	} {
		c.send(`["REQ","y",` + filter + `]`)
		c.expect("CLOSED", "y", errTags.Error())
		c.send(`["COUNT","y",` + filter + `]`)
		c.expect("CLOSED", "y", errTags.Error())
		c.send(`["NEG-OPEN","y",` + filter + `,"61"]`)
		c.expect("NEG-ERR", "y", errTags.Error())
	}
	mustInsert(t, r.store, author.event(10002, now-7, ""))
	if ok, err := r.store.Has(list.ID); ok || err != nil {
		t.Errorf("the list that was replaced: %t, %v", ok, err)
	}
}
