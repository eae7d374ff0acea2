package sim_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

const (
	meshSize = 24
	freshK   = 16
	keptK    = 8
	// forgets is after how long a node forgets an item (BEP 44).
	forgets = 2 * time.Hour
)

// mesh is a DHT of a few nodes. Some lie whenever they are asked, and all of
// them do while faults are injected.
type mesh struct {
	*faultInjector
	mu    sync.Mutex
	nodes [meshSize]meshNode
	// stored is the seqs that a node took from us, in order.
	stored map[string][]int64
}

type meshNode struct {
	id    [20]byte
	liar  bool
	items map[string]*copyOf
}

// copyOf is what a node holds of a target, and held before.
type copyOf struct {
	item, old bep44.Item
	at        time.Time
}

func newMesh(w *faultInjector) *mesh {
	m := &mesh{faultInjector: w, stored: map[string][]int64{}}
	for i := range m.nodes {
		sum := sha256.Sum256(fmt.Append(nil, w.seed, "node", i))
		m.nodes[i] = meshNode{id: [20]byte(sum[:20]), liar: i%12 == 11, items: map[string]*copyOf{}}
	}
	return m
}

// closest returns the numbers of the k nodes nearest to a target.
func (m *mesh) closest(target [20]byte, k int) []int {
	var list []int
	for i := range m.nodes {
		list = append(list, i)
	}
	distance := func(i int) (d [20]byte) {
		for j := range d {
			d[j] = m.nodes[i].id[j] ^ target[j]
		}
		return d
	}
	slices.SortFunc(list, func(a, b int) int {
		x, y := distance(a), distance(b)
		return bytes.Compare(x[:], y[:])
	})
	return list[:k]
}

// holders counts the honest nodes of the nearest k that hold an item.
func (m *mesh) holders(item bep44.Item, k int) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range m.closest(item.Target(), k) {
		if c := m.kept(i, stage.TargetHex(item)); c != nil && !m.nodes[i].liar && c.item.Seq == item.Seq &&
			bytes.Equal(c.item.Value, item.Value) {
			n++
		}
	}
	return n
}

// owner puts an item as its owner does from another device, without faults.
func (m *mesh) owner(item bep44.Item) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range m.closest(item.Target(), keptK) {
		_ = m.store(i, item)
	}
}

// kept is what a node still has; m.mu is held, here and below.
func (m *mesh) kept(i int, target string) *copyOf {
	if c := m.nodes[i].items[target]; c != nil && time.Since(c.at) < forgets {
		return c
	}
	return nil
}

func (m *mesh) store(i int, item bep44.Item) error {
	target := stage.TargetHex(item)
	if err := item.Verify(); err != nil {
		return err
	}
	next := &copyOf{item: item, at: time.Now()}
	if c := m.kept(i, target); c != nil {
		if err := bep44.Replace(&c.item, &item, nil); err != nil {
			return err
		}
		if next.old = c.old; c.item.Seq < item.Seq {
			next.old = c.item
		}
	}
	m.nodes[i].items[target] = next
	return nil
}

// answer is what a node says that it holds; ok is false if it is silent.
func (m *mesh) answer(i int, target string) (item *bep44.Item, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	point := fmt.Sprint("node ", i, " get ", target)
	f := m.pick(point, fails, lies)
	if f == fails {
		return nil, false
	}
	c := m.kept(i, target)
	if f == none && m.nodes[i].liar {
		f = lies
	}
	switch {
	case c == nil:
		return nil, true
	case f != lies:
		said := c.item
		return &said, true
	case m.draw(point+" lie") < 0.3: // that it has none
		return nil, true
	case m.draw(point+" lie") < 0.5 && c.old.Seq != 0: // an older one
		said := c.old
		return &said, true
	}
	said := c.item // another seq or a wrong signature
	said.Seq += 1000
	return &said, true
}

// draw is the injector's; the mesh draws under its own lock.
func (m *mesh) draw(point string) float64 {
	m.faultInjector.mu.Lock()
	defer m.faultInjector.mu.Unlock()
	return m.faultInjector.draw(point)
}

// put sends an item to a node, which says whether it has taken it.
func (m *mesh) put(i int, item bep44.Item) bool {
	target := stage.TargetHex(item)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.pick(fmt.Sprint("node ", i, " put ", target), fails, lost, lies, happens) {
	case fails, lost: // silent, or the token is wrong
		return false
	case lies: // it forgets it at once
		return true
	case happens:
		if m.store(i, item) == nil {
			m.took(i, target, item.Seq)
		}
		return false
	}
	if m.nodes[i].liar {
		return true
	}
	err := m.store(i, item)
	if err == nil {
		m.took(i, target, item.Seq)
	}
	return err == nil
}

func (m *mesh) took(i int, target string, seq int64) {
	key := fmt.Sprint(i, " ", target)
	m.stored[key] = append(m.stored[key], seq)
	m.did(fmt.Sprint("node ", i, " holds ", target), fmt.Sprint("seq ", seq))
}

// meshClient is the mesh as a process sees it: it verifies what nodes say, as
// the DHT edge does.
type meshClient struct {
	mesh *mesh
	*incarnation
}

// read asks nodes what they hold. It returns the newest item, which are
// those that have it, and how many answered.
func (m meshClient) read(nodes []int, key [32]byte, salt []byte) (newest *bep44.Item, has map[int]int64, answered int) {
	has = map[int]int64{}
	target := bep44.Target(key, salt)
	for _, i := range nodes {
		item, ok := m.mesh.answer(i, hexOf(target[:]))
		if ok {
			answered++
		}
		if item == nil {
			continue
		}
		said := *item
		if said.Key, said.Salt = key, salt; said.Verify() != nil {
			continue
		}
		has[i] = said.Seq
		if newest == nil || said.Seq > newest.Seq {
			newest = &said
		}
	}
	return newest, has, answered
}

var errSilence = errors.New("no node answers")

func (m meshClient) Put(_ context.Context, item bep44.Item, _ []dht.Node, how dht.How) (found dht.Found, err error) {
	point := "put " + stage.TargetHex(item)
	if err := m.asks(point, item.Verify); err != nil {
		return found, err
	}
	holders, renewed := how.Nodes()
	near := m.mesh.closest(item.Target(), freshK)
	newest, has, answered := m.read(near, item.Key, item.Salt)
	if answered == 0 {
		return found, errSilence
	}
	if newest != nil && newest.Seq > item.Seq {
		return dht.Found{Newer: newest}, nil
	}
	var got []int
	for rank, i := range near[:holders] {
		node := dht.Node{byte(i)}
		found.Closest = append(found.Closest, node)
		held := has[i] == item.Seq
		if held {
			found.Had = append(found.Had, node)
		}
		if held && rank >= renewed {
			continue
		}
		if m.dead() {
			return found, errDead
		}
		if m.mesh.put(i, item) && !held {
			got = append(got, i)
		}
	}
	if how == dht.Fresh { // it is read back
		_, back, _ := m.read(got, item.Key, item.Salt)
		got = slices.DeleteFunc(got, func(i int) bool { return back[i] != item.Seq })
	}
	for _, i := range got {
		found.Got = append(found.Got, dht.Node{byte(i)})
	}
	if m.pick(point+" done", crashAfter) == crashAfter {
		m.kill()
		return dht.Found{}, errDead
	}
	return found, nil
}

func (m meshClient) Get(_ context.Context, key [32]byte, salt []byte) (item bep44.Item, holders int, found bool, err error) {
	target := bep44.Target(key, salt)
	if err := m.asks("get "+hexOf(target[:]), func() error { return nil }); err != nil {
		return item, 0, false, err
	}
	newest, has, answered := m.read(m.mesh.closest(target, keptK), key, salt)
	switch {
	case answered == 0:
		return item, 0, false, errSilence
	case newest == nil:
		return item, 0, false, nil
	}
	return *newest, len(has), true, nil
}
