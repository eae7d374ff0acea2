package ingest

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var (
	alice = strings.Repeat("a1", 32)
	bob   = strings.Repeat("b0", 32)
	carol = strings.Repeat("c4", 32)
	id1   = strings.Repeat("01", 32)
	dhtA  = strings.Repeat("da", 32)
	dhtB  = strings.Repeat("db", 32)
)

func signed(t *testing.T, seq int64, value []byte) (bep44.Item, contract.Record) {
	t.Helper()
	item := bep44.Item{Seq: seq, Value: value}
	if err := item.Sign(ed25519.NewKeyFromSeed(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	var r contract.Record
	stage.SetItem(&r, item)
	return item, r
}

func relayList(t *testing.T, urls ...string) []byte {
	t.Helper()
	v, err := bep44.EncodeRelayList(urls)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// dhtList is a kind 11011 event around an item; its own id and signature play
// no part in the decision.
func dhtList(item bep44.Item, payload []byte) nostr.Event {
	return nostr.Event{
		ID: id1, PubKey: alice, Kind: nostr.KindDHTList, Content: hex.EncodeToString(payload),
		Tags: []nostr.Tag{{"dht_pubkey", hex.EncodeToString(item.Key[:])}, {"dht_sig", hex.EncodeToString(item.Sig[:])}},
	}
}

func TestDHTListMakesARecordExactlyAsSigned(t *testing.T) {
	item, want := signed(t, 7, relayList(t, "wss://Relay.example.com/"))
	e := dhtList(item, item.SignedBuffer())
	f, err := decideEvent(&e, false)
	if err != nil {
		t.Fatal(err)
	}
	want.PubKey, want.Event = alice, id1
	if f.record == nil || f.record.Seq != 7 || f.record.Sig != want.Sig || string(f.record.Value) != string(want.Value) {
		t.Errorf("record is %+v, want %+v", f.record, want)
	}
	if f.target != stage.TargetHex(item) || f.keys[alice] != want.DHTKey || f.via != contract.ViaDHT {
		t.Errorf("target %s, keys %v, via %s", f.target, f.keys, f.via)
	}
	if !slices.Equal(f.list.Write, []string{"wss://relay.example.com"}) {
		t.Errorf("list is %v", f.list.Write)
	}
}

func TestHornetsDictIsForDiscoveryOnly(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	value := relayList(t, "wss://relay.example.com")
	payload := fmt.Appendf(nil, "d3:seqi4e1:v%se", value)
	item := bep44.Item{Seq: 4, Value: value}
	copy(item.Key[:], key.Public().(ed25519.PublicKey))
	copy(item.Sig[:], ed25519.Sign(key, payload))
	e := dhtList(item, payload)
	f, err := decideEvent(&e, false)
	if err != nil {
		t.Fatal(err)
	}
	if f.record != nil {
		t.Error("the dict form became a record, which no DHT node could verify")
	}
	if f.list == nil || len(f.list.Write) != 1 {
		t.Errorf("list is %+v", f.list)
	}
}

func TestDHTListRefuses(t *testing.T) {
	item, _ := signed(t, 7, relayList(t, "wss://relay.example.com"))
	good := dhtList(item, item.SignedBuffer())
	urls := make([]string, 40)
	for i := range urls {
		urls[i] = fmt.Sprintf("wss://relay%02d.example.com", i)
	}
	for name, tc := range map[string]struct {
		change func(e *nostr.Event)
		want   string
	}{
		"key of 31 bytes": {func(e *nostr.Event) { e.Tags[0] = nostr.Tag{"dht_pubkey", strings.Repeat("ab", 31)} }, "dht_pubkey:"},
		"no key":          {func(e *nostr.Event) { e.Tags = e.Tags[1:] }, "dht_pubkey:"},
		"sig of 63 bytes": {func(e *nostr.Event) { e.Tags[1] = nostr.Tag{"dht_sig", strings.Repeat("ab", 63)} }, "dht_sig:"},
		"no sig":          {func(e *nostr.Event) { e.Tags = e.Tags[:1] }, "dht_sig:"},
		"wrong sig":       {func(e *nostr.Event) { e.Tags[1] = nostr.Tag{"dht_sig", strings.Repeat("ab", 64)} }, "dht_sig:"},
		"other key":       {func(e *nostr.Event) { e.Tags[0] = nostr.Tag{"dht_pubkey", dhtB} }, "dht_sig:"},
		"content not hex": {func(e *nostr.Event) { e.Content = "xyz" }, "content:"},
		"empty content":   {func(e *nostr.Event) { e.Content = "" }, "content:"},
		"negative seq":    {func(e *nostr.Event) { e.Content = hex.EncodeToString([]byte("3:seqi-1e1:v2:[]")) }, "content:"},
		"value over 1000": {func(e *nostr.Event) {
			e.Content = hex.EncodeToString(append([]byte("3:seqi1e1:v"), bep44.EncodeString(make([]byte, 1000))...))
		}, "content:"},
		"loopback relay": {func(e *nostr.Event) {
			it, _ := signed(t, 8, relayList(t, "ws://127.0.0.1"))
			*e = dhtList(it, it.SignedBuffer())
		}, "content: relays[0]: relay url"},
		"http relay": {func(e *nostr.Event) {
			it, _ := signed(t, 8, relayList(t, "wss://relay.example.com", "http://x.example"))
			*e = dhtList(it, it.SignedBuffer())
		}, "content:"},
		"no list": {func(e *nostr.Event) {
			it, _ := signed(t, 8, []byte("i5e"))
			*e = dhtList(it, it.SignedBuffer())
		}, "content:"},
	} {
		e := good
		e.Tags = slices.Clone(good.Tags)
		tc.change(&e)
		if f, err := decideEvent(&e, false); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: error is %v, want %q (record %+v)", name, err, tc.want, f.record)
		}
	}
}

func TestNIP65MarkersAndSpellings(t *testing.T) {
	e := nostr.Event{ID: id1, PubKey: alice, Kind: nostr.KindRelayList, CreatedAt: 5, Tags: []nostr.Tag{
		{"r", "wss://both.example/"},
		{"r", "wss://in.example", "read"},
		{"r", "wss://OUT.example", "write"},
		{"r", "wss://both.example"},
		{"r", "ws://127.0.0.1"},
		{"r"},
		{"p", "wss://not.example"},
	}}
	f, err := decideEvent(&e, false)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.list.Write, []string{"wss://both.example", "wss://out.example"}) ||
		!slices.Equal(f.list.Read, []string{"wss://both.example", "wss://in.example"}) {
		t.Errorf("write %v, read %v", f.list.Write, f.list.Read)
	}
	if f.list.Version != 5 || f.via != contract.ViaNIP65 {
		t.Errorf("version %d, via %s", f.list.Version, f.via)
	}
}

// What people's clients have written into r tags, and what they meant.
func TestNIP65AsPeopleWriteIt(t *testing.T) {
	const a, b = "wss://a.example", "wss://b.example/nostr/"
	for name, tc := range map[string]struct {
		tags        []nostr.Tag
		write, read []string
	}{
		"blanks around":           {[]nostr.Tag{{"r", " wss://a.example\t"}}, []string{a}, []string{a}},
		"a zero-width space":      {[]nostr.Tag{{"r", "wss://a.example/\u200b"}, {"r", a}}, []string{a}, []string{a}},
		"a byte order mark":       {[]nostr.Tag{{"r", "\ufeffwss://a.example"}}, []string{a}, []string{a}},
		"a blank, percent":        {[]nostr.Tag{{"r", "wss://a.example/%20"}, {"r", a}}, []string{a}, []string{a}},
		"the slash of a path":     {[]nostr.Tag{{"r", b}, {"r", "wss://b.example/nostr"}}, []string{b}, []string{b}},
		"two by a blank":          {[]nostr.Tag{{"r", "wss://a.example/ wss://b.example/nostr/"}}, []string{a, b}, []string{a, b}},
		"two by a comma":          {[]nostr.Tag{{"r", "wss://a.example,WSS://b.example/nostr/"}}, []string{a, b}, []string{a, b}},
		"two by a line, and read": {[]nostr.Tag{{"r", "wss://a.example\r\nwss://b.example/nostr/", "read"}}, nil, []string{a, b}},
		"two by nothing":          {[]nostr.Tag{{"r", "wss://a.examplewss://x.example"}, {"r", a}}, []string{a}, []string{a}},
		"two by a slash":          {[]nostr.Tag{{"r", "wss://a.example/wss://x.example"}, {"r", a}}, []string{a}, []string{a}},
		"one of two is none":      {[]nostr.Tag{{"r", "wss://a.example; ws://x.onion"}}, []string{a}, []string{a}},
		"a blank within":          {[]nostr.Tag{{"r", "wss://x.example/in box"}, {"r", a}}, []string{a}, []string{a}},
		"two elements":            {[]nostr.Tag{{"r", a, "\u200b" + b}}, []string{a, b}, []string{a, b}},
		"two, and an odd marker":  {[]nostr.Tag{{"r"}, {"r", a, "", "wss://b.example/nostr/ , x"}}, []string{a}, []string{a}},
		"READ":                    {[]nostr.Tag{{"r", a, "READ"}}, nil, []string{a}},
		" write":                  {[]nostr.Tag{{"r", a, " write"}}, []string{a}, nil},
		"Write, zero-width":       {[]nostr.Tag{{"r", a, "Write\u200b"}}, []string{a}, nil},
		"an unknown marker":       {[]nostr.Tag{{"r", a, "both"}}, []string{a}, []string{a}},
	} {
		e := nostr.Event{ID: id1, PubKey: alice, Kind: nostr.KindRelayList, Tags: tc.tags}
		f, err := decideEvent(&e, false)
		if err != nil || !slices.Equal(f.list.Write, tc.write) || !slices.Equal(f.list.Read, tc.read) {
			t.Errorf("%s: write %q, read %q, %v; want %q, %q", name, f.list.Write, f.list.Read, err, tc.write, tc.read)
		}
	}
}

func TestNIP65RefusesWhatNoUserWrites(t *testing.T) {
	many := make([]nostr.Tag, 500)
	for i := range many {
		many[i] = nostr.Tag{"r", fmt.Sprintf("wss://relay%d.example", i)}
	}
	for want, tags := range map[string][]nostr.Tag{
		"tags: 500 relays":                            many,
		"tags[0]: relay url \"http://x.example\"":     {{"r", "http://x.example"}},
		"tags[1]: relay url \"javascript:alert(1)\"":  {{"p", alice}, {"r", "javascript:alert(1)"}},
		"tags[0]: relay url \"ws://127.0.0.1\"":       {{"r", "ws://127.0.0.1"}},
		"tags[0]: relay url \"ws://169.254.169.254\"": {{"r", "ws://169.254.169.254"}},
	} {
		e := nostr.Event{PubKey: alice, Kind: nostr.KindRelayList, Tags: tags}
		if _, err := decideEvent(&e, false); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
	e := nostr.Event{PubKey: alice, Kind: nostr.KindRelayList}
	if f, err := decideEvent(&e, false); err != nil || f.list == nil {
		t.Errorf("an empty list takes all relays back: %+v, %v", f.list, err)
	}
}

func TestAppDataTeachesKeyAndRelays(t *testing.T) {
	e := nostr.Event{
		ID: id1, PubKey: alice, Kind: nostr.KindAppData, CreatedAt: 3,
		Tags: []nostr.Tag{{"d", "x"}, {"r", "wss://r.example"}, {"dht", dhtA}},
	}
	f, err := decideEvent(&e, false)
	if err != nil || f.keys[alice] != dhtA || f.via != contract.ViaNIP78 || len(f.list.Write) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	e.Tags[2] = nostr.Tag{"dht", "short"}
	if _, err := decideEvent(&e, false); err == nil || !strings.HasPrefix(err.Error(), "dht:") {
		t.Errorf("error is %v", err)
	}
	e.Tags = e.Tags[:1]
	if f, err := decideEvent(&e, false); err != nil || f.list != nil || len(f.keys) > 0 {
		t.Errorf("other data of the kind: %+v, %v", f, err)
	}
}

func TestDHTKeyTagBelongsToWhomItIsAbout(t *testing.T) {
	for name, tc := range map[string]struct {
		tags []nostr.Tag
		want map[string]string
	}{
		"own":          {[]nostr.Tag{{"dht_key", dhtA}}, map[string]string{alice: dhtA}},
		"reply":        {[]nostr.Tag{{"e", id1, "reply"}, {"p", carol}, {"p", bob}, {"dht_key", dhtB}}, map[string]string{bob: dhtB}},
		"reply to ?":   {[]nostr.Tag{{"e", id1}, {"dht_key", dhtB}}, map[string]string{}},
		"wrong length": {[]nostr.Tag{{"dht_key", "abcd"}}, map[string]string{}},
		"no value":     {[]nostr.Tag{{"dht_key"}}, map[string]string{}},
	} {
		f, err := decideEvent(&nostr.Event{PubKey: alice, Kind: 1, Tags: tc.tags}, false)
		if err != nil || fmt.Sprint(f.keys) != fmt.Sprint(tc.want) {
			t.Errorf("%s: keys are %v, %v, want %v", name, f.keys, err, tc.want)
		}
	}
}

func TestLearnKey(t *testing.T) {
	claim := func(key, by string, at int64) keyClaim { return keyClaim{key, source{by: by, at: at}} }
	for name, tc := range map[string]struct {
		claims []keyClaim
		want   string
	}{
		"a stranger fills a gap":            {[]keyClaim{claim(dhtA, bob, 1)}, dhtA},
		"a second stranger changes nothing": {[]keyClaim{claim(dhtA, bob, 1), claim(dhtB, carol, 2)}, dhtA},
		"the author replaces a stranger":    {[]keyClaim{claim(dhtA, bob, 9), claim(dhtB, alice, 1)}, dhtB},
		"a stranger never replaces":         {[]keyClaim{claim(dhtA, alice, 1), claim(dhtB, bob, 9)}, dhtA},
		"the author's newer word":           {[]keyClaim{claim(dhtA, alice, 1), claim(dhtB, alice, 2)}, dhtB},
		"the author's older word":           {[]keyClaim{claim(dhtA, alice, 2), claim(dhtB, alice, 1)}, dhtA},
		"no word":                           {[]keyClaim{claim(dhtA, alice, 2), claim("", alice, 3)}, dhtA},
		"a claim confirmed by the author":   {[]keyClaim{claim(dhtA, bob, 1), claim(dhtA, alice, 2), claim(dhtB, bob, 3)}, dhtA},
		"a word between two others":         {[]keyClaim{claim(dhtA, alice, 1), claim(dhtA, alice, 3), claim(dhtB, alice, 2)}, dhtA},
		"a key that was left, said late":    {[]keyClaim{claim(dhtB, alice, 2), claim(dhtA, alice, 1), claim(dhtA, bob, 3)}, dhtB},
	} {
		a := contract.Author{NextResolve: 100}
		for _, c := range tc.claims {
			a = learnKey(alice, a, c)
		}
		if a.DHTKey != tc.want {
			t.Errorf("%s: key is %.4s, want %.4s", name, a.DHTKey, tc.want)
		}
		if a.NextResolve != 0 {
			t.Errorf("%s: a new key is not looked up at once", name)
		}
	}
}

// The list under a key goes with it; what a stranger has said before is looked
// up again as the author's own.
func TestANewKeyEndsTheListOfTheOneBefore(t *testing.T) {
	list := contract.List{Version: bep44.MaxSeq, Key: dhtA, ID: id1, Write: []string{"wss://relay.example.com"}}
	a := contract.Author{
		DHTKey: dhtA, DHTKeyBy: alice, DHTKeyAt: 1, NextResolve: 100,
		Lists: map[string]contract.List{contract.ViaDHT: list, contract.ViaNIP65: {Version: 1}},
	}
	if same := learnKey(alice, a, keyClaim{dhtA, source{by: alice, at: 2}}); len(same.Lists) != 2 || same.NextResolve != 100 {
		t.Errorf("the same key again: %+v", same)
	}
	if next := learnKey(alice, a, keyClaim{dhtB, source{by: alice, at: 2}}); len(next.Lists) != 1 || next.NextResolve != 0 ||
		len(a.Lists) != 2 {
		t.Errorf("another key: %+v", next)
	}
	a.DHTKeyBy = bob
	if next := learnKey(alice, a, keyClaim{dhtA, source{by: alice, at: 1}}); next.DHTKeyBy != alice || next.NextResolve != 0 {
		t.Errorf("a stranger's key, by the author's word: %+v", next)
	}
}

func TestReplaceRecordNeverGoesBack(t *testing.T) {
	_, old := signed(t, 5, []byte("1:a"))
	for name, tc := range map[string]struct {
		seq   int64
		value string
		write bool
		want  string
	}{
		"higher seq":             {6, "1:b", true, ""},
		"same":                   {5, "1:a", false, ""},
		"lower seq":              {4, "1:b", false, "seq: 4 is lower than 5"},
		"same seq, other value":  {5, "1:b", false, "seq: 5 was signed before"},
		"lower seq, same value":  {4, "1:a", false, "seq: 4 is lower than 5"},
		"higher seq, same value": {6, "1:a", true, ""},
	} {
		_, put := signed(t, tc.seq, []byte(tc.value))
		write, err := replaceRecord(old, put)
		if write != tc.write || (err == nil) != (tc.want == "") || (err != nil && !strings.HasPrefix(err.Error(), tc.want)) {
			t.Errorf("%s: write %t, %v", name, write, err)
		}
	}
}
