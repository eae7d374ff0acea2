package console

import (
	"cmp"
	"context"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
)

// withoutRecord is the state of users who have no record; those of the others are the labels of
// [Holders].
const withoutRecord = "none"

// heldFindable are the users whose record some node holds.
const heldFindable = "findable"

// User is a user in the list.
type User struct {
	PubKey string `json:"pubkey"`
	Npub   string `json:"npub"`
	// Records is how many records there are, Holders how many nodes held the best of them, 0 if
	// it is long due.
	Records int   `json:"records"`
	Holders int   `json:"holders"`
	Seen    int64 `json:"last_seen"`
	Lookup  int64 `json:"next_resolve"`
	// Lists are the sources by which a relay list is known.
	Lists []string `json:"lists"`
}

type usersView struct {
	pager
	sorting

	Users []User `json:"users"`
	// Held is what the list is filtered by, "" for nothing; Helds are counted over all users.
	Held  string   `json:"held,omitempty"`
	Helds []Choice `json:"helds"`
	// List and KnownLists are the same for the sources of relay lists.
	List       string   `json:"list,omitempty"`
	KnownLists []Choice `json:"lists"`
}

// heldOrder are the states of users.
func heldOrder() (order []string) {
	for _, h := range holdersNone() {
		order = append(order, h.Label())
	}
	return append(order, withoutRecord)
}

// listNone is how users are listed of whom no relay list is known; the others are by source.
const listNone = "none"

// listOrder are the sources of relay lists, as users are filtered by them.
func listOrder() []string { return append(slices.Clone(listSources), listNone) }

// by reports whether a list of this source is known; of all ("") each is.
func (known listsKnown) by(source string) bool {
	switch source {
	case "":
		return true
	case listNone:
		return known == 0
	}
	return known&(1<<slices.Index(listSources, source)) != 0
}

func (c *Console) users(r *http.Request) (any, error) {
	from, err := position(r)
	if err != nil {
		return nil, err
	}
	only, err := chosen(r, "held", append(heldOrder(), heldFindable))
	if err != nil {
		return nil, err
	}
	list, err := chosen(r, "list", listOrder())
	if err != nil {
		return nil, err
	}
	by, err := sortingOf(r, c.base+"/users", []string{"held", "list"}, []string{"holders"})
	if err != nil {
		return nil, err
	}
	bucket, err := kv.Open[contract.Author](r.Context(), c.js, contract.BucketAuthors)
	if err != nil {
		return nil, need(err)
	}
	var page kv.Page[contract.Author]
	if only == "" && list == "" && by.Sort == "" {
		page, err = bucket.Page(r.Context(), ">", from, perPage)
	} else {
		page, err = pageOf(r.Context(), bucket, c.counter.usersIn(only, list, by), from)
	}
	if err != nil {
		return nil, err
	}
	rows, err := c.userRows(r.Context(), page.Entries)
	s := c.counter.summary().Users
	counts := map[string]int{withoutRecord: s.All - s.Recorded}
	for _, h := range s.Holders {
		counts[h.Label()] = h.Users
	}
	lists := maps.Clone(s.Lists)
	lists[listNone] = s.All - s.Listed
	return usersView{pagerOf(page), by, rows, only, choices(heldOrder(), counts), list, choices(listOrder(), lists)}, err
}

// usersIn finds the keys of all users in a state, or of all (""), with a list of a source, in an order.
func (c *counter) usersIn(state, source string, by sorting) []string {
	c.mu.Lock()
	held := c.facts.held(time.Now().Unix(), map[string]int{})
	var list [][32]byte
	for author, known := range c.facts.authors {
		n, has := held[author]
		is := withoutRecord
		if has {
			is = holdersNone()[holderClass(int(n))].Label()
		}
		if (state == "" || state == is || state == heldFindable && n > 0) && known.by(source) {
			list = append(list, author)
		}
	}
	c.mu.Unlock()
	slices.SortFunc(list, func(a, b [32]byte) int {
		if by.Sort != "" && held[a] != held[b] {
			return by.compare(cmp.Compare(held[a], held[b]))
		}
		return slices.Compare(a[:], b[:])
	})
	keys := make([]string, len(list))
	for i, author := range list {
		keys[i] = hex.EncodeToString(author[:])
	}
	return keys
}

// userRows reads the records of users.
func (c *Console) userRows(ctx context.Context, entries []kv.Entry[contract.Author]) ([]User, error) {
	bucket, err := kv.Open[contract.Record](ctx, c.js, contract.BucketRecords)
	if err != nil {
		return nil, need(err)
	}
	var keys []string
	for _, e := range entries {
		for _, target := range slices.Sorted(maps.Keys(e.Value.Records)) {
			if len(keys) < 1000 { // of 100 users with eight each it is never so
				keys = append(keys, contract.RecordKey(target))
			}
		}
	}
	records, err := bucket.GetAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	now := time.Now().Unix()
	rows := make([]User, len(entries))
	for i, e := range entries {
		u := User{PubKey: e.Key, Npub: npub(e.Key), Seen: e.Value.LastSeen, Lookup: e.Value.NextResolve}
		for target := range e.Value.Records {
			if r, exists := records[contract.RecordKey(target)]; exists {
				u.Records++
				u.Holders = max(u.Holders, int(factsOfRecord(r).holders(now)))
			}
		}
		known := listsOf(e.Value)
		for j, via := range listSources {
			if known&(1<<j) != 0 {
				u.Lists = append(u.Lists, via)
			}
		}
		rows[i] = u
	}
	return rows, nil
}
